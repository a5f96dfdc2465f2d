"""What is measured on sounds: seams of loops, clicks, colour and brightness. Nothing here knows how a sound was made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from core.audio import SAMPLE_RATE, Samples

Floats = npt.NDArray[np.float64]

SURROUNDINGS = 2048
"""Frames to either side that a click is compared with."""

SILENCE_DB = -200.0

_REACH = 16  # frames over which a player's interpolation spreads a jump
_MEL_BANDS = 40
_MEL_N_FFT = 2048


@dataclass(frozen=True)
class Seam:
    """One channel of a looped sample where the loop's end meets its start.

    `click_db`: peak of the second difference at the seam against the 99.9th percentile around; `flux`: spectral flux across
    the seam over the loop's median; `step_db`: change of RMS (over 20 ms, or the next whole number of periods).
    """

    sample: str
    channel: int
    click_db: float
    flux: float
    step_db: float


def measure_seam(sample: str, channel: int, loop: Samples, f0_hz: float, sample_rate: int) -> Seam:
    """Measure one channel's loop, shape (frames,), of a sample that sounds at `f0_hz`."""
    frames = loop.astype(np.float64)
    periods = max(1, math.ceil(0.02 * f0_hz))
    window = min(round(periods * sample_rate / f0_hz), len(frames))
    step = abs(decibels(rms(frames[:window]) / max(rms(frames[-window:]), 1e-12)))
    return Seam(sample, channel, _round(_seam_click_db(frames)), _round(_seam_flux(frames)), _round(step))


def _seam_click_db(loop: Floats) -> float:
    joined = np.concatenate([loop[-3:], loop[:3]])
    around = np.concatenate([bend(loop[-SURROUNDINGS:]), bend(loop[:SURROUNDINGS])])
    return decibels(bend(joined).max() / max(np.percentile(around, 99.9), 1e-12))


def _seam_flux(loop: Floats) -> float:
    """Mean flux of the steps whose windows hold the seam over the median of the others; 1 where the loop is too short."""
    n_fft = min(1024, 1 << max(3, int(math.log2(len(loop))) - 3))
    hop = n_fft // 8
    starts = np.arange(0, len(loop), hop)
    ring = np.concatenate([loop, np.resize(loop, n_fft + hop)])
    window = np.hanning(n_fft)

    def magnitude(shift: int) -> Floats:
        return np.asarray(np.abs(np.fft.rfft(ring[starts[:, None] + shift + np.arange(n_fft)] * window, axis=1)))

    flux = np.sqrt(np.sum((magnitude(hop) - magnitude(0)) ** 2, axis=1))
    across = starts + hop + n_fft > len(loop)
    return float(flux[across].mean() / max(np.median(flux[~across]), 1e-12)) if not across.all() else 1.0


def bend(samples: Floats) -> Floats:
    """Absolute second difference: large where a wave breaks."""
    return np.asarray(np.abs(np.diff(samples, 2)))


def start_click_db(played: Samples) -> float:
    """The break at a note's first frame against what follows in the next 4096 frames, in dB."""
    return _event_click_db(played.astype(np.float64), played, np.zeros_like(played))


def change_click_db(changed: Samples, unchanged: Samples) -> float:
    """The break that an event adds to a note, in dB: `changed` and `unchanged` differ from the event on.

    The difference of the two renders is nothing but the event, so the wave's own peaks do not hide or feign a click.
    """
    return _event_click_db(changed.astype(np.float64), changed, unchanged)


def _event_click_db(around: Floats, changed: Samples, unchanged: Samples) -> float:
    event = changed.astype(np.float64) - unchanged.astype(np.float64)
    begun = np.flatnonzero(np.abs(event) > 1e-9)
    if not len(begun):
        return SILENCE_DB
    first = int(begun[0])
    broken = bend(np.pad(event, 2)[first : first + 2 + _REACH]).max()
    low = max(0, first - SURROUNDINGS)
    local = np.percentile(bend(around[low : low + 2 * SURROUNDINGS]), 99.9)
    return _round(decibels(broken / max(local, 1e-12)))


def mel_profile(samples: Samples | Floats) -> Floats:
    """Mean log-mel spectrum in dB of the first second from the first audible frame, minus its own mean, shape (40,).

    40 bands from 60 Hz to 16 kHz, floor 60 dB under the loudest; frames more than 40 dB under the loudest frame (the silence
    behind a short sound) are left out.
    """
    audible = from_first_audible(np.asarray(samples, dtype=np.float64))[:SAMPLE_RATE]
    padded = np.pad(audible, (0, max(0, _MEL_N_FFT - len(audible))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _MEL_N_FFT)[::512] * np.hanning(_MEL_N_FFT)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 @ _mel_filters().T
    total = power.sum(axis=1)
    level = 10 * np.log10(power[total > 1e-4 * total.max()] + 1e-20)
    profile = np.maximum(level, level.max() - 60.0).mean(axis=0)
    return np.asarray(profile - profile.mean())


def mel_distance(one: Floats, other: Floats, lowest_hz: float = 0.0) -> float:
    """Mean absolute difference in dB of two profiles, each minus its mean, over the bands that reach above `lowest_hz`.

    A note in tune has nothing below its fundamental, whatever it was made of: with `lowest_hz` those bands do not count.
    """
    upper_edges = np.array([np.flatnonzero(row)[-1] for row in _mel_filters()]) * SAMPLE_RATE / _MEL_N_FFT
    above = upper_edges > lowest_hz
    return float(np.mean(np.abs(one[above] - one[above].mean() - other[above] + other[above].mean())))


@cache
def _mel_filters() -> Floats:
    import librosa

    return np.asarray(
        librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_MEL_N_FFT, n_mels=_MEL_BANDS, fmin=60.0, fmax=16000.0),
        dtype=np.float64,
    )


def from_first_audible(samples: Floats) -> Floats:
    """A sound from the frame on where it first comes within 40 dB of its peak."""
    level = np.abs(samples)
    return samples[int(np.argmax(level >= 0.01 * level.max(initial=0.0))) :]


def centroid_hz(samples: Samples) -> float:
    """Spectral centroid, weighted by power, of what lies within 40 dB of the peak.

    Bins 50 dB under the loudest (the floor of a player that writes 16 bits) do not count.
    """
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max(initial=0.0))
    audible = samples[loud[0] : loud[-1] + 1].astype(np.float64) if len(loud) else np.zeros(2)
    power = np.abs(np.fft.rfft(audible)) ** 2
    power[power < 1e-5 * power.max(initial=0.0)] = 0.0
    f_hz = np.fft.rfftfreq(len(audible), 1 / SAMPLE_RATE)
    return float(f_hz @ power / max(power.sum(), 1e-30))


def rms(samples: Samples | Floats) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.asarray(samples, dtype=np.float64) ** 2)))


def decibels(ratio: float) -> float:
    """Amplitude ratio in dB, not under -200."""
    return max(SILENCE_DB, 20 * math.log10(max(float(ratio), 1e-10)))


def _round(value: float) -> float:
    return round(float(value), 3)
