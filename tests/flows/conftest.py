"""`photone up` for tests: one family for the whole session, and a way to start others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from served import CHROMIUM, Up, launch, small_picture, small_score

from flows.runs.songs import SongOptions
from flows.runs.stages import MakeOptions, make
from phase2_music.rendering.render import RenderOptions


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One `photone up` for the session, with served deployments and a watched folder, in a workspace of its own."""
    workspace = tmp_path_factory.mktemp("up")
    (workspace / "arrivals").mkdir()
    score = small_score(workspace / "tune.mid")
    made = launch(workspace, "--watch", "arrivals", "--score", score)
    yield made
    if made.process.poll() is None:
        made.stop()


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that is small: a tiny picture, small instruments, two previews of 2 s. Copy it to change it."""
    folder = tmp_path_factory.mktemp("small")
    picture, score = small_picture(folder / "lake.png"), small_score(folder / "tune.mid")
    preview = RenderOptions(preview_s=2.0)
    for name in ("canon", str(score)):
        make(MakeOptions(picture, folder / "run", song=SongOptions(name, render=preview), compact=True))
    return folder / "run"


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts further ones; what is still up at the end of the test is stopped."""
    family: list[Up] = []

    def start(*arguments: object, **rest: Any) -> Up:
        family.append(launch(rest.pop("workspace", tmp_path), *arguments, **rest))
        return family[-1]

    yield start
    for each in family:
        if each.process.poll() is None:
            each.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a window, allowed to play sound at once."""
    flags = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()
