"""Surfaces that slide over each other: scraping, rubbing, sweeping, bowing, creaking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from phase1_sound.effects.engines.foley.brief import Brief, Recipe
from phase1_sound.effects.engines.foley.dsp import (
    RATE,
    Signal,
    breakpoints,
    bump,
    clock,
    high_pass,
    impulses,
    low_pass,
    noise,
    phase_of,
    unit,
    wander,
)
from phase1_sound.effects.engines.foley.materials import MATERIALS
from phase1_sound.effects.engines.foley.modal import Body


def stroke_speeds(frames: int, centres_s: tuple[float, ...], width_s: float) -> Signal:
    """Speed of a hand that moves in strokes: one hump per stroke, shape (frames,), at most about 1."""
    return np.minimum(sum(bump(frames, centre, width_s) for centre in centres_s), 1.0)


def surface_force(rng: np.random.Generator, speed: Signal, grain_mm: float, slope_db: float) -> Signal:
    """Force of a stylus drawn over a rough profile at a varying speed (1 = 0.5 m/s), shape (frames,).

    FoleyAutomatic: the profile is noise with a power-law spectrum in space; reading it faster moves its
    spectrum up, which is the pitch that is heard to follow the hand. The force also grows with the speed.
    """
    profile = noise(rng, 1 << 16, 30.0, 16000.0, slope_db)
    step = speed * (0.35 + 0.5 / max(grain_mm, 0.2))
    place = np.cumsum(step) % (len(profile) - 1)
    return np.interp(place, np.arange(len(profile)), profile) * speed


def stroke_centres(rate_hz: float, brief: Brief, rng: np.random.Generator) -> tuple[float, ...]:
    """Centres in seconds of strokes that come about `rate_hz` times a second."""
    rate = rate_hz * brief.character.rate_factor
    count = max(1, int((brief.duration_s - 0.2) * rate))
    wobble = brief.character.unevenness(0.08) * rng.standard_normal(count).clip(-2, 2)
    return tuple(float(c) for c in (np.arange(count) + 0.5 + wobble) / rate)


@dataclass(frozen=True)
class Scrape(Recipe):
    """A hard edge drawn over a body in long strokes.

    FoleyAutomatic (2001): surface noise at the hand's speed, through the body's modes, which the contact
    damps; part of the noise is heard directly.
    """

    source: ClassVar[str] = "van den Doel, Kry and Pai, 2001"
    beats: ClassVar[bool] = True
    material: str
    body: Body
    centres_s: tuple[float, ...]
    width_s: float
    grain_mm: float
    slope_db: float
    direct: float
    position: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Scrape:
        material = brief.material
        rate = float(rng.uniform(0.8, 1.1))
        return cls(
            material=material.name,
            body=Body.draw(brief, rng),
            centres_s=stroke_centres(rate, brief, rng),
            width_s=0.2 / rate / brief.character.rate_factor,
            grain_mm=float(rng.uniform(0.4, 1.2) * (1 + material.roughness)),
            slope_db=-3.0 - 3.0 * (1 - material.hardness),
            direct=float(np.clip(0.25 + 0.5 * material.roughness + brief.character.roughness, 0.1, 1.2)),
            position=float(rng.uniform(0.15, 0.45)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        speed = stroke_speeds(frames, self.centres_s, self.width_s)
        force = surface_force(rng, speed, self.grain_mm, self.slope_db)
        force *= 0.6 + 0.8 * wander(rng, frames, 38.0)
        hard = high_pass(force, 180.0)
        ringing = self.body.ring(hard, self.position, damping=4.0)
        return unit(ringing) + self.direct * unit(hard) * 0.8


@dataclass(frozen=True)
class Rub(Recipe):
    """A soft thing passed to and fro, or a broom: noise of many fibres, no ringing.

    Farnell, "Designing Sound" (friction): band-limited noise whose level and brightness follow the hand; a
    broom adds the ticks of its bristles and starts each stroke abruptly.
    """

    source: ClassVar[str] = "Farnell, 2010"
    beats: ClassVar[bool] = True
    variant: str
    centres_s: tuple[float, ...]
    width_s: float
    low_hz: float
    high_hz: float
    bristles: float
    grain_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Rub:
        broom = brief.variant == "sweep"
        rate = float(rng.uniform(0.9, 1.1) if broom else rng.uniform(1.7, 2.2))
        hardness = float(np.clip(brief.material.hardness + brief.character.hardness, 0.0, 1.0))
        return cls(
            variant=brief.variant,
            centres_s=stroke_centres(rate, brief, rng),
            width_s=(0.17 if broom else 0.19) / rate / brief.character.rate_factor,
            low_hz=1200.0 if broom else 140.0 + 260.0 * hardness,
            high_hz=(5000.0 if broom else 900.0 + 2300.0 * hardness) * float(2 ** rng.uniform(-0.2, 0.2)),
            bristles=0.9 if broom else 0.15 * brief.material.roughness,
            grain_hz=float(rng.uniform(45, 80) if broom else rng.uniform(14, 26)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        speed = stroke_speeds(frames, self.centres_s, self.width_s)
        dull = noise(rng, frames, self.low_hz, self.high_hz, -3.0)
        keen = noise(rng, frames, 2 * self.low_hz, 1.6 * self.high_hz, -3.0)
        grain = 0.45 + 0.9 * wander(rng, frames, self.grain_hz)
        body = (dull * speed + 0.6 * keen * speed**2.5) * grain
        ticks = high_pass(rng.standard_normal(frames) * (rng.random(frames) < 0.012 * speed**2), 2500.0)
        return np.asarray(body + self.bristles * 2.2 * ticks)


@dataclass(frozen=True)
class Bow(Recipe):
    """A body kept singing by friction: a wet finger on a rim, a bow on an edge. Sustained and pitched.

    Stick-slip locks to the lowest mode, so partials are harmonic (Fletcher and Rossing, on glass harmonicas
    and bowed bars); hard smooth bodies have few of them. The mode pair of a round body beats as the finger
    passes around it.
    """

    source: ClassVar[str] = "Fletcher and Rossing, 1998"
    material: str
    f0_hz: float
    falloff: float
    swells_s: tuple[float, ...]
    beat_hz: float
    noise: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Bow:
        body = Body.draw(brief, rng)
        smooth = body.family in ("bowl", "bell")
        return cls(
            material=brief.material.name,
            f0_hz=float(np.clip(body.f0_hz * (0.45 if smooth else 0.6), 90.0, 1400.0)),
            falloff=(2.6 if smooth else 1.25) - 0.09 * brief.character.tilt_db,
            swells_s=(0.0, 0.3 + float(rng.uniform(0, 0.3)), brief.duration_s - 0.8, brief.duration_s),
            beat_hz=float(rng.uniform(1.6, 3.2)) * brief.character.rate_factor,
            noise=float(np.clip(0.03 + 0.1 * brief.material.roughness + 0.2 * brief.character.air, 0.01, 0.4)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        swell = breakpoints(frames, self.swells_s, (0.0, 0.85, 1.0, 0.0)) ** 1.5
        drift = 1 + 0.003 * (wander(rng, frames, 5.0) - 0.5)
        phase = phase_of(self.f0_hz * drift)
        total = np.zeros(frames)
        for n in range(1, min(16, int(14000 / self.f0_hz)) + 1):
            beat = 1 - (0.3 / n**0.5) * (0.5 + 0.5 * np.sin(2 * np.pi * self.beat_hz * clock(frames) + 1.7 * n))
            total += n**-self.falloff * beat * swell ** (1 + 0.12 * n) * np.sin(n * phase)
        hiss = noise(rng, frames, 700.0, 6000.0, -3.0) * (0.7 + 0.3 * np.cos(phase)) * swell
        return np.asarray(total + self.noise * hiss)


@dataclass(frozen=True)
class Creak(Recipe):
    """A hinge or a board under slowly changing strain: single slips, from a rattle to a groan, into a damped
    body.

    Farnell, "Designing Sound" (creaking door): stick-slip pulses whose rate follows the force, through wood
    resonances. The variant "squeak" slips several hundred times a second, so that the slips themselves are
    the pitch.
    """

    source: ClassVar[str] = "Farnell, 2010"
    variant: str
    body: Body
    bends: tuple[tuple[float, float, float, float], ...]
    roughness: float
    position: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Creak:
        squeak = brief.variant == "squeak"
        material = brief.material if brief.material.name in ("metal", "plastic") else MATERIALS["wood"]
        body = Body.draw(brief, rng, material, "plate")
        low, high = (420.0, 980.0) if squeak else (16.0, 95.0)
        factor = 2 ** (0.5 * brief.character.rate - 0.5 * brief.character.size)
        count = max(1, round(brief.duration_s * (0.75 if squeak else 0.5) * brief.character.rate_factor))
        starts = (np.arange(count) + rng.uniform(0.02, 0.15, count)) * brief.duration_s / count
        lengths = rng.uniform(0.25, 0.5, count) if squeak else rng.uniform(0.7, 0.85, count) * brief.duration_s / count
        return cls(
            variant=brief.variant,
            body=Body(
                body.family,
                float(np.clip(body.f0_hz, 430.0, 1100.0)),
                max(body.loss_tangent, 0.018),
                -2.0,
                0.0,
                body.jitter,
            ),
            bends=tuple(
                (float(s), float(n), float(a * factor), float(b * factor))
                for s, n, a, b in zip(
                    starts,
                    lengths,
                    rng.uniform(low, 2 * low, count),
                    rng.uniform(0.6 * high, high, count),
                    strict=True,
                )
            ),
            roughness=0.06 if squeak else 0.3,
            position=float(rng.uniform(0.2, 0.4)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        force = np.zeros(frames)
        for start, length, first_hz, last_hz in self.bends:
            force += self._bend(frames, start, length, first_hz, last_hz, rng)
        sound = high_pass(self.body.ring(force, self.position), 160.0)
        return unit(sound) + 0.25 * unit(low_pass(high_pass(force, 300.0), 5000.0))

    def _bend(
        self,
        frames: int,
        start: float,
        length: float,
        first_hz: float,
        last_hz: float,
        rng: np.random.Generator,
    ) -> Signal:
        """Impulses of one bend: the rate rises, stays uncertain and falls off; each slip has its own
        strength.
        """
        middle = start + 0.65 * length
        rate = breakpoints(frames, (start, middle, start + length), (first_hz, last_hz, 0.7 * last_hz))
        rate = rate * (1 + self.roughness * (wander(rng, frames, 24.0) - 0.5) * 2)
        inside = (clock(frames) >= start) & (clock(frames) < start + length)
        slips = np.flatnonzero(np.diff(np.floor(np.cumsum(rate * inside) / RATE)) > 0)
        level = breakpoints(frames, (start, start + 0.2 * length, middle, start + length), (0.25, 0.8, 1.0, 0.0))
        gains = level[slips] * rng.uniform(1 - 1.6 * self.roughness, 1.0, len(slips)) * (60.0 / last_hz) ** 0.5
        return impulses(frames, slips / RATE, gains)
