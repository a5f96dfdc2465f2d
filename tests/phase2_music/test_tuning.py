"""The search for a sample that is in tune: each fault turns the dial that mends it, and no more than it needs."""

from __future__ import annotations

import numpy as np
import pytest
from sounds import noise

from core.audio import SAMPLE_RATE, Audio
from phase2_music.instruments.pitch import judge_pitch
from phase2_music.instruments.samples import Sample
from phase2_music.instruments.tuning import _CALM_STEPS, _SUPPORT_STEPS, Dials, Tuner, _fault
from phase2_music.timbre.engines.resonator import Resonator
from phase2_music.timbre.protocol import VoiceRequest

LAST = Dials(len(_CALM_STEPS) - 1, len(_SUPPORT_STEPS) - 1)
T = np.arange(SAMPLE_RATE) / SAMPLE_RATE


def tuner(sound: Audio, role: str) -> Tuner:
    voice = Resonator().voice(VoiceRequest(sound, role, 1))  # type: ignore[arg-type]
    return Tuner(voice, judge_pitch(sound.mono(), SAMPLE_RATE), 0.6, -20.0)


def looped(samples: np.ndarray, start: int = 0) -> Sample:
    return Sample("x", 57, samples.astype(np.float32)[None, :], loop=(start, len(samples) - 1))


def test_each_fault_turns_its_own_dial() -> None:
    assert Dials(1, 1).turned("hoarse") == Dials(2, 1)
    assert Dials(1, 1).turned("astray") == Dials(1, 2)
    assert Dials(1, 1).turned("beginning") == Dials(2, 1)


def test_at_its_end_a_dial_hands_over_and_a_bad_beginning_gives_up() -> None:
    assert Dials(LAST.calm, 1).turned("hoarse") == Dials(LAST.calm, 2)
    assert Dials(1, LAST.support).turned("astray") == Dials(2, LAST.support)
    assert Dials(LAST.calm, 1).turned("beginning") is None
    assert LAST.turned("hoarse") is None
    assert LAST.turned("astray") is None


def test_the_search_goes_back_two_steps_for_the_next_key() -> None:
    assert Dials(5, 1).eased() == Dials(3, 0)


def test_faults_are_told_apart() -> None:
    tone = sum(np.sin(2 * np.pi * 220 * k * T) / k for k in range(1, 8))
    hiss = np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    assert _fault(looped(tone + hiss), 220.0) == "hoarse"
    assert _fault(looped(tone), 330.0) == "astray"
    assert _fault(looped(np.concatenate([hiss, tone]), SAMPLE_RATE), 220.0) == "beginning"


@pytest.mark.parametrize("key", [31, 43, 58])
def test_at_the_end_of_the_dials_even_noise_is_in_tune(key: int) -> None:
    made = tuner(noise(), "bass")
    assert made._sample(key, "x", LAST, None).in_tune


def test_samples_keep_more_than_the_purest_would() -> None:
    """A bright noise on a bass: found in tune before the dials are at their end, and far brighter than there."""
    bright = Audio(np.diff(np.random.default_rng(2).standard_normal(2 * SAMPLE_RATE)) * 0.1, SAMPLE_RATE)
    made = tuner(bright, "bass")
    (sample,) = made.samples([28], str)
    assert sample.in_tune
    assert not made._sample(28, "x", Dials(), None).in_tune

    def high(samples: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(samples)) ** 2
        return float(power[round(3000 / (SAMPLE_RATE / len(samples))) :].sum() / power.sum())

    assert high(sample.mono) > 10 * high(made._sample(28, "x", LAST, None).mono)
