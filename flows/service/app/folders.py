"""Which files of a runs folder may be shown: those of finished runs, and only those.

A file is served when it lies in a folder that has a run.json, below the runs folder, with no link leading out of it, no
hidden name on its way and a suffix that a run's files have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from flows.runs.ledger import RUN_FILE

PAGE_FILE = "index.html"
UPLOADS = "uploads"
"""The folder below the runs folder that uploads are kept in."""

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".mid": "audio/midi",
    ".sfz": "text/plain; charset=utf-8",
    ".sf2": "application/octet-stream",
    ".dspreset": "application/octet-stream",
    ".zip": "application/zip",
}
"""What is served, by suffix, and as what; no SVG, which can hold scripts."""

_DEPTH = 3  # runs/<run>, runs/<batch>/<run>


def find_file(runs: Path, path: str) -> Path | None:
    """The file of a run that a URL's path below /runs/ means, links resolved; None for everything else."""
    parts = PurePosixPath(path).parts
    if not parts or any(part.startswith(".") or "\\" in part or "\0" in part for part in parts) or path.startswith("/"):
        return None
    root = runs.resolve()
    try:
        found = root.joinpath(*parts).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    if not found.is_file() or not found.is_relative_to(root) or found.suffix.lower() not in MEDIA_TYPES:
        return None
    below = found.relative_to(root)
    if any(part.startswith(".") for part in below.parts):
        return None
    folders = [root.joinpath(*below.parts[:depth]) for depth in range(1, len(below.parts))]
    return found if any((folder / RUN_FILE).is_file() for folder in folders) else None


def find_runs(runs: Path) -> list[Path]:
    """Finished runs, the newest first, as paths relative to the runs folder; links are not followed."""
    found = [((folder / RUN_FILE).stat().st_mtime, folder.relative_to(runs)) for folder in finished_runs(runs)]
    return [path for _, path in sorted(found, key=lambda each: (-each[0], each[1]))]


def finished_runs(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Folders of finished runs below a folder."""
    try:
        below = sorted(path for path in folder.iterdir() if _may_hold(path, depth))
    except OSError:  # is none, may not be read, or just went away
        return
    for path in below:
        if (path / RUN_FILE).is_file():
            if (path / PAGE_FILE).is_file():
                yield path
        elif depth > 1:
            yield from finished_runs(path, depth - 1)


def _may_hold(path: Path, depth: int) -> bool:
    if path.name.startswith(".") or (depth == _DEPTH and path.name == UPLOADS):
        return False
    return not path.is_symlink() and path.is_dir()


def run_id(name: str) -> str:
    """A run's name in URLs of the API: 16 hexadecimal digits of its path below the runs folder."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def run_url(name: str, *parts: str) -> str:
    """Where the player shows a file of a run."""
    return "/runs/" + quote("/".join((name, *parts)), errors="surrogateescape")
