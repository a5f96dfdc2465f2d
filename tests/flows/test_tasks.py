"""Tasks: a stage is done again when something of it changed and only then; a cancel, a kill or an error leaves nothing half."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from served import CANCEL_S, REPOSITORY, Up, gone, processes_below, small_picture, small_score

from core.audio import read_audio
from core.errors import DiskFullError, EngineError, PictureError
from core.manifest import TEMPORARY_PREFIX
from flows.runs import songs, stages
from flows.runs.crash import StageCrashError
from flows.runs.ledger import Examination, Ledger, UndoneError
from flows.runs.songs import SongOptions
from flows.runs.stagehand import STAGEHANDS, Stagehand
from flows.runs.stages import MakeOptions, finished, make
from flows.runs.staging import option_values

INSTRUMENTS = {"instrument-keyboard", "instrument-bass", "instrument-guitar", "instrument-drums"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> MakeOptions:
    """A small finished run."""
    folder = tmp_path_factory.mktemp("tasks")
    small_score(folder / "tune.mid")
    options = MakeOptions(
        small_picture(folder / "lake.png"), folder / "run", compact=True, song=SongOptions(str(folder / "tune.mid"))
    )
    make(options)
    return options


class Seen(Examination):
    """Notes which stages are to be done, and goes on."""

    undone: set[str]

    def stage(self, name: str, depends_on: dict[str, Any], work: Callable[[], Any]) -> bool:
        try:
            return super().stage(name, depends_on, work)
        except UndoneError:
            self.undone.add(name)
            return False


def undone(options: MakeOptions) -> set[str]:
    """Every stage that would be done again, each looked at on its own."""
    ledger = Seen(options.out)
    ledger.undone = set()
    for stage in (
        stages.picture_stage,
        stages.scene_stage,
        stages.effects_stage,
        stages.casting_stage,
        stages.instruments_stage,
    ):
        stage(ledger, options)
    songs.song_stage(ledger, options.song)
    return ledger.undone


def with_info(monkeypatch: pytest.MonkeyPatch, stage: str, **changes: Any) -> None:
    """Let the engine of a stage be another version, or have other weights."""
    table = {"vision": stages.VISION_ENGINES, "effects": stages.EFFECTS_ENGINES, "timbre": stages.TIMBRE_ENGINES}[stage]

    def load(spec: str, key: str = "") -> Any:
        engine = original(table, spec, key)
        engine.info = dataclasses.replace(engine.info, **changes)
        return engine

    original = type(table).load
    monkeypatch.setattr(
        type(table), "load", lambda self, spec, key="": load(spec, key) if self is table else original(self, spec, key)
    )


def test_nothing_is_done_again_when_nothing_changed(run: MakeOptions) -> None:
    assert undone(run) == set()
    assert finished(run) == run.out / "songs" / "tune"


def test_looking_writes_nothing(run: MakeOptions) -> None:
    def states() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in [run.out, *run.out.rglob("*")]}

    before = states()
    finished(run)
    assert states() == before


def test_another_picture_is_looked_at(run: MakeOptions, tmp_path: Path) -> None:
    other = dataclasses.replace(run, picture=small_picture(tmp_path / "lake.png", seed=1))
    assert undone(other) == {"picture"}
    with pytest.raises(UndoneError, match="picture"):
        finished(other)


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"seed": 1}, {"effects", *INSTRUMENTS}),
        ({"compact": False}, INSTRUMENTS),
        ({"cast": {"bass": [2]}}, {"casting"}),
        ({"timbre": "none"}, INSTRUMENTS),
    ],
)
def test_another_option_does_its_stages_again(run: MakeOptions, changes: dict[str, Any], again: set[str]) -> None:
    assert undone(dataclasses.replace(run, **changes)) == again


def test_another_score_is_another_song(run: MakeOptions) -> None:
    assert undone(dataclasses.replace(run, song=SongOptions("canon"))) == {"song-canon"}


@pytest.mark.parametrize(("stage", "again"), [("vision", {"scene"}), ("effects", {"effects"}), ("timbre", INSTRUMENTS)])
@pytest.mark.parametrize("changes", [{"version": "new"}, {"weights_sha256": "1" * 64}], ids=["version", "weights"])
def test_another_engine_version_or_weights_do_its_stage_again(
    run: MakeOptions, monkeypatch: pytest.MonkeyPatch, stage: str, again: set[str], changes: dict[str, str]
) -> None:
    with_info(monkeypatch, stage, **changes)
    assert undone(run) == again


@pytest.mark.parametrize(
    ("pattern", "again"),
    [
        ("picture.jpg", {"picture", "scene"}),
        ("scene.json", {"scene", "effects"}),
        ("effects/01_*.wav", {"effects"}),
        ("instruments/bass/bass.sfz", {"instrument-bass"}),
        ("timbres/bass.wav", {"instrument-bass"}),
        ("songs/tune/song.wav", {"song-tune"}),
    ],
)
def test_an_altered_file_is_made_again(run: MakeOptions, pattern: str, again: set[str]) -> None:
    path = next(run.out.glob(pattern))
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert undone(run) == again
    finally:
        path.write_bytes(whole)
    assert undone(run) == set()


@pytest.mark.parametrize(
    ("pattern", "stage"),
    [("effects/01_*.wav", "effects"), ("songs/tune/stems/bass.wav", "song-tune"), ("index.html", "page")],
)
def test_a_lost_file_is_made_again(run: MakeOptions, pattern: str, stage: str) -> None:
    path = next(run.out.glob(pattern))
    whole = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(UndoneError, match=stage):
            finished(run)
    finally:
        path.write_bytes(whole)


def half_files(folder: Path) -> list[str]:
    """What is half written, or a lock that nobody lifted."""
    return [path.name for path in folder.rglob(".*")]


def begun(folder: Path, values: dict[str, Any]) -> None:
    """Bring a run as far as its scene."""

    async def work() -> None:
        await STAGEHANDS.do("picture", values)
        await STAGEHANDS.do("scene", values)

    asyncio.run(work())


def test_a_stage_that_is_given_up_ends_at_once_and_leaves_whole_files(run: MakeOptions, tmp_path: Path) -> None:
    from flows.deployed.tasks import _do

    values = option_values(dataclasses.replace(run, out=tmp_path / "run"))
    begun(tmp_path / "run", values)
    before = (tmp_path / "run" / "scene.json").stat().st_mtime_ns

    async def given_up() -> tuple[int, float]:
        hand = STAGEHANDS._idle[-1]
        task = asyncio.create_task(_do("effects", values["out"], values))
        while not list((tmp_path / "run").glob(f"effects/{TEMPORARY_PREFIX}*")):
            assert not task.done(), "it was over before a half-written file was seen"
            await asyncio.sleep(0)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return hand.pid, time.monotonic() - began

    pid, took_s = asyncio.run(given_up())
    assert took_s < 2
    assert not Path(f"/proc/{pid}").exists()
    assert half_files(tmp_path / "run") == []
    for effect in (tmp_path / "run" / "effects").glob("*.wav"):
        assert read_audio(effect).samples.size
    assert not (tmp_path / "run" / "effects" / "effects.json").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["stages"][-1]["name"] == "scene"
    done = asyncio.run(STAGEHANDS.do("scene", values))
    assert done["stages"] == {"scene": True}
    assert (tmp_path / "run" / "scene.json").stat().st_mtime_ns == before


def test_a_time_out_ends_the_work_too(run: MakeOptions, tmp_path: Path) -> None:
    from flows.deployed.tasks import _do

    values = option_values(dataclasses.replace(run, out=tmp_path / "run"))
    begun(tmp_path / "run", values)

    async def timed_out() -> int:
        pid = STAGEHANDS._idle[-1].pid
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await _do("effects", values["out"], values)
        return pid

    assert not Path(f"/proc/{asyncio.run(timed_out())}").exists()
    assert half_files(tmp_path / "run") == []


def test_a_full_disk_in_the_middle_leaves_no_half_file(
    run: MakeOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dataclasses.replace(run, out=tmp_path / "run")
    write = soundfile.write

    def fills(path: Path, *rest: Any, **more: Any) -> None:
        write(path, *rest, **more)
        if "03_" in path.name:
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("core.audio.soundfile.write", fills)
        with pytest.raises(DiskFullError, match="the disk is full"):
            make(options)
    assert half_files(tmp_path / "run") == []
    assert len(list((tmp_path / "run" / "effects").glob("*.wav"))) == 2
    finished_before = (tmp_path / "run" / "scene.json").stat().st_mtime_ns
    stages.effects_stage(ledger := Ledger.open(options.out, options.seed), options)
    assert not ledger.passed_over["effects"]
    assert (tmp_path / "run" / "scene.json").stat().st_mtime_ns == finished_before


def test_a_stagehand_that_dies_is_a_retryable_error_and_is_replaced(run: MakeOptions, tmp_path: Path) -> None:
    values = option_values(dataclasses.replace(run, out=tmp_path / "run"))
    begun(tmp_path / "run", values)

    async def killed() -> None:
        hand = STAGEHANDS._idle[-1]
        threading.Timer(0.3, os.kill, (hand.pid, signal.SIGKILL)).start()
        await STAGEHANDS.do("effects", values)

    with pytest.raises(EngineError, match=r"stage effects: its process ended with SIGKILL: .*fewer workers") as caught:
        asyncio.run(killed())
    assert caught.value.retryable
    assert asyncio.run(STAGEHANDS.do("scene", values))["stages"] == {"scene": True}


def test_errors_come_through_as_they_are(run: MakeOptions, tmp_path: Path) -> None:
    values = option_values(dataclasses.replace(run, picture=tmp_path / "nowhere.jpg", out=tmp_path / "run"))
    with pytest.raises(PictureError, match=r"nowhere.jpg: no such picture file") as caught:
        asyncio.run(STAGEHANDS.do("picture", values))
    assert not caught.value.retryable
    with pytest.raises(StageCrashError, match="KeyError: 'picture'"):
        asyncio.run(STAGEHANDS.do("picture", {}))


def test_a_stagehand_ends_with_its_parent() -> None:
    code = (
        "import os; from flows.runs.stagehand import Stagehand; hand = Stagehand(); print(hand.pid, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert gone(int(done.stdout))


def test_prints_of_libraries_do_not_disturb(run: MakeOptions) -> None:
    hand = Stagehand()
    try:
        told: list[str] = []
        assert hand.ask("finished", option_values(run), told.append) == {"song_folder": str(run.out / "songs" / "tune")}
    finally:
        hand.kill()


# What follows runs against the served deployments of the session's `photone up`.


def tasks_of(up: Up, run_id: str) -> dict[str, dict[str, Any]]:
    found = up.ask("task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run_id]}}})
    return {each["name"]: each for each in found}


def test_a_served_run_is_cancelled_goes_on_and_is_then_cached(up: Up) -> None:
    picture = small_picture(up.workspace / "cancelled.png", seed=5)
    score = small_score(up.workspace / "short.mid")
    given = {"picture": str(picture), "score": "my own file", "score_file": str(score)}
    given |= {"out": str(up.workspace / "runs" / "cancelled"), "options": {"compact": True}}
    out = up.workspace / "runs" / "cancelled"

    first = up.start("picture-to-song", **given)
    end = time.monotonic() + 90
    while not list(out.glob("effects/*.wav")):
        assert time.monotonic() < end, up.logs()
        time.sleep(0.02)
    hands = processes_below(up.state["worker"], "flows.runs.stagehand")
    assert hands, "nobody is at work"
    began = time.monotonic()
    up.ask(f"flow_runs/{first}/set_state", {"state": {"type": "CANCELLING"}, "force": False})
    while any(Path(f"/proc/{pid}").exists() for pid in hands):
        assert time.monotonic() - began < CANCEL_S, "the work goes on"
        time.sleep(0.02)
    print(f"cancelled: no work left after {time.monotonic() - began:.2f} s")
    assert up.wait(first, limit_s=30)["state_type"] == "CANCELLED"
    assert not (out / "effects" / "effects.json").exists()

    assert up.wait(up.start("picture-to-song", **given))["state_type"] == "COMPLETED", up.logs()
    assert half_files(out) == []
    stages_made = {stage["name"]: stage["cached"] for stage in json.loads((out / "run.json").read_text())["stages"]}
    assert stages_made["picture"]
    assert stages_made["scene"]
    assert not stages_made["effects"]

    (out / "effects" / "effects.json").touch()
    (out / "songs" / "short" / "stems" / "bass.wav").unlink()
    third = up.start("picture-to-song", **given)
    assert up.wait(third)["state_type"] == "COMPLETED"
    tasks = tasks_of(up, third)
    assert {name: task["state_name"] for name, task in tasks.items()} == {
        **dict.fromkeys(("picture", "scene", "effects", "casting", "instruments"), "Cached"),
        "song": "Completed",
    }
    assert tasks["scene"]["state"]["message"] == "unchanged, not made again"
    assert "song-short" in tasks["song"]["state"]["message"]


_RETRIES = """
import asyncio, json
from prefect import flow
from core.errors import DiskFullError, EngineError, PictureError
from flows.deployed import tasks
tried = []
def flaky(error, name):
    async def work():
        tried.append(name)
        raise error
    return tasks.task(name=name, **{**tasks._TRIES, "retry_delay_seconds": 0})(work)
