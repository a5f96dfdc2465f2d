"""Figures against sounds whose figures are known, and verdicts against sounds that are wrong on purpose."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import signal

from core.audio import Audio
from phase1_sound.checks import measure, onset_times, verdict

RATE = 44100
T = np.arange(2 * RATE) / RATE


def noise(level: float = 0.1, seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def clicks(times: list[float], seconds: float = 2.0) -> np.ndarray:
    sound = np.zeros(round(seconds * RATE))
    burst = noise(0.5, 0.05, 3) * np.exp(-np.arange(round(0.05 * RATE)) / 400)
    for start in times:
        place = round(start * RATE)
        sound[place : place + len(burst)] += burst
    return sound


def findings(samples: np.ndarray, rate: int = RATE) -> list[str]:
    audio = Audio(samples, rate)
    return verdict(audio, measure(audio))


def test_sine() -> None:
    measures = measure(Audio(0.5 * np.sin(2 * np.pi * 1000 * T), RATE))
    assert measures.centroid_hz == pytest.approx(1000, abs=15)
    assert measures.rolloff_hz == pytest.approx(1000, abs=30)
    assert measures.crest_db == pytest.approx(3.01, abs=0.05)
    assert measures.true_peak_dbtp == pytest.approx(-6.02, abs=0.1)
    assert measures.loudness_lufs == pytest.approx(-9.03, abs=0.2)
    assert measures.flatness < 0.01
    assert measures.t30_s is None
    assert (measures.silence_share, measures.clipped_share) == (0.0, 0.0)


def test_white_noise_is_flat_and_centred() -> None:
    measures = measure(Audio(noise(), RATE))
    assert measures.flatness > 0.9
    assert measures.centroid_hz == pytest.approx(RATE / 4, rel=0.03)
    assert measures.rolloff_hz == pytest.approx(0.85 * RATE / 2, rel=0.02)


def test_an_airy_sound_of_sixteen_kilohertz_is_airy() -> None:
    airy = Audio(signal.sosfilt(signal.butter(1, 800, fs=16000, output="sos"), noise()[:32000]), 16000)
    held = measure(airy.resampled(RATE))
    assert held.flatness == pytest.approx(measure(airy).flatness, rel=0.25)
    assert "airy" not in " ".join(verdict(airy.resampled(RATE), held, timbre=["airy", "hushed"]))


@pytest.mark.parametrize("decay_s", [0.1, 0.4])
def test_t30_of_an_exponential_decay(decay_s: float) -> None:
    sound = np.sin(2 * np.pi * 800 * T) * np.exp(-T / decay_s)
    assert measure(Audio(sound, RATE)).t30_s == pytest.approx(30 / 8.686 * decay_s, abs=0.02)


def test_onsets_are_found_where_they_are() -> None:
    times = [0.3, 0.55, 1.1, 1.5]
    assert onset_times(clicks(times), RATE) == pytest.approx(times, abs=0.05)


def test_onset_at_the_very_beginning_counts() -> None:
    assert len(onset_times(clicks([0.0, 1.0]), RATE)) == 2


def test_steady_noise_has_no_onsets_of_its_own() -> None:
    inner = [t for seed in range(4) for t in onset_times(noise(0.1, 2.0, seed), RATE) if t > 0.1]
    assert not inner


def test_silence() -> None:
    measures = measure(Audio(np.zeros((2, RATE)), RATE))
    assert measures.silence_share == 1.0
    assert measures.loudness_lufs == -120.0
    assert measures.t30_s is None
    assert findings(np.zeros(RATE)) == ["silent"]


def test_good_sound_has_no_findings() -> None:
    assert findings(noise()) == []


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        (noise(0.1, 0.1), "too short"),
        (noise(0.001), "too quiet"),
        (np.clip(noise(0.8), -1, 1), "clipped"),
        (np.concatenate([noise(0.3, 0.1), np.zeros(3 * RATE)]), "mostly silence"),
        (noise() + 0.1, "DC offset"),
    ],
)
def test_what_is_wrong_is_said(samples: np.ndarray, word: str) -> None:
    assert any(finding.startswith(word) for finding in findings(samples)), findings(samples)


def speech() -> np.ndarray:
    """Sixteen voiced syllables of uneven length: pulses of a gliding pitch through the formants of vowels, 4 s."""
    rng = np.random.default_rng(4)
    vowels = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
    syllables = []
    for place in range(16):
        frames = round(RATE * rng.uniform(0.09, 0.38))
        x = np.linspace(0, 1, frames)
        pitch = 130 * 2 ** (0.5 * rng.uniform(-1, 1) * x + 0.2 * np.sin(np.pi * x))
        pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0)
        voice = sum(
            signal.lfilter(*signal.iirpeak(f, f / 90, fs=RATE), pulses) / n for n, f in enumerate(vowels[place % 4], 1)
        )
        pause = np.zeros(round(RATE * rng.choice([0.02, 0.05, 0.2])))
        syllables += [rng.uniform(0.3, 1) * voice * np.sin(np.pi * x) ** 0.7, pause]
    sound = np.concatenate(syllables)[: 4 * RATE]
    return 0.3 * sound / np.abs(sound).max()


def music() -> np.ndarray:
    """Four chords of plucked partials over an even beat, 4 s."""
    chords = ((220, 277, 330), (196, 247, 294), (175, 220, 262), (165, 208, 247))
    t = np.arange(RATE // 2) / RATE
    notes = [
        sum(np.sin(2 * np.pi * f * n * t) / n for f in chord for n in range(1, 5)) * np.exp(-t / 0.25)
        for chord in chords
        for _ in range(2)
    ]
    sound = np.concatenate(notes)
    return 0.3 * sound / np.abs(sound).max()


def bell() -> np.ndarray:
    t = np.arange(2 * RATE) / RATE
    toll = sum(np.sin(2 * np.pi * 520 * r * t) * np.exp(-t / 0.7) / r for r in (0.5, 1, 1.2, 2, 3))
    return np.tile(0.1 * toll, 2)


@pytest.mark.parametrize(("sound", "word"), [(speech(), "sounds like speech"), (music(), "sounds like music")])
def test_speech_and_music_are_refused_where_an_engine_may_sing(sound: np.ndarray, word: str) -> None:
    audio = Audio(sound, RATE)
    measures = measure(audio)
    found = verdict(audio, measures, may_sing=True)
    assert word in [finding.split(":")[0] for finding in found], measures
    assert verdict(audio, measures) == []


@pytest.mark.parametrize("sound", [noise(0.1, 4.0), bell(), 0.6 * clicks([0.1, 0.6, 1.1, 1.6])])
def test_plain_sounds_neither_speak_nor_sing(sound: np.ndarray) -> None:
    audio = Audio(sound, RATE)
    assert verdict(audio, measure(audio), may_sing=True) == []


def test_words_that_the_figures_contradict_are_named() -> None:
    low = Audio(0.3 * np.sin(2 * np.pi * 90 * T), RATE)
    assert verdict(low, measure(low), timbre=["Bright", "low"]) == ["not bright: centroid_hz 90"]
    high = Audio(noise(), RATE)
    assert [text.split(":")[0] for text in verdict(high, measure(high), timbre=["deep", "airy"])] == ["not deep"]
    assert verdict(low, measure(low), timbre=["airy"])
    assert verdict(low, measure(low), timbre=["unheard-of", ""]) == []


@pytest.mark.parametrize(("hz", "at_least", "at_most"), [(70.0, 0.3, 2.0), (4.0, 0.0, 0.1)])
def test_roughness_is_flutter_of_some_seventy_hertz(hz: float, at_least: float, at_most: float) -> None:
    flutter = np.sin(2 * np.pi * 800 * T) * (1 + 0.9 * np.sin(2 * np.pi * hz * T)) * 0.2
    assert at_least <= (measure(Audio(flutter, RATE)).roughness or 0) <= at_most


def test_regularity_of_even_and_uneven_clicks() -> None:
    even, uneven = (
        measure(Audio(clicks(times, 4.0), RATE)).regularity or 0
        for times in ([0.1 + 0.4 * n for n in range(9)], [0.1, 0.25, 0.9, 1.0, 1.75, 2.3, 2.45, 3.1, 3.7])
    )
    assert even > 0.9
    assert uneven < 0.6


@pytest.mark.parametrize("frames", [0, 1, 100, 5000])
def test_tiny_sounds_are_measured_too(frames: int) -> None:
    for rate in (8000, 48000):
        audio = Audio(np.zeros((2, frames)) + 0.1, rate)
        assert verdict(audio, measure(audio))


def test_measuring_is_fast() -> None:
    audio = Audio(np.stack([noise(0.1, 4.0), noise(0.1, 4.0, 1)]), RATE)
    measure(audio)
    start = time.process_time()
    for _ in range(4):
        measure(audio)
    assert (time.process_time() - start) / 4 < 0.1


def test_importing_is_cheap() -> None:
    code = "import phase1_sound.checks, sys; sys.exit('librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
