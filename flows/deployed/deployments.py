"""What is served: one row a deployment. `photone up` serves them on one machine; `prefect.yaml` is for more."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import EngineError
from flows.deployed.parent import WORKER_VARIABLE
from flows.service.api import PrefectApi

TAG = "photone"


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment: its name, which is its flow's too, where the flow stands, how it is told to a musician.

    `cron` is a schedule that is there from the beginning, switched off; `limit` is how many of its runs may go on at once.
    """

    name: str
    flow: str
    summary: str
    limit: int | None = None
    cron: str = ""


DEPLOYMENTS = (
    DeploymentRow("picture-to-song", "flows.deployed.tracked:picture_to_song", "A picture becomes a song."),
    DeploymentRow("swap-score", "flows.deployed.tracked:swap_score", "The band of a finished run plays another score."),
    DeploymentRow(
        "edit-scene",
        "flows.deployed.changing:edit_scene",
        "The scene of a finished run is edited; only what depends on the change is made again.",
    ),
    DeploymentRow(
        "effect-again",
        "flows.deployed.changing:effect_again",
        "One effect of a finished run is made again, and what depends on it.",
    ),
    DeploymentRow(
        "render-folder",
        "flows.deployed.render_folder:render_folder",
        "Every picture of a folder becomes a song; what is finished stays. Switch its schedule on for every night.",
        limit=1,
        cron="0 3 * * *",
    ),
    DeploymentRow(
        "train-timbre",
        "flows.deployed.training:train_timbre",
        "Train a timbre model of your own sounds: takes hours.",
        limit=1,
    ),
    DeploymentRow("evaluate", "flows.deployed.judging:evaluate", "Measure how good photone's own work is.", limit=1),
)


def load_flow(row: DeploymentRow) -> Any:
    """The flow of a row.

    Raises:
        EngineError: a package that it needs is not installed.
    """
    module, _, name = row.flow.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise EngineError(f"deployment {row.name} cannot be served ({error}): install photone again") from error


def runner_deployment(row: DeploymentRow, known: set[str]) -> Any:
    """A row as Prefect's own; its flow is found by its module, so it does not matter where the worker stands.

    Deployments that are `known` to the server keep the schedules that they have there: those belong to the operator.
    """
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.types.entrypoint import EntrypointType

    schedules: dict[str, Any] = {}
    if row.cron and row.name not in known:
        schedules["schedules"] = [DeploymentScheduleCreate(schedule=CronSchedule(cron=row.cron), active=False)]
    made = load_flow(row).to_deployment(
        row.name,
        description=row.summary,
        tags=[TAG],
        concurrency_limit=row.limit,
        entrypoint_type=EntrypointType.MODULE_PATH,
        **schedules,
    )
    if row.name in known:  # what is unset is not sent; an empty list would take the operator's schedules away
        made.model_fields_set.difference_update({"schedules", "paused"})
    return made


def known_deployments() -> set[str]:
    """Names of the deployments that the server has already."""
    api = PrefectApi(os.environ["PREFECT_API_URL"], os.environ.get("PREFECT_API_AUTH_STRING", ""))
    return {found["name"] for found in api.ask("deployments/filter", {"limit": 200})}


def serve(ready: Callable[[], None], at_once: int) -> None:
    """Serve every deployment until this process is stopped; `ready` is called when the server knows them all.

    Runs of this worker end with it: they find its process id in their environment.

    Raises:
        EngineError: a flow cannot be imported.
    """
    import asyncio

    from prefect.runner import Runner

    os.environ[WORKER_VARIABLE] = str(os.getpid())
    known = known_deployments()
    # Its schedules go on when we are up again.
    runner = Runner(name="photone", pause_on_shutdown=False, limit=at_once)
    for row in DEPLOYMENTS:
        runner.add_deployment(runner_deployment(row, known))
    ready()
    asyncio.run(runner.start())
