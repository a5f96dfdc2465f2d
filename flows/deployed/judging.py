"""The flow `evaluate`: photone's own measurements, as `photone eval` makes them, with a report."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.deployed.forms import ALL_PLAYERS, LATEST, Player, RunName, VisionName, choice, read_engine, read_run, shown
from flows.deployed.parent import die_with_worker
from phase1_sound.vision import VISION_ENGINES
from phase2_music.scores import bundled_scores
from schemas.document import ROLES

Report = Callable[[str], None]

_SUBJECTS = {
    "instruments": "tuning, loops and likeness of instruments built of many sounds, in two players",
    "songs": "loudness, balance and timing of the bundled scores played by a run's band",
    "vision": "what the eye says of golden pictures",
    "foley": "every material under every gesture of the built-in synthesis",
}

Subject = Annotated[
    str, *choice(_SUBJECTS, "What", "; ".join(f"{name}: {text}" for name, text in _SUBJECTS.items()), 0)
]
Names = Annotated[
    str,
    shown(
        "Only these",
        "Names separated by commas: sounds for instruments, bundled scores for songs, pictures for vision, materials for "
        "foley; empty for the usual ones",
        1,
        max_length=1000,
    ),
]
Roles = Annotated[list[Player], shown("Roles", "For instruments: what is built", 2, min_length=1)]
Step = Annotated[int, shown("Every so many keys", "For instruments: a larger step is faster", 4, ge=1, le=24)]


@dataclass(frozen=True)
class Verdict:
    """What an evaluation found: its table as text, and whether every target was met."""

    table: str
    passed: bool


@dataclass(frozen=True)
class Question:
    """What is evaluated, by the fields of the form."""

    only: tuple[str, ...]
    roles: tuple[Any, ...]
    vision: str
    step: int
    run: str


def _instruments(asked: Question, report: Report) -> Verdict:
    from flows.evaluation import instruments as evaluation

    result = evaluation.evaluate(evaluation.EvaluationOptions(asked.only, asked.roles, step=asked.step), report)
    return Verdict(evaluation.as_table(result), result.passed)


def _songs(asked: Question, report: Report) -> Verdict:
    from flows.evaluation import songs as evaluation

    # Bundled ones only: a name that is a path would read any file.
    names = tuple(name for name in asked.only if name in bundled_scores()) or tuple(bundled_scores())
    with tempfile.TemporaryDirectory() as scratch:
        found = evaluation.evaluate_songs(read_run(asked.run) / "instruments", names, Path(scratch), None, report)
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


@flow(name="evaluate", flow_run_name=lambda: f"evaluate {flow_run.parameters['what']}", log_prints=False)
async def evaluate(
    what: Subject = "instruments",
    only: Names = "",
    roles: Roles = ALL_PLAYERS,
    vision: VisionName = VISION_ENGINES.default,
    step: Step = 12,
    run: RunName = LATEST,
) -> Any:
    """Measure how good photone's own work is. The run fails when a target is missed; its report has the figures."""
    die_with_worker()
    log = get_run_logger()
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    chosen = tuple(role for role in ROLES if any(player.value == role for player in roles))
    asked = Question(names, chosen, read_engine(vision, "", "vision"), step, run)
    verdict = await asyncio.to_thread(_JUDGES[what], asked, log.info)
    text = "every target met" if verdict.passed else "a target was missed"
    await acreate_markdown_artifact(
        f"# {what}: {text}\n\n```\n{verdict.table}\n```\n", key="evaluation", description=text
    )
    return Completed(message=text) if verdict.passed else Failed(message=text)
