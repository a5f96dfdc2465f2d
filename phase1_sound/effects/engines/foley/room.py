"""A little room around a dry sound: early reflections and a short tail indoors, next to nothing in the
open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from phase1_sound.effects.engines.foley.dsp import RATE, Signal, frames_of

OPEN_AIR = 0.85  # from this openness on nothing reflects


@dataclass(frozen=True)
class Room:
    """Wet level (0..1 of the dry one), reverberation time in seconds, and reflections: (delay s, gain, side)
    each.
    """

    wet: float
    t60_s: float
    reflections: tuple[tuple[float, float, float], ...]

    @classmethod
    def draw(cls, openness: float, liveness: float, rng: np.random.Generator) -> Room:
        """A room for an openness of 0 (small, dry) to 1 (the open); `liveness` 2 doubles its share, 0.5
        halves it.

        Reflections come from six walls at 2-12 ms (a small room) to 10-45 ms (a hall or a courtyard), weaker
        the later.
        """
        closed = max(0.0, OPEN_AIR - openness) / OPEN_AIR
        extent = 1.0 + 3.0 * openness
        delays = np.sort(rng.uniform(0.003, 0.013, 6)) * extent
        gains = 0.5 * (delays[0] / delays) * rng.choice([-1.0, 1.0], 6)
        sides = rng.uniform(-0.8, 0.8, 6)
        return cls(
            wet=float(min(0.45, 0.2 * closed**0.7 * liveness)),
            t60_s=float((0.22 + 0.5 * openness) * min(liveness, 1.8) ** 0.5),
            reflections=tuple((float(d), float(g), float(s)) for d, g, s in zip(delays, gains, sides, strict=True)),
        )

    def around(self, sound: Signal, rng: np.random.Generator) -> Signal:
        """The sound, (frames,) or (2, frames), in the room, of the same length; stereo when there is a room
        at all.
        """
        if self.wet <= 0.005:
            return sound
        dry = sound if sound.ndim == 2 else np.stack([sound, sound])
        response = self._response(rng)
        length = fft.next_fast_len(dry.shape[1] + response.shape[1], real=True)
        spectrum = fft.rfft(dry.mean(axis=0).astype(np.float32), length)
        reflected = fft.irfft(spectrum * fft.rfft(response.astype(np.float32), length), length)
        result: Signal = dry + self.wet * reflected[:, : dry.shape[1]]
        return result

    def _response(self, rng: np.random.Generator) -> Signal:
        frames = frames_of(min(self.t60_s, 1.2) + 0.06)
        response = rng.standard_normal((2, frames)) * np.exp(-6.91 * np.arange(frames) / (RATE * self.t60_s))
        # Walls take the treble first: a running mean of four frames is -3 dB at about 5 kHz.
        response = (response + np.roll(response, 1, 1) + np.roll(response, 2, 1) + np.roll(response, 3, 1)) / 4
        response[:, : frames_of(0.012)] = 0.0
        response *= 0.8 / np.sqrt(np.sum(response**2, axis=1, keepdims=True))
        for delay, gain, side in self.reflections:
            response[:, frames_of(delay)] += gain * np.array([1 - side, 1 + side])
        return np.asarray(response)
