"""A model's answer becomes a scene, or findings that say what is wrong with it; nothing else ever happens."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from phase1_sound.effects.making import kept_variants
from phase1_sound.prompts import effect_prompt
from phase1_sound.vision import prompt
from phase1_sound.vision.answers import AnswerShape, Frame, answer_schema, judge, unit_box
from phase1_sound.vision.prompt import PARTS, PromptOptions, Turn, conversation, example, instructions

FRAME = Frame(800, 600)


def variant(play: str, confidence: float = 0.9, timbre: tuple[str, ...] = ("dry",), role: Any = None) -> dict[str, Any]:
    return {
        "play_method": play,
        "timbre": list(timbre),
        "mapping_to_music_instrument": role,
        "confidence": confidence,
    }


def source(name: str, *variants: dict[str, Any], material: str = "wood", **rest: Any) -> dict[str, Any]:
    return {"name": name, "material": material, "variants": list(variants), **rest}


def answer(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"scene_description": "A yard.", "mood_description": "Calm.", "sound_sources": list(sources)}


def good() -> dict[str, Any]:
    return answer(
        source("gate", *[variant(f"gate {way}", 0.9) for way in ("swinging", "slamming", "scraping")], bbox_2d=None),
        source("bucket", *[variant(f"bucket {way}", 0.8) for way in ("falling", "rolling", "filling")]),
    )


def judged(value: Any, frame: Frame = FRAME) -> Any:
    return judge(json.dumps(value), frame)


def findings(value: Any) -> str:
    result = judged(value)
    assert result.scene is None
    return "\n".join(result.findings)


def test_a_good_answer_is_a_scene_without_findings() -> None:
    result = judged(good())
    assert (result.findings, result.warnings) == ((), ())
    assert [each.name for each in result.scene.sound_sources] == ["gate", "bucket"]
    assert len(result.scene.variants) == 6


@pytest.mark.parametrize("fence", ["```json\n%s\n```", "```\n%s```", "\n %s\n"])
def test_a_fenced_answer_is_read(fence: str) -> None:
    assert judge(fence % json.dumps(good()), FRAME).scene is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not one JSON object"),
        ("Sure! Here is the scene.", "not one JSON object"),
        (json.dumps(good())[:-40], "not one JSON object"),
        (json.dumps(good()) * 2, "Extra data"),
        ("[" * 100_000, "not one JSON object"),
        ("[]", "a scene is an object"),
        ('{"a": ' + "9" * 5000 + "}", "not one JSON object"),
        ('"' + "x" * 300_000 + '"', "too many"),
        ("{}", "'scene_description' is a required property"),
    ],
)
def test_what_is_no_scene_is_a_finding(text: str, words: str) -> None:
    result = judge(text, FRAME)
    assert result.scene is None
    assert words in result.findings[0]
    assert len(result.findings[0]) < 500


def test_an_extra_key_is_a_finding_that_names_its_place() -> None:
    value = good()
    value["sound_sources"][1]["variants"][2]["loudness"] = 3
    assert findings(value) == (
        "sound_sources[1].variants[2]: Additional properties are not allowed ('loudness' was unexpected)"
    )


def test_the_student_projects_none_is_read() -> None:
    value = good()
    value["sound_sources"][0]["variants"][0]["mapping_to_music_instrument"] = "None"
    assert judged(value).scene.variants[0][1].mapping_to_music_instrument is None


def test_characters_that_cannot_be_written_are_taken_out() -> None:
    value = good()
    value["scene_description"] = "A \ud800 yard\x00\n with\u2028 a gate."
    scene = judged(value).scene
    assert scene.scene_description == "A yard with a gate."
    scene.model_dump_json().encode("utf-8")


def test_voices_are_findings() -> None:
    value = good()
    value["sound_sources"].append(source("children", variant("children laughing"), variant("children running")))
    value["sound_sources"].append(source("man", variant("talking loudly")))
    assert "'children laughing': 'laughing' is a human voice: remove it" in findings(value)
    assert "'talking loudly': 'talking' is a human voice" in findings(value)
    assert "running" not in findings(value)


def test_fewer_than_five_variants_are_a_finding() -> None:
    value = good()
    del value["sound_sources"][1]["variants"][1:]
    assert "4 variants in all: at least 5" in findings(value)


def test_sources_named_twice_are_merged() -> None:
    value = good()
    twin = source("The Gates", variant("gate swinging", 0.95, ("bright",), "guitar"), variant("gate ringing"))
    twin["bbox_2d"] = [80, 60, 400, 300]
    value["sound_sources"].append(twin)
    scene = judged(value).scene
    assert [each.name for each in scene.sound_sources] == ["gate", "bucket"]
    gate = scene.sound_sources[0]
    assert [each.play_method for each in gate.variants] == [
        "gate swinging", "gate slamming", "gate scraping", "gate ringing"
    ]  # fmt: skip
    swinging = gate.variants[0]
    assert (swinging.confidence, swinging.timbre) == (0.95, ["dry", "bright"])
    assert swinging.mapping_to_music_instrument == "guitar"
    assert gate.box == [0.1, 0.1, 0.5, 0.5]


def test_things_of_one_name_and_two_materials_stay_two() -> None:
    value = good()
    value["sound_sources"].append(source("gate", variant("gate ringing"), material="iron"))
    assert len(judged(value).scene.sound_sources) == 3


def test_merging_counts_only_what_differs() -> None:
    same = [variant("a gate swings"), variant("Gate swings."), variant("gate swing")]
    value = answer(source("gate", *same), source("bucket", *[variant(f"bucket {n}") for n in "abc"]))
    assert "4 variants in all: at least 5" in findings(value)


@pytest.mark.parametrize(("sure", "left"), [(6, 6), (5, 5), (4, 6), (0, 6)])
def test_unsure_variants_go_while_five_remain(sure: int, left: int) -> None:
    value = good()
    variants = [each for one in value["sound_sources"] for each in one["variants"]]
    for number, each in enumerate(variants):
        each["confidence"] = 0.7 if number < sure else 0.69
    scene = judged(value).scene
    assert len(scene.variants) == left
    assert scene.variants == kept_variants(scene)


def test_a_source_without_sure_variants_goes() -> None:
    value = good()
    value["sound_sources"].append(source("ghost", variant("ghost passing", 0.2)))
    assert [each.name for each in judged(value).scene.sound_sources] == ["gate", "bucket"]


@pytest.mark.parametrize(
    "name", ["guitar", "Acoustic Guitars", "piano keys", "snare drum", "street music", "violinist"]
)
def test_an_instrument_as_a_source_is_a_finding(name: str) -> None:
    value = good()
    value["sound_sources"][0]["name"] = name
    assert findings(value) == f"{name!r} names a musical instrument or music: name the plain object that it is"


@pytest.mark.parametrize(
    "name", ["computer keyboard", "rusty oil drum", "sea bass", "song birds", "bell tower", "drain"]
)
def test_what_only_sounds_like_an_instrument_is_none(name: str) -> None:
    value = good()
    value["sound_sources"][0]["name"] = name
    assert judged(value).findings == ()


def test_silence_is_no_source() -> None:
    value = good()
    value["sound_sources"][0]["name"] = "Silence"
    assert findings(value) == "'Silence' is no thing that sounds: name another one"


def test_opposites_in_one_timbre_are_a_finding() -> None:
    value = good()
    value["sound_sources"][0]["variants"][1]["timbre"] = ["Bright", "metallic", "dull"]
    assert findings(value) == "'gate', 'gate slamming': timbre is bright and dull at once: keep one"


def boxed(box: Any, frame: Frame = FRAME) -> tuple[Any, tuple[str, ...]]:
    value = good()
    value["sound_sources"][0]["bbox_2d"] = box
    result = judged(value, frame)
    return result.scene.sound_sources[0].box, result.warnings


def test_boxes_become_shares_of_the_picture() -> None:
    assert boxed([80, 60, 400, 600]) == ([0.1, 0.1, 0.5, 1.0], ())
    assert boxed([100, 100, 500, 1000], Frame(800, 600, "thousandths")) == ([0.1, 0.1, 0.5, 1.0], ())
    assert boxed(None) == (None, ())


def test_a_box_just_over_the_edge_is_cut_there() -> None:
    assert boxed([-8, 60, 812, 609]) == ([0.0, 0.1, 1.0, 1.0], ())


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([80, 60, 400, 700], "reaches out of the picture (800 x 600)"),
        ([-100, 60, 400, 500], "reaches out of the picture"),
        ([400, 60, 80, 500], "has no area"),
        ([80, 60, 81, 500], "has no area"),
        ([80, 60, 400], "is not four numbers"),
        ([80, 60, 400, True], "is not four numbers"),
        ([80, 60, 400, 1e300], "is not four numbers"),
        ("80,60,400,500", "is not four numbers"),
        ({"x": 1}, "is not four numbers"),
    ],
)
def test_a_wrong_box_is_dropped_with_a_warning(box: Any, reason: str) -> None:
    found, warnings = boxed(box)
    assert found is None
    (warning,) = warnings
    assert warning.startswith("box of 'gate' dropped: ")
    assert reason in warning


def test_boxes_that_were_not_asked_for_are_left_out() -> None:
    assert boxed([80, 60, 400, 600], Frame(800, 600, "off")) == (None, ())


@given(st.lists(st.floats(width=32) | st.integers() | st.none(), max_size=5))
def test_no_box_leaves_the_picture(box: list[Any]) -> None:
    found, problem = unit_box(box, FRAME)
    assert (found is None) == (problem is not None)
    if found:
        assert 0 <= found[0] < found[2] <= 1
        assert 0 <= found[1] < found[3] <= 1


@st.composite
def broken_answers(draw: st.DrawFn) -> Any:
    """A good answer with something put in the place of one of its parts, at any depth."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
    value = copy.deepcopy(good())
    place: Any = value
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            place[key] = draw(anything)
            return value
        place = place[key]


