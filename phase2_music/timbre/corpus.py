"""Notes of one family for the training of a timbre model: one folder, one format, whatever they come from.

A corpus is a folder of mono FLAC files (16 bits) and a manifest, corpus.json (`schemas.timbre.Corpus`). The sources are
`corpus_gm` (a General MIDI soundfont) and `corpus_nsynth` (NSynth).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import numpy as np

from core.audio import Audio, write_audio
from core.errors import OutputError, UsageError
from core.loudness import from_db, loudness_lufs, true_peak_dbtp
from core.manifest import prepare_folder, sha256_file, sha256_json, sweep
from phase2_music.timbre.corpus_gm import GeneralMidi
from phase2_music.timbre.corpus_nsynth import NSynth
from phase2_music.timbre.corpus_source import CorpusOptions, NoteSource, Origin, Take
from schemas.timbre import Corpus, CorpusNote

MANIFEST = "corpus.json"
LOUDNESS_LUFS = -20.0
"""What photone's effects and samples are levelled to as well, so a model meets what it was trained on."""
CEILING_DBTP = -1.0

_VERSION = 1  # raised when the same request comes to give other notes
_PARTIAL = "corpus.partial.json"
_FLOOR_DB = -66.0  # what lies below the loudest stretch of a note by so much at its end is cut off
_SHORTEST_S = 1.0


def open_source(options: CorpusOptions) -> NoteSource:
    """The source that the options name.

    Raises:
        EngineError: the soundfont or the NSynth folder is missing.
    """
    return GeneralMidi(options) if options.source == "gm" else NSynth(options)


def make_corpus(options: CorpusOptions, report: Callable[[int, int], None] = lambda done, of: None) -> Corpus:
    """Make a corpus, or go on with one that was stopped; a finished one of the same request stays as it is.

    The same request gives the same bytes. `report` is told how many notes there are so far and in all.

    Raises:
        EngineError: the soundfont or the NSynth folder is missing.
        OutputError: the folder holds something else or cannot be written to.
    """
    source = open_source(options)
    request = _request_sha256(options, source.origin)
    finished = _finished(options.out, request)
    if finished is not None:
        report(len(finished.notes), len(finished.notes))
        return finished
    prepare_folder(options.out)
    sweep(options.out)
    notes = _kept(options.out, request)
    for group in _groups(source.takes):
        if not {take.name for take in group} <= {Path(note.file).stem for note in notes}:
            notes += _write_group(options, source, group)
            _document(options, source.origin, request, notes).write(options.out / _PARTIAL)
        report(len(notes), len(source.takes))
    corpus = _document(options, source.origin, request, notes)
    corpus.write(options.out / MANIFEST)
    (options.out / _PARTIAL).unlink(missing_ok=True)
    return corpus


def read_corpus(folder: Path) -> Corpus:
    """Read a corpus's manifest.

    Raises:
        UsageError: the folder holds no finished corpus.
        DocumentError: the manifest is damaged.
    """
    if not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder}: holds no {MANIFEST}: make it with `photone train corpus ROLE --out {folder}`")
    return Corpus.read(folder / MANIFEST)


def damaged_notes(folder: Path, corpus: Corpus) -> list[str]:
    """Files of a corpus that are missing or have other bytes than its manifest says."""
    return [
        note.file
        for note in corpus.notes
        if not (folder / note.file).is_file() or sha256_file(folder / note.file) != note.sha256
    ]


def level_gain_db(audio: Audio) -> float | None:
    """What brings a note to the corpus's loudness without passing its ceiling, in dB; None for silence."""
    loudness = loudness_lufs(audio)
    if not math.isfinite(loudness):
        return None
    return min(LOUDNESS_LUFS - loudness, CEILING_DBTP - true_peak_dbtp(audio))


