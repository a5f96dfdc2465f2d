"""A folder of pictures: each gets its run, one bad picture stops nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from served import REPOSITORY, Up, small_picture, small_score

from core.errors import DiskFullError, EngineError, OutputError, PictureError, ScoreError, UsageError
from flows.batch import RunnerName, list_pictures, make_batch, run_folders, summary_of
from flows.runs.outcome import BatchResult
from flows.runs.songs import SongOptions
from flows.runs.stagehand import Stagehand
from flows.runs.stages import MakeOptions


@dataclass
class Maker:
    """Stands for `make_stored`: keeps what it was asked for and fails for the pictures named in `errors`."""

    asked: list[MakeOptions]
    errors: dict[str, Exception]

    def __call__(self, options: MakeOptions, address: str, report: Any) -> SimpleNamespace:
        self.asked.append(options)
        report("scene")
        if options.picture.name in self.errors:
            raise self.errors[options.picture.name]
        stages = [SimpleNamespace(name=name, cached=options.picture.name == "b.png") for name in ("scene", "song")]
        run = SimpleNamespace(stages=stages)
        return SimpleNamespace(song_path=options.out / "songs" / options.song.score / "song.wav", run=run)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    made = Maker([], {})
    monkeypatch.setattr("flows.runs.outcome.make_stored", made)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "holiday"
    path.mkdir()
    for name in ("b.png", "a.jpg", "c.JPEG"):
        (path / name).write_bytes(b"picture")
    return path


def test_every_picture_gets_a_run_in_order(folder: Path, maker: Maker, tmp_path: Path) -> None:
    results = make_batch(folder, tmp_path / "out", SongOptions(), seed=3, timbre="none")
    assert [result.picture.name for result in results] == ["a.jpg", "b.png", "c.JPEG"]
    assert [result.song for result in results] == [tmp_path / "out" / n / "songs" / "canon" / "song.wav" for n in "abc"]
    assert [result.error for result in results] == [None] * 3
    assert {(o.seed, o.timbre, o.song.score) for o in maker.asked} == {(3, "none", "canon")}
    assert [options.out for options in maker.asked] == [tmp_path / "out" / n for n in "abc"]


def test_a_mistake_of_ours_stops_nothing_either(folder: Path, maker: Maker, tmp_path: Path) -> None:
    maker.errors["a.jpg"] = ValueError("too many\nlines here")
    results = make_batch(folder, tmp_path / "out", SongOptions())
    assert results[0].error == "a mistake in photone (ValueError: lines here): please report it"
    assert summary_of(results) == {"made": 1, "unchanged": 1, "failed": 1}


@pytest.mark.parametrize("error", [PictureError("a.jpg: not a picture"), EngineError("busy"), DiskFullError("full")])
def test_one_bad_picture_stops_nothing(folder: Path, maker: Maker, tmp_path: Path, error: Exception) -> None:
    maker.errors["a.jpg"] = error
    results = make_batch(folder, tmp_path / "out", SongOptions())
    assert [result.error for result in results] == [str(error), None, None]
    assert [result.song is None for result in results] == [True, False, False]
    first = results[0].as_json()
    assert first.pop("elapsed_s") >= 0
    rest = {"unchanged": False, "cached": []}
    assert first == {"picture": str(folder / "a.jpg"), "song": None, "error": str(error), **rest}
    assert BatchResult.from_json(results[1].as_json()).song == results[1].song
    assert results[1].as_json()["song"] == str(tmp_path / "out" / "b" / "songs" / "canon" / "song.wav")


def test_progress_names_the_picture(folder: Path, maker: Maker, tmp_path: Path) -> None:
    told: list[str] = []
    make_batch(folder, tmp_path / "out", SongOptions(), told.append)
    assert told == ["a.jpg: scene", "b.png: scene", "c.JPEG: scene"]


def test_hidden_and_other_files_are_left_out(folder: Path) -> None:
    for name in (".d.jpg", "._a.jpg", "notes.txt", "e.mp4", "jpg"):
        (folder / name).write_bytes(b"x")
    (folder / "more").mkdir()
    (folder / "more" / "f.jpg").write_bytes(b"x")
    assert [path.name for path in list_pictures(folder)] == ["a.jpg", "b.png", "c.JPEG"]


def test_pictures_of_the_same_stem_get_runs_of_their_own() -> None:
    pictures = [Path("x/sea.jpg"), Path("x/sea.png"), Path("x/kettle.jpg")]
    assert run_folders(pictures, Path("out")) == [Path("out/sea.jpg"), Path("out/sea.png"), Path("out/kettle")]


def test_a_folder_without_pictures_is_named(tmp_path: Path, maker: Maker) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match=r"empty: holds no picture \(\.jpg, .*\): choose another folder"):
        make_batch(tmp_path / "empty", tmp_path / "out", SongOptions())
    with pytest.raises(PictureError, match="nowhere: no such folder: check the path"):
        make_batch(tmp_path / "nowhere", tmp_path / "out", SongOptions())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("score", "options", "error", "message"),
    [
        ("canon", {"effects": "nonesuch"}, UsageError, "no effects engine is called 'nonesuch': choose one of "),
        ("canon", {"vision": "sidecar"}, UsageError, "needs the path of a scene.json"),
        ("nonesuch", {}, ScoreError, "nonesuch"),
    ],
)
def test_what_is_wrong_for_all_is_said_once(
    folder: Path,
    maker: Maker,
    tmp_path: Path,
    score: str,
    options: dict[str, str],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        make_batch(folder, tmp_path / "out", SongOptions(score), **options)
    assert maker.asked == []
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_said_before_any_work(folder: Path, maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="out: is a file, not a folder"):
        make_batch(folder, tmp_path / "out", SongOptions())
    assert maker.asked == []


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two real pictures and one that is none, and a short score."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(("hill", "lake")):
        small_picture(folder / f"{name}.png", seed=seed + 40)
    (folder / "torn.jpg").write_bytes(b"torn")
    score = small_score(folder.parent / "batch.mid")
    return {"folder": folder, "song": SongOptions(str(score)), "compact": True}


@pytest.fixture(scope="module")
def alone(asked: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same made one after the other, in this process."""
    out = tmp_path_factory.mktemp("alone")
    assert summary_of(make_batch(out=out, **asked)) == {"made": 2, "unchanged": 0, "failed": 1}
    return out


