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
from phase2_music.timbre.analysis import BANDS_HZ, Floats, SoundModel, istft, stft
from phase2_music.timbre.protocol import Note, VoiceRequest
from schemas.document import Role

GUARD_FRAMES = 64
"""Frames behind the loop that continue it: SF2 asks for 46 of them, samplers interpolate over up to 7."""

_LEAD_S = 0.4  # before the loop: the effect's own beginning
_LOOP_S = 0.9
_HIGHEST_HZ = 16000.0  # of harmonics and noise: above, samplers' filters differ and few ears hear


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
            own=own_share(character) * min(1.0 - 0.5 * support, 2.0 * (1.0 - support)),
            fundamental=template.fundamental + (0.7 - template.fundamental) * support**2,
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
        harmonic = self._harmonics(f0_hz, periods, frames, mix, rng)
        budget = mix.noise * float(np.mean(harmonic**2))
        # Harmonics are the same in both channels and only the noise differs: the sum to mono keeps every harmonic.
        middle, side = (self._residual(f0_hz, periods, frames, mix.own, budget, rng) for _ in range(2))
        width = self.template.width
        noise = np.stack([middle + width * side, middle - width * side] if width else [middle])
        ring = harmonic + noise
        return np.asarray(ring / np.sqrt(np.mean(ring**2)))

    def _harmonics(self, f0_hz: float, periods: int, frames: int, mix: Mix, rng: np.random.Generator) -> Floats:
        count = max(1, int(min(_HIGHEST_HZ, 0.45 * self.model.sample_rate) / f0_hz))
        numbers = np.arange(1, count + 1)
        level = raised(10 ** (self.levels_db(numbers * f0_hz, f0_hz, mix.own) / 20), mix.fundamental)
        spectrum = np.zeros(frames // 2 + 1, dtype=np.complex128)
        spectrum[numbers * periods] = level * np.exp(1j * rng.uniform(0.0, 2.0 * np.pi, count))
        return np.asarray(fft.irfft(spectrum, frames) * frames / 2)

    def levels_db(self, f_hz: Floats, f0_hz: float, own: float) -> Floats:
        """Levels in dB of what lies at frequencies in Hz: the effect's lasting colour by the share `own`, else the template."""
        number = np.maximum(f_hz / f0_hz, 1.0)
        family = -20 * self.template.slope * np.log10(number)
        family -= 6.0 * np.log2(1.0 + (f_hz / self.template.corner_hz) ** 2)
        if self.template.pluck:
            family += 20 * np.log10(np.maximum(np.abs(np.sin(np.pi * self.template.pluck * number)), 0.1))
        return np.asarray(own * self.model.lasting_colour_at(f_hz) + (1.0 - own) * family)

    def _residual(
        self, f0_hz: float, periods: int, frames: int, own: float, budget: float, rng: np.random.Generator
    ) -> Floats:
        """The effect's grain between the harmonics, as dense as these but with no more power than `budget`."""
        spectrum = fft.rfft(self.model.texture(frames, rng))
        f = np.arange(len(spectrum)) * self.model.sample_rate / frames
        # Partials of the effect's own would stand between the harmonics: level the grain, then give it the smooth colour.
        smooth = ndimage.uniform_filter1d(np.abs(spectrum) ** 2, max(3, round(40.0 * frames / self.model.sample_rate)))
        # A harmonic of amplitude a stands for `periods` bins: noise as dense has a / sqrt(periods) in each.
        density = 10 ** (self.levels_db(f, f0_hz, own) / 20) / np.sqrt(periods)
        band_hz = critical_band_hz(f)
        # Noise is heard between harmonics that the ear tells apart; where several share a band it would only roughen them.
        # Below the fundamental nothing belongs to the note.
        density *= np.minimum(1.0, (0.5 * f0_hz / band_hz) ** 2) * np.clip(f / f0_hz, 0.0, 1.0) ** 4 * (f < _HIGHEST_HZ)
        noise = spectrum / np.sqrt(np.maximum(smooth, 1e-12)) * capped(density, band_hz, 2.0 * budget)
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


def raised(amplitudes: Floats, share: float) -> Floats:
    """Amplitudes of harmonics, the lowest raised where the fundamental would hold less than a share (0..1) of the power.

    The second and the third follow at -8 and -16 dB: they say whose fundamental it is.
    """
    fundamental = np.sqrt(share / (1.0 - share) * np.sum(amplitudes[1:] ** 2))
    low = fundamental * 10 ** (np.array([0.0, -8.0, -16.0]) / 20)
    result = amplitudes.copy()
    result[:3] = np.maximum(result[:3], low[: len(result)])
    return result


def critical_band_hz(f_hz: Floats) -> Floats:
    """Width in Hz of the ear's critical band around frequencies in Hz (Glasberg and Moore 1990)."""
    return np.asarray(24.7 + 0.108 * f_hz)


def capped(density: Floats, band_hz: Floats, power: float) -> Floats:
    """Densities of noise, shape (bins,), cut from above until their squares add up to `power` at most.

    Noise may take only so much of a note. The ceiling falls with the width of the critical band: in wide bands noise costs most
    and is missed least, since harmonics stand in each of them. What is soft anyway stays whole.
    """
    # Bin n meets the ceiling c where (density band)^2 = c: with the ceiling there, bins below keep their power and the others
    # have c / band^2.
    order = np.argsort((density * band_hz) ** 2)
    squares, weights = (density**2)[order], (band_hz**-2.0)[order]
    below = np.concatenate([[0.0], np.cumsum(squares)])
    above = np.concatenate([np.cumsum(weights[::-1])[::-1], [0.0]])
    n = int(np.searchsorted(below[:-1] + squares / weights * above[:-1], power))
    if n == len(density):
        return density
    return np.minimum(density, np.sqrt(max(power - below[n], 0.0) / above[n]) / band_hz)


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

    info = EngineInfo(name="resonator", version="2")

    def voice(self, request: VoiceRequest) -> ResonatorVoice:
        """Analyse an effect.

        Raises:
            AudioError: the sound is silent.
        """
        model = SoundModel.of(request.sound)
        return ResonatorVoice(request.sound, model, TEMPLATES[request.role], request.seed)
