"""A folder that is watched: each picture that has arrived whole becomes a run, once, also across restarts.

A picture has arrived when its size and time have stayed the same from one look to the next and it can be decoded. What was
started stands in a journal, by content; the server is given the same key, so that a stop in between starts nothing twice.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import PhotoneError
from core.manifest import sha256_bytes, sha256_file, to_json, write_text
from flows.runs.roots import PICTURE_LIMIT_BYTES, check_size

LOOK_S = 1.0

Start = Callable[[Path, Path, str], None]
"""Starts a run: picture, run folder, key that names the run once and for all. Raises PhotoneError."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class _Shape:
    """What of a file changes while it is being written."""

    bytes: int
    mtime_ns: int


@dataclass
class Watcher:
    """Looks into `folder`, starts runs below `runs` and keeps its journal in the file `journal`.

    `score` is part of a run's folder and key: another score for the same picture is another run.
    """

    folder: Path
    runs: Path
    journal: Path
    score: str
    start: Start
    tell: Tell
    _seen: dict[Path, _Shape] = field(default_factory=dict)
    _settled: dict[Path, _Shape] = field(default_factory=dict)

    def watch(self, stop: threading.Event) -> None:
        """Look once a second until told to stop; what goes wrong is told and tried again."""
        while not stop.wait(LOOK_S):
            try:
                self.look()
            except PhotoneError as error:
                self.tell(str(error))
            except OSError as error:
                self.tell(f"{self.folder}: cannot be looked into ({error.strerror}): check the folder")

    def look(self) -> None:
        """One look: start what has arrived since.

        Raises:
            PhotoneError: the server does not take a run now; the next look tries again.
        """
        shapes = {path: _shape(path) for path in self._pictures()}
        whole = [path for path, shape in shapes.items() if self._seen.get(path) == shape]
        self._seen = shapes
        for path in whole:
            if self._settled.get(path) != shapes[path]:
                self._arrived(path)
                self._settled[path] = shapes[path]

    def _pictures(self) -> list[Path]:
        from flows.batch import PICTURE_SUFFIXES

        return [
            path
            for path in sorted(self.folder.iterdir())
            if path.suffix.lower() in PICTURE_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
            and not path.is_symlink()
        ]

    def _arrived(self, path: Path) -> None:
        problem = _problem(path)
        if problem:
            self.tell(f"left alone until it changes: {problem}")
            return
        key = sha256_bytes(f"{path.absolute()}\0{sha256_file(path)}\0{self.score}".encode())
        started = self._started()
        if key in started:
            return
        folder = self._run_folder(path, started)
        self.start(path, folder, key)
        started[key] = {"picture": path.name, "run": folder.name}
        write_text(self.journal, to_json(started))
        self.tell(f"{path.name}: started, into {folder}")

    def _run_folder(self, path: Path, started: dict[str, dict[str, str]]) -> Path:
        """runs/<picture>-<score>, with the whole file name where another picture has taken that."""
        plain = f"{path.stem}-{self.score}"
        taken = any(entry["run"] == plain and entry["picture"] != path.name for entry in started.values())
        return self.runs / (f"{path.name}-{self.score}" if taken else plain)

    def _started(self) -> dict[str, dict[str, str]]:
        if not self.journal.is_file():
            return {}
        known: dict[str, dict[str, str]] = json.loads(self.journal.read_text())
        return known


def _shape(path: Path) -> _Shape:
    try:
        found = path.stat()
    except OSError:  # gone since it was listed
        return _Shape(-1, -1)
    return _Shape(found.st_size, found.st_mtime_ns)


def _problem(path: Path) -> str | None:
    """Why a file is no whole picture, or None."""
    from phase1_sound.vision.pictures import load_rgb

    try:
        check_size(path, PICTURE_LIMIT_BYTES, "picture")
        load_rgb(path)
    except PhotoneError as error:
        return str(error)
    return None
