"""Loudness and true peak after ITU-R BS.1770-4, of a whole sound or of one that comes in blocks.

Nothing here needs scipy.signal: its import alone takes longer than measuring a minute of music.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import fft

from core.audio import Audio, Samples
from core.errors import AudioError

ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
_OFFSET_LUFS = -0.691  # BS.1770-4: makes a 0 dBFS 997 Hz sine in one channel read -3.01 LUFS
_K_IMPULSE_S = 0.085  # by then the K-weighting's impulse response has fallen by 140 dB
_BATCH_HOPS = 16  # transforms done side by side use the processor's wide registers
EDGE_FRAMES = 12
"""Frames on either side that an interpolated value depends on."""
_SLICE = 1 << 15  # samples that are interpolated together: bounds the memory, and stays in the cache


def to_db(amplitude: float) -> float:
    """20 log10 of an amplitude, -inf for 0."""
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf


def from_db(level_db: float) -> float:
    """Amplitude of a level in dB."""
    return float(10.0 ** (level_db / 20.0))


def k_weighting(frequency_hz: npt.NDArray[np.float64], sample_rate: int) -> npt.NDArray[np.complex128]:
    """Frequency response of BS.1770-4's K-weighting, same shape as `frequency_hz`.

    Two biquads after R. Bristow-Johnson's audio EQ cookbook, with pyloudnorm's parameters: a shelf of +4 dB at 1500 Hz
    (Q 0.71) and a high-pass at 38 Hz (Q 0.5).
    """
    z = np.exp(-2j * np.pi * frequency_hz / sample_rate)
    response = np.ones_like(z)
    for b, a in (_high_shelf(4.0, math.sqrt(0.5), 1500.0, sample_rate), _high_pass(0.5, 38.0, sample_rate)):
        response *= np.polyval(b[::-1], z) / np.polyval(a[::-1], z)
    return np.asarray(response)


_Biquad = tuple[list[float], list[float]]


def _high_shelf(gain_db: float, q: float, corner_hz: float, sample_rate: int) -> _Biquad:
    a, w = 10.0 ** (gain_db / 40.0), 2.0 * math.pi * corner_hz / sample_rate
    cos, slope = math.cos(w), math.sqrt(a) * math.sin(w) / q
    b = [a * (a + 1 + (a - 1) * cos + slope), -2 * a * (a - 1 + (a + 1) * cos), a * (a + 1 + (a - 1) * cos - slope)]
    return b, [a + 1 - (a - 1) * cos + slope, 2 * (a - 1 - (a + 1) * cos), a + 1 - (a - 1) * cos - slope]


def _high_pass(q: float, corner_hz: float, sample_rate: int) -> _Biquad:
    w = 2.0 * math.pi * corner_hz / sample_rate
    cos, alpha = math.cos(w), math.sin(w) / (2.0 * q)
    return [(1 + cos) / 2, -(1 + cos), (1 + cos) / 2], [1 + alpha, -2 * cos, 1 - alpha]


@cache
def _k_spectrum(sample_rate: int, hop: int) -> tuple[int, npt.NDArray[np.complex64]]:
    """Transform length, and the spectrum of the K-weighting's impulse response at that length."""
    taps = math.ceil(_K_IMPULSE_S * sample_rate)
    long = fft.next_fast_len(8 * taps, real=True)
    impulse = fft.irfft(k_weighting(np.arange(long // 2 + 1) * sample_rate / long, sample_rate), long)[:taps]
    length = fft.next_fast_len(hop + taps, real=True)
    return length, fft.rfft(impulse, length).astype(np.complex64)


def gated_loudness(hops: npt.ArrayLike) -> float:
    """Integrated loudness in LUFS of K-weighted powers (sum over channels) of 0.1 s each; -inf for silence or under 0.4 s.

    The 400 ms gating blocks overlap by 75 % as the standard asks.
    """
    powers = np.asarray(hops, dtype=np.float64)
    if len(powers) < 4:
        return -math.inf
    power = np.convolve(powers, np.full(4, 0.25), mode="valid")
    power = power[power > 10 ** ((ABSOLUTE_GATE_LUFS - _OFFSET_LUFS) / 10)]
    if not len(power):
        return -math.inf
    power = power[power > np.mean(power) * 10 ** (RELATIVE_GATE_LU / 10)]
    return float(_OFFSET_LUFS + 10 * np.log10(np.mean(power)))


class LoudnessMeter:
    """Integrated loudness of a sound that comes in blocks; memory grows by 80 bytes a second.

    The K-weighting is a convolution by overlap-save with one transform for each 0.1 s, several at a time.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._hop = round(0.1 * sample_rate)
        self._length, self._spectrum = _k_spectrum(sample_rate, self._hop)
        # The first transform looks back on silence.
        self._pending: list[Samples] = [np.zeros((channels, self._length - self._hop), dtype=np.float32)]
        self._waiting = 0
        self._hops: list[float] = []

    def add(self, block: Samples) -> None:
        """Take the next block, shape (frames, channels)."""
        self._pending.append(np.array(block.T, dtype=np.float32))
        self._waiting += len(block)
        if self._waiting >= _BATCH_HOPS * self._hop:
            self._weigh()

    def integrated_lufs(self) -> float:
        """Gated loudness of all blocks so far in LUFS, -inf for silence or less than 0.4 s."""
        self._weigh()
        return gated_loudness(self._hops)

    def _weigh(self) -> None:
        joined = np.concatenate(self._pending, axis=1)
        self._pending, self._waiting = [joined], 0
        if joined.shape[1] < self._length:
            return
        windows = np.lib.stride_tricks.sliding_window_view(joined, self._length, axis=1)[:, :: self._hop]
        for start in range(0, windows.shape[1], _BATCH_HOPS):
            spectra = fft.rfft(windows[:, start : start + _BATCH_HOPS], axis=2) * self._spectrum
            weighted = fft.irfft(spectra, self._length, axis=2)[:, :, self._length - self._hop :]
            self._hops.extend((np.einsum("chf,chf->h", weighted, weighted) / self._hop).tolist())
        self._pending = [joined[:, windows.shape[1] * self._hop :]]


class TruePeakMeter:
    """True peak of a sound that comes in blocks, by 4 times oversampling (BS.1770-4, annex 2)."""

    def __init__(self, channels: int) -> None:
        self._tail: Samples = np.zeros((2 * EDGE_FRAMES, channels), dtype=np.float32)
        self._peak = 0.0

    def add(self, block: Samples) -> None:
        """Take the next block, shape (frames, channels)."""
        joined = np.concatenate([self._tail, block])
        self._peak = max(self._peak, float(joined.max()), -float(joined.min()))
        # Near the edges the filter would hear a step that the sound does not have: those frames wait for their neighbours.
        _, between = peaks_between(joined, self._peak)
        self._peak = max(self._peak, float(between.max(initial=0.0)))
        self._tail = joined[-2 * EDGE_FRAMES :]

    def true_peak_dbtp(self) -> float:
        """Largest true peak so far in dBTP, -inf for silence."""
        self.add(np.zeros_like(self._tail))
        return to_db(self._peak)


@cache
def _interpolator() -> Samples:
    """Windowed sinc for the six points at quarters of a frame around a sample, shape (2 EDGE_FRAMES + 1, 6)."""
    points = np.array([-0.75, -0.5, -0.25, 0.25, 0.5, 0.75])
    distance = np.arange(-EDGE_FRAMES, EDGE_FRAMES + 1)[:, None] - points
    inside = np.sqrt(np.maximum(0.0, 1.0 - (distance / (EDGE_FRAMES + 1)) ** 2))
    return np.asarray(np.sinc(distance) * np.i0(5.0 * inside) / np.i0(5.0), dtype=np.float32)


def peaks_between(samples: Samples, threshold: float) -> tuple[npt.NDArray[np.intp], Samples]:
    """Largest values between the samples where they may reach `threshold`: frames, and the values up to the next frame.

    `samples` has shape (frames, channels). A frame can come more than once; the first and the last `EDGE_FRAMES` are context
    and are not looked at. Only some are: oversampling everything would cost more than the rest of a song's mix. A sine of w
    radians a frame whose samples lie at +-w/2 around its crest stands out by (1 - cos(w/2)) / (cos(w/2) - cos(3w/2)) of their
    second difference: 0.125 for low notes, 0.21 at a quarter of the sample rate, 1 at 0.87 of its half, where music ends.
    """
    channels = samples.shape[1]
    interleaved = np.ascontiguousarray(samples).reshape(-1)
    edge = EDGE_FRAMES * channels
    found = [
        start + np.flatnonzero(_may_reach(interleaved[start : start + _SLICE + 2 * edge], channels, threshold))
        for start in range(0, len(interleaved) - 2 * edge, _SLICE)
    ]
    at = np.concatenate(found) if found else np.zeros(0, dtype=np.intp)
    if not len(at):
        return at, np.zeros(0, dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(interleaved, 2 * edge + 1)[:, ::channels]
    around = np.abs(windows[at] @ _interpolator())
    frames = at // channels + EDGE_FRAMES
    return np.concatenate([frames - 1, frames]), np.concatenate([around[:, :3].max(axis=1), around[:, 3:].max(axis=1)])


def _may_reach(interleaved: Samples, channels: int, threshold: float) -> npt.NDArray[np.bool_]:
    """For each sample but `EDGE_FRAMES` frames at either end: may the sound reach the threshold less than one frame away?"""
    first, stop = EDGE_FRAMES * channels, len(interleaved) - EDGE_FRAMES * channels
    middle = interleaved[first:stop]
    bend = interleaved[first - channels : stop - channels] + interleaved[first + channels : stop + channels]
    bend -= 2.0 * middle
    np.abs(bend, out=bend)
    bend += np.abs(middle)
    return np.asarray(bend >= max(0.97 * threshold, 1e-9))


def inter_sample_peaks(samples: Samples, threshold: float) -> Samples:
    """Largest value of all channels at each frame and up to the next one, between the samples too, shape (frames,).

    `samples` has shape (channels, frames); silence is taken to lie around it. What lies between is found where it may
    reach `threshold`.
    """
    peak = np.max(np.abs(samples), axis=0, initial=0.0)
    frames, between = peaks_between(np.pad(samples, ((0, 0), (EDGE_FRAMES, EDGE_FRAMES))).T, threshold)
    np.maximum.at(peak, np.maximum(frames - EDGE_FRAMES, 0), between)
    return np.asarray(peak, dtype=np.float32)


def loudness_lufs(audio: Audio) -> float:
    """Integrated loudness in LUFS (BS.1770-4), -inf for silence.

    A sound shorter than one gating block (0.4 s) is measured as if silence followed it up to 0.4 s.
    """
    meter = LoudnessMeter(audio.sample_rate, audio.channels)
    missing = max(0, math.ceil(0.4 * audio.sample_rate) + 4 - audio.frames)
    meter.add(np.pad(audio.samples, ((0, 0), (0, missing))).T)
    return meter.integrated_lufs()


def true_peak_dbtp(audio: Audio) -> float:
    """True peak in dBTP (BS.1770-4), -inf for silence."""
    meter = TruePeakMeter(audio.channels)
    meter.add(audio.samples.T)
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
    between = inter_sample_peaks(samples, ceiling)
    peak = np.maximum(between, np.concatenate([between[:1], between[:-1]]))
    if peak.max(initial=0.0) <= ceiling:
        return None
    required = np.where(peak > ceiling, 0.9995 * ceiling / np.maximum(peak, 1e-12), 1.0)
    span = 2 * half + 1
    lowest = sliding_minimum(np.pad(required, 2 * half, mode="edge"), span)
    window = np.hanning(span + 2)[1:-1]
    smooth = _convolved(lowest, window / window.sum())
    return np.asarray(np.minimum(smooth, 1.0), dtype=np.float32)


def sliding_minimum(values: npt.NDArray[np.float64], span: int) -> npt.NDArray[np.float64]:
    """Minimum of each `span` neighbours, shape (len(values) - span + 1,)."""
    width = 1
    while 2 * width <= span:  # minima of 1, 2, 4 ... neighbours; two that overlap cover any span
        values = np.minimum(values[:-width], values[width:])
        width *= 2
    rest = span - width
    return values if rest == 0 else np.minimum(values[:-rest], values[rest:])


def _convolved(values: npt.NDArray[np.float64], window: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convolution where `window` lies wholly inside `values`."""
    length = fft.next_fast_len(len(values), real=True)
    product = fft.irfft(fft.rfft(values, length) * fft.rfft(window, length), length)
    return np.asarray(product[len(window) - 1 : len(values)])
