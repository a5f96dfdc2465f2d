"""Does an effect come closer to a family of instruments? A small classifier, taught by the corpus and by effects, tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from core.audio import SAMPLE_RATE, Audio
from flows.evaluation.foley import asked, log_mel_statistics, made
from flows.evaluation.measures import Floats
from flows.evaluation.sources import FOLEY_SOURCES, make_source
from flows.evaluation.timbre.notes import Through, read_note
from phase1_sound.checks import band_levels
from phase1_sound.effects.engines.foley.gestures import GESTURES
from schemas.timbre import Corpus

_NOTES = 120
_EFFECT_S = 2.0
_SHRINKAGE = 0.1
_SEEDS = (11, 12)  # for teaching, for checking


@dataclass(frozen=True)
class Family:
    """Linear discriminant between notes of a family and effects, on log-mel statistics (Fisher 1936).

    `accuracy` is the share of notes of the split `test`, and of effects that it was not taught, that it names right, the two
    weighed alike.
    """

    weights: Floats
    offset: float
    accuracy: float

    def closeness(self, sound: Audio) -> float:
        """How far a sound lies on the family's side: log odds, above 0 inside; minus infinity for silence."""
        if sound.peak <= 0.0:
            return -float("inf")
        return float(log_mel_statistics(sound) @ self.weights - self.offset)


@dataclass(frozen=True)
class EffectRow:
    """One effect: its closeness to the family before and after, in log odds; None where the model made silence."""

    effect: str
    before: float
    after: float | None

    @property
    def rises(self) -> bool:
        return self.after is not None and self.after > self.before


@dataclass(frozen=True)
class EffectFigures:
    """`distinct` is the median distance between what was made of two effects, over that between the effects themselves."""

    rows: tuple[EffectRow, ...]
    distinct: float


def learn_family(folder: Path, corpus: Corpus) -> Family:
    """Teach the classifier: at most 120 notes of the split `train` against an effect of every gesture.

    Raises:
        AudioError: a note cannot be read.
    """
    inside, known = (_notes(folder, corpus, split) for split in ("train", "test"))
    outside, unknown = (_effects(seed) for seed in _SEEDS)
    weights, offset = _discriminant(inside, outside)
    right = (np.mean(known @ weights > offset), np.mean(unknown @ weights < offset))
    return Family(weights, offset, round(float(np.mean(right)), 3))


def _notes(folder: Path, corpus: Corpus, split: str) -> Floats:
    notes = [note for note in corpus.notes if note.split == split]
    chosen = np.unique(np.linspace(0, len(notes) - 1, min(_NOTES, len(notes))).round().astype(int))
    # As long as an effect, or the classifier would learn to tell lengths.
    frames = round(_EFFECT_S * SAMPLE_RATE)
    sounds = (read_note(folder, notes[place]) for place in chosen)
    return np.array([log_mel_statistics(Audio(sound.samples[:, :frames], SAMPLE_RATE)) for sound in sounds])


def _effects(seed: int) -> Floats:
    requests = (asked(gesture, seconds=_EFFECT_S, seed=seed) for gesture in GESTURES)
    return np.array([log_mel_statistics(made(request).audio) for request in requests])


def _discriminant(inside: Floats, outside: Floats) -> tuple[Floats, float]:
    """Weights and threshold; the covariance, one for both, is drawn a little towards a diagonal one."""
    means = [one.mean(axis=0) for one in (inside, outside)]
    spread = np.mean([np.cov(one.T) for one in (inside, outside) if len(one) > 1], axis=0)
    diagonal = np.diag(np.diag(spread) + 0.01)
    weights = np.linalg.solve((1.0 - _SHRINKAGE) * spread + _SHRINKAGE * diagonal, means[0] - means[1])
    return np.asarray(weights), float(weights @ (means[0] + means[1]) / 2)


def strange_effects(count: int | None = None) -> dict[str, Audio]:
    """Effects by name, mono at 44.1 kHz; none of them has taught the classifier."""
    sources = (make_source(name) for name in list(FOLEY_SOURCES)[:count])
    return {source.name: Audio(source.sound.mono(), SAMPLE_RATE) for source in sources}


def effect_figures(effects: dict[str, Audio], family: Family, through: Through) -> EffectFigures:
    """Send effects through a model: do they come closer to the family, and do they stay apart from each other?"""
    answers = {name: through(sound) for name, sound in effects.items()}
    rows = []
    for name, sound in effects.items():
        after = family.closeness(answers[name])
        finite = round(after, 2) if np.isfinite(after) else None
        rows.append(EffectRow(name, round(family.closeness(sound), 2), finite))
    distinct = _median_distance(list(answers.values())) / _median_distance(list(effects.values()))
    return EffectFigures(tuple(rows), round(distinct, 3))


def _median_distance(sounds: Sequence[Audio]) -> float:
    """Median over pairs of the mean difference in dB between long-term spectra; silence has the same one as itself."""
    spectra = [long_term_spectrum(sound) for sound in sounds]
    return float(np.median([np.mean(np.abs(one - other)) for one, other in combinations(spectra, 2)]))


def long_term_spectrum(sound: Audio) -> Floats:
    """Mean power in 16 log-spaced bands in dB, less its mean, shape (16,); 40 dB under the loudest band is the floor.

    A mean of levels would hear the edges of every change in level as colour; nothing that soft makes a sound another one.
    """
    if sound.peak <= 0.0:
        return np.zeros(16)
    power = 10.0 ** (band_levels(sound.mono().astype(np.float64), sound.sample_rate) / 10.0)
    level = 10.0 * np.log10(power.mean(axis=1))
    level = np.maximum(level, level.max() - 40.0)
    return np.asarray(level - level.mean())