@settings(max_examples=300, deadline=None)
@given(broken_answers())
def test_fuzzed_answers_are_scenes_or_findings(value: Any) -> None:
    result = judged(value)
    assert (result.scene is None) == bool(result.findings)
    if result.scene:
        json.dumps(result.scene.to_value()).encode("utf-8")
    assert all("\n" not in warning for warning in result.warnings)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_fuzzed_texts_are_findings(text: str) -> None:
    assert judge(text, FRAME).findings


def test_the_answers_schema_takes_a_good_answer_and_no_small_one() -> None:
    schema = answer_schema(AnswerShape(), FRAME)
    jsonschema.Draft202012Validator.check_schema(schema)
    value = example(PromptOptions(), FRAME)
    jsonschema.validate(value, schema)
    for change in ({"sound_sources": value["sound_sources"][:2]}, {"extra": 1}, {"scene_description": "x\ny"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value | change, schema)


def test_every_answer_that_the_schema_allows_has_five_variants_and_bounded_texts() -> None:
    schema = answer_schema(AnswerShape(), FRAME)
    sources = schema["properties"]["sound_sources"]
    variants = sources["items"]["properties"]["variants"]
    assert sources["minItems"] * variants["minItems"] >= 5
    assert json.dumps(schema).count('"type": "string"') == json.dumps(schema).count('"pattern"') == 7


def test_the_example_is_a_good_answer_and_a_good_prompt() -> None:
    result = judged(example(PromptOptions(), FRAME), Frame(840, 560))
    assert (result.findings, result.warnings) == ((), ())
    roles = {each.mapping_to_music_instrument for _, each in result.scene.variants}
    assert roles == {"keyboard", "bass", "guitar", "drums", None}
    texts = [effect_prompt(result.scene, *pair).text for pair in result.scene.variants]
    assert texts[0] == (
        "knocking a wooden boat against the quay, made of wet wood, hollow, dull sound, at a stone quay, "
        "close-up field recording, clear, high quality"
    )


@pytest.mark.parametrize("left_out", [*PARTS])
def test_each_part_of_the_prompt_can_be_left_out(left_out: str) -> None:
    whole = instructions(PromptOptions(), FRAME)
    shorter = instructions(PromptOptions(frozenset({left_out})), FRAME)
    assert len(shorter) < len(whole)
    assert "{" not in whole.partition("An answer for")[0].replace("{play_method}", "").replace(
        "{material}", ""
    ).replace("{timbre}", "").replace("{place}", "")


def test_left_out_keys_are_asked_for_nowhere() -> None:
    options, frame = PromptOptions(frozenset({"evidence", "boxes"})), Frame(800, 600, "off")
    text = instructions(options, frame) + json.dumps(answer_schema(options.shape, frame, evidence=False))
    assert "evidence" not in text
    assert "bbox" not in text


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(UsageError, match="no part 'exmaple' to leave out: choose from words, evidence"):
        PromptOptions(frozenset({"exmaple"}))


def test_a_changed_prompt_has_another_version() -> None:
    """When this fails, raise `prompt.VERSION` and put the new hash here: scenes say which prompt made them."""
    text = instructions(PromptOptions(), FRAME)
    text += instructions(PromptOptions(), Frame(800, 600, "thousandths"))
    text += json.dumps(conversation(PromptOptions(), FRAME, {"type": "image"}, [Turn("{}", ("empty",))]))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (prompt.VERSION, digest) == ("1", "ca61e2247be8d928")


def test_a_failed_answer_is_shown_with_its_findings() -> None:
    turns = [Turn("x" * 10_000, tuple(f"finding {n}" for n in range(20)))]
    messages = conversation(PromptOptions(), FRAME, {"type": "image"}, turns)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[1]["content"][0] == {"type": "image"}
    assert "800 x 600 pixels" in messages[1]["content"][1]["text"]
    assert len(messages[2]["content"]) == 6000
    complaint = messages[3]["content"]
    assert "- finding 0\n" in complaint
    assert "finding 8" not in complaint
