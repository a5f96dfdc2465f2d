"""A small chaos: a worker is killed while a folder is rendered, and nothing is lost, doubled or half done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flows.evaluation.chaos import ChaosOptions, ChaosResult, measure


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    options = ChaosOptions(pictures=4, broken=1, worker_kills=1, server_kills=0, limit_s=200)
    found = measure(options, tmp_path)
    print(found)
    assert found.missed(options) == []
    assert found.finished_at_kills > 0, "it was killed before it had done anything"
    assert found.tries == 2
    assert found.state == "Completed: " + found.state.partition(": ")[2]


def test_what_is_missed_is_named() -> None:
    options = ChaosOptions()
    good = ChaosResult(36, 4, 0, 0, 0, 120, 0, 4, 3, 1, 500.0, "Completed")
    assert good.missed(options) == []
    assert replace(good, songs=35, repeated=2).missed(options) == ["songs: 35, wanted 36", "repeated: 2, wanted 0"]
