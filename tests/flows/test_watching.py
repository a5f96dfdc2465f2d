"""The watched folder: whole pictures only, each once, also across restarts."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image
from served import Up, small_picture

from core.errors import EngineError
from flows.service.watching import Watcher


@dataclass
class Office:
    """Takes orders for runs, or refuses them."""

    started: list[tuple[str, str, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    closed: bool = False

    def start(self, picture: Path, out: Path, key: str) -> None:
        if self.closed:
            raise EngineError("the server does not answer", retryable=True)
        self.started.append((picture.name, out.name, key))


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def watcher(folder: Path, office: Office) -> Watcher:
    above = folder.parent
    return Watcher(folder, above / "runs", above / "watched.json", "canon", office.start, office.told.append)


def names(office: Office) -> list[tuple[str, str]]:
    return [(picture, out) for picture, out, _ in office.started]


def test_a_picture_starts_one_run_once_it_has_stopped_changing(folder: Path, office: Office) -> None:
    small_picture(folder / "lake.png")
    watching = watcher(folder, office)
    watching.look()
    assert not office.started  # seen for the first time: it may still be on its way
    watching.look()
    watching.look()
    assert names(office) == [("lake.png", "lake-canon")]


def test_half_a_picture_waits_for_its_other_half(folder: Path, office: Office) -> None:
    whole = small_picture(folder.parent / "lake.png").read_bytes()
    watching = watcher(folder, office)
    for share in (3, 2, 2):  # grows, then stalls
        (folder / "lake.png").write_bytes(whole[: len(whole) // share])
        os.utime(folder / "lake.png", ns=(share, share))
        watching.look()
    watching.look()
    assert not office.started
    assert len(office.told) == 1  # told once, not at each look
    assert office.told[0].startswith("left alone until it changes: ")
    (folder / "lake.png").write_bytes(whole)
    watching.look()
    watching.look()
    assert names(office) == [("lake.png", "lake-canon")]


def test_what_is_no_picture_is_left_alone(folder: Path, office: Office) -> None:
    (folder / "notes.txt").write_text("x")
    (folder / "lake.png.part").write_bytes(b"x")
    small_picture(folder / ".hidden.png")
    (folder / "link.png").symlink_to(small_picture(folder.parent / "outside.png"))
    (folder / "folder.png").mkdir()
    (folder / "fake.jpg").write_bytes(b"<svg onload=alert(1)>")
    watching = watcher(folder, office)
    for _ in range(3):
        watching.look()
    assert not office.started
    assert [line.partition(": ")[2][:40] for line in office.told] == [f"{folder}/fake.jpg: not a"[:40]]


def test_another_start_does_not_repeat_what_was_started(folder: Path, office: Office) -> None:
    small_picture(folder / "lake.png")
    for _ in range(2):  # two lives
        watching = watcher(folder, office)
        watching.look()
        watching.look()
    assert names(office) == [("lake.png", "lake-canon")]
    small_picture(folder / "lake.png", seed=1)  # another picture by the same name
    watching.look()
    watching.look()
    assert names(office) == [("lake.png", "lake-canon")] * 2
    assert office.started[0][2] != office.started[1][2]


def test_two_pictures_of_one_name_do_not_share_a_run(folder: Path, office: Office) -> None:
    small_picture(folder / "lake.png")
    Image.open(folder / "lake.png").save(folder / "lake.jpg")
    watching = watcher(folder, office)
    watching.look()
    watching.look()
    assert names(office) == [("lake.jpg", "lake-canon"), ("lake.png", "lake.png-canon")]


def test_a_server_that_is_away_gets_the_picture_later(folder: Path, office: Office) -> None:
    small_picture(folder / "lake.png")
    watching = watcher(folder, office)
    office.closed = True
    watching.look()
    with pytest.raises(EngineError):
        watching.look()
    office.closed = False
    watching.look()
    assert names(office) == [("lake.png", "lake-canon")]


def test_a_picture_that_arrives_becomes_a_song(up: Up) -> None:
    small_picture(up.workspace / "half.png", seed=5).rename(up.workspace / "arrivals" / "arrived.png")
    found: list[str] = []
    for _ in range(100):
        runs = up.ask("flow_runs/filter", {"flow_runs": {"name": {"like_": "arrived -> tune"}}})
        found = [run["id"] for run in runs]
        if found:
            break
        time.sleep(0.1)
    assert len(found) == 1
    finished = up.wait(found[0])
    assert (finished["state_type"], finished["name"]) == ("COMPLETED", "arrived -> tune")
    assert (up.workspace / "runs" / "arrived-tune" / "songs" / "tune" / "song.wav").is_file()
