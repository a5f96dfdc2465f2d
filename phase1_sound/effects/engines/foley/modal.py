"""Modal synthesis: a body is a bank of decaying sines, set ringing by any force signal.

van den Doel, Kry and Pai, "FoleyAutomatic" (2001): y = sum of a_n exp(-d_n t) sin(2 pi f_n t) convolved with
the force; the decay after Klatzky, Pai and Krotkov (2000): d_n = pi f_n tan(phi), so a material's modes die
faster the higher they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phase1_sound.effects.engines.foley.brief import Brief
from phase1_sound.effects.engines.foley.dsp import RATE, Signal, high_pass, raised_cosine, resonator
from phase1_sound.effects.engines.foley.materials import Material

RADIATION = 1.5  # 1/s, what even a lossless body gives to the air and to its support
# Boards and sheets of lossy materials are also broad and well supported: without this, doors and floors boom
# like drums.
LOSSY, LOSSY_RADIATION = 0.015, 7.0


def _plate() -> list[float]:
    """A rectangular plate, simply supported: f ~ m^2 + (1.3 n)^2 for m, n >= 1."""
    ratios = sorted(m * m + (1.3 * n) ** 2 for m in range(1, 6) for n in range(1, 5))
    return [ratio / ratios[0] for ratio in ratios[:13]]


MODE_RATIOS: dict[str, list[float]] = {
    "bar": [1, 2.756, 5.404, 8.933, 13.34],
    "clamped": [1, 6.267, 17.55],
    "membrane": [1, 1.594, 2.136, 2.296, 2.653, 2.918, 3.156, 3.5, 3.6],
    "plate": _plate(),
    "marimba": [1, 3.93, 9.24, 11.2, 16.3],
    "bell": [0.5, 1, 1.2, 1.5, 2, 2.5, 2.67, 3, 4, 5.33],
    # 2.32, 4.25 and 6.63 are not sourced: set between the published ones, which alone ring like a tuning fork.
    "bowl": [1, 2.32, 2.77, 4.25, 5.18, 6.63, 8.16, 11.6],
    "string": [float(n) for n in range(1, 23)],
}

STIFFNESS = 2.5e-4  # inharmonicity B of a plucked wire: f_n = n f0 sqrt(1 + B n^2)


def ring_bank(force: Signal, freqs_hz: Signal, decays: Signal, gains: Signal) -> Signal:
    """Answer of a bank of modes to a force, shape (frames,); decays in 1/s."""
    total = np.zeros(len(force))
    for freq, decay, gain in zip(freqs_hz, decays, gains, strict=True):
        total += resonator(force, float(freq), float(decay), float(gain))
    return total


@dataclass(frozen=True)
class Body:
    """A thing that rings: its mode family, lowest mode in Hz, losses, and the small irregularities that make
    it this one.
    """

    family: str
    f0_hz: float
    loss_tangent: float
    tilt_db: float
    split: float
    jitter: tuple[float, ...]

    @classmethod
    def draw(cls, brief: Brief, rng: np.random.Generator, material: Material | None = None, family: str = "") -> Body:
        """Draw a body of the brief's size and character, by default of its material and that material's mode
        family.
        """
        material = material or brief.material
        family = family or shape_of(brief.words) or material.modes
        # Large things are built of thicker stuff, so above a hand's width the pitch falls less than 1 / size.
        size = brief.size ** (0.7 if brief.size > 1 else 1.0) * 2.0**brief.character.size
        jitter = rng.normal(0.0, 0.0 if family == "string" else 0.012, len(MODE_RATIOS[family]))
        return cls(
            family=family,
            f0_hz=float(np.clip(material.f0_hz / size * 2 ** rng.uniform(-0.25, 0.25), 38.0, 5200.0)),
            loss_tangent=material.loss_tangent * brief.character.damping_factor,
            tilt_db=material.tilt_db + 0.4 * brief.character.tilt_db,
            split=material.split,
            jitter=tuple(float(j) for j in jitter),
        )

    def frequencies(self) -> Signal:
        """Mode frequencies in Hz, those above 17 kHz left out."""
        ratios = np.asarray(MODE_RATIOS[self.family])
        if self.family == "string":
            ratios = ratios * np.sqrt(1 + STIFFNESS * ratios**2)
        freqs = self.f0_hz * ratios * (1 + np.asarray(self.jitter[: len(ratios)]))
        return np.asarray(freqs[freqs < 17000.0])

    def decays(self) -> Signal:
        """Decay rates in 1/s: amplitude falls as exp(-d t), T60 = 6.91 / d."""
        constant = RADIATION if self.loss_tangent < LOSSY else LOSSY_RADIATION
        return np.asarray(np.pi * self.frequencies() * self.loss_tangent + constant)

    def gains(self, position: float) -> Signal:
        """Levels of the modes when touched at `position` (0..1 along the body): nodes stay still."""
        freqs = self.frequencies()
        octaves = np.log2(freqs / freqs[0])
        shape = np.abs(np.sin(np.arange(1, len(freqs) + 1) * np.pi * position))
        return np.asarray(10 ** (self.tilt_db * octaves / 20) * (0.15 + 0.85 * shape))

    def ring(self, force: Signal, position: float, damping: float = 1.0) -> Signal:
        """Answer to a force of shape (frames,); `damping` > 1 is a body held by what touches it."""
        return ring_bank(force, self.frequencies(), self.decays() * damping, self.gains(position))

    def strike(self, frames: int, strokes: list[Stroke]) -> Signal:
        """Answer to several strokes, each at its own place on the body, shape (frames,)."""
        freqs, decays = self.frequencies(), self.decays()
        gains = np.stack([self.gains(stroke.position) for stroke in strokes])
        total = np.zeros(frames)
        for mode, (freq, decay) in enumerate(zip(freqs, decays, strict=True)):
            force = contact_forces(frames, strokes, gains[:, mode])
            total += resonator(force, freq, decay)
            # Round thin bodies have every mode twice, slightly apart: together they beat.
            if self.split and mode < 6:
                total += 0.6 * resonator(force, freq * (1 + self.split), decay * 1.1)
        # Under a long soft contact the body first follows the force; what is heard of it is the ringing only.
        return high_pass(total, 0.6 * float(freqs[0]))


@dataclass(frozen=True)
class Stroke:
    """One contact: when, how strong (0..1), where on the body (0..1), contact time in seconds."""

    time_s: float
    force: float
    position: float
    contact_s: float


def contact_forces(frames: int, strokes: list[Stroke], gains: Signal) -> Signal:
    """Raised-cosine contact pulses, one per stroke, shape (frames,)."""
    force = np.zeros(frames)
    for stroke, gain in zip(strokes, gains, strict=True):
        start = round(stroke.time_s * RATE)
        if start < frames:
            pulse = raised_cosine(stroke.contact_s)[: frames - start]
            force[start : start + len(pulse)] += stroke.force * gain * pulse
    return force


def contact_time(hardness: float, size: float, force: float) -> float:
    """Contact time in seconds: 0.12 ms for the hardest, longer for soft and large things.

    Hertz's theory of contact: it goes as speed^(-1/5), so a stronger stroke is also a shorter and brighter
    one.
    """
    return float(1e-3 * (0.12 + 3.5 * (1 - hardness) * min(size, 3.0)) * max(force, 0.05) ** -0.2)


_SHAPES = {
    "bar": "bar rod key fork spoon railing fence beam xylophone tube pipe blade knife sword rail pole",
    "bowl": "bowl cup mug glass bottle vase jar goblet wineglass pot pan kettle bucket dish plate saucer",
    "bell": "bell gong doorbell church",
    "membrane": "drum tent balloon drumhead tarp",
    "string": "string wire cable strings cord harp guitar fiddle violin",
    "clamped": "ruler reed prong antenna",
    "plate": "door wall floor table desk board box crate sheet sign panel lid hood roof gate shutter can",
}
_SHAPE_OF = {word: family for family, words in _SHAPES.items() for word in words.split()}


def shape_of(words: frozenset[str]) -> str:
    """The mode family that a thing's name suggests, "" when its name says nothing; the first in the table's
    order wins.
    """
    found = {_SHAPE_OF[word] for word in words if word in _SHAPE_OF}
    return next((family for family in _SHAPES if family in found), "")
