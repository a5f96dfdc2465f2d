"""The gallery's API in this process: the catalogue, what may be uploaded and asked for, and what is refused how."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_client import OURS, NotingPrefect, client
from PIL import Image
from served import small_picture, small_score
from starlette.testclient import TestClient

from core.manifest import sha256_file
from flows.deployed.forms import LOOKS
from flows.service.api import PrefectApi
from flows.service.app import api, jobs, making, uploads
from flows.service.app.folders import run_id
from phase2_music.scores import bundled_scores
from schemas.document import ROLES

V1 = "/api/v1"


@pytest.fixture
def runs(small_run: Path, tmp_path: Path) -> Path:
    """A runs folder with two finished runs and a damaged one."""
    runs = tmp_path / "runs"
    shutil.copytree(small_run, runs / "lake-canon")
    shutil.copytree(small_run, runs / "batch" / "sée & <b>")
    for number, name in enumerate(("lake-canon", "batch/sée & <b>")):
        os.utime(runs / name / "run.json", (1e9 + number, 1e9 + number))
    (runs / "broken").mkdir()
    (runs / "broken" / "run.json").write_text('{"schema_version": 1, "sta')
    (runs / "broken" / "index.html").write_text("<p>page</p>")
    return runs


@pytest.fixture
def prefect() -> NotingPrefect:
    return NotingPrefect()


@pytest.fixture
def web(runs: Path, prefect: NotingPrefect) -> TestClient:
    return client(runs, prefect)


LAKE = f"{V1}/runs/{run_id('lake-canon')}"


def detail_of(answer: Any, status: int) -> str:
    """The one line of a refusal."""
    assert answer.status_code == status, answer.text
    text = answer.json()["detail"]
    assert isinstance(text, str)
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    return text


# The catalogue


def test_runs_are_listed_with_what_is_in_them_and_a_damaged_one_stops_nothing(web: TestClient) -> None:
    found = web.get(f"{V1}/runs").json()
    by_name = {run["name"]: run for run in found["runs"]}
    assert found["total"] == 3
    assert by_name["broken"]["problem"]
    assert by_name["broken"]["url"] == "/runs/broken/index.html"
    lake = by_name["lake-canon"]
    assert lake["problem"] is None
    assert lake["title"] == "lake"
    assert set(lake["roles"]) == set(ROLES)
    assert {song["name"] for song in lake["songs"]} == {"canon-preview", "tune-preview"}
    assert all(song["current"] and song["preview"] for song in lake["songs"])
    for address in (lake["url"], lake["picture"], lake["thumbnail"], *(song["url"] for song in lake["songs"])):
        assert web.get(address).status_code == 200, address


def test_runs_are_searched_and_sorted(web: TestClient) -> None:
    def names(**query: Any) -> list[str]:
        return [run["name"] for run in web.get(f"{V1}/runs", params=query).json()["runs"]]

    assert names(search="SEE batch") == ["batch/sée & <b>"]
    assert names(search="pachelbel lake") != []
    assert names(search="no such words") == []
    assert names(sort="oldest")[:2] == ["lake-canon", "batch/sée & <b>"]
    assert names(sort="newest")[-2:] == ["batch/sée & <b>", "lake-canon"]
    assert names(sort="name")[0] == "broken"
    assert len(names(limit=1, offset=1)) == 1


def test_a_changed_run_is_read_again_and_a_removed_one_is_gone(web: TestClient, runs: Path) -> None:
    assert web.get(LAKE).json()["casting"]
    value = json.loads((runs / "lake-canon" / "run.json").read_text())
    value["picture"]["file"] = "pond.jpg"
    (runs / "lake-canon" / "run.json").write_text(json.dumps(value))
    assert web.get(f"{V1}/runs", params={"search": "pond"}).json()["runs"][0]["title"] == "pond"
    shutil.rmtree(runs / "lake-canon")
    assert detail_of(web.get(LAKE), 404)


def test_everything_about_a_run(web: TestClient, runs: Path) -> None:
    run = web.get(LAKE).json()
    assert run["editable"] is True
    assert run["scene_edited"] is False
    assert run["scene_sha256"] == sha256_file(runs / "lake-canon" / "scene.json")
    for effect in run["effects"]:
        source = run["scene"]["sound_sources"][effect["source_index"]]
        assert source["variants"][effect["variant_index"]]["play_method"] == effect["play_method"]
        assert web.get(effect["url"]).headers["content-type"] == "audio/wav"
    downloads = {each["name"]: each for each in run["downloads"]}
    assert {"scene.json", "songs/canon-preview/song.wav", "instruments/bass/bass.sf2"} <= set(downloads)
    for each in downloads.values():
        assert len(web.get(each["url"]).content) == each["bytes"]
    assert web.get(f"{V1}/runs/{run_id('broken')}").json()["editable"] is False


def test_a_thumbnail_is_small_and_kept(web: TestClient, runs: Path) -> None:
    Image.new("RGB", (1024, 700), "teal").save(runs / "lake-canon" / "picture.jpg")
    (runs / "lake-canon" / "run.json").touch()
    address = next(r for r in web.get(f"{V1}/runs").json()["runs"] if r["name"] == "lake-canon")["thumbnail"]
    answer = web.get(address)
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (480, 328)
    assert len(answer.content) < 20_000
    assert web.get(address).content == answer.content


def test_a_picture_that_leads_elsewhere_or_is_none_has_no_thumbnail(web: TestClient, runs: Path) -> None:
    secret = small_picture(runs.parent / "secret.jpg")
    picture = runs / "lake-canon" / "picture.jpg"
    picture.unlink()
    picture.symlink_to(secret)
    detail_of(web.get(f"{LAKE}/thumbnail"), 404)
    picture.unlink()
    picture.write_bytes(b"\xff\xd8 no picture")
    detail_of(web.get(f"{LAKE}/thumbnail"), 404)


def test_five_hundred_runs_are_listed_quickly(web: TestClient, runs: Path) -> None:
    kept = ("run.json", "scene.json", "index.html", "effects/effects.json", "songs/canon-preview/song.json")
    for number in range(500):
        for name in kept:
            place = runs / "many" / f"r{number:03}" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(runs / "lake-canon" / name, place)
    seconds = []
    for _ in range(2):
        began = time.process_time()
        assert web.get(f"{V1}/runs", params={"search": "canon"}).json()["total"] >= 502
        seconds.append(time.process_time() - began)
    print(f"500 runs: {seconds[0]:.2f} s of CPU at first, {seconds[1]:.3f} s again")
    assert seconds[0] < 15
    assert seconds[1] < min(1.0, seconds[0] / 3)


# Making


def form(**files: tuple[str, bytes]) -> dict[str, tuple[str, bytes]]:
    return files


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_picture(tmp_path_factory.mktemp("p") / "p.png").read_bytes()


@pytest.fixture(scope="module")
def midi(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_score(tmp_path_factory.mktemp("m") / "m.mid").read_bytes()


def test_a_picture_and_a_score_become_a_job(
    web: TestClient, prefect: NotingPrefect, runs: Path, picture: bytes, midi: bytes
) -> None:
    answer = web.post(
        f"{V1}/runs",
        headers=OURS,
        files=form(picture=("my lake.png", picture), midi=("canon.mid", midi)),
        data={"seed": "7", "compact": "true", "preview_s": "2.5", "look": "dry"},
    )
    assert answer.status_code == 202, answer.text
    asked = prefect.last["parameters"]
    assert Path(asked["picture"]).read_bytes() == picture
    assert Path(asked["score_file"]).read_bytes() == midi
    assert Path(asked["score_file"]).stem == "canon-2"  # not to be taken for the bundled one
    assert asked["options"] == {"seed": 7, "compact": True, "preview_s": 2.5}
    assert asked["out"] == str(runs / "my-lake-canon-2")
    job = answer.json()
    assert job["run"] == run_id("my-lake-canon-2")
    assert job["stages"][0]["name"] == "picture"
    assert list((runs / "uploads").glob(".photone-tmp-*")) == []


def test_another_picture_of_the_same_name_does_not_take_the_place_of_a_run(
    web: TestClient, prefect: NotingPrefect, runs: Path, picture: bytes
) -> None:
    folders = []
    for name, seed in (("lake.png", "0"), ("lake.png", "5")):
        web.post(f"{V1}/runs", headers=OURS, files=form(picture=(name, picture)), data={"seed": seed, "compact": "1"})
        folders.append(Path(prefect.last["parameters"]["out"]).name)
    assert folders == ["lake-canon", "lake-canon-2"]  # the very same is that run again


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.png",
        "..%2f..%2fevil.png",
        "/etc/passwd",
        "a\0b.png",
        "C:\\windows\\evil.png",
        '<img src=x onerror="alert(1)">.png',
        ".hidden.png",
        "...",
        "con.png",
        "x" * 3000 + ".png",
        "ünïcödé ☃.png",
        "",
        "a\r\nX-Evil: 1.png",
    ],
)
def test_names_of_uploads_are_harmless(
    web: TestClient, prefect: NotingPrefect, runs: Path, picture: bytes, name: str
) -> None:
    answer = web.post(f"{V1}/runs", headers=OURS, files=form(picture=(name, picture)))
    if answer.status_code != 202:  # a name that is no name is refused as a form
        detail_of(answer, 400)
        assert not prefect.runs
        return
    kept, out = Path(prefect.last["parameters"]["picture"]), Path(prefect.last["parameters"]["out"])
    assert kept.parent.parent == runs / "uploads"
    assert out.parent == runs
    for path in (kept, out):
        assert path.resolve() == path
        assert all(letter.isascii() and (letter.isalnum() or letter in "-._") for letter in path.name)
        assert not path.name.startswith((".", "-"))
        assert len(path.name) <= 80
    assert kept.stem.lower() != "con"


def test_content_decides_what_a_file_is(
    web: TestClient, prefect: NotingPrefect, runs: Path, picture: bytes, midi: bytes
) -> None:
    script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    for files, said in (
        (form(picture=("lake.jpg", script)), "lake.jpg: not a picture"),
        (form(picture=("lake.jpg", midi)), "lake.jpg: not a picture"),
        (form(picture=("lake.png", picture[:90])), "lake.png: damaged"),
        (form(picture=("lake.png", b"")), "lake.png: is empty"),
        (form(picture=("lake.png", picture), midi=("x.mid", picture)), "x.mid"),
        (form(picture=("lake.png", picture), midi=("x.mid", midi[:40])), "x.mid"),
    ):
        text = detail_of(web.post(f"{V1}/runs", headers=OURS, files=files), 422)
        assert text.startswith(said)
        assert str(runs) not in text  # the client knows no path of ours
    web.post(f"{V1}/runs", headers=OURS, files=form(picture=("lake.mid", picture)))
    assert Path(prefect.last["parameters"]["picture"]).suffix == ".png"
    assert list((runs / "uploads").rglob(".photone-tmp-*")) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", "yesterday"),
        ("look", "pretty"),
        ("seed", "-1"),
        ("seed", "1e9"),
        ("seed", "9" * 400),
        ("compact", "perhaps"),
        ("preview_s", "nan"),
        ("preview_s", "-3"),
        ("preview_s", "1e99"),
    ],
)
def test_bad_fields_are_refused_by_name(
    web: TestClient, prefect: NotingPrefect, picture: bytes, field: str, value: str
) -> None:
    answer = web.post(f"{V1}/runs", headers=OURS, files=form(picture=("a.png", picture)), data={field: value})
    assert detail_of(answer, 422).startswith(f"{field}: ")
    assert not prefect.runs


def test_what_is_no_form_is_refused(web: TestClient, runs: Path, picture: bytes) -> None:
    whole = web.build_request("POST", f"{V1}/runs", headers=OURS, files=form(picture=("a.png", picture)))
    body, kind = whole.read(), whole.headers["content-type"]
    for content, content_type in (
        (body[:-40], kind),
        (body[: len(body) // 2], kind),
        (body, "multipart/form-data"),
        (body, "multipart/form-data; boundary="),
        (body, "multipart/form-data; boundary=" + "x" * 500),
        (body, "application/json"),
        (b"", kind),
        (b"\0" * 1000, kind),
    ):
        answer = web.post(f"{V1}/runs", headers={**OURS, "content-type": content_type}, content=content)
        detail_of(answer, 400)
    detail_of(web.post(f"{V1}/runs", headers=OURS, files=form(surprise=("a.png", picture))), 400)
    twice = [("picture", ("a.png", picture)), ("picture", ("b.png", picture))]
    detail_of(web.post(f"{V1}/runs", headers=OURS, files=twice), 400)
    detail_of(web.post(f"{V1}/runs", headers=OURS, files=form(picture=("a", picture)), data={"look": "x" * 9000}), 413)
    assert list((runs / "uploads").glob("*")) == []


def test_uploads_beyond_the_limit_end_while_they_stream(
    web: TestClient, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api._FILE_LIMITS, "picture", 100_000)
    sent = 0

    def body(boundary: str) -> Iterator[bytes]:
        nonlocal sent
        yield f'--{boundary}\r\ncontent-disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'.encode()
        for _ in range(400):
            sent += 10_000
            yield b"x" * 10_000

    kind = {"content-type": "multipart/form-data; boundary=b"}
    detail_of(web.post(f"{V1}/runs", headers={**OURS, **kind}, content=body("b")), 413)  # chunked: no length is told
    detail_of(web.post(f"{V1}/runs", headers={**OURS, **kind, "content-length": "10"}, content=body("b")), 413)
    huge = {**OURS, **kind, "content-length": "1" * 18}
    detail_of(web.post(f"{V1}/runs", headers=huge, content=b"x"), 413)
    assert not list((runs / "uploads").glob("*"))


def test_a_full_disk_is_said_in_one_line(
    web: TestClient, runs: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads._File, "take", full)
    text = detail_of(web.post(f"{V1}/runs", headers=OURS, files=form(picture=("a.png", picture))), 507)
    assert "disk is full" in text
    assert not list((runs / "uploads").glob("*"))


def test_a_player_that_may_not_write_says_so(web: TestClient, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "may_write", lambda runs: False)
    about = web.get(f"{V1}/about").json()
    assert about["can_make"] is False
    assert "may not write" in about["why_not"]
    text = detail_of(web.post(f"{V1}/runs", headers=OURS, files=form(picture=("a.png", picture))), 403)
    assert "may not write" in text
    assert web.get(LAKE).json()["editable"] is False


def test_without_prefect_it_only_shows(runs: Path, picture: bytes) -> None:
    alone = client(runs, None)
    assert alone.get(f"{V1}/about").json()["can_make"] is False
    assert alone.get(f"{V1}/runs").json()["total"] == 3
    detail_of(alone.get(f"{V1}/jobs"), 503)
    detail_of(alone.post(f"{V1}/runs", headers=OURS, files=form(picture=("a.png", picture))), 403)


def test_a_prefect_that_is_down_is_said_in_one_line(runs: Path, picture: bytes) -> None:
    down = client(runs, PrefectApi("http://127.0.0.1:9/api"))
    for answer in (
        down.get(f"{V1}/jobs"),
        down.post(f"{V1}/runs", headers=OURS, files=form(picture=("a.png", picture))),
        down.post(f"{LAKE}/effects/1", headers=OURS, json={"seed": 1}),
    ):
        assert "does not answer" in detail_of(answer, 503)
    assert {path.name for path in runs.iterdir()} == {
        "lake-canon",
        "batch",
        "broken",
        "uploads",
    }  # no folder for no job


def test_a_swap_takes_a_bundled_score_or_a_file(
    web: TestClient, prefect: NotingPrefect, runs: Path, midi: bytes
) -> None:
    assert web.post(f"{LAKE}/songs", headers=OURS, files={"score": (None, "gymnopedie")}).status_code == 202
    assert prefect.last["parameters"]["score"] == "gymnopedie"
    assert prefect.last["parameters"]["run"] == str(runs / "lake-canon")
    other = midi.replace(b"\x5a", b"\x50")
    assert web.post(f"{LAKE}/songs", headers=OURS, files=form(midi=("tune.mid", other))).status_code == 202
    assert Path(prefect.last["parameters"]["score_file"]).name == "tune-2.mid"  # the run has another song of that name
    detail_of(web.post(f"{LAKE}/songs", headers=OURS, files={"look": (None, "dry")}), 422)
    both = {"score": (None, "canon"), "midi": ("x.mid", midi)}
    detail_of(web.post(f"{LAKE}/songs", headers=OURS, files=both), 422)


# Changing


def test_an_edited_scene_becomes_a_job(web: TestClient, prefect: NotingPrefect, runs: Path) -> None:
    run = web.get(LAKE).json()
    scene, base = run["scene"], run["scene_sha256"]
    detail_of(web.put(f"{LAKE}/scene", headers=OURS, json={"scene": scene, "base_sha256": base}), 409)
    scene["sound_sources"][0]["material"] = "wood"
    assert web.put(f"{LAKE}/scene", headers=OURS, json={"scene": scene, "base_sha256": base}).status_code == 202
    asked = prefect.last["parameters"]
    assert json.loads(Path(asked["scene_file"]).read_text()) == scene
    assert asked["base_sha256"] == base
    detail_of(web.put(f"{LAKE}/scene", headers=OURS, json={"scene": scene, "base_sha256": "0" * 64}), 409)
    detail_of(web.delete(f"{LAKE}/scene", headers=OURS), 409)
    detail_of(web.put(f"{LAKE}/scene", headers=OURS, json={"scene": scene}), 422)
    scene["sound_sources"][0]["name"] = "people laughing"
    text = detail_of(web.put(f"{LAKE}/scene", headers=OURS, json={"scene": scene, "base_sha256": base}), 422)
    assert "human voice" in text
    scene["sound_sources"] = scene["sound_sources"][1:2]
    text = detail_of(web.put(f"{LAKE}/scene", headers=OURS, json={"scene": scene, "base_sha256": base}), 422)
    assert "at least 5" in text


def test_an_effect_again_becomes_a_job(web: TestClient, prefect: NotingPrefect) -> None:
    assert web.post(f"{LAKE}/effects/1", headers=OURS, json={"seed": 7}).status_code == 202
    assert prefect.last["parameters"]["seed"] == 7
    seeds = set()
    for _ in range(3):
        web.post(f"{LAKE}/effects/1", headers=OURS, json={"seed": None})
        seeds.add(prefect.last["parameters"]["seed"])
    assert len(seeds) == 3
    detail_of(web.post(f"{LAKE}/effects/999", headers=OURS, json={"seed": 7}), 404)
    detail_of(web.post(f"{LAKE}/effects/0", headers=OURS, json={"seed": 7}), 422)


def test_json_that_is_a_bomb_does_nothing(web: TestClient) -> None:
    for body, status in (
        (b"[" * 200_000, 400),
        (b'{"scene":' * 50_000, 400),
        (b'{"seed": ' + b"9" * 10_000 + b"}", 400),
        (b'{"seed": NaN}', 422),
        (b'{"seed": "\\ud800"}', 422),
        (b"\xff\xfe", 400),
        (b"", 422),
        (b"x" * 1_200_000, 413),
    ):
        answer = web.post(f"{LAKE}/effects/1", headers={**OURS, "content-type": "application/json"}, content=body)
        detail_of(answer, status)


def test_only_our_own_pages_may_change_something(web: TestClient, prefect: NotingPrefect, picture: bytes) -> None:
    def post(**headers: str) -> Any:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.post(f"{V1}/runs", headers=names, files=form(picture=("a.png", picture)))

    for refused in (
        post(),
        post(x_photone="0"),
        post(x_photone="1", origin="http://evil.example"),
        post(x_photone="1", origin="http://127.0.0.1:4281"),
        post(x_photone="1", origin="null"),
        post(x_photone="1", origin="http://["),
        post(x_photone="1", sec_fetch_site="cross-site"),
        post(x_photone="1", sec_fetch_site="same-site"),
    ):
        assert refused.status_code == 403
    assert "X-Photone" in detail_of(post(), 403)
    assert not prefect.runs
    assert post(x_photone="1", origin="http://127.0.0.1:4280", sec_fetch_site="same-origin").status_code == 202
    for method, path in (("PUT", f"{LAKE}/scene"), ("DELETE", f"{LAKE}/scene"), ("POST", f"{LAKE}/effects/1")):
        detail_of(web.request(method, path), 403)
    assert (
        "access-control-allow-origin"
        not in web.options(f"{V1}/runs", headers={"origin": "http://evil.example"}).headers
    )


def test_the_guards_of_the_player_cover_the_api(runs: Path) -> None:
    web = client(runs, None, "me:secret")
    assert web.get(f"{V1}/runs").status_code == 401
    assert web.get(f"{V1}/runs", auth=("me", "secret")).status_code == 200
    assert web.get(f"{V1}/runs", headers={"host": "rebound.example"}, auth=("me", "secret")).status_code == 421
    headers = web.get(f"{V1}/runs/x", auth=("me", "secret")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/app/../player.py", "/app/..%2fplayer.py", "/app/served.py", "/app/", f"{V1}/runs/..%2f..%2fx"]
)
def test_tricks_with_paths_find_nothing(web: TestClient, path: str) -> None:
    assert web.get(path).status_code in (404, 422)


def test_an_address_that_leads_nowhere_is_answered_as_all_of_the_api(web: TestClient) -> None:
    for path in (f"{V1}/nothing", f"{V1}/runs/a%0Ab", f"{V1}/runs/a%0Ab/effects/1"):
        detail_of(web.get(path), 404)


# Jobs


def test_a_job_tells_how_far_it_is(web: TestClient, prefect: NotingPrefect, runs: Path) -> None:
    out = str(runs / "lake-canon")
    made = prefect.add("of-picture-to-song", {"out": out, "score": "canon"}, state_type="RUNNING", name="lake -> canon")
    task = {"flow_run_id": made["id"], "start_time": "2026-01-01T00:00:00Z"}
    prefect.tasks = [
        {**task, "name": "picture", "state_type": "COMPLETED", "state_name": "Cached"},
        {**task, "name": "scene", "state_type": "COMPLETED", "state_name": "Completed"},
        {**task, "name": "effects", "state_type": "RUNNING", "state_name": "Running"},
    ]
    prefect.artifacts = [{"flow_run_id": made["id"], "description": "effects: 3 of 12"}]
    job = web.get(f"{V1}/jobs/{made['id']}").json()
    states = {stage["name"]: (stage["state"], stage["done"], stage["of"]) for stage in job["stages"]}
    assert states["picture"] == ("kept", None, None)
    assert states["effects"] == ("running", 3, 12)
    assert states["song"] == ("waiting", None, None)
    assert 0.1 < job["progress"] < 0.3
    assert job["run"] == run_id("lake-canon")
    made["state_type"] = "FAILED"
    made["state"] = {"message": f"Flow run encountered an exception: PictureError: {runs}/a.png: is\nempty"}
    job = web.get(f"{V1}/jobs/{made['id']}").json()
    assert (job["state"], job["message"]) == ("failed", "a.png: is empty")
    assert [stage["state"] for stage in job["stages"]][2:] == ["cancelled"] * 4
    made["state_type"] = "COMPLETED"
    job = web.get(f"{V1}/jobs/{made['id']}").json()
    assert job["progress"] == 1
    assert job["run_url"] == "/runs/lake-canon/index.html"


def test_jobs_that_work_elsewhere_lead_nowhere(web: TestClient, prefect: NotingPrefect, runs: Path) -> None:
    for out in ("/etc", f"{runs}/../x", "", str(runs), "a\0b"):
        prefect.add("of-picture-to-song", {"out": out}, state_type="COMPLETED")
        job = web.get(f"{V1}/jobs").json()["jobs"][0]
        assert (job["run"], job["run_url"], job["song"]) == (None, None, None)


def test_a_job_that_has_not_begun_is_cancelled_at_once(web: TestClient, prefect: NotingPrefect) -> None:
    made = prefect.add("of-swap-score", {"run": "latest"}, state_type="SCHEDULED")
    assert web.delete(f"{V1}/jobs/{made['id']}", headers=OURS).json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("becomes", "answer"), [("RUNNING", "cancelling"), ("PENDING", "cancelled"), ("FAILED", "failed")]
)
def test_a_job_that_is_about_to_begin_is_cancelled_as_it_begins(
    web: TestClient, prefect: NotingPrefect, monkeypatch: pytest.MonkeyPatch, becomes: str, answer: str
) -> None:
    """Prefect lets a run that was Cancelled while its process started run on."""
    made = prefect.add("of-swap-score", {"run": "latest"}, state_type="PENDING")
    monkeypatch.setattr(jobs, "_BEGINNING_S", 0.5)
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: made.update(state_type=becomes))
    assert web.delete(f"{V1}/jobs/{made['id']}", headers=OURS).json()["state"] == answer


def test_a_job_is_cancelled_once(web: TestClient, prefect: NotingPrefect) -> None:
    made = prefect.add("of-swap-score", {"run": "latest"}, state_type="RUNNING")
    assert web.delete(f"{V1}/jobs/{made['id']}", headers=OURS).json()["state"] == "cancelling"
    made["state_type"] = "CANCELLED"
    detail_of(web.delete(f"{V1}/jobs/{made['id']}", headers=OURS), 409)
    detail_of(web.delete(f"{V1}/jobs/00000000-0000-0000-0000-000000000000", headers=OURS), 404)
    detail_of(web.get(f"{V1}/jobs/..%2f..%2fdeployments"), 404)


# What is said and what is


def test_what_the_document_lists_is_what_there_is(web: TestClient) -> None:
    document = web.get(f"{V1}/openapi.json").json()
    post = document["paths"]["/runs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(post["properties"]["look"]["enum"]) == set(LOOKS)
    assert {look["name"] for look in web.get(f"{V1}/about").json()["looks"]} == set(LOOKS)
    assert [score["name"] for score in web.get(f"{V1}/scores").json()] == list(bundled_scores())
    assert "http" not in json.dumps(document).replace("http://127", "").replace("HTTP", "")


def test_the_gallery_lists_runs_without_a_script(web: TestClient) -> None:
    page = web.get("/").text
    assert "/runs/lake-canon/index.html" in page
    assert "s%C3%A9e%20%26%20%3Cb%3E/index.html" in page
    assert "<b>" not in page.replace("<body>", "")
    assert "<!-- runs -->" not in page
