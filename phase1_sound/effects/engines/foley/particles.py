"""Many small collisions: shakers, keys, gravel, and the ground under a foot.

Cook, "Physically informed sonic modeling" (PhISM, 1997): instead of following each particle, follow the
system's energy; collisions come at random at a rate set by the number of particles, each adds to a sound
level that decays, and that level times noise excites the resonances of the container.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import signal

from phase1_sound.effects.engines.foley.brief import Brief, Recipe
from phase1_sound.effects.engines.foley.dsp import (
    RATE,
    Signal,
    beat_times,
    breakpoints,
    bump,
    frames_of,
    high_pass,
    noise,
    unit,
    wander,
)
from phase1_sound.effects.engines.foley.materials import MATERIALS, SYNONYMS
from phase1_sound.effects.engines.foley.modal import Body, Stroke

REFERENCE_RATE = 22050.0  # Hz, of the published decays and radii; one collision chance in 1024 per particle and frame


@dataclass(frozen=True)
class Particles:
    """One row of the published table: N, decays per frame of the system and of the sound, resonances in Hz
    and radii.
    """

    count: float
    system_decay: float
    sound_decay: float
    freqs_hz: tuple[float, ...]
    radii: tuple[float, ...]


PARTICLES = {
    "maraca": Particles(25, 0.999, 0.95, (3200,), (0.96,)),
    "cabasa": Particles(512, 0.997, 0.96, (3000,), (0.7,)),
    "sekere": Particles(64, 0.999, 0.96, (5500,), (0.6,)),
    "sandpaper": Particles(128, 0.999, 0.999, (4500,), (0.6,)),
    "sticks": Particles(2, 0.998, 0.96, (5500,), (0.6,)),
    "crunch": Particles(7, 0.99806, 0.95, (800,), (0.95,)),
    "big gravel": Particles(23, 0.9965, 0.98, (6460,), (0.932,)),
    "little gravel": Particles(1600, 0.99586, 0.98, (9000,), (0.843,)),
    "sleigh bells": Particles(32, 0.9994, 0.97, (2500, 5300, 6500, 8300, 9800), (0.99, 0.99, 0.99, 0.99, 0.99)),
    "can": Particles(48, 0.999, 0.97, (370, 1025, 1424, 2149, 3596), (0.99, 0.992, 0.992, 0.992, 0.992)),
    "bamboo": Particles(1.25, 0.9999, 0.95, (2800, 2240, 3360), (0.995, 0.995, 0.995)),
}


def collide(particles: Particles, energy: Signal, rng: np.random.Generator, pitch: float = 1.0) -> Signal:
    """Sound of a system whose energy is given, shape (frames,). Per-frame decays are rescaled to our rate."""
    exponent = REFERENCE_RATE / RATE
    chance = particles.count / 1024.0 * exponent
    hits = rng.poisson(chance, len(energy)) * energy
    level = signal.lfilter([1.0], [1.0, -(particles.sound_decay**exponent)], hits)
    rough = level * rng.uniform(-1.0, 1.0, len(energy))
    total = np.zeros(len(energy))
    for freq, radius in zip(particles.freqs_hz, particles.radii, strict=True):
        r, w = radius**exponent, 2 * np.pi * min(freq * pitch, 15000.0) / RATE
        total += signal.lfilter([1 - r], [1.0, -2 * r * np.cos(w), r * r], rough)
    return total


def shaken_energy(frames: int, times_s: tuple[float, ...], forces: tuple[float, ...], system_decay: float) -> Signal:
    """Energy of a container shaken at the given times: 50 ms pushes that die away with the system's decay."""
    pushes = np.asarray(sum(f * bump(frames, t + 0.03, 0.014) for t, f in zip(times_s, forces, strict=True)))
    decay = system_decay ** (REFERENCE_RATE / RATE)
    energy: Signal = signal.lfilter([1 - decay], [1.0, -decay], pushes)
    return unit(energy)


_KIND_OF_MATERIAL = {
    "metal": "sleigh bells",
    "bell": "sleigh bells",
    "glass": "sleigh bells",
    "ceramic": "sleigh bells",
    "string": "sleigh bells",
    "wood": "bamboo",
    "plastic": "can",
    "stone": "big gravel",
    "gravel": "cabasa",
    "earth": "little gravel",
    "snow": "crunch",
}


