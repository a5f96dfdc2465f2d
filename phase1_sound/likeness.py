"""Does a sound resemble speech or music, is it rough, even, quick? Figures of 0..1 and the like that need no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, signal

Array = npt.NDArray[np.float64]

_LEVEL_HZ = 100.0  # frames of level curves per second
_ENDS = 15  # of them that may be a fade

_VOICE_RATE = 8000.0
_VOICE_FRAME, _VOICE_HOP = 0.04, 0.02  # seconds
_VOICE_HZ = (75.0, 400.0)
_VOICED = 0.55  # least periodicity of a voiced frame
_GLIDE = (0.004, 0.1)  # least and greatest change of a speaking voice's pitch from frame to frame

_TONE_RATE = 16000.0
_TONE_N_FFT, _TONE_HOP = 2048, 512
_TONE_DB = 14.0  # a tone stands so far above the median around it
_BLOCK = 32  # bins that make the surroundings of a tone
_TONE_FRAMES = 5  # and stays on its place for so many frames


@dataclass(frozen=True)
class Likeness:
    """What a sound resembles.

    speech_share: share of its sounding time that is voiced with a gliding pitch and syllables, 0..1; music_share: share of its
    power in steady tones of changing pitch, 0..1; regularity: 1 when its level repeats exactly; roughness: fluctuation of its
    level at 20..150 Hz over its mean; pace_hz: how often a second its level rises and falls; ringing_db: its mean level under
    its peak level (0 lasts, -50 is dry); spread_db: standard deviation of its level; unrest_db_s: how fast its level moves, RMS
    in dB per second.
    """

    speech_share: float
    music_share: float
    regularity: float
    roughness: float
    pace_hz: float
    ringing_db: float
    spread_db: float
    unrest_db_s: float


def likeness(mono: Array, sample_rate: int, levels_db: Array) -> Likeness:
    """Measure a sound of shape (frames,); `levels_db` are its levels in dBFS, 100 a second."""
    return Likeness(
        speech_share=speech_share(mono, sample_rate),
        music_share=music_share(mono, sample_rate),
        regularity=regularity(levels_db),
        roughness=roughness(mono, sample_rate),
        pace_hz=pace_hz(levels_db),
        ringing_db=ringing_db(levels_db),
        spread_db=float(np.std(_smooth(levels_db))),
        unrest_db_s=unrest_db_s(levels_db),
    )


def ringing_db(levels_db: Array) -> float:
    """Mean level under the loudest frame in dB, frames more than 60 dB under it counted as -60."""
    return float(np.mean(np.maximum(levels_db - levels_db.max(), -60.0)))


def regularity(levels_db: Array) -> float:
    """How well the level curve repeats itself after some 0.12 to 2 seconds: its highest autocorrelation there, 0..1.

    Levels are cut 40 dB under the loudest frame and freed of what changes slower than once in 2 s, so that neither a long
    decay nor silence counts as repetition.
    """
    curve = np.maximum(levels_db, levels_db.max() - 40.0)
    curve = ndimage.uniform_filter1d(curve, 3)
    curve = curve - ndimage.uniform_filter1d(curve, 200)
    longest = min(200, len(curve) // 2)
    if longest <= 24 or float(np.std(curve)) < 0.3:
        return 0.0
    lags = np.arange(8, longest)
    corr = np.array([_correlation(curve[:-lag], curve[lag:]) for lag in lags])
    # Only a maximum counts: every curve resembles itself a moment later.
    peaks = np.flatnonzero((corr[1:-1] >= corr[:-2]) & (corr[1:-1] >= corr[2:])) + 1
    peaks = peaks[lags[peaks] >= 12]
    return float(np.clip(corr[peaks].max(initial=0.0), 0.0, 1.0))


def _correlation(one: Array, other: Array) -> float:
    scale = float(np.sqrt(np.sum(one**2) * np.sum(other**2)))
    return float(np.sum(one * other)) / scale if scale > 0 else 0.0


def roughness(mono: Array, sample_rate: int) -> float:
    """Fluctuation of the envelope between 20 and 150 Hz over its mean.

    Fluctuations of about 15 to 300 Hz are what is heard as rough (Fastl and Zwicker, "Psychoacoustics", 2007).
    """
    step = max(1, round(sample_rate / 1000))
    whole = len(mono) // step * step
    if whole < 100 * step:
        return 0.0
    envelope = np.sqrt(np.mean(mono[:whole].reshape(-1, step) ** 2, axis=1))
    mean = float(envelope.mean())
    if mean <= 0:
        return 0.0
    power = np.abs(np.fft.rfft(envelope - mean)) ** 2
    freqs = np.fft.rfftfreq(len(envelope), step / sample_rate)
    fast = power[(freqs >= 20.0) & (freqs <= 150.0)].sum()
    return float(np.sqrt(2 * fast) / len(envelope) / mean)


def pace_hz(levels_db: Array) -> float:
    """How often a second the level rises and falls, 0 for what stays: Rice's rate of crossings, std(L') / (2 pi std(L))."""
    curve = _smooth(levels_db)
    spread = float(np.std(curve))
    return float(np.std(np.diff(curve)) / spread * _LEVEL_HZ / (2 * np.pi)) if len(curve) > 7 and spread > 0.2 else 0.0


def unrest_db_s(levels_db: Array) -> float:
    """How fast the level moves in dB per second (RMS), by steps of 10 ms of the smoothed level; fades at the ends left out."""
    steps = np.diff(_smooth(levels_db))[_ENDS:-_ENDS]
    return float(np.sqrt(np.mean(steps**2)) * _LEVEL_HZ) if len(steps) else 0.0


def _smooth(levels_db: Array) -> Array:
    """Levels cut 40 dB under the loudest and averaged over 70 ms."""
    return np.asarray(ndimage.uniform_filter1d(np.maximum(levels_db, levels_db.max() - 40.0), 7))


def _slower(mono: Array, sample_rate: int, wanted: float) -> tuple[Array, float]:
    """The sound at about `wanted` frames a second, by a whole factor, and its rate."""
    factor = max(1, int(sample_rate / wanted))
    if factor == 1 or len(mono) < 100:
        return mono, float(sample_rate)
    sections = signal.butter(6, 0.42 / factor, output="sos", fs=1.0)
    return np.asarray(signal.sosfilt(sections, mono)[::factor]), sample_rate / factor


def speech_share(mono: Array, sample_rate: int) -> float:
    """Share of the sounding frames in which somebody might be speaking, 0..1.

    Such a frame is voiced (periodic with 75-400 Hz; autocorrelation after Boersma, 1993), its pitch glides as no machine's or
    bell's does, and most of its power lies between 200 and 4000 Hz. Calls of animals glide, too: the share alone does not
    tell them from people.
    """
    slow, rate = _slower(mono, sample_rate, _VOICE_RATE)
    frames = _framed(slow, round(_VOICE_FRAME * rate), round(_VOICE_HOP * rate))
    if len(frames) < 5:
        return 0.0
    power = np.mean(frames**2, axis=1)
    sounding = power > 1e-3 * power.max(initial=0.0)
    if not sounding.any():
        return 0.0
    strength, pitch = _periodicity(frames, rate)
    change = np.abs(np.diff(np.log2(pitch), prepend=np.log2(pitch[:1])))
    gliding = (change >= _GLIDE[0]) & (change <= _GLIDE[1])
    speaking = sounding & (strength > _VOICED) & (ndimage.uniform_filter1d(gliding.astype(float), 3) > 0.6)
    return float(np.mean(speaking[sounding]))


def _framed(sound: Array, length: int, hop: int) -> Array:
    if len(sound) < length:
        return np.zeros((0, length))
    return np.lib.stride_tricks.sliding_window_view(sound, length)[::hop]


def _periodicity(frames: Array, rate: float) -> tuple[Array, Array]:
    """How periodic each frame is (0..1) and its pitch in Hz.

    Boersma (1993): the autocorrelation of a windowed frame, divided by that of the window, so that long lags count as much as
    short ones.
    """
    length = frames.shape[1]
    window = np.hanning(length)
    n_fft = 1 << (2 * length - 1).bit_length()
    spectrum = np.abs(np.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * window, n_fft)) ** 2
    corr = np.fft.irfft(spectrum)[:, :length]
    own = np.fft.irfft(np.abs(np.fft.rfft(window, n_fft)) ** 2)[:length]
    lags = np.arange(int(rate / _VOICE_HZ[1]), min(int(rate / _VOICE_HZ[0]), length - 1))
    shape = corr[:, lags] / np.maximum(corr[:, :1], 1e-15) / (own[lags] / own[0])
    best = shape.argmax(axis=1)
    return shape[np.arange(len(frames)), best], rate / (lags[best] + _between(shape, best))


def _between(shape: Array, best: npt.NDArray[np.int64]) -> Array:
    """Where a parabola through a maximum and its neighbours peaks, -0.5..0.5 of a lag."""
    rows, inner = np.arange(len(shape)), np.clip(best, 1, shape.shape[1] - 2)
    before, here, after = (shape[rows, inner + d] for d in (-1, 0, 1))
    bend = before - 2 * here + after
    place = np.where(np.abs(bend) > 1e-12, 0.5 * (before - after) / np.where(np.abs(bend) > 1e-12, bend, 1.0), 0.0)
    return np.asarray(np.where(best == inner, np.clip(place, -0.5, 0.5), 0.0))


def music_share(mono: Array, sample_rate: int) -> float:
    """Share of the power in steady tones, times how much the tones change, 0..1: a melody or chords, not one bell or a hum.

    A steady tone is a spectral peak of 80..5000 Hz that stands 14 dB above its surroundings and keeps its place for 0.16 s.
    Power is folded into twelve pitch classes a frame (chroma); the change is one less the mean likeness of frames half a
    second apart.
    """
    slow, rate = _slower(mono, sample_rate, _TONE_RATE)
    frames = _framed(slow, _TONE_N_FFT, _TONE_HOP)
    apart = max(1, round(0.5 * rate / _TONE_HOP))
    if len(frames) < 2 * apart:
        return 0.0
    spectrum = fft.rfft((frames * np.hanning(_TONE_N_FFT)).astype(np.float32), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    freqs = np.fft.rfftfreq(_TONE_N_FFT, 1 / rate)
    total = float(power[:, freqs >= 40.0].sum())
    if total <= 1e-12:
        return 0.0
    heard = slice(int(np.searchsorted(freqs, 80.0)), int(np.searchsorted(freqs, 5000.0)))
    steady = np.where(_steady(power[:, heard]), power[:, heard], 0.0)
    chroma = steady @ _pitch_classes(freqs[heard])
    return float(np.clip(steady.sum() / total * _change(chroma, apart), 0.0, 1.0))


def _steady(power: Array) -> npt.NDArray[np.bool_]:
    """Which bins belong to tones that keep their place, shape (frames, bins)."""
    around = _medians(power)
    peaks = (power == ndimage.maximum_filter1d(power, 3, axis=1)) & (power > 10 ** (_TONE_DB / 10) * around)
    near = ndimage.maximum_filter1d(peaks.astype(np.uint8), 3, axis=1)
    lasting = ndimage.minimum_filter1d(near, _TONE_FRAMES, axis=0)
    kept = ndimage.maximum_filter1d(lasting, _TONE_FRAMES, axis=0)
    return np.asarray(ndimage.maximum_filter1d(kept, 3, axis=1) > 0)


def _medians(power: Array) -> Array:
    """Median of the 32 bins around each bin, in steps of 32 (a sliding one takes ten times as long)."""
    blocks = -(-power.shape[1] // _BLOCK)
    padded = np.pad(power, ((0, 0), (0, blocks * _BLOCK - power.shape[1])), mode="edge")
    return np.repeat(np.median(padded.reshape(len(power), blocks, _BLOCK), axis=2), _BLOCK, axis=1)[:, : power.shape[1]]


def _pitch_classes(freqs: Array) -> Array:
    """Which pitch class each frequency belongs to, shape (frequencies, 12)."""
    classes = np.round(12 * np.log2(freqs / 440.0)).astype(int) % 12
    return np.asarray(classes[:, None] == np.arange(12), dtype=np.float64)


def _change(chroma: Array, apart: int) -> float:
    """One less the mean cosine likeness of frames so far apart, frames weighted by their power."""
    one, other = np.sqrt(chroma[:-apart]), np.sqrt(chroma[apart:])
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    if norms.sum() <= 0:
        return 0.0
    return float(1 - (one * other).sum() / norms.sum())
