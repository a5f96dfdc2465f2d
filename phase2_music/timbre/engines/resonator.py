"""`resonator`: any sound made playable in tune, as harmonics with the effect's own noise around each of them.

A note is one ring of N frames into which P whole periods fit, made in the frequency domain: bin k P carries harmonic k, and
the effect's texture, masked to narrow bands around the harmonics, is the residual. What is periodic in N loops without a
seam. Before the loop, the ring is played on backwards in time and shaped by how the effect itself begins.

After the deterministic plus stochastic model of Serra and Smith 1990 and the harmonic masks of Rafii and Pardo 2013.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, signal

from core.audio import Audio
from core.engines import EngineInfo
from core.seeds import generator
from phase2_music.timbre.analysis import BANDS_HZ, Floats, SoundModel, istft, stft
from phase2_music.timbre.protocol import Note, VoiceRequest
from schemas.document import Role

GUARD_FRAMES = 64
"""Frames behind the loop that continue it: SF2 asks for 46 of them, samplers interpolate over up to 7."""

_LEAD_S = 0.4  # before the loop: the effect's own beginning
_LOOP_S = 0.9
_HIGHEST_HARMONIC_HZ = 16000.0


@dataclass(frozen=True)
class Template:
    """What a family's spectrum looks like where the effect says nothing: amplitude ~ number^-slope, comb of the pluck place.

    Above `corner_hz` the template falls by 12 dB per octave more. `width` is the level of the residual's side channel against
    its middle; with 0 the note is mono.
    """

    slope: float
    pluck: float
    corner_hz: float
    width: float


TEMPLATES: dict[Role, Template] = {
    "keyboard": Template(slope=1.2, pluck=0.0, corner_hz=4000.0, width=0.6),
    "bass": Template(slope=1.0, pluck=0.0, corner_hz=2500.0, width=0.0),
    "guitar": Template(slope=1.0, pluck=0.21, corner_hz=5000.0, width=0.6),
    "drums": Template(slope=1.0, pluck=0.0, corner_hz=8000.0, width=0.0),
}


@dataclass(frozen=True)
class ResonatorVoice:
    """An effect, analysed, that gives notes of any pitch."""

    colour: Audio
    model: SoundModel
    template: Template
    seed: int

    def note(self, f0_hz: float, character: float) -> Note:
        """A note of a pitch in Hz, at unit RMS in its loop; see the module's text for how it is made.

        `character` sets three things at once: the residual's amplitude against the harmonics (1.2 times its square), the share
        of the effect's colour in the harmonics' levels (`own_share`) and how fully the effect's own beginning is heard. Turned
        down, the noise goes first and the colour last: noise is what puts a note out of tune.
        """
        rate = self.model.sample_rate
        # High notes may have shorter loops: their grain repeats as little in half the time.
        loop_s = _LOOP_S * min(1.0, (130.0 / f0_hz) ** 0.35)
        periods = max(1, round(loop_s * f0_hz))
        frames = round(periods * rate / f0_hz)
        rng = generator(self.seed, "note", round(f0_hz * 1000))
        ring = self._ring(f0_hz, periods, frames, character, rng)
        ring = np.roll(ring, -calmest_place(ring, f0_hz, rate), axis=1)
        lead = round(_LEAD_S * rate)
        begin = np.stack([self._begin(channel, lead, character) for channel in ring])
        samples = np.concatenate([begin, ring, ring[:, :GUARD_FRAMES]], axis=1).astype(np.float32)
        return Note(samples, lead, lead + frames - 1, periods * rate / frames)

    def _ring(self, f0_hz: float, periods: int, frames: int, character: float, rng: np.random.Generator) -> Floats:
        own = own_share(character)
        harmonic = self._harmonics(f0_hz, periods, frames, own, rng)
        # Harmonics are the same in both channels and only the noise differs: the sum to mono keeps every harmonic.
        middle, side = (self._residual(f0_hz, frames, character, rng) for _ in range(2))
        width = self.template.width
        noise = np.stack([middle + width * side, middle - width * side] if width else [middle])
        ring = harmonic + 1.2 * character**2 * noise
        return np.asarray(ring / np.sqrt(np.mean(ring**2)))

    def _harmonics(self, f0_hz: float, periods: int, frames: int, own: float, rng: np.random.Generator) -> Floats:
        count = max(1, int(min(_HIGHEST_HARMONIC_HZ, 0.45 * self.model.sample_rate) / f0_hz))
        numbers = np.arange(1, count + 1)
        level_db = self.harmonic_levels_db(f0_hz, numbers, own)
        spectrum = np.zeros(frames // 2 + 1, dtype=np.complex128)
        phases = rng.uniform(0.0, 2.0 * np.pi, count)
        spectrum[numbers * periods] = 10 ** (level_db / 20) * np.exp(1j * phases)
        ring = fft.irfft(spectrum, frames)
        return np.asarray(ring / np.sqrt(np.mean(ring**2)))

    def harmonic_levels_db(self, f0_hz: float, numbers: npt.NDArray[np.int_], own: float) -> Floats:
        """Levels of the harmonics in dB: the effect's colour by the share `own`, the family's template by the rest.

        The first three harmonics are kept within some 10 dB of the loudest (less near where `own` is large), so that a key is
        heard as its own note even where the effect has nothing at that frequency.
        """
        f = numbers * f0_hz
        pluck = np.abs(np.sin(np.pi * self.template.pluck * numbers)) if self.template.pluck else np.ones(len(numbers))
        family = -20 * self.template.slope * np.log10(numbers) + 20 * np.log10(np.maximum(pluck, 0.1))
        family -= 6.0 * np.log2(1.0 + (f / self.template.corner_hz) ** 2)
        level = own * self.model.colour_at(f) + (1.0 - own) * family
        level -= level.max()
        level[:3] = np.maximum(level[:3], (np.array([-4.0, -6.0, -8.0]) - 14.0 * own**2)[: len(level)])
        return np.asarray(level)

    def _residual(self, f0_hz: float, frames: int, character: float, rng: np.random.Generator) -> Floats:
        spectrum = fft.rfft(self.model.texture(frames, rng))
        f = np.arange(len(spectrum)) * self.model.sample_rate / frames
        # Partials of the effect's own would stand between the harmonics: level them to the smooth colour.
        smooth = ndimage.uniform_filter1d(np.abs(spectrum) ** 2, max(3, round(40.0 * frames / self.model.sample_rate)))
        spectrum *= 10 ** (self.model.colour_at(f) / 20) / np.sqrt(np.maximum(smooth, 1e-12))
        distance = np.abs(f - f0_hz * np.maximum(1.0, np.round(f / f0_hz)))
        # 10 cents wide: noise inside it is heard as the harmonic wavering, not as hiss beside it.
        width = 2.0 + 0.006 * f
        # High notes have wide gaps between few strong harmonics: more breath fits there without hurting the pitch.
        breath = min(0.8, 0.3 * character * max(1.0, f0_hz / 130.0) ** 0.5)
        mask = breath + (1.0 - breath) * np.exp(-0.5 * (distance / width) ** 2)
        # Below the fundamental nothing belongs to the note.
        mask *= np.clip(f / f0_hz, 0.0, 1.0) ** 4
        tilt = 10 ** (
            -6.0 * np.log2(1.0 + (f / self.template.corner_hz) ** 2) * 0.7 * (1.0 - own_share(character)) / 20
        )
        noise = fft.irfft(spectrum * mask * tilt, frames)
        return np.asarray(noise / (np.sqrt(np.mean(noise**2)) + 1e-12))

    def _begin(self, ring: Floats, lead: int, character: float) -> Floats:
        """What is heard before the loop: the ring shaped by the effect's own beginning, and a little of its onset."""
        rate = self.model.sample_rate
        extended = ring[np.arange(-lead - 2048, 4096) % len(ring)]
        gains = self.model.evolution(lead) ** min(1.0, 4.0 * character)
        shaped = _shape(extended[2048 : 2048 + lead + 2048], gains, rate)[:lead]
        blend = np.clip((np.arange(lead) / lead - 0.45) / 0.5, 0.0, 1.0)
        blend = 0.5 - 0.5 * np.cos(np.pi * blend)
        begin = shaped * (1.0 - blend) + extended[2048 : 2048 + lead] * blend
        onset = self._onset(lead)
        begin += min(1.0, 1.2 * character) * onset
        fade = round(0.002 * rate)
        begin[:fade] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(fade) / fade)
        return np.asarray(begin)

    def _onset(self, lead: int) -> Floats:
        """The first 90 ms of the effect, fading, at the level that it has against its body."""
        rate = self.model.sample_rate
        length = min(round(0.09 * rate), len(self.model.samples), lead)
        level = np.sqrt(np.mean(self.model.body**2))
        piece = self.model.samples[:length] / (level + 1e-12) * np.linspace(1.0, 0.0, length) ** 2
        high_pass = signal.butter(2, 150.0, "high", fs=rate, output="sos")
        piece = np.clip(signal.sosfilt(high_pass, piece), -3.0, 3.0)
        return np.pad(np.asarray(piece), (0, lead - length))


