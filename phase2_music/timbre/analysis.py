"""What a timbre engine needs to know of an effect: where it begins, its colour, how it changes, its grain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, signal

from core.audio import Audio
from core.errors import AudioError

Floats = npt.NDArray[np.float64]

BANDS_HZ: Floats = 35.0 * 2.0 ** (np.arange(0, 9.01, 0.25))
"""Centres of the quarter-octave bands in which colour is described, 35 Hz to 17.9 kHz."""

AUDITORY_HZ: Floats = (10 ** (np.arange(1.5, 40.01, 0.5) / 21.4) - 1.0) / 0.00437
"""Centres of the bands in which lasting colour is described: half an ear's critical band apart (Glasberg and Moore 1990), 40 Hz
to 16.7 kHz."""

_NOTHING_DB = -50.0  # under the loudest band: an effect has nothing there
_STEEP_DB = 24.0  # per octave: how colour falls above what an effect has, through silence
_SLOW_DB = 4.5  # and through hiss
_HISS_LIFT_DB = 18.0  # hiss lies under all that sounds, so the mean over moments weighs it less than the ear does
_HOP = 256
_WINDOW = 1024
_LONG_WINDOW = 2048


@dataclass(frozen=True)
class SoundModel:
    """An effect's mono samples from its strongest onset on, with views of it.

    Attributes:
        samples: shape (frames,), from 5 ms before the onset.
        sample_rate: in Hz.
        opening: shape (frames,), the first second of the whole sound, or of `samples` where that is too soft.
    """

    samples: Floats
    sample_rate: int
    opening: Floats

    @classmethod
    def of(cls, sound: Audio) -> SoundModel:
        """Find the strongest onset of a sound.

        Raises:
            AudioError: the sound is silent.
        """
        mono = sound.mono().astype(np.float64)
        mono -= mono.mean() if len(mono) else 0.0
        if not len(mono) or np.max(np.abs(mono)) < 1e-5:
            raise AudioError("sound is silent: nothing can be made of it")
        start = max(0, strongest_onset(mono, sound.sample_rate) - round(0.005 * sound.sample_rate))
        return cls(mono[start:], sound.sample_rate, opening(mono, start, sound.sample_rate))

    @cached_property
    def body(self) -> Floats:
        """The part that sounds: up to 1.5 s, to where the level stays 35 dB below its highest; at least 60 ms."""
        level = running_rms(self.samples, round(0.02 * self.sample_rate))
        audible = np.flatnonzero(level > level.max() * 10 ** (-35 / 20))
        end = min(int(audible[-1]) + 1, round(1.5 * self.sample_rate))
        return self.samples[: max(end, min(len(self.samples), round(0.06 * self.sample_rate)))]

    @cached_property
    def flat_body(self) -> Floats:
        """The body with its level evened out (at most 30 dB of lift), unit RMS: the grain without the decay."""
        level = running_rms(self.body, round(0.06 * self.sample_rate))
        flat = self.body / np.maximum(level, level.max() * 10 ** (-30 / 20))
        return np.asarray(flat / np.sqrt(np.mean(flat**2)))

    @cached_property
    def colour_db(self) -> Floats:
        """Density of the body's power in each of BANDS_HZ in dB, the highest at 0, none under -60."""
        _, density = signal.welch(
            np.pad(self.flat_body, (0, max(0, 8192 - len(self.flat_body)))), self.sample_rate, nperseg=8192
        )
        power = band_matrix(self.sample_rate, 8192) @ density
        level = 10 * np.log10(power + 1e-20)
        return np.asarray(np.maximum(level - level.max(), -60.0))

    def colour_at(self, f_hz: Floats) -> Floats:
        """Colour in dB at frequencies in Hz, interpolated over log frequency."""
        return np.interp(np.log(np.maximum(f_hz, 1.0)), np.log(BANDS_HZ), self.colour_db)

    @cached_property
    def lasting_colour_db(self) -> Floats:
        """Mean over time of the opening's level in dB in each of AUDITORY_HZ, the highest at 0.

        A held note lasts as long as all that the effect does in turns. The mean of its power (`colour_db`) would hold on to its
        loudest moments alone; the mean of levels weighs them with the rest, as the ear does, which hears in dB. Moments more
        than 40 dB under the loudest do not count, nor does what lies 60 dB under the loudest band. Above the last band that
        holds anything the colour falls on, steeply where there is silence, slowly where there is hiss: a floor there would be
        white to a note whose harmonics find nothing else.
        """
        padded = np.pad(self.opening, (0, max(0, _LONG_WINDOW - len(self.opening))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, _LONG_WINDOW)[:: _LONG_WINDOW // 4]
        spectrum = np.abs(fft.rfft(frames * _hann(_LONG_WINDOW), axis=1)) ** 2
        power = spectrum @ auditory_matrix(self.sample_rate).T
        total = power.sum(axis=1)
        level = 10 * np.log10(power[total >= 1e-4 * total.max()] + 1e-20)
        mean = np.maximum(level, level.max() - 60.0).mean(axis=0)
        colour = np.asarray(mean - mean.max())
        last = int(np.flatnonzero(colour > _NOTHING_DB)[-1])
        octaves, hiss = np.log2(AUDITORY_HZ[last:] / AUDITORY_HZ[last]), level.mean(axis=0)[last:] - mean.max()
        falls = [colour[last] - fall_db * octaves for fall_db in (_STEEP_DB, _SLOW_DB)]
        above = np.clip(hiss + _HISS_LIFT_DB, *falls)
        colour[last:] = np.minimum(colour[last:], above)
        return colour

    def evolution(self, frames: int) -> Floats:
        """How the first `frames` samples differ from the flat body: amplitude gains, shape (bands, columns of 256 frames)."""
        head = np.pad(self.samples[:frames], (0, max(0, frames - len(self.samples))))
        spectrum = np.abs(stft(head)) ** 2
        power = band_matrix(self.sample_rate, _WINDOW) @ spectrum
        reference = np.abs(stft(self.flat_body * np.sqrt(np.mean(self.body**2)))) ** 2
        mean = (band_matrix(self.sample_rate, _WINDOW) @ reference).mean(axis=1, keepdims=True)
        smooth = signal.convolve(power, np.array([[0.25, 0.5, 0.25]]), mode="same")
        return np.asarray(np.clip(np.sqrt(smooth / (mean + 1e-12)), 10 ** (-24 / 20), 10 ** (6 / 20)))

    def texture(self, frames: int, rng: np.random.Generator) -> Floats:
        """A seamless ring of `frames` samples with the body's colour and grain, unit RMS.

        Grains of 0.25 s (or the whole body, where it is shorter) from random places of the flat body, in a random turn, are
        overlapped by half on a ring with a sine window: squares of the window add up to one, which keeps the power of
        unrelated grains.
        """
        flat = self.flat_body
        grain = min(round(0.25 * self.sample_rate), len(flat), frames)
        count = max(2, round(2 * frames / grain))
        window = np.sin(np.pi * (np.arange(grain) + 0.5) / grain)
        ring = np.zeros(frames)
        for index in range(count):
            start = int(rng.integers(0, len(flat) - grain + 1))
            places = (round(index * frames / count) + np.arange(grain)) % frames
            ring[places] += window * flat[start : start + grain]
        return np.asarray(ring / (np.sqrt(np.mean(ring**2)) + 1e-12))


def strongest_onset(mono: Floats, sample_rate: int) -> int:
    """Frame at which the loudest event begins: from the loudest 10 ms back to where the level is 20 dB lower."""
    width = max(1, round(0.01 * sample_rate))
    blocks = len(mono) // width
    if blocks < 2:
        return 0
    level = np.sqrt(np.mean(mono[: blocks * width].reshape(blocks, width) ** 2, axis=1))
    # An onset in the last third would leave nothing to play on.
    peak = int(np.argmax(level[: max(1, 2 * blocks // 3)]))
    start = peak
    while start > 0 and peak - start < 12 and level[start - 1] > 0.1 * level[peak]:
        start -= 1
    return start * width


def opening(mono: Floats, onset: int, sample_rate: int) -> Floats:
    """The second that a listener knows a sound by: its first, unless the one from its strongest onset is 20 dB louder."""
    audible = int(np.argmax(np.abs(mono) >= 0.01 * np.max(np.abs(mono))))
    first, strongest = (mono[start : start + sample_rate] for start in (audible, onset))
    return first if np.mean(first**2) >= 0.01 * np.mean(strongest**2) else strongest


def running_rms(samples: Floats, width: int) -> Floats:
    """RMS over a Hann window of `width` frames around each frame, same length."""
    window = np.hanning(width + 2)[1:-1]
    power = signal.oaconvolve(samples**2, window / window.sum(), mode="same")
    return np.asarray(np.sqrt(np.maximum(power, 1e-16)))


def stft(samples: Floats) -> npt.NDArray[np.complex128]:
    """Short-time spectrum, Hann window of 1024, hop 256, shape (513, columns); column m is centred on frame 256 m."""
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: len(samples) + 1 : _HOP]
    return np.asarray(fft.rfft(frames * _hann(_WINDOW), axis=1).T)


def istft(spectrum: npt.NDArray[np.complex128], frames: int) -> Floats:
    """Inverse of `stft`: weighted overlap-add back to `frames` samples."""
    pieces = fft.irfft(spectrum.T, axis=1) * _hann(_WINDOW)
    total = np.zeros((len(pieces) - 1) * _HOP + _WINDOW)
    weight, squared = np.zeros_like(total), _hann(_WINDOW) ** 2
    for index, piece in enumerate(pieces):
        place = slice(index * _HOP, index * _HOP + _WINDOW)
        total[place] += piece
        weight[place] += squared
    inside = slice(_WINDOW // 2, _WINDOW // 2 + frames)
    return np.asarray(total[inside] / np.maximum(weight[inside], 1e-6))


@cache
def _hann(size: int) -> Floats:
    return np.asarray(signal.get_window("hann", size))


@cache
def band_matrix(sample_rate: int, n_fft: int) -> Floats:
    """Weights that average spectral power over each of BANDS_HZ, shape (bands, n_fft // 2 + 1); rows sum to one.

    A row is a triangle over log frequency, a quarter octave to either side, never narrower than two bins.
    """
    f = np.maximum(np.arange(n_fft // 2 + 1) * sample_rate / n_fft, 1.0)
    width = np.maximum(0.25, np.log2(1.0 + 2.0 * sample_rate / n_fft / BANDS_HZ))[:, None]
    distance = np.abs(np.log2(f)[None, :] - np.log2(BANDS_HZ)[:, None])
    weights = np.maximum(0.0, 1.0 - distance / width) / f[None, :]
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12))


@cache
def auditory_matrix(sample_rate: int) -> Floats:
    """Weights that average spectral power over each of AUDITORY_HZ, shape (bands, 1025); rows sum to one.

    A row is a triangle over the number of critical bands, half a band to either side, never narrower than a bin and a half.
    """
    f = np.arange(_LONG_WINDOW // 2 + 1) * sample_rate / _LONG_WINDOW
    centres = critical_number(AUDITORY_HZ)
    width = np.maximum(0.5, critical_number(AUDITORY_HZ + 1.5 * f[1]) - centres)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(critical_number(f)[None, :] - centres[:, None]) / width)
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12))


def critical_number(f_hz: Floats) -> Floats:
    """How many of the ear's critical bands lie below frequencies in Hz (Glasberg and Moore 1990)."""
    return np.asarray(21.4 * np.log10(1.0 + 0.00437 * f_hz))


def sine_density(f_hz: Floats, sample_rate: int) -> Floats:
    """Power per Hz that a sine of power 1 at each frequency in Hz gives to each of AUDITORY_HZ, shape (bands, sines).

    A Hann window spreads a sine over three bins.
    """
    bin_hz = sample_rate / _LONG_WINDOW
    density = ndimage.convolve1d(auditory_matrix(sample_rate), np.array([1.0, 4.0, 1.0]) / 6.0, axis=1) / bin_hz
    place = f_hz / bin_hz
    low = np.minimum(place.astype(np.intp), density.shape[1] - 2)
    return np.asarray(density[:, low] * (1.0 - (place - low)) + density[:, low + 1] * (place - low))
