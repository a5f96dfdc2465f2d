"""Prefect: thin tasks around the stages, one a stage. Take the decorators away and the same code runs.

Tasks take and give paths and small values only. They are coarse: a task costs some 40 ms of the server's time.
What is done already is known to the run's own ledger (content and options), so a task that has nothing to do ends at once, as
"Cached", and a lost file is made again; Prefect's result cache would not notice. A stage runs in a process of its own
(`flows/runs/stagehand.py`), so that a cancel or a time-out ends its work; then what it had half written is removed.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import State
from prefect.concurrency.asyncio import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.states import Completed

from core.engines import EngineTable
from core.errors import PhotoneError
from core.manifest import sweep
from flows.runs.songs import SongOptions
from flows.runs.stagehand import STAGEHANDS
from flows.runs.staging import option_values, parse_options
from flows.runs.storage import Storage, artifacts_root, published_name
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.vision import VISION_ENGINES
from phase2_music.timbre import TIMBRE_ENGINES

__all__ = ["GPU_LIMIT", "PROGRESS", "check_task_options", "ensure_gpu_limit", "option_values", "parse_options"]

GPU_LIMIT = "gpu"
"""Name of the concurrency limit that stages with a GPU engine take a slot of; its size is set in the UI."""

PROGRESS: ContextVar[Callable[[str, str], None]] = ContextVar("PROGRESS", default=lambda stage, text: None)
"""Told stage and text as a long stage goes on; a flow may set it."""


def _retryable(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Try again only what may succeed then."""
    return isinstance(state.data, PhotoneError) and state.data.retryable


_TRIES: dict[str, Any] = {"retries": 2, "retry_delay_seconds": [5, 30], "retry_condition_fn": _retryable}


class StageTask:
    """A stage as a Prefect task: called in a flow, it gives the stage's result; `name` is the stage's name."""

    def __init__(self, wrapped: Task[..., Any]) -> None:
        self.task, self.name = wrapped, wrapped.name

    async def __call__(self, *arguments: Any) -> str:
        """Run the task.

        Raises:
            PhotoneError: as the stage.
            TimeoutError: it took too long.
        """
        # A task that gives a state has it as its final state, and gives it to the caller too.
        state: State[str] = await self.task(*arguments)
        return await state.aresult()


def _stage_task(name: str, timeout_s: float) -> Callable[[Callable[..., Any]], StageTask]:
    def decorate(function: Callable[..., Any]) -> StageTask:
        return StageTask(task(name=name, task_run_name=name, timeout_seconds=timeout_s, **_TRIES)(function))

    return decorate


async def _do(stage: str, folder: str, values: dict[str, Any], shown: str = "") -> dict[str, Any]:
    """Do a stage; however it ends, no half-written file is left. Its progress is `shown` under that name, else its own.

    Raises:
        PhotoneError: as the stage.
    """
    told = PROGRESS.get()
    try:
        done: dict[str, Any] = await STAGEHANDS.do(stage, values, lambda text: told(shown or stage, text))
    except BaseException:
        sweep(Path(folder))
        raise
    return done


def _ended(report: dict[str, Any], result: str) -> State[str]:
    """The task's final state: "Cached" where the ledger passed everything over."""
    passed_over = [name for name, cached in report["stages"].items() if cached]
    if len(passed_over) == len(report["stages"]):
        return Completed(name="Cached", message="unchanged, not made again", data=result)
    made = ", ".join(name for name, cached in report["stages"].items() if not cached)
    return Completed(message=f"made: {made}", data=result)


async def _stage(stage: str, options: dict[str, Any]) -> State[str]:
    report = await _do(stage, options["out"], options)
    return _ended(report, report["folder"])


async def ensure_gpu_limit(slots: int = 1) -> None:
    """Make the limit on GPU stages, unless there is one: its size belongs to the operator then."""
    async with get_client() as client:
        try:
            await client.read_global_concurrency_limit_by_name(GPU_LIMIT)
        except ObjectNotFound:
            try:
                await client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=slots))
            except ObjectAlreadyExists:  # another worker was faster
                return


def needs_gpu(table: EngineTable, spec: str) -> bool:
    """Whether an engine ("name" or "name:argument") works on a GPU, so that its stages have to queue for it."""
    name, _ = table.check(spec)
    return table.entries[name].gpu


