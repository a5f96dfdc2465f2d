"""Corpora of notes: in tune, level, held out as promised, the same bytes each time, and made on after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.audio import Audio, read_audio, write_audio
from core.errors import DocumentError, EngineError, OutputError, UsageError
from core.loudness import loudness_lufs, true_peak_dbtp
from core.manifest import sha256_file
from phase2_music.instruments.sf2 import Sf2Preset, Sf2Sample, Sf2Zone, sf2_bytes
from phase2_music.timbre import corpus_gm
from phase2_music.timbre.corpus import MANIFEST, damaged_notes, make_corpus, read_corpus, without_silent_end
from phase2_music.timbre.corpus_gm import FAMILIES, FLUIDR3, HELD_OUT_PROGRAM, GeneralMidi
from phase2_music.timbre.corpus_source import CorpusOptions, Take
from schemas.document import Role
from schemas.timbre import Corpus

RATE = 44100
PROGRAMS = (0, 1, 4)  # 1 is the one that is held out


@pytest.fixture(scope="session")
def soundfont(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A soundfont with three of General MIDI's keyboards: looped rings of some harmonics."""
    path = tmp_path_factory.mktemp("sf2") / "tiny.sf2"
    rings, presets = [], []
    for number, program in enumerate(PROGRAMS):
        time = np.arange(RATE // 2) / RATE
        wave = sum(np.sin(2 * np.pi * 441 * k * time) / k ** (1 + number) for k in range(1, 6))
        ring = (0.2 * wave).astype(np.float32)[None]
        # 441 Hz lies 4 cents above A4.
        rings.append(Sf2Sample(f"ring{number}", ring, RATE, 69, -4, (0, 100 * 200 - 1)))
        presets.append(Sf2Preset(f"p{program}", 0, program, [Sf2Zone(number, {"sampleModes": 1})]))
    path.write_bytes(sf2_bytes("tiny", rings, presets))
    return path


@pytest.fixture
def options(soundfont: Path, tmp_path: Path) -> CorpusOptions:
    return CorpusOptions(
        "keyboard",
        tmp_path / "corpus",
        soundfont=soundfont,
        key_step=4,
        velocities=(50, 110),
        programs=PROGRAMS,
        duration_s=1.25,
    )


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def f0_hz(audio: Audio) -> float:
    """The strongest line of a steady sound's spectrum: of our test sounds that is the fundamental."""
    samples = audio.samples[0, 4000:20000].astype(np.float64)
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18)) + 1e-12)
    at = int(np.argmax(spectrum))
    low, middle, high = spectrum[at - 1 : at + 2]
    return (at + 0.5 * (low - high) / (low - 2 * middle + high)) * audio.sample_rate / (1 << 18)


