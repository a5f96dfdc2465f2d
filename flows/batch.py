"""Every picture of a folder, one run each: resumes, and one bad picture stops nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import PhotoneError, PictureError
from core.manifest import prepare_folder
from flows.songs import SongOptions
from flows.stages import MakeOptions, check_options, make

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif")


@dataclass(frozen=True)
class BatchResult:
    """One picture's outcome: the song's path, or the reason why there is none."""

    picture: Path
    song: Path | None
    error: str | None

    def as_json(self) -> dict[str, str | None]:
        """The same as JSON values."""
        return {"picture": str(self.picture), "song": str(self.song) if self.song else None, "error": self.error}


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
    folder: Path, out: Path, song: SongOptions, report: Callable[[str], None] = lambda stage: None, **options: Any
) -> list[BatchResult]:
    """Make a song out of every picture in a folder.

    Raises:
        PictureError: no such folder, or no picture in it.
        PhotoneError: the options are wrong for all pictures alike.
    """
    pictures = list_pictures(folder)
    runs = [
        MakeOptions(picture=picture, out=run, song=song, **options)
        for picture, run in zip(pictures, run_folders(pictures, out), strict=True)
    ]
    check_options(runs[0])
    prepare_folder(out)
    return [_one(run, report) for run in runs]


def _one(options: MakeOptions, report: Callable[[str], None]) -> BatchResult:
    try:
        made = make(options, lambda stage: report(f"{options.picture.name}: {stage}"))
    except PhotoneError as error:
        return BatchResult(options.picture, None, str(error))
    return BatchResult(options.picture, made.song_path, None)
