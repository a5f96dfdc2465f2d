"""The flow `evaluate`: it judges what is asked for, and a cancel ends its work, not only the waiting for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from served import CANCEL_S, Up, processes_below

from core.errors import UsageError
from flows.evaluation.verdicts import Question, judge


def test_an_evaluation_ends_with_its_figures(up: Up) -> None:
    run = up.start("evaluate", what="vision", only="china")
    found = up.wait(run)
    assert found["name"] == "evaluate vision"
    assert found["state"]["message"] in ("every target met", "a target was missed"), up.logs()
    report = up.artifacts(run)["evaluation"]["data"]
    assert report.startswith(f"# vision: {found['state']['message']}\n")
    assert "china" in report


def test_a_cancelled_evaluation_works_no_more(up: Up) -> None:
    run = up.start("evaluate", what="foley")  # goes on for minutes
    end = time.monotonic() + 90
    while "materials" not in str(up.ask("logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})):
        assert time.monotonic() < end, up.logs()
        time.sleep(0.2)
    hands = processes_below(up.state["worker"], "flows.runs.stagehand")
    assert hands
    began = time.monotonic()
    up.ask(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}, "force": False})
    while any(Path(f"/proc/{pid}").exists() for pid in hands):
        assert time.monotonic() - began < CANCEL_S, "the work goes on"
        time.sleep(0.05)
    print(f"cancelled: no work left after {time.monotonic() - began:.2f} s")
    assert up.wait(run, limit_s=30)["state_type"] == "CANCELLED"


def test_nobody_judges_the_audience() -> None:
    with pytest.raises(UsageError, match="nobody judges 'audience': choose one of instruments, songs, vision, foley"):
        judge(Question("audience", (), (), "embedded", 12, ""), print)
