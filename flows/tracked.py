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
from pydantic import TypeAdapter

from core.errors import PhotoneError
from flows import songs, stages
from flows.ledger import Ledger
from flows.songs import Made, SongOptions
from flows.stages import MakeOptions
from phase2_music.rendering.render import RenderOptions
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
    paths = {"picture": Path(values["picture"]), "out": Path(values["out"])}
    return MakeOptions(**values | paths | {"song": TypeAdapter(SongOptions).validate_python(values["song"])})


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
async def song_task(folder: str, options: SongOptions) -> str:
    """Play the score and write the run's page; gives the song's folder."""

    def work() -> str:
        ledger = Ledger.read(Path(folder))
        return str(songs.finish(ledger, songs.song_stage(ledger, options)).song_folder)

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
    cast: dict[Role, list[int]] | None = None,
    compact: bool = False,
    roles: dict[str, Role] | None = None,
    playing: RenderOptions | None = None,
) -> str:
    """A picture becomes a song; gives the song's folder."""
    song = SongOptions(score, roles or {}, playing or RenderOptions())
    options = _values(
        MakeOptions(
            picture=Path(picture),
            out=Path(out),
            vision=vision,
            effects=effects,
            timbre=timbre,
            seed=seed,
            cast=cast or {},
            compact=compact,
            song=song,
        )
    )
    await asyncio.to_thread(stages.check_options, _options(options))
    for stage in (picture_task, scene_task, effects_task, casting_task, instruments_task):
        await stage(options)
    return await song_task(out, song)


@flow(name="swap-score", flow_run_name="{run} -> {score}", log_prints=False)
async def swap_score(
    run: str, score: str, roles: dict[str, Role] | None = None, playing: RenderOptions | None = None
) -> str:
    """The band of a finished run plays another score; gives the song's folder."""
    options = SongOptions(score, roles or {}, playing or RenderOptions())
    await asyncio.to_thread(songs.check_swap, Path(run), options)
    return await song_task(run, options)


def run_picture_to_song(options: MakeOptions) -> Made:
    """Run the flow in this process against the server that the environment names.

    Raises:
        PhotoneError: as `stages.make`.
    """
    try:
        song = options.song
        values = {name: value for name, value in _values(options).items() if name != "song"}
        flow_run = picture_to_song(**values, score=song.score, roles=dict(song.roles), playing=song.render)
        song_folder = asyncio.run(flow_run)
    finally:
        # The server may stop right after this call: the last log lines have to be there before.
        APILogHandler().flush()
    ledger = Ledger.open(options.out, options.seed)
    return songs.finish(ledger, Path(song_folder))
