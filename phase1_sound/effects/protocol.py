"""What an effects engine is asked and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.audio import Audio
from core.engines import EngineInfo


@dataclass(frozen=True)
class EffectRequest:
    """One variant to be made audible.

    `prompt` and `negative_prompt` are for text-to-audio engines; a synthesiser reads the plain fields. `openness` is 0 for a
    small dry room and 1 for the open. `seed` belongs to this effect alone: a batch gives what single calls give.
    """

    source: str
    material: str
    play_method: str
    timbre: tuple[str, ...]
    prompt: str
    negative_prompt: str
    duration_s: float
    openness: float
    seed: int


@dataclass(frozen=True)
class EffectResult:
    """A sound as the engine made it, at any level and rate, and what was done to make it (JSON values)."""

    audio: Audio
    recipe: dict[str, Any] = field(default_factory=dict)


class EffectsEngine(Protocol):
    """Makes effects, in the order of the requests."""

    info: EngineInfo

    def make(self, requests: Sequence[EffectRequest]) -> Iterator[EffectResult]:
        """Make one effect per request.

        Raises:
            EngineError: the engine failed.
        """
        ...
