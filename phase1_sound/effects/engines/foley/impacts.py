"""Things that are struck, dropped, plucked, rung or set swinging: modal bodies under short forces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from phase1_sound.effects.engines.foley.brief import Brief, Recipe
from phase1_sound.effects.engines.foley.dsp import (
    Signal,
    bump,
    frames_of,
    high_pass,
    impulses,
    noise,
    panned,
    poisson_times,
    uneven,
    unit,
)
from phase1_sound.effects.engines.foley.materials import MATERIALS
from phase1_sound.effects.engines.foley.modal import (
    RADIATION,
    Body,
    Stroke,
    contact_forces,
    contact_time,
    ring_bank,
)

LONG_RING_S = 1.0  # a body that rings longer is struck less often, so that it can be heard to the end


@dataclass(frozen=True)
class Pattern:
    """How often something is struck: rate in strokes per second, irregularity in periods, forces from `first`
    to `last`.
    """

    rate_hz: float
    first: float
    last: float
    hardness: float
    size: float
    irregularity: float


PATTERNS = {
    "strike": Pattern(1.0, 1.0, 0.7, 0.0, 1.0, 0.05),
    "knock": Pattern(4.6, 0.8, 1.0, -0.1, 1.7, 0.05),
    "tap": Pattern(3.2, 0.5, 0.45, 0.1, 0.7, 0.10),
    "bounce": Pattern(2.6, 1.0, 0.05, 0.05, 0.8, 0.0),
    "ring": Pattern(0.62, 1.0, 0.8, 0.1, 1.6, 0.03),
}


def evenly(row: Pattern, ring_s: float, brief: Brief, rng: np.random.Generator) -> tuple[Signal, Signal]:
    """Times in seconds and forces of strokes that come evenly; knocks come in two groups."""
    rate = row.rate_hz * brief.character.rate_factor
    if ring_s > LONG_RING_S and row is PATTERNS["strike"]:
        rate *= 0.6
    count = 1 + int(max(0.0, brief.duration_s - 0.15) * rate)
    wobble = brief.character.unevenness(row.irregularity) * rng.standard_normal(count).clip(-2, 2)
    wobble[0] = 0.0
    times = 0.005 + (np.arange(count) + wobble) / rate
    if row is PATTERNS["knock"]:
        few = int(np.clip(round(3 * brief.character.rate_factor), 2, 5))
        times = np.concatenate([times[:few], times[: few + 1] + brief.duration_s * 0.48])
    return times, np.geomspace(row.first, row.last, len(times))


def bouncing(row: Pattern, brief: Brief, rng: np.random.Generator) -> tuple[Signal, Signal]:
    """Times in seconds and forces of a thing that is dropped, and dropped again.

    It keeps a fixed share of its speed at each bounce, so its flights and its impacts shrink by one factor.
    """
    share = rng.uniform(0.72, 0.8) ** np.arange(24)
    flights = share / (row.rate_hz * brief.character.rate_factor)
    flights, forces = flights[flights > 0.018], share[flights > 0.018]
    times = 0.005 + np.cumsum(flights) - flights
    again = 0.52 * brief.duration_s
    if times[-1] > again:
        return times, forces
    return np.concatenate([times, times + again]), np.concatenate([forces, 0.8 * forces])


def contact_noise(frames: int, strokes: list[Stroke], roughness: float, rng: np.random.Generator) -> Signal:
    """The dry noise of the surfaces meeting: a few milliseconds, brighter and shorter for a short contact."""
    result = np.zeros(frames)
    for stroke in strokes:
        length = frames_of(0.03)
        start = frames_of(stroke.time_s)
        fade = np.exp(-np.arange(length) / (length * (0.06 + 40 * stroke.contact_s)))
        high = min(12000.0, 2.2 / stroke.contact_s)
        burst = noise(rng, length, 150.0, high) * fade * stroke.force * roughness
        result[start : start + length] += burst[: max(0, frames - start)]
    return result


@dataclass(frozen=True)
class Strike(Recipe):
    """Impacts on a solid body.

    van den Doel, Kry, Pai, "FoleyAutomatic" (2001) for modes under a contact force; Aramaki et al. (verbal
    control of impacts) for moving material, size and hardness by words. Each stroke falls on its own place
    and with its own force, and by Hertz's law the stronger one is brighter, so several strokes are several
    velocities of one instrument.
    """

    source: ClassVar[str] = "van den Doel, Kry and Pai, 2001; Aramaki et al., 2011"
    rings: ClassVar[bool] = True
    pattern: str
    material: str
    body: Body
    hardness: float
    roughness: float
    times_s: tuple[float, ...]
    forces: tuple[float, ...]
    positions: tuple[float, ...]
    contacts_s: tuple[float, ...]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Strike:
        row, material = PATTERNS[brief.variant], brief.material
        if brief.variant == "ring" and material.name not in ("glass", "ceramic", "bell"):
            material = MATERIALS["bell"]
        body = Body.draw(brief, rng, material, "bell" if brief.variant == "ring" and material.name == "bell" else "")
        ring_s = 6.91 / float(body.decays()[0])
        bounces = brief.variant == "bounce"
        times, forces = bouncing(row, brief, rng) if bounces else evenly(row, ring_s, brief, rng)
        forces = forces[times < max(brief.duration_s - 0.15, 0.02)]
        times = times[: len(forces)]
        forces *= rng.uniform(0.85, 1.0, len(forces))
        hardness = float(np.clip(material.hardness + row.hardness + brief.character.hardness, 0.0, 1.0))
        place = rng.uniform(0.15, 0.45)
        return cls(
            pattern=brief.variant,
            material=material.name,
            body=body,
            hardness=hardness,
            roughness=float(np.clip(material.roughness + brief.character.roughness, 0.0, 1.2)),
            times_s=tuple(float(t) for t in times),
            forces=tuple(float(f) for f in forces),
            positions=tuple(float(p) for p in np.clip(place + rng.normal(0, 0.03, len(times)), 0.12, 0.48)),
            contacts_s=tuple(contact_time(hardness, row.size * brief.size**0.3, float(f)) for f in forces),
        )

    def strokes(self) -> list[Stroke]:
        return [Stroke(*each) for each in zip(self.times_s, self.forces, self.positions, self.contacts_s, strict=True)]

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        strokes = self.strokes()
        ringing = self.body.strike(frames, strokes)
        peak = max(float(np.abs(ringing).max(initial=0.0)), 1e-9)
        click = (0.08 + 0.24 * self.hardness**2) * contact_noise(frames, strokes, self.roughness, rng)
        return ringing / peak + click


@dataclass(frozen=True)
class Pluck(Recipe):
    """A stretched wire pulled aside and let go, several times, at one pitch.

    The ideal string plucked at p has modes sin(n pi p) / n^2 in displacement, 1 / n in the force on its ends,
    which is what is heard; stiffness sharpens the upper ones (f_n = n f0 sqrt(1 + B n^2)); losses grow with
    f^2 (Fletcher and Rossing).
    """

    source: ClassVar[str] = "Fletcher and Rossing, 1998"
    rings: ClassVar[bool] = True
    body: Body
    times_s: tuple[float, ...]
    forces: tuple[float, ...]
    position: float
    finger_s: float
    damping: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Pluck:
        body = Body.draw(brief, rng, MATERIALS["string"], "string")
        rate = 0.75 * brief.character.rate_factor
        times = 0.005 + np.arange(1 + int((brief.duration_s - 0.3) * rate)) / rate
        times = uneven(rng, times, brief.character.unevenness(0.0) / rate)
        return cls(
            body=body,
            times_s=tuple(float(t) for t in times),
            forces=tuple(float(f) for f in rng.uniform(0.6, 1.0, len(times))),
            position=float(rng.uniform(0.11, 0.3)),
            finger_s=1e-3 * (0.3 + 1.6 * float(np.clip(0.55 - brief.character.hardness, 0, 1.2))),
            damping=brief.character.damping_factor * float(rng.uniform(0.8, 1.2)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        freqs = self.body.frequencies()
        n = np.arange(1, len(freqs) + 1)
        gains = np.sin(n * np.pi * self.position) / n
        decays = self.damping * (0.7 + RADIATION * (freqs / 1200.0) ** 1.6 + 0.25 * n)
        strokes = [Stroke(t, f, self.position, self.finger_s) for t, f in zip(self.times_s, self.forces, strict=True)]
        ringing = ring_bank(contact_forces(frames, strokes, np.ones(len(strokes))), freqs, decays, gains)
        # The finger that plucks again first stops the wire: the former note gives way within some
        # milliseconds.
        for stroke in strokes[1:]:
            ringing *= 1 - 0.85 * bump(frames, stroke.time_s - 0.004, 0.004)
        return unit(ringing) + 0.05 * contact_noise(frames, strokes, 1.0, rng)


@dataclass(frozen=True)
class Chimes(Recipe):
    """Hanging tubes that the wind lets touch: free bars (1, 2.756, 5.404, ...) in a pentatonic row, struck at
    random.

    Modes after FoleyAutomatic (2001); collisions as Poisson events whose rate follows a gust (Cook, PhISEM
    bamboo chimes).
    """

    source: ClassVar[str] = "van den Doel, Kry and Pai, 2001; Cook, 1997"
    rings: ClassVar[bool] = True
    material: str
    pitches_hz: tuple[float, ...]
    pans: tuple[float, ...]
    bars: tuple[int, ...]
    times_s: tuple[float, ...]
    forces: tuple[float, ...]
    loss_tangent: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Chimes:
        material = brief.material if brief.material.name in ("glass", "wood", "ceramic", "bell") else MATERIALS["metal"]
        base = {"wood": 620.0, "glass": 1500.0, "ceramic": 1250.0}.get(material.name, 780.0)
        base *= 2 ** (rng.uniform(-0.3, 0.3) - brief.character.size + 0.02 * brief.character.tilt_db) / brief.size**0.5
        steps = np.array([0, 2, 4, 7, 9, 12])
        rate, last = 3.4 * brief.character.rate_factor, max(brief.duration_s - 0.4, 0.1)
        times = np.concatenate([[0.01], poisson_times(rng, rate, last)])
        if brief.character.regularity > 0:
            times = uneven(rng, np.arange(0.01, last, 1 / rate), brief.character.unevenness(0.3) / rate)
        return cls(
            material=material.name,
            pitches_hz=tuple(
                float(base * 2 ** (s / 12) * (1 + e)) for s, e in zip(steps, rng.normal(0, 0.002, 6), strict=True)
            ),
            pans=tuple(float(p) for p in rng.permutation(np.linspace(-0.6, 0.6, 6))),
            bars=tuple(int(b) for b in rng.integers(0, 6, len(times))),
            times_s=tuple(float(t) for t in times),
            forces=tuple(float(f) for f in rng.uniform(0.25, 1.0, len(times)) ** 1.5),
            loss_tangent=min(material.loss_tangent, 0.006) * brief.character.damping_factor,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        total = np.zeros((2, frames))
        tilt = MATERIALS[self.material].tilt_db
        for index, (pitch, pan) in enumerate(zip(self.pitches_hz, self.pans, strict=True)):
            body = Body("bar", pitch, self.loss_tangent, tilt - 2.0, 0.001, (0.0,) * 5)
            strokes = [
                Stroke(t, f, 0.3, contact_time(0.8, 0.6, f))
                for t, f, bar in zip(self.times_s, self.forces, self.bars, strict=True)
                if bar == index
            ]
            if strokes:
                total += panned(body.strike(frames, strokes), pan)
        return total


@dataclass(frozen=True)
class Clicks(Recipe):
    """Small mechanisms: clockwork (even beats, tick and tock apart), switches and keys (uneven, press and
    release).

    Farnell, "Designing Sound" (clocks, switches): each click is two or three tiny impacts some milliseconds
    apart on a case with a few damped modes.
    """

    source: ClassVar[str] = "Farnell, 2010"
    variant: str
    body: Body
    times_s: tuple[float, ...]
    forces: tuple[float, ...]
    release_s: float
    tock: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Clicks:
        if brief.variant == "typing":
            return cls._typing(brief, rng)
        clockwork = brief.variant == "tick"
        material = MATERIALS["metal" if clockwork else "plastic"]
        body = Body.draw(brief, rng, material, "plate")
        rate = (2.0 if clockwork else 5.2) * brief.character.rate_factor
        wobble = brief.character.unevenness(0.0 if clockwork else 0.22)
        count = 1 + int((brief.duration_s - 0.1) * rate)
        times = 0.01 + (np.arange(count) + wobble * rng.standard_normal(count).clip(-1.5, 1.5)) / rate
        return cls(
            variant=brief.variant,
            body=Body(
                body.family,
                body.f0_hz * (1.9 if clockwork else 2.6),
                0.006 if clockwork else 0.015,
                -2.0,
                0.0,
                body.jitter,
            ),
            times_s=tuple(float(max(t, 0.004)) for t in np.sort(times)),
            forces=tuple(float(f) for f in rng.uniform(0.92 if clockwork else 0.4, 1.0, count)),
            release_s=float(rng.uniform(0.008, 0.016) if clockwork else rng.uniform(0.05, 0.08)),
            tock=float(rng.uniform(0.72, 0.8)) if clockwork else 1.0,
        )

    @classmethod
    def _typing(cls, brief: Brief, rng: np.random.Generator) -> Clicks:
        """Words of three to eight quick strokes with a moment's thought between them; a typewriter's are of metal."""
        iron = bool(brief.words & {"typewriter", "typed", "iron"}) and "keyboard" not in brief.words
        body = Body.draw(brief, rng, MATERIALS["metal" if iron else "plastic"], "plate")
        rate = (7.5 if iron else 9.5) * brief.character.rate_factor
        times, now = [], 0.02
        uneven_by = min(brief.character.unevenness(0.22), 0.6)
        while now < brief.duration_s - 0.12:
            strokes = now + np.cumsum(1 + uneven_by * rng.uniform(-1, 1, int(rng.integers(3, 9)))) / rate - 1 / rate
            times += [float(t) for t in strokes if t < brief.duration_s - 0.1]
            now = float(strokes[-1]) + (2 + 4 * uneven_by * float(rng.uniform(-0.4, 1.4))) / rate
        pitch = (1.1 if iron else 1.7) * body.f0_hz
        return cls(
            variant="typing",
            body=Body(body.family, pitch, 0.012 if iron else 0.03, -2.5, 0.0, body.jitter),
            times_s=tuple(times),
            forces=tuple(float(f) for f in rng.uniform(0.45, 1.0, len(times))),
            release_s=float(rng.uniform(0.055, 0.085)),
            tock=0.82,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        times, forces = np.asarray(self.times_s), np.asarray(self.forces)
        total = np.zeros(frames)
        for parity, pitch in enumerate((1.0, self.tock)):
            body = Body(self.body.family, self.body.f0_hz * pitch, self.body.loss_tangent, -2.0, 0.0, self.body.jitter)
            chosen = np.arange(len(times)) % 2 == parity
            force = impulses(frames, times[chosen], forces[chosen])
            force += impulses(frames, times[chosen] + self.release_s, 0.45 * forces[chosen])
            force += impulses(frames, times[chosen] + 0.4 * self.release_s, 0.2 * forces[chosen])
            total += body.ring(force, 0.31)
            total += (
                0.3 * np.convolve(force, noise(rng, 90, 1500.0, 9000.0) * np.exp(-np.arange(90) / 25), "full")[:frames]
            )
        return high_pass(total, 200.0 if self.variant == "tick" else 120.0)


COIN_RATIOS = (1.0, 1.73, 2.33, 3.46, 4.11)  # of a free round plate, Fletcher and Rossing, 3.6


@dataclass(frozen=True)
class Coins(Recipe):
    """Coins dropped, spun or jingled: small round plates that touch again and again, ever faster until they lie.

    A coin falls alone; coins fall by the handful, one shortly after the other.

    Modes of a free circular plate (Fletcher and Rossing); a coin that settles whirls faster and faster as its tilt shrinks
    (Moffatt, "Euler's disk and its finite-time singularity", 2000).
    """

    source: ClassVar[str] = "Fletcher and Rossing, 1998; Moffatt, 2000"
    rings: ClassVar[bool] = True
    manner: str
    pitches_hz: tuple[float, ...]
    falls: tuple[tuple[float, int, float], ...]
    decay: float

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Coins:
        jingled = bool(brief.words & {"jingle", "jingled", "jingling", "pocket", "purse", "shaken", "key", "rattle"})
        spun = bool(brief.words & {"spun", "spin", "spinning", "whirling"})
        low = 2300.0 * 2.0 ** (-0.5 * brief.character.size)
        rate = (5.0 if jingled else 0.5 if spun else 0.9) * brief.character.rate_factor
        count = max(1, int(brief.duration_s * rate))
        starts = 0.01 + (np.arange(count) + rng.uniform(0.0, 0.3, count) * (np.arange(count) > 0)) / rate
        if brief.character.regularity:
            starts = uneven(rng, 0.01 + np.arange(count) / rate, brief.character.unevenness(0.1) / rate)
        manner = "jingled" if jingled else "spun" if spun else "dropped"
        pitches_hz = tuple(float(f) for f in np.sort(rng.uniform(low, 1.9 * low, 4)))
        falls = [(float(t), int(rng.integers(0, 4)), float(rng.uniform(0.5, 1.0))) for t in starts]
        if manner == "dropped" and brief.words & {"coins", "change", "money", "handful"}:
            falls = [
                (start + float(later), (coin + place) % 4, force * float(rng.uniform(0.5, 1.0)))
                for start, coin, force in falls
                for place, later in enumerate(np.cumsum([0.0, *rng.exponential(0.06, 3)]))
            ]
        return cls(
            manner=manner,
            pitches_hz=pitches_hz,
            falls=tuple(falls),
            decay=float(rng.uniform(14, 22)) * brief.character.damping_factor,
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        forces = np.zeros((4, frames))
        for start, coin, force in self.falls:
            times, gains = self._touches(start, force, rng)
            forces[coin] += impulses(frames, times, gains)
            forces[(coin + 1) % 4] += impulses(frames, times + 0.0007, 0.3 * gains)
        total = np.zeros(frames)
        for pitch, force in zip(self.pitches_hz, forces, strict=True):
            ratios = np.array([ratio for ratio in COIN_RATIOS if pitch * ratio < 16000.0])
            total += ring_bank(force, pitch * ratios, self.decay * ratios**0.5, ratios**-0.5)
        table = np.convolve(forces.sum(axis=0), noise(rng, 300, 250.0, 3500.0) * np.exp(-np.arange(300) / 60), "full")
        return unit(total) + 0.12 * unit(table[:frames])

    def _touches(self, start: float, force: float, rng: np.random.Generator) -> tuple[Signal, Signal]:
        """Times in seconds and strengths at which a falling coin touches the table."""
        if self.manner == "jingled":
            times = np.sort(rng.exponential(0.03, 4))
            return start + times, force * rng.uniform(0.3, 1.0, 4)
        if self.manner == "spun":
            # The rate of contacts grows as the time that is left to the power -1/6, here exaggerated as wobble sets in.
            whirl = np.cumsum(0.055 * np.linspace(1.0, 0.22, 40))
            return start + whirl, force * np.linspace(0.35, 0.5, 40) * rng.uniform(0.7, 1.0, 40)
        flights = 0.24 * rng.uniform(0.55, 0.68) ** np.arange(7)
        settle = 0.02 * 0.9 ** np.arange(12)
        gaps = np.concatenate([flights, settle])
        return start + np.cumsum(gaps) - gaps[0], force * np.concatenate([0.6 ** np.arange(7), 0.07 * np.ones(12)])
