"""The room that a band plays in: a stereo impulse made of noise, from a small dry room to a wide open place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import fft

from core.audio import SAMPLE_RATE
from core.loudness import from_db
from core.seeds import generator

_BUILD_UP_S = 0.008  # reflections are sparse at first
_LOW_CUT_HZ = 180.0


@dataclass(frozen=True)
class Room:
    """Time in seconds in which the reverb falls by 60 dB (at 500 Hz), delay before it in seconds, share of `t60_s` that is left
    at 8 kHz, level in dB of the reverb against the direct sound."""

    t60_s: float
    pre_delay_s: float
    brightness: float
    level_db: float

    @classmethod
    def of_openness(cls, openness: float) -> Room:
        """0 is a small dry room, 1 a wide open place: the more open, the longer, later, darker and softer the reverb."""
        return cls(
            t60_s=0.35 * (2.2 / 0.35) ** openness,  # equal steps sound equal
            pre_delay_s=0.004 + 0.032 * openness,
            brightness=0.6 - 0.3 * openness,
            level_db=-14.0 - 3.0 * openness,
        )

    @property
    def frames(self) -> int:
        """Length of the impulse: until it has fallen by 60 dB, its own level not counted."""
        return round((self.pre_delay_s + self.t60_s) * SAMPLE_RATE)


@cache
def room_impulse(room: Room) -> npt.NDArray[np.complex64]:
    """The room's impulse, shape (frames,): left ear real, right ear imaginary; the same on every call.

    Noise in octaves, each decaying with its own time: air and walls swallow the high ones first. The ears' noises are
    independent, so the sum to mono loses no more than 3 dB of the reverb and nothing of the direct sound.
    """
    delay = round(room.pre_delay_s * SAMPLE_RATE)
    frames = room.frames - delay
    time_s = np.arange(frames) / SAMPLE_RATE
    noise = generator(0, "room").standard_normal((2, frames))
    tail = sum(
        band * 10.0 ** (-3.0 * time_s / (room.t60_s * share)) for band, share in _octaves(noise, room.brightness)
    )
    tail = tail * np.minimum(1.0, time_s / _BUILD_UP_S) * np.minimum(1.0, (frames - np.arange(frames)) / (0.1 * frames))
    tail *= from_db(room.level_db) / np.sqrt(np.sum(np.square(tail), axis=1, keepdims=True))
    return np.asarray(np.concatenate([np.zeros(delay), tail[0] + 1j * tail[1]]), dtype=np.complex64)


def _octaves(noise: npt.NDArray[np.float64], brightness: float) -> list[tuple[npt.NDArray[np.float64], float]]:
    """The noise in bands that add up to it (low-cut), each with its share of the decay time."""
    frames = noise.shape[1]
    length = fft.next_fast_len(frames, real=True)
    frequency = np.arange(length // 2 + 1) * SAMPLE_RATE / length
    spectrum = fft.rfft(noise, length, axis=1) * (frequency / np.hypot(frequency, _LOW_CUT_HZ)) ** 2
    place = np.log2(np.maximum(frequency, 1.0) / 500.0)  # octaves above 500 Hz
    centres = np.arange(0, 6)
    bands = []
    for octave in centres:
        weight = np.interp(place, centres, (centres == octave).astype(float))
        share = float(brightness ** (octave / 4.0))
        bands.append((fft.irfft(spectrum * weight, length, axis=1)[:, :frames], share))
    return bands
