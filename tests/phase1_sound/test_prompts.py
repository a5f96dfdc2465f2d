"""Prompts: short captions that name no instrument and keep constraints out of the positive part."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase1_sound.prompts import (
    NEGATIVE,
    QUALITY,
    PromptOptions,
    context_of,
    counted,
    effect_prompt,
    estimated_tokens,
    without_instruments,
)
from schemas.effect import Prompt
from schemas.scene import Scene

INSTRUMENTS = re.compile(
    r"\b(guitar|piano|drum|violin|flute|bass|keyboard|trumpet|cello|harp|organ|cymbal|music|melody)",
    re.IGNORECASE,
)
DEFAULTS = PromptOptions()


def scene_of(name: str = "cup", method: str = "tapped with a spoon", **changes: Any) -> Scene:
    variant = {
        "play_method": method,
        "timbre": changes.pop("timbre", ["bright", "ringing"]),
        "mapping_to_music_instrument": None,
        "confidence": 0.8,
    }
    source = {"name": name, "material": changes.pop("material", "ceramic"), "variants": [variant] * 5}
    value = {
        "scene_description": "A cup on a table in a small kitchen, in the morning.",
        "mood_description": "calm and warm",
        "sound_sources": [source],
        **changes,
    }
    return Scene.from_value(value, "test")


def prompt_of(scene: Scene, options: PromptOptions = DEFAULTS) -> str:
    source, variant = scene.variants[0]
    return effect_prompt(scene, source, variant, options).text


def test_caption_style() -> None:
    assert prompt_of(scene_of()) == (
        "tapped with a spoon of cup, made of ceramic, bright, ringing sound, on a table, "
        "close-up field recording, clear, high quality"
    )


@pytest.mark.parametrize(
    ("switch", "gone"),
    [("context", "on a table"), ("material", "ceramic"), ("timbre", "ringing"), ("quality", QUALITY)],
)
def test_each_switch_takes_its_part_away_and_nothing_else(switch: str, gone: str) -> None:
    full, less = prompt_of(scene_of()), prompt_of(scene_of(), replace(DEFAULTS, **{switch: False}))
    assert gone in full
    assert gone not in less
    assert "tapped with a spoon of cup" in less
    assert len(full) - len(less) < len(gone) + 20


def test_the_parts_of_a_legacy_prompt_are_switched_one_by_one() -> None:
    scene = scene_of(material="ceramic")
    variant = scene.sound_sources[0].variants[0].model_copy(update={"mapping_to_music_instrument": "guitar"})
    full = PromptOptions(style="legacy", mood=True, instrument=True)

    def text(options: PromptOptions) -> str:
        return effect_prompt(scene, scene.sound_sources[0], variant, options).text

    parts = {
        "context": "small kitchen",
        "mood": "calm and warm",
        "material": "ceramic",
        "timbre": "bright, ringing",
        "quality": "high quality",
        "negative": "no speech",
        "instrument": "guitar",
    }
    for switch, said in parts.items():
        assert said in text(full)
        assert said not in text(replace(full, **{switch: False}))
        for other, kept in parts.items():
            assert (kept in text(replace(full, **{switch: False}))) == (other != switch)
    bare = replace(full, **dict.fromkeys(parts, False))
    assert text(bare) == "Create a realistic sound effect of cup. What happens to it: tapped with a spoon."
    assert effect_prompt(scene, scene.sound_sources[0], variant, full).style == "legacy"


def test_an_instrument_is_named_only_where_it_is_asked_for() -> None:
    scene = scene_of()
    source = scene.sound_sources[0]
    variant = source.variants[0].model_copy(update={"mapping_to_music_instrument": "drums"})
    hinted = effect_prompt(scene, source, variant, PromptOptions(instrument=True)).text
    assert "like a drums" in hinted
    assert hinted.replace(", like a drums", "") == effect_prompt(scene, source, variant).text
    none = effect_prompt(scene, source, source.variants[0], PromptOptions(instrument=True)).text
    assert none == prompt_of(scene)


def test_tokens_are_estimated_and_said_to_be_so() -> None:
    scene = scene_of()
    prompt = effect_prompt(scene, *scene.variants[0])
    assert [(each.encoder, each.limit, each.estimated) for each in prompt.tokens] == [
        ("CLAP", 512, True), ("T5", 128, True),
    ]  # fmt: skip
    clap, t5 = (each.count for each in prompt.tokens)
    assert prompt.words < t5 < clap < 2 * prompt.words + 10
    assert not prompt.truncated


@pytest.mark.parametrize(("text", "negative", "truncated"), [("a " * 100, "", False), ("a " * 128, "", True),
                                                             ("a", "a " * 128, True)])  # fmt: skip
def test_what_an_encoder_does_not_read_is_flagged(text: str, negative: str, truncated: bool) -> None:
    prompt = counted(Prompt(text=text, negative=negative, words=1), estimated_tokens)
    assert prompt.truncated == truncated
    assert (prompt.text, prompt.negative) == (text, negative)


def test_mood_and_negative_switches() -> None:
    scene = scene_of()
    source, variant = scene.variants[0]
    assert "calm and warm mood" in prompt_of(scene, PromptOptions(mood=True))
    assert effect_prompt(scene, source, variant).negative == NEGATIVE
    assert effect_prompt(scene, source, variant, PromptOptions(negative=False)).negative == ""


def test_constraints_stand_in_the_negative_prompt_only() -> None:
    text = prompt_of(scene_of())
    for word in ("music", "melody", "speech", "low quality"):
        assert word in NEGATIVE
        assert word not in text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("an old guitar's strings", "an old hollow wooden box's strings"),
        ("Guitar-like drums", "hollow wooden box-like barrel"),
        ("computer keyboard", "computer key panel"),
        ("a musical box", "a box"),
        ("the guitarist", "the hollow wooden box"),
        ("eardrum", "eardrum"),
    ],
)
def test_instruments_become_plain_objects(text: str, plain: str) -> None:
    assert without_instruments(text) == plain


@pytest.mark.parametrize(
    ("description", "context"),
    [
        ("A busy street in the rain at night.", "in the rain"),
        ("The image shows a quiet forest with tall pines.", "quiet forest"),
        ("Boats, by the sea.", "boats"),
        ("A lighthouse by the stormy sea, waves.", "by the stormy sea"),
        ("People walk along a very long and winding old stone wall.", "along a very long and winding"),
        ("A dog in the foreground near a wooden fence.", "near a wooden fence"),
    ],
)
def test_context_is_a_place_of_at_most_six_words(description: str, context: str) -> None:
    assert context_of(scene_of(scene_description=description)) == context


def test_source_named_in_the_method_is_not_named_twice() -> None:
    assert prompt_of(scene_of("leaves", "wind blowing through leaves")).count("leaves") == 1


WORDS = st.lists(
    st.sampled_from(["guitar", "drums", "wood", "Piano,", "in the", "bright", "bass", "old", "-", "é"]),
    min_size=1,
    max_size=25,
).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(name=WORDS, method=WORDS, material=WORDS, description=WORDS, timbre=st.lists(WORDS, max_size=12))
def test_any_scene_gives_a_short_prompt_without_instruments(
    name: str, method: str, material: str, description: str, timbre: list[str]
) -> None:
    scene = scene_of(
        name[:120],
        method[:120],
        material=material[:120],
        scene_description=description,
        timbre=[t[:40] for t in timbre],
    )
    source, variant = scene.variants[0]
    prompt = effect_prompt(scene, source, variant)
    assert prompt.words == len(prompt.text.split()) <= 45
    assert not INSTRUMENTS.search(prompt.text)
    assert ", ," not in prompt.text
