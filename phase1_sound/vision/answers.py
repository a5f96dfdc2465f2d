"""A vision-language model's answer -> a scene, or what is wrong with it in words that the model can act on.

An answer is a scene with boxes in the model's own unit under Qwen's key, `bbox_2d`. `answer_schema` is what decoding is
constrained to; `judge` relies on none of it, because servers ignore what they do not know.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from phase1_sound.prompts import without_instruments
from schemas.document import ROLES, first_problem, schema_problem
from schemas.scene import MIN_VARIANTS, STUDENT_CONFIDENCE, Scene, SoundSource, rule_problems, upgraded

BoxUnit = Literal["pixels", "thousandths", "off"]
BOX_KEY = "bbox_2d"
_BOX_SLACK = 0.03  # a box may drift this far over the edge before it counts as wrong; it is cut there
_MIN_BOX_SIDE = 0.004
_MAX_VARIANTS, _MAX_TIMBRES = 12, 12  # of the scene's schema
_MOST_CHARACTERS = 200_000

# Text that the effects engines can read: no control characters, nothing that JSON would have to escape.
_CHARACTERS = r"[A-Za-z0-9 ,.;:'()&/%+-]"


@dataclass(frozen=True)
class AnswerShape:
    """How much an answer holds: counts, and the most characters of each kind of text."""

    min_sources: int = 3
    max_sources: int = 6
    min_variants: int = 2
    max_variants: int = 3
    max_timbres: int = 4
    sentence: int = 240
    phrase: int = 72
    word: int = 24


@dataclass(frozen=True)
class Frame:
    """The picture as the model sees it: width and height in pixels, and the unit in which it states boxes."""

    width: int
    height: int
    boxes: BoxUnit = "pixels"

    @property
    def has_boxes(self) -> bool:
        return self.boxes != "off"

    @property
    def scale(self) -> tuple[int, int]:
        """What stands for the whole width and the whole height in a box."""
        return (1000, 1000) if self.boxes == "thousandths" else (self.width, self.height)

    def unit_in_words(self) -> str:
        """The unit for the prompt."""
        if self.boxes == "thousandths":
            return "in thousandths of the picture's width and height"
        return f"in pixels of this picture, which is {self.width} wide and {self.height} high"

    def from_unit(self, box: Sequence[float] | None) -> list[int] | None:
        """A box in 0..1 in the model's unit."""
        x, y = self.scale
        return None if box is None else [round(edge * full) for edge, full in zip(box, (x, y, x, y), strict=True)]


