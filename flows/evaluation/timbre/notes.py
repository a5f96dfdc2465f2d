"""What is measured on notes that a timbre model has never heard: is the pitch kept, the spectrum, the course of the level?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from core.audio import SAMPLE_RATE, Audio, read_audio
from core.errors import UsageError
from flows.evaluation.measures import Floats
from phase2_music.instruments.pitch import cents_between, comb_pitch, key_to_hz, yin_pitch
from schemas.timbre import Corpus, CorpusNote

FOLLOWED_CENTS = 50.0
FLOOR_DB = -60.0
"""Under the loudest of a note's bands: what lies lower is not heard beside it."""

_N_FFT = 2048
_HOP = 512
_BANDS = 80
_HEARD_S = (0.1, 1.1)
_ENVELOPE_S = 0.01
_ENVELOPE_BLOCKS = 5

Through = Callable[[Audio], Audio]


@dataclass(frozen=True)
class HeldOut:
    """A note of the split `test` at 44.1 kHz, mono."""

    name: str
    key: int
    sound: Audio


@dataclass(frozen=True)
class NoteRow:
    """One held-out note and what was made of it.

    `followed` says whether both trackers hear the made note within 50 cents of the key, None where they do not hear even
    the note itself there (then it says nothing of the model). Distances in dB are those to the note: of what was made
    (`lsd_db`), of silence and of another note. `envelope` is the correlation of the levels over time, -1..1.
    """

    note: str
    key: int
    followed: bool | None
    lsd_db: float
    silence_db: float
    other_db: float
    envelope: float


def held_out(folder: Path, corpus: Corpus, count: int) -> list[HeldOut]:
    """Notes of the split `test`, evenly spread over keys, programs and velocities.

    Raises:
        UsageError: there are fewer than two.
        AudioError: a note cannot be read.
    """
    notes = sorted(corpus.split("test"), key=lambda note: (note.key, note.program, note.velocity, note.file))
    if len(notes) < 2:
        raise UsageError(
            f"{folder}: holds {len(notes)} notes of the split test: make a corpus with more keys or programs"
        )
    chosen = np.unique(np.linspace(0, len(notes) - 1, min(count, len(notes))).round().astype(int))
    return [HeldOut(notes[place].file, notes[place].key, read_note(folder, notes[place])) for place in chosen]


def read_note(folder: Path, note: CorpusNote) -> Audio:
    """A note of a corpus, mono at 44.1 kHz.

    Raises:
        AudioError: it cannot be read.
    """
    sound = read_audio(folder / note.file)
    return Audio(sound.mono(), sound.sample_rate).resampled(SAMPLE_RATE)


def note_rows(notes: Sequence[HeldOut], through: Through) -> list[NoteRow]:
    """Measure what becomes of notes; the other note of each is the one half of the list away."""
    rows = []
    for place, note in enumerate(notes):
        made = through(note.sound)
        other = notes[(place + len(notes) // 2) % len(notes)].sound
        silent = note.sound.scaled(0.0)
        distances = [round(spectral_distance_db(note.sound, one), 2) for one in (made, silent, other)]
        followed = hears(made, note.key) if hears(note.sound, note.key) else None
        envelope = round(envelope_correlation(note.sound, made), 3)
        rows.append(NoteRow(note.name, note.key, followed, distances[0], distances[1], distances[2], envelope))
    return rows


def hears(sound: Audio, key: int) -> bool:
    """Whether both trackers hear a key, within 50 cents, in the first second of a sound."""
    start, end = (round(at * SAMPLE_RATE) for at in _HEARD_S)
    part = sound.mono()[start:end] if sound.frames > start + SAMPLE_RATE // 10 else sound.mono()
    if np.max(np.abs(part), initial=0.0) <= 0.0:
        return False
    found = (yin_pitch(part, SAMPLE_RATE), comb_pitch(part, SAMPLE_RATE))
    return all(f_hz is not None and abs(cents_between(f_hz, key_to_hz(key))) <= FOLLOWED_CENTS for f_hz in found)


def spectral_distance_db(note: Audio, made: Audio) -> float:
    """Log-spectral distance in dB: the RMS over 80 mel bands of the difference in level, averaged over the note's frames.

    60 dB under the note's loudest band is the floor of both; frames of the note that lie wholly below it do not count. What
    was made is compared over the length of the note.
    """
    reference = _log_mel(note, note.frames)
    floor = reference.max(initial=-200.0) + FLOOR_DB
    heard = np.maximum(_log_mel(made, note.frames), floor)
    audible = reference.max(axis=0) > floor
    difference = np.maximum(reference, floor)[:, audible] - heard[:, audible]
    return float(np.mean(np.sqrt(np.mean(difference**2, axis=0)))) if audible.any() else 0.0


def _log_mel(sound: Audio, frames: int) -> Floats:
    """Levels in dB, shape (80 bands, frames of 512 samples), of the first `frames` samples."""
    mono = sound.mono()[:frames].astype(np.float64)
    padded = np.pad(mono, (_N_FFT // 2, _N_FFT // 2 + max(0, frames - len(mono))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP] * np.hanning(_N_FFT)
    power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
    return np.asarray(10.0 * np.log10(_filters() @ power.T + 1e-20))


@cache
def _filters() -> Floats:
    import librosa

    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_N_FFT, n_mels=_BANDS, fmin=30.0, fmax=16000.0)
    # The lowest bands are narrower than a bin and would hold nothing.
    return np.asarray(filters[filters.sum(axis=1) > 0], dtype=np.float64)


def envelope_correlation(note: Audio, made: Audio) -> float:
    """Correlation of two sounds' RMS levels over 50 ms, every 10 ms; 0 where one of them does not change.

    Shorter windows would see the periods of a bass's lowest notes, and with them phases, which nobody hears.
    """
    levels = [_levels(one, min(note.frames, made.frames)) for one in (note, made)]
    if any(len(level) < 2 or level.std() <= 1e-9 for level in levels):
        return 0.0
    return float(np.corrcoef(levels[0], levels[1])[0, 1])


def _levels(sound: Audio, frames: int) -> Floats:
    width = round(_ENVELOPE_S * SAMPLE_RATE)
    blocks = sound.mono()[: frames // width * width].astype(np.float64).reshape(-1, width)
    power = np.mean(blocks**2, axis=1)
    return np.asarray(np.sqrt(np.convolve(power, np.full(_ENVELOPE_BLOCKS, 1 / _ENVELOPE_BLOCKS), "same")))
