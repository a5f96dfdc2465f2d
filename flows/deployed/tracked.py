"""Prefect: thin flows around the tasks of `flows/deployed/tasks.py`. Take the decorators away and the same code runs.

What their parameters look like in the user interface stands in `flows/deployed/forms.py`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect import flow
from prefect.logging.handlers import APILogHandler
from prefect.runtime import flow_run

from flows.deployed.artifacts import Progress, song_report
from flows.deployed.forms import (
    ALL_PLAYERS,
    DEMO,
    LATEST,
    EffectsName,
    LookName,
    MakeChoices,
    MakeForm,
    MakeOptionsForm,
    OutFolder,
    PictureFile,
    Players,
    RunName,
    ScoreFile,
    ScoreName,
    SongForm,
    SongOptionsForm,
    TimbreName,
    VisionName,
    make_parameters,
    read_make,
    read_run,
    run_name,
)
from flows.deployed.parent import die_with_worker
from flows.deployed.tasks import (
    PROGRESS,
    casting_task,
    check_task_options,
    effects_task,
    fetch_run,
    instruments_task,
    option_values,
    picture_task,
    publish_run,
    scene_task,
    song_task,
)
from flows.runs import songs
from flows.runs.ledger import RUN_FILE
from flows.runs.locks import awaited_run_lock
from flows.runs.roots import unconfined
from flows.runs.songs import Made
from flows.runs.stages import MakeOptions
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.vision import VISION_ENGINES
from phase2_music.timbre import TIMBRE_ENGINES
from schemas.run import Run
from schemas.song import Song

# Before the run says that it is running: the next worker must not meet a run whose worker is dead.
die_with_worker()


def _picture_and_score() -> str:
    given = flow_run.parameters
    return run_name(str(given["picture"]), str(given["score"]), str(given["score_file"]))


def _run_and_score() -> str:
    given = flow_run.parameters
    return run_name(str(given["run"]), str(given["score"]), str(given["score_file"]))


@flow(name="picture-to-song", flow_run_name=_picture_and_score, log_prints=False)
async def picture_to_song(
    picture: PictureFile = DEMO,
    score: ScoreName = "canon",
    score_file: ScoreFile = "",
    vision: VisionName = VISION_ENGINES.default,
    effects: EffectsName = EFFECTS_ENGINES.default,
    timbre: TimbreName = TIMBRE_ENGINES.default,
    look: LookName = "natural",
    players: Players = ALL_PLAYERS,
    out: OutFolder = "",
    options: MakeOptionsForm = MakeForm(),  # noqa: B008 - frozen
) -> str:
    """A picture becomes a song: what can be heard in it, a band made of that, and a score that the band plays.

    Gives the song's folder. A run that was stopped goes on where it stopped.
    """
    die_with_worker()
    choices = MakeChoices(picture, score, score_file, vision, effects, timbre, look, players, out)
    asked = await asyncio.to_thread(read_make, choices, options)
    values = option_values(asked)
    await check_task_options(values)
    progress = Progress()
    PROGRESS.set(progress.told)
    async with awaited_run_lock(asked.out):
        await fetch_run(asked.out)
        for stage in (picture_task, scene_task, effects_task, casting_task, instruments_task):
            await stage(values)
            await progress.finish(stage.name)
        song_folder = str(await song_task(str(asked.out), asked.song))
        await publish_run(asked.out)
    await song_report(asked.out, Path(song_folder))
    return song_folder


@flow(name="swap-score", flow_run_name=_run_and_score, log_prints=False)
async def swap_score(
    run: RunName = LATEST,
    score: ScoreName = "canon",
    score_file: ScoreFile = "",
    look: LookName = "natural",
    players: Players = ALL_PLAYERS,
    options: SongOptionsForm = SongForm(),  # noqa: B008 - frozen
) -> str:
    """The band of a finished run plays another score. Gives the song's folder."""
    die_with_worker()
    folder = await asyncio.to_thread(read_run, run)
    asked = options.song(score, score_file, look, players)
    await asyncio.to_thread(songs.check_swap, folder, asked)
    async with awaited_run_lock(folder):
        song_folder = str(await song_task(str(folder), asked))
        await publish_run(folder)
    await song_report(folder, Path(song_folder))
    return song_folder


def run_picture_to_song(options: MakeOptions) -> Made:
    """Run the flow in this process against the server that the environment names, with the user's own rights.

    Raises:
        PhotoneError: as `stages.make`.
    """
    unconfined()
    try:
        song_folder = asyncio.run(picture_to_song(**make_parameters(options)))
    finally:
        # The server may stop right after this call: the last log lines have to be there before.
        APILogHandler().flush()
    return Made(Run.read(options.out / RUN_FILE), Song.read(Path(song_folder) / "song.json"), Path(song_folder))
