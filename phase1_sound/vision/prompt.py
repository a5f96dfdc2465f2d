"""What a vision-language model is asked: short, in parts that can be left out, with a version.

It is designed backwards from what the text-to-audio models need (see `phase1_sound/prompts.py`): general nouns, a play
method that reads as a caption, few words, the place in the first clause of the description, no instrument and no voice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import UsageError
from phase1_sound.vision.answers import AnswerShape, Frame

VERSION = "1"
"""Raised with every change of the words below: it is recorded with each run."""

_TASK = (
    "You choose sound effects for a picture. Name the things in it that could make a sound, and for each thing several "
    "ways to make it sound. A text-to-audio model will read your words as one caption: "
    '"{{play_method}}, made of {{material}}, {{timbre}} sound, {{place}}". Write plain English with general nouns.'
)
_PARTS = {
    "words": (
        "- scene_description: one or two sentences on what is seen; the first clause says where, as in "
        '"Wooden boats at a stone quay".\n'
        "- mood_description: one short sentence.\n"
        "- name: the thing, one to four words, no colours, no brands.\n"
        "- material: what sounds, one to three words.\n"
        "- play_method: what happens, at most nine words, beginning with a verb in -ing and containing the name: "
        '"tapping a cup with a metal spoon".\n'
        "- timbre: two to four adjectives for how it sounds, not for how it looks; no opposites together."
    ),
    "evidence": "- evidence: what in the picture shows that the thing is there, at most twelve words.",
    "boxes": "- bbox_2d: [x1, y1, x2, y2] around the thing, {unit}; null where it has no place, as with wind.",
    "mapping": (
        "- mapping_to_music_instrument: which player of a band could use the sound. keyboard: clear pitch that rings on; "
        "bass: low; guitar: plucked, short, with pitch; drums: struck or noisy; null: none. Use each of the four if you can."
    ),
    "confidence": (
        "- confidence: 0 to 1, how sure you are that the thing is in the picture and can sound so. "
        "Below 0.7 a variant is thrown away."
    ),
    "counts": (
        "- {min_sources} to {max_sources} things, each with {min_variants} to {max_variants} variants, at least 5 variants "
        "in all. No thing twice."
    ),
    "banned": (
        "- No human voices: no speech, laughter, crying or singing. People are heard by their steps, their clothes and what "
        "they handle.\n"
        "- No musical instruments and no music as things: an instrument in the picture is the object that it is, "
        '"hollow wooden box with strings".'
    ),
    "example": "An answer for another picture, of {example_size} pixels:\n{example}",
}
PARTS = tuple(_PARTS)
"""The parts that an ablation can leave out."""
_FORMAT = "Answer with one JSON object and nothing else."
_MOST_REPEATED = 6000  # characters of a failed answer that the model is shown again
_MOST_FINDINGS = 8

_EXAMPLE_FRAME = (840, 560)
_EXAMPLE_SOURCES: tuple[tuple[str, str, list[float] | None, str, tuple[Any, ...]], ...] = (
    (
        "wooden boat", "three rowing boats tied to the quay", [0.1, 0.45, 0.6, 0.95], "wet wood",
        (
            ("knocking a wooden boat against the quay", ["hollow", "dull"], "drums", 0.95),
            ("creaking of a wooden boat in the swell", ["slow", "rough"], "bass", 0.9),
        ),
    ),
    (
        "iron chain", "rusty chain on the wall at the right", [0.75, 0.3, 0.85, 0.9], "iron",
        (
            ("striking an iron chain with a small hammer", ["bright", "ringing"], "keyboard", 0.85),
            ("shaking an iron chain", ["metallic", "sharp"], "guitar", 0.85),
        ),
    ),
    (
        "wind", "low clouds and ripples on the water", None, "air",
        (
            ("wind blowing over open water", ["airy", "soft"], None, 0.8),
            ("wind humming in slack ropes", ["deep", "steady"], "bass", 0.75),
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class PromptOptions:
    """Which parts the prompt has: `without` names those that are left out (see `PARTS`).

    Without "evidence" or "boxes" the answer has no such key either.

    Raises:
        UsageError: there is no such part.
    """

    without: frozenset[str] = frozenset()
    shape: AnswerShape = field(default_factory=AnswerShape)

    def __post_init__(self) -> None:
        unknown = sorted(self.without - set(PARTS))
        if unknown:
            raise UsageError(f"the prompt has no part {unknown[0]!r} to leave out: choose from {', '.join(PARTS)}")


@dataclass(frozen=True)
class Turn:
    """An answer that could not be used, and what was wrong with it."""

    answer: str
    findings: tuple[str, ...]


def instructions(options: PromptOptions, frame: Frame) -> str:
    """The text that goes before the picture."""
    left_out = options.without | (set() if frame.has_boxes else {"boxes"})
    parts = [_TASK, *(text for name, text in _PARTS.items() if name not in left_out), _FORMAT]
    shape, (width, height) = options.shape, _EXAMPLE_FRAME
    return "\n".join(parts).format(
        unit=frame.unit_in_words(),
        min_sources=shape.min_sources,
        max_sources=shape.max_sources,
        min_variants=shape.min_variants,
        max_variants=shape.max_variants,
        example_size=f"{width} x {height}",
        example=json.dumps(example(options, frame), separators=(",", ":")),  # as decoding forces it
    )


def example(options: PromptOptions, frame: Frame) -> dict[str, Any]:
    """Our own few-shot example, with the keys and the unit of boxes that the answer is to have."""
    boxes = Frame(*_EXAMPLE_FRAME, boxes=frame.boxes)
    return {
        "scene_description": "Wooden boats at a stone quay under low clouds. A chain hangs down to the water.",
        "mood_description": "Calm and a little lonely.",
        "sound_sources": [
            {
                "name": name,
                **({} if "evidence" in options.without else {"evidence": evidence}),
                **({"bbox_2d": boxes.from_unit(box)} if boxes.has_boxes else {}),
                "material": material,
                "variants": [
                    dict(zip(("play_method", "timbre", "mapping_to_music_instrument", "confidence"), row, strict=True))
                    for row in variants
                ],
            }
            for name, evidence, box, material, variants in _EXAMPLE_SOURCES
        ],
    }


def conversation(
    options: PromptOptions, frame: Frame, picture: dict[str, Any], turns: Sequence[Turn] = ()
) -> list[dict[str, Any]]:
    """The messages of a chat: instructions, the picture (an engine's own content part), failed answers and their findings."""
    size = f" ({frame.width} x {frame.height} pixels)" if frame.has_boxes else ""
    question = {"type": "text", "text": f"What could sound in this picture{size}, and how?"}
    messages = [_said("system", instructions(options, frame)), {"role": "user", "content": [picture, question]}]
    for turn in turns:
        messages += [_said("assistant", turn.answer[:_MOST_REPEATED]), _said("user", _complaint(turn.findings))]
    return messages


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}  # plain text: not every server takes parts everywhere


def _complaint(findings: Sequence[str]) -> str:
    listed = "\n".join(f"- {finding}" for finding in findings[:_MOST_FINDINGS])
    return f"That answer cannot be used:\n{listed}\nAnswer again with the whole JSON object, mended."
