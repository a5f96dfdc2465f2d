"""The foley synthesiser by what a listener would notice."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from core.audio import Audio
from phase1_sound.checks import band_levels, frame_levels, measure, onset_times, t30_s, verdict
from phase1_sound.effects.engines.foley.brief import Character
from phase1_sound.effects.engines.foley.engine import Foley
from phase1_sound.effects.engines.foley.gestures import GESTURES
from phase1_sound.effects.engines.foley.impacts import Coins, Strike
from phase1_sound.effects.engines.foley.materials import MATERIALS, SYNONYMS
from phase1_sound.effects.engines.foley.modal import contact_time
from phase1_sound.effects.engines.foley.parsing import find_material, understand
from phase1_sound.effects.making import shaped
from phase1_sound.effects.protocol import EffectRequest, EffectResult

RATE = 44100
Array = npt.NDArray[np.float64]


def request(
    source: str,
    material: str,
    method: str,
    *timbre: str,
    seed: int = 1,
    seconds: float = 2.0,
    openness: float = 1.0,
) -> EffectRequest:
    return EffectRequest(source, material, method, timbre, "", "", seconds, openness, seed)


def make(one: EffectRequest) -> EffectResult:
    return next(iter(Foley().make([one])))


def example(gesture: str, *timbre: str, seed: int = 1, seconds: float = 2.0, openness: float = 1.0) -> EffectRequest:
    return request(*GESTURES[gesture].example, *timbre, seed=seed, seconds=seconds, openness=openness)


@cache
def neutral(gesture: str) -> EffectResult:
    return make(example(gesture))


def mono(result: EffectResult) -> Array:
    return result.audio.mono().astype(np.float64)


def single_stroke(material: str, seed: int = 1, size: float = 1.0, hardness: float | None = None) -> Array:
    """One stroke on a body of the material, 4 s."""
    brief = understand(request("thing", material, "struck", seconds=4.0)).brief
    recipe = Strike.draw(replace(brief, size=size), np.random.default_rng(seed))
    recipe = replace(
        recipe,
        times_s=recipe.times_s[:1],
        forces=recipe.forces[:1],
        positions=recipe.positions[:1],
        contacts_s=recipe.contacts_s[:1],
    )
    if hardness is not None:
        recipe = replace(recipe, contacts_s=((0.25 + 3.5 * (1 - hardness)) * 1e-3,))
    return recipe.render(4 * RATE, np.random.default_rng(seed))


def centroid(sound: Array) -> float:
    return measure(Audio(0.5 * sound / np.abs(sound).max(), RATE)).centroid_hz


def ring_s(material: str) -> float:
    times = [t30_s(frame_levels(single_stroke(material, seed) * 0.1, RATE)) for seed in range(5)]
    return float(np.median([4.0 if t is None else t for t in times]))


# What things are made of


@pytest.mark.parametrize(
    "order",
    ["bell metal", "metal glass", "glass wood", "wood skin", "glass ceramic", "ceramic stone", "skin cloth"],
)
def test_materials_ring_in_their_order(order: str) -> None:
    longer, shorter = order.split()
    assert ring_s(longer) > 1.15 * ring_s(shorter)


@pytest.mark.parametrize("material", ["metal", "wood", "glass"])
def test_harder_strokes_are_brighter(material: str) -> None:
    soft, middle, hard = (centroid(single_stroke(material, hardness=h)) for h in (0.2, 0.6, 0.98))
    assert soft < middle < hard


@pytest.mark.parametrize("material", ["metal", "wood", "glass"])
def test_hard_strikers_are_brighter(material: str) -> None:
    soft, hard = (
        centroid(mono(make(request("thing", material, f"struck with a {tool}"))))
        for tool in ("soft felt mallet", "steel hammer")
    )
    assert hard > 1.1 * soft


def test_stronger_strokes_are_brighter() -> None:
    weak, strong = (contact_time(0.5, 1.0, force) for force in (0.2, 1.0))
    assert weak > 1.2 * strong
    assert contact_time(0.9, 1.0, 1.0) < contact_time(0.2, 1.0, 1.0) < contact_time(0.2, 2.0, 1.0)


@pytest.mark.parametrize("material", ["metal", "wood", "plastic", "skin"])
def test_larger_things_are_lower(material: str) -> None:
    small, middle, large = (centroid(single_stroke(material, size=s)) for s in (0.5, 1.0, 2.4))
    assert small > 1.2 * middle > 1.4 * large


def test_size_comes_with_the_name_of_the_thing() -> None:
    low, high = (understand(request(name, "wood", "struck")).brief.size for name in ("garden gate", "needle"))
    assert low > 1 > high


def test_every_synonym_is_understood_and_every_default_exists() -> None:
    for word, name in SYNONYMS.items():
        found = find_material(word)
        assert found is not None, word
        assert found.name == name, word
    for material in MATERIALS.values():
        assert {material.default, *material.instead.values()} <= set(GESTURES)
        assert set(material.instead) <= set(GESTURES)


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("stainless steel", "metal"),
        ("oak wood with iron nails", "wood"),
        ("glass and metal", "glass"),
        ("water glass", "glass"),
        ("Porcelain", "ceramic"),
        ("asphalt / concrete", "stone"),
    ],
)
def test_material_phrases(phrase: str, name: str) -> None:
    found = find_material(phrase)
    assert found is not None
    assert found.name == name


# What is done to them


@pytest.mark.parametrize("gesture", GESTURES)
def test_examples_are_understood_as_their_own_row(gesture: str) -> None:
    assert neutral(gesture).recipe["gesture"] == gesture


@pytest.mark.parametrize(
    ("source", "material", "method", "gesture"),
    [
        ("car", "metal", "engine idling at a red light", "engine"),
        ("car", "metal and glass", "honking its horn", "horn"),
        ("cat", "fur", "purring on the sofa", "purr"),
        ("cat", "fur", "brushed with a hand", "rub"),
        ("window", "glass", "raindrops tapping on the pane", "rain"),
        ("window", "glass", "tapped with a fingernail", "tap"),
        ("person", "leather shoes", "footsteps on gravel path", "steps"),
        ("tree", "leaves", "leaves rustling in the breeze", "rustle"),
        ("flag", "fabric", "flapping in the wind", "flap"),
        ("sea", "water", "waves crashing against the rocks", "waves"),
        ("cup", "ceramic", "clinked against a saucer", "strike"),
        ("rope", "hemp rope", "plucked", "pluck"),
        ("laptop", "plastic", "typing on the keys", "typing"),
        ("church bell", "bronze", "tolling in the distance", "ring"),
        ("lake", "water", "struck with a paddle", "splash"),
        ("puddle", "water", "tapped", "drip"),
        ("bush", "leaves", "shaken", "rustle"),
        ("candle", "wax", "flame flickering", "fire"),
        ("book", "paper", "pages being turned", "page"),
        ("refrigerator", "metal", "humming steadily", "hum"),
        ("seagulls", "feathers", "calling overhead", "gull"),
        ("door", "wood", "hinges creaking slowly", "creak"),
        ("coin", "metal", "dropped on a table", "coins"),
        ("kettle", "metal", "water boiling", "bubble"),
    ],
)
def test_phrases_are_understood(source: str, material: str, method: str, gesture: str) -> None:
    assert understand(request(source, material, method)).brief.gesture == gesture


def test_the_unknown_is_flagged_and_still_sounds() -> None:
    known, odd_method, odd_material, misspelt = (
        make(request("thing", *fields)).recipe
        for fields in (
            ("wood", "tapped"),
            ("wood", "frobnicated"),
            ("unobtainium", "tapped"),
            ("wood", "scrapped"),
        )
    )
    assert known["recognised"] is True
    assert known["not_understood"] == []
    assert (odd_method["recognised"], odd_method["not_understood"]) == (False, ["play_method"])
    assert odd_method["gesture"] == "strike"
    assert (odd_material["recognised"], odd_material["not_understood"]) == (False, ["material"])
    assert misspelt["gesture"] == "scrape"


def test_unknown_words_fall_to_what_the_material_does() -> None:
    gestures = [make(request("thing", m, "frobnicated")).recipe["gesture"] for m in ("water", "silk", "fire", "leaves")]
    assert gestures == ["stream", "rub", "fire", "rustle"]


# Rhythm


@pytest.mark.parametrize("gesture", ["drip", "tap", "knock", "tick", "strike"])
def test_as_many_onsets_as_events(gesture: str) -> None:
    result = make(example(gesture, seconds=4.0))
    assert abs(len(onset_times(mono(result), RATE)) - len(result.recipe["parameters"]["times_s"])) <= 1


def test_drip_rate() -> None:
    slow, normal, fast = (
        len(onset_times(mono(make(example("drip", *words, seconds=4.0))), RATE)) for words in (("slow",), (), ("fast",))
    )
    assert 8 <= normal <= 12
    assert slow < normal < fast


@pytest.mark.parametrize("ground", ["wooden floor", "gravel", "snow", "stone pavement", "dry leaves"])
def test_step_count(ground: str) -> None:
    result = make(request("shoes", "leather", f"footsteps on {ground}", seconds=4.0))
    assert result.recipe["parameters"]["ground"] == find_ground(ground)
    level = np.convolve(frame_levels(mono(result), RATE).clip(-50), np.hanning(31) / np.hanning(31).sum(), "same")
    peaks = [
        i
        for i in range(20, len(level) - 20)
        if level[i] == level[i - 20 : i + 21].max() and level[i] > level.max() - 15
    ]
    assert 6 <= len(result.recipe["parameters"]["times_s"]) <= 8
    assert abs(len(peaks) - len(result.recipe["parameters"]["times_s"])) <= 1


def find_ground(words: str) -> str:
    return next(name for name in ("gravel", "snow", "leaves", "stone", "wood") if name in words)


@pytest.mark.parametrize("gesture", ["wind", "hum", "bow"])
def test_steady_sounds_have_no_onsets(gesture: str) -> None:
    for seed in range(3):
        inner = [t for t in onset_times(mono(make(example(gesture, seed=seed, seconds=4.0))), RATE) if t > 0.2]
        assert len(inner) <= 1


def test_rhythmic_taps_are_even_and_erratic_ones_are_not() -> None:
    def unevenness(word: str) -> float:
        gaps = [np.diff(onset_times(mono(make(example("tap", word, seed=s, seconds=4.0))), RATE)) for s in range(3)]
        return float(np.mean([np.std(g) / np.mean(g) for g in gaps]))

    assert unevenness("rhythmic") < 0.6 * unevenness("erratic")


# Words of timbre


@pytest.mark.parametrize("gesture", GESTURES)
def test_bright_and_dark_move_the_centroid(gesture: str) -> None:
    middle = centroid(mono(neutral(gesture)))
    assert centroid(mono(make(example(gesture, "bright")))) > 1.03 * middle
    assert centroid(mono(make(example(gesture, "dark")))) < 0.97 * middle


@pytest.mark.parametrize("gesture", ["strike", "ring", "pluck", "chime"])
def test_resonant_and_dry_move_the_decay(gesture: str) -> None:
    def falls_by_db(word: str) -> float:
        levels = [frame_levels(mono(make(example(gesture, word, seed=s, seconds=1.0))), RATE) for s in range(4)]
        return float(np.mean([level.max() - level[30:60].mean() for level in levels]))

    assert falls_by_db("dry") > falls_by_db("wooly") + 1 > falls_by_db("resonant") + 1.5


def test_resonant_and_dry_move_t30() -> None:
    resonant, dry = (
        measure(make(request("jar", "glass", "struck", w, seconds=4.0)).audio).t30_s for w in ("resonant", "dry")
    )
    assert resonant is not None
    assert dry is not None
    assert resonant > 1.5 * dry


@pytest.mark.parametrize("word", ["airy", "hushed"])
def test_airy_sounds_are_flatter(word: str) -> None:
    for gesture in ("strike", "bow", "hum"):
        assert measure(make(example(gesture, word)).audio).flatness > 1.5 * measure(neutral(gesture).audio).flatness


# Space


@pytest.mark.parametrize("gesture", ["rain", "wind", "waves", "rustle", "fire", "stream"])
def test_wide_sounds_are_stereo_and_mono_compatible(gesture: str) -> None:
    left, right = neutral(gesture).audio.samples.astype(np.float64)
    correlation = np.corrcoef(left, right)[0, 1]
    assert -0.05 < correlation < 0.9
    loss_db = 10 * np.log10(np.mean(((left + right) / 2) ** 2) / np.mean((left**2 + right**2) / 2))
    assert loss_db > -3.3
    assert abs(10 * np.log10(np.mean(left**2) / np.mean(right**2))) < 6


def test_a_room_is_heard_indoors_only() -> None:
    room, field = (make(request("box", "wood", "struck", openness=o)) for o in (0.1, 0.95))
    assert (room.audio.channels, field.audio.channels) == (2, 1)
    levels = [frame_levels(mono(result), RATE)[5:30].mean() for result in (room, field)]
    assert levels[0] > levels[1] + 2


# Promises of every engine


@pytest.mark.parametrize("gesture", GESTURES)
def test_every_gesture_is_sound(gesture: str) -> None:
    result = neutral(gesture)
    audio, finished = result.audio, shaped(result.audio)
    assert (audio.frames, audio.sample_rate) == (2 * RATE, RATE)
    assert 0.85 < audio.peak <= 0.901
    assert np.isfinite(audio.samples).all()
    assert abs(audio.samples.mean()) < 0.005
    assert np.abs(audio.samples[:, -1]).max() < 1e-3
    assert verdict(finished, measure(finished)) == []
    assert json.loads(json.dumps(result.recipe)) == result.recipe


@pytest.mark.parametrize("gesture", GESTURES)
def test_same_seed_same_samples_other_seed_other_sound(gesture: str) -> None:
    again, other = make(example(gesture)), make(example(gesture, seed=2))
    assert np.array_equal(again.audio.samples, neutral(gesture).audio.samples)
    assert again.recipe == neutral(gesture).recipe
    assert not np.array_equal(other.audio.samples, again.audio.samples)
    assert other.recipe["parameters"] != again.recipe["parameters"]


def test_a_batch_gives_what_single_calls_give() -> None:
    names = ["drip", "wind", "strike"]
    for name, result in zip(names, Foley().make([example(name) for name in names]), strict=True):
        assert np.array_equal(result.audio.samples, neutral(name).audio.samples)


@pytest.mark.parametrize("seconds", [0.3, 0.77, 4.0])
def test_length_is_exact(seconds: float) -> None:
    for gesture in ("strike", "bounce", "rain", "pour", "splash", "chime", "thunder", "cow", "page"):
        assert make(example(gesture, seconds=seconds)).audio.frames == round(seconds * RATE)


VOCABULARY = ["rain", "tapping", "water", "huge", "deep", "dry", "wind", "glass", "bird", "on the", "fast", "broken"]
PHRASES = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(VOCABULARY),
        max_size=5,
    ).map(" ".join),
)


@settings(max_examples=60, deadline=None)
@given(
    source=PHRASES,
    material=PHRASES,
    method=PHRASES,
    timbre=st.lists(PHRASES, max_size=4),
    seed=st.integers(0, 2**62),
)
def test_any_phrase_gives_a_usable_effect(
    source: str, material: str, method: str, timbre: list[str], seed: int
) -> None:
    audio = make(request(source, material, method, *timbre, seed=seed, seconds=1.5, openness=0.5)).audio
    assert audio.frames == round(1.5 * RATE)
    finished = shaped(audio)
    assert verdict(finished, measure(finished)) == []


@pytest.mark.parametrize("words", [["tiny", "thin", "bright", "fast"], ["huge", "deep", "dark", "slow", "dry"]])
def test_extreme_words_spoil_no_gesture(words: list[str]) -> None:
    for gesture in GESTURES:
        audio = shaped(make(example(gesture, *words, seconds=1.5)).audio)
        assert verdict(audio, measure(audio)) == [], gesture


@settings(max_examples=1000, deadline=None)
@given(source=PHRASES, material=PHRASES, method=PHRASES, timbre=st.lists(PHRASES, max_size=4))
def test_a_thousand_phrases_become_briefs(source: str, material: str, method: str, timbre: list[str]) -> None:
    understood = understand(request(source, material, method, *timbre))
    assert understood.brief.gesture in GESTURES
    assert understood.brief.material.name in MATERIALS
    assert 0.2 < understood.brief.size < 4


def test_every_recipe_names_its_source() -> None:
    for name, row in GESTURES.items():
        assert re.search(r"[A-Z][a-z]+.*\d{4}", row.recipe.source), name
    assert make(example("drip")).recipe["after"] == "van den Doel, 2005"


@pytest.mark.parametrize(
    ("source", "material", "method", "gesture"),
    [
        ("marble", "glass", "rolling across the floor", "roll"),
        ("plate", "porcelain", "breaking on the floor", "shatter"),
        ("twig", "wood", "snapping in two", "crack"),
        ("frozen lake", "ice", "cracking", "ice"),
        ("train", "steel", "passing over the rails", "train"),
        ("bike", "steel", "wheel ticking", "bicycle"),
        ("rowing boat", "wood", "rocking at its mooring", "boat"),
        ("museum hall", "marble", "quiet ambience", "hall"),
        ("neon sign", "glass", "buzzing", "buzz"),
        ("pigeons", "feathers", "wings beating", "wings"),
        ("shopping bag", "plastic", "crumpled", "bag"),
        ("dune", "sand", "trickling down", "sand"),
        ("factory", "steel", "machines stamping", "machinery"),
    ],
)
def test_new_gestures_are_understood(source: str, material: str, method: str, gesture: str) -> None:
    assert understand(request(source, material, method)).brief.gesture == gesture


# What each new recipe is known by


def test_ice_sings_downwards() -> None:
    """Flexural waves in ice are dispersive: in each crack high frequencies come before low ones."""
    result = make(example("ice", seed=3))
    start = result.recipe["parameters"]["moments_s"][0]
    sound = mono(result)
    early, late = (
        centroid(sound[round((start + a) * RATE) : round((start + b) * RATE)]) for a, b in ((0.005, 0.04), (0.1, 0.25))
    )
    assert early > 1.5 * late


def test_a_freewheel_slows_down() -> None:
    sound = np.abs(mono(make(example("bicycle", seconds=4.0))))
    ticks = [len(find_peaks(part, height=0.3, distance=400)[0]) for part in np.split(sound[: 4 * RATE], 4)]
    assert ticks[0] > 1.3 * ticks[3] > 0


def test_a_dropped_coin_touches_ever_faster() -> None:
    falls = make(example("coins")).recipe["parameters"]["falls"]
    assert len(falls) >= 1
    recipe = Coins.draw(understand(example("coins")).brief, np.random.default_rng(0))
    times, gains = recipe._touches(0.0, 1.0, np.random.default_rng(0))
    gaps = np.diff(times)
    assert gaps[-1] < 0.2 * gaps[0]
    assert gains[-1] < gains[0]


def test_coins_fall_by_the_handful_and_a_coin_alone() -> None:
    def coins_in_the_first(falls: list[tuple[float, int, float]], seconds: float) -> int:
        return len({coin for start, coin, _ in falls if start < falls[0][0] + seconds})

    one, many = (request(source, "metal", "dropped on a table") for source in ("coin", "coins"))
    alone, together = (make(each).recipe["parameters"]["falls"] for each in (one, many))
    assert coins_in_the_first(alone, 0.5) == 1
    assert coins_in_the_first(together, 0.5) == 4
    assert all(start < 2.0 for start, _, _ in together)


def test_shards_ring_after_the_blow() -> None:
    glass, stoneware = (
        measure(make(request("vase", m, "shattering", seconds=2.0)).audio).centroid_hz for m in ("glass", "clay")
    )
    assert glass > 1.3 * stoneware


def test_axles_come_in_pairs() -> None:
    parameters = make(example("train", seconds=4.0)).recipe["parameters"]
    assert parameters["axle_s"] < 0.5 * np.diff(parameters["joints_s"]).min()


def test_typing_has_pauses_unless_it_is_rhythmic() -> None:
    def longest_over_median(*words: str) -> float:
        gaps = np.diff(make(example("typing", *words, seconds=4.0)).recipe["parameters"]["times_s"])
        return float(gaps.max() / np.median(gaps))

    assert longest_over_median() > 1.5
    assert longest_over_median("rhythmic") <= 3.1


def test_a_hall_is_an_echo() -> None:
    dry, wet = (measure(make(example("hall", *words)).audio) for words in (("dry",), ("reverberant",)))
    assert wet.ringing_db is not None
    assert dry.ringing_db is not None
    assert wet.ringing_db > dry.ringing_db


# Words that change any sound


@pytest.mark.parametrize("gesture", ["wind", "hum", "stream"])
def test_pulsing_sounds_swell_in_beats(gesture: str) -> None:
    plain, pulsing = (measure(make(example(gesture, *words, seconds=4.0)).audio) for words in ((), ("pulsing",)))
    assert (pulsing.regularity or 0) > (plain.regularity or 0) + 0.2


@pytest.mark.parametrize("gesture", ["drip", "pluck"])
def test_erratic_events_are_less_even_than_rhythmic_ones(gesture: str) -> None:
    def unevenness(word: str) -> float:
        gaps = np.diff(make(example(gesture, word, seconds=4.0)).recipe["parameters"]["times_s"])
        return float(np.std(gaps) / np.mean(gaps))

    assert unevenness("rhythmic") < 0.02 < 0.1 < unevenness("erratic")


def test_words_that_name_the_gesture_are_no_timbre() -> None:
    assert understand(request("bird", "feathers", "singing")).brief.character == Character()
    assert understand(request("bird", "feathers", "calling", "singing")).brief.character.damping < 0
    assert understand(request("bell", "bronze", "ringing")).brief.character.damping < 0


def test_stereo_goes_through_finishing() -> None:
    for gesture in ("rain", "wind", "waves"):
        finished = shaped(neutral(gesture).audio)
        assert finished.channels == 2
        left, right = finished.samples
        assert not np.array_equal(left, right)
        assert finished.mono().shape == left.shape


# Gestures differ


def features(result: EffectResult) -> Array:
    """Log-band statistics: mean level, its spread over time, and how fast it moves, per band."""
    levels = band_levels(mono(result), RATE)
    levels = levels - levels.max()
    return np.concatenate([levels.mean(axis=1), levels.std(axis=1), np.abs(np.diff(levels, axis=1)).mean(axis=1)])


def test_gestures_can_be_told_apart() -> None:
    """Nearest centroid of two known seeds, on an unknown one; `photone eval foley` does it with four and four."""
    names = list(GESTURES)
    known, unknown = (
        np.array([[features(make(example(name, seed=s, seconds=1.4))) for s in seeds] for name in names])
        for seeds in (range(10, 12), range(20, 21))
    )
    scale = known.reshape(-1, known.shape[-1]).std(axis=0)
    centroids = known.mean(axis=1) / scale
    distances = np.linalg.norm((unknown / scale)[:, :, None] - centroids, axis=-1)
    right = distances.argmin(axis=-1) == np.arange(len(names))[:, None]
    assert right.mean() >= 0.9, [name for name, row in zip(names, right, strict=True) if not row.all()]


def test_cost() -> None:
    costs = {}
    for gesture in GESTURES:
        start = time.process_time()
        make(example(gesture, seconds=4.0, openness=0.5))
        costs[gesture] = time.process_time() - start
    # The aim is a median of 60 ms and a maximum of 400 ms; twice that on a busy machine is no fault of the code.
    assert np.median(list(costs.values())) < 0.12, costs
    assert max(costs.values()) < 0.8, costs
