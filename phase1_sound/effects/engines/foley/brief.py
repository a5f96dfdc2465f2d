"""What a recipe is told (Brief) and what it is (Recipe)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from phase1_sound.effects.engines.foley.dsp import Signal
from phase1_sound.effects.engines.foley.materials import Material


@dataclass(frozen=True)
class Character:
    """What words such as "bright", "resonant" or "with a soft mallet" add to a recipe; all zero is neutral.

    tilt_db: lift of the treble and equal cut of the bass in dB; damping, rate, size: in octaves (+1 doubles);
    hardness, roughness, air, regularity: added to quantities of 0..1; pulse: 1 lets what goes on for long swell in beats;
    evenness: 0.6 evens out the level ("steady"), -0.6 lets it come and go ("erratic").
    """

    tilt_db: float = 0.0
    damping: float = 0.0
    hardness: float = 0.0
    rate: float = 0.0
    size: float = 0.0
    roughness: float = 0.0
    air: float = 0.0
    regularity: float = 0.0
    pulse: float = 0.0
    evenness: float = 0.0

    def __add__(self, other: Character) -> Character:
        return Character(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def clipped(self) -> Character:
        """The same within what still sounds like the thing itself, however many words pile up."""
        limits = {"tilt_db": 9.0, "damping": 1.6, "rate": 1.2, "size": 1.2, "pulse": 1.0}
        return Character(
            **{f.name: float(np.clip(getattr(self, f.name), -(m := limits.get(f.name, 0.6)), m)) for f in fields(self)}
        )

    @property
    def rate_factor(self) -> float:
        return float(2.0**self.rate)

    def unevenness(self, usual: float) -> float:
        """Error in periods of what comes in a row: `usual` if nothing is said, none if "rhythmic", a third if "erratic"."""
        return usual * max(0.0, 1 - self.regularity / 0.6) + 0.55 * max(0.0, -self.regularity)

    @property
    def damping_factor(self) -> float:
        return float(2.0**self.damping)


@dataclass(frozen=True)
class Brief:
    """A request as understood: which gesture on which material, how large (1 = a hand's width), with which
    character.

    `words` are the stems of all words asked for, so that a recipe can look for its own kinds (gravel, gull,
    clock).
    """

    gesture: str
    variant: str
    material: Material
    size: float
    character: Character
    words: frozenset[str]
    duration_s: float


class Recipe(ABC):
    """A frozen dataclass of drawn parameters (JSON values) that can render itself.

    Everything that tells one sound from the next is drawn first and written down; only the noise is drawn on
    rendering. `source` names the paper or book that the recipe follows; `rings` is True where the body that sounds obeys the
    character's damping itself, `beats` where its events obey the regularity.
    """

    source: ClassVar[str]
    rings: ClassVar[bool] = False
    beats: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def draw(cls, brief: Brief, rng: np.random.Generator) -> Self:
        """Draw the parameters for a brief."""

    @abstractmethod
    def render(self, frames: int, rng: np.random.Generator) -> Signal:
        """The sound, shape (frames,) or (2, frames), any level."""

    def parameters(self) -> dict[str, Any]:
        """The drawn parameters as JSON values."""
        return {name: plain(value) for name, value in asdict(self).items()}  # type: ignore[call-overload]


def plain(value: Any) -> Any:
    """A JSON value: tuples become lists, numpy numbers become Python's."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value
