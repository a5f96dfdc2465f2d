"""Animals: songbirds, larger calls, insects, a cat's purr."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from phase1_sound.effects.engines.foley.brief import Brief, Recipe
from phase1_sound.effects.engines.foley.dsp import (
    RATE,
    Signal,
    band,
    bump,
    clock,
    frames_of,
    low_pass,
    noise,
    phase_of,
    pulse_train,
    uneven,
    unit,
    wander,
)


def add_at(total: Signal, start_s: float, sound: Signal) -> None:
    """Add a mono sound to a longer one in place, cut at the end."""
    start = round(start_s * RATE)
    piece = sound[: max(0, len(total) - start)]
    total[start : start + len(piece)] += piece


@dataclass(frozen=True)
class Bird(Recipe):
    """Songbirds: motifs of whistled syllables, each a short sweep, an arch or a trill, sung again with small
    changes.

    Farnell, "Designing Sound" (birds), after the syrinx as a nearly sinusoidal source whose pitch follows
    muscle tension; the second voice is faint. A motif (shape, pitch Hz, span in octaves, length s) belongs to
    the bird and so to the seed.
    """

    source: ClassVar[str] = "Farnell, 2010"
    beats: ClassVar[bool] = True
    motif: tuple[tuple[str, float, float, float], ...]
    phrases_s: tuple[float, ...]
    gap_s: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Bird:
        shift = 2 ** (-0.5 * brief.character.size + 0.04 * brief.character.tilt_db)
        count = int(rng.integers(3, 6))
        shapes = [str(s) for s in rng.choice(["rise", "fall", "arch", "trill"], count)]
        pitches = rng.uniform(2300, 4600, count) * shift
        spans, lengths = rng.uniform(0.15, 0.7, count), rng.uniform(0.06, 0.19, count)
        rate = 0.8 * brief.character.rate_factor
        starts = np.arange(max(1, round(brief.duration_s * rate))) / rate + 0.03
        starts = uneven(rng, starts, brief.character.unevenness(0.0) / rate)
        return cls(
            motif=tuple(
                (s, float(p), float(o), float(n)) for s, p, o, n in zip(shapes, pitches, spans, lengths, strict=True)
            ),
            phrases_s=tuple(float(t) for t in starts),
            gap_s=float(rng.uniform(0.04, 0.09)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        total = np.zeros(frames)
        for phrase in self.phrases_s:
            time, level = phrase, rng.uniform(0.7, 1.0)
            for shape, pitch, span, length in self.motif:
                sung = self._syllable(shape, pitch * 2 ** rng.normal(0, 0.02), span, length)
                add_at(total, time, level * sung)
                time += length + self.gap_s * rng.uniform(0.8, 1.2)
        return total

    def _syllable(self, shape: str, pitch: float, span: float, length: float) -> Signal:
        x = np.linspace(0.0, 1.0, frames_of(length))
        curve = {
            "rise": x - 0.5,
            "fall": 0.5 - x,
            "arch": np.sin(np.pi * x) - 0.5,
            "trill": 0.4 * np.sin(2 * np.pi * 28 * length * x),
        }
        phase = phase_of(np.minimum(pitch * 2 ** (span * curve[shape]), 9000.0))
        envelope = np.sin(np.pi * x) ** 0.6 * (1 - 0.35 * x)
        return np.asarray((np.sin(phase) + 0.12 * np.sin(2 * phase)) * envelope)


@dataclass(frozen=True)
class CallShape:
    """One animal's call: pitch curve in Hz over its length, formants in Hz, how many a second, breath and
    roughness 0..1.
    """

    pitch_hz: tuple[float, ...]
    length_s: float
    rate_hz: float
    formants_hz: tuple[float, ...]
    sharpness: float
    breath: float
    rough: float
    rough_hz: float = 45.0


CALLS = {
    "dog": CallShape((210, 420, 380, 190), 0.2, 1.7, (620, 1250, 2500), 60.0, 0.35, 0.35),
    "cat": CallShape((480, 720, 690, 430), 0.75, 0.8, (950, 1900, 3200), 24.0, 0.06, 0.0),
    "crow": CallShape((480, 620, 600, 470), 0.32, 1.4, (1150, 1900, 2900), 60.0, 0.4, 0.85, 75.0),
    "gull": CallShape((760, 1180, 1020, 700), 0.42, 1.25, (1700, 2900, 4200), 16.0, 0.15, 0.25, 34.0),
    "owl": CallShape((355, 375, 370, 345), 0.42, 1.1, (370, 760), 0.5, 0.12, 0.0),
    "frog": CallShape((150, 165, 190, 160), 0.36, 1.5, (520, 1400, 2200), 90.0, 0.1, 1.0, 33.0),
    "cow": CallShape((120, 155, 150, 105), 1.35, 0.5, (320, 700, 2100), 60.0, 0.12, 0.1, 20.0),
    "horse": CallShape((900, 1150, 750, 380), 1.3, 0.5, (1200, 2100, 3200), 22.0, 0.25, 0.8, 13.0),
    "sheep": CallShape((340, 370, 360, 320), 0.8, 0.8, (800, 1700, 2700), 50.0, 0.15, 0.75, 9.0),
}


@dataclass(frozen=True)
class Call(Recipe):
    """A larger animal's call: pulses of the vocal folds through the formants of its throat.

    Source and filter as in Fant's theory of voice production; roughness is a slower second vibration of the
    folds. One row of `CALLS` per animal; never a human voice.
    """

    source: ClassVar[str] = "Fant, 1960"
    animal: str
    scale: float
    times_s: tuple[float, ...]
    levels: tuple[float, ...]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Call:
        row = CALLS[brief.variant]
        higher = 0.02 * brief.character.tilt_db - 0.5 * brief.character.size
        rate = row.rate_hz * brief.character.rate_factor
        count = max(1, int(max(brief.duration_s - row.length_s, 0.0) * rate) + 1)
        times = (
            0.02
            + (
                np.arange(count)
                + brief.character.unevenness(0.07) * rng.standard_normal(count).clip(-1, 1) * (np.arange(count) > 0)
            )
            / rate
        )
        return cls(
            animal=brief.variant,
            scale=float(2 ** (rng.uniform(-0.15, 0.15) + higher)) / brief.size**0.3,
            times_s=tuple(float(t) for t in times),
            levels=tuple(float(v) for v in rng.uniform(0.7, 1.0, count)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        total, row = np.zeros(frames), CALLS[self.animal]
        for time, level in zip(self.times_s, self.levels, strict=True):
            add_at(total, time, level * self._one(row, rng))
        return total

    def _one(self, row: CallShape, rng: np.random.Generator) -> Signal:
        count = frames_of(row.length_s * rng.uniform(0.9, 1.1))
        x = np.linspace(0.0, 1.0, count)
        pitch = np.interp(x, np.linspace(0, 1, len(row.pitch_hz)), row.pitch_hz) * self.scale * 2 ** rng.normal(0, 0.02)
        phase = phase_of(pitch * (1 + 0.02 * (wander(rng, count, 20.0) - 0.5)))
        folds = unit(pulse_train(phase, row.sharpness)) + row.breath * 0.5 * noise(rng, count, 300.0, 6000.0, -3.0)
        folds *= 1 - row.rough * (0.5 + 0.5 * np.sin(phase_of(np.full(count, row.rough_hz)) + wander(rng, count, 15.0)))
        mouth = np.sin(np.pi * x) ** 0.5 * (1 - 0.3 * x)
        voiced = np.asarray(
            sum(band(folds, f * self.scale**0.5, 0.16 * f) / n**0.7 for n, f in enumerate(row.formants_hz, 1))
        )
        return np.asarray(unit(voiced + 0.06 * folds) * mouth)


@dataclass(frozen=True)
class Insect(Recipe):
    """Crickets (chirps of three or four pulses on one high note) or a bee (a wandering buzz that comes and
    goes).

    Farnell, "Designing Sound" (insects): a cricket's wing is a comb on a resonator near 4.5 kHz, played in
    pulses of 30-60 a second; a bee's wing beats some 200 times a second, rich in harmonics, with Doppler as
    it circles.
    """

    source: ClassVar[str] = "Farnell, 2010"
    variant: str
    pitch_hz: float
    chirps_s: tuple[float, ...]
    pulses: int
    pulse_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Insect:
        bee = brief.variant == "bee"
        tiny = 2.6 if brief.words & {"mosquito", "gnat", "fly"} else 1.0
        pitch = rng.uniform(170, 230) * tiny if bee else rng.uniform(4000, 5000)
        rate = float(rng.uniform(2.0, 3.0)) * brief.character.rate_factor
        starts = np.arange(1 + int((brief.duration_s - 0.2) * rate)) / rate + 0.02
        starts = uneven(rng, starts, brief.character.unevenness(0.0) / rate)
        chirps = () if bee else tuple(float(t) for t in starts)
        return cls(
            variant=brief.variant,
            pitch_hz=float(pitch) * 2 ** (0.02 * brief.character.tilt_db - 0.5 * brief.character.size),
            chirps_s=chirps or (0.02,),
            pulses=int(rng.integers(3, 5)),
            pulse_hz=float(rng.uniform(30, 42)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        return self._bee(frames, rng) if self.variant == "bee" else self._cricket(frames, rng)

    def _cricket(self, frames: int, rng: np.random.Generator) -> Signal:
        level = np.zeros(frames)
        for chirp in self.chirps_s:
            for pulse in range(self.pulses):
                shape = bump(frames_of(0.03), 0.012, 0.0052) * (0.6 + 0.4 * pulse / self.pulses)
                add_at(level, chirp + pulse / self.pulse_hz, shape)
        carrier = phase_of(self.pitch_hz * (1 + 0.012 * level))
        return np.asarray(
            level * (np.sin(carrier) + 0.06 * np.sin(2 * carrier)) + 0.004 * noise(rng, frames, 2000.0, 7000.0)
        )

    def _bee(self, frames: int, rng: np.random.Generator) -> Signal:
        near = 0.12 + 0.88 * wander(rng, frames, 1.1) ** 1.5
        pitch = self.pitch_hz * (0.93 + 0.1 * wander(rng, frames, 3.0) + 0.06 * near)
        wings = unit(pulse_train(phase_of(pitch), 22.0)) + 0.12 * noise(rng, frames, 400.0, 3000.0, -3.0)
        coloured = low_pass(wings, 2600.0) + 0.8 * band(wings, 3.1 * self.pitch_hz, 160.0)
        turn = wander(rng, frames, 0.9) * 1.4 - 0.7
        angle = (turn + 1) * np.pi / 4
        return np.asarray(np.stack([np.cos(angle), np.sin(angle)]) * coloured * near)


@dataclass(frozen=True)
class Purr(Recipe):
    """A cat at ease: some 25 soft thuds a second, in and out with the breath.

    The larynx opens and closes at 25-30 Hz in both phases of breathing (Remmers and Gautier, 1972); breathing
    out is lower and stronger.
    """

    source: ClassVar[str] = "Remmers and Gautier, 1972"
    pulse_hz: float
    breath_s: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Purr:
        return cls(
            pulse_hz=float(rng.uniform(23, 28)) * brief.character.rate_factor**0.3,
            breath_s=float(rng.uniform(0.85, 1.1)) / brief.character.rate_factor,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        breath = (clock(frames) / self.breath_s) % 2.0
        out = breath < 1.0
        phase = phase_of(self.pulse_hz * np.where(out, 1.0, 1.12) * (1 + 0.06 * (wander(rng, frames, 12.0) - 0.5)))
        thuds = np.exp(-((phase / (2 * np.pi)) % 1.0) * 5.0)
        level = np.sin(np.pi * (breath % 1.0)) ** 0.4 * np.where(out, 1.0, 0.6)
        rough = noise(rng, frames, 70.0, 420.0, -3.0) + 0.35 * noise(rng, frames, 300.0, 2000.0, -3.0)
        air = 0.05 * noise(rng, frames, 500.0, 3000.0, -3.0)
        return np.asarray((rough * thuds + air) * low_pass(level, 12.0))
