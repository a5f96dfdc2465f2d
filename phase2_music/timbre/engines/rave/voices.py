"""What a model's timbre is lent to: the effect itself, or the notes that the resonator makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft

from core.audio import SAMPLE_RATE, Audio, Samples
from core.loudness import limit_peaks, loudness_lufs
from phase2_music.timbre.engines.rave.model import Floats, TimbreModel, as_loud, is_silent
from phase2_music.timbre.engines.resonator import ResonatorVoice
from phase2_music.timbre.protocol import Note

_STEADY_S = 2.0  # of ring before the part that is kept: the network has long forgotten the beginning
_JOIN_SHARE = 1 / 3  # of a ring, over which its end becomes what stands before its start
_LEAD_JOIN_S = 0.12
_PEAK = 6.0  # of a lent note against the level of its loop: a struck string stands out so far
_ALIKE = 0.3
_NUDGE_S = 0.003


@dataclass(frozen=True)
class RaveVoice:
    """The resonator's voice, whose notes a model may colour.

    `colour` is what timbres/<role>.wav holds, `blend` (0..1) how much of the model's sound a note takes at most: 0 where the
    notes are made of a coloured effect already, or where there is no model. `remarks` are told to people.
    """

    colour: Audio
    base: ResonatorVoice
    model: TimbreModel | None
    blend: float
    remarks: tuple[str, ...] = ()

    def note(self, f0_hz: float, character: float, calm: float = 0.0, support: float = 0.0) -> Note:
        """The resonator's note: see `ResonatorVoice.note`."""
        return self.base.note(f0_hz, character, calm, support)

    def lend(self, note: Note) -> Note | None:
        """A note wholly in the model's timbre, as the note given is built; None where there is nothing to lend."""
        return lent(self.model, note) if self.model is not None and self.blend > 0 else None


def coloured(model: TimbreModel, sound: Audio, blend: float) -> Audio:
    """An effect, mono, with a share (0..1) of it replaced by what the model makes of it; as loud as it was.

    Where the model keeps the wave's form, it is moved and turned so that the two add up; else they add up in power. Silent
    where the model is.
    """
    wet = model.through(sound)
    if is_silent(wet):
        return wet
    wet = Audio(nudged(wet.mono(), sound.mono()), sound.sample_rate)
    mixed = Audio((1.0 - blend) * sound.samples + blend * wet.samples, sound.sample_rate)
    return limit_peaks(as_loud(mixed, loudness_lufs(sound)), -1.0)


def nudged(wet: Samples, dry: Samples) -> Samples:
    """`wet` moved by at most 3 ms, and turned upside down, to where it resembles `dry` most; left alone where it does not."""
    reach = round(_NUDGE_S * SAMPLE_RATE)
    size = fft.next_fast_len(len(dry) + reach + 1, real=True)
    correlation = fft.irfft(
        fft.rfft(wet.astype(np.float64), size) * np.conj(fft.rfft(dry.astype(np.float64), size)), size
    )
    lags = np.arange(-reach, reach + 1)
    best = int(lags[np.argmax(np.abs(correlation[lags]))])
    power = math.sqrt(float(np.sum(wet**2, dtype=np.float64) * np.sum(dry**2, dtype=np.float64)))
    if not power or abs(correlation[best]) < _ALIKE * power:
        return wet
    moved = np.zeros_like(wet)
    moved[max(0, -best) : len(wet) - max(0, best)] = wet[max(0, best) : len(wet) - max(0, -best)]
    return moved * np.float32(np.sign(correlation[best]))


def lent(model: TimbreModel, note: Note) -> Note | None:
    """What a model makes of a note, mono, with the same frames, loop and period; None where it answers with silence.

    The model hears the note's beginning and its ring several times over. Far from the beginning its answer repeats with the
    ring, but for the grid of its latents: of there a whole ring is kept, its end faded into what precedes its start. The
    harmonics are turned into the phase that they have in the note, so that the two can be mixed in any proportion without
    cancelling each other.
    """
    lead, frames = note.loop_start, note.loop_end + 1 - note.loop_start
    middle = note.samples.mean(axis=0)
    passes = 2 + max(1, math.ceil(_STEADY_S * SAMPLE_RATE / frames))
    ring = middle[lead : lead + frames]
    wet = model.through(Audio(np.concatenate([middle[:lead], np.tile(ring, passes)]), SAMPLE_RATE))
    if is_silent(wet):
        return None
    start = lead + (passes - 2) * frames
    answer = wet.samples[0].astype(np.float64)
    turned = in_phase(answer, answer[start : start + frames], ring.astype(np.float64), _periods(note, frames))
    samples = _cut(turned, lead, start, frames, note.samples.shape[1] - lead - frames)
    samples *= np.sqrt(np.mean(ring**2) / np.mean(samples[lead : lead + frames] ** 2))
    peak = _PEAK * np.sqrt(np.mean(ring**2))
    samples[:lead] = np.clip(samples[:lead], -peak, peak)
    return Note(samples.astype(np.float32)[None], note.loop_start, note.loop_end, note.f0_hz)


def _periods(note: Note, frames: int) -> int:
    return max(1, round(note.f0_hz * frames / SAMPLE_RATE))


def in_phase(answer: Floats, ring: Floats, model: Floats, periods: int) -> Floats:
    """An answer whose harmonics have the phases of a model ring, all levels as they were.

    `ring` is one ring of the answer, `model` the same ring of the note: harmonic k of both is bin k `periods`. Between two
    harmonics the turn goes evenly from one to the other the shorter way, at most half a turn: that moves nothing by more than
    half a period.
    """
    numbers = np.arange(periods, len(ring) // 2, periods)
    turn = np.angle(fft.rfft(model)[numbers]) - np.angle(fft.rfft(ring)[numbers])
    turn = np.unwrap(turn)
    size = fft.next_fast_len(len(answer) + 2 * len(ring) // periods, real=True)
    f = np.arange(size // 2 + 1) / size
    phase = np.interp(f, numbers / len(ring), turn)
    return np.asarray(fft.irfft(fft.rfft(answer, size) * np.exp(1j * phase), size)[: len(answer)])


def _cut(answer: Floats, lead: int, start: int, frames: int, guard: int) -> Floats:
    """The answer's beginning, its ring from `start` on, and what continues it, all joints faded."""
    join = round(_JOIN_SHARE * frames)
    ring = answer[start : start + frames].copy()
    ring[frames - join :] = faded(ring[frames - join :], answer[start - join : start])
    begin = answer[:lead].copy()
    join = min(lead, round(_LEAD_JOIN_S * SAMPLE_RATE))
    begin[lead - join :] = faded(begin[lead - join :], answer[start - join : start])
    rise = min(lead, round(0.002 * SAMPLE_RATE))
    begin[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / max(1, rise))
    return np.concatenate([begin, ring, np.resize(ring, guard)])


def faded(one: Floats, other: Floats) -> Floats:
    """From one sound to another of the same length, the level kept whatever their correlation is."""
    b = 0.5 - 0.5 * np.cos(np.pi * (np.arange(len(one)) + 0.5) / max(1, len(one)))
    a = 1.0 - b
    power = math.sqrt(float(np.sum(one**2) * np.sum(other**2)))
    rho = max(0.0, float(np.sum(one * other)) / power) if power > 0 else 0.0
    return np.asarray((a * one + b * other) / np.sqrt(a**2 + b**2 + 2.0 * rho * a * b))
