"""instrument.json: one instrument of the band, its zones and what was measured of its tuning."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.document import Document, Part, Role
from schemas.effect import EngineRecord, Sha256

MidiKey = Annotated[int, Field(ge=0, le=127)]


class Envelope(Part):
    """Amplitude envelope of an instrument: sustain 0..1 of full amplitude, times in seconds.

    The decay falls by a constant number of dB a second and reaches the sustain after `decay_s`; the release falls by 60 dB in
    `release_s`.
    """

    attack_s: float = Field(ge=0)
    decay_s: float = Field(ge=0)
    sustain: float = Field(ge=0, le=1)
    release_s: float = Field(ge=0)


class Zone(Part):
    """One sample and the keys and velocities that play it.

    `root_key` + `tune_cents` state the pitch: played at `root_key`, the sample is shifted by `tune_cents` (so a sample that is
    3 cents flat has tune_cents = 3). Loop points are frames; `loop_end` is the last frame of the loop (inclusive).
    `cutoff_hz` is the corner of a 12 dB per octave low-pass that makes a softer layer darker (None for none). Zones with
    `seq_position` 2 and up are round robins: other samples for the same keys, played in turn. `exclusive_class` > 0: a note
    cuts every other note of the same class (hi-hats). `one_shot` samples play to their end whatever the key does.
    """

    sample: str
    root_key: MidiKey
    tune_cents: float = Field(ge=-100, le=100)
    lo_key: MidiKey
    hi_key: MidiKey
    lo_velocity: MidiKey = 1
    hi_velocity: MidiKey = 127
    seq_position: int = Field(default=1, ge=1)
    loop_start: int | None = Field(default=None, ge=0)
    loop_end: int | None = Field(default=None, ge=0)
    cutoff_hz: float | None = Field(default=None, gt=0)
    exclusive_class: int = Field(default=0, ge=0, le=127)
    one_shot: bool = False


class Verified(Part):
    """What was measured on the samples after they were made.

    `notes` samples were measured by two pitch trackers; both heard `within_25_cents` of them in tune, `median_abs_cents` is
    the median distance from the key (None for drums). `left_out` names keys whose sample did not pass.
    """

    notes: int = Field(ge=0)
    within_25_cents: int = Field(ge=0)
    median_abs_cents: float | None
    left_out: list[MidiKey] = Field(default_factory=list)


class SourceEffect(Part):
    """The sound that an instrument was made of."""

    file: str
    sha256: Sha256
    name: str
    pitched: bool
    f0_hz: float | None
    voiced_probability: float


class Instrument(Document):
    """One instrument: SFZ, SF2 and samples lie beside the document."""

    schema_name: ClassVar[str] = "instrument"

    role: Role
    name: str
    source_effect: SourceEffect
    pitched: bool
    timbre: EngineRecord
    seed: int = Field(ge=0)
    character: float = Field(ge=0, le=1)
    method: Literal["resynthesis", "pitch-shift", "untuned", "drum-kit"]
    sample_rate: int = Field(gt=0)
    channels: int = Field(default=1, ge=1, le=2)
    envelope: Envelope
    lead_frames: int = Field(
        default=0, ge=0, description="Silence at the beginning of each sample, which a renderer may strike earlier by."
    )
    velocity_crossfade: int = Field(
        default=0, ge=0, le=32, description="Velocities over which layers blend, where a format can."
    )
    pan: float = Field(default=0.0, ge=-1, le=1)
    openness: float = Field(default=0.5, ge=0, le=1, description="How open the scene is where the sound comes from.")
    zones: list[Zone] = Field(min_length=1)
    verified: Verified
    blends: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        exclude_if=lambda blends: not blends,
        description="Share of a lent timbre that each sample kept, by file; absent where none was lent.",
    )
    cleaned: list[str] = Field(default_factory=list, description="What was taken out of the recording before building.")
    warnings: list[str] = Field(default_factory=list)
