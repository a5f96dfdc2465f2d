"""Loudness and true peak against pyloudnorm, against BS.1770-4's own filter, and against figures that are known."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest

from core.audio import Audio, Samples
from core.errors import AudioError
from core.loudness import (
    LoudnessMeter,
    TruePeakMeter,
    from_db,
    limit_peaks,
    loudness_lufs,
    normalise_loudness,
    peak_gain,
    to_db,
    true_peak_dbtp,
)

RATE = 44100
Array = npt.NDArray[np.float64]

# The interpolating filter of BS.1770-4, annex 2: phases 0 and 1; phases 2 and 3 are 1 and 0 backwards.
_PHASE_0 = [0.00170898, 0.01098633, -0.01965332, 0.03320313, -0.05944824, 0.13732910]
_PHASE_0 += [0.97216797, -0.10229492, 0.04760742, -0.02661133, 0.01489258, -0.00830078]
_PHASE_1 = [-0.02917480, 0.02929688, -0.05175781, 0.08911133, -0.16650391, 0.46508789]
_PHASE_1 += [0.77978516, -0.20031738, 0.10156250, -0.05822754, 0.03308105, -0.01892090]
BS1770_PHASES = (_PHASE_0, _PHASE_1, _PHASE_1[::-1], _PHASE_0[::-1])


def standard_true_peak_dbtp(samples: Samples) -> float:
    """The judge: BS.1770-4's 48 taps over the whole sound at once."""
    peaks = [np.abs(np.convolve(channel, taps)).max() for channel in samples for taps in BS1770_PHASES]
    return 20 * math.log10(max(peaks))


def sine(f0_hz: float, seconds: float, level: float = 1.0, phase: float = 0.0, rate: int = RATE) -> Array:
    t = np.arange(round(seconds * rate)) / rate
    return np.asarray(level * np.sin(2 * np.pi * f0_hz * t + phase))


def noise(seconds: float, level: float, seed: int = 1) -> Array:
    return np.asarray(level * np.random.default_rng(seed).standard_normal(round(seconds * RATE)))


def faded(samples: Array, frames: int = 441) -> Array:
    ramp = np.minimum(1.0, np.arange(samples.shape[-1]) / frames)
    return np.asarray(samples * ramp * ramp[::-1])


def pluck(f0_hz: float = 220.0) -> Array:
    """An impact: a click of full level, then a tone that dies away."""
    t = np.arange(2 * RATE) / RATE
    tone = 0.3 * np.sin(2 * np.pi * f0_hz * t) * np.exp(-t / 0.4)
    tone[:60] += noise(1.0, 0.5, 4)[:60]
    return np.asarray(tone)


SOUNDS: dict[str, Audio] = {
    "sine": Audio(sine(997, 3.0, 0.25), RATE),
    "low": Audio(sine(50, 3.0, 0.5), RATE),
    "high, 48 kHz": Audio(sine(9000, 3.0, 0.2, rate=48000), 48000),
    "noise, stereo": Audio(np.stack([noise(4.0, 0.1), noise(4.0, 0.03, 2)]), RATE),
    "pluck": Audio(pluck(), RATE),
    "relative gate": Audio(np.concatenate([sine(997, 3.0, 0.3), sine(997, 5.0, 0.02)]), RATE),
    "absolute gate": Audio(np.concatenate([sine(440, 2.0, 0.1), np.zeros(4 * RATE)]), RATE),
    "22.05 kHz": Audio(sine(300, 2.0, 0.4, rate=22050), 22050),
    "offset": Audio(0.2 + noise(2.0, 0.05), RATE),
}


def blocks(samples: Samples, sizes: tuple[int, ...]) -> Iterator[Samples]:
    start, number = 0, 0
    while start < samples.shape[1]:
        size = sizes[number % len(sizes)]
        yield samples[:, start : start + size].T
        start, number = start + size, number + 1


@pytest.mark.parametrize("name", SOUNDS)
def test_loudness_agrees_with_pyloudnorm(name: str) -> None:
    audio = SOUNDS[name]
    expected = pyloudnorm.Meter(audio.sample_rate).integrated_loudness(audio.samples.T.astype(np.float64))
    assert loudness_lufs(audio) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", ["noise, stereo", "relative gate", "pluck"])
@pytest.mark.parametrize("sizes", [(1, 7, 4409, 4411, 131072), (997,), (44100,)])
def test_loudness_of_blocks_is_that_of_the_whole(name: str, sizes: tuple[int, ...]) -> None:
    audio = SOUNDS[name]
    meter = LoudnessMeter(audio.sample_rate, audio.channels)
    for block in blocks(audio.samples, sizes):
        meter.add(block)
    assert meter.integrated_lufs() == pytest.approx(loudness_lufs(audio), abs=1e-6)


def test_the_reference_sine_of_the_standard() -> None:
    assert loudness_lufs(Audio(sine(997, 5.0), RATE)) == pytest.approx(-3.01, abs=0.1)
    assert loudness_lufs(Audio(np.stack([sine(997, 5.0)] * 2), RATE)) == pytest.approx(0.0, abs=0.1)
    assert loudness_lufs(Audio(sine(997, 5.0, rate=48000), 48000)) == pytest.approx(-3.01, abs=0.1)


def test_half_the_level_is_6_db_less() -> None:
    audio = SOUNDS["pluck"]
    assert loudness_lufs(audio.scaled(0.5)) == pytest.approx(loudness_lufs(audio) - 6.02, abs=0.01)


def test_a_short_sound_has_a_loudness_too() -> None:
    # 0.1 s in a window of 0.4 s: a quarter of the power.
    assert loudness_lufs(Audio(sine(997, 0.1), RATE)) == pytest.approx(-3.01 - 6.02, abs=0.2)
    assert math.isfinite(loudness_lufs(Audio(sine(997, 0.002), RATE)))


