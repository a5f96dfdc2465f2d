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
_NYQUIST = _LENGTH // 2
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
        self._transform()
        return StemMeasure(np.concatenate([np.zeros((0, len(BAND_HZ)), dtype=np.float32), *self._powers]))

    def _transform(self) -> None:
        joined = np.concatenate(self._pending)
        hops = (len(joined) - 2 * _OVERLAP) // HOP_FRAMES
        if hops <= 0:
            self._pending = [joined]
            return
        # Left and right as real and imaginary part: one transform for both, |Z(f)|^2 + |Z(-f)|^2 = 2 (|L|^2 + |R|^2).
        windows = np.lib.stride_tricks.sliding_window_view(joined.reshape(-1), 2 * _LENGTH)[:: 2 * HOP_FRAMES]
        for start in range(0, hops, _BATCH_HOPS):
            batch = windows[start : start + _BATCH_HOPS]
            if batch.any():
                self._powers.append(_band_powers(fft.fft((batch * _window()).view(np.complex64), axis=1)))
            else:
                self._powers.append(np.zeros((len(batch), len(BAND_HZ)), dtype=np.float32))
        self._pending = [joined[hops * HOP_FRAMES :]]
        self._waiting = len(self._pending[0]) - _OVERLAP


@cache
def _window() -> Samples:
    slope = np.sin(0.5 * np.pi * (np.arange(2 * _OVERLAP) + 0.5) / (2 * _OVERLAP))
    flat = np.ones(_LENGTH - 4 * _OVERLAP)
    return np.repeat(np.concatenate([slope, flat, slope[::-1]]), 2).astype(np.float32)


def _band_powers(spectra: npt.NDArray[np.complex64]) -> Samples:
    """Mean square in each band of transforms of shape (hops, _LENGTH), shape (hops, bands).

    Sums over bins, with the share of those that a band's edges cut.
    """
    powers = np.square(spectra.real)
    powers += np.square(spectra.imag)
    powers[:, 1:_NYQUIST] += powers[:, :_NYQUIST:-1]
    edges, share = _band_edges()
    sums = np.add.reduceat(powers[:, : _NYQUIST + 1], edges, axis=1)[:, :-1]
    sums[:, edges[:-1] == edges[1:]] = 0.0
    parts = powers[:, edges] * share
    sums += parts[:, 1:] - parts[:, :-1]
    sums *= np.float32(1.0 / (_LENGTH * HOP_FRAMES))
    return sums


@cache
def _band_edges() -> tuple[npt.NDArray[np.intp], Samples]:
    """The bin that each band's lower edge (and the last one's upper) lies in, and the share of it below; shape (bands + 1,)."""
    edges_hz = np.append(BAND_HZ * 2.0 ** (-1 / 6), BAND_HZ[-1] * 2.0 ** (1 / 6))
    place = np.minimum(edges_hz * _LENGTH / SAMPLE_RATE + 0.5, _NYQUIST + 1)
    bins = np.minimum(place.astype(np.intp), _NYQUIST)
    return bins, (place - bins).astype(np.float32)
