"""What a timbre engine is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.audio import Audio, Samples
from core.engines import EngineInfo
from schemas.document import Role


@dataclass(frozen=True)
class VoiceRequest:
    """An effect that is to become an instrument. `sound` is mono at 44.1 kHz; `seed` belongs to this instrument alone."""

    sound: Audio
    role: Role
    seed: int


@dataclass(frozen=True)
class Note:
    """A sustained note: samples of shape (1 or 2, frames), and the loop's first and last frame.

    `f0_hz` is the pitch that the samples really have (whole periods fit the loop). Frames behind the loop continue it, for
    the interpolation of samplers.
    """

    samples: Samples
    loop_start: int
    loop_end: int
    f0_hz: float


class Voice(Protocol):
    """One effect, analysed once, that can be asked for notes."""

    @property
    def colour(self) -> Audio:
        """The effect with the timbre lent to it, at its own pitch: what timbres/<role>.wav holds.

        An engine that lends its timbre to notes only hands the effect on.
        """
        ...

    def note(self, f0_hz: float, character: float, calm: float = 0.0, support: float = 0.0) -> Note | None:
        """A note of a pitch in Hz; None where the engine cannot give a pitch to a sound.

        `character` is the dial from 0 (pure tone) to 1 (as much of the effect itself as a note can hold). Two
        more dials, from 0 to 1, take away what hides the pitch: `calm` the unrest (noise, a beginning that wanders), `support`
        the lack of a fundamental. With both at 1 nothing hides it any more.
        """
        ...


@runtime_checkable
class LendingVoice(Voice, Protocol):
    """A voice that can colour finished notes, too.

    `blend` is the most, 0..1, that a note should take of what `lend` gives: the builder takes less where more would put the
    note out of tune. `remarks` are what people should know of how the voice was made.
    """

    @property
    def blend(self) -> float: ...

    @property
    def remarks(self) -> tuple[str, ...]: ...

    def lend(self, note: Note) -> Note | None:
        """The note in the voice's timbre, mono, with the same frames, loop and pitch, so that both can be mixed in any
        proportion; None where there is nothing to lend.

        Raises:
            EngineError: the engine failed.
        """
        ...


class TimbreEngine(Protocol):
    """Makes voices."""

    info: EngineInfo

    def voice(self, request: VoiceRequest) -> Voice:
        """Analyse an effect.

        Raises:
            EngineError: the engine failed.
            AudioError: the sound is silent.
        """
        ...