@dataclass(frozen=True)
class Judgement:
    """An answer's scene, or None and the findings that the model is told; what was dropped from it on the way."""

    scene: Scene | None
    findings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def answer_schema(shape: AnswerShape, frame: Frame, evidence: bool = True) -> dict[str, Any]:
    """The JSON Schema of an answer, in the subset that constrained decoders agree on.

    All keys are required and in the order in which the model is to write them; every text is bounded by its pattern, so
    that the whole is finite. "At least 5 variants in all" holds because 3 sources have at least 2 each.
    """
    source = {
        "name": _text(shape.phrase * 2 // 3),
        **({"evidence": _text(shape.phrase)} if evidence else {}),
        **({BOX_KEY: _box(frame)} if frame.has_boxes else {}),
        "material": _text(shape.word * 3 // 2),
        "variants": _array(_object(_variant(shape)), shape.min_variants, shape.max_variants),
    }
    return _object(
        {
            "scene_description": _text(shape.sentence),
            "mood_description": _text(shape.sentence // 2),
            "sound_sources": _array(_object(source), shape.min_sources, shape.max_sources),
        }
    )


def _variant(shape: AnswerShape) -> dict[str, Any]:
    return {
        "play_method": _text(shape.phrase),
        "timbre": _array(_text(shape.word), min(2, shape.max_timbres), shape.max_timbres),
        "mapping_to_music_instrument": {"enum": [*ROLES, None]},
        # Steps of 0.05: a model cannot tell more, and the number of digits stays bounded.
        "confidence": {"enum": [step / 20 for step in range(21)]},
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _array(items: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def _text(most: int) -> dict[str, Any]:
    # A pattern bounds the length in every decoder; `maxLength` beside it is ignored by some and doubles others' work.
    return {"type": "string", "pattern": f"^[A-Za-z0-9]{_CHARACTERS}{{0,{most - 1}}}$"}


def _box(frame: Frame) -> dict[str, Any]:
    edge = {"type": "integer", "minimum": 0, "maximum": max(frame.scale)}
    return {"anyOf": [_array(edge, 4, 4), {"type": "null"}]}


def judge(text: str, frame: Frame) -> Judgement:
    """Read an answer, mend what can be mended without the model, and say what cannot.

    Mended: boxes that are wrong are dropped (with a warning), sources and variants that are named twice are merged, and
    variants with a confidence under 0.7 are dropped while five remain. Everything else is a finding. Whatever the text
    holds, nothing is raised.
    """
    try:
        value = _parsed(text)
    except (ValueError, RecursionError) as error:
        return Judgement(None, (f"it is not one JSON object: {error}"[:300],))
    value, warnings = _with_unit_boxes(upgraded(value), frame)
    problem = schema_problem("scene", value)
    if problem:
        return Judgement(None, (problem,), warnings)
    try:
        sources = _merged(SoundSource.model_validate(source) for source in value["sound_sources"])
        findings = (*rule_problems(sources), *contradictions(sources))
        scene = None if findings else Scene.model_validate({**value, "sound_sources": _sure(sources)})
    except ValidationError as error:
        return Judgement(None, (first_problem(error),), warnings)
    return Judgement(scene, findings, warnings)


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"{len(text)} characters are too many")
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(\{.*\})\s*```\s*", text, re.DOTALL)
    value = _cleaned(json.loads(fenced[1] if fenced else text))
    if not isinstance(value, dict):
        raise ValueError("a scene is an object with scene_description, mood_description and sound_sources")
    return value


def _cleaned(value: Any) -> Any:
    """The same value with each text on one line and without characters that cannot be shown or written."""
    if isinstance(value, str):
        return " ".join("".join(c if c.isprintable() else " " for c in value).split())
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value


def _with_unit_boxes(value: dict[str, Any], frame: Frame) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The scene with boxes as our schema has them, and what was wrong with those that were dropped."""
    if not isinstance(value.get("sound_sources"), list):
        return value, ()
    sources, warnings = [], []
    for source in value["sound_sources"]:
        if isinstance(source, dict):
            source = dict(source)
            box, problem = unit_box(source.pop(BOX_KEY, None), frame)
            source["box"] = box
            if problem:
                warnings.append(f"box of {str(source.get('name'))[:60]!r} dropped: {problem}")
        sources.append(source)
    return {**value, "sound_sources": sources}, tuple(warnings)


def unit_box(box: Any, frame: Frame) -> tuple[list[float] | None, str | None]:
    """A model's box as [x0, y0, x1, y1] in 0..1, or None and what is wrong with it (None where there is no box)."""
    if box is None or not frame.has_boxes:
        return None, None
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(edge) for edge in box):
        return None, f"{str(box)[:60]} is not four numbers"
    x, y = frame.scale
    unit = [edge / full for edge, full in zip(box, (x, y, x, y), strict=True)]
    if min(unit) < -_BOX_SLACK or max(unit) > 1 + _BOX_SLACK:
        return None, f"{box} reaches out of the picture ({x} x {y})"
    x0, y0, x1, y1 = (round(min(1.0, max(0.0, edge)), 4) for edge in unit)
    if x1 - x0 < _MIN_BOX_SIDE or y1 - y0 < _MIN_BOX_SIDE:
        return None, f"{box} has no area: expected x1 < x2 and y1 < y2"
    return [x0, y0, x1, y1], None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e9 and math.isfinite(value)


def _merged(sources: Iterable[SoundSource]) -> list[SoundSource]:
    """Sources of one name and material as one, variants of one play method as one; the first one's words stay."""
    groups: dict[tuple[str, str], SoundSource] = {}
    for source in sources:
        key = _plain(source.name), _plain(source.material)
        first = groups.get(key, source)
        others = source.variants if first is not source else []
        variants = _merged_variants([*first.variants, *others])
        groups[key] = first.model_copy(update={"variants": variants, "box": first.box or source.box})
    return list(groups.values())


def _merged_variants(variants: Sequence[Any]) -> list[Any]:
    groups: dict[str, Any] = {}
    for variant in variants:
        first = groups.setdefault(_plain(variant.play_method), variant)
        timbre = list(dict.fromkeys([*first.timbre, *variant.timbre]))[:_MAX_TIMBRES]
        role = first.mapping_to_music_instrument or variant.mapping_to_music_instrument
        confidence = max(first.confidence, variant.confidence)
        groups[_plain(variant.play_method)] = first.model_copy(
            update={"timbre": timbre, "mapping_to_music_instrument": role, "confidence": confidence}
        )
    return list(groups.values())[:_MAX_VARIANTS]


def _plain(text: str) -> str:
    """What is left of a name when case, articles, punctuation and the plural's s do not count."""
    words = [word for word in re.findall(r"\w+", text.lower()) if word not in ("a", "an", "the")]
    return " ".join(word.removesuffix("s") if len(word) > 3 else word for word in words)


def _sure(sources: Sequence[SoundSource]) -> list[SoundSource]:
    """Without the variants under 0.7; all of them where fewer than five would remain (the student project's rule)."""
    kept = [
        source.model_copy(update={"variants": variants})
        for source in sources
        if (variants := [variant for variant in source.variants if variant.confidence >= STUDENT_CONFIDENCE])
    ]
    return kept if sum(len(source.variants) for source in kept) >= MIN_VARIANTS else list(sources)


# Names of instruments that mean something else: "computer keyboard", "oil drum", "bird song", "sea bass".
_NO_INSTRUMENT = re.compile(
    r"\b(?:(?:computer|laptop|pc|phone|typewriter|mechanical|wireless|backlit)\s+keyboards?"
    r"|(?:oil|steel|metal|cable|brake|water|fuel|plastic|storage|rusty|washing machine)\s+drums?"
    r"|(?:bird|birds|whale)\s+songs?|song\s*(?:birds?|thrush(?:es)?)|sea\s+bass)\b",
    re.IGNORECASE,
)
_NO_THING = re.compile(r"^(?:silence|quiet(?:ness)?|stillness|nothing|none|n/?a|unknown|null)$", re.IGNORECASE)
_OPPOSITES = (
    ({"bright", "brilliant"}, {"dark", "dull"}),
    ({"loud"}, {"quiet", "silent", "faint"}),
    ({"high-pitched", "high"}, {"low-pitched", "low", "deep"}),
    ({"short", "abrupt"}, {"long", "sustained"}),
)


def contradictions(sources: Sequence[SoundSource]) -> list[str]:
    """What a scene says against itself or against its purpose, in words for the model."""
    findings = []
    for source in sources:
        spoken = " ".join(_NO_INSTRUMENT.sub("", source.name).split())
        if without_instruments(spoken) != spoken:
            findings.append(f"{source.name!r} names a musical instrument or music: name the plain object that it is")
        if _NO_THING.match(source.name.strip()):
            findings.append(f"{source.name!r} is no thing that sounds: name another one")
        for variant in source.variants:
            words = {word.lower().strip() for word in variant.timbre}
            for one, other in _OPPOSITES:
                if words & one and words & other:
                    pair = f"{min(words & one)} and {min(words & other)}"
                    findings.append(f"{source.name!r}, {variant.play_method!r}: timbre is {pair} at once: keep one")
    return findings
