"""song.json: which score was played by which roles, and what the song measures."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.document import Document, Part, Role
from schemas.effect import Sha256


class ScoreTrack(Part):
    """One instrument of the score and the role that plays it. `program` is General MIDI's, 0-127."""

    name: str
    program: int = Field(ge=0, le=127)
    is_drum: bool
    role: Role
    notes: int = Field(ge=0)


class ScoreRecord(Part):
    """The score that was played."""

    file: str
    sha256: Sha256
    duration_s: float = Field(gt=0)
    tracks: list[ScoreTrack] = Field(min_length=1)


class Stem(Part):
    """One role's part of the mix."""

    role: Role
    file: str
    sha256: Sha256
    pan: float = Field(ge=-1, le=1)
    gain_db: float


class Song(Document):
    """A rendered song. `rtf` is processing time over audio time; `preview_s` is None for a whole song."""

    schema_name: ClassVar[str] = "song"

    score: ScoreRecord
    sample_rate: int = Field(gt=0)
    duration_s: float = Field(gt=0)
    loudness_lufs: float
    true_peak_dbtp: float
    stems: list[Stem] = Field(min_length=1)
    instruments: dict[str, Sha256] = Field(description="SHA-256 of each role's SF2.")
    preview_s: float | None = None
    rtf: float = Field(ge=0)
    warnings: list[str] = Field(default_factory=list)