@flow
async def once(error, name):
    await flaky(error, name)()
for name, error in (("busy", EngineError("busy", retryable=True)), ("bad", PictureError("bad")), ("bug", KeyError("x"))):
    try:
        asyncio.run(once(error, name))
    except Exception:
        pass
print(json.dumps({name: tried.count(name) for name in tried}))
"""

_GPU = """
import asyncio, json, time
from prefect import flow
from flows.deployed import tasks
from phase1_sound.effects import EFFECTS_ENGINES
spans = []
@tasks.task
async def stage(spec):
    async with await tasks._gpu(EFFECTS_ENGINES, spec):
        began = time.monotonic()
        await asyncio.sleep(0.3)
        spans.append([spec, began, time.monotonic()])
@flow
async def several():
    await asyncio.gather(*(stage(spec) for spec in ("audioldm2", "stable-audio", "foley", "foley")))
asyncio.run(several())
print(json.dumps(spans))
"""


def script(up: Up, code: str) -> Any:
    environment = {**os.environ, "PREFECT_API_URL": up.api.url, "PREFECT_SERVER_EPHEMERAL_ENABLED": "false"}
    environment |= {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_HOME": str(up.workspace / "client")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_only_what_may_succeed_later_is_tried_again(up: Up) -> None:
    assert script(up, _RETRIES) == {"busy": 3, "bad": 1, "bug": 1}


def test_gpu_engines_queue_and_others_do_not(up: Up) -> None:
    spans = script(up, _GPU)
    gpu = sorted((begin, end) for spec, begin, end in spans if spec != "foley")
    cpu = sorted((begin, end) for spec, begin, end in spans if spec == "foley")
    assert gpu[0][1] <= gpu[1][0], "two at the GPU at the same time"
    assert cpu[1][0] < cpu[0][1], "processor engines waited for each other"
    assert up.ask("v2/concurrency_limits/gpu")["limit"] == 1
