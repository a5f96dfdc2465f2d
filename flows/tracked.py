"""Prefect: thin flows and tasks around the stage functions. Take the decorators away and the same code runs.

Tasks take and give paths and small values only. They are coarse, one per stage: a task costs some 40 ms of the server's time.
What is done already is known to the run's own ledger (content and options), so a task that has nothing to do ends at once
and a lost file is made again; Prefect's result cache would not notice.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.logging.handlers import APILogHandler

from core.errors import PhotoneError
from flows import stages
from flows.ledger import Ledger
from flows.stages import Made, MakeOptions
from schemas.document import Role


def _retryable(_task: Any, _run: Any, state: Any) -> bool:
    """Try again only what may succeed then."""
    try:
        state.result()
    except PhotoneError as error:
        return error.retryable
    except Exception:
        return False
    return False


def _options(values: dict[str, Any]) -> MakeOptions:
    return MakeOptions(**values | {"picture": Path(values["picture"]), "out": Path(values["out"])})


def _values(options: MakeOptions) -> dict[str, Any]:
    return dataclasses.asdict(options) | {"picture": str(options.picture), "out": str(options.out)}


async def _stage(stage: Any, options: dict[str, Any]) -> str:
    """Do a stage in a thread, so that heartbeats and cancellation go on; gives the run folder."""
    parsed = _options(options)

    def work() -> None:
        stage(Ledger.open(parsed.out, parsed.seed), parsed)

    await asyncio.to_thread(work)
    return str(parsed.out)


@task(name="picture", task_run_name="picture")
async def picture_task(options: dict[str, Any]) -> str:
    """Bring in the picture."""
    return await asyncio.to_thread(lambda: str(stages.open_run(_options(options)).folder))


@task(name="scene", retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=_retryable, timeout_seconds=900)
async def scene_task(options: dict[str, Any]) -> str:
    """Describe the picture."""
    return await _stage(stages.scene_stage, options)


@task(name="effects", retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=_retryable, timeout_seconds=3600)
async def effects_task(options: dict[str, Any]) -> str:
    """Make the effects."""
    return await _stage(stages.effects_stage, options)


@task(name="casting")
async def casting_task(options: dict[str, Any]) -> str:
    """Choose which effect plays which role."""
    return await _stage(stages.casting_stage, options)


@task(name="instruments", timeout_seconds=3600)
async def instruments_task(options: dict[str, Any]) -> str:
    """Build the band."""
    return await _stage(stages.instruments_stage, options)


@task(name="song", timeout_seconds=3600)
async def song_task(folder: str, score: str, preview_s: float | None) -> str:
    """Play the score and write the run's page; gives the song's folder."""

    def work() -> str:
        ledger = Ledger.read(Path(folder))
        return str(stages.finish(ledger, stages.song_stage(ledger, score, preview_s)).song_folder)

    return await asyncio.to_thread(work)


@flow(name="picture-to-song", flow_run_name="{picture} -> {score}", log_prints=False)
async def picture_to_song(
    picture: str,
    out: str,
    score: str = "canon",
    vision: str = "embedded",
    effects: str = "foley",
    timbre: str = "resonator",
    seed: int = 0,
    preview_s: float | None = None,
    cast: dict[Role, list[int]] | None = None,
) -> str:
    """A picture becomes a song; gives the song's folder."""
    options = _values(
        MakeOptions(
            picture=Path(picture),
            out=Path(out),
            score=score,
            vision=vision,
            effects=effects,
            timbre=timbre,
            seed=seed,
            preview_s=preview_s,
            cast=cast or {},
        )
    )
    await asyncio.to_thread(stages.check_options, _options(options))
    for stage in (picture_task, scene_task, effects_task, casting_task, instruments_task):
        await stage(options)
    return await song_task(out, score, preview_s)


@flow(name="swap-score", flow_run_name="{run} -> {score}", log_prints=False)
async def swap_score(run: str, score: str, preview_s: float | None = None) -> str:
    """The band of a finished run plays another score; gives the song's folder."""
    await asyncio.to_thread(stages.check_swap, Path(run), score)
    return await song_task(run, score, preview_s)


def run_picture_to_song(options: MakeOptions) -> Made:
    """Run the flow in this process against the server that the environment names.

    Raises:
        PhotoneError: as `stages.make`.
    """
    try:
        song_folder = asyncio.run(picture_to_song(**_values(options)))
    finally:
        # The server may stop right after this call: the last log lines have to be there before.
        APILogHandler().flush()
    ledger = Ledger.open(options.out, options.seed)
    return stages.finish(ledger, Path(song_folder))
