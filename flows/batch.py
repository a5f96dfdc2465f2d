"""Every picture of a folder, one run each: resumes, and one bad picture stops nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, get_args

from core.errors import PhotoneError, PictureError, UsageError
from core.manifest import prepare_folder
from flows.runs.ledger import RUN_FILE
from flows.runs.songs import Made, SongOptions
from flows.runs.stagehand import StageCrashError, Stagehand
from flows.runs.stages import MakeOptions, check_options
from flows.runs.staging import option_values
from flows.runs.storage import Storage, make_stored
from schemas.run import Run
from schemas.song import Song

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif")


RunnerName = Literal["process", "thread", "dask", "ray"]
RUNNERS: tuple[RunnerName, ...] = get_args(RunnerName)

Told = Callable[[str], None]


@dataclass(frozen=True)
class BatchResult:
    """One picture's outcome: the song's path, or the reason why there is none.

    `elapsed_s` is what it took, `cached` names the stages that were passed over; `unchanged` when all were.
    """

    picture: Path
    song: Path | None
    error: str | None
    elapsed_s: float = 0.0
    cached: tuple[str, ...] = ()
    unchanged: bool = False

    @classmethod
    def of_run(
        cls, options: MakeOptions, song_folder: Path, elapsed_s: float, *, unchanged: bool = False
    ) -> BatchResult:
        """What a finished run's documents tell; in an `unchanged` one nothing was done now."""
        stages = Run.read(options.out / RUN_FILE).stages
        cached = tuple(stage.name for stage in stages if stage.cached or unchanged)
        song = song_folder / (Song.read(song_folder / "song.json").file or "stems")
        return cls(options.picture, song, None, elapsed_s, cached, len(cached) == len(stages))

    @classmethod
    def of_made(cls, options: MakeOptions, made: Made, elapsed_s: float) -> BatchResult:
        """What `make` gave."""
        cached = tuple(stage.name for stage in made.run.stages if stage.cached)
        return cls(options.picture, made.song_path, None, elapsed_s, cached, len(cached) == len(made.run.stages))

    @classmethod
    def of_error(cls, picture: Path, error: Exception, elapsed_s: float) -> BatchResult:
        """Why there is no song, in one line."""
        return cls(picture, None, reason_of(error), elapsed_s)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "picture": str(self.picture),
            "song": str(self.song) if self.song else None,
            "error": self.error,
            "elapsed_s": round(self.elapsed_s, 2),
            "unchanged": self.unchanged,
            "cached": list(self.cached),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> BatchResult:
        """`as_json` backwards."""
        song = Path(value["song"]) if value["song"] else None
        picture, error = Path(value["picture"]), value["error"]
        return cls(picture, song, error, value["elapsed_s"], tuple(value["cached"]), value["unchanged"])


def reason_of(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, PhotoneError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "a stage took too long and was ended: see the run's log, then run it again"
    last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    text = last[0] if isinstance(error, StageCrashError) else f"{type(error).__name__}: {last[0]}"
    return f"a mistake in photone ({text}): please report it"


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


@dataclass(frozen=True)
class Work:
    """What a runner has to do: runs, how many at a time, where they are published, who is told."""

    runs: Sequence[MakeOptions]
    workers: int
    address: str
    report: Told

    def values(self, run: MakeOptions) -> dict[str, Any]:
        """A run as JSON values for another process."""
        return option_values(run) | {"address": self.address}


def make_one(options: MakeOptions, address: str, report: Told) -> BatchResult:
    """A picture's whole way; whatever goes wrong becomes the outcome."""
    began = time.perf_counter()
    try:
        made = make_stored(options, address, report)
        return BatchResult.of_made(options, made, time.perf_counter() - began)
    except Exception as error:
        return BatchResult.of_error(options.picture, error, time.perf_counter() - began)


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
            told = hand.ask("make", work.values(run), lambda text: work.report(f"{run.picture.name}: {text}"))
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
