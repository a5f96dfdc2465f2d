"""song.json: which score was played by which roles, and what the song measures."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.document import Document, Part, Role
from schemas.effect import Sha256


class ScoreTrack(Part):
    """One instrument of the score and the role that plays it. `number` counts from 1, `program` is General MIDI's, 0-127."""

    number: int = Field(ge=1)
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


class Reverb(Part):
    """The room's part of the mix: its file and its decay time (T60) in seconds."""

    file: str
    sha256: Sha256
    room_s: float = Field(gt=0)


class Song(Document):
    """A rendered song.

    `file` is the mix, None where only stems were asked for; `reverb` is the room's part, None without one: stems and reverb
    sum to the mix. Loudness and peak are the mix's. `options` are those of the rendering, and `key` is a hash of all that the
    song depends on. `rtf` is processing time over audio time; `preview_s` is None for a whole song.
    """

    schema_name: ClassVar[str] = "song"

    score: ScoreRecord
    file: str | None
    sha256: Sha256 | None
    reverb: Reverb | None
    options: dict[str, bool | int | float | str | None]
    key: Sha256
    sample_rate: int = Field(gt=0)
    duration_s: float = Field(gt=0)
    loudness_lufs: float
    true_peak_dbtp: float
    stems: list[Stem] = Field(min_length=1)
    instruments: dict[str, Sha256] = Field(description="SHA-256 of each role's SF2.")
    preview_s: float | None = None
    rtf: float = Field(ge=0)
    warnings: list[str] = Field(default_factory=list)
