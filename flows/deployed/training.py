"""The flow `train-timbre`: corpus and training of one family as Prefect tasks. The work itself stands in flows/timbres.py.

The training's task has the tag `gpu`: a limit of that tag (`prefect concurrency-limit create gpu 1`) keeps a card to as many
trainings as it bears.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from flows.deployed.artifacts import Progress, escape
from flows.deployed.forms import choice
from flows.deployed.parent import die_with_worker
from flows.deployed.roots import runs_folder
from flows.timbres import Report, TimbreRequest, Trained, prepare_corpus, progress_text, train_family
from phase2_music.timbre.train.options import PRESETS
from schemas.document import MELODIC_ROLES, Role

GPU_TAG = "gpu"
PRESET_TEXTS = {
    "smoke": "a few seconds on any processor, to try the way; no model that one would want to hear",
    "small": "the size that is shipped; needs a GPU",
    "full": "larger and longer; needs a GPU for hours",
}

Family = Annotated[str, *choice(MELODIC_ROLES, "Family", "Which instruments the model learns", 0)]
Preset = Annotated[str, *choice(PRESETS, "Preset", "; ".join(f"{name}: {PRESET_TEXTS[name]}" for name in PRESETS), 1)]
Minutes = Annotated[
    float,
    Field(
        title="Minutes",
        description="Budget of training; 0 for the preset's number of steps",
        ge=0,
        le=60 * 24 * 30,
        json_schema_extra={"position": 2},
    ),
]


@task(name="corpus", task_run_name="corpus {role}")
async def corpus_task(role: Role, preset: str, minutes: float) -> str:
    """Make the notes to learn from, where they are not there; gives their folder."""
    async with _telling(f"corpus {role}") as report:
        return str(await asyncio.to_thread(prepare_corpus, request_of(role, preset, minutes), report))


@task(name="train", task_run_name="train {role}", tags=[GPU_TAG])
async def train_task(role: Role, preset: str, minutes: float) -> dict[str, Any]:
    """Train from the last checkpoint on and export; gives the figures."""
    async with _telling(f"train {role}") as report:
        made: Trained = await asyncio.to_thread(train_family, request_of(role, preset, minutes), report)
    return made.as_json()


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
async def _telling(stage: str) -> AsyncIterator[Report]:
    """A progress bar of a task, told from the thread that works; validations also go into the run's log."""
    bar, loop, log = Progress(), asyncio.get_running_loop(), get_run_logger()

    def told(role: Role, line: dict[str, Any]) -> None:
        share = line["corpus"] / line["of"] if "corpus" in line else line["used"]
        loop.call_soon_threadsafe(bar.told, stage, f"{round(100 * share)} of 100")
        if line.get("validation"):
            log.info(f"{role}: {progress_text(line)}")

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
