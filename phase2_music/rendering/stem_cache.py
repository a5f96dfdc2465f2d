"""Raw stems that were rendered before, so that a changed score renders only the roles that changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.manifest import TEMPORARY_PREFIX, translate_os_error
from phase2_music.rendering.encoding import RAW_SUFFIX
from phase2_music.rendering.metering import BAND_HZ, HOP_FRAMES, StemMeasure

_MEASURE_SUFFIX = ".npy"
_ABANDONED_S = 24 * 3600.0
_JUST_USED_S = 300.0  # another run may be reading it


@dataclass(frozen=True)
class StemCache:
    """A folder of raw stems by key (a hash of all that a stem depends on), at most `max_bytes` in all.

    Stems that were not used for the longest time go first, those of the last five minutes never: other runs may be reading
    them. The folder may be removed between runs; where it cannot be written to, stems are rendered each time. A stem's name
    ends with its length in bytes, so that what a crash has cut short is not taken for whole. What was measured of a stem lies
    beside it.
    """

    folder: Path
    max_bytes: int = 2 * 1024**3

    def find(self, key: str) -> Path | None:
        """The stem of a key, or None. It counts as used now."""
        for path in self.folder.glob(f"{key}-*{RAW_SUFFIX}"):
            with suppress(OSError):
                if path == self._path(key, path.stat().st_size):
                    os.utime(path)
                    return path
        return None

    def usable(self) -> bool:
        """Whether stems can be kept here."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        return os.access(self.folder, os.W_OK)

    def place(self, key: str) -> Path:
        """Where this thread writes the stem of a key before it is kept."""
        return self.folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{threading.get_ident()}-{key}{RAW_SUFFIX}"

    def keep(self, key: str, measure: StemMeasure) -> Path:
        """Take in the stem that this thread wrote to its place, and what was measured of it; gives where the stem is.

        Raises:
            OutputError: the folder went away meanwhile.
        """
        written = self.place(key)
        try:
            kept = self._path(key, written.stat().st_size)
            with written.with_suffix(_MEASURE_SUFFIX).open("wb") as file:
                np.save(file, measure.powers)
            written.with_suffix(_MEASURE_SUFFIX).replace(kept.with_suffix(_MEASURE_SUFFIX))
            return written.replace(kept)
        except OSError as error:
            raise translate_os_error(error, written) from error

    def measure(self, stem: Path) -> StemMeasure | None:
        """What was measured of a stem that is kept here; None where it is lost or damaged."""
        with suppress(OSError, ValueError, EOFError):
            powers = np.load(stem.with_suffix(_MEASURE_SUFFIX), allow_pickle=False)
            hops = -(-stem.stat().st_size // (8 * HOP_FRAMES))
            if powers.shape == (hops, len(BAND_HZ)) and powers.dtype == np.float32 and np.isfinite(powers).all():
                return StemMeasure(powers)
        return None

    def tidy(self, in_use: Sequence[Path]) -> None:
        """Remove what was used least lately until the rest fits, and what stopped runs left; never what is in use."""
        with suppress(OSError):
            stems = sorted(
                ((path, path.stat()) for path in self.folder.glob(f"*{RAW_SUFFIX}")), key=lambda item: -item[1].st_mtime
            )
            total, now = 0, time.time()
            for path, status in stems:
                if path.name.startswith(TEMPORARY_PREFIX):
                    unwanted = now - status.st_mtime > _ABANDONED_S
                else:
                    total += status.st_size
                    idle = path not in in_use and now - status.st_mtime > _JUST_USED_S
                    unwanted = total > self.max_bytes and idle
                if unwanted:
                    path.unlink(missing_ok=True)
                    path.with_suffix(_MEASURE_SUFFIX).unlink(missing_ok=True)

    def _path(self, key: str, size: int) -> Path:
        return self.folder / f"{key}-{size}{RAW_SUFFIX}"