def test_notes_sound_their_keys_at_one_loudness(options: CorpusOptions) -> None:
    corpus = make_corpus(options)
    for note in corpus.notes[:: len(corpus.notes) // 12]:
        audio = read_audio(options.out / note.file)
        assert audio.channels == 1
        assert audio.sample_rate == corpus.sample_rate == RATE
        assert audio.duration_s == pytest.approx(note.duration_s, abs=1e-4)
        cents = 1200 * np.log2(f0_hz(audio) / (440 * 2 ** ((note.key - 69) / 12)))
        assert abs(cents) < 5, note
        peak = true_peak_dbtp(audio)
        assert peak <= corpus.ceiling_dbtp + 0.05
        assert loudness_lufs(audio) == pytest.approx(corpus.loudness_lufs, abs=0.1) or peak > corpus.ceiling_dbtp - 0.1


def test_the_rate_that_was_asked_for_keeps_the_pitch(options: CorpusOptions) -> None:
    corpus = make_corpus(replace(options, sample_rate=16000, programs=(0,), key_step=12))
    for note in corpus.notes:
        audio = read_audio(options.out / note.file)
        assert audio.sample_rate == corpus.sample_rate == 16000
        assert audio.duration_s > 0.9
    middle = next(note for note in corpus.notes if note.key == 65)
    assert f0_hz(read_audio(options.out / middle.file)) == pytest.approx(440 * 2 ** (-4 / 12), rel=0.003)


def test_pitches_and_programs_are_held_out(options: CorpusOptions) -> None:
    corpus = make_corpus(options)
    held_out = {program.program for program in corpus.programs if program.held_out}
    assert held_out == {1}
    assert len(corpus.held_out_keys) >= 2
    assert corpus.valid_keys
    assert not set(corpus.valid_keys) & set(corpus.held_out_keys)
    for note in corpus.notes:
        test = note.program in held_out or note.key in corpus.held_out_keys
        assert (note.split == "test") == test, note
        assert (note.split == "valid") == (not test and note.key in corpus.valid_keys), note
    # A held-out key is held out with every program, so a model never meets it.
    assert {note.key for note in corpus.split("train")}.isdisjoint({*corpus.held_out_keys, *corpus.valid_keys})
    assert {note.program for note in corpus.split("test")} == set(PROGRAMS)
    assert sum(len(corpus.split(split)) for split in ("train", "valid", "test")) == len(corpus.notes)


@pytest.mark.parametrize("role", FAMILIES)
def test_every_family_holds_out_one_of_its_programs(role: Role) -> None:
    assert len(FAMILIES[role]) == 8
    assert HELD_OUT_PROGRAM[role] in FAMILIES[role]


def test_the_same_request_gives_the_same_bytes(options: CorpusOptions, tmp_path: Path) -> None:
    make_corpus(options)
    again = replace(options, out=tmp_path / "again")
    make_corpus(again)
    assert contents(options.out) == contents(again.out)


def test_a_finished_corpus_is_left_alone(options: CorpusOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_corpus(options)
    monkeypatch.setattr(GeneralMidi, "sounds", None)
    told: list[tuple[int, int]] = []
    assert make_corpus(options, lambda done, of: told.append((done, of))) == first
    assert told == [(len(first.notes), len(first.notes))]


class StoppedError(Exception):
    pass


def test_a_stopped_corpus_goes_on_and_ends_the_same(
    options: CorpusOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(options, out=tmp_path / "whole")
    make_corpus(whole)
    real, played = GeneralMidi.sounds, []

    def sounds(self: GeneralMidi, takes: Sequence[Take]) -> Iterator[Audio]:
        for take, sound in zip(takes, real(self, takes), strict=True):
            if stop_at is not None and (take.program, take.key) == stop_at:
                raise StoppedError
            played.append(take.program)
            yield sound

    monkeypatch.setattr(GeneralMidi, "sounds", sounds)
    stop_at: tuple[int, int] | None = (1, 49)
    with pytest.raises(StoppedError):
        make_corpus(options)
    with pytest.raises(UsageError, match=r"holds no corpus\.json"):
        read_corpus(options.out)
    stop_at = None
    played.clear()
    make_corpus(options)
    assert set(played) == {1, 4}, "a finished program is not played again"
    assert contents(options.out) == contents(whole.out)


def test_a_lost_note_is_made_again(options: CorpusOptions, tmp_path: Path) -> None:
    corpus = make_corpus(options)
    before = contents(options.out)
    (options.out / corpus.notes[5].file).write_bytes(b"damaged")
    assert damaged_notes(options.out, corpus) == [corpus.notes[5].file]
    make_corpus(options)
    assert contents(options.out) == before


def test_another_request_does_not_overwrite_a_corpus(options: CorpusOptions) -> None:
    make_corpus(replace(options, programs=(0,)))
    with pytest.raises(OutputError, match="asked for otherwise: choose another folder with --out"):
        make_corpus(options)


def test_a_silent_end_is_cut_off_and_a_second_stays() -> None:
    sound = np.zeros(4 * RATE, dtype=np.float32)
    sound[: 2 * RATE] = 0.3 * np.sin(np.arange(2 * RATE) * 0.1)
    assert without_silent_end(Audio(sound, RATE)).duration_s == pytest.approx(2.0, abs=0.02)
    sound[RATE // 10 :] = 0
    assert without_silent_end(Audio(sound, RATE)).duration_s == pytest.approx(1.0, abs=0.02)


def test_a_missing_soundfont_names_debians_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_gm, "FLUIDR3", tmp_path / "FluidR3_GM.sf2")
    with pytest.raises(EngineError, match=r"FluidR3_GM\.sf2: .*apt-get install fluid-soundfont-gm.*--soundfont"):
        make_corpus(CorpusOptions("bass", tmp_path / "corpus"))
    with pytest.raises(UsageError, match=r"no\.sf2: no such soundfont"):
        make_corpus(CorpusOptions("bass", tmp_path / "corpus", soundfont=tmp_path / "no.sf2"))


def test_a_soundfont_without_the_family_is_refused(soundfont: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no General MIDI soundfont with program 32: name another with --soundfont"):
        make_corpus(CorpusOptions("bass", tmp_path / "corpus", soundfont=soundfont))
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFFxxxxsfbk")
    with pytest.raises(EngineError, match=r"broken\.sf2: no General MIDI soundfont"):
        make_corpus(CorpusOptions("bass", tmp_path / "corpus", soundfont=broken))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "drums"}, "no corpus for the role 'drums'"),
        ({"sample_rate": 500}, "sample rate 500"),
        ({"velocities": (0,)}, "velocities"),
        ({"velocities": ()}, "velocities"),
        ({"duration_s": 0.1}, "key step and duration"),
        ({"key_step": 0}, "key step and duration"),
    ],
)
def test_wrong_requests_are_refused(options: CorpusOptions, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(options, **changes)


def test_a_program_of_another_family_is_refused(options: CorpusOptions) -> None:
    with pytest.raises(UsageError, match="program 33 is none of keyboard"):
        make_corpus(replace(options, programs=(33,)))


@pytest.mark.skipif(not FLUIDR3.is_file(), reason="Debian's fluid-soundfont-gm is not installed")
@pytest.mark.parametrize("role", FAMILIES)
def test_fluidr3_plays_the_families(role: Role, tmp_path: Path) -> None:
    programs = (min(FAMILIES[role]), max(FAMILIES[role]))
    options = CorpusOptions(role, tmp_path, key_step=12, velocities=(100,), programs=programs, duration_s=0.5)
    corpus = make_corpus(options)
    assert {note.program for note in corpus.notes} == set(programs)
    assert corpus.licence.startswith("MIT")
    # The guitar's harmonics have no sample for the outermost keys: those are left out.
    assert len(corpus.notes) >= 2 * len({note.key for note in corpus.notes}) - 2


# NSynth


def write_part(folder: Path, instruments: Sequence[tuple[str, str, int]]) -> None:
    """A small part of NSynth: three notes an instrument, at 16 kHz."""
    examples = {}
    for family, name, number in instruments:
        for pitch in (48, 60, 72):
            note = f"{name}-{pitch:03d}-100"
            time = np.arange(16000) / 16000
            tone = 0.1 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time)
            write_audio(folder / "audio" / f"{note}.wav", Audio(tone, 16000), subtype="PCM_16")
            examples[note] = {
                "note_str": note,
                "pitch": pitch,
                "velocity": 100,
                "instrument": number,
                "instrument_str": name,
                "instrument_family_str": family,
                "sample_rate": 16000,
            }
    (folder / "examples.json").write_text(json.dumps(examples))


