"""Figures against sounds whose figures are known, and verdicts against sounds that are wrong on purpose."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

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
