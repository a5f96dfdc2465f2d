"""scene.json: what can be heard in a picture. The phases' first document, written by the vision engines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from core.errors import SceneError
from schemas.document import Document, Part, Role, read_json

MIN_VARIANTS = 5
STUDENT_CONFIDENCE = 0.7
"""Confidence given to variants of the student project's files, which carry none: its own threshold for keeping one."""

Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Sentence = Annotated[str, Field(min_length=1, max_length=600)]
Phrase = Annotated[str, Field(min_length=1, max_length=120)]

# Sounds that people make with their voices stay out: the effects engines must never be asked for them.
_HUMAN_VOICE = re.compile(
    r"\b(speech|speak(?:s|ing)?|talk(?:s|ed|ing)?|conversation\w*|voices?|vocals?|laugh\w*|giggl\w*|cry|cries|crying"
    r"|sob(?:s|bed|bing)?|weep(?:s|ing)?|shout\w*|scream\w*|yell(?:s|ed|ing)?|chatter of (?:people|voices)"
    r"|people chattering|singing|singers?|whispering people)\b(?! (?:bowl|drum|willow)s?\b)",
    re.IGNORECASE,
)
_NOT_HUMAN = re.compile(r"\b(birds?|gulls?|seagulls?|crows?|insects?|frogs?|animals?)\b", re.IGNORECASE)


class Variant(Part):
    """One way in which a source sounds."""

    play_method: Phrase = Field(description="Verb phrase: what sets the source sounding, 'tapped with a stick'.")
    timbre: list[Annotated[str, Field(min_length=1, max_length=40)]] = Field(max_length=12)
    mapping_to_music_instrument: Role | None
    confidence: Unit


class SoundSource(Part):
    """A thing in the picture that can sound. `box` is [x0, y0, x1, y1] in 0..1 of the picture's width and height."""

    name: Phrase
    material: Phrase
    variants: list[Variant] = Field(min_length=1, max_length=12)
    box: Annotated[list[Unit], Field(min_length=4, max_length=4)] | None = None
    evidence: Annotated[str, Field(max_length=600)] | None = None

    @field_validator("box")
    @classmethod
    def _box_has_area(cls, box: list[float] | None) -> list[float] | None:
        if box is not None and not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError(f"box {box} is empty: expected x0 < x1 and y0 < y1")
        return box


class Scene(Document):
    """What a picture shows and how it could sound: at least 5 variants in all, no human voices."""

    schema_name: ClassVar[str] = "scene"
    error = SceneError

    scene_description: Sentence
    mood_description: Sentence
    sound_sources: list[SoundSource] = Field(min_length=1, max_length=24)

    @model_validator(mode="after")
    def _keep_the_rules(self) -> Self:
        problems = rule_problems(self.sound_sources)
        if problems:
            raise ValueError(problems[0])
        return self

    @property
    def variants(self) -> list[tuple[SoundSource, Variant]]:
        """Every variant with its source, in document order."""
        return [(source, variant) for source in self.sound_sources for variant in source.variants]


def rule_problems(sources: Sequence[SoundSource]) -> list[str]:
    """What in a scene's sources breaks the rules that a JSON Schema cannot say; empty when all is well."""
    problems = []
    variants = [(source, variant) for source in sources for variant in source.variants]
    if len(variants) < MIN_VARIANTS:
        problems.append(f"{len(variants)} variants in all: at least {MIN_VARIANTS} are needed, add sources or variants")
    for source, variant in variants:
        text = " ".join([source.name, source.material, variant.play_method, *variant.timbre])
        found = _HUMAN_VOICE.search(text)
        if found and not _NOT_HUMAN.search(text):
            problems.append(f"{source.name!r}, {variant.play_method!r}: {found[0]!r} is a human voice: remove it")
    return problems


def read_scene(path: Path) -> Scene:
    """Read a scene, ours or one of the student project's (no confidence, "None" for no instrument).

    Raises:
        SceneError: the file is missing, is not JSON, or breaks the schema or the rules.
    """
    return Scene.from_value(upgraded(read_json(path, SceneError)), str(path))


def upgraded(value: Any) -> Any:
    """A copy of a parsed scene in which the student project's habits are put right; anything else is left as it is."""
    if not isinstance(value, dict) or not isinstance(value.get("sound_sources"), list):
        return value
    return {**value, "sound_sources": [_upgraded_source(source) for source in value["sound_sources"]]}


def _upgraded_source(source: Any) -> Any:
    if not isinstance(source, dict) or not isinstance(source.get("variants"), list):
        return source
    return {**source, "variants": [_upgraded_variant(variant) for variant in source["variants"]]}


def _upgraded_variant(variant: Any) -> Any:
    if not isinstance(variant, dict):
        return variant
    variant = {"confidence": STUDENT_CONFIDENCE, "mapping_to_music_instrument": None, **variant}
    if isinstance(variant["mapping_to_music_instrument"], str):
        name = variant["mapping_to_music_instrument"].strip().lower()
        variant["mapping_to_music_instrument"] = None if name in ("none", "null", "") else name
    return variant
