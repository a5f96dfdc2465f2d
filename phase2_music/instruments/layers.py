"""Samples -> zones: which keys and velocities play which sample, through which filter, in which turn.

A velocity layer is the sample through a low-pass of its own: a softer touch excites less of the top, as hammers, plectra and
sticks do. The corners follow the sample's own spectrum, so every step is heard, dark sample or bright. Round robins borrow the
neighbour's sample (made from another stretch of the effect), shifted by the step between them: a repeated key then never
repeats its grain, and no memory is spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from core.audio import SAMPLE_RATE, Samples
from phase2_music.instruments.pitch import key_to_hz
from phase2_music.instruments.roles import KEY_STEP
from phase2_music.instruments.samples import Sample
from phase2_music.instruments.zones import key_spans
from schemas.instrument import Zone

# Narrow, because a filtered and an open wave are out of phase at the corner: half of each is 3 dB less than either.
VELOCITY_CROSSFADE = 8
# Lowest and highest velocity of a layer, and the share of the power that lies below its corner (None: no filter).
_LAYERS: tuple[tuple[int, int, float | None], ...] = ((1, 50, 0.6), (51, 94, 0.85), (95, 127, None))
_SOFTEST_SHARE = 0.4  # of the power: what the softest layer keeps
_HIGHEST_HZ = 20000.0
_FILTER_KEYS = 5  # keys that share a filter above the sampled range
_WIDEST_SHIFT = 2 * KEY_STEP  # semitones to a sample that is borrowed


def layer_corners(samples: Samples, lowest_hz: float) -> list[float | None]:
    """Corner in Hz of each velocity layer of a mono sample of shape (frames,), rising; none below `lowest_hz`."""
    power = np.abs(np.fft.rfft(samples[: 2 * SAMPLE_RATE])) ** 2
    share = np.cumsum(power) / (power.sum() + 1e-20)
    f = np.arange(len(power)) * SAMPLE_RATE / (2 * (len(power) - 1))

    def at(wanted: float) -> float:
        return float(f[int(np.searchsorted(share, wanted))])

    soft, medium = (at(wanted) for _, _, wanted in _LAYERS if wanted is not None)
    # Each corner well below the next, so that every layer takes something away, and none below the note itself.
    # Where one partial holds nearly all, both would lie on it: the medium one then lets some of what is above through.
    medium = max(1.4 * lowest_hz, min(max(medium, 1.4 * soft), 0.7 * _HIGHEST_HZ))
    soft = max(lowest_hz, min(soft, 0.6 * medium), min(at(_SOFTEST_SHARE), 0.8 * medium))
    return [round(soft, 1), round(medium, 1), None]


def melodic_zones(samples: Sequence[Sample], *, round_robins: bool = True) -> list[Zone]:
    """Zones of a melodic instrument: each key span three layers deep, and once more with the neighbour's sample.

    `samples` must rise by key. A sample whose neighbours were left out stands alone: what is borrowed from too far sounds
    like another instrument.
    """
    spans = key_spans([sample.key for sample in samples])
    zones = []
    for index, (sample, span) in enumerate(zip(samples, spans, strict=True)):
        pieces = _pieces(span, sample.key)
        zones += [zone for piece in pieces for zone in _layered(sample, piece, 1)]
        around = [*samples[index + 1 : index + 2], *samples[max(0, index - 1) : index]]
        near = [other for other in around if abs(other.key - sample.key) <= _WIDEST_SHIFT]
        if round_robins and near:
            zones += [zone for piece in pieces for zone in _layered(near[0], piece, 2)]
    return zones


def drum_zones(samples: Sequence[Sample], exclusive_classes: dict[int, int]) -> list[Zone]:
    """Zones of a kit: one key each, three layers deep, alternatives of a key in turn."""
    zones = []
    for sample in samples:
        layered = _layered(sample, (sample.key, sample.key), sample.alternative)
        zones += [
            zone.model_copy(update={"one_shot": True, "exclusive_class": exclusive_classes[sample.key]})
            for zone in layered
        ]
    return zones


def _pieces(span: tuple[int, int], root_key: int) -> list[tuple[int, int]]:
    """A span that reaches far above its sample in parts: there filters rise with the keys, or soft notes would vanish."""
    starts = [span[0], *range(max(span[0], root_key) + _FILTER_KEYS, span[1] + 1, _FILTER_KEYS)]
    return list(zip(starts, [*(start - 1 for start in starts[1:]), span[1]], strict=True))


def _layered(sample: Sample, span: tuple[int, int], turn: int) -> list[Zone]:
    rise = 2.0 ** ((span[0] - sample.key) / 12) if span[0] >= sample.key + _FILTER_KEYS else 1.0
    first, last = sample.loop or (None, None)
    lowest_hz = 1.5 * key_to_hz(sample.key) if sample.loop else 80.0
    return [
        Zone(
            sample=sample.name,
            root_key=sample.key,
            tune_cents=round(sample.tune_cents, 2),
            lo_key=span[0],
            hi_key=span[1],
            lo_velocity=low,
            hi_velocity=high,
            seq_position=turn,
            loop_start=first,
            loop_end=last,
            cutoff_hz=corner and round(min(corner * rise, 0.7 * _HIGHEST_HZ), 1),
        )
        for (low, high, _), corner in zip(_LAYERS, layer_corners(sample.mono, lowest_hz), strict=True)
    ]


assert all(below[1] + 1 == above[0] for below, above in pairwise(_LAYERS))
