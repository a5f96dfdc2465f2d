"""The bundled scores are the known tunes, playable by the band, made again byte for byte by their script."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import mido
import pretty_midi
import pytest

from core.errors import ScoreError
from phase2_music.scores import BundledScore, bundled_scores, find_score
from phase2_music.scores.arrange import write_all
from phase2_music.scores.notation import duration_of, key_of, octave, over, read_groove, read_voice

SCORES = list(bundled_scores().values())
RANGES = {"Keyboard": (36, 96), "Bass": (28, 55), "Guitar": (40, 84), "Drums": (35, 81)}
PROGRAMS = {"Keyboard": range(8), "Bass": range(32, 40), "Guitar": range(24, 32)}
CHANNELS = {"Keyboard": 0, "Bass": 1, "Guitar": 2, "Drums": 9}

# The first notes of each tune, the track that has it first, and after how many chords of introduction.
TUNES = {
    "canon": ("Keyboard", 0, [78, 76, 74, 73, 71, 69, 71, 73]),
    "greensleeves": ("Keyboard", 0, [69, 72, 74, 76, 78, 76, 74, 71, 67, 69, 71, 72, 69, 69, 68, 69, 71, 68]),
    "mountain-king": ("Bass", 0, [35, 37, 38, 40, 42, 38, 42, 41, 37, 41, 40, 36, 40, 35, 37, 38, 40, 42]),
    "gymnopedie": ("Keyboard", 0, [78, 81, 79, 78, 73, 71, 73, 74, 69, 66]),
    "entertainer": ("Keyboard", 21, [62, 63, 64, 72, 64, 72, 64, 72, 84, 86, 87, 88, 84, 86, 88, 83, 86, 84]),
    "ode-to-joy": ("Bass", 0, [47, 47, 48, 50, 50, 48, 47, 45, 43, 43, 45, 47, 47, 45, 45]),
}

Struck = tuple[int, int, int, int]  # start and end in ticks, key, velocity


@pytest.fixture(params=SCORES, ids=lambda score: score.name)
def score(request: pytest.FixtureRequest) -> BundledScore:
    bundled: BundledScore = request.param
    return bundled


def notes_of(track: mido.MidiTrack) -> list[Struck]:
    """Pair every note with its end; a stuck or overlapping note fails the test."""
    now, sounding, found = 0, {}, []
    for message in track:
        now += message.time
        if message.type == "note_on":
            assert message.note not in sounding, f"{track.name}: key {message.note} struck twice at {now}"
            sounding[message.note] = (now, message.velocity)
        elif message.type == "note_off":
            start, velocity = sounding.pop(message.note)
            assert now > start
            found.append((start, now, message.note, velocity))
    assert not sounding, f"{track.name}: stuck keys {sorted(sounding)}"
    return sorted(found)


def parts(score: BundledScore) -> dict[str, mido.MidiTrack]:
    return {track.name: track for track in mido.MidiFile(score.path).tracks[1:]}


def meta(score: BundledScore, kind: str) -> list[mido.MetaMessage]:
    return [message for message in mido.MidiFile(score.path).tracks[0] if message.type == kind]


def test_regenerating_gives_the_same_bytes(tmp_path: Path) -> None:
    written = write_all(tmp_path)
    assert {path.name for path in written} == {score.path.name for score in SCORES}
    for path in written:
        committed = bundled_scores()[path.stem].path.read_bytes()
        assert path.read_bytes() == committed, f"{path.name}: run python -m phase2_music.scores.arrange"


def test_length_is_between_forty_seconds_and_three_minutes(score: BundledScore) -> None:
    assert 40 <= mido.MidiFile(score.path).length <= 180


def test_each_part_has_its_channel_program_and_range(score: BundledScore) -> None:
    tracks = parts(score)
    assert list(tracks) == list(RANGES)
    for name, track in tracks.items():
        low, high = RANGES[name]
        notes = notes_of(track)
        assert len(notes) >= 40
        assert all(low <= key <= high for _, _, key, _ in notes)
        assert {message.channel for message in track if not message.is_meta} == {CHANNELS[name]}
        programs = {message.program for message in track if message.type == "program_change"}
        assert programs <= set(PROGRAMS.get(name, ()))
        assert len(programs) == (name in PROGRAMS)


def test_controllers_are_the_pedal_only_and_it_comes_up(score: BundledScore) -> None:
    for name, track in parts(score).items():
        pedal = [message for message in track if message.type == "control_change"]
        assert all(message.control == 64 for message in pedal)
        assert not pedal or (name == "Keyboard" and pedal[-1].value == 0)


def test_everything_ends_together_with_a_held_chord(score: BundledScore) -> None:
    file = mido.MidiFile(score.path)
    ends = [sum(message.time for message in track) for track in file.tracks]
    assert len(set(ends)) == 1
    for name in ("Keyboard", "Bass", "Guitar"):
        notes = notes_of(parts(score)[name])
        last = max(end for _, end, _, _ in notes)
        assert last <= ends[0]
        held = min(start for start, end, _, _ in notes if end == last)
        assert last - held >= 2 * file.ticks_per_beat, name
    assert max(end for _, end, _, _ in notes_of(parts(score)["Drums"])) <= ends[0]


def test_the_last_chord_is_the_tonic(score: BundledScore) -> None:
    tonic = key_of(meta(score, "key_signature")[0].key.rstrip("m") + "4") % 12
    bass = notes_of(parts(score)["Bass"])
    assert bass[-1][2] % 12 == tonic


def test_opening_of_the_tune(score: BundledScore) -> None:
    name, introduction, tune = TUNES[score.name]
    tops = list(top_line(notes_of(parts(score)[name])))
    assert tops[introduction : introduction + len(tune)] == tune


def top_line(notes: list[Struck]) -> Iterator[int]:
    """The highest key at every moment at which keys are struck."""
    struck = defaultdict(list)
    for start, _, key, _ in notes:
        struck[start].append(key)
    return (max(keys) for _, keys in sorted(struck.items()))


def test_scores_differ_in_tempo_metre_and_key() -> None:
    tempi = [round(mido.tempo2bpm(meta(score, "set_tempo")[0].tempo)) for score in SCORES]
    metres = {(m.numerator, m.denominator) for score in SCORES for m in meta(score, "time_signature")}
    keys = {m.key for score in SCORES for m in meta(score, "key_signature")}
    assert len(set(tempi)) == len(SCORES)
    assert metres == {(4, 4), (6, 8), (3, 4), (2, 4)}
    assert len(keys) >= 5  # Pachelbel and Satie share D major


def test_the_mountain_king_runs_faster_and_faster() -> None:
    tempi = [message.tempo for message in meta(bundled_scores()["mountain-king"], "set_tempo")]
    chase = tempi[:-1]
    assert chase == sorted(chase, reverse=True)
    assert chase[-1] < chase[0] / 1.8


def test_dynamics_breathe(score: BundledScore) -> None:
    velocities = [velocity for track in parts(score).values() for _, _, _, velocity in notes_of(track)]
    assert all(1 <= velocity <= 120 for velocity in velocities)
    assert max(velocities) - min(velocities) >= 40
    assert len(set(velocities)) >= 30


def test_no_semitone_clash_lasts_longer_than_a_beat(score: BundledScore) -> None:
    """Adjacent keys in two parts must not grind; wide major sevenths, as in Satie's chords, may sound."""
    file = mido.MidiFile(score.path)
    beat = file.ticks_per_beat * Fraction(3, 2) if score.name == "greensleeves" else file.ticks_per_beat
    tracks = parts(score)
    pitched = ("Keyboard", "Bass", "Guitar")
    played = sorted((*note, name) for name in pitched for note in notes_of(tracks[name]))
    for index, (_, end, key, _, name) in enumerate(played):
        for start, other_end, other, _, other_name in played[index + 1 :]:
            if start >= end:
                break
            grinds = abs(key - other) == 1 and name != other_name and min(end, other_end) - start > beat
            assert not grinds, f"{name} {key} against {other_name} {other} at tick {start}"


