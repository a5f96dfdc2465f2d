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
_BATCH_HOPS = 32
BATCH_FRAMES = _BATCH_HOPS * HOP_FRAMES
"""Blocks of so many frames, or a multiple, are measured the quickest: transforms go side by side through wide registers."""
_K_POWER = np.abs(k_weighting(BAND_HZ, SAMPLE_RATE)) ** 2


@dataclass(frozen=True)
class StemMeasure:
    """Mean square of a stem, both channels together, shape (hops, bands): hops of 0.1 s, bands as in `BAND_HZ`."""

    powers: Samples

    def loudness_lufs(self, gains: npt.NDArray[np.float64] | None = None) -> float:
        """Integrated loudness, through a tone correction with these gains (amplitudes, one for each band) if given.

        Within 0.2 LU of BS.1770-4's, whose filter is here a weight for each band; -inf for silence.
        """
        return loudness_of_hops(self.k_powers(gains))

    def k_powers(self, gains: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.float64]:
        """K-weighted mean square of each hop, shape (hops,)."""
        return np.asarray(self.powers @ (_K_POWER if gains is None else _K_POWER * np.square(gains)))


class _HopMeter:
    """Measures a sound that comes in blocks, 0.1 s at a time.

    The windows overlap by 14 ms with cos^2 + sin^2 = 1, so that every sample's energy counts once, wherever the beat falls.
    Without them a tone of 63 Hz would be found 31 dB below itself three octaves higher, with them 59 dB.
    """

    def __init__(self, values: int) -> None:
        self._rest: Samples = np.zeros((_OVERLAP, 2), dtype=np.float32)
        self._measured: list[Samples] = [np.zeros((0, values), dtype=np.float32)]

    def add(self, block: Samples) -> None:
        """Take the next block, shape (frames, 2)."""
        joined = np.concatenate([self._rest, block])
        hops = (len(joined) - 2 * _OVERLAP) // HOP_FRAMES
        self._rest = joined[max(0, hops) * HOP_FRAMES :]
        if hops <= 0:
            return
        # Left and right as real and imaginary part: one transform for both, |Z(f)|^2 + |Z(-f)|^2 = 2 (|L|^2 + |R|^2).
        windows = np.lib.stride_tricks.sliding_window_view(joined.reshape(-1), 2 * _LENGTH)[:: 2 * HOP_FRAMES]
        for start in range(0, hops, _BATCH_HOPS):
            batch = windows[start : min(hops, start + _BATCH_HOPS)]
            if batch[0].any() or batch.any():
                spectra = fft.fft((batch * _window()).view(np.complex64), axis=1, overwrite_x=True).view(np.float32)
                self._measured.append(self._values(np.square(spectra, out=spectra)))
            else:
                self._measured.append(np.zeros((len(batch), self._measured[0].shape[1]), dtype=np.float32))

    def hops(self) -> Samples:
        """What was measured so far, shape (hops, values). Ends the metering: the last hop is filled with silence."""
        missing = (_OVERLAP - len(self._rest)) % HOP_FRAMES
        self.add(np.zeros((missing + _OVERLAP, 2), dtype=np.float32))
        return np.concatenate(self._measured)

    def _values(self, powers: Samples) -> Samples:
        """What is kept of transforms whose squared parts, real and imaginary in turn, have the shape (hops, 2 _LENGTH)."""
        raise NotImplementedError


class StemMeter(_HopMeter):
    """Power of a stem in third octaves; memory grows by 1.2 KB a second."""

    def __init__(self) -> None:
        super().__init__(len(BAND_HZ))

    def _values(self, powers: Samples) -> Samples:
        return _band_powers(powers)

    def measure(self) -> StemMeasure:
        """The measure of all blocks so far. Ends the metering."""
        return StemMeasure(self.hops())


class SongMeter(_HopMeter):
    """K-weighted power of stereo sound (BS.1770-4); memory grows by 40 bytes a second.

    The weighting is one of bins, where the standard filters: what a hop's filter rings on into the next one is counted where
    it was struck. A quarter of the work of `core.loudness.LoudnessMeter`, and within 0.02 LU of it on whole songs and stems.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def _values(self, powers: Samples) -> Samples:
        return (powers @ _k_weights())[:, None]

    def k_powers(self) -> npt.NDArray[np.float64]:
        """K-weighted mean square of each hop, shape (hops,). Ends the metering."""
        return self.hops()[:, 0].astype(np.float64)


def loudness_of_hops(k_powers: npt.NDArray[np.float64]) -> float:
    """Integrated loudness in LUFS of K-weighted powers of hops; less than 0.4 s is filled with silence, -inf for silence."""
    return gated_loudness(np.pad(k_powers, (0, max(0, 4 - len(k_powers)))))


@cache
def _window() -> Samples:
    slope = np.sin(0.5 * np.pi * (np.arange(2 * _OVERLAP) + 0.5) / (2 * _OVERLAP))
    flat = np.ones(_LENGTH - 4 * _OVERLAP)
    return np.repeat(np.concatenate([slope, flat, slope[::-1]]), 2).astype(np.float32)


@cache
def _k_weights() -> Samples:
    """Weight of each squared part of a transform in a hop's K-weighted mean square, shape (2 _LENGTH,)."""
    hz = np.abs(np.fft.fftfreq(_LENGTH, 1.0 / SAMPLE_RATE))
    weights = np.abs(k_weighting(hz, SAMPLE_RATE)) ** 2 / (_LENGTH * HOP_FRAMES)
    return np.repeat(weights, 2).astype(np.float32)


def _band_powers(powers: Samples) -> Samples:
    """Mean square in each band of squared transforms of shape (hops, 2 _LENGTH), shape (hops, bands).

    Sums over the bins of positive and of negative frequencies, with the share of those that a band's edges cut.
    """
    edges, share = _band_edges()
    # Bin b has its parts at 2 b and 2 b + 1, that of its negative frequency at 2 (_LENGTH - b) and one further.
    mirrored = 2 * (_LENGTH + 1 - edges[::-1])
    sums = np.add.reduceat(powers, np.concatenate([2 * edges, mirrored]), axis=1)
    bands = len(BAND_HZ)
    total = sums[:, :bands] + sums[:, -2 : -bands - 2 : -1]
    total[:, edges[:-1] == edges[1:]] = 0.0
    negative = 2 * (_LENGTH - edges)
    cut = powers[:, 2 * edges] + powers[:, 2 * edges + 1] + powers[:, negative] + powers[:, negative + 1]
    cut *= share
    total += cut[:, 1:] - cut[:, :-1]
    total *= np.float32(1.0 / (_LENGTH * HOP_FRAMES))
    return np.asarray(total)


@cache
def _band_edges() -> tuple[npt.NDArray[np.intp], Samples]:
    """The bin that each band's lower edge (and the last one's upper) lies in, and the share of it below; shape (bands + 1,)."""
    edges_hz = np.append(BAND_HZ * 2.0 ** (-1 / 6), BAND_HZ[-1] * 2.0 ** (1 / 6))
    place = np.minimum(edges_hz * _LENGTH / SAMPLE_RATE + 0.5, _NYQUIST)
    bins = place.astype(np.intp)
    return bins, (place - bins).astype(np.float32)
