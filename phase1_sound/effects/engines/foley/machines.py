"""Machines: engines, motors, mains hum, traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from phase1_sound.effects.engines.foley.brief import Brief, Recipe
from phase1_sound.effects.engines.foley.dsp import (
    Signal,
    band,
    breakpoints,
    clock,
    frames_of,
    high_pass,
    low_pass,
    noise,
    panned,
    phase_of,
    pulse_train,
    stereo_noise,
    uneven,
    unit,
    wander,
)
from phase1_sound.effects.engines.foley.materials import MATERIALS
from phase1_sound.effects.engines.foley.modal import Body, Stroke

ENGINE_MODES_HZ = ((85.0, 30.0, 1.0), (210.0, 60.0, 0.8), (520.0, 140.0, 0.45), (1300.0, 400.0, 0.2))


@dataclass(frozen=True)
class Engine(Recipe):
    """A combustion engine: exhaust pulses into the resonances of its pipes, with the rattle of its valves.

    Farnell, "Designing Sound" (engines): rpm / 60 * cylinders / 2 pulses a second; every cylinder has its own
    strength, which is what makes an idling engine limp at half its turning rate.
    """

    source: ClassVar[str] = "Farnell, 2010"
    rpm: tuple[float, ...]
    rpm_times_s: tuple[float, ...]
    cylinders: int
    strengths: tuple[float, ...]
    roughness: float
    scale: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Engine:
        revving = bool(brief.words & {"rev", "revving", "accelerating", "roaring", "roar", "racing", "starting"})
        heavy = bool(brief.words & {"truck", "tractor", "bus", "boat", "ship", "train", "diesel", "generator"})
        cylinders = 2 if brief.words & {"motorcycle", "moped", "scooter", "motorbike", "chainsaw", "lawnmower"} else 4
        idle = float(rng.uniform(620, 760) if heavy else rng.uniform(850, 1050)) * brief.character.rate_factor
        top = idle * (3.2 if revving else 1.12)
        d = brief.duration_s
        return cls(
            rpm=(idle, idle, top, idle * 1.1, idle) if revving else (idle, top, idle, top, idle),
            rpm_times_s=(0.0, 0.2 * d, 0.5 * d, 0.8 * d, d),
            cylinders=cylinders,
            strengths=tuple(float(s) for s in rng.uniform(0.6, 1.0, cylinders)),
            roughness=float(np.clip(0.18 + 0.5 * brief.character.roughness, 0.05, 0.5)),
            scale=(0.72 if heavy else 1.25 if cylinders == 2 else 1.0) * 2 ** (-0.5 * brief.character.size),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        rpm = breakpoints(frames, self.rpm_times_s, self.rpm) * (1 + 0.03 * (wander(rng, frames, 9.0) - 0.5))
        cycle = phase_of(rpm / 120.0)  # a four-stroke fires each cylinder every second turn
        firing = cycle * self.cylinders
        index = (firing / (2 * np.pi)).astype(np.int64)
        strength = np.asarray(self.strengths)[index % self.cylinders]
        strength = strength * (1 + self.roughness * rng.standard_normal(index[-1] + 1)[index])
        pulses = np.exp(-((firing / (2 * np.pi)) % 1.0) * 9.0) * low_pass(strength, 400.0)
        source = pulses - low_pass(pulses, 15.0) + 0.12 * noise(rng, frames, 200.0, 4000.0, -3.0) * pulses
        total = 0.15 * source
        for freq, width, gain in ENGINE_MODES_HZ:
            total = total + gain * band(source, freq * self.scale, width * 1.6)
        valves = noise(rng, frames, 1800.0, 6000.0, -3.0) * (pulses**2)
        return np.asarray(total + 0.05 * valves)


@dataclass(frozen=True)
class Motor(Recipe):
    """An electric motor, fan or drill: a whine with its overtones, and air beaten by blades.

    Farnell, "Designing Sound" (fans, motors): the rotor gives a pulse wave, the blades modulate broad noise
    at the rate at which they pass; both rise together on starting up.
    """

    source: ClassVar[str] = "Farnell, 2010"
    turns_hz: float
    blades: int
    whine: float
    start_s: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Motor:
        fan = bool(brief.words & {"fan", "propeller", "ventilator", "helicopter", "turbine", "windmill"})
        size = brief.size * 2**brief.character.size
        return cls(
            turns_hz=float(rng.uniform(14, 20) if fan else rng.uniform(52, 75))
            * brief.character.rate_factor
            / size**0.3,
            blades=int(rng.integers(3, 5)),
            whine=0.25 if fan else 1.0,
            start_s=float(rng.uniform(0.25, 0.5)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        speed = 1 - 0.75 * np.exp(-clock(frames) / self.start_s)
        turns = self.turns_hz * speed * (1 + 0.006 * (wander(rng, frames, 4.0) - 0.5))
        phase = phase_of(turns)
        tone = (
            pulse_train(phase * self.blades, 20.0)
            + 0.35 * pulse_train(phase * 11, 1.5)
            + 0.3 * pulse_train(phase, 30.0)
        )
        beat = 0.35 + 0.65 * (0.5 + 0.5 * np.cos(self.blades * phase)) ** 2
        air = noise(rng, frames, 120.0, 2200.0, -3.0) * beat * speed**2
        brushes = 0.12 * noise(rng, frames, 2500.0, 7000.0, -2.0) * (0.6 + 0.4 * np.cos(11 * phase)) * self.whine
        return np.asarray(self.whine * 0.9 * tone * speed + (1.3 - self.whine) * 0.8 * air + brushes + 0.2 * air)


@dataclass(frozen=True)
class Hum(Recipe):
    """Mains hum of lamps, refrigerators, transformers: even harmonics of 50 Hz that beat very slowly, and a
    little buzz.

    The core of a transformer moves twice per period (magnetostriction), hence 100 Hz and its multiples
    (Farnell, "Designing Sound", electricity).
    """

    source: ClassVar[str] = "Farnell, 2010"
    mains_hz: float
    levels: tuple[float, ...]
    buzz: float
    beat_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Hum:
        roll = np.array([0.3, 1.0, 0.2, 0.85, 0.12, 0.6, 0.08, 0.45, 0.06, 0.3, 0.03, 0.2])
        return cls(
            mains_hz=50.0
            * 2 ** float(np.clip(-0.5 * brief.character.size, -0.5, 1.0))
            * float(rng.uniform(0.99, 1.01)),
            levels=tuple(float(v) for v in roll * rng.uniform(0.6, 1.4, len(roll))),
            buzz=float(np.clip(0.15 + 0.5 * brief.character.roughness, 0.0, 0.8)),
            beat_hz=float(rng.uniform(0.3, 0.7)) * brief.character.rate_factor,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        phase = phase_of(np.full(frames, self.mains_hz))
        slow = 2 * np.pi * self.beat_hz * clock(frames)
        total = np.zeros(frames)
        for n, level in enumerate(self.levels, 1):
            total += level * (0.8 + 0.2 * np.sin(slow * (1 + 0.17 * n) + n)) * np.sin(n * phase + 0.9 * n * n)
        spark = noise(rng, frames, 900.0, 5000.0, -3.0) * np.clip(np.cos(2 * phase), 0, 1) ** 6
        return np.asarray(
            total
            + self.buzz * (spark + 0.5 * pulse_train(2 * phase, 160.0))
            + 0.02 * noise(rng, frames, 80.0, 900.0, -3.0)
        )


@dataclass(frozen=True)
class Traffic(Recipe):
    """A street some way off: a low roar, and single cars that pass from side to side.

    Farnell, "Designing Sound" (traffic): tyre noise around 800 Hz and an engine tone under a bell-shaped
    level; the pitch falls by the Doppler ratio (c - v) / (c + v) in passing.
    """

    source: ClassVar[str] = "Farnell, 2010"
    passes: tuple[tuple[float, float, float, float], ...]
    roar: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Traffic:
        count = max(1, round(0.5 * brief.duration_s * brief.character.rate_factor))
        centres = (np.arange(count) + rng.uniform(0.25, 0.75, count)) * brief.duration_s / count
        rows = zip(
            centres,
            rng.uniform(0.5, 0.8, count),
            rng.choice([-1.0, 1.0], count),
            rng.uniform(62, 105, count),
            strict=True,
        )
        return cls(
            passes=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows),
            roar=float(rng.uniform(0.5, 0.8)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        swell = 0.8 + 0.4 * wander(rng, frames, 0.6)
        total = self.roar * stereo_noise(rng, frames, 45.0, 260.0, -3.0, width=0.7) * swell
        for centre, width, direction, pitch in self.passes:
            t = (clock(frames) - centre) / width
            level = 1 / (1 + (1.8 * t) ** 2)
            doppler = 1 - 0.045 * t / np.sqrt(0.15 + t * t)
            tyres = noise(rng, frames, 450.0, 1500.0, -2.0)
            motor = unit(pulse_train(phase_of(pitch * doppler), 14.0))
            total += panned((0.7 * tyres + 0.5 * motor) * level**1.4, np.tanh(1.2 * t) * direction * 0.75)
        return total


@dataclass(frozen=True)
class Buzz(Recipe):
    """Electricity in the open: a neon tube, an arc, a bad contact. Sharp pulses twice a mains period that stutter.

    Farnell, "Designing Sound" (electricity): each half wave ignites the arc anew, at a slightly different moment, hence a
    hoarse buzz; sparks are single, brighter discharges.
    """

    source: ClassVar[str] = "Farnell, 2010"
    rate_hz: float
    jitter: float
    gaps: float
    stutter_hz: float
    edge_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Buzz:
        size = 2.0 ** (-0.4 * brief.character.size)
        return cls(
            rate_hz=100.0 * float(rng.uniform(0.99, 1.01)) * size,
            jitter=float(np.clip(0.08 + 0.3 * brief.character.roughness, 0.02, 0.3)),
            gaps=float(rng.uniform(0.25, 0.4)) * (1 - 0.5 * max(brief.character.regularity, 0.0)),
            stutter_hz=float(rng.uniform(5, 8)) * brief.character.rate_factor,
            edge_hz=float(rng.uniform(1500, 2300)) * size,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        rate = self.rate_hz * (1 + self.jitter * (wander(rng, frames, 60.0) - 0.5))
        cycle = np.cumsum(rate) / frames_of(1.0)
        arcs = np.exp(-(cycle % 1.0) * 14.0) * (0.6 + 0.8 * rng.random(int(cycle[-1]) + 2))[cycle.astype(np.int64)]
        alight = low_pass((wander(rng, frames, self.stutter_hz) > self.gaps).astype(np.float64), 60.0)
        hoarse = arcs * noise(rng, frames, 700.0, 9000.0, -2.0)
        tone = high_pass(arcs - arcs.mean(), 250.0)
        sharp = band(tone, self.edge_hz, 900.0) + band(tone, 2.6 * self.edge_hz, 1600.0)
        hum = 0.25 * np.sin(2 * np.pi * cycle)
        sparks = noise(rng, frames, 2500.0, 12000.0) * (rng.random(frames) < 3e-5)
        return np.asarray(
            (0.55 * hoarse + 3.0 * sharp + 0.5 * tone) * (0.06 + 0.94 * alight) + 0.15 * hum + 2.0 * sparks
        )


@dataclass(frozen=True)
class Machinery(Recipe):
    """A machine that works in cycles: a stroke, its answer, a ratchet, a breath of compressed air, over a motor.

    Farnell, "Designing Sound" (machines): the ear takes for a mechanism what repeats the same parts at the same places of a
    cycle. A sewing machine is a quick and light one, a press slow and heavy.
    """

    source: ClassVar[str] = "Farnell, 2010"
    cycle_hz: float
    frame: Body
    part: Body
    ratchet: int
    air: float
    drone_hz: float
    starts_s: tuple[float, ...]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Machinery:
        quick = bool(brief.words & {"sewing", "stitching", "printer", "typewriter", "small"})
        rate = float(rng.uniform(5.5, 6.5) if quick else rng.uniform(1.25, 1.7)) * brief.character.rate_factor
        size = 2.0 ** (-0.6 * brief.character.size) * (2.2 if quick else 1.0)
        body = Body.draw(brief, rng, MATERIALS["metal"], "plate")
        firsts = 0.02 + np.arange(int(brief.duration_s * rate) + 1) / rate
        loss = 0.02 * brief.character.damping_factor
        return cls(
            cycle_hz=rate,
            frame=Body("plate", float(rng.uniform(120, 170)) * size, loss, -4.0, 0.0, body.jitter),
            part=Body("plate", float(rng.uniform(620, 880)) * size, loss, -2.5, 0.0, body.jitter),
            ratchet=0 if quick else int(rng.integers(3, 6)),
            air=0.0 if quick else float(rng.uniform(0.1, 0.2)),
            drone_hz=float(rng.uniform(46, 60)) * size**0.5,
            starts_s=tuple(float(t) for t in uneven(rng, firsts, brief.character.unevenness(0.0) / rate)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        heavy = [Stroke(t, 1.0, 0.3, 0.0022) for t in self.starts_s]
        answers = [(0.36, 0.6)] + [(0.55 + 0.05 * n, 0.25) for n in range(self.ratchet)]
        light = [Stroke(t + place / self.cycle_hz, f, 0.37, 0.0006) for t in self.starts_s for place, f in answers]
        began = np.searchsorted(self.starts_s, clock(frames), "right") - 1
        place = (clock(frames) - np.asarray(self.starts_s)[np.maximum(began, 0)]) * self.cycle_hz
        breath = np.where(place > 0.7, np.exp(-(place - 0.7) / 0.08) * np.minimum((place - 0.7) / 0.01, 1.0), 0.0)
        hiss = self.air * breath * noise(rng, frames, 1500.0, 8000.0, -2.0)
        drone = unit(pulse_train(phase_of(np.full(frames, self.drone_hz)), 12.0)) + 0.3 * noise(
            rng, frames, 90.0, 900.0, -3.0
        )
        blows = unit(self.frame.strike(frames, heavy)) + 0.55 * unit(self.part.strike(frames, light))
        return np.asarray(blows + hiss + 0.06 * drone)
