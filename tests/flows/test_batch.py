"""A folder of pictures: each gets its run, one bad picture stops nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import DiskFullError, EngineError, OutputError, PictureError, ScoreError, UsageError
from flows.batch import list_pictures, make_batch, run_folders
from flows.songs import SongOptions
from flows.stages import MakeOptions


@dataclass
class Maker:
    """Stands for `make`: keeps what it was asked for and fails for the pictures named in `errors`."""

    asked: list[MakeOptions]
    errors: dict[str, Exception]

    def __call__(self, options: MakeOptions, report: Any) -> SimpleNamespace:
        self.asked.append(options)
        report("scene")
        if options.picture.name in self.errors:
            raise self.errors[options.picture.name]
        return SimpleNamespace(song_path=options.out / "songs" / options.song.score / "song.wav")


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    made = Maker([], {})
    monkeypatch.setattr("flows.batch.make", made)
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


@pytest.mark.parametrize("error", [PictureError("a.jpg: not a picture"), EngineError("busy"), DiskFullError("full")])
def test_one_bad_picture_stops_nothing(folder: Path, maker: Maker, tmp_path: Path, error: Exception) -> None:
    maker.errors["a.jpg"] = error
    results = make_batch(folder, tmp_path / "out", SongOptions())
    assert [result.error for result in results] == [str(error), None, None]
    assert [result.song is None for result in results] == [True, False, False]
    assert results[0].as_json() == {"picture": str(folder / "a.jpg"), "song": None, "error": str(error)}
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
