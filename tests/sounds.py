"""Sounds for tests, and a request to build an instrument of one."""

from __future__ import annotations

import numpy as np

from core.audio import SAMPLE_RATE, Audio
from phase2_music.instruments.build import InstrumentRequest


def noise(seconds: float = 2.0, seed: int = 0) -> Audio:
    """White noise: nothing in it has a pitch."""
    rng = np.random.default_rng(seed)
    return Audio(0.1 * rng.standard_normal(round(seconds * SAMPLE_RATE)), SAMPLE_RATE)


def tone(f_hz: float, seconds: float = 2.0, decay: float = 0.5) -> Audio:
    """A decaying harmonic tone with a clear pitch."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * f_hz * k * t) / k for k in range(1, 12))
    return Audio(0.2 * wave * np.exp(-decay * t), SAMPLE_RATE)


def request(sound: Audio, role: str, **rest: object) -> InstrumentRequest:
    """A request with what does not matter filled in."""
    return InstrumentRequest(sound, "sound.wav", "0" * 64, "sound", role, **{"seed": 1, **rest})  # type: ignore[arg-type]
