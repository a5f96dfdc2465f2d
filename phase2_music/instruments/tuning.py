"""The samples of a melodic instrument: one for every third key, each with as much of the effect as stays in tune."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import python_stretch

from core.audio import SAMPLE_RATE, Samples
from phase2_music.instruments.pitch import (
    STEADY_PROBABILITY,
    Pitch,
    cents_between,
    comb_pitch,
    is_steady,
    key_to_hz,
    track_pitch,
    yin_track,
)
from phase2_music.instruments.samples import IN_TUNE_CENTS, UNHEARD_CENTS, Sample, levelled
from phase2_music.timbre.analysis import Floats, SoundModel
from phase2_music.timbre.protocol import LendingVoice, Note, Voice

_LONGEST_RAW_S = 10
_BLEND_STEPS = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1, 0.05)
_STEPS_ENOUGH = 1  # of blend: where so little is lost, the dials stay
_TURNS_FOR_BLEND = 3
_SEAM_STEP_DB = 0.9
_CALM_STEPS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0)
_SUPPORT_STEPS = (0.0, 0.1, 0.18, 0.25, 0.31, 0.37, 0.43, 0.49, 0.55, 0.62, 0.7, 0.8, 0.9, 1.0)


Fault = Literal["hoarse", "astray", "beginning"]
"""Why a sample is not in tune: its loop is hardly voiced, or heard at another pitch, or all is well but what goes before it."""


class Dials(NamedTuple):
    """How far a note is calmed and supported (see `Voice.note`): places in the tables of steps."""

    calm: int = 0
    support: int = 0

    @property
    def values(self) -> tuple[float, float]:
        return _CALM_STEPS[self.calm], _SUPPORT_STEPS[self.support]

    def eased(self) -> Dials:
        """Two steps back."""
        return Dials(max(0, self.calm - 2), max(0, self.support - 2))

    def turned(self, fault: Fault) -> Dials | None:
        """One step on: of support where the loop is heard astray, else of calm. None where the dials cannot help any more."""
        calmer, fuller = self._replace(calm=self.calm + 1), self._replace(support=self.support + 1)
        can_calm, can_support = calmer.calm < len(_CALM_STEPS), fuller.support < len(_SUPPORT_STEPS)
        if fault == "beginning":
            return calmer if can_calm else None
        if can_support and (fault == "astray" or not can_calm):
            return fuller
        return calmer if can_calm else None


@dataclass(frozen=True)
class Tuner:
    """Makes the sample of any key from one voice. `character` is the dial from 0 to 1, `pitch` that of the effect."""

    voice: Voice
    pitch: Pitch
    character: float
    loudness_lufs: float

    @property
    def can_tune(self) -> bool:
        """Whether keys can be given to this effect at all."""
        return self.pitch.pitched or self._engine_tunes

    @cached_property
    def _engine_tunes(self) -> bool:
        return self.voice.note(220.0, 0.0) is not None

    @cached_property
    def _model(self) -> SoundModel:
        return SoundModel.of(self.voice.colour)

    def samples(self, keys: Sequence[int], name: Callable[[int], str]) -> list[Sample]:
        """The samples of rising keys: of each the most characteristic one that both trackers hear in tune, or the purest.

        What a key needs its neighbour needs, too, give or take two steps, so the search goes on from there.
        """
        made, dials, step = [], Dials(), 0
        for key in keys:
            sample, dials, attack = self._search(key, name(key), dials.eased())
            sample, dials, step = self._lent(sample, dials, attack, max(0, step - 2))
            made.append(dataclasses.replace(sample, samples=levelled(sample.samples, sample.loop, self.loudness_lufs)))
        return made

    def _search(self, key: int, name: str, dials: Dials) -> tuple[Sample, Dials, Samples | None]:
        """Turn the dials until the sample is in tune, or, at their end, drop an attack that no dial can mend.

        Gives the sample, the dials, and the attack that it begins with, if any.
        """
        target_hz = key_to_hz(key)
        if not self._engine_tunes:
            raw = _shifted(self._model.samples[: _LONGEST_RAW_S * SAMPLE_RATE], target_hz, self.pitch)
            return _measured(Sample(name, key, raw[None, :]), target_hz), dials, None
        head = self._model.samples[: 2 * SAMPLE_RATE]
        shifted = _shifted(head, target_hz, self.pitch) if self.pitch.pitched else None
        while True:
            sample = self._sample(key, name, dials, shifted)
            further = None if sample.in_tune else dials.turned(_fault(sample, target_hz))
            if further is None:
                break
            dials = further
        if not sample.in_tune and shifted is not None:
            shifted = None
            sample = self._sample(key, name, dials, None)
        return sample, dials, shifted

    def _lent(self, sample: Sample, dials: Dials, attack: Samples | None, step: int) -> tuple[Sample, Dials, int]:
        """The sample with as much of the voice's lent timbre as leaves it in tune and its loop even.

        The search for the sample went as far as the trackers bear it, so that a lent timbre would often be the straw too much:
        the dials may be turned a little further for it. Gives the dials and the step of blend that this took, too.
        """
        voice = self.voice
        if not isinstance(voice, LendingVoice) or not voice.blend or not sample.in_tune or not sample.loop:
            return sample, dials, step
        best = dataclasses.replace(sample, blend=0.0), dials, step
        for _ in range(_TURNS_FOR_BLEND + 1):
            found, place, fault = _blended(sample, voice, step)
            if (found.blend or 0.0) > (best[0].blend or 0.0):
                best = found, dials, place
            further = dials.turned(fault) if fault else None
            if further is None or place <= _STEPS_ENOUGH:
                break
            dials = further
            sample = self._sample(sample.key, sample.name, dials, attack)
        return best

    def _sample(self, key: int, name: str, dials: Dials, attack: Samples | None) -> Sample:
        calm, support = dials.values
        target_hz = key_to_hz(key)
        note = self.voice.note(target_hz, self.character, calm, support)
        assert note is not None
        return _from_note(name, key, note if attack is None else _with_attack(note, attack, calm), target_hz)


def _seam_step_db(sample: Sample, f0_hz: float) -> float:
    """Change of level across the seam of a loop, over 20 ms or the next whole number of periods, in dB; the worst channel."""
    assert sample.loop is not None
    loop = sample.samples[:, sample.loop[0] : sample.loop[1] + 1].astype(np.float64)
    window = min(round(math.ceil(0.02 * f0_hz) * SAMPLE_RATE / f0_hz), loop.shape[1])
    power = [np.mean(part**2, axis=1) + 1e-12 for part in (loop[:, :window], loop[:, -window:])]
    return float(np.max(np.abs(10.0 * np.log10(power[0] / power[1]))))


def _blended(sample: Sample, voice: LendingVoice, step: int) -> tuple[Sample, int, Fault | None]:
    """The sample with the most of a voice's timbre that leaves it in tune, the step of blend, and what is wrong with more.

    The more is lent, the less a note is in tune: so the steps are halved, from the one that the neighbour took on.
    """
    assert sample.loop is not None
    target_hz = key_to_hz(sample.key)
    lent = voice.lend(Note(sample.samples, *sample.loop, target_hz * 2.0 ** (-sample.tune_cents / 1200.0)))
    best, fault = dataclasses.replace(sample, blend=0.0), None
    low, high = step, len(_BLEND_STEPS)
    if lent is None or not sample.in_tune:
        return best, high, None
    place = low
    while low < high:
        tried = _lent_share(sample, lent, round(voice.blend * _BLEND_STEPS[place], 4))
        if tried.in_tune and _seam_step_db(tried, target_hz) <= _SEAM_STEP_DB:
            best, high = tried, place
        else:
            fault, low = fault or _fault(tried, target_hz), place + 1
        place = (low + high) // 2
    return best, high, fault


def _lent_share(sample: Sample, lent: Note, blend: float) -> Sample:
    """The sample with a share of what a voice lends, measured."""
    mixed = _mixed(sample.samples, lent.samples, blend)
    return _measured(dataclasses.replace(sample, samples=mixed, blend=blend), key_to_hz(sample.key))


def _mixed(dry: Samples, wet: Samples, blend: float) -> Samples:
    """A share of the sample's middle replaced by a mono sound; what differs between its channels stays."""
    middle = dry.mean(axis=0, keepdims=True)
    return np.asarray(dry + np.float32(blend) * (wet - middle), dtype=np.float32)


