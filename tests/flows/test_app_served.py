"""The gallery's API on the real thing: from an uploaded picture to a finished song, and changes to it, through Prefect."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import Up, small_picture, small_score

from core.manifest import sha256_file
from flows.service.app.folders import run_id
from schemas.effect import Effects
from schemas.run import Run
from schemas.song import Song

OURS = {"X-Photone": "1"}


class Gallery:
    """What the gallery's page does, without the page."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.web = httpx.Client(base_url=f"{up.player}/api/v1", headers=OURS, timeout=30)

    def start(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = self.web.request(method, path, **body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        return dict(self.web.get(f"/jobs/{job['id']}").json())

    def wait(
        self, job: dict[str, Any], until: Callable[[dict[str, Any]], bool] | None = None, limit_s: float = 150
    ) -> dict[str, Any]:
        """Look at a job as the page does until it has ended, or is as wanted."""
        end = time.monotonic() + limit_s
        while True:
            now = self.job(job)
            if until(now) if until else now["state"] in ("done", "failed", "cancelled"):
                return now
            assert time.monotonic() < end, (now, self.up.logs())
            time.sleep(0.3)

    def detail(self, run: str) -> dict[str, Any]:
        return dict(self.web.get(f"/runs/{run}").json())


@pytest.fixture
def gallery(up: Up) -> Gallery:
    return Gallery(up)


@pytest.fixture
def run(up: Up, small_run: Path, request: pytest.FixtureRequest) -> Path:
    """A finished run of this test's own among the served ones."""
    return shutil.copytree(small_run, up.workspace / "runs" / request.node.name.replace("_", "-"))


def marks(run: Path) -> dict[str, tuple[str, int]]:
    files = (path for path in run.rglob("*") if path.is_file())
    return {path.relative_to(run).as_posix(): (sha256_file(path), path.stat().st_mtime_ns) for path in files}


def test_an_uploaded_picture_becomes_a_song(gallery: Gallery, tmp_path: Path) -> None:
    picture, score = small_picture(tmp_path / "my lake.png", seed=3), small_score(tmp_path / "own tune.mid")
    files = {"picture": ("my lake.png", picture.read_bytes()), "midi": ("own tune.mid", score.read_bytes())}
    job = gallery.start("POST", "/runs", files=files, data={"compact": "true", "preview_s": "2"})
    assert (job["kind"], job["name"]) == ("make", "my-lake -> own-tune")
    assert job["id"] in [each["id"] for each in gallery.web.get("/jobs").json()["jobs"]]
    seen: list[float] = []

    def ended(now: dict[str, Any]) -> bool:
        seen.append(now["progress"])
        return now["state"] in ("done", "failed", "cancelled")

    done = gallery.wait(job, ended)
    assert done["state"] == "done", done
    assert seen == sorted(seen)
    assert any(0 < share < 1 for share in seen)
    assert [stage["name"] for stage in done["stages"]][-1] == "song"
    with urllib.request.urlopen(gallery.up.player + done["song"]) as answer:
        assert answer.headers["content-type"] == "audio/wav"
        assert len(answer.read()) > 100_000
    run = gallery.detail(done["run"])
    assert run["title"] == "my-lake"
    assert run["editable"] is True
    assert run["songs"][0]["preview"] is True


def test_a_dropped_midi_file_is_played_by_the_band(gallery: Gallery, run: Path, tmp_path: Path) -> None:
    before = marks(run / "instruments")
    score = small_score(tmp_path / "x.mid").read_bytes().replace(b"\x5a", b"\x50")
    path = f"/runs/{run_id(run.name)}/songs"
    job = gallery.start("POST", path, files={"midi": ("../evil <b>.mid", score)}, data={"preview_s": "2"})
    done = gallery.wait(job)
    assert done["state"] == "done", done
    assert done["song"] == f"/runs/{run.name}/songs/evil-b-preview/song.wav"
    assert marks(run / "instruments") == before
    assert "evil-b-preview" in {song["name"] for song in gallery.detail(run_id(run.name))["songs"]}


@pytest.mark.slow
def test_an_edited_source_rebuilds_only_what_depends_on_it(gallery: Gallery, run: Path) -> None:
    detail = gallery.detail(run_id(run.name))
    number = next(casting["number"] for casting in detail["casting"] if casting["role"] == "bass")
    effect = next(each for each in detail["effects"] if each["number"] == number)
    scene = detail["scene"]
    scene["sound_sources"][effect["source_index"]]["variants"][effect["variant_index"]]["timbre"] = ["dull", "long"]
    before, cast = marks(run), Run.read(run / "run.json").casting
    body = {"scene": scene, "base_sha256": detail["scene_sha256"]}
    done = gallery.wait(gallery.start("PUT", f"/runs/{run_id(run.name)}/scene", json=body))
    assert done["state"] == "done", done
    after, now = marks(run), Run.read(run / "run.json").casting
    touched = {name for name in after if before.get(name) != after[name]}
    effects = {each.number: each for each in Effects.read(run / "effects" / "effects.json").effects}
    assert {name for name in touched if name.endswith(".wav") and name.startswith("effects/")} == {
        f"effects/{effects[number].file}"
    }

    def played_by(casting: Any) -> dict[str, list[int]]:
        return {
            role: [each.number for each in casting if each.role == role]
            for role in ("keyboard", "bass", "guitar", "drums")
        }

    old, new = played_by(cast), played_by(now)
    dependents = {role for role in new if new[role] != old[role] or number in new[role]}
    assert dependents
    assert {name.split("/")[1] for name in touched if name.startswith("instruments/")} == dependents
    assert gallery.detail(run_id(run.name))["scene_edited"] is True
    present = {path.parent.name: sha256_file(path) for path in run.glob("instruments/*/*.sf2")}
    for path in run.glob("songs/*/song.json"):
        assert Song.read(path).instruments == present
    refused = gallery.web.put(f"/runs/{run_id(run.name)}/scene", json=body)
    assert refused.status_code == 409
    done = gallery.wait(gallery.start("DELETE", f"/runs/{run_id(run.name)}/scene"))
    assert done["state"] == "done", done
    assert after["scene-original.json"][0] == sha256_file(run / "scene.json") == before["scene.json"][0]


def test_one_effect_is_made_again(gallery: Gallery, run: Path) -> None:
    before = marks(run / "effects")
    done = gallery.wait(gallery.start("POST", f"/runs/{run_id(run.name)}/effects/2", json={"seed": 11}))
    assert done["state"] == "done", done
    after = marks(run / "effects")
    assert sorted(name[:3] for name in after if before[name] != after[name]) == ["02_", "eff"]
    detail = gallery.detail(run_id(run.name))
    assert [effect["number"] for effect in detail["effects"] if effect["made_again"]] == [2]
    assert all(song["current"] for song in detail["songs"])


def test_a_job_is_cancelled_and_nothing_is_half_written(gallery: Gallery, run: Path) -> None:
    detail = gallery.detail(run_id(run.name))
    scene = detail["scene"]
    for source in scene["sound_sources"]:
        source["material"] = "thin metal"
    body = {"scene": scene, "base_sha256": detail["scene_sha256"]}
    job = gallery.start("PUT", f"/runs/{run_id(run.name)}/scene", json=body)
    gallery.wait(job, lambda now: now["stages"][1]["state"] == "running" or now["progress"] > 0.1)
    answer = gallery.web.delete(f"/jobs/{job['id']}")
    assert answer.status_code == 202, answer.text
    done = gallery.wait(job, limit_s=60)
    assert (done["state"], done["song"]) == ("cancelled", None)
    assert gallery.web.delete(f"/jobs/{job['id']}").status_code == 409
    assert list(run.rglob(".photone-tmp-*")) == []
    assert Run.read(run / "run.json")
    assert json.loads((run / "scene.json").read_text())


def test_a_job_that_fails_says_why_in_one_line(gallery: Gallery, run: Path) -> None:
    document = json.loads((run / "run.json").read_text())
    document["asked"]["effects"] = "folder:/etc"
    (run / "run.json").write_text(json.dumps(document))
    done = gallery.wait(gallery.start("POST", f"/runs/{run_id(run.name)}/effects/1", json={"seed": 1}))
    assert done["state"] == "failed"
    assert "/etc: lies outside the folders" in done["message"]
    assert "\n" not in done["message"]


def test_the_gallerys_page_is_served_with_its_script(gallery: Gallery) -> None:
    page = httpx.get(gallery.up.player + "/")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    for name in ("app.js", "app.css"):
        if f"/app/{name}" in page.text:
            answer = httpx.get(f"{gallery.up.player}/app/{name}")
            assert answer.status_code == 200
            again = httpx.get(f"{gallery.up.player}/app/{name}", headers={"if-none-match": answer.headers["etag"]})
            assert again.status_code == 304
