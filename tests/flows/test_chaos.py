"""A small chaos: worker and server are killed while a folder is rendered, and nothing is lost, doubled or half done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from served import Up, gone, processes_below

from flows.evaluation.chaos import ChaosOptions, ChaosResult, let_happen
from flows.evaluation.household import Household


class Watched(Household):
    """Notes which processes below a part that is killed outlive it."""

    left: list[int]

    def kill(self, child: str) -> None:
        below = processes_below(self.pid(child))
        super().kill(child)
        if child == "worker":
            assert below, "it was not at work"
            self.left = [pid for pid in below if not gone(pid)]


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_server_lose_nothing(up: Up) -> None:
    options = ChaosOptions(pictures=3, broken=1, worker_kills=1, server_kills=1, limit_s=200)
    family = Watched(up.workspace, up.process, up.api)
    worker, slot = family.pid("worker"), take_a_slot(up)
    found = let_happen(options, family)
    print(found)
    assert found.missed(options) == []
    assert found.finished_at_kills > 0, "it was killed before it had done anything"
    assert found.tries == 3  # a dead server takes its worker along
    assert found.state.startswith("Completed: made ")  # one may have been finished before the last kill
    assert family.left == []
    assert family.pid("worker") != worker
    assert "the worker died and is started again" in up.output
    # Whoever holds a limit renews it now and then; the flow that does not succeed is ended by Prefect.
    up.ask(f"v2/concurrency_limits/leases/{slot}/renew", {"lease_duration": 60})


def take_a_slot(up: Up) -> str:
    """Hold a concurrency limit as a flow run does; gives the lease's id."""
    up.ask("v2/concurrency_limits/", {"name": "held", "limit": 1})
    asked = {"names": ["held"], "slots": 1, "mode": "concurrency", "lease_duration": 600}
    return str(up.ask("v2/concurrency_limits/increment-with-lease", asked)["lease_id"])


def test_what_is_missed_is_named() -> None:
    options = ChaosOptions()
    good = ChaosResult(36, 4, 0, 0, 0, 120, 0, 4, 3, 1, 500.0, "Completed")
    assert good.missed(options) == []
    assert replace(good, songs=35, repeated=2).missed(options) == ["songs: 35, wanted 36", "repeated: 2, wanted 0"]
