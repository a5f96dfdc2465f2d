"""The peer: one sample, moved to each key by librosa's pitch_shift, as the project that photone grew from did it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from core.audio import SAMPLE_RATE, Audio, Samples
from flows.evaluation.measures import Floats, from_first_audible
from phase2_music.instruments.pitch import hz_to_key

UNPITCHED_HZ = 261.6
_LONGEST_S = 1.3
_FRAME = 2048


def shifted_notes(sound: Audio, keys: Sequence[int]) -> Iterator[tuple[int, Samples, float]]:
    """Each key with its sound (the first second, shape (frames,)) and the CPU seconds that it took."""
    import librosa

    mono = from_first_audible(sound.mono().astype(np.float64))[: round(_LONGEST_S * SAMPLE_RATE)]
    mono = np.pad(mono, (0, max(0, SAMPLE_RATE - len(mono))))
    root = hz_to_key(autocorrelation_root_hz(mono))
    for key in keys:
        began = time.process_time()
        moved = librosa.effects.pitch_shift(mono, sr=SAMPLE_RATE, n_steps=key - root)
        yield key, np.asarray(moved[:SAMPLE_RATE], dtype=np.float32), time.process_time() - began


def autocorrelation_root_hz(mono: Floats) -> float:
    """Median over frames of the strongest lag between 50 and 2000 Hz; 261.6 Hz where the median strength is under 0.5."""
    frames = np.lib.stride_tricks.sliding_window_view(mono, _FRAME)[:: _FRAME // 2]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(_FRAME), 2 * _FRAME, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, : SAMPLE_RATE // 50]
    shortest = SAMPLE_RATE // 2000
    lags = shortest + np.argmax(correlation[:, shortest:], axis=1)
    strength = correlation[np.arange(len(lags)), lags] / np.maximum(correlation[:, 0], 1e-12)
    return float(np.median(SAMPLE_RATE / lags)) if np.median(strength) >= 0.5 else UNPITCHED_HZ
