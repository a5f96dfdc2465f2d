"""Loudness and true peak after ITU-R BS.1770-4, of a whole sound or of one that comes in blocks."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyloudnorm
from scipy import ndimage, signal

from core.audio import Audio, Samples
from core.errors import AudioError

ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
_OFFSET_LUFS = -0.691  # BS.1770-4: makes a 0 dBFS 997 Hz sine in one channel read -3.01 LUFS
_OVERSAMPLING = 4
_SEGMENT = 4096  # frames that are oversampled together, or not at all
_CONTEXT = 32  # frames on either side that the oversampling filter needs


def to_db(amplitude: float) -> float:
    """20 log10 of an amplitude, -inf for 0."""
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf


def from_db(level_db: float) -> float:
    """Amplitude of a level in dB."""
    return float(10.0 ** (level_db / 20.0))


class LoudnessMeter:
    """Integrated loudness of a sound that comes in blocks; memory grows by 80 bytes a second.

    The K-weighting filters are pyloudnorm's; the 400 ms gating blocks overlap by 75 % as the standard asks.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        shelf = pyloudnorm.IIRfilter(4.0, 1 / math.sqrt(2), 1500.0, sample_rate, "high_shelf")
        high_pass = pyloudnorm.IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass")
        self._sections = np.vstack([np.concatenate([f.b, f.a]) for f in (shelf, high_pass)])
        self._sections[:, 3:] /= self._sections[:, 3:4]
        self._state = np.zeros((2, channels, 2))
        self._hop = round(0.1 * sample_rate)
        self._pending: npt.NDArray[np.float64] = np.zeros((0,))
        self._hops: list[float] = []

    def add(self, block: Samples) -> None:
        """Take the next block, shape (channels, frames)."""
        weighted, self._state = signal.sosfilt(self._sections, block.astype(np.float64), axis=1, zi=self._state)
        power = np.concatenate([self._pending, np.sum(weighted**2, axis=0)])
        whole = len(power) // self._hop * self._hop
        self._hops.extend(power[:whole].reshape(-1, self._hop).mean(axis=1).tolist())
        self._pending = power[whole:]

    def integrated_lufs(self) -> float:
        """Gated loudness of all blocks so far in LUFS, -inf for silence or less than 0.4 s."""
        if len(self._hops) < 4:
            return -math.inf
        power = np.convolve(self._hops, np.full(4, 0.25), mode="valid")
        power = power[power > 10 ** ((ABSOLUTE_GATE_LUFS - _OFFSET_LUFS) / 10)]
        if not len(power):
            return -math.inf
        power = power[power > np.mean(power) * 10 ** (RELATIVE_GATE_LU / 10)]
        return float(_OFFSET_LUFS + 10 * np.log10(np.mean(power)))


class TruePeakMeter:
    """True peak of a sound that comes in blocks, by 4 times oversampling (BS.1770-4, annex 2)."""

    def __init__(self, channels: int) -> None:
        self._tail: Samples = np.zeros((channels, 2 * _CONTEXT), dtype=np.float32)
        self._peak = 0.0

    def add(self, block: Samples) -> None:
        """Take the next block, shape (channels, frames)."""
        joined = np.concatenate([self._tail, block], axis=1)
        self._peak = max(self._peak, self._inner_peak(joined))
        self._tail = joined[:, -2 * _CONTEXT :]

    def true_peak_dbtp(self) -> float:
        """Largest true peak so far in dBTP, -inf for silence."""
        end = np.concatenate([self._tail, np.zeros_like(self._tail)], axis=1)
        return to_db(max(self._peak, self._inner_peak(end)))

    def _inner_peak(self, joined: Samples) -> float:
        # Near the edges the filter would hear a step that the sound does not have: those frames wait for their neighbours.
        return float(_inter_sample_peaks(joined, self._peak)[_CONTEXT:-_CONTEXT].max(initial=0.0))


