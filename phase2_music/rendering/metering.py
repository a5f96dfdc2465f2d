"""What a mix has to know of a stem: its power in third octaves, every 0.1 s. Cheap enough to be fed while the stem renders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import fft

from core.audio import SAMPLE_RATE, Samples
from core.loudness import gated_loudness, k_weighting

HOP_FRAMES = SAMPLE_RATE // 10
BAND_HZ = 1000.0 * 2.0 ** (np.arange(-17, 14) / 3.0)
"""Centres of the third octaves, 20 Hz to 20 kHz."""
_OVERLAP = 315
_LENGTH = HOP_FRAMES + 2 * _OVERLAP
_BATCH_HOPS = 16
_K_POWER = np.abs(k_weighting(BAND_HZ, SAMPLE_RATE)) ** 2


@dataclass(frozen=True)
class StemMeasure:
    """Mean square of a stem, both channels together, shape (hops, bands): hops of 0.1 s, bands as in `BAND_HZ`."""

    powers: Samples

    def loudness_lufs(self, gains: npt.NDArray[np.float64] | None = None) -> float:
        """Integrated loudness, through a tone correction with these gains (amplitudes, one for each band) if given.

        Within 0.2 LU of BS.1770-4's, whose filter is here a weight for each band; -inf for silence.
        """
        powers = self.k_powers(gains)
        return gated_loudness(np.pad(powers, (0, max(0, 4 - len(powers)))))

    def k_powers(self, gains: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.float64]:
        """K-weighted mean square of each hop, shape (hops,)."""
        return np.asarray(self.powers @ (_K_POWER if gains is None else _K_POWER * np.square(gains)))


class StemMeter:
    """Measures a stem that comes in blocks; memory grows by 1.2 KB a second.

    The windows overlap by 14 ms with cos^2 + sin^2 = 1, so that every sample's energy counts once, wherever the beat falls.
    """

    def __init__(self) -> None:
        self._pending: list[Samples] = [np.zeros((_OVERLAP, 2), dtype=np.float32)]
        self._waiting = 0
        self._powers: list[Samples] = []

    def add(self, block: Samples) -> None:
        """Take the next block, shape (frames, 2)."""
        self._pending.append(np.array(block, dtype=np.float32))
        self._waiting += len(block)
        if self._waiting >= _BATCH_HOPS * HOP_FRAMES + _OVERLAP:
            self._transform()

    def measure(self) -> StemMeasure:
        """The measure of all blocks so far; the last hop is filled with silence. Ends the metering."""
        if missing := -self._waiting % HOP_FRAMES:
            self._pending.append(np.zeros((missing, 2), dtype=np.float32))
        self._pending.append(np.zeros((_OVERLAP, 2), dtype=np.float32))
        self._transform(last=True)
        return StemMeasure(np.concatenate([np.zeros((0, len(BAND_HZ)), dtype=np.float32), *self._powers]))

    def _transform(self, *, last: bool = False) -> None:
        joined = np.concatenate(self._pending)
        hops = (len(joined) - 2 * _OVERLAP) // HOP_FRAMES
        if not last:
            # Whole batches from the beginning: a product of another shape rounds otherwise, and the same stem must measure the
            # same in whatever blocks it comes.
            hops = hops // _BATCH_HOPS * _BATCH_HOPS
        if hops <= 0:
            self._pending = [joined]
            return
        # Left and right as real and imaginary part: one transform for both, |Z(f)|^2 + |Z(-f)|^2 = 2 (|L|^2 + |R|^2).
        windows = np.lib.stride_tricks.sliding_window_view(joined.reshape(-1), 2 * _LENGTH)[:: 2 * HOP_FRAMES]
        for start in range(0, hops, _BATCH_HOPS):
            batch = windows[start : start + _BATCH_HOPS]
            if batch.any():
                spectra = fft.fft((batch * _window()).view(np.complex64), axis=1).view(np.float32)
                self._powers.append(np.square(spectra, out=spectra) @ _bands())
            else:
                self._powers.append(np.zeros((len(batch), len(BAND_HZ)), dtype=np.float32))
        self._pending = [joined[hops * HOP_FRAMES :]]
        self._waiting = len(self._pending[0]) - _OVERLAP


@cache
def _window() -> Samples:
    slope = np.sin(0.5 * np.pi * (np.arange(2 * _OVERLAP) + 0.5) / (2 * _OVERLAP))
    flat = np.ones(_LENGTH - 4 * _OVERLAP)
    return np.repeat(np.concatenate([slope, flat, slope[::-1]]), 2).astype(np.float32)


@cache
def _bands() -> Samples:
    """Share of each bin in each band, scaled to mean squares, shape (2 bins, bands): real and imaginary parts in turn."""
    width = SAMPLE_RATE / _LENGTH
    centre = np.abs(fft.fftfreq(_LENGTH, 1.0 / SAMPLE_RATE))[:, None]
    low, high = BAND_HZ * 2.0 ** (-1 / 6), BAND_HZ * 2.0 ** (1 / 6)
    share = np.minimum(centre + width / 2, high) - np.maximum(centre - width / 2, low)
    scaled = np.maximum(share, 0.0) / width / (_LENGTH * HOP_FRAMES)
    return np.repeat(scaled, 2, axis=0).astype(np.float32)
