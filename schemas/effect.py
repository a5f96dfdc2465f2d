"""effects.json: the sounds that were made from a scene, what was asked for and what was measured."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from core.engines import EngineInfo
from schemas.document import Document, Part, Role

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class EngineRecord(Part):
    """Which engine made a document."""

    name: str
    version: str
    weights_sha256: Sha256 | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, info: EngineInfo) -> Self:
        """An engine's facts as documents hold them."""
        return cls(name=info.name, version=info.version, weights_sha256=info.weights_sha256, options=dict(info.options))


class Tokens(Part):
    """How many tokens a text has for one text encoder, which reads no more than `limit` of them.

    `estimated` is True where no tokenizer was at hand and the count is a rule of thumb.
    """

    encoder: str
    count: int = Field(ge=0)
    limit: int = Field(ge=1)
    estimated: bool = False


class Prompt(Part):
    """What a text-to-audio engine is asked: written by phase1_sound/prompts.py, recorded with each effect."""

    text: str
    negative: str
    words: int = Field(ge=0)
    style: Literal["caption", "legacy"] = "caption"
    tokens: list[Tokens] = Field(default_factory=list, description="Of `text`, for each text encoder.")
    truncated: bool = Field(default=False, description="An encoder does not read the whole of `text` or `negative`.")


class Measures(Part):
    """Figures of one effect that need no model.

    Loudness in LUFS (BS.1770-4), true peak in dBTP, centroid and rolloff (85 %) in Hz, flatness 0..1, crest in dB, onsets per
    second, t30_s the time from the loudest frame to 30 dB below it (None when the sound never falls that far). The last eight
    (None in documents of earlier versions) tell what the sound resembles: shares of speech-like time and of melodic power,
    regularity of the level (0..1), its fluctuation at 20-150 Hz over its mean, how often a second it rises and falls, its mean
    under its peak in dB, its standard deviation in dB, and how fast it moves in dB per second.
    """

    loudness_lufs: float
    true_peak_dbtp: float
    silence_share: float = Field(ge=0, le=1)
    clipped_share: float = Field(ge=0, le=1)
    dc: float
    centroid_hz: float
    rolloff_hz: float
    flatness: float
    crest_db: float
    onset_rate_hz: float
    t30_s: float | None
    speech_share: float | None = Field(default=None, ge=0, le=1)
    music_share: float | None = Field(default=None, ge=0, le=1)
    regularity: float | None = Field(default=None, ge=0, le=1)
    roughness: float | None = Field(default=None, ge=0)
    pace_hz: float | None = Field(default=None, ge=0)
    ringing_db: float | None = Field(default=None, le=0)
    spread_db: float | None = Field(default=None, ge=0)
    unrest_db_s: float | None = Field(default=None, ge=0)


class Effect(Part):
    """One realised variant."""

    number: int = Field(ge=1)
    file: str
    sha256: Sha256
    source: str
    material: str
    play_method: str
    timbre: list[str]
    role_hint: Role | None
    confidence: float = Field(ge=0, le=1)
    pan: float = Field(ge=-1, le=1, description="Where the source stands in the picture, -1 left, 1 right.")
    seed: int = Field(ge=0)
    prompt: Prompt
    recipe: dict[str, Any] = Field(description="What the engine did with the request: parameters, flags.")
    duration_s: float = Field(gt=0)
    sample_rate: int = Field(gt=0)
    measures: Measures
    verdict: list[str] = Field(description="What is wrong with the effect; empty when it is good.")
    attempts: int = Field(default=1, ge=1, description="How often it was made until it was good, or given up.")
    own_seed: int | None = Field(
        default=None,
        ge=0,
        description="Seed of all effects that this one was made again with by itself; None: as `seed`.",
    )
    seed_number: int | None = Field(
        default=None,
        ge=1,
        description="Number that its seed was drawn for, where an edit of the scene has given it another since.",
    )
    engine: EngineRecord | None = Field(default=None, description="Who made it, where that is another than the rest.")


class Effects(Document):
    """All effects of a scene, in the scene's order; files lie beside the document."""

    schema_name: ClassVar[str] = "effects"

    scene_sha256: Sha256
    engine: EngineRecord
    seed: int = Field(ge=0)
    openness: float = Field(
        default=0.5, ge=0, le=1, description="How open the scene is: 0 a small room, 1 the open air."
    )
    effects: list[Effect] = Field(min_length=1)
    left_out: list[str] = Field(default_factory=list, description="Variants that the engine made no effect of.")
    notes: list[str] = Field(default_factory=list, description="What the user should know: licences, limits.")