def _inter_sample_peaks(samples: Samples, threshold: float) -> Samples:
    """Largest value of all channels at each frame and up to the next one, between the samples too, shape (frames,).

    Only segments whose samples come within 6 dB of `threshold` are oversampled: no music rises by more between two samples,
    and oversampling everything would cost more than the rest of a song's mix.
    """
    peak = np.max(np.abs(samples), axis=0)
    for start in range(0, len(peak), _SEGMENT):
        stop = min(start + _SEGMENT, len(peak))
        if peak[start:stop].max() < 0.5 * threshold:
            continue
        first, last = max(0, start - _CONTEXT), min(len(peak), stop + _CONTEXT)
        oversampled = np.abs(signal.resample_poly(samples[:, first:last], _OVERSAMPLING, 1, axis=1)).max(axis=0)
        between = oversampled.reshape(-1, _OVERSAMPLING).max(axis=1)[start - first : stop - first]
        peak[start:stop] = np.maximum(peak[start:stop], between)
    return np.asarray(peak, dtype=np.float32)


def loudness_lufs(audio: Audio) -> float:
    """Integrated loudness in LUFS (BS.1770-4), -inf for silence.

    A sound shorter than one gating block (0.4 s) is measured as if silence followed it up to 0.4 s.
    """
    meter = LoudnessMeter(audio.sample_rate, audio.channels)
    missing = max(0, math.ceil(0.4 * audio.sample_rate) + 4 - audio.frames)
    meter.add(np.pad(audio.samples, ((0, 0), (0, missing))))
    return meter.integrated_lufs()


def true_peak_dbtp(audio: Audio) -> float:
    """True peak in dBTP (BS.1770-4), -inf for silence."""
    meter = TruePeakMeter(audio.channels)
    meter.add(audio.samples)
    return meter.true_peak_dbtp()


def normalise_loudness(audio: Audio, target_lufs: float, ceiling_dbtp: float = -1.0) -> Audio:
    """Bring a sound to a loudness in LUFS; short peaks that would pass the ceiling are rounded off, not clipped.

    The rounding is a gain curve (no waveshaping): over a window of 4 ms around each excess the level is lowered, so the
    contact click of an impact does not keep the rest of the sound quiet.

    Raises:
        AudioError: the sound is silent.
    """
    now = loudness_lufs(audio)
    if not math.isfinite(now):
        raise AudioError("sound is silent: it cannot be brought to a loudness")
    # Lowering peaks takes loudness away, so aim again; three rounds come within 0.1 LU where it is possible.
    gain_db = target_lufs - now
    for _ in range(3):
        result = limit_peaks(audio.scaled(from_db(gain_db)), ceiling_dbtp)
        gain_db += min(3.0, target_lufs - loudness_lufs(result))
    return limit_peaks(audio.scaled(from_db(gain_db)), ceiling_dbtp)


def limit_peaks(audio: Audio, ceiling_dbtp: float, window_s: float = 0.004) -> Audio:
    """Lower every stretch whose true peak passes the ceiling, by a smooth gain with look-ahead; else unchanged."""
    ceiling = from_db(ceiling_dbtp)
    gain = peak_gain(audio.samples, ceiling, max(2, round(window_s * audio.sample_rate)))
    return audio if gain is None else Audio(audio.samples * gain, audio.sample_rate)


def peak_gain(samples: Samples, ceiling: float, half: int) -> Samples | None:
    """Gain curve of shape (frames,) that keeps |samples| (oversampled 4 times) at or below `ceiling`; None if not needed.

    Derivation: with required gain r[n] = min(1, ceiling / peak[n]) let m[n] be the minimum of r over [n - half, n + half];
    averaging m with any window of total length 2 half + 1 and weight 1 gives g[n] <= r[n] everywhere, because each value
    averaged at n is a minimum over a span that contains n.
    """
    between = _inter_sample_peaks(samples, ceiling)
    peak = np.maximum(between, np.concatenate([between[:1], between[:-1]]))
    if peak.max(initial=0.0) <= ceiling:
        return None
    required = np.where(peak > ceiling, 0.9995 * ceiling / np.maximum(peak, 1e-12), 1.0)
    padded = np.pad(required, half, mode="edge")
    span = 2 * half + 1
    lowest = ndimage.minimum_filter1d(padded, span, mode="nearest")
    window = np.hanning(span + 2)[1:-1]
    smooth = signal.fftconvolve(lowest, window / window.sum(), mode="valid")
    return np.asarray(np.minimum(smooth, 1.0), dtype=np.float32)