def _from_note(name: str, key: int, note: Note, target_hz: float) -> Sample:
    tune_cents = cents_between(target_hz, note.f0_hz)
    return _measured(Sample(name, key, note.samples, tune_cents, (note.loop_start, note.loop_end)), target_hz)


def _measured(sample: Sample, target_hz: float) -> Sample:
    """Ask both trackers how far from the key the sample sounds: in its first second, in half of it, and in its loop.

    The medians alone would let a note pass that wavers between octaves: it must also be steady, in every part.
    """
    mono = sample.mono
    parts = [mono[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] for start, end in ((0.03, 1.03), (0.06, 0.6))]
    if sample.loop:
        parts.append(mono[sample.loop[0] : sample.loop[1] + 1])
    tracks = [yin_track(part, SAMPLE_RATE) for part in parts]
    yin = _worst([track_pitch(track) for track in tracks], target_hz, sample.tune_cents)
    steady = abs(yin) <= IN_TUNE_CENTS and all(is_steady(track, target_hz) for track in tracks)
    # The second tracker is asked only where the first is content.
    if not steady:
        return dataclasses.replace(sample, off_cents=(yin, yin), steady=False)
    first = sample.samples[0, round(0.03 * SAMPLE_RATE) : round(1.03 * SAMPLE_RATE)]
    comb = _worst([_comb(part, target_hz) for part in (*parts, first)], target_hz, sample.tune_cents)
    return dataclasses.replace(sample, off_cents=(yin, comb), steady=steady)


