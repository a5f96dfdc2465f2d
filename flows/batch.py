"""Every picture of a folder, one run each: resumes, and one bad picture stops nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, get_args

from core.errors import PictureError, UsageError
from core.manifest import prepare_folder
from flows.runs.outcome import BatchResult, Told, Work, make_one
from flows.runs.songs import SongOptions
from flows.runs.stagehand import Stagehand
from flows.runs.stages import MakeOptions, check_options
from flows.runs.staging import make_request
from flows.runs.storage import Storage

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif")


RunnerName = Literal["process", "thread", "dask", "ray"]
RUNNERS: tuple[RunnerName, ...] = get_args(RunnerName)


def summary_of(results: Sequence[BatchResult]) -> dict[str, int]:
    """How many songs were made, were there unchanged, and failed."""
    failed = sum(result.error is not None for result in results)
    unchanged = sum(result.unchanged for result in results)
    return {"made": len(results) - failed - unchanged, "unchanged": unchanged, "failed": failed}


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder by name, hidden files left out.

    Raises:
        PictureError: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise PictureError(f"{folder}: no such folder: check the path")
    pictures = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not pictures:
        raise PictureError(f"{folder}: holds no picture ({', '.join(PICTURE_SUFFIXES)}): choose another folder")
    return pictures


def run_folders(pictures: list[Path], out: Path) -> list[Path]:
    """A run folder for each picture: its stem, or its whole name where two pictures share a stem (no two clash)."""
    stems = Counter(path.stem for path in pictures)
    return [out / (path.stem if stems[path.stem] == 1 else path.name) for path in pictures]


def make_batch(
    folder: Path,
    out: Path,
    song: SongOptions,
    report: Told = lambda stage: None,
    *,
    runner: RunnerName = "process",
    workers: int = 1,
    address: str = "",
    **options: Any,
) -> list[BatchResult]:
    """Make a song out of every picture in a folder, `workers` at a time; with one, in this process.

    Finished runs are published to `address`, if any.

    Raises:
        PictureError: no such folder, or no picture in it.
        UsageError: no such runner.
        EngineError: the runner's package is not installed.
        PhotoneError: the options are wrong for all pictures alike.
    """
    pictures = list_pictures(folder)
    runs = [
        MakeOptions(picture=picture, out=run, song=song, **options)
        for picture, run in zip(pictures, run_folders(pictures, out), strict=True)
    ]
    make_all = _runner(runner, workers)
    check_options(runs[0])
    if address:
        Storage(address)
    prepare_folder(out)
    return make_all(Work(runs, workers, address, report))


def _runner(name: str, workers: int) -> Callable[[Work], list[BatchResult]]:
    if name not in RUNNERS:
        raise UsageError(f"no runner is called {name!r}: choose one of {', '.join(RUNNERS)}")
    if name in ("dask", "ray"):
        from flows.cluster import cluster_runner

        return cluster_runner(name)
    if workers == 1:
        return lambda work: [_one(work, run) for run in work.runs]
    return _in_threads if name == "thread" else _in_processes


def _one(work: Work, run: MakeOptions) -> BatchResult:
    return make_one(run, work.address, lambda stage: work.report(f"{run.picture.name}: {stage}"))


def _in_threads(work: Work) -> list[BatchResult]:
    with ThreadPoolExecutor(work.workers) as pool:
        try:
            return list(pool.map(lambda run: _one(work, run), work.runs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _in_processes(work: Work) -> list[BatchResult]:
    """Each picture in a child process; one that dies is replaced, and only its picture fails."""
    idle: SimpleQueue[Stagehand] = SimpleQueue()
    hands = [Stagehand() for _ in range(min(work.workers, len(work.runs)))]
    for hand in hands:
        idle.put(hand)

    def one(run: MakeOptions) -> BatchResult:
        hand, began = idle.get(), time.perf_counter()
        if not hand.alive:
            hand = Stagehand()
            hands.append(hand)
        try:
            request = make_request(run, work.address)
            told = hand.ask("make", request, lambda text: work.report(f"{run.picture.name}: {text}"))
            return BatchResult.from_json(told)
        except Exception as error:
            return BatchResult.of_error(run.picture, error, time.perf_counter() - began)
        finally:
            idle.put(hand)

    pool = ThreadPoolExecutor(len(hands))
    try:
        return list(pool.map(one, work.runs))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for hand in hands:
            hand.kill()
