"""A folder of pictures as a served flow: one run a picture, a report, nothing twice, one worker to a run folder."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from served import REPOSITORY, Up, small_picture, small_score

from core.errors import OutputError
from flows.deployed.deployments import DEPLOYMENTS
from flows.runs import locks
from flows.runs.locks import LOCK_FILE, awaited_run_lock, run_lock


def lock_of(folder: Path, **changes: Any) -> Path:
    """A lock that somebody else has left."""
    folder.mkdir(exist_ok=True)
    path = folder / LOCK_FILE
    path.write_text(json.dumps({"token": "x", "host": socket.gethostname(), "pid": os.getpid()} | changes))
    return path


def dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_two_cannot_hold_one_folder(tmp_path: Path) -> None:
    with run_lock(tmp_path / "run"):
        with pytest.raises(OutputError, match=rf"process {os.getpid()} on .* works on this run: wait") as caught:
            run_lock(tmp_path / "run").__enter__()
        assert caught.value.retryable
    assert not (tmp_path / "run").exists(), "a folder that only held a lock"
    with run_lock(tmp_path):
        assert (tmp_path / LOCK_FILE).is_file()
    assert list(tmp_path.iterdir()) == []


def test_many_who_want_the_same_folder_get_it_one_after_the_other(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def one() -> None:
        async def work() -> None:
            async with awaited_run_lock(tmp_path):
                inside.append(1)
                most.append(len(inside))
                await asyncio.sleep(0.02)
                inside.pop()

        asyncio.run(work())

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("holder", "age_s", "taken"),
    [
        ({"pid": "dead"}, 10, True),
        ({"host": "elsewhere"}, 10, False),
        ({"host": "elsewhere"}, 100, True),
        ({}, 10, False),
        ({}, 100, True),
    ],
    ids=["its process is gone", "another host beats", "another host is silent", "it works here", "it hangs"],
)
def test_only_the_lock_of_a_dead_worker_is_taken_over(
    tmp_path: Path, holder: dict[str, Any], age_s: float, taken: bool
) -> None:
    found = holder | ({"pid": dead_pid()} if holder.get("pid") == "dead" else {})
    path = lock_of(tmp_path, **found)
    os.utime(path, (time.time() - age_s,) * 2)
    if taken:
        with run_lock(tmp_path):
            assert json.loads(path.read_text())["token"] != "x"
        assert not path.exists()
    else:
        with pytest.raises(OutputError, match="works on this run"), run_lock(tmp_path):
            pass
        assert json.loads(path.read_text())["token"] == "x"


def test_the_children_of_a_dead_worker_get_time_to_end(tmp_path: Path) -> None:
    lock_of(tmp_path, pid=dead_pid())
    began = time.monotonic()
    with run_lock(tmp_path):
        assert 2 < time.monotonic() - began < 6


def test_a_lock_that_is_held_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.05)
    with run_lock(tmp_path):
        os.utime(tmp_path / LOCK_FILE, (0, 0))
        time.sleep(0.4)
        assert time.time() - (tmp_path / LOCK_FILE).stat().st_mtime < 5


def test_a_lock_that_cannot_be_read_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text('{"tok')
    with run_lock(tmp_path):
        pass


# What follows runs against the served deployments of the session's `photone up`.


@pytest.fixture(scope="module")
def album(up: Up) -> dict[str, Any]:
    """Two pictures and two that are none, as render-folder is asked for them."""
    folder = up.workspace / "album"
    folder.mkdir()
    for seed, name in enumerate(("lake", "hill")):
        small_picture(folder / f"{name}.png", seed=seed + 20)
    (folder / "torn.jpg").write_bytes((folder / "lake.png").read_bytes()[:300])
    (folder / "empty.png").write_bytes(b"")
    score = small_score(up.workspace / "album.mid")
    return {
        "folder": str(folder),
        "score": "my own file",
        "score_file": str(score),
        "out": str(up.workspace / "runs" / "album"),
        "workers": 2,
        "options": {"compact": True},
    }


def parts_of(up: Up, run: str) -> dict[str, str]:
    """The runs below a run, and how they ended."""
    tasks = up.ask("task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run]}}})
    parents = [task["id"] for task in tasks]
    found = up.ask("flow_runs/filter", {"flow_runs": {"parent_task_run_id": {"any_": parents}}}) if parents else []
    return {each["name"]: each["state_type"] for each in found}


def test_each_picture_is_a_run_and_bad_ones_stop_nothing(up: Up, album: dict[str, Any]) -> None:
    run = up.start("render-folder", **album)
    found = up.wait(run)
    assert (found["state_type"], found["state"]["message"]) == ("COMPLETED", "made 2, unchanged 0, failed 2"), up.logs()
    assert parts_of(up, run) == {
        "lake -> album": "COMPLETED",
        "hill -> album": "COMPLETED",
        "torn -> album": "FAILED",
        "empty -> album": "FAILED",
    }
    out = Path(album["out"])
    assert sorted(path.name for path in out.iterdir()) == ["hill", "lake"]
    assert (out / "lake" / "songs" / "album" / "song.wav").is_file()
    assert list(out.rglob(".*")) == []
    report = up.artifacts(run)["batch"]["data"]
    assert "**2 songs, 2 failed**" in report
    assert report.index("## Failed") < report.index("## Songs")
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in report.splitlines()}
    assert "damaged or cut off" in rows["torn.jpg"]
    assert "is empty: export or download it again" in rows["empty.png"]


def test_the_same_again_makes_nothing_and_is_fast(up: Up, album: dict[str, Any]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(album["out"]).rglob("*") if path.is_file()}
    run = up.start("render-folder", **album)
    found = up.wait(run)
    assert found["state"]["message"] == "made 0, unchanged 2, failed 2"
    assert set(parts_of(up, run)) == {"torn -> album", "empty -> album"}, "a finished picture needs no run"
    assert {path: path.stat().st_mtime_ns for path in Path(album["out"]).rglob("*") if path.is_file()} == before
    print(f"nothing to do: {found['total_run_time']:.1f} s")


def test_a_new_picture_is_all_that_is_made(up: Up, album: dict[str, Any]) -> None:
    small_picture(Path(album["folder"]) / "new.png", seed=30)
    run = up.start("render-folder", **album)
    assert up.wait(run)["state"]["message"] == "made 1, unchanged 2, failed 2"


def test_a_folder_of_nothing_but_bad_pictures_fails(up: Up, album: dict[str, Any]) -> None:
    bad = up.workspace / "bad"
    bad.mkdir()
    (bad / "torn.jpg").write_bytes(b"torn")
    found = up.wait(
        up.start("render-folder", **album | {"folder": str(bad), "out": str(up.workspace / "runs" / "bad")})
    )
    assert found["state_type"] == "FAILED"
    assert "every picture failed" in found["state"]["message"]
    assert "torn.jpg: not a picture" in found["state"]["message"]


def test_what_is_wrong_for_all_is_said_before_any_run(up: Up, album: dict[str, Any]) -> None:
    found = up.wait(run := up.start("render-folder", **album | {"folder": str(up.workspace / "nowhere")}))
    assert found["state_type"] == "FAILED"
    assert "nowhere: no such folder" in found["state"]["message"]
    assert parts_of(up, run) == {}


@pytest.mark.slow
def test_pictures_can_be_spread_over_workers(up: Up, album: dict[str, Any]) -> None:
    asked = album | {"out": str(up.workspace / "runs" / "spread"), "spread": True, "workers": 1}
    only = up.workspace / "only"
    only.mkdir()
    small_picture(only / "lake.png", seed=20)
    (only / "torn.jpg").write_bytes(b"torn")
    run = up.start("render-folder", **asked | {"folder": str(only)})
    found = up.wait(run)
    assert found["state"]["message"] == "made 1, unchanged 0, failed 1", up.logs()
    assert "torn.jpg" in up.artifacts(run)["batch"]["data"]
    songs = up.ask("deployments/name/picture-to-song/picture-to-song")["id"]
    runs = up.ask("flow_runs/filter", {"deployments": {"id": {"any_": [songs]}}})
    assert {str(only / "lake.png"), str(only / "torn.jpg")} <= {each["parameters"].get("picture") for each in runs}


def test_a_nightly_schedule_is_there_and_can_be_edited(up: Up) -> None:
    row = next(row for row in DEPLOYMENTS if row.name == "render-folder")
    found = up.ask("deployments/name/render-folder/render-folder")
    (schedule,) = found["schedules"]
    assert (schedule["schedule"]["cron"], schedule["active"]) == (row.cron, False)
    assert found["global_concurrency_limit"]["limit"] == 1


def test_the_folder_flow_reads_as_a_form(up: Up) -> None:
    properties = up.ask("deployments/name/render-folder/render-folder")["parameter_openapi_schema"]["properties"]
    assert properties["workers"] | {"minimum": 1, "maximum": 64, "default": 2} == properties["workers"]
    assert "one for each processor core" in properties["workers"]["description"].lower()
    assert properties["folder"]["description"] == "Every picture in it becomes a song"
    assert properties["spread"]["default"] is False


def test_the_project_file_deploys_to_a_pool(up: Up, tmp_path: Path) -> None:
    """prefect.yaml by Prefect's own command, under other names so that the served deployments stay as they are."""
    text = (REPOSITORY / "prefect.yaml").read_text()
    for row in DEPLOYMENTS:
        text = text.replace(f"- name: {row.name}\n", f"- name: {row.name}-pool\n")
    (tmp_path / "prefect.yaml").write_text(text)
    environment = {**os.environ, "PREFECT_API_URL": up.api.url, "PREFECT_HOME": str(tmp_path / "home")}
    environment |= {"PYTHONPATH": str(REPOSITORY), "PREFECT_SERVER_EPHEMERAL_ENABLED": "false"}
    for command in (("work-pool", "create", "photone", "--type", "process"), ("--no-prompt", "deploy", "--all")):
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *command], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()[-2000:]
    try:
        for row in DEPLOYMENTS:
            found = up.ask(f"deployments/name/{row.name}/{row.name}-pool")
            served = up.ask(f"deployments/name/{row.name}/{row.name}")
            assert found["work_pool_name"] == "photone"
            assert found["entrypoint"] == served["entrypoint"]
            assert found["parameter_openapi_schema"] == served["parameter_openapi_schema"]
            assert [s["schedule"]["cron"] for s in found["schedules"]] == ([row.cron] if row.cron else [])
    finally:
        for row in DEPLOYMENTS:
            up.api.ask(f"deployments/{up.ask(f'deployments/name/{row.name}/{row.name}-pool')['id']}", method="DELETE")