@dataclass(frozen=True)
class Shake(Recipe):
    """Something full of small parts, shaken to and fro: keys, coins, seeds, gravel, sticks.

    Cook, PhISEM: the row is chosen by the material; every other push is weaker, as a hand's are.
    """

    source: ClassVar[str] = "Cook, 1997"
    kind: str
    pitch: float
    times_s: tuple[float, ...]
    forces: tuple[float, ...]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Shake:
        kind = _KIND_OF_MATERIAL.get(brief.material.name, "maraca")
        rate = 3.0 * float(2 ** rng.uniform(-0.2, 0.2)) * brief.character.rate_factor
        times = beat_times(rng, rate, brief.duration_s - 0.3, brief.character.unevenness(0.06))
        forces = rng.uniform(0.75, 1.0, len(times)) * np.where(np.arange(len(times)) % 2, 0.6, 1.0)
        pitch = {"glass": 1.35, "ceramic": 0.9}.get(brief.material.name, 1.0)
        pitch *= float(2 ** (rng.uniform(-0.25, 0.25) - 0.5 * brief.character.size)) / brief.size**0.4
        return cls(kind=kind, pitch=pitch, times_s=times, forces=tuple(float(f) for f in forces))

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        row = PARTICLES[self.kind]
        energy = shaken_energy(frames, self.times_s, self.forces, row.system_decay)
        return unit(collide(row, energy, rng, self.pitch))


