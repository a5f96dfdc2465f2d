"""Sounds as pictures for the page: levels over time and spectrograms, one printable character a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from core.audio import Samples

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""Level 0 to 63 as a character: none of them means anything in HTML, JSON or JavaScript."""

COLUMNS, BANDS = 120, 44
FLOOR_DB = -72.0
LOWEST_HZ, HIGHEST_HZ = 50.0, 18000.0
_FRAME = 2048
_CHARACTERS = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)

Levels = npt.NDArray[np.uint8]
"""Values of 0 to 63."""


def as_text(levels: Levels) -> str:
    """Levels of any shape as text, in C order."""
    return _CHARACTERS[levels].tobytes().decode()


def to_levels(values: npt.NDArray[Any]) -> Levels:
    """0..1 -> 0..63; what lies beyond is cut off."""
    return np.asarray(np.clip(np.round(values * 63.0), 0, 63), dtype=np.uint8)


def peaks(samples: npt.NDArray[Any], columns: int) -> npt.NDArray[np.float64]:
    """Largest absolute sample in each of `columns` equal stretches of a mono sound of shape (frames,)."""
    bounds = np.linspace(0, len(samples), columns + 1).astype(int)[:-1]
    if len(samples) < columns:
        samples = np.concatenate([samples, np.zeros(columns - len(samples), samples.dtype)])
        bounds = np.arange(columns)
    above = np.maximum.reduceat(samples, bounds).astype(np.float64)
    below = np.minimum.reduceat(samples, bounds).astype(np.float64)
    return np.asarray(np.maximum(above, -below))


def spectrogram(samples: Samples, sample_rate: int) -> Levels:
    """Levels of shape (BANDS, COLUMNS), the highest band first: dB under the loudest cell, down to FLOOR_DB.

    Bands have equal width on a logarithmic axis from LOWEST_HZ to HIGHEST_HZ; each holds the mean power of its bins, and at
    least the one that is nearest.
    """
    power = _power(samples)
    edges = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, 0.49 * sample_rate), BANDS + 1) * _FRAME / sample_rate
    low = np.floor(edges[:-1]).astype(int)
    high = np.maximum(np.ceil(edges[1:]).astype(int), low + 1)
    total = np.concatenate([np.zeros((1, COLUMNS)), np.cumsum(power, axis=0)])
    bands = (total[high] - total[low]) / (high - low)[:, None]
    level_db = 10.0 * np.log10(bands / (bands.max() + 1e-20) + 1e-12)
    return to_levels(1.0 - level_db[::-1] / FLOOR_DB)


def _power(samples: Samples) -> npt.NDArray[np.float64]:
    """Power of COLUMNS windowed frames spread over the sound, shape (bins, COLUMNS)."""
    padded = np.pad(samples, (_FRAME // 2, _FRAME))
    starts = np.linspace(0, max(len(samples) - 1, 0), COLUMNS).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[starts] * np.hanning(_FRAME).astype(np.float32)
    return np.asarray(np.abs(np.fft.rfft(frames, axis=1)).T ** 2, dtype=np.float64)