def test_pretty_midi_reads_the_same_band(score: BundledScore) -> None:
    read = pretty_midi.PrettyMIDI(str(score.path))
    assert [instrument.is_drum for instrument in read.instruments] == [False, False, False, True]
    for instrument, track in zip(read.instruments, parts(score).values(), strict=True):
        assert len(instrument.notes) == len(notes_of(track))


def test_importing_the_table_is_cheap() -> None:
    code = "import sys, phase2_music.scores; print('mido' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_canon_comes_first_and_every_file_is_there() -> None:
    assert next(iter(bundled_scores())) == "canon"
    assert all(score.path.is_file() and score.mood and score.composer for score in SCORES)


def test_find_score_takes_a_name_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = tmp_path / "song.mid"
    song.write_bytes(b"MThd")
    assert find_score("Canon") == bundled_scores()["canon"].path
    assert find_score(str(song)) == song
    monkeypatch.chdir(tmp_path)
    Path("canon").write_bytes(b"not a score")
    Path("canon.mid").write_bytes(b"MThd")
    assert find_score("canon") == bundled_scores()["canon"].path
    assert find_score("canon.mid") == Path("canon.mid")


@pytest.mark.parametrize("text", ["cannon", "no/such/file.mid", "", ".", "a" * 5000, "nul\0"])
def test_find_score_refuses_in_one_line_with_the_choices(text: str) -> None:
    with pytest.raises(ScoreError, match="canon, greensleeves") as caught:
        find_score(text)
    assert "\n" not in str(caught.value)
    assert repr(text) in str(caught.value)


def test_notation_reads_notes_chords_and_swells() -> None:
    chords, length = read_voice("@p<f D4,F#4:q. -:e | Bb2:h>", Fraction(2))
    assert length == 4
    assert [(chord.start, chord.length, chord.keys, chord.marks) for chord in chords] == [
        (Fraction(0), Fraction(3, 2), (62, 66), ""),
        (Fraction(2), Fraction(2), (46,), ">"),
    ]
    assert [chord.level for chord in chords] == [58, 75]  # half-way from p (58) to f (92)
    assert duration_of("e3") * 3 == 1
    assert octave("C4,F#5:e", -1) == "C3,F#4:e"
    assert over("Am | C", "0:e 1,2", {"Am": "A3,C4,E4", "C": "C4,E4,G4"}) == "A3:e C4,E4 | C4:e E4,G4"


def test_groove_repeats_and_accents() -> None:
    strokes, length = read_groove("2x @mf\nkick X...|..x.\nhat  ....|x.x.", Fraction(4))
    assert length == 16
    assert [stroke.start for stroke in strokes if stroke.keys == (36,)] == [0, 6, 8, 14]
    assert [stroke.marks for stroke in strokes if stroke.keys == (36,)] == [">", "", ">", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [("C4:q D4 | E4", "bar line 2.0 quarters into bar 1"), ("H4:q", "no notation"), ("C4;q", "no notation")],
)
def test_notation_refuses_mistakes(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_voice(text, Fraction(4))