def test_silence_has_no_loudness_and_no_peak() -> None:
    for frames in (0, 10, 3 * RATE):
        silence = Audio(np.zeros((2, frames)), RATE)
        assert loudness_lufs(silence) == -math.inf
        assert true_peak_dbtp(silence) == -math.inf
    assert LoudnessMeter(RATE, 1).integrated_lufs() == -math.inf
    assert loudness_lufs(Audio(sine(997, 2.0, 1e-5), RATE)) == -math.inf  # below the absolute gate of -70 LUFS


def test_decibels() -> None:
    assert to_db(0.5) == pytest.approx(-6.0206, abs=1e-4)
    assert to_db(0.0) == -math.inf
    assert from_db(-20.0) == pytest.approx(0.1)


def test_the_peak_between_samples_is_found() -> None:
    # At a quarter of the sample rate and 45 degrees every sample lies 3 dB below the peak.
    quarter = Audio(faded(sine(11025, 0.5, 0.5, math.pi / 4)), RATE)
    assert to_db(quarter.peak) == pytest.approx(-9.03, abs=0.01)
    assert true_peak_dbtp(quarter) == pytest.approx(-6.02, abs=0.1)


@pytest.mark.parametrize("name", SOUNDS)
def test_true_peak_agrees_with_the_filter_of_the_standard(name: str) -> None:
    audio = SOUNDS[name]
    assert true_peak_dbtp(audio) == pytest.approx(standard_true_peak_dbtp(audio.samples), abs=0.3)


@pytest.mark.parametrize("name", ["sine", "low", "noise, stereo", "pluck", "offset"])
@pytest.mark.parametrize("sizes", [(1, 7, 37, 4099), (1000,), (4096,), (22050,)])
def test_true_peak_of_blocks_is_that_of_the_whole(name: str, sizes: tuple[int, ...]) -> None:
    audio = SOUNDS[name]
    meter = TruePeakMeter(audio.channels)
    for block in blocks(audio.samples[:, :RATE], sizes):
        meter.add(block)
    whole = true_peak_dbtp(Audio(audio.samples[:, :RATE], RATE))
    assert meter.true_peak_dbtp() == pytest.approx(whole, abs=0.01)


def test_a_peak_in_the_last_frame_counts() -> None:
    samples = np.zeros(5000)
    samples[-1] = 0.5
    assert true_peak_dbtp(Audio(samples, RATE)) == pytest.approx(-6.02, abs=0.05)


@pytest.mark.parametrize("ceiling_dbtp", [-1.0, -9.0])
@pytest.mark.parametrize("gain", [1.5, 4.0, 20.0])
@pytest.mark.parametrize("name", ["sine", "low", "high, 48 kHz", "noise, stereo", "pluck"])
def test_limited_sounds_stay_below_the_ceiling(name: str, gain: float, ceiling_dbtp: float) -> None:
    audio = SOUNDS[name].scaled(gain)
    limited = limit_peaks(audio, ceiling_dbtp)
    assert limited.samples.shape == audio.samples.shape
    assert true_peak_dbtp(limited) <= ceiling_dbtp
    assert standard_true_peak_dbtp(limited.samples) <= ceiling_dbtp + 0.3  # the judge's own tolerance on noise
    assert np.all(limited.samples * audio.samples >= 0)
    assert np.all(np.abs(limited.samples) <= np.abs(audio.samples))


def test_a_sound_below_the_ceiling_is_unchanged() -> None:
    for name, audio in SOUNDS.items():
        quiet = audio.scaled(from_db(-1.2 - true_peak_dbtp(audio)))
        np.testing.assert_array_equal(limit_peaks(quiet, -1.0).samples, quiet.samples, err_msg=name)


def test_only_the_window_of_an_excess_is_lowered() -> None:
    half, at = 200, 10000
    samples = np.full((2, 20000), 0.1, dtype=np.float32)
    samples[1, at] = 0.9
    gain = peak_gain(samples, 0.5, half)
    assert gain is not None
    assert gain.shape == (20000,)
    near = np.abs(np.arange(20000) - at) <= 2 * half + 32
    np.testing.assert_allclose(gain[~near], 1.0, atol=1e-6)
    assert gain[at] == pytest.approx(0.5 / 0.9, rel=0.01)
    assert np.abs(np.diff(gain)).max() < 0.01  # no step that clicks


def test_no_excess_needs_no_gain() -> None:
    assert peak_gain(np.full((1, 1000), 0.1, dtype=np.float32), 0.5, 50) is None
    assert peak_gain(np.zeros((1, 0), dtype=np.float32), 0.5, 50) is None


@pytest.mark.parametrize("target_lufs", [-14.0, -23.0, -40.0])
@pytest.mark.parametrize("name", ["sine", "noise, stereo", "pluck", "absolute gate"])
def test_normalising_hits_the_target(name: str, target_lufs: float) -> None:
    audio = SOUNDS[name]
    result = normalise_loudness(audio, target_lufs)
    judged = pyloudnorm.Meter(audio.sample_rate).integrated_loudness(result.samples.T.astype(np.float64))
    assert judged == pytest.approx(target_lufs, abs=0.1)
    assert true_peak_dbtp(result) <= -1.0


def test_the_ceiling_goes_before_the_target() -> None:
    result = normalise_loudness(SOUNDS["pluck"], 0.0, ceiling_dbtp=-3.0)
    assert true_peak_dbtp(result) <= -3.0
    assert loudness_lufs(result) < -3.0


def test_silence_cannot_be_normalised() -> None:
    with pytest.raises(AudioError, match="silent: it cannot be brought to a loudness"):
        normalise_loudness(Audio(np.zeros(RATE), RATE), -23.0)