async def gpu_slot(needed: bool) -> AbstractAsyncContextManager[None]:
    """A slot of the GPU where one is needed; others do not queue."""
    if not needed:
        return nullcontext()
    await ensure_gpu_limit()
    return concurrency(GPU_LIMIT, occupy=1, strict=True)


async def _gpu(table: EngineTable, spec: str) -> AbstractAsyncContextManager[None]:
    return await gpu_slot(needs_gpu(table, spec))


@_stage_task("picture", timeout_s=300)
async def picture_task(options: dict[str, Any]) -> State[str]:
    """Bring in the picture; gives the run folder, as the next four do."""
    return await _stage("picture", options)


@_stage_task("scene", timeout_s=900)
async def scene_task(options: dict[str, Any]) -> State[str]:
    """Describe the picture."""
    async with await _gpu(VISION_ENGINES, options["vision"]):
        return await _stage("scene", options)


@_stage_task("effects", timeout_s=3600)
async def effects_task(options: dict[str, Any]) -> State[str]:
    """Make the effects."""
    async with await _gpu(EFFECTS_ENGINES, options["effects"]):
        return await _stage("effects", options)


@_stage_task("casting", timeout_s=300)
async def casting_task(options: dict[str, Any]) -> State[str]:
    """Choose which effect plays which role."""
    return await _stage("casting", options)


@_stage_task("instruments", timeout_s=3600)
async def instruments_task(options: dict[str, Any]) -> State[str]:
    """Build the band."""
    async with await _gpu(TIMBRE_ENGINES, options["timbre"]):
        return await _stage("instruments", options)


@_stage_task("song", timeout_s=3600)
async def song_task(folder: str, options: SongOptions) -> State[str]:
    """Play the score and write the run's page; gives the song's folder."""
    report = await _do("song", folder, {"folder": folder, "song": dataclasses.asdict(options)})
    return _ended(report, report["song_folder"])


@_stage_task("scene", timeout_s=300)
async def edit_task(values: dict[str, Any]) -> State[str]:
    """Put an edited scene in the place of a run's; gives the run folder."""
    report = await _do("edit", values["out"], values)
    return _ended(report, report["folder"])


@_stage_task("effects", timeout_s=3600)
async def again_task(values: dict[str, Any], effects: str) -> State[str]:
    """Make effects of a run again, with the engine `effects`; gives the run folder."""
    async with await _gpu(EFFECTS_ENGINES, effects):
        report = await _do("again", values["out"], values, "effects")
    return _ended(report, report["folder"])


@_stage_task("song", timeout_s=7200)
async def songs_task(folder: str) -> State[str]:
    """Play the songs of a run once more and write its page; gives the last song's folder."""
    report = await _do("songs", folder, {"folder": folder}, "song")
    return _ended(report, report["song_folder"])


async def check_task_options(options: dict[str, Any]) -> None:
    """Refuse what cannot work before any work is done.

    Raises:
        PhotoneError: as `stages.check_options`.
    """
    await STAGEHANDS.do("check", options)


async def fetch_run(folder: Path) -> None:
    """Bring in what another machine has published of a run, where PHOTONE_ARTIFACTS is set.

    Raises:
        OutputError: the storage does not answer.
    """
    if artifacts_root():
        await _fetch(str(folder))


async def publish_run(folder: Path) -> None:
    """Publish a finished run, where PHOTONE_ARTIFACTS is set.

    Raises:
        OutputError: the storage does not take it.
    """
    if artifacts_root():
        await _publish(str(folder))


@task(name="fetch", task_run_name="fetch", timeout_seconds=3600, **_TRIES)
async def _fetch(folder: str) -> int:
    return await asyncio.to_thread(lambda: Storage(artifacts_root()).fetch(published_name(Path(folder)), Path(folder)))


@task(name="publish", task_run_name="publish", timeout_seconds=3600, **_TRIES)
async def _publish(folder: str) -> str:
    sent = await asyncio.to_thread(
        lambda: Storage(artifacts_root()).publish(Path(folder), published_name(Path(folder)))
    )
    return f"{sent.address}: {sent.files} files, {sent.bytes} bytes"
