"""One finished sample of an instrument, and how it is brought to its level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.audio import SAMPLE_RATE, Audio, Samples
from core.loudness import from_db, loudness_lufs, peak_gain

IN_TUNE_CENTS = 15.0
"""What a sample may be off: half of what a listener forgives, since players shift it and add their envelope."""
UNHEARD_CENTS = 9999.0
"""Stands for how far off a sample is in which a tracker hears no pitch."""
CEILING_DBTP = -1.0


@dataclass(frozen=True)
class Sample:
    """Samples of shape (1 or 2, frames) with their file's name, key and loop.

    `off_cents` is how far from the key two trackers heard it (None where nobody asked, as for drums); `steady` says that
    it did not waver. `alternative` is 1 for the sample itself, 2 and up for round robins of the same key.
    `blend` is the share of a timbre that was lent to it, 0..1 (None where none was to be).
    """

    name: str
    key: int
    samples: Samples
    tune_cents: float = 0.0
    loop: tuple[int, int] | None = None
    off_cents: tuple[float, float] | None = None
    steady: bool = False
    alternative: int = 1
    blend: float | None = None

    @property
    def in_tune(self) -> bool:
        """Whether both trackers heard the key, without wavering."""
        return self.steady and self.off_cents is not None and max(map(abs, self.off_cents)) <= IN_TUNE_CENTS

    @property
    def mono(self) -> Samples:
        """Mean of the channels, shape (frames,)."""
        return np.asarray(self.samples.mean(axis=0))


def levelled(samples: Samples, loop: tuple[int, int] | None, target_lufs: float) -> Samples:
    """Bring a sample to a loudness; peaks before the loop are rounded off, the loop itself is only scaled."""
    head = Audio(samples[:, :SAMPLE_RATE], SAMPLE_RATE)
    samples = samples * np.float32(from_db(target_lufs - loudness_lufs(head)))
    ceiling = from_db(CEILING_DBTP)
    loop_start = loop[0] if loop else samples.shape[1]
    loop_peak = float(np.max(np.abs(samples[:, loop_start:]), initial=0.0))
    if loop_peak > 0.9 * ceiling:
        samples = samples * np.float32(0.9 * ceiling / loop_peak)
    gain = peak_gain(samples, ceiling, round(0.004 * SAMPLE_RATE))
    if gain is None:
        return np.asarray(samples)
    # Past this frame every gain is exactly one: the loop keeps its whole periods.
    gain[max(0, loop_start - 1) :] = 1.0
    return np.asarray(samples * gain)
