"""Water: drops, running, boiling, pouring, splashing, surf.

van den Doel, "Physically based models for liquid sounds" (2005): what is heard of water is the ringing of
bubbles. A bubble of radius r (m) sounds at f = 3 / r Hz and decays with d = 0.13 / r + 0.0072 r^-1.5 per
second; one that forms near the surface rises in pitch, f(t) = f (1 + xi d t), xi ~ 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from phase1_sound.effects.engines.foley.brief import Brief, Recipe
from phase1_sound.effects.engines.foley.dsp import (
    RATE,
    Signal,
    add_grains,
    beat_times,
    breakpoints,
    clock,
    decaying_sines,
    frames_of,
    high_pass,
    log_uniform,
    narrow_noise,
    noise,
    poisson_times,
    sampled,
    spread,
    stereo_noise,
    unit,
    wander,
)

BANK = 48  # bubble shapes in a bank; a stream of thousands of bubbles repeats them, which is not heard
LEAST_RADIUS_MM = 0.15


def bubbles(radii_mm: Signal, rising: Signal, cut_db: float = 50.0) -> tuple[Signal, Signal]:
    """Grains of single bubbles, shape (bubbles, length), at the level r^1.5, and their lengths in frames.

    `rising` is xi per bubble, 0 for one that stays deep.
    """
    r = np.maximum(radii_mm, LEAST_RADIUS_MM) * 1e-3
    freqs, decays = 3.0 / r, 0.13 / r + 0.0072 * r**-1.5
    lengths = np.ceil(cut_db / 8.686 / decays * RATE).astype(np.int64)
    grains = decaying_sines(freqs, decays, (radii_mm / 3.0) ** 1.5, int(lengths.max(initial=1)), rising * decays)
    return grains, lengths


def bubble_stream(
    rng: np.random.Generator,
    frames: int,
    times_s: Signal,
    gains: Signal,
    radii_mm: tuple[float, float],
    share: float,
) -> Signal:
    """Many bubbles out of a bank of 48 sizes between two radii (log-uniform), `share` of them rising, shape
    (frames,).
    """
    radii = np.sort(log_uniform(rng, radii_mm, BANK))
    grains, lengths = bubbles(radii, 0.1 * (rng.random(BANK) < share), 40.0)
    chosen = rng.integers(0, BANK, len(times_s))
    total = np.zeros(frames)
    for index in range(BANK):
        mine = chosen == index
        if mine.any():
            shape = grains[index, : lengths[index]]
            total += add_grains(frames, times_s[mine], gains[mine, None] * shape)
    return total


@dataclass(frozen=True)
class Drip(Recipe):
    """Single drops into water: a faint click of the surface, then the bubble it encloses, sometimes a second
    one.

    van den Doel (2005). Two drops in three fall from one spout and have nearly one pitch, as a leaking tap's
    do.
    """

    source: ClassVar[str] = "van den Doel, 2005"
    times_s: tuple[float, ...]
    radii_mm: tuple[float, ...]
    delays_s: tuple[float, ...]
    echoes: tuple[float, ...]
    gains: tuple[float, ...]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Drip:
        rate = 2.6 * brief.character.rate_factor
        times = beat_times(rng, rate, brief.duration_s - 0.2, brief.character.unevenness(0.13))
        count = len(times)
        base = float(
            np.clip(rng.uniform(1.9, 3.2) * 2 ** (brief.character.size - 0.08 * brief.character.tilt_db), 0.8, 7.0)
        )
        spouts = np.array([1.0, 1.0, 0.66])[rng.integers(0, 3, count)]
        return cls(
            times_s=times,
            radii_mm=tuple(float(r) for r in base * spouts * 2 ** rng.normal(0, 0.06, count)),
            delays_s=tuple(float(d) for d in rng.uniform(0.012, 0.026, count)),
            echoes=tuple(float(e) for e in np.where(rng.random(count) < 0.4, rng.uniform(0.3, 0.6, count), 0.0)),
            gains=tuple(float(g) for g in rng.uniform(0.6, 1.0, count)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        times, delays, gains = np.array(self.times_s), np.array(self.delays_s), np.array(self.gains)
        radii, echoes = np.array(self.radii_mm), np.array(self.echoes)
        main, _ = bubbles(radii, np.full(len(radii), 0.13))
        # A lone bubble of a leaking tap rings longer than the formula of a free one: the vessel holds it.
        second, _ = bubbles(0.55 * radii, np.full(len(radii), 0.1))
        level = (radii / 3.0) ** -1.0
        total = add_grains(frames, times + delays, (gains * level)[:, None] * main)
        total += add_grains(frames, times + 2.6 * delays, (gains * level * echoes)[:, None] * second * 1.6)
        length = frames_of(0.006)
        clicks = rng.standard_normal((len(times), length)) * np.exp(-np.arange(length) / 45.0)
        return unit(total) + 0.07 * high_pass(add_grains(frames, times, gains[:, None] * clicks), 900.0)


@dataclass(frozen=True)
class Stream(Recipe):
    """Running or boiling water: hundreds of bubbles a second over a soft bed, gurgling slowly.

    van den Doel (2005): Poisson bubbles, 0.6-6 mm in a brook, 3-11 mm and all rising in a boiling pot. Two
    independent sides.
    """

    source: ClassVar[str] = "van den Doel, 2005"
    variant: str
    rate_hz: float
    radii_mm: tuple[float, float]
    rising: float
    bed: float
    bed_hz: tuple[float, float]
    gurgle_hz: float
    depth: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Stream:
        boil = brief.variant == "bubble"
        size = float(2 ** (0.5 * brief.character.size)) * brief.size**0.25
        falls = bool(brief.words & {"waterfall", "cascade", "rushing", "rapids", "torrent", "fall", "falls"})
        return cls(
            variant=brief.variant,
            rate_hz=float(rng.uniform(13, 19) if boil else rng.uniform(330, 520)) * brief.character.rate_factor,
            radii_mm=(3.2 * size, 9.0 * size) if boil else (0.6 * size, 4.6 * size),
            rising=1.0 if boil else 0.35,
            bed=0.03 if boil else (0.5 if falls else 0.13) + 0.2 * max(0.0, brief.character.air),
            bed_hz=(120.0, 900.0) if boil else (350.0, 5200.0 if falls else 3200.0),
            gurgle_hz=float(rng.uniform(1.5, 3.0) if boil else rng.uniform(2.5, 4.5)),
            depth=0.25 if falls else 0.65,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        sides = [self._side(frames, rng) for _ in range(2)]
        bed = stereo_noise(rng, frames, *self.bed_hz, -3.0)
        total = spread(sides[0], sides[1])
        return np.asarray(total / max(np.sqrt(np.mean(total**2)), 1e-9) + self.bed * 2.0 * bed)

    def _side(self, frames: int, rng: np.random.Generator) -> Signal:
        gurgle = wander(rng, frames, self.gurgle_hz)
        times = poisson_times(rng, 0.6 * self.rate_hz, frames / RATE)
        gains = (1 - self.depth) + self.depth * sampled(gurgle, times) ** 2 * 2
        return bubble_stream(rng, frames, times, gains * rng.uniform(0.3, 1.0, len(times)), self.radii_mm, self.rising)


@dataclass(frozen=True)
class Pour(Recipe):
    """A vessel being filled: falling water, bubbles, and the column of air above it that shortens.

    van den Doel (2005) for the bubbles; the air column is a tube closed at the water, f = c / 4 (L - h), so
    it rises ever faster towards the brim (Farnell, "Designing Sound", pouring).
    """

    source: ClassVar[str] = "van den Doel, 2005; Farnell, 2010"
    vessel_m: float
    filled: tuple[float, float]
    stop_s: float
    rate_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Pour:
        size = float(np.clip(brief.size * 2**brief.character.size, 0.4, 2.5))
        return cls(
            vessel_m=0.16 * size * float(2 ** rng.uniform(-0.2, 0.2)),
            filled=(0.05, float(rng.uniform(0.78, 0.88))),
            stop_s=brief.duration_s * 0.9,
            rate_hz=float(rng.uniform(240, 340)) * brief.character.rate_factor,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        flow = breakpoints(frames, (0.0, 0.15, self.stop_s - 0.1, self.stop_s + 0.08), (0.0, 1.0, 0.9, 0.0))
        flow = flow * (0.75 + 0.25 * wander(rng, frames, 7.0))
        height = breakpoints(frames, (0.0, self.stop_s), self.filled)
        column_hz: Signal = np.asarray(343.0 / (4 * self.vessel_m * (1 - height))).clip(0.0, 6000.0)
        times = poisson_times(rng, self.rate_hz, frames / RATE)
        gains = sampled(flow, times) * rng.uniform(0.3, 1.0, len(times))
        glug = bubble_stream(rng, frames, times, gains, (0.9, 4.0), 0.5)
        tube = narrow_noise(rng, column_hz, 70.0) + 0.35 * narrow_noise(rng, 3 * column_hz, 160.0)
        jet = noise(rng, frames, 900.0, 6000.0, -3.0)
        return np.asarray(glug / max(np.sqrt(np.mean(glug**2)), 1e-9) + flow * (0.75 * tube + 0.16 * jet))


@dataclass(frozen=True)
class Splash(Recipe):
    """Something falls into water: the slap, the cavity that closes a moment later, spray and bubbles coming
    up.

    van den Doel (2005) for cavity and bubbles; the order of events after Farnell, "Designing Sound" (water).
    """

    source: ClassVar[str] = "van den Doel, 2005; Farnell, 2010"
    times_s: tuple[float, ...]
    cavity_mm: float
    spray_s: float
    forces: tuple[float, ...]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Splash:
        rate = 0.52 * brief.character.rate_factor
        times = beat_times(rng, rate, max(brief.duration_s, 0.6), brief.character.unevenness(0.06))
        size = float(np.clip(brief.size * 2**brief.character.size, 0.4, 3.0))
        return cls(
            times_s=times,
            cavity_mm=float(rng.uniform(11, 18)) * size**0.6,
            spray_s=float(rng.uniform(0.14, 0.22)) * size**0.5 * brief.character.damping_factor**-0.4,
            forces=tuple(float(f) for f in rng.uniform(0.7, 1.0, len(times))),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        total = np.zeros((2, frames))
        for time, force in zip(self.times_s, self.forces, strict=True):
            total += force * self._one(frames, time, rng)
        return total

    def _one(self, frames: int, start: float, rng: np.random.Generator) -> Signal:
        t = clock(frames) - start
        after = np.where(t >= 0, t, np.inf)
        slap = np.exp(-after / 0.02) * noise(rng, frames, 180.0, 2500.0, -3.0)
        spray = np.exp(-after / self.spray_s) * np.minimum(after / 0.02, 1.0) * (t >= 0)
        hiss = stereo_noise(rng, frames, 700.0, 7000.0, -3.0) * spray
        count = rng.poisson(130)
        times = start + 0.05 + rng.exponential(0.28, count)
        plume = bubble_stream(rng, frames, times, rng.uniform(0.2, 1.0, count) ** 2, (1.2, 8.0), 0.6)
        cavity, _ = bubbles(np.array([self.cavity_mm]), np.array([0.12]))
        deep = add_grains(frames, np.array([start + 0.035]), unit(cavity))
        return np.asarray(0.55 * slap + 0.42 * hiss + 0.9 * unit(plume) + 0.7 * deep)


@dataclass(frozen=True)
class Waves(Recipe):
    """Surf: each wave swells, breaks and runs back as foam over the shore.

    Farnell, "Designing Sound" (sea): level and brightness of the noise follow the height of the wave; the
    foam is brighter, later and pans away. Lapping water (calm, lake) is shorter and comes with bubbles.
    """

    source: ClassVar[str] = "Farnell, 2010"
    beats: ClassVar[bool] = True
    peaks_s: tuple[float, ...]
    forces: tuple[float, ...]
    rise_s: float
    foam_s: float
    lapping: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Waves:
        calm = bool(brief.words & {"lap", "lapping", "lake", "calm", "gentle", "gently", "pond", "harbor", "harbour"})
        period = (1.5 if calm else 3.4) / brief.character.rate_factor
        count = max(1, int(brief.duration_s / period + 0.4))
        peaks = period * (np.arange(count) + 0.5) + rng.normal(0, brief.character.unevenness(0.06) * period, count)
        return cls(
            peaks_s=tuple(float(p) for p in peaks),
            forces=tuple(float(f) for f in rng.uniform(0.7, 1.0, count)),
            rise_s=0.3 * period,
            foam_s=0.38 * period * float(rng.uniform(0.85, 1.15)),
            lapping=1.0 if calm else 0.15,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        height, foam = np.full(frames, 0.05), np.full(frames, 0.02)
        for peak, force in zip(self.peaks_s, self.forces, strict=True):
            t = clock(frames) - peak
            height += force * np.where(t < 0, np.exp(t / (0.55 * self.rise_s)), np.exp(-t / (0.5 * self.foam_s)))
            late = t - 0.12
            foam += force * np.where(late < 0, np.exp(late / 0.12), np.exp(-late / self.foam_s))
        roar = stereo_noise(rng, frames, 50.0, 500.0, -3.0, width=0.5) * height
        crash = stereo_noise(rng, frames, 300.0, 2600.0, -3.0) * height**2.2
        hiss = stereo_noise(rng, frames, 1500.0, 7500.0, -3.0, width=0.9) * foam
        hiss *= 0.75 + 0.25 * np.array([[1.0], [-1.0]]) * np.sin(2 * np.pi * 0.21 * clock(frames))
        times = poisson_times(rng, 90.0, frames / RATE)
        gains = sampled(foam, times)
        drops = bubble_stream(rng, frames, times, gains, (1.0, 6.0), 0.4)
        return np.asarray(0.55 * roar + 0.9 * crash + 0.33 * hiss + self.lapping * unit(drops))
