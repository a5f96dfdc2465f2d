"""What an effects engine is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from core.audio import Audio
from core.engines import EngineInfo
from schemas.effect import Tokens

Report = Callable[[str], None]
"""Told what an engine is doing, in a few words."""


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


# What an engine may have beyond `make`.


@runtime_checkable
class ReadsPrompts(Protocol):
    """An engine that reads `prompt` and `negative_prompt`, and knows how many tokens they have."""

    def tokens(self, text: str) -> Sequence[Tokens]:
        """The tokens of a text, for each of its text encoders."""
        ...


@runtime_checkable
class TellsProgress(Protocol):
    """A slow engine that tells how far it is inside a batch."""

    def watch(self, report: Report) -> None:
        """Tell `report` from now on."""
        ...


@runtime_checkable
class HasNotes(Protocol):
    """An engine with something to say to the user once: the licence of its weights, the limits of its sound."""

    notes: tuple[str, ...]


@runtime_checkable
class MayDecline(Protocol):
    """An engine that cannot make every request, and may leave some out because the user said so."""

    def declined(self, requests: Sequence[EffectRequest]) -> Sequence[bool]:
        """For each request whether it is left out.

        Raises:
            UsageError: requests cannot be met, and the user did not say that they may be left out.
        """
        ...
