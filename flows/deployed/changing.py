"""Prefect: changes to a finished run, and what depends on them. Take the decorators away and the same code runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from flows.deployed.artifacts import Progress, song_report
from flows.deployed.forms import (
    LATEST,
    BaseScene,
    EffectNumber,
    EffectSeed,
    RunName,
    SceneFile,
    read_run,
    read_scene_file,
)
from flows.deployed.parent import die_with_worker
from flows.deployed.tasks import (
    PROGRESS,
    again_task,
    casting_task,
    edit_task,
    effects_task,
    instruments_task,
    option_values,
    publish_run,
    songs_task,
)
from flows.runs.locks import awaited_run_lock
from flows.runs.remaking import asked_options
from flows.runs.roots import check_engine
from schemas.scene import read_scene

die_with_worker()


def _edited_name() -> str:
    given = flow_run.parameters
    return f"{Path(str(given['run'])).name}: {'edited' if given['scene_file'] else 'as it was seen'}"


def _again_name() -> str:
    given = flow_run.parameters
    return f"{Path(str(given['run'])).name}: effect {given['number']} again"


@flow(name="edit-scene", flow_run_name=_edited_name, log_prints=False)
async def edit_scene(run: RunName = LATEST, scene_file: SceneFile = "", base_sha256: BaseScene = "") -> str:
    """The scene of a finished run is edited; effects of variants that stay as they were stay too, and so on down to the songs.

    Gives the last song's folder.
    """
    die_with_worker()
    folder = await asyncio.to_thread(read_run, run)
    path = await asyncio.to_thread(read_scene_file, scene_file)
    scene = (await asyncio.to_thread(read_scene, path)).to_value() if path else None
    await asyncio.to_thread(_asked, folder)
    progress = _progress()
    async with awaited_run_lock(folder):
        await edit_task({"out": str(folder), "scene": scene, "base_sha256": base_sha256})
        values = await asyncio.to_thread(_asked, folder)
        await effects_task(values)
        await progress.finish(effects_task.name)
        return await _remake(folder, values, progress)


@flow(name="effect-again", flow_run_name=_again_name, log_prints=False)
async def effect_again(run: RunName = LATEST, number: EffectNumber = 1, seed: EffectSeed = 1) -> str:
    """One effect of a finished run is made again, and what depends on it. Gives the last song's folder."""
    die_with_worker()
    folder = await asyncio.to_thread(read_run, run)
    values = await asyncio.to_thread(_asked, folder)
    progress = _progress()
    async with awaited_run_lock(folder):
        await again_task({"out": str(folder), "numbers": [number], "seed": seed}, values["effects"])
        await progress.finish(again_task.name)
        return await _remake(folder, values, progress)


async def _remake(folder: Path, values: dict[str, Any], progress: Progress) -> str:
    for stage in (casting_task, instruments_task):
        await stage(values)
        await progress.finish(stage.name)
    song_folder = str(await songs_task(str(folder)))
    await progress.finish(songs_task.name)
    await publish_run(folder)
    await song_report(folder, Path(song_folder))
    return song_folder


def _progress() -> Progress:
    progress = Progress()
    PROGRESS.set(progress.told)
    return progress


def _asked(folder: Path) -> dict[str, Any]:
    """How a run was asked for, its engines held to the same rules as a form's."""
    options = asked_options(folder)
    check_engine(options.effects, "effects")
    check_engine(options.timbre, "timbre")
    return option_values(options)
