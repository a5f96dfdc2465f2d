"""A model heard from outside: any rate, any length, one or two channels in; the same length, aligned, as loud, no whine out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import fft

from core.audio import Audio, Samples
from core.errors import EngineError
from core.loudness import from_db, loudness_lufs
from core.seeds import generator
from phase2_music.instruments.cleaning import without_whine
from phase2_music.timbre.engines.rave.models import LOUDNESS_LUFS, Found
from phase2_music.timbre.engines.rave.network import Network, load_network

Floats = npt.NDArray[np.float64]

CHUNK_S = 10.0
"""What the network hears at once: its memory is that of so many seconds, however long the sound."""
CONTEXT_S = 1.5
"""What it hears besides on either side of a chunk: RAVE's convolutions reach some tenths of a second."""

_JOIN_S = 0.02
_SHORTEST_FRAMES = 1 << 14
_LONGEST_LATENCY_S = 0.5
_HEARD = 0.6  # correlation of envelopes from which a delay counts as measured
_CEILING = 0.95
_SILENCE_DB = -80.0


@dataclass(frozen=True)
class TimbreModel:
    """A network with what it takes to use it on any sound.

    `loudness_lufs` is how loud the network is fed; `known_latency_frames` by how many frames its output comes late, None where
    that must be measured.
    """

    network: Network
    loudness_lufs: float = LOUDNESS_LUFS
    known_latency_frames: int | None = None

    @classmethod
    def load(cls, found: Found) -> TimbreModel:
        """Load a model's file.

        Raises:
            EngineError: it cannot be loaded here.
        """
        hop = found.card.hop if found.card else None
        # photone's own models pad on both sides alike.
        latency = 0 if found.card else None
        return cls(load_network(found.path, found.sample_rate, hop), found.loudness_lufs, latency)

    def through(self, sound: Audio) -> Audio:
        """A sound with the model's timbre: the same rate, channels and frames, as loud, in time with the sound given.

        What is silent stays silent, and what the model answers with silence is silent.

        Raises:
            EngineError: the model failed.
        """
        level = loudness_lufs(sound)
        if not sound.frames or not math.isfinite(level):
            return sound
        heard = sound.resampled(self.network.sample_rate)
        gain = min(from_db(self.loudness_lufs - level), _CEILING / max(heard.peak, 1e-9))
        made = self._whole(heard.samples * np.float32(gain), self.latency_frames)
        if np.max(np.abs(made)) < from_db(_SILENCE_DB) * gain * heard.peak:
            return sound.scaled(0.0)
        made -= np.mean(made, axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
        made /= max(float(np.max(np.abs(made))), 1e-30)
        back = _of_length(Audio(made, heard.sample_rate).resampled(sound.sample_rate).samples, sound.frames)
        return as_loud(without_whine(Audio(back, sound.sample_rate), sound, self.latent_rate_hz), level)

    @property
    def latent_rate_hz(self) -> float | None:
        """Columns of latents a second, whose multiples a decoder may whine at; None where nobody can tell."""
        return self.network.sample_rate / self.network.hop if self.network.hop else None

    @cached_property
    def latency_frames(self) -> int:
        """By how many frames the network's output comes late (negative: early), measured; 0 where it cannot be told.

        The answer to bursts at uneven times is held against them: first the envelopes, to the millisecond, then, where the
        network keeps the wave's form, the waves.
        """
        if self.known_latency_frames is not None:
            return self.known_latency_frames
        probe = _probe(self.network.sample_rate)
        answer = self._whole(probe[None], 0)[0]
        step = max(1, self.network.sample_rate // 1000)
        reach = round(_LONGEST_LATENCY_S * self.network.sample_rate)
        coarse, likeness = _best_lag(_envelope(probe, step), _envelope(answer, step), reach // step)
        if likeness < _HEARD:
            return 0
        moved = np.roll(answer, -coarse * step)
        fine, likeness = _best_lag(probe, moved, 3 * step)
        return coarse * step + (fine if likeness >= _HEARD else 0)

    def _whole(self, samples: Samples, latency: int) -> Samples:
        """All of a sound through the network, chunk by chunk, moved forward by `latency` frames; shape as given."""
        frames = samples.shape[1]
        result = np.zeros_like(samples)
        join = round(_JOIN_S * self.network.sample_rate)
        for start, end in self._chunks(frames):
            # A chunk begins a little before its place and fades in over what the one before has left there.
            before = min(start, join)
            piece = self._piece(samples, start - before, end, latency)
            fade = np.linspace(0.0, 1.0, before, dtype=np.float32)
            result[:, start - before : start] *= 1.0 - fade
            result[:, start - before : start] += piece[:, :before] * fade
            result[:, start:end] = piece[:, before:]
        return result

    def _chunks(self, frames: int) -> Iterator[tuple[int, int]]:
        # Chunks begin where a column of latents does: the network then sees each of them as it would in one piece.
        hop = self.network.hop or 1
        size = max(1, round(CHUNK_S * self.network.sample_rate / hop)) * hop
        for start in range(0, frames, size):
            yield start, min(frames, start + size)

    def _piece(self, samples: Samples, start: int, end: int, latency: int) -> Samples:
        """Frames start..end of what the network makes of `samples`, heard with some context."""
        hop = self.network.hop or 1
        context = math.ceil(CONTEXT_S * self.network.sample_rate / hop) * hop
        first = max(0, start - context - max(0, -latency)) // hop * hop
        last = min(samples.shape[1], end + context + max(0, latency))
        heard = samples[:, first:last]
        # Silence behind: what comes late, whole columns, and no network is asked for less than it can fold.
        size = max(heard.shape[1] + max(0, latency), _SHORTEST_FRAMES)
        made = self._channels(np.pad(heard, ((0, 0), (0, -size % hop + size - heard.shape[1]))))
        begin = start - first + latency
        return _of_length(np.pad(made, ((0, 0), (max(0, -begin), 0)))[:, max(0, begin) :], end - start)

    def _channels(self, samples: Samples) -> Samples:
        """Channel by channel through a network that takes one; one channel, doubled, through a network that takes more."""
        asked, given = self.network.channels, samples.shape[0]
        if asked == given:
            made = self.network.run(samples)
        elif asked == 1:
            return np.concatenate([self._single(self.network.run(channel[None])) for channel in samples])
        else:
            made = self.network.run(np.repeat(samples.mean(axis=0, keepdims=True), asked, axis=0))
        return made if len(made) == given else np.repeat(self._single(made), given, axis=0)

    @staticmethod
    def _single(made: Samples) -> Samples:
        return np.asarray(made.mean(axis=0, keepdims=True))


def as_loud(sound: Audio, level_lufs: float) -> Audio:
    """A sound brought to a loudness in LUFS; silence stays silent."""
    now = loudness_lufs(sound)
    return sound.scaled(from_db(level_lufs - now) if math.isfinite(now) else 0.0)


def is_silent(sound: Audio) -> bool:
    """Whether a model answered with nothing."""
    return sound.peak <= 0.0


def required(sound: Audio, what: str) -> Audio:
    """A sound that is not silent.

    Raises:
        EngineError: it is.
    """
    if is_silent(sound):
        raise EngineError(f"{what}: the timbre model answered with silence: train it further, or choose another one")
    return sound


def _of_length(samples: Samples, frames: int) -> Samples:
    return np.pad(samples[:, :frames], ((0, 0), (0, max(0, frames - samples.shape[1]))))


def _probe(sample_rate: int) -> Samples:
    """Bursts of 70 ms at uneven times, of notes and noise, in 4 s."""
    rng = generator(0, "latency probe")
    probe = np.zeros(4 * sample_rate, dtype=np.float32)
    length = round(0.07 * sample_rate)
    t = np.arange(length) / sample_rate
    for place, start_s in enumerate((0.61, 0.83, 1.21, 1.37, 1.93, 2.32, 2.57, 3.14)):
        f_hz = 220.0 * 1.5**place
        tone = sum(np.sin(2 * np.pi * f_hz * k * t) / k for k in range(1, 5))
        start = round(start_s * sample_rate)
        probe[start : start + length] = 0.3 * (tone + 0.3 * rng.standard_normal(length)) * np.exp(-t / 0.03)
    return probe


def _envelope(samples: Samples, step: int) -> Floats:
    blocks = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    # A model answers some bursts louder than others: what matters is when they come.
    level = np.mean(blocks**2, axis=1) ** 0.2
    return np.asarray(level - level.mean())


def _best_lag(reference: Samples | Floats, late: Samples | Floats, reach: int) -> tuple[int, float]:
    """By how many steps `late` comes after `reference`, at most `reach` either way, and their correlation there."""
    frames = min(len(reference), len(late))
    size = fft.next_fast_len(frames + reach + 1, real=True)
    spectra = [fft.rfft(np.asarray(one[:frames], dtype=np.float64), size) for one in (reference, late)]
    correlation = fft.irfft(np.conj(spectra[0]) * spectra[1], size)
    lags = np.arange(-reach, reach + 1)
    best = int(lags[np.argmax(correlation[lags])])
    power = math.sqrt(
        float(np.sum(reference[:frames] ** 2, dtype=np.float64) * np.sum(late[:frames] ** 2, dtype=np.float64))
    )
    return best, float(correlation[best]) / power if power > 0 else 0.0
