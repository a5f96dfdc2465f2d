"""`photone train`: from a soundfont to a model, through a kill; families side by side; the flow on a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import CANCEL_S, Up, processes_below

from core.errors import EngineError, OutputError, UsageError
from flows import timbres
from flows.runs.locks import run_lock
from flows.timbres import TimbreRequest, progress_text, train_families, train_family
from phase2_music.timbre.corpus import make_corpus
from phase2_music.timbre.corpus_gm import FLUIDR3
from phase2_music.timbre.corpus_source import CorpusOptions
from schemas.timbre import TimbreCard

pytestmark = pytest.mark.slow

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("rave", reason="needs the extra train")
needs_soundfont = pytest.mark.skipif(not FLUIDR3.is_file(), reason="Debian's fluid-soundfont-gm is not installed")
REPOSITORY = Path(__file__).parents[2]
LINE = re.compile(r"^keyboard: step (\d+), phase ([12]), ", re.MULTILINE)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "flows.cli", *map(str, arguments)]


def photone(*arguments: object, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment, capture_output=True, text=True, timeout=500, check=False
    )


@pytest.fixture(scope="module")
def bass(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus of a real soundfont, in a folder that has one for each role."""
    folder = tmp_path_factory.mktemp("corpora")
    options = {"key_step": 6, "velocities": (100,), "programs": (32, 33), "duration_s": 0.75, "sample_rate": 16000}
    make_corpus(CorpusOptions("bass", folder / "bass", **options))
    return folder


