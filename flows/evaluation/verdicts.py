"""`photone eval` as one question and one answer: what the flow `evaluate` asks for, JSON values in and out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError
from phase2_music.scores import bundled_scores
from schemas.document import Role

Report = Callable[[str], None]

SUBJECTS = {
    "instruments": "tuning, loops and likeness of instruments built of many sounds, in two players",
    "songs": "loudness, balance and timing of the bundled scores played by a run's band",
    "vision": "what the eye says of golden pictures",
    "foley": "every material under every gesture of the built-in synthesis",
}


@dataclass(frozen=True)
class Question:
    """What is evaluated: `only` these names (empty: the usual ones), `run` for songs, the rest as the command line."""

    subject: str
    only: tuple[str, ...]
    roles: tuple[Role, ...]
    vision: str
    step: int
    run: str


@dataclass(frozen=True)
class Verdict:
    """What an evaluation found: its table as text, and whether every target was met."""

    table: str
    passed: bool


def judge(asked: Question, report: Report) -> Verdict:
    """Evaluate; `report` is told how far it is.

    Raises:
        UsageError: nobody judges that.
        PhotoneError: as the evaluation.
    """
    if asked.subject not in _JUDGES:
        raise UsageError(f"nobody judges {asked.subject!r}: choose one of {', '.join(_JUDGES)}")
    return _JUDGES[asked.subject](asked, report)


def _instruments(asked: Question, report: Report) -> Verdict:
    from flows.evaluation import instruments as evaluation

    result = evaluation.evaluate(evaluation.EvaluationOptions(asked.only, asked.roles, step=asked.step), report)
    return Verdict(evaluation.as_table(result), result.passed)


def _songs(asked: Question, report: Report) -> Verdict:
    from flows.evaluation import songs as evaluation

    # Bundled ones only: a name that is a path would read any file.
    names = tuple(name for name in asked.only if name in bundled_scores()) or tuple(bundled_scores())
    with tempfile.TemporaryDirectory() as scratch:
        found = evaluation.evaluate_songs(Path(asked.run) / "instruments", names, Path(scratch), None, report)
    return Verdict(evaluation.as_table(found), not any(map(evaluation.missed, found)))


def _vision(asked: Question, report: Report) -> Verdict:
    from flows.evaluation import vision as evaluation

    result = evaluation.evaluate(evaluation.VisionOptions((asked.vision,), asked.only), report)
    return Verdict(evaluation.as_table(result), result.passed)


def _foley(asked: Question, report: Report) -> Verdict:
    from flows.evaluation import foley as evaluation

    result = evaluation.evaluate(evaluation.FoleyOptions(asked.only, words=False), report)
    return Verdict(evaluation.as_table(result), result.passed)


_JUDGES: dict[str, Callable[[Question, Report], Verdict]] = {
    "instruments": _instruments,
    "songs": _songs,
    "vision": _vision,
    "foley": _foley,
}


def judge_values(values: dict[str, Any], report: Report) -> dict[str, Any]:
    """`judge` with JSON values in and out."""
    verdict = judge(Question(**values | {name: tuple(values[name]) for name in ("only", "roles")}), report)
    return {"table": verdict.table, "passed": verdict.passed}
