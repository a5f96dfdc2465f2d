"""Things that break: glass and crockery into shards, dry wood, ice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from phase1_sound.effects.engines.foley.brief import Brief, Recipe
from phase1_sound.effects.engines.foley.dsp import (
    RATE,
    Signal,
    add_grains,
    clock,
    decaying_sines,
    frames_of,
    high_pass,
    log_uniform,
    low_pass,
    noise,
    poisson_times,
    spread,
    uneven,
    unit,
    wander,
)
from phase1_sound.effects.engines.foley.modal import Body, Stroke
from phase1_sound.effects.engines.foley.textures import crackles

BOUNCES = 4  # how often a shard is heard to touch the ground


@dataclass(frozen=True)
class Shatter(Recipe):
    """A brittle thing breaks: the blow, the burst of the fracture, and shards that ring, each on its own, as they bounce.

    Warren and Verbrugge (1984): breaking is told from bouncing by many damped quasi-periodic pulse trains at once, after a
    burst of noise.
    """

    source: ClassVar[str] = "Warren and Verbrugge, 1984"
    rings: ClassVar[bool] = True
    moments_s: tuple[float, ...]
    forces: tuple[float, ...]
    shards: int
    shard_hz: tuple[float, float]
    decay: float
    scatter_s: float
    body: Body

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Shatter:
        glassy = brief.material.name in ("glass", "metal", "bell")
        low = (2100.0 if glassy else 1050.0) * 2.0 ** (-0.6 * brief.character.size) / brief.size**0.3
        count = max(1, round(0.45 * brief.duration_s * brief.character.rate_factor))
        period = brief.duration_s / count
        moments = uneven(rng, 0.01 + np.arange(count) * period, 0.6 * brief.character.unevenness(0.05) * period)
        return cls(
            moments_s=tuple(float(t) for t in moments),
            forces=tuple(float(f) for f in rng.uniform(0.75, 1.0, count)),
            shards=int(rng.integers(34, 52)),
            shard_hz=(low, 4.2 * low),
            decay=(26.0 if glassy else 60.0) * brief.character.damping_factor,
            scatter_s=float(rng.uniform(0.16, 0.24)),
            body=Body.draw(brief, rng, family="plate"),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        total = np.zeros((2, frames))
        for moment, force in zip(self.moments_s, self.forces, strict=True):
            total += force * self._one(frames, moment, rng)
        return total

    def _one(self, frames: int, moment: float, rng: np.random.Generator) -> Signal:
        after = np.maximum(clock(frames) - moment, 0.0)
        burst = noise(rng, frames, 0.5 * self.shard_hz[0], 9000.0, -2.0) * np.exp(-after / 0.022)
        burst *= clock(frames) >= moment
        blow = unit(self.body.strike(frames, [Stroke(moment, 1.0, 0.3, 0.001)]))
        sides = [unit(self._shards(frames, moment, rng)) for _ in range(2)]
        return np.asarray(0.9 * spread(sides[0], sides[1]) + 0.35 * burst + 0.35 * blow)

    def _shards(self, frames: int, moment: float, rng: np.random.Generator) -> Signal:
        count = self.shards // 2
        first = rng.exponential(self.scatter_s, count)
        flights = rng.uniform(0.05, 0.16, count)[:, None] * 0.6 ** np.arange(BOUNCES)
        times = moment + first[:, None] + np.cumsum(flights, axis=1) - flights
        gains = rng.uniform(0.15, 1.0, count)[:, None] * 0.55 ** np.arange(BOUNCES)
        freqs = np.repeat(log_uniform(rng, self.shard_hz, count), BOUNCES)
        decays = self.decay * (freqs / self.shard_hz[0]) ** 0.6 * np.repeat(rng.uniform(0.7, 1.6, count), BOUNCES)
        length = frames_of(0.12)
        one = decaying_sines(freqs, decays, gains.ravel(), length)
        other = decaying_sines(1.83 * freqs, 1.5 * decays, 0.5 * gains.ravel(), length)
        return add_grains(frames, times.ravel(), one + other)


@dataclass(frozen=True)
class Crack(Recipe):
    """Dry wood that gives way, or a sheet of ice under strain.

    Wood announces its break by single fibres (acoustic emission). In floating ice the flexural wave is dispersive, high
    frequencies run ahead, and a far crack arrives as a falling chirp (Ewing and Crary, 1934).
    """

    source: ClassVar[str] = "Ewing and Crary, 1934"
    variant: str
    moments_s: tuple[float, ...]
    forces: tuple[float, ...]
    fall_s: tuple[float, ...]
    pitch_hz: float
    fibres_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Crack:
        ice = brief.variant == "ice"
        rate = (1.5 if ice else 0.8) * brief.character.rate_factor
        count = max(2, round(brief.duration_s * rate))
        wobble = rng.uniform(0.0, 0.7 * max(0.0, 1 - brief.character.regularity / 0.6), count)
        pitch = (420.0 if ice else 900.0) * 2 ** (rng.uniform(-0.2, 0.2) - 0.7 * brief.character.size)
        return cls(
            variant=brief.variant,
            moments_s=tuple(float(t) for t in 0.03 + (np.arange(count) + wobble) / rate),
            forces=tuple(float(f) for f in rng.uniform(0.35, 1.0, count)),
            fall_s=tuple(float(t) for t in rng.uniform(0.07, 0.2, count)),
            pitch_hz=float(pitch),
            fibres_hz=float(rng.uniform(16, 26)) * brief.character.rate_factor,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        one = self._chirp if self.variant == "ice" else self._snap
        total = np.zeros(frames)
        for moment, force, fall in zip(self.moments_s, self.forces, self.fall_s, strict=True):
            start = frames_of(moment)
            piece = force * one(fall, rng)[: max(0, frames - start)]
            total[start : start + len(piece)] += piece
        fibres = self._fibres(frames, rng)
        groan = low_pass(noise(rng, frames, 45.0, 160.0, -3.0) * wander(rng, frames, 1.3) ** 3, 400.0)
        return np.asarray(unit(total) + 0.3 * unit(fibres) + (0.25 if self.variant == "ice" else 0.0) * unit(groan))

    def _chirp(self, fall_s: float, rng: np.random.Generator) -> Signal:
        """f(t) = f0 (1 + 12 exp(-t / fall)): from far above down to the pitch of the sheet, with an echo from its edge."""
        t = clock(frames_of(0.6))
        f_hz = self.pitch_hz * (1 + 11 * np.exp(-t / fall_s))
        tone = np.sin(2 * np.pi * np.cumsum(f_hz) / RATE) * np.exp(-t / (1.2 * fall_s)) * np.minimum(t / 0.002, 1.0)
        crack = noise(rng, len(t), 700.0, 9000.0, -2.0) * np.exp(-t / 0.006)
        echo = np.concatenate([np.zeros(frames_of(0.09)), tone])[: len(t)]
        return np.asarray(tone + 0.35 * echo + 0.5 * crack)

    def _snap(self, fall_s: float, rng: np.random.Generator) -> Signal:
        t = clock(frames_of(0.3))
        burst = noise(rng, len(t), 500.0, 7000.0, -3.0) * (np.exp(-t / 0.006) + 0.3 * np.exp(-t / 0.03))
        body = np.sin(2 * np.pi * self.pitch_hz * t) * np.exp(-t / 0.02)
        tear = rng.standard_normal(len(t)) * (rng.random(len(t)) < 0.02) * np.exp(-t / fall_s)
        return np.asarray(burst + 0.8 * body + 2.0 * high_pass(tear, 1200.0))

    def _fibres(self, frames: int, rng: np.random.Generator) -> Signal:
        times = poisson_times(rng, self.fibres_hz, frames / RATE)
        gains = (0.1 + rng.pareto(1.5, len(times))).clip(0, 3)
        return crackles(rng, frames, times, gains, (2.2 * self.pitch_hz, 9.0 * self.pitch_hz), 1300.0)
