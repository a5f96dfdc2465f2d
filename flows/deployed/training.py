"""The flow `train-timbre`: corpus and training of one family as Prefect tasks. The work itself stands in flows/timbres.py.

Both work in a process of their own (`flows/runs/stagehand.py`), so that a cancel ends it; what was learnt up to the last
checkpoint is kept. A training that needs a GPU takes a slot of the limit `gpu`, as the stages with a GPU engine do.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.deployed.artifacts import Progress, escape
from flows.deployed.forms import choice, shown
from flows.deployed.parent import die_with_worker
from flows.deployed.tasks import gpu_slot
from flows.runs.roots import runs_folder
from flows.runs.stagehand import STAGEHANDS, Told
from flows.timbres import TimbreRequest, progress_text
from phase2_music.timbre.train.options import PRESETS
from schemas.document import MELODIC_ROLES, Role

ANY_PROCESSOR = ("smoke",)
"""Presets that need no GPU."""
PRESET_TEXTS = {
    "smoke": "a few seconds on any processor, to try the way; no model that one would want to hear",
    "small": "the size that is shipped; needs a GPU",
    "full": "larger and longer; needs a GPU for hours",
}

Family = Annotated[str, *choice(MELODIC_ROLES, "Family", "Which instruments the model learns", 0)]
Preset = Annotated[str, *choice(PRESETS, "Preset", "; ".join(f"{name}: {PRESET_TEXTS[name]}" for name in PRESETS), 1)]
Minutes = Annotated[
    float,
    shown("Minutes", "Budget of training; 0 for the preset's number of steps", 2, ge=0, le=60 * 24 * 30),
]


@task(name="corpus", task_run_name="corpus {role}")
async def corpus_task(role: Role, preset: str, minutes: float) -> str:
    """Make the notes to learn from, where they are not there; gives their folder."""
    async with _telling(f"corpus {role}") as report:
        return str(await STAGEHANDS.do("corpus", request_of(role, preset, minutes).as_json(), report))


@task(name="train", task_run_name="train {role}")
async def train_task(role: Role, preset: str, minutes: float) -> dict[str, Any]:
    """Train from the last checkpoint on and export; gives the figures."""
    async with await gpu_slot(preset not in ANY_PROCESSOR), _telling(f"train {role}") as report:
        made: dict[str, Any] = await STAGEHANDS.do("train", request_of(role, preset, minutes).as_json(), report)
    return made


@flow(name="train-timbre", flow_run_name=lambda: f"train {flow_run.parameters['role']}", log_prints=False)
async def train_timbre(role: Family = "keyboard", preset: Preset = "smoke", minutes: Minutes = 0.0) -> str:
    """Train a timbre model of an instrument family. Gives the model's folder.

    A run that was stopped goes on at its last checkpoint when it is started again.
    """
    die_with_worker()
    family = next(known for known in MELODIC_ROLES if known == role)
    await corpus_task(family, preset, minutes)
    made = await train_task(family, preset, minutes)
    await acreate_markdown_artifact(report_markdown(made), key="timbre", description=f"{role}, {made['steps']} steps")
    return str(made["model"])


@asynccontextmanager
async def _telling(stage: str) -> AsyncIterator[Told]:
    """A progress bar of a task, told lines of progress as JSON; validations also go into the run's log."""
    bar, log = Progress(), get_run_logger()

    def told(text: str) -> None:
        line = json.loads(text)
        share = line["corpus"] / line["of"] if "corpus" in line else line["used"]
        bar.told(stage, f"{round(100 * share)} of 100")
        if line.get("validation"):
            log.info(progress_text(line))

    yield told
    await bar.finish(stage)


def request_of(role: Role, preset: str, minutes: float) -> TimbreRequest:
    """What the flow's parameters ask for; models and corpora lie in the runs' folder."""
    changes = {"minutes": minutes} if minutes else {}
    return TimbreRequest(role, preset, runs_folder() / "timbres" / preset / role, None, changes)


def report_markdown(made: dict[str, Any]) -> str:
    """A training's figures as a table: each loss at the beginning and at the end."""
    rows = [
        f"| {escape(name)} | {made['first_losses'].get(name, last):.4g} | {last:.4g} |"
        for name, last in made["losses"].items()
    ]
    head = f"# {made['role']}: {made['steps']} steps in {made['elapsed_s']:.0f} s on {escape(made['device'])}"
    return "\n".join([head, "", "| loss | first | last |", "|---|---|---|", *rows, "", escape(made["model"]), ""])
