"""Convolution of stereo sound that comes in blocks, by partitioned overlap-save; several transforms side by side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from core.audio import Samples

Stereo = npt.NDArray[np.complex64]
"""Stereo as complex numbers: left is the real part, right the imaginary part. Interleaved floats are that without a copy."""


_BAND_DB = 90.0


class Convolver:
    """Convolves with one impulse, shape (taps,).

    A real impulse filters both channels alike. A complex one with a real (mono) signal makes stereo: its real part is the
    left ear's, its imaginary part the right ear's. One complex transform costs what two real ones would.

    An impulse longer than a hop is cut into parts of one hop each, and a block's transform serves one after the other (T. G.
    Stockham, "High-speed convolution and correlation", 1966): transforms stay short enough for the cache. A room's later parts
    have lost their highs; of each part only the band is used that comes within `_BAND_DB` of the strongest bin.

    `begin` gives the place for the next block and `end` convolves what was put there, so that nothing is copied.
    """

    def __init__(self, impulse: npt.NDArray[np.complex64] | Samples, hop_frames: int) -> None:
        self._hop = hop_frames
        self._length = _length(hop_frames + min(len(impulse), hop_frames) - 1)
        padded = np.zeros(-(-len(impulse) // hop_frames) * hop_frames, dtype=np.complex64)
        padded[: len(impulse)] = impulse
        self._parts = fft.fft(padded.reshape(-1, hop_frames), self._length, axis=1)
        amplitudes = np.abs(self._parts)
        least = amplitudes.max() * 10.0 ** (-_BAND_DB / 20.0)
        self._bands = [_band(part, least) for part in amplitudes]
        self._before: list[Stereo] = [np.zeros(self._length, dtype=np.complex64)] * (len(self._parts) - 1)
        self._past = self._length - hop_frames
        self._joined: Stereo = np.zeros(self._past, dtype=np.complex64)

    def begin(self, frames: int) -> Samples:
        """The place for the next block, shape (frames, 2), with anything in it; `frames` is a multiple of `hop_frames`."""
        past = self._joined[-self._past :].copy()
        if len(self._joined) != self._past + frames:
            self._joined = np.zeros(self._past + frames, dtype=np.complex64)
        self._joined[: self._past] = past
        return self._joined[self._past :].view(np.float32).reshape(-1, 2)

    def end(self) -> Samples:
        """The block convolved, as interleaved floats of shape (hops, 2 hop_frames)."""
        windows = np.lib.stride_tricks.sliding_window_view(self._joined, self._length)[:: self._hop]
        if not (self._joined[: self._hop].any() or self._joined.any()) and not any(
            spectrum.any() for spectrum in self._before
        ):
            return np.zeros((len(windows), 2 * self._hop), dtype=np.float32)
        whole = fft.ifft(self._products(fft.fft(windows, axis=1)), axis=1, overwrite_x=True)
        return np.asarray(whole.view(np.float32)[:, 2 * self._past :])

    def _products(self, spectra: Stereo) -> Stereo:
        """The transforms of blocks times those of the impulse's parts, each part with the block as many hops before."""
        if len(self._parts) == 1:
            return np.multiply(spectra, self._parts[0], out=spectra)
        blocks = [*self._before, *spectra]
        self._before = blocks[len(spectra) :]
        products, product = np.empty_like(spectra), np.empty_like(spectra[0])
        for number, total in enumerate(products):
            newest, *older = blocks[number : number + len(self._parts)][::-1]
            np.multiply(newest, self._parts[0], out=total)
            for block, part, band in zip(older, self._parts[1:], self._bands[1:], strict=True):
                for bins in band:
                    total[bins] += np.multiply(block[bins], part[bins], out=product[bins])
        return products


def _band(amplitudes: Samples, least: float) -> tuple[slice, ...]:
    """The bins that matter, from the lowest on: those of positive and those of negative frequencies."""
    middle = len(amplitudes) // 2
    folded = np.maximum(amplitudes[: middle + 1], amplitudes[-np.arange(middle + 1)])
    above = np.flatnonzero(folded > least)
    bins = int(above[-1]) + 1 if len(above) else 0
    return (slice(bins), slice(len(amplitudes) - bins, None)) if bins <= middle else (slice(None),)


def _length(at_least: int) -> int:
    """The next length made of twos and a few threes or one five: quicker than the next one made of many small factors."""
    return min(odd << max(0, (-(-at_least // odd) - 1).bit_length()) for odd in (1, 3, 5, 9, 27, 81))
