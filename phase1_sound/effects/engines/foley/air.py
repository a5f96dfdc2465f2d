"""Moving air: wind, things that swish past, steam, pipes that are blown, and the sky's own sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import signal

from phase1_sound.effects.engines.foley.brief import Brief, Recipe
from phase1_sound.effects.engines.foley.dsp import (
    RATE,
    Signal,
    add_grains,
    breakpoints,
    bump,
    clock,
    decaying_sines,
    frames_of,
    high_pass,
    log_uniform,
    low_pass,
    narrow_noise,
    noise,
    panned,
    phase_of,
    poisson_times,
    spread,
    stereo_noise,
    uneven,
    unit,
    wander,
)
from phase1_sound.effects.engines.foley.liquids import bubble_stream
from phase1_sound.effects.engines.foley.modal import Body


@dataclass(frozen=True)
class Wind(Recipe):
    """Wind outdoors: a broad low rush that opens with the gusts, and whistling edges that come with the
    strong ones.

    Farnell, "Designing Sound" (wind): pink noise through a low-pass at 120 + 500 strength Hz under a slow
    gust curve, and narrow resonances of 300-1100 Hz faded in by gust^2 and moving with it. The sides differ,
    without onsets.
    """

    source: ClassVar[str] = "Farnell, 2010"
    strength: float
    gust_hz: float
    whistles_hz: tuple[float, ...]
    whistle: float
    air: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Wind:
        storm = 0.35 if brief.words & {"storm", "howling", "howl", "strong", "gale", "gust", "gusting"} else 0.0
        whistles = log_uniform(rng, (300.0, 1100.0), 3) * 2 ** (-0.5 * brief.character.size)
        return cls(
            strength=float(np.clip(rng.uniform(0.4, 0.7) + storm + 0.05 * brief.character.tilt_db, 0.2, 1.3)),
            gust_hz=float(rng.uniform(0.45, 0.75)) * brief.character.rate_factor,
            whistles_hz=tuple(float(f) for f in np.sort(whistles)),
            whistle=float(rng.uniform(0.1, 0.22)) + 0.5 * storm,
            air=float(np.clip(0.1 + 0.5 * brief.character.air, 0.02, 0.5)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        gust = 0.2 + 0.8 * wander(rng, frames, self.gust_hz) ** 1.3 + 0.08 * wander(rng, frames, 2.2)
        gust = low_pass(gust - gust[0], 1.5) + gust[0]
        cutoff = 120 + 500 * self.strength
        calm = stereo_noise(rng, frames, 30.0, cutoff, -3.0, width=0.6)
        strong = stereo_noise(rng, frames, 60.0, 2.4 * cutoff, -3.0, width=0.6)
        breath = stereo_noise(rng, frames, 900.0, 5000.0, -3.0, width=0.9)
        total = calm * gust + 0.8 * strong * gust**1.7 + self.air * breath * gust**1.4
        for index, freq in enumerate(self.whistles_hz):
            moving = freq * (0.8 + 0.3 * gust)
            level = self.whistle * gust**2 * wander(rng, frames, 0.8)
            total += panned(narrow_noise(rng, moving, 0.05 * freq) * level, 0.7 * (-1) ** index)
        return np.asarray(total)


@dataclass(frozen=True)
class Whoosh(Recipe):
    """Something swings or flies past: a band of noise that rises and falls in pitch and crosses the picture.

    Farnell, "Designing Sound" (swinging objects): vortices are shed at f = 0.2 v / d, so pitch and level
    follow the speed.
    """

    source: ClassVar[str] = "Farnell, 2010"
    beats: ClassVar[bool] = True
    passes: tuple[tuple[float, float, float], ...]
    low_hz: float
    high_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Whoosh:
        rate = 0.8 * brief.character.rate_factor
        count = max(1, int(brief.duration_s * rate))
        centres = (
            np.arange(count) + 0.5 + brief.character.unevenness(0.08) * rng.standard_normal(count).clip(-2, 2)
        ) / rate
        size = brief.size * 2**brief.character.size
        return cls(
            passes=tuple(
                (float(c), float(w), float(d))
                for c, w, d in zip(
                    centres,
                    rng.uniform(0.09, 0.15, count) / rate**0.5,
                    np.where(np.arange(count) % 2, -1.0, 1.0),
                    strict=True,
                )
            ),
            low_hz=float(rng.uniform(180, 260)) / size**0.4,
            high_hz=float(rng.uniform(1100, 1700)) / size**0.4,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        total = np.zeros((2, frames))
        for centre, width, direction in self.passes:
            start = frames_of(max(centre - 4 * width, 0.001))
            count = min(frames_of(8 * width), frames - start)
            if count > 0:
                total[:, start : start + count] += self._one(count, centre - start / RATE, width, direction, rng)
        return total

    def _one(self, frames: int, centre: float, width: float, direction: float, rng: np.random.Generator) -> Signal:
        speed = bump(frames, centre, width)
        centre_hz = self.low_hz + (self.high_hz - self.low_hz) * speed
        sound = narrow_noise(rng, centre_hz, 420.0) + 0.5 * narrow_noise(rng, 1.9 * centre_hz, 900.0)
        path = np.tanh((clock(frames) - centre) / (2 * width)) * direction * 0.8
        return panned(sound * speed**1.3, path)


@dataclass(frozen=True)
class Hiss(Recipe):
    """Steam, spray or fizz: bright noise from a nozzle, with sputter; a fizzing drink is thousands of tiny
    bursts.

    Farnell, "Designing Sound": turbulent jets are high-passed noise whose spectrum rises with pressure;
    bubbles of a drink burst as short damped sines above 3 kHz.
    """

    source: ClassVar[str] = "Farnell, 2010"
    beats: ClassVar[bool] = True
    fizz: float
    low_hz: float
    bursts: tuple[tuple[float, float], ...]
    sputter: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Hiss:
        fizzy = bool(
            brief.words & {"fizz", "fizzing", "soda", "sizzle", "sizzling", "frying", "fry", "carbonated", "beer"}
        )
        rate = 0.55 * brief.character.rate_factor
        count = max(1, round(brief.duration_s * rate))
        starts = (np.arange(count) + 0.1 + brief.character.unevenness(0.05) * rng.uniform(-1, 1, count)) / rate
        return cls(
            fizz=1.0 if fizzy else 0.0,
            low_hz=float(rng.uniform(2200, 3200)),
            bursts=tuple(
                (float(s), float(n))
                for s, n in zip(
                    starts,
                    (0.78 + 0.6 * brief.character.unevenness(0.1) * rng.uniform(-1, 1, count)) / rate,
                    strict=True,
                )
            ),
            sputter=float(rng.uniform(0.1, 0.3)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        jet = stereo_noise(rng, frames, self.low_hz, 9500.0, -2.0, width=0.4)
        if self.fizz:
            return 0.35 * jet + self._fizz(frames, rng)
        pressure = np.full(frames, 0.03)
        for start, length in self.bursts:
            end = start + length
            pressure += breakpoints(frames, (start, start + 0.04, end - 0.35, end), (0.0, 1.0, 0.75, 0.0))
        pressure *= 1 - self.sputter * wander(rng, frames, 22.0)
        body = stereo_noise(rng, frames, 500.0, 2500.0, -3.0, width=0.3)
        return np.asarray(jet * pressure + 0.3 * body * pressure**2)

    def _fizz(self, frames: int, rng: np.random.Generator) -> Signal:
        sides = []
        for _ in range(2):
            times = poisson_times(rng, 420.0, frames / RATE)
            freqs, gains = rng.uniform(2800, 9000, len(times)), 0.15 + rng.pareto(2.2, len(times)).clip(0, 5)
            sides.append(
                add_grains(frames, times, decaying_sines(freqs, np.full(len(times), 900.0), gains, frames_of(0.005)))
            )
        return spread(sides[0], sides[1])


@dataclass(frozen=True)
class Blow(Recipe):
    """Breath across a bottle or through a pipe, a whistle or a car horn: sustained and pitched.

    Helmholtz: the neck's air against the body's spring gives one strong mode, fed by turbulence, so tone and
    breath noise share their pitch (Farnell, "Designing Sound", blown pipes). A horn is a reed: two buzzing
    notes with many partials.
    """

    source: ClassVar[str] = "Fletcher and Rossing, 1998; Farnell, 2010"
    beats: ClassVar[bool] = True
    variant: str
    pitches_hz: tuple[float, ...]
    tones_s: tuple[tuple[float, float], ...]
    breath: float
    sharpness: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Blow:
        horn = brief.variant == "horn"
        rate = (0.75 if horn else 0.55) * brief.character.rate_factor
        count = max(1, round(brief.duration_s * rate))
        size = brief.size * 2**brief.character.size
        whistle = bool(brief.words & {"whistle", "whistling", "kettle"})
        base = float(
            np.clip(
                (400.0 if horn else 1250.0 if whistle else 320.0) / size**0.6 * 2 ** rng.uniform(-0.2, 0.2),
                80,
                2600,
            )
        )
        starts = uneven(rng, np.arange(count) / rate + 0.03, brief.character.unevenness(0.0) / rate)
        return cls(
            variant=brief.variant,
            pitches_hz=(base, base * 1.26) if horn else (base,),
            tones_s=tuple(
                (float(s), float(n))
                for s, n in zip(
                    starts, (0.7 + brief.character.unevenness(0.1) * rng.uniform(-1, 1, count)) / rate, strict=True
                )
            ),
            breath=0.02 if horn else float(np.clip(0.3 + brief.character.air, 0.05, 0.9)),
            sharpness=26.0 if horn else 0.7,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        level = np.zeros(frames)
        attack, release = (0.025, 0.05) if self.variant == "horn" else (0.09, 0.18)
        for start, length in self.tones_s:
            end = start + length
            level += breakpoints(frames, (start, start + attack, end - release, end), (0.0, 1.0, 0.85, 0.0))
        total = np.zeros(frames)
        for pitch in self.pitches_hz:
            # The pipe speaks a little flat and settles as the pressure comes up.
            freq = pitch * (0.985 + 0.015 * level + 0.004 * (wander(rng, frames, 5.5) - 0.5))
            tone = pulse(phase_of(freq), self.sharpness)
            total += tone * level + self.breath * narrow_noise(rng, freq, 0.35 * pitch) * level**0.7
        chiff = noise(rng, frames, 900.0, 6000.0, -3.0) * level**0.6 * self.breath * 0.25
        return total + chiff


def pulse(phase: Signal, sharpness: float) -> Signal:
    """A periodic pulse at a peak of 1, rounder for a small `sharpness`."""
    shape = np.exp(sharpness * (np.cos(phase) - 1))
    return unit(shape - shape.mean())


@dataclass(frozen=True)
class Rain(Recipe):
    """Rain on a surface: drops of very different weight, a soft bed of far ones, and bubbles where water
    stands.

    Farnell, "Designing Sound" (rain) for drops as short impacts with Pareto-distributed energy; van den Doel
    (2005) for the few bubbles. On a solid surface (roof, window) the heavy drops also make it ring.
    """

    source: ClassVar[str] = "Farnell, 2010; van den Doel, 2005"
    rate_hz: float
    bed: float
    surface: str
    body: Body
    ring: float
    drop_hz: tuple[float, float]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Rain:
        solid = brief.material.name in ("metal", "glass", "wood", "plastic", "stone", "ceramic")
        body = Body.draw(brief, rng, family="plate")
        low = 900.0 * 2 ** (-0.4 * brief.character.size)
        return cls(
            rate_hz=float(rng.uniform(130, 200)) * brief.character.rate_factor,
            bed=float(np.clip(0.10 + 0.3 * brief.character.air, 0.03, 0.4)),
            surface=brief.material.name,
            body=Body("plate", body.f0_hz * 0.7, max(body.loss_tangent, 0.012) + 0.02, -4.0, 0.0, body.jitter),
            ring=0.7 if solid else 0.0,
            drop_hz=(low, 4.2 * low),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        sides = [self._side(frames, rng) for _ in range(2)]
        bed = stereo_noise(rng, frames, 500.0, 5500.0, -3.0, width=0.9)
        far = bed * (0.8 + 0.4 * wander(rng, frames, 0.7))
        return spread(sides[0], sides[1]) + self.bed * 1.2 * far

    def _side(self, frames: int, rng: np.random.Generator) -> Signal:
        times = poisson_times(rng, self.rate_hz, frames / RATE)
        weights = (0.12 + rng.pareto(1.9, len(times))).clip(0, 4)
        freqs = log_uniform(rng, self.drop_hz, len(times))
        grains = decaying_sines(freqs, 420.0 + 0.12 * freqs, weights, frames_of(0.007))
        grains += (
            0.5 * weights[:, None] * rng.standard_normal(grains.shape) * np.exp(-np.arange(grains.shape[1]) / 30.0)
        )
        dry = high_pass(low_pass(add_grains(frames, times, grains), 5200.0), 420.0)
        few = rng.random(len(times)) < 0.09
        wet = bubble_stream(rng, frames, times[few] + 0.01, weights[few], (0.7, 2.2), 0.5)
        ringing = unit(self.body.ring(dry, 0.27)) * np.abs(dry).max(initial=1e-9) if self.ring else 0.0
        return dry + 0.7 * wet + self.ring * ringing


@dataclass(frozen=True)
class Thunder(Recipe):
    """A distant stroke: a torn first clap and a long rumble in several waves.

    Farnell, "Designing Sound" (thunder): the channel's segments arrive one after another as many overlapping
    low booms; air takes the treble away with distance.
    """

    source: ClassVar[str] = "Farnell, 2010"
    claps_s: tuple[float, ...]
    forces: tuple[float, ...]
    distance: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Thunder:
        count = int(rng.integers(6, 10))
        times = np.sort(np.concatenate([[0.05], 0.1 + rng.beta(1.2, 1.8, count) * (brief.duration_s * 0.7)]))
        forces = np.exp(-times / brief.duration_s * 1.2) * rng.uniform(0.4, 1.0, len(times))
        return cls(
            claps_s=tuple(float(t) for t in times),
            forces=tuple(float(f) for f in forces),
            distance=float(rng.uniform(0.35, 0.7)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        envelope = np.zeros(frames)
        for time, force in zip(self.claps_s, self.forces, strict=True):
            t = clock(frames) - time
            envelope += force * np.where(t > 0, np.minimum(t / 0.04, 1) * np.exp(-np.maximum(t, 0) / 0.45), 0.0)
        torn = 0.55 + 0.9 * wander(rng, frames, 19.0)
        rumble = stereo_noise(rng, frames, 28.0, 110.0, -2.0, width=0.5) * envelope
        middle = stereo_noise(rng, frames, 80.0, 420.0, -4.0, width=0.6) * envelope**1.4 * torn
        crack = stereo_noise(rng, frames, 300.0, 2600.0, -4.0) * envelope**2.5 * torn * (1 - self.distance)
        return high_pass(rumble + 0.8 * middle + 0.5 * crack, 25.0)


@dataclass(frozen=True)
class Hall(Recipe):
    """A public space without a crowd: the breath of a large room, and far steps, doors and handled things in its echo.

    Schafer, "The Soundscape" (1977): keynote sounds (ventilation, traffic outside) and few signals before them. Moorer (1979)
    for the echo as noise that decays exponentially. Nobody speaks.
    """

    source: ClassVar[str] = "Schafer, 1977; Moorer, 1979"
    t60_s: float
    walks: tuple[tuple[float, float, float, float], ...]
    thuds_s: tuple[float, ...]
    clinks_s: tuple[float, ...]
    keynote_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Hall:
        duration = brief.duration_s
        walks = [
            (
                float(rng.uniform(0, 0.2)),
                float(rate * brief.character.rate_factor),
                float(rng.uniform(0.4, 1.0)),
                float(pitch),
            )
            for rate, pitch in zip(rng.uniform(1.6, 2.1, 2), log_uniform(rng, (700.0, 1700.0), 2), strict=True)
        ]
        return cls(
            t60_s=float(rng.uniform(1.5, 2.2)) / brief.character.damping_factor**0.6,
            walks=tuple(walks),
            thuds_s=tuple(float(t) for t in np.sort(rng.uniform(0.1, 0.8 * duration, 2))),
            clinks_s=tuple(float(t) for t in np.sort(rng.uniform(0.1, 0.9 * duration, 3))),
            keynote_hz=float(rng.uniform(85, 125)) * 2 ** (-0.4 * brief.character.size),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        signals = self._signals(frames, rng)
        count = frames_of(min(self.t60_s, 2.5))
        echo = rng.standard_normal((2, count)) * np.exp(-6.91 * clock(count) / self.t60_s)
        wet = np.stack([signal.oaconvolve(signals, low_pass(side, 3200.0))[:frames] for side in echo])
        keynote = stereo_noise(rng, frames, self.keynote_hz, 500.0, -4.0, width=0.8) * (
            0.85 + 0.3 * wander(rng, frames, 0.5)
        )
        air = stereo_noise(rng, frames, 500.0, 4000.0, -4.0, width=0.9)
        wet /= max(float(np.abs(wet).max()), 1e-9)
        return np.asarray(wet + 0.3 * unit(signals) + 0.05 * keynote + 0.012 * air)

    def _signals(self, frames: int, rng: np.random.Generator) -> Signal:
        """The dry sounds: two people walking, doors that fall shut, things put down."""
        total = np.zeros(frames)
        for start, rate, level, pitch in self.walks:
            times = np.arange(start, frames / RATE, 1 / rate)
            total += 0.4 * level * add_grains(frames, times, _taps(rng, len(times), pitch, 240.0))
        for times_s, pitch, decay in ((self.thuds_s, 95.0, 30.0), (self.clinks_s, 2300.0, 90.0)):
            taps = _taps(rng, len(times_s), pitch, decay)
            total += (0.9 if pitch < 500 else 0.2) * add_grains(frames, np.array(times_s), taps)
        return total


def _taps(rng: np.random.Generator, count: int, pitch_hz: float, decay: float) -> Signal:
    """Grains of things touched far away, shape (count, frames): half noise around a pitch, half three modes."""
    t = clock(frames_of(6.0 / decay))
    modes = sum(
        np.sin(2 * np.pi * pitch_hz * ratio * rng.uniform(0.93, 1.07, count)[:, None] * t)
        for ratio in (1.0, 1.62, 2.41)
    )
    rough = low_pass(rng.standard_normal((count, len(t))), 2.5 * pitch_hz)
    return np.asarray((0.4 * modes + rough) * np.exp(-decay * t) * rng.uniform(0.5, 1.0, count)[:, None])
