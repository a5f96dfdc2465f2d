"""Textures of many small events on dry things: fire, leaves, paper, cloth."""

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
    bump,
    clock,
    decaying_sines,
    frames_of,
    high_pass,
    log_uniform,
    low_pass,
    noise,
    poisson_times,
    sampled,
    spread,
    stereo_noise,
    uneven,
    unit,
    wander,
)


def crackles(
    rng: np.random.Generator,
    frames: int,
    times_s: Signal,
    gains: Signal,
    freqs_hz: tuple[float, float],
    decay: float,
) -> Signal:
    """Snapping fibres: damped sines with a noisy start, log-uniform in pitch, `decay` in 1/s, shape
    (frames,).
    """
    freqs = log_uniform(rng, freqs_hz, len(times_s))
    length = frames_of(5.0 / decay)
    grains = decaying_sines(freqs, decay * rng.uniform(0.6, 1.6, len(times_s)), gains, length)
    snap = rng.standard_normal((len(times_s), frames_of(0.0012)))
    both = add_grains(frames, times_s, grains) + 0.6 * add_grains(frames, times_s, gains[:, None] * snap)
    return low_pass(both, 6000.0)


@dataclass(frozen=True)
class Fire(Recipe):
    """A burning log: lapping flames, hissing gas, crackling wood.

    Farnell, "Designing Sound" (fire): 20-60 Hz lapping, hiss above 1 kHz that comes and goes by the fourth
    power of a slow noise, and crackles of 3-30 ms at 1.5-9 kHz, about 12 a second, clustered.
    """

    source: ClassVar[str] = "Farnell, 2010"
    crackle_hz: float
    crackle_band: tuple[float, float]
    lapping: float
    hiss: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Fire:
        candle = 0.35 if brief.words & {"candle", "match", "torch", "lamp"} else 1.0
        low = 1300.0 * 2 ** (-0.4 * brief.character.size)
        return cls(
            crackle_hz=float(rng.uniform(13, 20)) * brief.character.rate_factor * candle,
            crackle_band=(low, 5.5 * low),
            lapping=float(rng.uniform(0.4, 0.7)) * brief.size**0.3,
            hiss=float(np.clip(rng.uniform(0.03, 0.07) + 0.2 * brief.character.air, 0.01, 0.3)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        lap = noise(rng, frames, 35.0, 120.0, -3.0) * (0.3 + wander(rng, frames, 7.0))
        roar = stereo_noise(rng, frames, 90.0, 480.0, -4.0, width=0.5) * (0.4 + 0.6 * wander(rng, frames, 5.0))
        hiss = stereo_noise(rng, frames, 1500.0, 6500.0, -2.0) * (0.4 + 1.6 * wander(rng, frames, 2.5) ** 4)
        sides = [self._crackles(frames, rng) for _ in range(2)]
        snaps = spread(sides[0], sides[1], 0.35)
        return np.asarray(
            self.lapping * 0.055 * (lap + 1.2 * roar)
            + self.hiss * 0.3 * hiss
            + snaps * 0.8 / max(np.abs(snaps).max(), 1e-9)
        )

    def _crackles(self, frames: int, rng: np.random.Generator) -> Signal:
        """Mothers at random, each with a few daughters within 60 ms: wood breaks in series."""
        mothers = poisson_times(rng, 0.3 * self.crackle_hz, frames / RATE)
        daughters = rng.poisson(1.8, len(mothers))
        times = np.concatenate([mothers, np.repeat(mothers, daughters) + rng.exponential(0.05, daughters.sum())])
        gains = (0.1 + rng.pareto(1.6, len(times))).clip(0, 3.0)
        return crackles(rng, frames, times, gains, self.crackle_band, 420.0)


@dataclass(frozen=True)
class Rustle(Recipe):
    """Leaves in a breeze or under a hand: countless light touches, in gusts.

    Farnell, "Designing Sound" (leaves, wind in trees): short noise grains of 2-8 kHz whose rate follows the
    square of the gust, over a soft rush; dry leaves are fewer, louder and crisper.
    """

    source: ClassVar[str] = "Farnell, 2010"
    rate_hz: float
    dry: float
    gust_hz: float
    band_hz: tuple[float, float]
    rush: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Rustle:
        dry = 1.0 if brief.words & {"dry", "fallen", "autumn", "dead", "crisp", "straw", "reed"} else 0.35
        dry = float(np.clip(dry + brief.character.hardness, 0.1, 1.2))
        low = 1300.0 * 2 ** (-0.4 * brief.character.size)
        return cls(
            rate_hz=float(rng.uniform(240, 330)) * brief.character.rate_factor,
            dry=dry,
            gust_hz=float(rng.uniform(0.9, 1.5)) * brief.character.rate_factor,
            band_hz=(low, 4.0 * low),
            rush=float(np.clip(0.22 + 0.3 * brief.character.air, 0.05, 0.6)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        gust = 0.08 + 0.92 * wander(rng, frames, self.gust_hz) ** 1.7
        sides = [self._side(frames, gust, rng) for _ in range(2)]
        total = spread(sides[0], sides[1], 0.35)
        rush = stereo_noise(rng, frames, 900.0, 5000.0, -3.0, width=0.9) * gust
        return np.asarray(total / max(np.sqrt(np.mean(total**2)), 1e-9) + self.rush * 2.0 * rush)

    def _side(self, frames: int, gust: Signal, rng: np.random.Generator) -> Signal:
        times = poisson_times(rng, self.rate_hz, frames / RATE)
        kept = times[rng.random(len(times)) < sampled(gust, times)]
        gains = 0.2 + rng.pareto(2.5 - self.dry, len(kept)).clip(0, 4)
        length = frames_of(0.011)
        envelope = np.exp(-np.arange(length) / (RATE * (0.0035 - 0.002 * min(self.dry, 1.0))))
        grains = gains[:, None] * rng.standard_normal((len(kept), length)) * envelope
        band = low_pass(low_pass(high_pass(add_grains(frames, kept, grains), self.band_hz[0]), self.band_hz[1]), 6500.0)
        return band + 0.4 * self.dry * crackles(rng, frames, kept[::5], gains[::5], self.band_hz, 1200.0)


_SQUEEZES = {"crumple": (1.1, 0.17), "tear": (0.75, 0.2), "page": (0.7, 0.11), "bag": (1.9, 0.2)}
"""How often a second and for how long (standard deviation in s) a sheet is moved."""


@dataclass(frozen=True)
class Crumple(Recipe):
    """Paper crushed in the hand, or torn, or a page turned; a plastic bag, whose thin film makes more and shorter snaps.

    Crumpled sheets crackle with energies that follow a power law, in squeezes (Houle and Sethna, 1996);
    tearing is a fast, rather even series of breaking fibres; a page is a swish with a flap at its end
    (Farnell, "Designing Sound").
    """

    source: ClassVar[str] = "Houle and Sethna, 1996"
    beats: ClassVar[bool] = True
    variant: str
    squeezes: tuple[tuple[float, float], ...]
    rate_hz: float
    band_hz: tuple[float, float]
    decay: float
    swish: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Crumple:
        variant = brief.variant
        per_second, width = _SQUEEZES[variant]
        per_second *= brief.character.rate_factor
        count = max(1, int(brief.duration_s * per_second))
        centres = (
            np.arange(count) + 0.5 + brief.character.unevenness(0.1) * rng.standard_normal(count).clip(-2, 2)
        ) / per_second
        low = {"crumple": 700.0, "tear": 1500.0, "page": 500.0, "bag": 1250.0}[variant]
        low *= float(2 ** (rng.uniform(-0.2, 0.2) - 0.4 * brief.character.size))
        low *= 1.8 if variant != "bag" and brief.words & {"foil", "cellophane", "plastic", "wrapper", "bag"} else 1.0
        return cls(
            variant=variant,
            squeezes=tuple(
                (float(c), float(w))
                for c, w in zip(
                    centres, width * (1 + brief.character.unevenness(0.2) * rng.uniform(-1, 1, count)), strict=True
                )
            ),
            rate_hz={"crumple": 170.0, "tear": 520.0, "page": 60.0, "bag": 230.0}[variant],
            band_hz=(low, 4.5 * low),
            decay={"tear": 1500.0, "bag": 2400.0}.get(variant, 1000.0),
            swish={"crumple": 0.08, "tear": 0.25, "page": 0.8, "bag": 0.07}[variant],
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        activity = np.asarray(sum(self._activity(frames, centre, width) for centre, width in self.squeezes))
        times = poisson_times(rng, self.rate_hz, frames / RATE)
        here = np.minimum(sampled(activity, times), 1.0)
        kept = rng.random(len(times)) < here
        heavy = 3.0 if self.variant == "tear" else 1.5
        gains = (0.15 + rng.pareto(heavy, int(kept.sum()))).clip(0, 2.5) * here[kept]
        snaps = crackles(rng, frames, times[kept], gains, self.band_hz, self.decay)
        swish = noise(rng, frames, 0.8 * self.band_hz[0], 2 * self.band_hz[1], -3.0) * activity
        if self.variant == "page":
            swish *= 0.6 + 0.6 * wander(rng, frames, 30.0)
            snaps += self._slaps(frames, rng)
        return unit(snaps) + self.swish * unit(swish)

    def _activity(self, frames: int, centre: float, width: float) -> Signal:
        if self.variant != "tear":
            return bump(frames, centre, width)
        start, end = centre - 2 * width, centre + 1.6 * width
        return breakpoints(frames, (start, start + 0.04, end - 0.03, end), (0.0, 0.6, 1.0, 0.0))

    def _slaps(self, frames: int, rng: np.random.Generator) -> Signal:
        """The page falling flat at the end of its turn: a light low thud with some air."""
        times = np.array([centre + 2.1 * width for centre, width in self.squeezes])
        length = frames_of(0.05)
        grains = np.stack([noise(rng, length, 140.0, 1500.0, -3.0) for _ in times]) * np.exp(-np.arange(length) / 420.0)
        return add_grains(frames, times, 0.9 * grains)


@dataclass(frozen=True)
class Flap(Recipe):
    """Cloth in the wind, a flag, wings: soft low slaps in an uneven row, with air between them.

    Farnell, "Designing Sound" (flags, wings): each turn of the cloth is a short burst of low-passed noise;
    stiff cloth snaps.
    """

    source: ClassVar[str] = "Farnell, 2010"
    beats: ClassVar[bool] = True
    times_s: tuple[float, ...]
    gains: tuple[float, ...]
    snap: float
    low_hz: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Flap:
        if brief.variant == "wings":
            return cls._wings(brief, rng)
        rate = 6.5 * brief.character.rate_factor * float(2 ** rng.uniform(-0.2, 0.2))
        times = beat_times(rng, rate, brief.duration_s - 0.1, brief.character.unevenness(0.16))
        return cls(
            times_s=times,
            gains=tuple(float(g) for g in rng.uniform(0.25, 1.0, len(times))),
            snap=float(np.clip(0.25 + brief.character.hardness, 0.05, 0.9)),
            low_hz=float(rng.uniform(260, 420)) * 2 ** (-0.5 * brief.character.size),
        )

    @classmethod
    def _wings(cls, brief: Brief, rng: np.random.Generator) -> Flap:
        """A bird takes off: even beats, strong at first, softer as it gets away, then the next one."""
        rate = float(rng.uniform(8.5, 11.0)) * brief.character.rate_factor * 2 ** (-0.5 * brief.character.size)
        starts = np.arange(0.03, brief.duration_s - 0.3, 1.9 / brief.character.rate_factor)
        beats = np.arange(int(rng.integers(10, 15)))
        times = uneven(rng, (starts[:, None] + beats / rate).ravel(), brief.character.unevenness(0.02) / rate)
        gains = np.tile(np.exp(-beats / 7.0), len(starts)) * rng.uniform(0.85, 1.0, len(times))
        inside = times < brief.duration_s - 0.1
        return cls(
            times_s=tuple(float(t) for t in times[inside]),
            gains=tuple(float(g) for g in gains[inside]),
            snap=float(np.clip(0.75 + brief.character.hardness, 0.2, 1.4)),
            low_hz=float(rng.uniform(620, 900)) * 2 ** (-0.5 * brief.character.size),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        times, gains = np.array(self.times_s), np.array(self.gains)
        length = frames_of(0.11)
        t = clock(length)
        shape = np.minimum(t / 0.012, 1.0) * np.exp(-t / 0.028)
        grains = (
            np.stack([noise(rng, length, 60.0, self.low_hz * (0.7 + g), -3.0) for g in gains]) * shape * gains[:, None]
        )
        low = add_grains(frames, times, grains)
        snaps = np.stack([noise(rng, frames_of(0.02), 800.0, 4000.0) for _ in gains]) * np.exp(-np.arange(882) / 180.0)
        sharp = add_grains(frames, times + 0.008, snaps * gains[:, None] ** 2)
        return np.asarray(low + 0.35 * self.snap * sharp + 0.05 * noise(rng, frames, 150.0, 1500.0, -3.0))
