"""A picture's whole way as part of a batch, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import PhotoneError
from flows.runs.crash import StageCrashError
from flows.runs.ledger import RUN_FILE
from flows.runs.songs import Made
from flows.runs.stages import MakeOptions
from flows.runs.storage import make_stored
from schemas.run import Run
from schemas.song import Song

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


@dataclass(frozen=True)
class Work:
    """What a runner has to do: runs, how many at a time, where they are published, who is told."""

    runs: Sequence[MakeOptions]
    workers: int
    address: str
    report: Told


def make_one(options: MakeOptions, address: str, report: Told) -> BatchResult:
    """A picture's whole way; whatever goes wrong becomes the outcome."""
    began = time.perf_counter()
    try:
        made = make_stored(options, address, report)
        return BatchResult.of_made(options, made, time.perf_counter() - began)
    except Exception as error:
        return BatchResult.of_error(options.picture, error, time.perf_counter() - began)