def own_share(character: float) -> float:
    """Share of the effect's colour in the harmonics' levels, 0..0.95, for a character of 0..1."""
    return min(0.95, 2.2 * character)


def calmest_place(ring: Floats, f0_hz: float, sample_rate: int) -> int:
    """The frame of a ring, shape (channels, frames), where a loop may best begin.

    A ring has no seam, but a player that resamples, or a listener who waits for it, meets the joint there: level (over 20 ms,
    or the next whole number of periods) and spectrum should change least, in every channel, and the curve be smooth.
    """
    size, hop, n_fft = ring.shape[1], 128, 1024
    window = min(round(math.ceil(0.02 * f0_hz) * sample_rate / f0_hz), size // 2)
    places = np.arange(0, size, hop)
    cost = np.zeros(len(places))
    for channel in ring:
        thrice = np.tile(channel, 3)
        power = np.cumsum(np.concatenate([[0.0], thrice**2]))
        after = power[places + size + window] - power[places + size]
        before = power[places + size] - power[places + size - window]
        step_db = np.abs(10 * np.log10((after + 1e-12) / (before + 1e-12)))
        starts = np.concatenate([places, places[:1] + size]) + size - n_fft // 2
        frames = np.lib.stride_tricks.sliding_window_view(thrice, n_fft)[starts] * np.hanning(n_fft)
        change = np.sqrt(np.sum(np.diff(np.abs(fft.rfft(frames, axis=1)), axis=0) ** 2, axis=1))
        around = ndimage.uniform_filter1d(change, 2 * (n_fft // hop // 2) + 1, mode="wrap") / np.median(change)
        cost = np.maximum(cost, np.maximum(step_db / 0.4, (around - 0.7) / 0.3))
    best = int(places[np.argmin(cost)])
    reach = np.arange(best - hop // 2, best + hop // 2)
    bends = [
        np.abs(channel[(reach + k) % size] - 2 * channel[(reach + k + 1) % size] + channel[(reach + k + 2) % size])
        for channel in ring
        for k in range(-3, 1)
    ]
    return int(reach[np.argmin(np.max(bends, axis=0))]) % size


def _shape(samples: Floats, gains: Floats, sample_rate: int) -> Floats:
    """Filter by gains that change with time: `gains` of shape (bands, columns) on the grid of `stft`; the last one holds on."""
    spectrum = stft(samples)
    f = np.maximum(np.arange(spectrum.shape[0]) * sample_rate / (2 * (spectrum.shape[0] - 1)), 1.0)
    columns = np.minimum(np.arange(spectrum.shape[1]), gains.shape[1] - 1)
    position = np.clip(np.log2(f / BANDS_HZ[0]) * 4.0, 0.0, len(BANDS_HZ) - 1.001)
    low = position.astype(np.intp)
    share = (position - low)[:, None]
    level = np.log(gains[:, columns])
    return istft(spectrum * np.exp(level[low] * (1 - share) + level[low + 1] * share), len(samples))


class Resonator:
    """Harmonic resynthesis with masked residual."""

    info = EngineInfo(name="resonator", version="1")

    def voice(self, request: VoiceRequest) -> ResonatorVoice:
        """Analyse an effect.

        Raises:
            AudioError: the sound is silent.
        """
        model = SoundModel.of(request.sound)
        return ResonatorVoice(request.sound, model, TEMPLATES[request.role], request.seed)
