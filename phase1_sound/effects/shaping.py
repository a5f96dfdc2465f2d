"""A sound as an engine made it -> an effect: rate, DC, silence in front, fade, loudness."""

from __future__ import annotations

import numpy as np

from core.audio import SAMPLE_RATE, Audio
from core.loudness import loudness_lufs, normalise_loudness
from phase1_sound.checks import SILENT_LUFS

LOUDNESS_LUFS = -20.0
CEILING_DBTP = -1.0
_LEADING_DB = -60.0
_PREROLL_S = 0.002
_FADE_S = 0.03


def shaped(audio: Audio) -> Audio:
    """At 44.1 kHz, without DC and leading silence, fading at its end, at -20 LUFS; silence is left alone."""
    audio = trimmed(without_dc(audio).resampled(SAMPLE_RATE))
    faded = fade_out(audio)
    if loudness_lufs(faded) <= SILENT_LUFS:
        return faded  # raising it would only raise its noise
    return normalise_loudness(faded, LOUDNESS_LUFS, CEILING_DBTP)


def without_dc(audio: Audio) -> Audio:
    """Every channel less its mean."""
    if not audio.frames:
        return audio
    return Audio(
        audio.samples - audio.samples.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32),
        audio.sample_rate,
    )


def trimmed(audio: Audio) -> Audio:
    """Without the silence before the first sample within 60 dB of the peak, 2 ms of it kept."""
    loud = np.flatnonzero(np.max(np.abs(audio.samples), axis=0, initial=0.0) > audio.peak * 10 ** (_LEADING_DB / 20))
    start = max(0, int(loud[0]) - round(_PREROLL_S * audio.sample_rate)) if len(loud) else 0
    return Audio(audio.samples[:, start:], audio.sample_rate)


def fade_out(audio: Audio) -> Audio:
    """With a raised-cosine fade over the last 30 ms, so that it ends without a click."""
    count = min(round(_FADE_S * audio.sample_rate), audio.frames)
    samples = audio.samples.copy()
    samples[:, audio.frames - count :] *= (0.5 + 0.5 * np.cos(np.pi * (np.arange(count) + 1) / max(count, 1))).astype(
        np.float32
    )
    return Audio(samples, audio.sample_rate)
