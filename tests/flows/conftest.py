"""`photone up` for tests: one family for the whole session, and a way to start others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Up, launch, small_score


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