def without_silent_end(audio: Audio) -> Audio:
    """A mono note without what lies 66 dB below its loudest 10 ms at the end, at least a second long where it was."""
    step = max(1, audio.sample_rate // 100)
    samples = audio.samples[0]
    levels = np.abs(samples[: len(samples) // step * step]).reshape(-1, step).max(axis=1)
    heard = np.flatnonzero(levels > levels.max(initial=0.0) * from_db(_FLOOR_DB))
    last = (int(heard[-1]) + 1) * step if len(heard) else 0
    return Audio(samples[: max(last, round(_SHORTEST_S * audio.sample_rate))], audio.sample_rate)


def _groups(takes: Sequence[Take]) -> list[list[Take]]:
    """Takes of one program each: what is made again as a whole after a stop."""
    ordered = sorted(takes, key=lambda take: (take.program, take.name))
    return [list(group) for _, group in groupby(ordered, key=lambda take: take.program)]


def _write_group(options: CorpusOptions, source: NoteSource, group: Sequence[Take]) -> list[CorpusNote]:
    written = []
    for take, sound in zip(group, source.sounds(group), strict=True):
        note = _write_note(options, take, sound)
        if note is not None:
            written.append(note)
    return written


def _write_note(options: CorpusOptions, take: Take, sound: Audio) -> CorpusNote | None:
    """Level a note and write it; None where it is silent (a soundfont may have no sample for a key)."""
    audio = without_silent_end(Audio(sound.mono(), sound.sample_rate).resampled(options.sample_rate))
    gain_db = level_gain_db(audio)
    if gain_db is None:
        return None
    path = options.out / "notes" / f"{take.name}.flac"
    write_audio(path, audio.scaled(from_db(gain_db)), subtype="PCM_16")
    return CorpusNote(
        file=f"notes/{path.name}",
        sha256=sha256_file(path),
        key=take.key,
        velocity=take.velocity,
        program=take.program,
        split=take.split,
        duration_s=round(audio.duration_s, 6),
        gain_db=round(gain_db, 3),
    )


def _document(options: CorpusOptions, origin: Origin, request: str, notes: Sequence[CorpusNote]) -> Corpus:
    return Corpus(
        role=options.role,
        source=options.source,
        origin=origin.name,
        origin_sha256=origin.sha256,
        licence=origin.licence,
        sample_rate=options.sample_rate,
        loudness_lufs=LOUDNESS_LUFS,
        ceiling_dbtp=CEILING_DBTP,
        options_sha256=request,
        programs=list(origin.programs),
        held_out_keys=list(origin.held_out_keys),
        valid_keys=list(origin.valid_keys),
        notes=sorted(notes, key=lambda note: (note.program, note.file)),
    )


def _request_sha256(options: CorpusOptions, origin: Origin) -> str:
    """Hash of all that decides the notes; paths do not."""
    asked = {name: value for name, value in asdict(options).items() if name not in ("out", "soundfont", "nsynth")}
    return sha256_json([_VERSION, asked, origin.sha256])


def _finished(out: Path, request: str) -> Corpus | None:
    """The corpus in a folder if it is of the same request and none of its files is lost or changed."""
    if not (out / MANIFEST).is_file():
        return None
    corpus = Corpus.read(out / MANIFEST)
    if corpus.options_sha256 != request:
        raise OutputError(f"{out}: holds a corpus that was asked for otherwise: choose another folder with --out")
    return None if damaged_notes(out, corpus) else corpus


def _kept(out: Path, request: str) -> list[CorpusNote]:
    """What an earlier call finished: the notes of its whole programs; all of a program if none of its files is lost."""
    paths = [path for path in (out / _PARTIAL, out / MANIFEST) if path.is_file()]
    if not paths:
        return []
    corpus = Corpus.read(paths[0])
    if corpus.options_sha256 != request:
        raise OutputError(f"{out}: holds a corpus that was asked for otherwise: choose another folder with --out")
    lost = set(damaged_notes(out, corpus))
    again = {note.program for note in corpus.notes if note.file in lost}
    return [note for note in corpus.notes if note.program not in again]
