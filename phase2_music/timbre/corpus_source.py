"""What a corpus is asked for, and what its sources offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.audio import SAMPLE_RATE, Audio
from core.errors import UsageError
from schemas.document import MELODIC_ROLES, Role
from schemas.timbre import CorpusProgram, Source, Split


@dataclass(frozen=True)
class CorpusOptions:
    """What is asked for.

    `soundfont` (for `gm`) or `nsynth` (a folder with nsynth-train, nsynth-valid and nsynth-test, or one of them) is where the
    notes come from. Of General MIDI, every `key_step`-th key of the role's range is played at each of the `velocities` by
    each of the `programs` (the whole family where empty) and heard for `duration_s`; of NSynth, `limit` notes of each split
    are taken at most (0: all), chosen by `seed`. Sounds are brought to `sample_rate` in Hz.
    """

    role: Role
    out: Path
    source: Source = "gm"
    soundfont: Path | None = None
    nsynth: Path | None = None
    sample_rate: int = SAMPLE_RATE
    key_step: int = 1
    velocities: tuple[int, ...] = (40, 80, 120)
    programs: tuple[int, ...] = ()
    duration_s: float = 4.0
    limit: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.role not in MELODIC_ROLES:
            raise UsageError(f"no corpus for the role {self.role!r}: choose from {', '.join(MELODIC_ROLES)}")
        if not 8000 <= self.sample_rate <= 192000:
            raise UsageError(f"sample rate {self.sample_rate}: choose one from 8000 to 192000 Hz")
        if not self.velocities or any(not 1 <= velocity <= 127 for velocity in self.velocities):
            raise UsageError(f"velocities {self.velocities}: choose some from 1 to 127")
        if self.key_step < 1 or not 0.5 <= self.duration_s <= 30:
            raise UsageError("key step and duration: choose a step of at least 1 key and 0.5 to 30 s")


@dataclass(frozen=True)
class Take:
    """One note that a source has to offer, and the name of its file without ending."""

    name: str
    key: int
    velocity: int
    program: int
    split: Split


@dataclass(frozen=True)
class Origin:
    """Where the notes come from: a name, a hash, a licence, and what is held out."""

    name: str
    sha256: str
    licence: str
    programs: tuple[CorpusProgram, ...]
    held_out_keys: tuple[int, ...] = ()
    valid_keys: tuple[int, ...] = ()


class NoteSource(Protocol):
    """A source of notes. `sounds` gives those of one program's takes in their order, mono, at any rate and level."""

    @property
    def origin(self) -> Origin: ...

    @property
    def takes(self) -> Sequence[Take]: ...

    def sounds(self, takes: Sequence[Take]) -> Iterator[Audio]: ...
