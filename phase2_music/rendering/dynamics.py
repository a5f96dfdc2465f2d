"""Gain over time of the whole mix: light compression and a look-ahead limiter, worked out on blocks of 2.9 ms.

The curve is one number for all channels and stems, so that what it is applied to still adds up. Its loudness is worked out, not
tried: the power of each 0.1 s is weighted with the gain, and nothing is rendered twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.audio import SAMPLE_RATE, Samples
from core.loudness import from_db, gated_loudness, sliding_minimum, to_db
from phase2_music.rendering.metering import HOP_FRAMES

BLOCK_FRAMES = 126
_BLOCKS_PER_HOP = HOP_FRAMES // BLOCK_FRAMES
_BLOCKS_PER_S = SAMPLE_RATE / BLOCK_FRAMES
_LOOK_AHEAD = 2  # blocks
_RELEASE_DB_PER_S = 50.0
MAX_REDUCTION_DB = 15.0
"""Furthest that the limiter lowers a peak: more would be heard as a dent."""
GLUE_RATIO = 1.5
MAX_GLUE_DB = 3.0
_GLUE_KNEE_DB = 2.0  # above the mean level
_GLUE_BLOCKS = round(0.1 * _BLOCKS_PER_S)

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BusMeasure:
    """The mix before its gain. `peaks`, `part_peaks` and `energy`, shape (blocks,): each block's true peak, largest sample of
    a stem or the reverb, and mean square. `powers`, shape (hops,): K-weighted mean square of each 0.1 s; `blocks` is 35 times
    `hops`. Peaks between samples have to be right where they come within `MAX_GLUE_DB` of the highest, or near the ceiling."""

    peaks: Samples
    part_peaks: Samples
    energy: Samples
    powers: npt.NDArray[np.float64]


@dataclass(frozen=True)
class MasterGain:
    """Amplitudes at the edges of the blocks, shape (blocks + 1,), the loudness and true peak of the mix under them, the most
    that they limit."""

    points: Samples
    loudness_lufs: float
    true_peak_dbtp: float
    reduction_db: float

    def over(self, block: int, blocks: int) -> Samples:
        """The gain of interleaved stereo from a block on, shape (blocks, 2 BLOCK_FRAMES); straight between the points."""
        points = self.points[block : block + blocks + 1]
        along = np.repeat(np.arange(BLOCK_FRAMES, dtype=np.float32) / BLOCK_FRAMES, 2)
        return np.asarray(points[:-1, None] + np.diff(points)[:, None] * along)


def master_gain(bus: BusMeasure, loudness_lufs: float, ceiling_dbtp: float) -> MasterGain:
    """The gain that brings a mix to a loudness under a ceiling; less loud where more than `MAX_REDUCTION_DB` were needed."""
    glue = _glue(bus.energy)
    peaks = np.maximum(bus.peaks, bus.part_peaks)
    peaks *= np.maximum(glue[:-1], glue[1:])
    highest = to_db(float(peaks.max(initial=0.0)))
    low = loudness_lufs - _loudness(bus, glue)
    high = max(low, min(low + 20.0, ceiling_dbtp + MAX_REDUCTION_DB - highest))
    if low + highest > ceiling_dbtp + MAX_REDUCTION_DB:
        low = high = ceiling_dbtp + MAX_REDUCTION_DB - highest
    for _ in range(14):  # limiting takes loudness away: halve the interval, 20 dB to 1/800 dB
        middle = (low + high) / 2
        limited = _limiter(peaks * np.float32(from_db(middle)), ceiling_dbtp)
        limited *= glue
        limited *= from_db(middle)
        low, high = (middle, high) if _loudness(bus, limited) < loudness_lufs else (low, middle)
    points = _limiter(peaks * np.float32(from_db(high)), ceiling_dbtp)
    reduction_db = -to_db(float(points.min()))
    points *= glue
    points *= from_db(high)
    true_peak = float((bus.peaks * np.maximum(points[:-1], points[1:])).max(initial=0.0))
    return MasterGain(points.astype(np.float32), _loudness(bus, points), to_db(true_peak), reduction_db)


def _loudness(bus: BusMeasure, points: Curve) -> float:
    gain = points[:-1] + points[1:]
    gain *= 0.5
    gain *= gain
    energy = bus.energy.reshape(-1, _BLOCKS_PER_HOP) + 1e-20
    before = np.sum(energy, axis=1)
    after = np.einsum("hb,hb->h", gain.reshape(energy.shape), energy)
    return gated_loudness(bus.powers * after / before)


def _glue(energy: Samples) -> Curve:
    """Light compression of what stands out for a tenth of a second: ratio 1.5, at most 3 dB, no attack to be heard (the
    level is measured around each moment, not before it)."""
    played = energy[energy > 1e-3 * energy.max(initial=1e-20)]
    mean = float(played.mean(dtype=np.float64)) if len(played) else 1.0
    reduction = _averaged(energy.astype(np.float64), _GLUE_BLOCKS)
    np.maximum(reduction, 1e-20, out=reduction)
    reduction /= mean
    np.log10(reduction, out=reduction)
    reduction *= 10.0
    reduction -= _GLUE_KNEE_DB
    reduction *= 1.0 - 1.0 / GLUE_RATIO
    np.clip(reduction, 0.0, MAX_GLUE_DB, out=reduction)
    return _amplitudes(-_averaged(_edges(reduction), _GLUE_BLOCKS))


def _limiter(peaks: Samples, ceiling_dbtp: float) -> Curve:
    """Gain at the blocks' edges that keeps each block's peak at the ceiling or below, shape (blocks + 1,).

    Let r be the gain in dB that each block needs, m at each edge the minimum of r over `_LOOK_AHEAD` blocks on either side,
    e <= m the curve that rises from each minimum by the release's slope. An average of e over fewer than `_LOOK_AHEAD` edges on
    either side is one of minima that all contain the edge's own two blocks, so it asks for no less than they need; and
    between two edges the gain runs straight, so all of a block is kept.
    """
    # In place: half an hour has 630,000 blocks, and each array of them 5 MB.
    around = np.zeros(len(peaks) + 2 * _LOOK_AHEAD)
    needed = around[_LOOK_AHEAD:-_LOOK_AHEAD]
    np.maximum(peaks, 1e-9, out=needed)
    np.log10(needed, out=needed)
    needed *= -20.0
    needed += ceiling_dbtp
    np.minimum(needed, 0.0, out=needed)
    curve = sliding_minimum(around, 2 * _LOOK_AHEAD)
    del around, needed
    rise = np.arange(len(curve), dtype=np.float64)
    rise *= _RELEASE_DB_PER_S / _BLOCKS_PER_S
    curve -= rise
    np.minimum.accumulate(curve, out=curve)
    curve += rise
    np.minimum(curve, 0.0, out=curve)
    return _amplitudes(_averaged(curve, 2 * _LOOK_AHEAD - 1))


def _amplitudes(gains_db: Curve) -> Curve:
    """Gains in dB as amplitudes, in their place."""
    gains_db /= 20.0
    return np.asarray(np.power(10.0, gains_db, out=gains_db))


def _edges(blocks: Curve) -> Curve:
    """Values at the blocks' edges: the mean of both neighbours."""
    padded = np.pad(blocks, 1, mode="edge")
    return np.asarray((padded[:-1] + padded[1:]) / 2)


def _averaged(values: Curve, width: int) -> Curve:
    """Mean over `width` neighbours (an odd number), same shape."""
    width |= 1
    total = np.pad(values, (width // 2 + 1, width // 2), mode="edge")
    np.cumsum(total, out=total)
    mean = total[width:] - total[:-width]
    mean /= width
    return np.asarray(mean)
