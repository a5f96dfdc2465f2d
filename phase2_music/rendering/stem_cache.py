"""Raw stems that were rendered before, so that a changed score renders only the roles that changed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.manifest import TEMPORARY_PREFIX

_ABANDONED_S = 24 * 3600.0


@dataclass(frozen=True)
class StemCache:
    """A folder of raw stems by key (a hash of all that a stem depends on), at most `max_bytes` in all.

    Stems that were not used for the longest time go first. The folder may be removed at any time; where it cannot be written
    to, stems are rendered each time.
    """

    folder: Path
    max_bytes: int = 2 * 1024**3

    def find(self, key: str) -> Path | None:
        """The stem of a key, or None. It counts as used now."""
        path = self._path(key)
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def usable(self) -> bool:
        """Whether stems can be kept here."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        return os.access(self.folder, os.W_OK)

    def place(self, key: str) -> Path:
        """Where to write the stem of a key before it is kept."""
        return self.folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{key}.wav"

    def keep(self, key: str) -> Path:
        """Take in the stem that was written to its place; gives where it is."""
        return self.place(key).replace(self._path(key))

    def tidy(self, in_use: Sequence[Path]) -> None:
        """Remove what was used least lately until the rest fits, and what stopped runs left; never what is in use."""
        with suppress(OSError):
            stems = sorted(
                ((path, path.stat()) for path in self.folder.glob("*.wav")), key=lambda item: -item[1].st_mtime
            )
            total = 0
            for path, status in stems:
                if path.name.startswith(TEMPORARY_PREFIX):
                    unwanted = time.time() - status.st_mtime > _ABANDONED_S
                else:
                    total += status.st_size
                    unwanted = total > self.max_bytes and path not in in_use
                if unwanted:
                    path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.wav"
