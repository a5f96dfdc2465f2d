"""Is a sound pitched, and where? Two trackers that share nothing: YIN in the time domain, a comb in the spectrum.

Both look over the whole range without being told what to expect, so that agreement means something. librosa's pyin is the
reference in the tests; it is not used here because its first call costs five seconds of compilation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, special

Floats = npt.NDArray[np.float64]
Mono = npt.NDArray[np.float32] | npt.NDArray[np.float64]

F_MIN_HZ = 26.0
F_MAX_HZ = 4300.0
_WHISTLES_HZ = 4000.0
PITCHED_PROBABILITY = 0.5
PITCHED_IQR_CENTS = 50.0
STEADY_PROBABILITY = 0.85


@dataclass(frozen=True)
class PitchTrack:
    """f0 in Hz and the probability of being voiced, one value per frame, both of shape (frames,)."""

    f0_hz: Floats
    voiced_probability: Floats


@dataclass(frozen=True)
class Pitch:
    """Whether a sound is pitched: `f0_hz` is the median over voiced frames, None when nothing is voiced."""

    pitched: bool
    f0_hz: float | None
    voiced_probability: float
    iqr_cents: float


def cents_between(f_hz: float, reference_hz: float) -> float:
    """Distance from `reference_hz` to `f_hz` in cents."""
    return float(1200.0 * np.log2(f_hz / reference_hz))


def key_to_hz(key: float) -> float:
    """Frequency in Hz of a MIDI key (69 = 440 Hz)."""
    return float(440.0 * 2.0 ** ((key - 69.0) / 12.0))


def hz_to_key(f_hz: float) -> float:
    """MIDI key, with fraction, of a frequency in Hz."""
    return float(69.0 + 12.0 * np.log2(f_hz / 440.0))


def yin_track(samples: Mono, sample_rate: int, frame_s: float = 0.0929, hop_s: float = 0.0232) -> PitchTrack:
    """Track f0 with YIN (de Cheveigne and Kawahara 2002) and pYIN's voicing (Mauch and Dixon 2014).

    pYIN weighs the thresholds of YIN with a beta(2, 18) prior; a frame is voiced for every threshold above its deepest
    trough, so its voiced probability is 1 - BetaCDF(deepest trough), without any loop over thresholds.
    """
    frame = round(frame_s * sample_rate)
    hop = round(hop_s * sample_rate)
    frames = _frames(samples, frame, hop)
    lags = min(frame // 2, int(sample_rate / F_MIN_HZ) + 2)
    difference = _normalised_difference(frames, lags)
    shortest = max(2, int(sample_rate / F_MAX_HZ))
    f0 = np.full(len(frames), np.nan)
    deepest = np.ones(len(frames))
    for index, row in enumerate(difference):
        lag, depth = _first_deep_trough(row, shortest)
        deepest[index] = depth
        if lag:
            f0[index] = sample_rate / lag
    audible = np.sqrt(np.mean(frames**2, axis=1))
    voiced = np.asarray(1.0 - special.betainc(2.0, 18.0, np.clip(deepest, 0.0, 1.0)))
    voiced[audible < 0.01 * audible.max(initial=1e-12)] = 0.0
    return PitchTrack(f0, voiced)


def _frames(samples: Mono, frame: int, hop: int) -> Floats:
    padded = np.pad(np.asarray(samples, dtype=np.float64), (0, max(0, frame - len(samples))))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop])


def _normalised_difference(frames: Floats, lags: int) -> Floats:
    """Cumulative mean normalised difference of YIN, shape (frames, lags), over a window of frame - lags samples."""
    width = frames.shape[1] - lags
    size = fft.next_fast_len(frames.shape[1] + width, real=True)
    spectrum = fft.rfft(frames, size, axis=1)
    head = fft.rfft(frames[:, :width], size, axis=1)
    correlation = fft.irfft(spectrum * np.conj(head), size, axis=1)[:, :lags]
    power = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = power[:, width : width + lags] - power[:, :lags]
    difference = np.maximum(energy[:, :1] + energy - 2.0 * correlation, 0.0)
    mean = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, lags)
    # A digital zero has no difference at any lag: it must read "no trough" (1), not 0/0.
    floor = 1e-9 * energy[:, :1] + 1e-12
    normalised = np.ones_like(difference)
    normalised[:, 1:] = np.where(mean > floor, difference[:, 1:] / np.maximum(mean, floor), 1.0)
    return np.asarray(normalised)


def _first_deep_trough(row: Floats, shortest: int) -> tuple[float, float]:
    """Lag (with fraction, 0 for none) and depth of the first trough nearly as deep as the deepest, or under 0.15.

    Depths are those of parabolas through the troughs (YIN's step 5): a bright wave repeats between two samples, and read on
    the samples alone it would look half voiced.
    """
    inner = row[1:-1]
    troughs = np.flatnonzero((inner < row[:-2]) & (inner <= row[2:])) + 1
    troughs = troughs[troughs >= shortest]
    if not len(troughs):
        return 0.0, 1.0
    left, middle, right = row[troughs - 1], row[troughs], row[troughs + 1]
    shifts = 0.5 * (left - right) / (left - 2.0 * middle + right)
    depths = np.maximum(middle - 0.25 * (left - right) * shifts, 0.0)
    deepest = float(depths.min())
    first = int(np.flatnonzero(depths <= max(deepest + 0.07, 0.15))[0])
    return float(troughs[first] + shifts[first]), deepest


def judge_pitch(samples: Mono, sample_rate: int) -> Pitch:
    """Say whether a sound is pitched: mean voiced probability >= 0.5 and inter-quartile range of f0 < 50 cents."""
    track = yin_track(samples, sample_rate)
    probability = float(np.mean(track.voiced_probability))
    voiced = track.f0_hz[(track.voiced_probability > 0.5) & np.isfinite(track.f0_hz)]
    if not len(voiced):
        return Pitch(False, None, probability, float("inf"))
    f0 = float(np.median(voiced))
    quartiles = 1200.0 * np.log2(np.percentile(voiced, [25, 75]) / f0)
    iqr = float(quartiles[1] - quartiles[0])
    pitched = probability >= PITCHED_PROBABILITY and iqr < PITCHED_IQR_CENTS
    return Pitch(pitched, _of_whistles(samples, sample_rate, f0) if pitched else f0, probability, iqr)


def _of_whistles(samples: Mono, sample_rate: int, f0_hz: float) -> float:
    """The pitch of a sound above the trackers' range, which find it an octave or more too low; else `f0_hz`.

    Of the multiples of `f0_hz`, only each d-th one is there: d times `f0_hz` is heard.
    """
    magnitude, bin_hz = _magnitude(samples, sample_rate)
    strongest_hz = float(np.argmax(magnitude)) * bin_hz
    number = round(strongest_hz / f0_hz)
    if strongest_hz < _WHISTLES_HZ or number < 2 or abs(strongest_hz / (number * f0_hz) - 1.0) > 0.03:
        return f0_hz
    f0_hz = strongest_hz / number

    def there(partial: int) -> bool:
        around = magnitude[round(0.97 * partial * f0_hz / bin_hz) : round(1.03 * partial * f0_hz / bin_hz) + 1]
        return bool(around.max(initial=0.0) > 10 ** (-30 / 20) * magnitude.max())

    partials = [partial for partial in range(1, 2 * number) if there(partial)]
    return f0_hz * math.gcd(*partials)


def yin_pitch(samples: Mono, sample_rate: int) -> float | None:
    """f0 in Hz of a steady sound by YIN: the median over the frames that are at least half as voiced as the best."""
    return track_pitch(yin_track(samples, sample_rate))


def track_pitch(track: PitchTrack) -> float | None:
    """The median f0 in Hz of a track, over the frames that are at least half as voiced as the best; None without any."""
    good = np.isfinite(track.f0_hz) & (track.voiced_probability >= 0.5 * track.voiced_probability.max(initial=0.0))
    return float(np.median(track.f0_hz[good])) if good.any() else None


def is_steady(track: PitchTrack, f_hz: float) -> bool:
    """Whether 19 frames in 20 are within 50 cents of `f_hz` and the sound is clearly voiced (mean probability >= 0.85)."""
    near = np.abs(1200.0 * np.log2(np.nan_to_num(track.f0_hz, nan=1.0) / f_hz)) <= 50.0
    return bool(np.mean(near) >= 0.95 and np.mean(track.voiced_probability) >= STEADY_PROBABILITY)


def comb_pitch(samples: Mono, sample_rate: int, partials: int = 14, doubted_hz: float | None = None) -> float | None:
    """f0 in Hz of a steady sound by subharmonic summation (Hermes 1988), refined on the partials' own frequencies.

    On an axis of log frequency in cells of 5 cents, partial k of any f0 lies log2(k) octaves to the right: the compressed
    spectrum is shifted and summed with weights 0.84^(k-1). Around the best cell, partial peaks are interpolated and their
    f_k / k averaged, weighted by amplitude times k (a peak's relative error falls with its number).

    Within 50 cents of `doubted_hz` the sum counts 2 % less: what is found there all the same is found with something to spare.
    """
    magnitude, bin_hz = _magnitude(samples, sample_rate)
    if magnitude.max(initial=0.0) <= 0:
        return None
    cells = _log_spectrum(magnitude, bin_hz)
    candidates = int(_CELLS_PER_OCTAVE * np.log2(F_MAX_HZ / F_MIN_HZ))
    total = np.zeros(candidates)
    for number in range(1, partials + 1):
        shift = round(_CELLS_PER_OCTAVE * np.log2(number))
        part = cells[shift : shift + candidates]
        total[: len(part)] += 0.84 ** (number - 1) * part
    if doubted_hz is not None:
        place = round(_CELLS_PER_OCTAVE * np.log2(doubted_hz / F_MIN_HZ))
        total[max(0, place - 10) : max(0, place + 11)] *= _DOUBT
    best = F_MIN_HZ * 2.0 ** (int(np.argmax(total)) / _CELLS_PER_OCTAVE)
    return _refined(magnitude, bin_hz, best, partials)


_CELLS_PER_OCTAVE = 240
_DOUBT = 0.98


def _magnitude(samples: Mono, sample_rate: int) -> tuple[Floats, float]:
    """Spectrum of the whole under a Hann window, at least four bins for one of its own, and the width of a bin in Hz."""
    windowed = np.asarray(samples, dtype=np.float64) * np.hanning(len(samples))
    size = fft.next_fast_len(max(4 * len(windowed), 1 << 17), real=True)
    return np.abs(fft.rfft(windowed, size)), sample_rate / size


def _log_spectrum(magnitude: Floats, bin_hz: float) -> Floats:
    """Square root of what stands above the noise, on cells of 5 cents from F_MIN_HZ up; a peak fills its neighbours too."""
    above = np.sqrt(np.maximum(0.0, magnitude - 3.0 * _noise_floor(magnitude, round(200.0 / bin_hz))))
    octaves = np.log2((len(magnitude) - 2) * bin_hz / F_MIN_HZ)
    edges = F_MIN_HZ / bin_hz * 2.0 ** ((np.arange(int(octaves * _CELLS_PER_OCTAVE)) - 0.5) / _CELLS_PER_OCTAVE)
    highest = np.maximum.reduceat(above, edges.astype(np.intp))
    # Below 60 Hz a cell is narrower than a bin: read between the bins.
    between = np.interp(edges * 2.0 ** (0.5 / _CELLS_PER_OCTAVE), np.arange(len(above)), above)
    return _running_max(np.maximum(highest, between), 1)


def _noise_floor(magnitude: Floats, block: int) -> Floats:
    """Median magnitude of each block of bins, interpolated: without it noise fills the gaps of a subharmonic's comb."""
    whole = len(magnitude) // block * block
    medians = np.median(magnitude[:whole].reshape(-1, block), axis=1)
    centres = (np.arange(len(medians)) + 0.5) * block
    return np.asarray(np.interp(np.arange(len(magnitude)), centres, medians))


def _running_max(values: Floats, half: int) -> Floats:
    padded = np.pad(values, half, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1).max(axis=1))


def _refined(magnitude: Floats, bin_hz: float, f0: float, partials: int) -> float:
    total = weight = 0.0
    loudest = magnitude.max()
    for number in range(1, partials + 1):
        centre = number * f0 / bin_hz
        reach = max(2, round(centre * 0.02 / number**0.5))
        low, high = max(1, int(centre) - reach), min(len(magnitude) - 2, int(centre) + reach + 1)
        if high <= low:
            break
        peak = low + int(np.argmax(magnitude[low:high]))
        left, middle, right = np.log(magnitude[peak - 1 : peak + 2] + 1e-12)
        bend = left - 2 * middle + right
        if bend >= 0 or magnitude[peak] < 0.01 * loudest:
            continue
        frequency = (peak + float(np.clip(0.5 * (left - right) / bend, -1.0, 1.0))) * bin_hz / number
        total += frequency * magnitude[peak] * number
        weight += magnitude[peak] * number
    return float(total / weight) if weight else f0