@dataclass(frozen=True)
class Sift(Recipe):
    """Sand, gravel or grain that trickles and is poured: a stream of small collisions on the heap.

    Cook, PhISEM, the rows of gravel: the flow is the energy; sand has so many particles that they merge into a hiss which
    follows the flow.
    """

    source: ClassVar[str] = "Cook, 1997"
    beats: ClassVar[bool] = True
    kind: str
    pitch: float
    flow_hz: float
    pours_s: tuple[tuple[float, float], ...]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Sift:
        coarse = bool(brief.words & {"gravel", "pebble", "stone", "shingle", "rubble", "coal", "rice", "bean", "grain"})
        rate = 0.6 * brief.character.rate_factor
        count = max(1, round(brief.duration_s * rate))
        starts = (np.arange(count) + 0.1 + brief.character.unevenness(0.05) * rng.uniform(-1, 1, count)) / rate
        lengths = rng.uniform(0.6, 0.8, count) / rate
        return cls(
            kind="big gravel" if coarse else "little gravel",
            pitch=float(2 ** (rng.uniform(-0.2, 0.2) - 0.5 * brief.character.size)) * (0.7 if coarse else 0.62),
            flow_hz=float(rng.uniform(6, 11)) * brief.character.rate_factor,
            pours_s=tuple((float(s), float(n)) for s, n in zip(starts, lengths, strict=True)),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        flow = np.full(frames, 0.04)
        for start, length in self.pours_s:
            end = start + length
            flow += breakpoints(frames, (start, start + 0.15, end - 0.3, end + 0.1), (0.0, 1.0, 0.7, 0.0))
        flow *= 0.55 + 0.45 * wander(rng, frames, self.flow_hz)
        grains = unit(collide(PARTICLES[self.kind], flow, rng, self.pitch))
        heap = noise(rng, frames, 350.0, 1800.0, -3.0) * flow**1.5
        return grains + 0.06 * heap


@dataclass(frozen=True)
class Ground:
    """What a foot falls on: levels of the floor's own modes, of the weight's thump, and of loose particles
    with their row.
    """

    words: str
    body: str
    f0_hz: float
    modal: float
    thump: float
    loose: float
    particles: str
    hardness: float


GROUNDS = {
    "wood": Ground(
        "wood floorboard parquet deck pier bridge stairs hallway", "wood", 150, 1.0, 0.8, 0.04, "crunch", 0.75
    ),
    "stone": Ground(
        "stone concrete pavement asphalt tile cobblestone street marble sidewalk brick plaza road",
        "stone",
        620,
        0.55,
        0.5,
        0.12,
        "big gravel",
        0.95,
    ),
    "metal": Ground("metal steel grate grating stairway iron", "metal", 240, 1.0, 0.5, 0.03, "crunch", 0.85),
    "gravel": Ground("gravel pebble shingle path rubble rock", "stone", 500, 0.06, 0.25, 1.0, "big gravel", 0.7),
    "snow": Ground("snow snowy frost ice", "cloth", 120, 0.0, 0.35, 1.0, "crunch", 0.2),
    "leaves": Ground("leaf leaves forest straw hay twig", "leaves", 200, 0.0, 0.35, 1.0, "sekere", 0.3),
    "grass": Ground("grass meadow lawn field moss", "cloth", 100, 0.0, 0.6, 0.35, "sandpaper", 0.2),
    "sand": Ground("sand beach dirt soil earth dust desert", "cloth", 95, 0.0, 0.7, 0.5, "little gravel", 0.2),
    "carpet": Ground("carpet rug cloth fabric", "cloth", 85, 0.25, 1.0, 0.1, "sandpaper", 0.1),
    "water": Ground("water puddle mud wet slush", "skin", 130, 0.0, 0.5, 0.9, "maraca", 0.3),
}
_GROUND_OF_MATERIAL = {
    "wood": "wood",
    "metal": "metal",
    "gravel": "gravel",
    "snow": "snow",
    "leaves": "leaves",
    "earth": "sand",
    "cloth": "carpet",
    "water": "water",
    "stone": "stone",
    "ceramic": "stone",
    "glass": "stone",
}


def ground_of(brief: Brief) -> str:
    """The ground that the words name (the loosest first: gravel on a road is gravel), else by material, else stone."""
    loosest_first = ("gravel", "snow", "leaves", "sand", "water", "grass", "carpet", "wood", "metal", "stone")
    named = [name for name in loosest_first if brief.words & set(GROUNDS[name].words.split())]
    materials = {_GROUND_OF_MATERIAL.get(SYNONYMS.get(word, "")) for word in brief.words}
    named += [name for name in loosest_first if name in materials]
    return named[0] if named else _GROUND_OF_MATERIAL.get(brief.material.name, "stone")


@dataclass(frozen=True)
class Footsteps(Recipe):
    """Somebody walks over one of ten grounds, or a horse does.

    Farnell, "Designing Sound" (footsteps): heel, roll and ball of the foot as three bumps of force, at 0.08,
    0.38 and 0.72 of 0.28 s; on loose ground they drive PhISEM collisions (Cook), on a floor its modes. Hooves
    strike in fours.
    """

    source: ClassVar[str] = "Farnell, 2010; Cook, 1997"
    variant: str
    ground: str
    times_s: tuple[float, ...]
    forces: tuple[float, ...]
    step_s: float
    shoe: float
    body: Body

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Footsteps:
        hooves = brief.variant == "hooves"
        ground = ground_of(brief)
        rate = (1.55 if hooves else 1.85) * brief.character.rate_factor
        rate *= 1.5 if brief.words & {"run", "running", "jogging", "gallop"} else 1.0
        times = beat_times(rng, rate, brief.duration_s - 0.25, brief.character.unevenness(0.035))
        if hooves:
            times = tuple(
                t + d / rate for t in times for d in (0.0, 0.21, 0.5, 0.72) if t + d / rate < brief.duration_s - 0.2
            )
        row = GROUNDS[ground]
        body = Body.draw(brief, rng, MATERIALS[row.body], "plate")
        return cls(
            variant=brief.variant,
            ground=ground,
            times_s=times,
            forces=tuple(float(f) for f in rng.uniform(0.7, 1.0, len(times))),
            step_s=0.09 if hooves else float(rng.uniform(0.24, 0.32)) / brief.character.rate_factor**0.5,
            shoe=float(np.clip(row.hardness + brief.character.hardness + (0.15 if hooves else 0.0), 0.0, 1.0)),
            body=Body(
                "plate",
                row.f0_hz * float(2 ** rng.uniform(-0.2, 0.2)),
                max(2.5 * body.loss_tangent, 0.03),
                -4.0,
                0.0,
                body.jitter,
            ),
        )

    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        row, hooves = GROUNDS[self.ground], self.variant == "hooves"
        parts = ((0.08, 1.0),) if hooves else ((0.08, 1.0), (0.38, 0.35), (0.72, 0.7))
        energy, strokes = np.zeros(frames), []
        for time, force in zip(self.times_s, self.forces, strict=True):
            for place, gain in parts:
                moment = time + place * self.step_s
                energy += force * gain * self._push(frames, moment)
                if place != 0.38:
                    strokes.append(Stroke(moment, force * gain, 0.3, 0.0006 + 0.005 * (1 - self.shoe)))
        loose = unit(collide(PARTICLES[row.particles], unit(energy), rng)) if row.loose else 0.0
        hollow = unit(self.body.strike(frames, strokes)) * (1.4 if hooves else 1.0)
        thump = unit(np.convolve(energy, [1.0])[:frames] * noise(rng, frames, 45.0, 150.0))
        click = 0.25 * self.shoe * self._clicks(frames, strokes, rng)
        return row.modal * hollow + 0.55 * row.thump * thump + row.loose * loose + click

    def _push(self, frames: int, centre_s: float) -> Signal:
        """One Gaussian push, zero beyond four widths so that only a piece is computed."""
        width = self.step_s * 0.075
        result = np.zeros(frames)
        first = max(0, frames_of(max(centre_s - 4 * width, 1e-6)))
        piece = bump(frames_of(8 * width), 4 * width, width)
        result[first : first + len(piece)] = piece[: max(0, frames - first)]
        return result

    def _clicks(self, frames: int, strokes: list[Stroke], rng: np.random.Generator) -> Signal:
        result = np.zeros(frames)
        for stroke in strokes:
            start, length = frames_of(stroke.time_s), frames_of(0.012)
            burst = stroke.force * noise(rng, length, 600.0, 4500.0) * np.exp(-np.arange(length) / 90.0)
            result[start : start + length] += burst[: max(0, frames - start)]
        return high_pass(result, 100.0)
