"""How strong a note's harmonics are, and the noise between them, so that it comes nearest to a colour.

An effect has its power wherever it likes, a note in tune has it on a ladder of harmonics. Both are compared as the ear does it:
in critical bands, in dB, whatever the level of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phase2_music.timbre.analysis import AUDITORY_HZ, Floats, sine_density

FULLEST_FUNDAMENTAL = 0.7
"""The largest share of the harmonics' power that is given to a fundamental for the sake of its pitch."""

_FUNDAMENTALS = (0.05, 0.15, 0.3, 0.5, FULLEST_FUNDAMENTAL, 0.85, 0.95, 0.99)
_FIT_STEPS = 40
_WIDTH_HZ: Floats = np.gradient(AUDITORY_HZ)


@dataclass(frozen=True)
class Levels:
    """Power of each harmonic, the lowest first, and of the noise: per Hz, at AUDITORY_HZ."""

    harmonics: Floats
    noise: Floats


def nearest_levels(
    colour_db: Floats, f0_hz: float, highest_hz: float, noise: float, fundamental: float, sample_rate: int
) -> Levels:
    """The levels of a note at `f0_hz` that come nearest to a colour in dB at AUDITORY_HZ.

    `noise` is the most power that noise may have against the harmonics, `fundamental` the least share of the harmonics' power
    that the lowest holds. More of it makes room for more noise, which fills what high harmonics leave empty: the share is
    chosen by what comes nearest.
    """
    wanted = 10 ** (colour_db / 10)
    density = sine_density(f0_hz * np.arange(1, max(1, int(highest_hz / f0_hz)) + 1), sample_rate)
    fit = fitted(wanted, density)
    gaps = _gaps(wanted, density @ fit, f0_hz, noise)
    tried = []
    for share in (fundamental, *(share for share in _FUNDAMENTALS if share > fundamental)):
        harmonics = raised(np.sqrt(fit), share) ** 2
        tried.append(Levels(harmonics, capped(gaps * _WIDTH_HZ, noise * float(harmonics.sum())) / _WIDTH_HZ))
    above = f0_hz < AUDITORY_HZ
    return min(tried, key=lambda levels: _apart_db((density @ levels.harmonics + levels.noise)[above], wanted[above]))


def _gaps(wanted: Floats, harmonics: Floats, f0_hz: float, noise: float) -> Floats:
    """What the harmonics leave for noise to fill, in power per Hz.

    A trace of noise stays among harmonics that the ear tells apart; where several share a band it would only roughen them.
    Below the fundamental nothing belongs to the note.
    """
    trace = noise * np.minimum(1.0, (0.5 * f0_hz / critical_band_hz(AUDITORY_HZ)) ** 4)
    return np.asarray(np.maximum(wanted - harmonics, trace * wanted) * np.minimum(AUDITORY_HZ / f0_hz, 1.0) ** 8)


def _apart_db(one: Floats, other: Floats) -> float:
    """Mean absolute difference in dB of two spectra, whatever their levels are; 50 dB under the loudest nothing counts."""
    one_db, other_db = (10 * np.log10(np.maximum(each / each.max(), 1e-5)) for each in (one, other))
    difference = one_db - other_db
    return float(np.mean(np.abs(difference - np.mean(difference))))


def fitted(wanted: Floats, density: Floats) -> Floats:
    """Powers of sines, shape (sines,), that together give each band the power wanted there, as nearly as they can.

    `density` of shape (bands, sines) is what each sine of power 1 gives to each band. The multiplicative steps of Richardson
    1972 and Lucy 1974 never leave a power below zero.
    """
    given = density.sum(axis=0) + 1e-12
    power = density.T @ wanted / given
    for _ in range(_FIT_STEPS):
        power = power * (density.T @ (wanted / (density @ power + 1e-12))) / given
    return np.asarray(power)


def raised(amplitudes: Floats, share: float) -> Floats:
    """Amplitudes of harmonics, the lowest raised where the fundamental would hold less than a share (0..1) of the power.

    The second and the third follow at -18 and -36 dB: they say whose fundamental it is.
    """
    fundamental = np.sqrt(share / (1.0 - share) * np.sum(amplitudes[1:] ** 2))
    low = fundamental * 10 ** (np.array([0.0, -18.0, -36.0]) / 20)
    result = amplitudes.copy()
    result[:3] = np.maximum(result[:3], low[: len(result)])
    return result


def capped(powers: Floats, total: float) -> Floats:
    """Powers, shape (bands,), cut from above to one ceiling, so that they add up to `total` at most.

    What is soft anyway stays whole, and of the rest each band gets as much as the others.
    """
    rising = np.sort(powers)
    below = np.concatenate([[0.0], np.cumsum(rising)])[:-1]
    left = np.arange(len(rising), 0, -1)
    n = int(np.searchsorted(below + rising * left, total))
    return powers if n == len(powers) else np.minimum(powers, max(total - below[n], 0.0) / left[n])


def critical_band_hz(f_hz: Floats) -> Floats:
    """Width in Hz of the ear's critical band around frequencies in Hz (Glasberg and Moore 1990)."""
    return np.asarray(24.7 + 0.108 * f_hz)
