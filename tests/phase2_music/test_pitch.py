"""The two pitch trackers, against the truth and against librosa's pyin."""

import numpy as np
import pytest

from phase2_music.instruments.pitch import (
    cents_between,
    comb_pitch,
    hz_to_key,
    judge_pitch,
    key_to_hz,
    yin_pitch,
    yin_track,
)

RATE = 44100


def harmonic(f_hz: float, noise: float = 0.1, seconds: float = 0.8) -> np.ndarray:
    rng = np.random.default_rng(round(f_hz))
    t = np.arange(int(RATE * seconds)) / RATE
    count = max(1, int(min(40, 15000 / f_hz)))
    phases = rng.uniform(0, 2 * np.pi, count)
    wave = sum(np.sin(2 * np.pi * f_hz * k * t + phases[k - 1]) / k**1.2 for k in range(1, count + 1))
    return wave + noise * rng.standard_normal(len(t))


@pytest.mark.parametrize("key", range(28, 97, 4))
def test_both_trackers_find_a_noisy_tone_within_three_cents(key: int) -> None:
    f = key_to_hz(key) * 1.003
    wave = harmonic(f)
    assert abs(cents_between(yin_pitch(wave, RATE), f)) < 3
    assert abs(cents_between(comb_pitch(wave, RATE), f)) < 0.5


def test_trackers_follow_a_missing_fundamental() -> None:
    t = np.arange(RATE) / RATE
    wave = sum(np.sin(2 * np.pi * 110 * k * t) for k in (2, 3, 4, 5, 6, 7))
    assert abs(cents_between(yin_pitch(wave, RATE), 110)) < 3
    assert abs(cents_between(comb_pitch(wave, RATE), 110)) < 3


def test_a_pitch_in_doubt_must_be_found_with_something_to_spare() -> None:
    """A tone of 330 Hz over ever more of its twelfth below: in doubt, 110 Hz takes a little more of it to be heard."""
    t = np.arange(RATE // 2) / RATE
    above, below = (sum(np.sin(2 * np.pi * f * k * t) / k for k in range(1, 6)) for f in (330.0, 110.0))

    def softest(doubted_hz: float | None) -> float:
        levels = np.geomspace(0.005, 1.0, 100)
        found = (comb_pitch(above + level * below, RATE, doubted_hz=doubted_hz) for level in levels)
        return next(level for level, f in zip(levels, found, strict=True) if f and abs(cents_between(f, 110)) < 5)

    assert softest(None) < softest(110.0) < 1.5 * softest(None)
    assert comb_pitch(above, RATE, doubted_hz=330.0) == comb_pitch(above, RATE)


def test_a_bright_wave_that_repeats_between_two_samples_is_fully_voiced() -> None:
    """No whole number of samples within reach is a period, and at 6 kHz half a sample is much."""
    f = RATE / 1300.5
    t = np.arange(RATE) / RATE
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, 180)
    wave = sum(np.sin(2 * np.pi * f * k * t + phases[k - 1]) for k in range(1, 181))
    assert np.mean(yin_track(wave, RATE).voiced_probability) > 0.95
    assert abs(cents_between(yin_pitch(wave, RATE), f)) < 1


def test_silence_has_no_pitch() -> None:
    assert yin_pitch(np.zeros(RATE), RATE) is None
    assert comb_pitch(np.zeros(RATE), RATE) is None
    assert not judge_pitch(np.zeros(RATE), RATE).pitched


def test_noise_and_a_glide_are_unpitched_a_tone_is_pitched() -> None:
    t = np.arange(RATE) / RATE
    glide = np.sin(2 * np.pi * 300 * (2**t - 1) / np.log(2))
    assert not judge_pitch(np.random.default_rng(0).standard_normal(RATE), RATE).pitched
    assert not judge_pitch(glide, RATE).pitched
    found = judge_pitch(harmonic(311.0), RATE)
    assert found.pitched
    assert found.f0_hz == pytest.approx(311.0, rel=0.001)


def test_voicing_agrees_with_pyin() -> None:
    librosa = pytest.importorskip("librosa")
    rng = np.random.default_rng(3)
    for level in (0.0, 0.3, 1.0, 30.0):
        wave = harmonic(220.0, 0.0, 1.0) + level * rng.standard_normal(RATE)
        ours = float(np.mean(yin_track(wave, RATE).voiced_probability))
        _, _, theirs = librosa.pyin(wave, fmin=60, fmax=1000, sr=RATE, frame_length=4096)
        assert (ours >= 0.5) == (float(np.mean(theirs)) >= 0.5)


def test_keys_and_hertz_are_inverse() -> None:
    assert key_to_hz(69) == 440.0
    assert hz_to_key(key_to_hz(41.5)) == pytest.approx(41.5)


@pytest.mark.parametrize("f_hz", [2500.0, 4600.0, 5000.0, 6000.0, 8000.0, 10000.0])
def test_a_whistle_above_the_trackers_range_has_its_own_pitch(f_hz: float) -> None:
    t = np.arange(RATE) / RATE
    for partials in (1, 3):
        whistle = sum(np.sin(2 * np.pi * f_hz * k * t) / k**2 for k in range(1, partials + 1) if f_hz * k < 20000)
        pitch = judge_pitch(np.asarray(0.3 * whistle), RATE)
        assert pitch.pitched
        assert pitch.f0_hz == pytest.approx(f_hz, rel=0.002)


def test_a_bright_note_keeps_its_fundamental() -> None:
    t = np.arange(RATE) / RATE
    note = sum(a * np.sin(2 * np.pi * 700 * k * t) for k, a in ((1, 0.1), (2, 0.1), (3, 0.1), (7, 0.15)))
    assert judge_pitch(np.asarray(note), RATE).f0_hz == pytest.approx(700, rel=0.002)
