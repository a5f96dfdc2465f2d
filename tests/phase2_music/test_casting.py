"""Casting: every role filled, nobody twice while others wait, the scene's own wishes first."""

import numpy as np
import pytest
from sounds import noise, tone

from core.audio import SAMPLE_RATE, Audio
from core.errors import AudioError, UsageError
from phase2_music.instruments.casting import Candidate, Traits, cast, cast_band, traits_of
from schemas.document import ROLES, Role

MIDDLING = Traits(pitched=0.3, register_key=70, attack_s=0.05, sustain=0.5, punch=0.3, brightness=0.3)


def candidate(number: int, hint: Role | None = None, confidence: float = 0.8, traits: Traits = MIDDLING) -> Candidate:
    return Candidate(number, f"effect {number}", hint, confidence, traits)


def test_the_scenes_wishes_win() -> None:
    pool = [candidate(1, "drums"), candidate(2, "guitar"), candidate(3, "bass"), candidate(4, "keyboard"), candidate(5)]
    assert {c.role: c.candidate.number for c in cast(pool)} == {"keyboard": 4, "bass": 3, "guitar": 2, "drums": 1}


def test_every_role_is_filled_and_none_doubled_while_effects_are_left() -> None:
    choices = cast([candidate(n, "bass") for n in range(1, 7)])
    assert sorted(c.role for c in choices) == sorted(ROLES)
    assert len({c.candidate.number for c in choices}) == 4


@pytest.mark.parametrize("count", [1, 2, 3])
def test_with_too_few_effects_each_is_used_before_one_is_used_again(count: int) -> None:
    choices = cast([candidate(n) for n in range(1, count + 1)])
    assert len(choices) == 4
    assert len({c.candidate.number for c in choices}) == count
    assert sum("used again" in c.reason for c in choices) == 4 - count


def test_without_wishes_the_sound_decides() -> None:
    t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    rng = np.random.default_rng(1)
    click = Audio(rng.standard_normal(len(t)) * np.exp(-60 * t), SAMPLE_RATE)
    rumble = Audio(np.convolve(rng.standard_normal(len(t)), np.hanning(400), "same") * 0.01, SAMPLE_RATE)
    sounds = {1: click, 2: rumble, 3: tone(660.0, decay=0.2), 4: tone(900.0, decay=5.0), 5: noise()}
    pool = [candidate(n, None, 0.5, traits_of(sound)) for n, sound in sounds.items()]
    choices = {c.role: c.candidate.number for c in cast(pool)}
    assert choices["drums"] == 1
    assert choices["bass"] == 2
    assert {choices["keyboard"], choices["guitar"]} == {3, 4}


def test_a_reason_is_given_for_each_choice() -> None:
    for choice in cast([candidate(n) for n in range(1, 6)]):
        assert choice.reason


def test_traits_of_silence_are_refused() -> None:
    with pytest.raises(AudioError, match="silent"):
        traits_of(Audio(np.zeros(100), SAMPLE_RATE))


def test_what_the_user_asks_for_is_cast_and_the_rest_is_chosen_from_what_is_left() -> None:
    pool = [
        candidate(1, "bass"),
        candidate(2, "bass", 0.6),
        candidate(3, "keyboard"),
        candidate(4, "guitar"),
        candidate(5),
    ]
    choices = cast_band(pool, {"keyboard": [1], "drums": [4, 3]})
    assert [(c.role, c.candidate.number) for c in choices] == [
        ("keyboard", 1),
        ("bass", 2),
        ("guitar", 5),
        ("drums", 4),
        ("drums", 3),
    ]
    assert choices[0].reason == "asked for"


def test_the_whole_band_may_be_asked_for() -> None:
    wanted = {"keyboard": [1], "bass": [1], "guitar": [1], "drums": [1]}
    assert {c.candidate.number for c in cast_band([candidate(1), candidate(2)], wanted)} == {1}


def test_idle_effects_that_ask_for_drums_share_the_kit() -> None:
    pool = [candidate(n, "drums", 0.9 - 0.01 * n) for n in range(1, 9)] + [candidate(9, "bass")]
    kit = [c.candidate.number for c in cast_band(pool, {}) if c.role == "drums"]
    assert len(kit) == 4
    others = [c.candidate.number for c in cast_band(pool, {}) if c.role != "drums"]
    assert not set(kit) & set(others)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"bass": [7]}, r"no such effect: choose from 1 \(effect 1\), 2 \(effect 2\), 3 \(effect 3\)"),
        ({"bass": [1, 2]}, "only drums"),
    ],
)
def test_impossible_wishes_are_refused(wanted: dict[Role, list[int]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cast_band([candidate(n) for n in (1, 2, 3)], wanted)