def bytes_of(out: Path) -> dict[str, bytes]:
    names = ("scene.json", "effects/effects.json", "instruments/bass/bass.sf2", "songs/batch/song.wav")
    return {f"{run}/{name}": (out / run / name).read_bytes() for run in ("hill", "lake") for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["process", "thread"])
def test_several_at_a_time_make_the_same_bytes(
    asked: dict[str, Any], alone: Path, tmp_path: Path, runner: RunnerName
) -> None:
    results = make_batch(out=tmp_path, runner=runner, workers=2, **asked)
    assert [result.picture.stem for result in results] == ["hill", "lake", "torn"]
    assert "torn.jpg: not a picture" in str(results[2].error)
    assert bytes_of(tmp_path) == bytes_of(alone)
    again = make_batch(out=tmp_path, runner=runner, workers=2, **asked)
    assert summary_of(again) == {"made": 0, "unchanged": 2, "failed": 1}


@pytest.mark.slow
def test_dask_makes_the_same_bytes_as_a_tracked_flow(
    up: Up, asked: dict[str, Any], alone: Path, tmp_path: Path
) -> None:
    command = ["batch", asked["folder"], "--out", tmp_path / "out", "--score", asked["song"].score]
    result = subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, command), "--runner", "dask", "--workers", "2", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PREFECT_API_URL": up.api.url, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr  # one picture is none
    assert [outcome["error"] is None for outcome in json.loads(result.stdout)] == [True, True, False]
    for run in ("hill", "lake"):
        made, plain = (out / run / "effects" / "effects.json" for out in (tmp_path / "out", alone))
        assert made.read_bytes() == plain.read_bytes()
    assert any(
        run["state_type"] == "COMPLETED"
        for run in up.ask("flow_runs/filter", {"flows": {"name": {"any_": ["batch-dask"]}}})
    )


@pytest.mark.slow
def test_a_child_that_is_killed_fails_its_picture_only(
    asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands: list[Stagehand] = []
    ask = Stagehand.ask

    def noted(self: Stagehand, stage: str, values: dict[str, Any], told: Any) -> Any:
        hands.append(self)
        if values["picture"].endswith("hill.png"):
            threading.Timer(1.0, self.kill).start()
        return ask(self, stage, values, told)

    monkeypatch.setattr(Stagehand, "ask", noted)
    results = make_batch(out=tmp_path, workers=2, **asked)
    assert "its process ended with SIGKILL" in str(results[0].error)
    assert results[1].error is None
    assert not any(hand.alive for hand in hands), "a child is left"
    monkeypatch.setattr(Stagehand, "ask", ask)
    assert summary_of(make_batch(out=tmp_path, **asked)) == {"made": 1, "unchanged": 1, "failed": 1}


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_missing_extra_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: RunnerName
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=rf'runner {runner} needs packages .*: pip install "photone\[scale\]"'):
        make_batch(folder, tmp_path / "out", SongOptions(), runner=runner)


def test_an_unknown_runner_lists_the_choices(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no runner is called 'spark': choose one of process, thread, dask, ray"):
        make_batch(folder, tmp_path / "out", SongOptions(), runner="spark")  # type: ignore[arg-type]
