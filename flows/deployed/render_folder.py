"""Prefect: every picture of a folder becomes a song, one run a picture, by night if wanted.

What is finished is found by its ledger and costs no run. The others go on where they stopped, some at a time, each as a run
of its own below this one; one that fails stops nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.deployments import arun_deployment
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic_core import to_jsonable_python

from core.errors import EngineError, UsageError
from flows.batch import list_pictures, run_folders, summary_of
from flows.deployed.artifacts import batch_report
from flows.deployed.forms import (
    ALL_PLAYERS,
    EffectsName,
    LookName,
    MakeChoices,
    MakeForm,
    Players,
    ScoreFile,
    ScoreName,
    TimbreName,
    VisionName,
    make_parameters,
    path_text,
    read_make,
    shown,
)
from flows.deployed.parent import die_with_worker
from flows.deployed.tasks import check_task_options, option_values
from flows.deployed.tracked import picture_to_song
from flows.runs.outcome import BatchResult
from flows.runs.roots import inside, runs_folder
from flows.runs.songs import song_folder_name
from flows.runs.stagehand import STAGEHANDS
from flows.runs.stages import MakeOptions
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.vision import VISION_ENGINES
from phase2_music.timbre import TIMBRE_ENGINES

PICTURES = "pictures"
MOST_WORKERS = 64
SONG_DEPLOYMENT = "picture-to-song/picture-to-song"

Make = Callable[[MakeOptions], Awaitable[str]]
"""Makes a picture's song and gives its folder."""


PicturesFolder = Annotated[str, path_text("Folder of pictures", "Every picture in it becomes a song", 0, min_length=1)]
RunsFolder = Annotated[str, path_text("Folder for the runs", "One run a picture; left empty: runs/<folder's name>", 8)]
Workers = Annotated[
    int, shown("Pictures at a time", "One for each processor core is a good number", 9, ge=1, le=MOST_WORKERS)
]
Spread = Annotated[
    bool,
    shown("Spread over machines", "Each picture goes to any worker of picture-to-song, and not to this one only", 10),
]
FolderOptionsForm = Annotated[MakeForm, shown("Options", "How everything is made, and how the score is played", 11)]


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder with their run folders, and how they are asked for."""

    pictures: Sequence[Path]
    runs: Sequence[Path]
    choices: MakeChoices
    form: MakeForm

    def options(self, number: int) -> MakeOptions:
        """What one picture's run is asked for.

        Raises:
            UsageError: the picture is too large, or leads outside the roots.
        """
        picture, out = str(self.pictures[number]), str(self.runs[number])
        return read_make(dataclasses.replace(self.choices, picture=picture, out=out), self.form)


def _run_name() -> str:
    given = flow_run.parameters
    return f"{Path(str(given['folder'])).name or given['folder']} -> {given['score']}"


@flow(name="render-folder", flow_run_name=_run_name, log_prints=False)
async def render_folder(
    folder: PicturesFolder = PICTURES,
    score: ScoreName = "canon",
    score_file: ScoreFile = "",
    vision: VisionName = VISION_ENGINES.default,
    effects: EffectsName = EFFECTS_ENGINES.default,
    timbre: TimbreName = TIMBRE_ENGINES.default,
    look: LookName = "natural",
    players: Players = ALL_PLAYERS,
    out: RunsFolder = "",
    workers: Workers = 2,
    spread: Spread = False,
    options: FolderOptionsForm = MakeForm(),  # noqa: B008 - frozen
) -> State[dict[str, Any]]:
    """Every picture of a folder becomes a song. What is finished stays; a run that was stopped goes on where it stopped.

    Gives counts and one outcome a picture. A picture that fails stops nothing; the run fails when every picture does.
    """
    die_with_worker()
    choices = MakeChoices("", score, score_file, vision, effects, timbre, look, players, "")
    found = await asyncio.to_thread(_read_folder, folder, out, choices, options)
    await _check(found)
    slots = asyncio.Semaphore(workers)
    make = _make_elsewhere if spread else _make_here
    results = await asyncio.gather(*(_one(found, number, slots, make) for number in range(len(found.pictures))))
    await batch_report(results, f"{Path(folder).name} -> {score}")
    return _ended(results)


def _read_folder(folder: str, out: str, choices: MakeChoices, form: MakeForm) -> Folder:
    pictures = list_pictures(inside(folder, "folder"))
    runs = inside(out or runs_folder() / Path(folder).name, "out")
    return Folder(pictures, run_folders(pictures, runs), choices, form)


async def _check(found: Folder) -> None:
    """Refuse what is wrong for all pictures alike.

    Raises:
        PhotoneError: an engine or a score that cannot be used.
    """
    for number in range(len(found.pictures)):
        try:
            options = await asyncio.to_thread(found.options, number)
        except UsageError:
            if number == len(found.pictures) - 1:  # wrong for all; else its own outcome tells
                raise
            continue
        await check_task_options(option_values(options))
        return


async def _one(found: Folder, number: int, slots: asyncio.Semaphore, make: Make) -> BatchResult:
    picture = found.pictures[number]
    async with slots:
        began = time.perf_counter()
        try:
            options = await asyncio.to_thread(found.options, number)
            there = (await STAGEHANDS.do("finished", option_values(options))).get("song_folder")
            song_folder = Path(there or await make(options))
            return BatchResult.of_run(options, song_folder, time.perf_counter() - began, unchanged=there is not None)
        except Exception as error:
            get_run_logger().warning("%s: %s", picture.name, error)
            return BatchResult.of_error(picture, error, time.perf_counter() - began)


async def _make_here(options: MakeOptions) -> str:
    return str(await picture_to_song(**make_parameters(options)))


async def _make_elsewhere(options: MakeOptions) -> str:
    """Have any worker of the deployment make it, and wait for that; the run folder has to be on a share."""
    # The same run again where this flow was stopped and goes on; a new one where that had failed.
    key = f"{flow_run.id}-{flow_run.run_count}-{options.out}"
    parameters = to_jsonable_python(make_parameters(options))
    made = await arun_deployment(SONG_DEPLOYMENT, parameters=parameters, idempotency_key=key, poll_interval=2)
    if made.state is None or not made.state.is_completed():
        reason = (made.state.message if made.state else None) or "it did not finish"
        raise EngineError(f"{options.picture.name}: run {made.name}: {reason.splitlines()[0]}")
    return str(options.out / "songs" / song_folder_name(options.song))


def _ended(results: Sequence[BatchResult]) -> State[dict[str, Any]]:
    counts = summary_of(results)
    message = ", ".join(f"{what} {count}" for what, count in counts.items())
    value = {**counts, "outcomes": [result.as_json() for result in results]}
    if counts["failed"] == len(results):
        return Failed(message=f"every picture failed: {results[0].error}", data=value)
    return Completed(message=message, data=value)
