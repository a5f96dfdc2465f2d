"""Gentle tone correction of the mix: broad bands, bounded, toward the slope that recorded music has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from core.audio import SAMPLE_RATE, Samples
from phase2_music.rendering.metering import BAND_HZ

SLOPE_DB = -4.5
"""Fall of the octave bands' levels per octave that recorded music is said to have."""
MAX_CORRECTION_DB = 13.0
STEM_SLOPE_DB = -6.0
MAX_STEM_CUT_DB = 25.0
TAPS = 1420

_OCTAVE_HZ = 1000.0 * 2.0 ** np.arange(-4.0, 4.0)
_ONE_KHZ = 4  # its place among the octaves
_TOLERANCE_DB = 6.0  # what lies further off the line is brought so near,
_STRENGTH = 0.35  # and everything nearer by this share: bands have a character of their own
_ABSENT_DB = 30.0  # what lies so far below the strongest band is not played: it is noise, and is not raised
_ROUNDS = 6

Levels = npt.NDArray[np.float64]


def tone_correction(powers: Levels) -> Levels:
    """Gain in dB for each third octave of a mix with these powers, both of shape (bands,); 0 for silence.

    Each octave from 63 Hz to 8 kHz is moved toward the line, by `MAX_CORRECTION_DB` at most; between the octaves' centres
    the gain runs straight. An octave below, nothing is raised; above, the gain of 8 kHz goes on.
    """
    octaves = np.zeros(len(_OCTAVE_HZ))
    if powers.max(initial=0.0) <= 0:
        return np.zeros(len(BAND_HZ))
    distance, present = _distance(powers)
    centre = np.average(distance, weights=present)
    wanted = centre + np.clip(distance - centre, -_TOLERANCE_DB, _TOLERANCE_DB) * (1.0 - _STRENGTH)
    for _ in range(_ROUNDS):  # neighbouring octaves move each other
        now, _present = _distance(powers * 10.0 ** (_over_bands(octaves) / 10.0))
        octaves = np.clip(octaves + present * (wanted - now), -MAX_CORRECTION_DB, MAX_CORRECTION_DB)
    return _over_bands(octaves)


def stem_tone(powers: Levels) -> Levels:
    """Gain in dB for each third octave of a melodic stem with these powers, both of shape (bands,); never above 0.

    An instrument made of a bright sound can have most of its power above its notes. What stands above a line that falls from
    the strongest octave up to 1 kHz by `STEM_SLOPE_DB` per octave is lowered toward it, by `MAX_STEM_CUT_DB` at most, so that
    the role's level is set by what carries its notes.
    """
    levels = octave_levels_db(powers)
    above = np.maximum(0.0, np.arange(len(_OCTAVE_HZ)) - _ONE_KHZ)
    line = levels[: _ONE_KHZ + 1].max() + STEM_SLOPE_DB * above
    cut = np.where(above > 0, np.clip(levels - line, 0.0, MAX_STEM_CUT_DB), 0.0)
    return _over_bands(-cut)


def octave_levels_db(powers: Levels) -> Levels:
    """Level in dB of each octave from 63 Hz to 8 kHz, shape (8,), of powers in third octaves, shape (bands,)."""
    sums = [powers[np.abs(np.log2(BAND_HZ / centre)) < 0.4].sum() for centre in _OCTAVE_HZ]
    return np.asarray(10.0 * np.log10(np.maximum(sums, 1e-30)))


def _distance(powers: Levels) -> tuple[Levels, Levels]:
    """How far each octave lies above the line through 63 Hz, in dB, and how much it is played, 0 to 1."""
    distance = octave_levels_db(powers) - SLOPE_DB * np.arange(len(_OCTAVE_HZ))
    present = np.clip((distance - distance.max() + _ABSENT_DB + 12.0) / 12.0, 0.0, 1.0)
    return distance, present


def _over_bands(octaves: Levels) -> Levels:
    corners = np.concatenate([_OCTAVE_HZ[0] * np.array([0.4, 0.7]), _OCTAVE_HZ])
    gains = np.concatenate([[min(octaves[0], 0.0), octaves[0]], octaves])
    return np.interp(np.log2(BAND_HZ), np.log2(corners), gains)


def minimum_phase(gains_db: Levels) -> Samples:
    """Impulse of shape (TAPS,) whose amplitude follows gains in dB at `BAND_HZ`: no pre-echo, no delay.

    From the real cepstrum (Oppenheim and Schafer, Discrete-Time Signal Processing, 13.5): folding it onto positive times
    makes the phase the smallest that the amplitude allows.
    """
    length = 1 << 15
    frequency = np.maximum(np.arange(length // 2 + 1) * SAMPLE_RATE / length, 1.0)
    log_amplitude = np.interp(np.log2(frequency), np.log2(BAND_HZ), gains_db) * np.log(10.0) / 20.0
    cepstrum = fft.irfft(log_amplitude, length)
    cepstrum[1 : length // 2] *= 2.0
    cepstrum[length // 2 + 1 :] = 0.0
    impulse = fft.irfft(np.exp(fft.rfft(cepstrum)), length)[:TAPS]
    impulse[-TAPS // 4 :] *= np.cos(0.5 * np.pi * np.linspace(0.0, 1.0, -(-TAPS // 4))) ** 2
    return np.asarray(impulse, dtype=np.float32)
