"""`resonator`: any sound made playable in tune, as harmonics in the effect's colour with its own noise between them.

A note is one ring of N frames into which P whole periods fit, made in the frequency domain: bin k P carries harmonic k, and
the effect's texture, where the harmonics leave room for it, is the residual. What is periodic in N loops without a seam.
Before the loop, the ring is played on backwards in time and shaped by how the effect itself begins.

After the deterministic plus stochastic model of Serra and Smith 1990.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft, ndimage, signal

from core.audio import Audio
from core.engines import EngineInfo
from core.seeds import generator
from phase2_music.timbre.analysis import AUDITORY_HZ, BANDS_HZ, Floats, SoundModel, istft, stft
from phase2_music.timbre.levels import FULLEST_FUNDAMENTAL, nearest_levels
from phase2_music.timbre.protocol import Note, VoiceRequest
from schemas.document import Role

GUARD_FRAMES = 64
"""Frames behind the loop that continue it: SF2 asks for 46 of them, samplers interpolate over up to 7."""

_LEAD_S = 0.4  # before the loop: the effect's own beginning
_LOOP_S = 0.9
_HIGHEST_HZ = 15000.0  # of harmonics and noise: above, players filter and interpolate each in its way and few ears hear


@dataclass(frozen=True)
class Template:
    """What a family's spectrum looks like where the effect says nothing: amplitude ~ number^-slope, comb of the pluck place.

    Above `corner_hz` the template falls by 12 dB per octave more. `width` is the level of the residual's side channel against
    its middle; with 0 the note is mono. `fundamental` is the least share of the harmonics' power that the fundamental holds,
    whatever the effect is: a bass carries the band with it, a melody does without.
    """

    slope: float
    pluck: float
    corner_hz: float
    width: float
    fundamental: float


TEMPLATES: dict[Role, Template] = {
    "keyboard": Template(slope=1.2, pluck=0.0, corner_hz=4000.0, width=0.6, fundamental=0.01),
    "bass": Template(slope=1.0, pluck=0.0, corner_hz=2500.0, width=0.0, fundamental=0.15),
    "guitar": Template(slope=1.0, pluck=0.21, corner_hz=5000.0, width=0.6, fundamental=0.01),
    "drums": Template(slope=1.0, pluck=0.0, corner_hz=8000.0, width=0.0, fundamental=0.01),
}


@dataclass(frozen=True)
class Mix:
    """How a note is mixed out of harmonics, noise and the effect's own beginning.

    `noise` is the most power that the residual may have against the harmonics; `own` the share of the effect's colour in all
    levels, 0..1; `fundamental` the least share of the harmonics' power that the fundamental holds; `onset` how fully the
    effect's own beginning is heard, 0..1, and `hold` how much of the time before the loop it takes, 0..1.
    """

    noise: float
    own: float
    fundamental: float
    onset: float
    hold: float

    @classmethod
    def of(cls, template: Template, character: float, calm: float, support: float) -> Mix:
        """The mix of a `character` (0..1), calmed and supported (0..1): see `ResonatorVoice.note`."""
        return cls(
            # A tenth of the power is the most that leaves a note; a thirtieth, at 0.6, stays clear of the trackers' doubt.
            noise=0.085 * character**2 * min(1.0, (1.0 - calm) / 0.7) ** 2,
            own=own_share(character) * min(1.0, 2.0 * (1.0 - support)),
            fundamental=template.fundamental
            + (FULLEST_FUNDAMENTAL - template.fundamental) * min(1.0, 2.0 * support) ** 2,
            onset=character * min(1.0, (1.0 - calm) / 0.3),
            hold=max(0.1, 1.0 - 3.0 * calm),
        )


@dataclass(frozen=True)
class ResonatorVoice:
    """An effect, analysed, that gives notes of any pitch."""

    colour: Audio
    model: SoundModel
    template: Template
    seed: int

    @cached_property
    def _evolution(self) -> Floats:
        return self.model.evolution(round(_LEAD_S * self.model.sample_rate))

    def note(self, f0_hz: float, character: float, calm: float = 0.0, support: float = 0.0) -> Note:
        """A note of a pitch in Hz, at unit RMS in its loop; see the module's text for how it is made.

        `character` sets three things at once: the noise between the harmonics, the share of the effect's colour in the levels
        (`own_share`) and how fully the effect's own beginning is heard. `calm` first makes that beginning shorter, then takes
        the noise away. `support` first raises the fundamental, then lets the family's colour take the place of the effect's.
        """
        rate = self.model.sample_rate
        # High notes may have shorter loops: their grain repeats as little in half the time.
        loop_s = _LOOP_S * min(1.0, (130.0 / f0_hz) ** 0.35)
        periods = max(1, round(loop_s * f0_hz))
        frames = round(periods * rate / f0_hz)
        rng = generator(self.seed, "note", round(f0_hz * 1000))
        mix = Mix.of(self.template, character, calm, support)
        ring = self._ring(f0_hz, periods, frames, mix, rng)
        ring = np.roll(ring, -calmest_place(ring, f0_hz, rate), axis=1)
        lead = round(_LEAD_S * rate)
        begin = np.stack([self._begin(channel, lead, f0_hz, mix) for channel in ring])
        samples = np.concatenate([begin, ring, ring[:, :GUARD_FRAMES]], axis=1).astype(np.float32)
        return Note(samples, lead, lead + frames - 1, periods * rate / frames)

    def _ring(self, f0_hz: float, periods: int, frames: int, mix: Mix, rng: np.random.Generator) -> Floats:
        rate = self.model.sample_rate
        highest_hz = min(_HIGHEST_HZ, 0.45 * rate)
        colour_db = self.colour_db(f0_hz, mix.own)
        levels = nearest_levels(colour_db, f0_hz, highest_hz, mix.noise, mix.fundamental, rate)
        harmonic = _harmonics(levels.harmonics, periods, frames, rng)
        f = np.arange(frames // 2 + 1) * rate / frames
        amplitude = np.sqrt(np.interp(f, AUDITORY_HZ, levels.noise) * (f < _HIGHEST_HZ) * rate / frames)
        # Harmonics are the same in both channels and only the noise differs: the sum to mono keeps every harmonic.
        middle, side = (self._residual(amplitude, frames, rng) for _ in range(2))
        width = self.template.width
        noise = np.stack([middle + width * side, middle - width * side] if width else [middle])
        ring = harmonic + noise
        return np.asarray(ring / np.sqrt(np.mean(ring**2)))

    def colour_db(self, f0_hz: float, own: float) -> Floats:
        """Colour of a note in dB at AUDITORY_HZ: the effect's lasting colour by the share `own`, else the template's."""
        number = np.maximum(AUDITORY_HZ / f0_hz, 1.0)
        family = -20 * self.template.slope * np.log10(number)
        family -= 6.0 * np.log2(1.0 + (AUDITORY_HZ / self.template.corner_hz) ** 2)
        if self.template.pluck:
            family += 20 * np.log10(np.maximum(np.abs(np.sin(np.pi * self.template.pluck * number)), 0.1))
        return np.asarray(own * self.model.lasting_colour_db + (1.0 - own) * family)

    def _residual(self, amplitude: Floats, frames: int, rng: np.random.Generator) -> Floats:
        """The effect's grain, with an amplitude per bin."""
        spectrum = fft.rfft(self.model.texture(frames, rng))
        # Partials of the effect's own would stand between the harmonics: level the grain, then give it the smooth colour.
        smooth = ndimage.uniform_filter1d(np.abs(spectrum) ** 2, max(3, round(40.0 * frames / self.model.sample_rate)))
        noise = spectrum / np.sqrt(np.maximum(smooth, 1e-12)) * amplitude
        return np.asarray(fft.irfft(noise, frames) * frames / 2)

    def _begin(self, ring: Floats, lead: int, f0_hz: float, mix: Mix) -> Floats:
        """What is heard before the loop: the ring shaped by the effect's own beginning, and a little of its onset."""
        rate = self.model.sample_rate
        extended = ring[np.arange(-lead - 2048, 4096) % len(ring)]
        gains = self._evolution ** min(1.0, 4.0 * mix.onset)
        # The note speaks at once: what carries its pitch is never more than 6 dB behind.
        carrying = f0_hz * 3.5 > BANDS_HZ
        gains[carrying] = np.maximum(gains[carrying], 0.5)
        shaped = _shape(extended[2048 : 2048 + lead + 2048], gains, rate)[:lead]
        blend = np.clip((np.arange(lead) / (lead * mix.hold) - 0.45) / 0.5, 0.0, 1.0)
        blend = 0.5 - 0.5 * np.cos(np.pi * blend)
        begin = shaped * (1.0 - blend) + extended[2048 : 2048 + lead] * blend
        begin += min(1.0, 1.2 * mix.onset) * self._onset(lead, mix.hold)
        fade = round(0.002 * rate)
        begin[:fade] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(fade) / fade)
        return np.asarray(begin)

    def _onset(self, lead: int, hold: float) -> Floats:
        """The first 90 ms of the effect (less where it is held shorter), fading, at the level that it has against its body."""
        rate = self.model.sample_rate
        length = min(round(0.09 * math.sqrt(hold) * rate), len(self.model.samples), lead)
        level = np.sqrt(np.mean(self.model.body**2))
        piece = self.model.samples[:length] / (level + 1e-12) * np.linspace(1.0, 0.0, length) ** 2
        band = signal.butter(2, (150.0, min(_HIGHEST_HZ, 0.45 * rate)), "band", fs=rate, output="sos")
        piece = np.clip(signal.sosfilt(band, piece), -3.0, 3.0)
        return np.pad(np.asarray(piece), (0, lead - length))


def own_share(character: float) -> float:
    """Share of the effect's colour in the levels, 0..1, for a character of 0..1."""
    return min(1.0, 2.2 * character)


def _harmonics(power: Floats, periods: int, frames: int, rng: np.random.Generator) -> Floats:
    """A ring of `frames` samples of harmonics with `periods` whole periods, in phases of their own."""
    spectrum = np.zeros(frames // 2 + 1, dtype=np.complex128)
    phases = np.exp(1j * rng.uniform(0.0, 2.0 * np.pi, len(power)))
    spectrum[periods * np.arange(1, len(power) + 1)] = np.sqrt(power) * phases
    return np.asarray(fft.irfft(spectrum, frames) * frames / 2)


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
    # No further: the spectrum of few harmonics changes with their phase in the window, within a quarter of a period.
    reach = np.arange(best - hop // 8, best + hop // 8)
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

    info = EngineInfo(name="resonator", version="7")

    def voice(self, request: VoiceRequest) -> ResonatorVoice:
        """Analyse an effect.

        Raises:
            AudioError: the sound is silent.
        """
        model = SoundModel.of(request.sound)
        return ResonatorVoice(request.sound, model, TEMPLATES[request.role], request.seed)