@pytest.fixture
def nsynth(tmp_path: Path) -> Path:
    folder = tmp_path / "nsynth"
    write_part(folder / "nsynth-train", [("bass", "bass_synthetic_001", 5), ("guitar", "guitar_acoustic_001", 6)])
    write_part(folder / "nsynth-valid", [("bass", "bass_electronic_002", 7)])
    write_part(folder / "nsynth-test", [("bass", "bass_electronic_003", 8), ("flute", "flute_synthetic_000", 9)])
    return folder


def test_nsynth_is_read_by_family_with_its_own_split(nsynth: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    corpus = make_corpus(CorpusOptions("bass", out, source="nsynth", nsynth=nsynth, sample_rate=16000))
    assert {(note.split, note.program) for note in corpus.notes} == {("train", 5), ("valid", 7), ("test", 8)}
    assert [(p.program, p.name, p.held_out) for p in corpus.programs] == [
        (5, "bass_synthetic_001", False),
        (7, "bass_electronic_002", False),
        (8, "bass_electronic_003", True),
    ]
    assert len(corpus.notes) == 9
    assert corpus.licence.startswith("CC BY 4.0")
    assert corpus.origin == "nsynth-train, nsynth-valid, nsynth-test"
    note = next(note for note in corpus.notes if note.split == "test" and note.key == 72)
    audio = read_audio(out / note.file)
    assert audio.sample_rate == 16000
    assert f0_hz(audio) == pytest.approx(440 * 2 ** (3 / 12), rel=0.003)
    assert loudness_lufs(audio) == pytest.approx(-20, abs=0.1)
    assert Corpus.read(out / MANIFEST) == corpus


def test_nsynth_can_be_cut_down_and_brought_to_another_rate(nsynth: Path, tmp_path: Path) -> None:
    options = CorpusOptions("bass", tmp_path / "a", source="nsynth", nsynth=nsynth, sample_rate=44100, limit=2)
    corpus = make_corpus(options)
    assert [len(corpus.split(split)) for split in ("train", "valid", "test")] == [2, 2, 2]
    assert read_audio(options.out / corpus.notes[0].file).sample_rate == 44100
    again = make_corpus(replace(options, out=tmp_path / "b"))
    assert again.notes == corpus.notes
    other = make_corpus(replace(options, out=tmp_path / "c", seed=3))
    assert {note.file for note in other.notes} != {note.file for note in corpus.notes}


def test_one_part_of_nsynth_can_stand_alone(nsynth: Path, tmp_path: Path) -> None:
    corpus = make_corpus(CorpusOptions("bass", tmp_path / "c", source="nsynth", nsynth=nsynth / "nsynth-test"))
    assert {note.split for note in corpus.notes} == {"test"}


def test_what_is_wrong_with_an_nsynth_folder_is_said(nsynth: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    with pytest.raises(UsageError, match=r"name the folder .* with --nsynth"):
        make_corpus(CorpusOptions("bass", out, source="nsynth"))
    with pytest.raises(EngineError, match="holds no nsynth-train, nsynth-valid or nsynth-test"):
        make_corpus(CorpusOptions("bass", out, source="nsynth", nsynth=tmp_path))
    with pytest.raises(UsageError, match="has no note of the family keyboard"):
        make_corpus(CorpusOptions("keyboard", out, source="nsynth", nsynth=nsynth))
    (nsynth / "nsynth-test" / "examples.json").write_text('{"a": {"pitch": 60}}')
    with pytest.raises(EngineError, match=r"examples\.json: a lacks one of"):
        make_corpus(CorpusOptions("bass", out, source="nsynth", nsynth=nsynth))


def test_a_damaged_manifest_is_said(options: CorpusOptions) -> None:
    make_corpus(replace(options, programs=(0,)))
    (options.out / MANIFEST).write_text("{}")
    with pytest.raises(DocumentError, match=r"corpus\.json"):
        read_corpus(options.out)
