"""Is this effect usable? Figures that need no model, and what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

from core.audio import Audio
from core.loudness import loudness_lufs, to_db, true_peak_dbtp
from phase1_sound.likeness import likeness
from schemas.effect import Measures

FLOOR_DB = -120.0  # stands for silence in documents, which hold no infinities
SILENT_FRAME_DB = -60.0
SILENT_LUFS = -60.0
QUIET_LUFS = -30.0
SHORT_S = 0.25
CLIPPED_SHARE = 1e-4
DC_LIMIT = 0.01
MOSTLY_SILENT = 0.9

# Set between five sentences of a speech synthesiser (0.50-0.69), six scores played by sines, and all foley gestures.
SPEECH_SHARE, SPEECH_PACE_HZ, SPEECH_REGULARITY = 0.45, (2.2, 5.0), 0.5
MUSIC_SHARE, MUSIC_REGULARITY = 0.2, 0.3
CONTINUOUS_DB = -36.0  # speech and music do not consist of single hits in silence

_FRAME_S = 0.01  # level frames
_N_FFT, _HOP = 1024, 441
_LAG = 4  # frames of _HOP between the levels that are compared
_ONSET_RISE_DB = 2.0  # mean rise over the bands that makes an onset
_ONSET_GAP = 6  # frames of _HOP between two onsets
_BANDS = 16
# Of the strongest bin: what lies below is a resampler's stopband (soxr: 120 dB and more) or the rounding to 24 bits.
_HELD_SHARE = 1e-11

Array = npt.NDArray[np.float64]


def measure(audio: Audio) -> Measures:
    """Measure an effect of any length and number of channels; -120 dB stands for silence."""
    mono = audio.mono().astype(np.float64)
    levels = frame_levels(mono, audio.sample_rate)
    power, freqs = _mean_spectrum(mono, audio.sample_rate)
    like = likeness(mono, audio.sample_rate, levels)
    rms = float(np.sqrt(np.mean(mono**2))) if mono.size else 0.0
    return Measures(
        loudness_lufs=max(loudness_lufs(audio), FLOOR_DB),
        true_peak_dbtp=max(true_peak_dbtp(audio), FLOOR_DB),
        silence_share=float(np.mean(levels < SILENT_FRAME_DB)),
        clipped_share=float(np.mean(np.abs(audio.samples) >= 0.999)) if audio.frames else 0.0,
        dc=float(np.max(np.abs(audio.samples.mean(axis=1)))) if audio.frames else 0.0,
        centroid_hz=centroid_hz(power, freqs),
        rolloff_hz=rolloff_hz(power, freqs),
        flatness=flatness(power, freqs),
        crest_db=to_db(float(np.abs(mono).max()) / rms) if rms > 0 else 0.0,
        onset_rate_hz=len(onset_times(mono, audio.sample_rate)) / max(audio.duration_s, _FRAME_S),
        t30_s=t30_s(levels),
        **{name: round(value, 4) for name, value in vars(like).items()},
    )


def verdict(audio: Audio, measures: Measures, *, timbre: Sequence[str] = (), may_sing: bool = False) -> list[str]:
    """What makes an effect unusable or poor, in words for the document; empty when it is good.

    `timbre` are the words that were asked for; with `may_sing` (engines that were trained on recordings of everything) a
    sound that resembles speech or music is refused, too.
    """
    if measures.loudness_lufs <= SILENT_LUFS:
        return ["silent"]
    findings = _broken(audio, measures)
    if may_sing:
        findings += _human(measures)
    return findings + contradicted(timbre, measures)


def _broken(audio: Audio, measures: Measures) -> list[str]:
    findings = {
        f"too short: {audio.duration_s:.2f} s": audio.duration_s < SHORT_S,
        f"too quiet: {measures.loudness_lufs:.1f} LUFS": measures.loudness_lufs < QUIET_LUFS,
        f"clipped: {100 * measures.clipped_share:.2f} % of the samples": measures.clipped_share > CLIPPED_SHARE,
        f"mostly silence: {100 * measures.silence_share:.0f} %": measures.silence_share > MOSTLY_SILENT,
        f"DC offset: {measures.dc:.3f}": measures.dc > DC_LIMIT,
    }
    return [text for text, found in findings.items() if found]


def _human(measures: Measures) -> list[str]:
    """Speech and music in an effect: continuous sounds of gliding voices, or of steady tones that change in time."""
    speech, music = measures.speech_share or 0.0, measures.music_share or 0.0
    even, pace = measures.regularity or 0.0, measures.pace_hz or 0.0
    continuous = (measures.ringing_db or 0.0) > CONTINUOUS_DB
    syllables = SPEECH_PACE_HZ[0] <= pace <= SPEECH_PACE_HZ[1] and even < SPEECH_REGULARITY
    findings = {
        f"sounds like speech: {100 * speech:.0f} % of it": speech > SPEECH_SHARE and syllables and continuous,
        f"sounds like music: {100 * music:.0f} % of it": music > MUSIC_SHARE and even > MUSIC_REGULARITY and continuous,
    }
    return [text for text, found in findings.items() if found]


# fmt: off
TIMBRE_FEATURES: tuple[tuple[str, int, float | None, str], ...] = (
    ("centroid_hz", 1, 350.0,
     "bright brilliant sharp crisp keen tinny piercing sparkling shimmering glittering shrill clear clean high thin light "
     "delicate tiny metallic glassy crystalline hard hardness percussive punchy clicky clacking snappy forceful strong "
     "sudden small little mini miniature narrow"),
    ("centroid_hz", -1, 6500.0,
     "dark dull muffled muted subdued mellow warm round dim rich full lush deep low boomy booming bassy heavy rumbling "
     "thunderous hollow woody wooden earthy organic soft softly gentle gently smooth tender plush large big huge massive "
     "giant enormous wide tall"),
    ("ringing_db", 1, -52.0,
     "resonant ringing reverberant echoing echoey sustained lingering long sonorous vibrating singing"),
    ("ringing_db", -1, None,
     "dry short dead damped abrupt staccato choked tight solid dense thick"),
    ("roughness", 1, None,
     "rough gritty coarse harsh raspy grainy scratchy textured jagged rugged"),
    ("flatness", 1, 0.0005,
     "hushed airy breathy whispering whispery breezy windy wispy hissing"),
    ("unrest_db_s", 1, None,
     "fast rapid rapidly quick quickly brisk busy hurried frantic lively energetic"),
    ("unrest_db_s", -1, None,
     "slow slowly lazy calm peaceful leisurely sparse relaxed"),
    ("regularity", 1, 0.05,
     "rhythmic rhythmically regular regularly repetitive pulsing"),
    ("spread_db", -1, None, "steady constant even"),
    ("regularity", -1, None,
     "irregular random erratic uneven chaotic sporadic"),
)
# fmt: on
"""Feature of `Measures`, the direction in which the words move it, and the value that contradicts them: beyond it, no listener
would use the word (None: there is no such value; the feature is only compared with a neutral sound's)."""

FEATURE_OF_WORD: dict[str, tuple[str, int, float | None]] = {
    word: (feature, sign, limit) for feature, sign, limit, words in TIMBRE_FEATURES for word in words.split()
}


def contradicted(timbre: Sequence[str], measures: Measures) -> list[str]:
    """Words of timbre that the figures plainly contradict, each with its figure."""
    findings = []
    for word in dict.fromkeys(word for text in timbre for word in text.lower().split()):
        feature, sign, limit = FEATURE_OF_WORD.get(word, ("", 0, None))
        value = getattr(measures, feature, None)
        if limit is not None and value is not None and sign * (value - limit) < 0:
            findings.append(f"not {word}: {feature} {value:.3g}")
    return findings


def frame_levels(mono: Array, sample_rate: int) -> Array:
    """RMS level in dBFS of successive 10 ms frames, shape (frames,), at least one."""
    size = max(1, round(_FRAME_S * sample_rate))
    whole = max(1, math.ceil(len(mono) / size))
    padded = np.pad(mono, (0, whole * size - len(mono)))
    return np.asarray(10 * np.log10(np.mean(padded.reshape(whole, size) ** 2, axis=1) + 1e-12))


def t30_s(levels: Array) -> float | None:
    """Seconds from the loudest frame until the level has first fallen 30 dB below it, None when it never
    does.
    """
    start = int(np.argmax(levels))
    below = np.flatnonzero(levels[start:] <= levels[start] - 30.0)
    return round(float(below[0]) * _FRAME_S, 3) if len(below) and levels[start] > SILENT_FRAME_DB else None


def _mean_spectrum(mono: Array, sample_rate: int) -> tuple[Array, Array]:
    """Power per bin, averaged over the whole sound (so loud parts count most), and the bins' frequencies in
    Hz.
    """
    if len(mono) < 2 * _N_FFT:
        mono = np.pad(mono, (0, 2 * _N_FFT - len(mono)))
    freqs, power = signal.welch(mono, sample_rate, nperseg=2 * _N_FFT, detrend=False)
    heard = freqs >= 20.0
    return power[heard], freqs[heard]


def centroid_hz(power: Array, freqs: Array) -> float:
    """Centre of gravity of the power spectrum in Hz, 0 for silence."""
    total = float(power.sum())
    return float((power * freqs).sum() / total) if total > 0 else 0.0


def rolloff_hz(power: Array, freqs: Array, share: float = 0.85) -> float:
    """Frequency in Hz below which `share` of the power lies, 0 for silence."""
    total = np.cumsum(power)
    return float(freqs[int(np.searchsorted(total, share * total[-1]))]) if total[-1] > 0 else 0.0


def flatness(power: Array, freqs: Array) -> float:
    """Spectral flatness from 50 Hz to 16 kHz: geometric over arithmetic mean, 1 for white noise, 0 for a tone.

    Empty bands at the top do not count: a sound of 16 kHz holds nothing above 8 kHz, and is no less airy for it.
    """
    held = np.flatnonzero(power > _HELD_SHARE * power.max(initial=0.0))
    highest_hz = min(16000.0, float(freqs[held[-1]])) if len(held) else 0.0
    band = power[(freqs >= 50.0) & (freqs <= highest_hz)]
    mean = float(band.mean()) if len(band) else 0.0
    return float(np.exp(np.mean(np.log(band + 1e-20))) / mean) if mean > 1e-18 else 0.0


def onset_times(mono: Array, sample_rate: int) -> list[float]:
    """Times in seconds at which something begins.

    Spectral flux on log bands (Böck and Widmer, "Maximum filter vibrato suppression for onset detection",
    2013): the rise in dB of 16 bands against the maximum over neighbouring bands 40 ms earlier, averaged;
    its peaks where they stand 2 dB above their surroundings, at least 60 ms apart. Bands and frames are wide
    enough that the chance fluctuations of steady noise stay below that.
    """
    levels = band_levels(mono, sample_rate)
    before = ndimage.maximum_filter1d(levels, 3, axis=0)[:, :-_LAG]
    rise = np.maximum(levels[:, _LAG:] - before, 0.0).mean(axis=0)
    flux = np.concatenate([np.zeros(_LAG), rise])
    peak = flux == ndimage.maximum_filter1d(flux, 2 * _ONSET_GAP + 1)
    local = ndimage.median_filter(flux, 31)
    frames = np.flatnonzero(peak & (flux > local + _ONSET_RISE_DB))
    delay = _LAG * _HOP + _N_FFT // 2
    return [max(0.0, float((frame * _HOP - delay) / sample_rate)) for frame in frames]


def band_levels(mono: Array, sample_rate: int) -> Array:
    """Level in dB of 16 log-spaced bands from 60 Hz to 14 kHz, shape (bands, frames of 10 ms).

    Power is averaged over 30 ms; 50 dB below the loudest band is the floor. The sound is taken to be preceded
    by silence, so that one that begins at once has its onset.
    """
    padded = np.concatenate([np.zeros(_N_FFT + _LAG * _HOP), mono, np.zeros(_N_FFT)])
    _, _, spectrum = signal.stft(
        padded, sample_rate, nperseg=_N_FFT, noverlap=_N_FFT - _HOP, boundary=None, padded=False
    )
    edges = np.geomspace(60.0, min(14000.0, 0.45 * sample_rate), _BANDS + 1) * _N_FFT / sample_rate
    low = np.floor(edges[:-1]).astype(int)
    high = np.maximum(np.ceil(edges[1:]).astype(int), low + 4)
    cumulated = np.concatenate([np.zeros((1, spectrum.shape[1])), np.cumsum(np.abs(spectrum) ** 2, axis=0)])
    power = ndimage.uniform_filter1d(cumulated[high] - cumulated[low], 3, axis=1)
    return np.asarray(10 * np.log10(power + max(float(power.max(initial=0.0)), 1e-12) * 1e-5))