@needs_soundfont
def test_the_smoke_preset_goes_the_whole_way_through_an_interruption(tmp_path: Path) -> None:
    asked = ("train", "keyboard", "--preset", "smoke", "--out", tmp_path)
    stopped = subprocess.Popen(
        command(*asked, "--lines"), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert stopped.stderr is not None
    assert any((found := LINE.match(line)) and int(found[1]) >= 20 for line in stopped.stderr), "it told no steps"
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate(timeout=200)
    assert stopped.returncode == 1
    assert said.splitlines()[-1] == "photone: interrupted: the same command goes on where it stopped"

    done = photone(*asked, "--lines", "--json")
    assert done.returncode == 0, done.stderr
    steps = [(int(step), int(phase)) for step, phase in LINE.findall(done.stderr)]
    assert steps[0][0] > 20, "it goes on, it does not begin again"
    assert "corpus" not in done.stderr, "the corpus was there"
    assert {phase for _, phase in steps} == {1, 2}
    (made,) = json.loads(done.stdout)
    assert made["steps"] == 120
    assert made["phase_2_step"] == 84
    assert made["finished"]
    assert made["losses"]["whole"] < 0.7 * made["first_losses"]["whole"]
    card = TimbreCard.read(tmp_path / "keyboard" / "model" / "card.json")
    assert card.role == "keyboard"
    assert card.sample_rate == 44100
    assert card.corpus.origin == "FluidR3_GM.sf2"
    assert [program.held_out for program in card.corpus.programs].count(True) == 1
    assert card.training.validations[-2].step == card.training.phase_2_step
    told = [json.loads(line) for line in (tmp_path / "keyboard" / "progress.jsonl").read_text().splitlines()]
    assert told[-1]["step"] == 120
    assert list((tmp_path / "keyboard" / "tensorboard").iterdir())

    again = photone(*asked)
    assert again.returncode == 0
    assert again.stderr == "", "no bar where there is no terminal"
    assert "nothing to do" in again.stdout
    assert str(tmp_path / "keyboard" / "model") in again.stdout


@needs_soundfont
def test_families_train_side_by_side_and_a_failure_stops_no_other(bass: Path, tmp_path: Path) -> None:
    changes = {"steps": 4, "log_every": 2}
    good = TimbreRequest("bass", "smoke", tmp_path / "bass", bass, changes)
    bad = TimbreRequest("guitar", "smoke", tmp_path / "guitar", bass, changes)
    told: list[tuple[str, dict[str, Any]]] = []
    with pytest.raises(EngineError, match=r"^guitar: .*holds no corpus\.json: make it with .*train\.log\)$"):
        train_families([good, bad], lambda role, line: told.append((role, line)))
    assert {role for role, _ in told} == {"bass"}
    assert [line["step"] for _, line in told if line["losses"]][-1] == 4
    assert TimbreCard.read(tmp_path / "bass" / "model" / "card.json").training.steps == 4
    other = TimbreRequest("bass", "smoke", tmp_path / "other", bass / "bass", changes | {"seed": 1})
    made = train_families([good, other])
    assert [trained.unchanged for trained in made] == [True, False]
    assert made[1].card.onnx.sha256 != made[0].card.onnx.sha256


@needs_soundfont
def test_two_trainings_do_not_share_a_folder(bass: Path, tmp_path: Path) -> None:
    request = TimbreRequest("bass", "smoke", tmp_path / "bass", bass, {"steps": 2, "log_every": 1})
    with (
        run_lock(request.out),
        pytest.raises(OutputError, match=rf"^{tmp_path / 'bass'}: process {os.getpid()} on .*: wait"),
    ):
        train_family(request)
    assert not list(tmp_path.rglob("*.pt"))
    assert train_family(request).card.training.steps == 2


@needs_soundfont
def test_a_model_that_lost_a_file_is_exported_again(bass: Path, tmp_path: Path) -> None:
    request = TimbreRequest("bass", "smoke", tmp_path, bass, {"steps": 2})
    first = train_family(request)
    assert not first.unchanged
    assert train_family(request).unchanged
    (first.folder / "model.ts").unlink()
    again = train_family(request)
    assert not again.unchanged
    assert again.card.onnx.sha256 == first.card.onnx.sha256
    # More steps than before: trained on, and exported anew.
    assert train_family(TimbreRequest("bass", "smoke", tmp_path, bass, {"steps": 3})).card.training.steps == 3


@needs_soundfont
def test_corpora_are_made_by_the_command_line(tmp_path: Path) -> None:
    asked = ("train", "corpus", "guitar", "--key-step", 12, "--velocities", "60,120", "--programs", "24,27")
    done = photone(*asked, "--sample-rate", 22050, "--duration", 0.6, "--out", tmp_path / "g", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert sum(report["notes"].values()) >= 20
    assert report["minutes"] > 0
    again = photone(*asked, "--sample-rate", 22050, "--duration", 0.6, "--out", tmp_path / "g")
    assert str(tmp_path / "g") in again.stdout
    assert "MIT" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "drums"), "'drums' is not one of 'keyboard', 'bass', 'guitar'"),
        (("train", "keyboard", "--preset", "huge"), "'huge' is not one of"),
        (("train", "keyboard", "--corpus", "nowhere"), "nowhere/keyboard: holds no corpus.json: make it with"),
        (("train", "keyboard", "--preset", "smoke", "--device", "moon"), "no device 'moon'"),
        (("train", "keyboard", "--minutes", "0"), "'--minutes'"),
        (("train", "corpus", "keyboard", "--soundfont", "no.sf2"), "no.sf2: no such soundfont"),
        (("train", "corpus", "keyboard", "--velocities", "loud"), "expected whole numbers separated by commas"),
        (("train", "corpus", "keyboard", "--source", "nsynth"), "with --nsynth"),
    ],
)
def test_wrong_requests_end_in_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = photone(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr
    assert done.stdout == ""


def test_help_shows_both_ways_and_an_example() -> None:
    group = photone("train", "--help").stdout
    assert "photone train keyboard" in group
    assert "corpus" in group
    for name in ("model", "corpus"):
        assert "Example:" in photone("train", name, "--help").stdout


def test_progress_reads_as_a_sentence() -> None:
    line = {"step": 1200, "phase": 1, "used": 0.12, "steps_per_s": 18.24, "eta_s": 4000.0, "losses": {"whole": 5.1234}}
    assert progress_text(line | {"validation": None}) == (
        "step 1200, phase 1, 12 %, 18.2 steps/s, 1 h 06 min left, whole 5.12"
    )
    point = {"step": 1200, "phase": 1, "distance": 6.5, "latents_95": 12}
    assert progress_text(line | {"losses": {}, "validation": point}).endswith("12 %, validation 6.5 (12 latents)")
    assert progress_text({"corpus": 3, "of": 9}) == "corpus, 3 of 9 notes"


def test_a_role_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no timbre model for 'drums'"):
        TimbreRequest("drums", "smoke", tmp_path)
    with pytest.raises(UsageError, match="choose a multiple of the hop"):
        TimbreRequest("bass", "smoke", tmp_path, None, {"crop": 1000})


def test_the_usual_corpus_is_the_whole_family(tmp_path: Path) -> None:
    request = TimbreRequest("bass", "small", tmp_path)
    assert timbres.corpus_folder(request) == Path("runs/corpus/bass")
    whole = timbres.default_corpus(request, tmp_path)
    assert (whole.programs, whole.key_step, whole.sample_rate) == ((), 1, 44100)


# The flow

FLOW = """
import asyncio, json, sys
from flows.service.server import running_server
with running_server() as url:
    from flows.deployed.training import train_timbre
    folder = asyncio.run(train_timbre(role="bass", preset="smoke", minutes=0.02))
    import httpx
    runs = httpx.post(f"{url}/task_runs/filter", json={}).json()
    shown = httpx.post(f"{url}/artifacts/filter", json={}).json()
    flow = httpx.post(f"{url}/flow_runs/filter", json={}).json()
print(json.dumps({
    "folder": folder,
    "tasks": {run["name"]: [run["tags"], run["state_type"]] for run in runs},
    "flow": [[run["name"], run["state_type"]] for run in flow],
    "artifacts": [[a["key"], a["type"], a["data"]] for a in shown],
}))
"""


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The flow on a server of its own, with a budget of a second."""
    folder = tmp_path_factory.mktemp("flow")
    done = subprocess.run(
        [sys.executable, "-c", FLOW],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout.strip().splitlines()[-1])


@needs_soundfont
@pytest.mark.timeout(600)  # a server of its own begins, on machines that do more than this
def test_the_flow_trains_and_shows_its_progress(flow_run: tuple[Path, dict[str, Any]]) -> None:
    folder, seen = flow_run
    model = folder / seen["folder"]
    assert model == folder / "runs" / "timbres" / "smoke" / "bass" / "model"
    card = TimbreCard.read(model / "card.json")
    assert card.role == "bass"
    assert seen["flow"] == [["train bass", "COMPLETED"]]
    tasks = {name: value for name, value in seen["tasks"].items() if name.startswith(("corpus", "train"))}
    assert tasks == {"corpus bass": [[], "COMPLETED"], "train bass": [[], "COMPLETED"]}
    bars = {key: data for key, kind, data in seen["artifacts"] if kind == "progress"}
    assert bars == {"corpus-bass": 100.0, "train-bass": 100.0}
    report = next(data for _, kind, data in seen["artifacts"] if kind == "markdown")
    assert f"bass: {card.training.steps} steps" in report
    assert "| whole |" in report


@needs_soundfont
@pytest.mark.timeout(600)
def test_a_cancelled_training_works_no_more_and_can_be_started_again(up: Up) -> None:
    run = up.start("train-timbre", role="guitar", preset="smoke", minutes=0.6)
    folder = up.workspace / "runs" / "timbres" / "smoke" / "guitar"
    _wait_for(lambda: _steps(folder) >= 10, 240, up)
    hands = processes_below(up.state["worker"], "flows.runs.stagehand")
    assert hands
    up.ask(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}, "force": False})
    _wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in hands), CANCEL_S, up)
    assert up.wait(run, limit_s=30)["state_type"] == "CANCELLED"
    assert not (folder / "model").exists()

    again = up.start("train-timbre", role="guitar", preset="smoke", minutes=0.6)
    assert up.wait(again, limit_s=300)["state_type"] == "COMPLETED", up.logs()
    card = TimbreCard.read(folder / "model" / "card.json")
    assert card.training.finished


def _steps(folder: Path) -> int:
    """The last step that a training told of."""
    path = folder / "progress.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return max((int(json.loads(line)["step"]) for line in lines if line.endswith("}")), default=0)


def _wait_for(happened: Callable[[], bool], limit_s: float, up: Up) -> None:
    end = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < end, up.logs()
        time.sleep(0.1)
