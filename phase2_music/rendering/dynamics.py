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
    """The mix before its gain. `peaks` and `energy`, shape (blocks,): largest true peak (of mix and stems) and mean square of
    each block. `powers`, shape (hops,): K-weighted mean square of each 0.1 s; `blocks` is 35 times `hops`."""

    peaks: Samples
    energy: Samples
    powers: npt.NDArray[np.float64]


@dataclass(frozen=True)
class MasterGain:
    """Amplitudes at the edges of the blocks, shape (blocks + 1,), the loudness that they lead to, the most that they limit."""

    points: Samples
    loudness_lufs: float
    reduction_db: float

    def over(self, block: int, blocks: int) -> Samples:
        """The gain of interleaved stereo from a block on, shape (blocks, 2 BLOCK_FRAMES); straight between the points."""
        points = self.points[block : block + blocks + 1]
        along = np.repeat(np.arange(BLOCK_FRAMES, dtype=np.float32) / BLOCK_FRAMES, 2)
        return np.asarray(points[:-1, None] + np.diff(points)[:, None] * along)


def master_gain(bus: BusMeasure, loudness_lufs: float, ceiling_dbtp: float) -> MasterGain:
    """The gain that brings a mix to a loudness under a ceiling; less loud where more than `MAX_REDUCTION_DB` were needed."""
    glue = _glue(bus.energy)
    peaks = bus.peaks * np.maximum(glue[:-1], glue[1:])
    highest = to_db(float(peaks.max(initial=0.0)))
    low = loudness_lufs - _loudness(bus, glue)
    high = max(low, min(low + 20.0, ceiling_dbtp + MAX_REDUCTION_DB - highest))
    if low + highest > ceiling_dbtp + MAX_REDUCTION_DB:
        low = high = ceiling_dbtp + MAX_REDUCTION_DB - highest
    for _ in range(14):  # limiting takes loudness away: halve the interval, 20 dB to 1/800 dB
        middle = (low + high) / 2
        limited = from_db(middle) * glue * _limiter(peaks * from_db(middle), ceiling_dbtp)
        low, high = (middle, high) if _loudness(bus, limited) < loudness_lufs else (low, middle)
    limiter = _limiter(peaks * from_db(high), ceiling_dbtp)
    points = from_db(high) * glue * limiter
    return MasterGain(points.astype(np.float32), _loudness(bus, points), -to_db(float(limiter.min())))


def _loudness(bus: BusMeasure, points: Curve) -> float:
    gain = np.square((points[:-1] + points[1:]) / 2).reshape(-1, _BLOCKS_PER_HOP)
    energy = bus.energy.reshape(-1, _BLOCKS_PER_HOP) + 1e-20
    return gated_loudness(bus.powers * np.sum(gain * energy, axis=1) / np.sum(energy, axis=1))


def _glue(energy: Samples) -> Curve:
    """Light compression of what stands out for a tenth of a second: ratio 1.5, at most 3 dB, no attack to be heard (the
    level is measured around each moment, not before it)."""
    smooth = _averaged(energy.astype(np.float64), _GLUE_BLOCKS)
    mean = np.average(energy, weights=energy > 1e-3 * energy.max(initial=1e-20)) if energy.any() else 1.0
    above = 10.0 * np.log10(np.maximum(smooth, 1e-20) / mean) - _GLUE_KNEE_DB
    reduction = np.clip(above * (1.0 - 1.0 / GLUE_RATIO), 0.0, MAX_GLUE_DB)
    return np.asarray(10.0 ** (-_averaged(_edges(reduction), _GLUE_BLOCKS) / 20.0))


def _limiter(peaks: Samples, ceiling_dbtp: float) -> Curve:
    """Gain at the blocks' edges that keeps each block's peak at the ceiling or below, shape (blocks + 1,).

    Let r be the gain in dB that each block needs, m at each edge the minimum of r over `_LOOK_AHEAD` blocks on either side,
    e <= m the curve that rises from each minimum by the release's slope. An average of e over fewer than `_LOOK_AHEAD` edges on
    either side is one of minima that all contain the edge's own two blocks, so it asks for no less than they need; and
    between two edges the gain runs straight, so all of a block is kept.
    """
    needed = np.minimum(0.0, ceiling_dbtp - 20.0 * np.log10(np.maximum(peaks, 1e-9)))
    around = np.pad(needed.astype(np.float64), _LOOK_AHEAD)
    lowest = sliding_minimum(around, 2 * _LOOK_AHEAD)
    rise = np.arange(len(lowest)) * (_RELEASE_DB_PER_S / _BLOCKS_PER_S)
    released = np.minimum(0.0, np.minimum.accumulate(lowest - rise) + rise)
    return np.asarray(10.0 ** (_averaged(released, 2 * _LOOK_AHEAD - 1) / 20.0))


def _edges(blocks: Curve) -> Curve:
    """Values at the blocks' edges: the mean of both neighbours."""
    padded = np.pad(blocks, 1, mode="edge")
    return np.asarray((padded[:-1] + padded[1:]) / 2)


def _averaged(values: Curve, width: int) -> Curve:
    """Mean over `width` neighbours (an odd number), same shape."""
    width |= 1
    total = np.cumsum(np.pad(values, (width // 2 + 1, width // 2), mode="edge"))
    return np.asarray((total[width:] - total[:-width]) / width)
