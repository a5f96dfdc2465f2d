"""Things that travel: trains, bicycles, boats, and whatever rolls."""

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
    noise,
    phase_of,
    poisson_times,
    stereo_noise,
    uneven,
    unit,
    wander,
)
from phase1_sound.effects.engines.foley.friction import Creak
from phase1_sound.effects.engines.foley.liquids import Waves
from phase1_sound.effects.engines.foley.materials import MATERIALS
from phase1_sound.effects.engines.foley.modal import Body, Stroke, contact_forces, ring_bank


@dataclass(frozen=True)
class Roll(Recipe):
    """Something round rolls over a floor, and comes to rest.

    FoleyAutomatic (2001): rolling is scraping without the sliding, so the force is smoother (a low-pass at the size of the
    contact) and comes back once per turn; bumps of the ground are single soft impacts on the rolling body.
    """

    source: ClassVar[str] = "van den Doel, Kry and Pai, 2001"
    body: Body
    turn_hz: float
    slowing: float
    bump_hz: float
    roughness: float
    smooth_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Roll:
        size = brief.size * 2.0**brief.character.size
        rough = float(np.clip(brief.material.roughness + brief.character.roughness, 0.1, 1.2))
        bump_hz = 26.0 * (0.4 + rough) * brief.character.rate_factor / size**0.3
        return cls(
            body=Body.draw(brief, rng),
            turn_hz=float(rng.uniform(2.4, 3.4)) * brief.character.rate_factor / size**0.6,
            slowing=float(rng.uniform(0.35, 0.6)),
            bump_hz=float(bump_hz),
            roughness=rough,
            smooth_hz=float(500.0 + 1500.0 * brief.material.hardness) / size**0.4,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        seconds = frames / RATE
        speed = breakpoints(frames, (0.0, 0.12, seconds), (0.5, 1.0, 1.0 - self.slowing))
        turns = phase_of(self.turn_hz * speed)
        wobble = 0.55 + 0.45 * np.cos(turns) * (1 - 0.3 * np.cos(2 * turns))
        surface = noise(rng, frames, 60.0, self.smooth_hz, -3.0) * speed * wobble
        times = poisson_times(rng, self.bump_hz, seconds)
        strokes = [
            Stroke(float(t), float(f), 0.3, 0.0008 + 0.8 / self.smooth_hz)
            for t, f in zip(times, (0.15 + rng.pareto(2.5, len(times))).clip(0, 2), strict=True)
        ]
        bumps = contact_forces(frames, strokes, np.ones(len(strokes))) * (0.3 + 0.7 * wobble)
        force = surface * 0.05 + 6.0 * bumps
        rolling = unit(high_pass(self.body.ring(force, 0.3, damping=2.5), 70.0))
        rumble = noise(rng, frames, 50.0, 260.0, -3.0) * speed * wobble
        return np.asarray(rolling + 0.12 * rumble + 0.08 * self.roughness * unit(high_pass(surface, 400.0)))


@dataclass(frozen=True)
class Train(Recipe):
    """A train over jointed rails: the rumble, and every joint heard under the axles of two bogies; or a steam engine's chuffs.

    Thompson, "Railway Noise and Vibration" (2009): rolling noise is broad around 500-2000 Hz; a joint is an impact per axle,
    so a carriage with two bogies gives ta-tam, ta-tam.
    """

    source: ClassVar[str] = "Thompson, 2009"
    joints_s: tuple[float, ...]
    axle_s: float
    body: Body
    squeal_hz: float
    squeal: float
    chuff_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Train:
        steam = bool(brief.words & {"steam", "locomotive", "chuffing", "chuff", "chugging", "puffing"})
        cycle = float(rng.uniform(1.15, 1.4)) / brief.character.rate_factor
        firsts = 0.08 + np.arange(int(brief.duration_s / cycle) + 1) * cycle
        firsts = uneven(rng, firsts, brief.character.unevenness(0.0) * cycle)
        body = Body.draw(brief, rng, MATERIALS["metal"], "bar")
        size = 2.0 ** (-0.5 * brief.character.size)
        return cls(
            joints_s=tuple(float(t) for first in firsts for t in (first, first + 0.42 * cycle)),
            axle_s=0.115 / brief.character.rate_factor,
            body=Body("plate", float(rng.uniform(150, 200)) * size, 0.02, -2.2, 0.0, (body.jitter * 3)[:13]),
            squeal_hz=float(rng.uniform(1900, 2900)) * size,
            squeal=float(rng.uniform(0.01, 0.03)),
            chuff_hz=float(rng.uniform(3.4, 4.4)) * brief.character.rate_factor if steam else 0.0,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        swell = 0.8 + 0.2 * wander(rng, frames, 0.8)
        low = stereo_noise(rng, frames, 40.0, 240.0, -3.0, width=0.4) * swell
        roar = stereo_noise(rng, frames, 300.0, 1500.0, -3.0, width=0.6) * swell
        strokes = [
            Stroke(t + extra, force, 0.3, 0.0009)
            for t in self.joints_s
            for extra, force in ((0.0, 1.0), (self.axle_s, 0.8))
        ]
        clacks = unit(self.body.strike(frames, strokes)) + 0.5 * self._thumps(frames, strokes, rng)
        wheel = np.sin(phase_of(self.squeal_hz * (1 + 0.01 * wander(rng, frames, 3.0)))) * wander(rng, frames, 0.7) ** 4
        return np.asarray(0.1 * low + 0.09 * roar + 0.9 * clacks + self.squeal * wheel + self._chuffs(frames, rng))

    def _thumps(self, frames: int, strokes: list[Stroke], rng: np.random.Generator) -> Signal:
        level = np.asarray(sum(each.force * bump(frames, each.time_s + 0.012, 0.012) for each in strokes))
        return unit(level * noise(rng, frames, 50.0, 320.0, -3.0))

    def _chuffs(self, frames: int, rng: np.random.Generator) -> Signal:
        if not self.chuff_hz:
            return np.zeros(frames)
        place = clock(frames) * self.chuff_hz % 1.0
        accent = 1 - 0.35 * (np.floor(clock(frames) * self.chuff_hz) % 4 > 0)
        puff = np.minimum(place / 0.06, 1.0) * np.exp(-place / 0.22) * accent
        return np.asarray(0.4 * noise(rng, frames, 180.0, 2200.0, -3.0) * puff)


TICK_MODES_HZ = ((2850.0, 900.0, 1.0), (4600.0, 1100.0, 0.7), (6900.0, 1500.0, 0.4))
BELL_RATIOS = (1.0, 1.52, 2.31, 3.47, 4.1)


@dataclass(frozen=True)
class Bicycle(Recipe):
    """A bicycle coasts by: the pawls of its freewheel tick ever slower, tyres hiss, and its bell is rung when asked for.

    Farnell, "Designing Sound" (bouncing and ratchets): each tick is one small impact on the hub, whose modes stay while
    the rate falls.
    """

    source: ClassVar[str] = "Farnell, 2010"
    tick_hz: tuple[float, float]
    scale: float
    tyre: float
    bell_hz: float
    bells_s: tuple[float, ...]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Bicycle:
        first = float(rng.uniform(26, 34)) * brief.character.rate_factor
        rung = bool(brief.words & {"bell", "ring", "rung", "ringing", "dinging"})
        return cls(
            tick_hz=(first, first * float(rng.uniform(0.4, 0.55))),
            scale=float(2.0 ** (rng.uniform(-0.15, 0.15) - 0.4 * brief.character.size)),
            tyre=float(rng.uniform(0.05, 0.08)),
            bell_hz=float(rng.uniform(1900, 2500)),
            bells_s=tuple(float(t) for t in np.arange(0.25, brief.duration_s - 0.4, 1.5)) if rung else (),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        rate = breakpoints(frames, (0.0, frames / RATE), self.tick_hz)
        ticks = np.flatnonzero(np.diff(np.floor(np.cumsum(rate) / RATE)) > 0)
        force = impulses(frames, ticks / RATE, rng.uniform(0.75, 1.0, len(ticks)))
        hub = [np.array(column) for column in zip(*TICK_MODES_HZ, strict=True)]
        clicks = ring_bank(force, hub[0] * self.scale, hub[1], hub[2])
        road = stereo_noise(rng, frames, 250.0, 1900.0, -4.0, width=0.5) * (rate / rate[0])
        return np.asarray(unit(clicks) + self.tyre * road + self._bell(frames))

    def _bell(self, frames: int) -> Signal:
        """The hammers of the bell's wheel hit its dome some fifteen times a second while the lever turns."""
        if not self.bells_s:
            return np.zeros(frames)
        times = np.array([start + pulse / 15.0 for start in self.bells_s for pulse in range(6)])
        freqs = self.bell_hz * np.array(BELL_RATIOS)
        force = impulses(frames, times, np.ones(len(times)))
        return 1.6 * unit(ring_bank(force, freqs, 4.0 + freqs / 900.0, 1.0 / np.arange(1, 6)))


@dataclass(frozen=True)
class Boat(Recipe):
    """A wooden boat at its mooring: water laps at the hull, ropes and planks creak, the hull bumps softly.

    Farnell, "Designing Sound" (creaking) for the planks and van den Doel (2005) for the water, as in the recipes that it
    is made of.
    """

    source: ClassVar[str] = "van den Doel, 2005; Farnell, 2010"
    creak: Creak
    waves: Waves
    hull: Body
    bumps_s: tuple[float, ...]
    creaking: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Boat:
        wood = MATERIALS["wood"]
        bumps = np.arange(0.35, brief.duration_s, 1.7 / brief.character.rate_factor)
        lapping = Brief(
            "waves", "", brief.material, brief.size, brief.character, brief.words | {"lapping"}, brief.duration_s
        )
        planks = Brief("creak", "creak", wood, brief.size, brief.character, brief.words, brief.duration_s)
        body = Body.draw(planks, rng, wood, "plate")
        pitch = float(rng.uniform(85, 120)) * 2.0 ** (-0.5 * brief.character.size)
        return cls(
            creak=Creak.draw(planks, rng),
            waves=Waves.draw(lapping, rng),
            hull=Body("plate", pitch, 0.05, -6.0, 0.0, body.jitter),
            bumps_s=tuple(float(t) for t in bumps + rng.uniform(-0.1, 0.1, len(bumps))),
            creaking=float(rng.uniform(0.3, 0.45)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        strokes = [Stroke(t, 1.0, 0.3, 0.006) for t in self.bumps_s]
        knocks = unit(self.hull.strike(frames, strokes))
        water = self.waves.render(frames, rng)
        return np.asarray(unit(water) + self.creaking * unit(self.creak.render(frames, rng)) + 0.35 * knocks)