def _fault(sample: Sample, target_hz: float) -> Fault:
    loop = sample.mono[sample.loop[0] : sample.loop[1] + 1] if sample.loop else sample.mono
    track = yin_track(loop, SAMPLE_RATE)
    if np.mean(track.voiced_probability) < STEADY_PROBABILITY:
        return "hoarse"
    heard = [track_pitch(track), _comb(loop, target_hz)]
    if abs(_worst(heard, target_hz, sample.tune_cents)) > IN_TUNE_CENTS:
        return "astray"
    return "beginning" if is_steady(track, target_hz) else "hoarse"


def _comb(samples: Samples, target_hz: float) -> float | None:
    """What the comb hears when it doubts the target: players envelop, filter and shift a sample, and it must still be heard."""
    return comb_pitch(samples, SAMPLE_RATE, doubted_hz=target_hz)


def _worst(found_hz: list[float | None], target_hz: float, tune_cents: float) -> float:
    if None in found_hz:
        return UNHEARD_CENTS
    return max((cents_between(f, target_hz) + tune_cents for f in found_hz if f is not None), key=abs)


def _shifted(samples: Floats, target_hz: float, pitch: Pitch) -> Samples:
    """The effect moved so that its own pitch (or, without one, 261.6 Hz) becomes `target_hz`, mono, shape (frames,).

    python-stretch keeps the length; from 6 semitones on it keeps the formants too (a tonality limit of 8 kHz).
    """
    semitones = cents_between(target_hz, pitch.f0_hz if pitch.pitched and pitch.f0_hz else key_to_hz(60)) / 100.0
    moved = _stretched(samples, semitones)
    if pitch.pitched:
        # The last cents: listen to what came out, once.
        heard = comb_pitch(moved[round(0.03 * SAMPLE_RATE) : round(0.5 * SAMPLE_RATE)], SAMPLE_RATE)
        off_cents = 0.0 if heard is None else cents_between(heard, target_hz)
        if 1.0 < abs(off_cents) < 50.0:
            moved = _stretched(samples, semitones - off_cents / 100.0)
    return moved


def _stretched(samples: Floats, semitones: float) -> Samples:
    stretch = python_stretch.Signalsmith.Stretch()
    stretch.preset(1, SAMPLE_RATE)
    stretch.setTransposeSemitones(semitones, 8000.0 / SAMPLE_RATE if abs(semitones) > 6 else 0.0)
    moved = np.array(stretch.process(samples.astype(np.float32)[None, :]), dtype=np.float32)[0]
    fade = min(len(moved), round(0.03 * SAMPLE_RATE))
    moved[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return np.asarray(moved)


def _with_attack(note: Note, shifted: Samples, calm: float) -> Note:
    """A note that begins as the shifted effect and becomes the seamless ring, the calmer the sooner, before its loop begins."""
    lead = note.loop_start
    attack = np.pad(shifted[:lead], (0, max(0, lead - len(shifted))))
    loop_rms = np.sqrt(np.mean(note.samples[:, lead : note.loop_end + 1] ** 2))
    tail = attack[lead // 4 : lead]
    attack = attack * (loop_rms / (np.sqrt(np.mean(tail**2)) + 1e-9))
    # The attack may stand out as a struck string does, not more.
    attack = np.clip(attack, -12.0 * loop_rms, 12.0 * loop_rms)
    turn = np.clip((np.arange(lead) / (lead * max(0.1, 1.0 - calm)) - 0.3) / 0.7, 0.0, 1.0) * np.pi / 2
    begin = attack * np.cos(turn) + note.samples[:, :lead] * np.sin(turn)
    samples = np.concatenate([begin, note.samples[:, lead:]], axis=1).astype(np.float32)
    return dataclasses.replace(note, samples=samples)
