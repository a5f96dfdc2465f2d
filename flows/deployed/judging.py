"""The flow `evaluate`: photone's own measurements, as `photone eval` makes them, with a report.

They are made in a process of their own (`flows/runs/stagehand.py`), so that a cancel ends the work.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.deployed.forms import ALL_PLAYERS, LATEST, Player, RunName, VisionName, choice, read_engine, read_run, shown
from flows.deployed.parent import die_with_worker
from flows.evaluation.verdicts import SUBJECTS, Question, Verdict
from flows.runs.stagehand import STAGEHANDS
from phase1_sound.vision import VISION_ENGINES
from schemas.document import ROLES

Subject = Annotated[str, *choice(SUBJECTS, "What", "; ".join(f"{name}: {text}" for name, text in SUBJECTS.items()), 0)]
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
    band = str(read_run(run)) if what == "songs" else ""
    asked = Question(what, names, chosen, read_engine(vision, "", "vision"), step, band)
    verdict = Verdict(**await STAGEHANDS.do("judge", dataclasses.asdict(asked), log.info))
    text = "every target met" if verdict.passed else "a target was missed"
    await acreate_markdown_artifact(
        f"# {what}: {text}\n\n```\n{verdict.table}\n```\n", key="evaluation", description=text
    )
    return Completed(message=text) if verdict.passed else Failed(message=text)
