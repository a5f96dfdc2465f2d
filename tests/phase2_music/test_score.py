"""Scores as they are read: the right notes at the right times for the right role, from any file, in bounded time and memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mido
import pretty_midi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from midi_files import event, meta, midi, note, tempo, write
from test_smf import RAW_EVENTS

from core.errors import ScoreError, UsageError
from phase2_music.rendering.score import Score, ScoreEvent, Track, map_roles, read_score, role_of_program
from phase2_music.scores import BundledScore, bundled_scores, find_score

Reader = Callable[..., Score]
Played = tuple[int, int, float, float]  # key, velocity, start and end in seconds


def program(number: int, channel: int = 0, delta: int = 0) -> bytes:
    return event(delta, 0xC0 | channel, number)


def control(number: int, value: int, channel: int = 0, delta: int = 0) -> bytes:
    return event(delta, 0xB0 | channel, number, value)


def played(track: Track) -> list[Played]:
    """Each note with its start and end, by start."""
    sounding: dict[int, ScoreEvent] = {}
    found = []
    for each in track.events:
        if each.kind == "on":
            assert each.number not in sounding, "a key is struck while it is down"
            sounding[each.number] = each
        elif each.kind == "off":
            start = sounding.pop(each.number)
            found.append((each.number, start.value, start.time_s, each.time_s))
    assert not sounding
    return sorted(found, key=lambda item: item[2])


def spans(track: Track) -> list[tuple[int, float, float]]:
    return [(key, start, end) for key, _, start, end in played(track)]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def reader(*tracks: bytes, kind: int = 1, division: int = 480) -> Score:
        return read_score(write(tmp_path / "a.mid", *tracks, kind=kind, division=division))

    return reader


# Instruments and roles


def test_every_program_and_drum_kit_has_a_role() -> None:
    wanted = dict.fromkeys([*range(24), 44, 48, 55, *range(88, 104), 108, *range(112, 116), 119, 127], "keyboard")
    wanted |= dict.fromkeys([*range(24, 32), 56, 65, 68, 73, 79, 81, *range(104, 108), 109, 111], "guitar")
    wanted |= dict.fromkeys([*range(32, 40), 43, 58, 67, 70, 87, 116, 118], "bass")
    assert {number: role_of_program(number, False) for number in wanted} == wanted
    assert {role_of_program(number, False) for number in range(128)} == {"keyboard", "bass", "guitar"}
    assert {role_of_program(number, True, key) for number in range(128) for key in (20, 60)} == {"drums"}


@pytest.mark.parametrize(
    ("number", "high", "low"),
    [
        (48, "keyboard", "bass"),
        (61, "guitar", "bass"),
        (81, "guitar", "bass"),
        (0, "keyboard", "keyboard"),
        (27, "guitar", "guitar"),
    ],
)
def test_low_parts_go_to_the_bass_where_their_family_reaches_down(number: int, high: str, low: str) -> None:
    assert role_of_program(number, False, 45) == high
    assert role_of_program(number, False, 44) == low


def test_the_register_is_that_of_the_middle_note(read: Reader) -> None:
    low = program(48) + note(30) + note(31) + note(90)
    assert read(low).tracks[0].role == "bass"
    high = program(48) + note(30) + note(60) + note(62)
    assert read(high).tracks[0].role == "keyboard"


def test_forty_instruments_on_nine_channels_keep_their_programs(read: Reader) -> None:
    tracks = [program(n, n % 9) + note(60 + n % 12, channel=n % 9, delta=480 * n) for n in range(40)]
    score = read(*tracks)
    assert [track.program for track in score.tracks] == list(range(40))
    assert [track.number for track in score.tracks] == list(range(1, 41))
    assert all(track.notes == 1 for track in score.tracks)


def test_several_instruments_on_one_channel_over_time(read: Reader) -> None:
    score = read(program(0) + note(60) + program(33) + note(40) + program(0) + note(64))
    assert [(track.program, track.role, track.notes) for track in score.tracks] == [(0, "keyboard", 2), (33, "bass", 1)]
    assert [key for key, *_ in spans(score.tracks[0])] == [60, 64]
    assert spans(score.tracks[1]) == [(40, 0.5, 1.0)]


def test_a_note_that_is_held_across_a_change_of_program_keeps_its_instrument(read: Reader) -> None:
    score = read(event(0, 0x90, 60, 90) + program(33, delta=240) + event(240, 0x80, 60, 0))
    assert [(track.program, spans(track)) for track in score.tracks] == [(0, [(60, 0.0, 0.5)])]


def test_one_file_of_format_0_is_parted_by_channel(read: Reader) -> None:
    track = program(0) + program(33, 1) + note(60) + note(40, channel=1) + note(36, channel=9)
    assert [t.role for t in read(track, kind=0).tracks] == ["keyboard", "bass", "drums"]


def test_ports_are_channels_of_their_own(read: Reader) -> None:
    first = meta(0, 0x21, b"\x00") + program(0) + note(60)
    second = meta(0, 0x21, b"\x01") + program(33) + note(40)
    assert [track.role for track in read(first, second).tracks] == ["keyboard", "bass"]
    drums = meta(0, 0x21, b"\x01") + note(36, channel=9)
    assert read(drums).tracks[0].role == "drums"


@pytest.mark.parametrize(
    ("bank", "channel", "role"),
    [
        (127, 0, "drums"),
        (120, 3, "drums"),
        (126, 0, "drums"),
        (0, 0, "keyboard"),
        (121, 9, "keyboard"),
        (0, 9, "drums"),
    ],
)
def test_bank_select_makes_and_unmakes_drums(read: Reader, bank: int, channel: int, role: str) -> None:
    score = read(control(0, bank, channel) + program(0, channel) + note(60, channel=channel))
    assert score.tracks[0].role == role


def exclusive(*data: int, delta: int = 0) -> bytes:
    return event(delta, 0xF0, len(data) + 1, *data, 0xF7)


GS_RESET = exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x00, 0x7F, 0x00, 0x41)
XG_ON = exclusive(0x43, 0x10, 0x4C, 0, 0, 0x7E, 0)


@pytest.mark.parametrize(("reset", "role"), [(b"", "drums"), (XG_ON, "drums"), (GS_RESET, "keyboard")])
def test_a_bank_is_a_variation_in_gs_and_a_kit_elsewhere(read: Reader, reset: bytes, role: str) -> None:
    assert read(reset + control(0, 127) + program(0) + note(60)).tracks[0].role == role


@pytest.mark.parametrize(("part", "channel", "kit", "role"), [(0x1A, 10, 2, "drums"), (0x10, 9, 0, "keyboard")])
def test_gs_makes_any_part_a_kit_or_none(read: Reader, part: int, channel: int, kit: int, role: str) -> None:
    told = exclusive(0x41, 0x10, 0x42, 0x12, 0x40, part, 0x15, kit, 0x0F)
    assert read(GS_RESET + told + program(0, channel) + note(60, channel=channel)).tracks[0].role == role


def test_a_reset_in_the_middle_begins_anew(read: Reader) -> None:
    medley = exclusive(0x7E, 0x7F, 0x09, 0x01)
    first, second = read(program(33) + control(7, 30) + note(60) + medley + note(60)).tracks
    assert (first.program, second.program) == (33, 0)
    behind = [(e.number, e.value) for e in second.events if e.kind == "cc" and e.time_s == 0.5]
    assert behind[:4] == [(120, 0), (121, 0), (7, 100), (10, 64)]
    assert read(program(33) + medley + note(60)).tracks[0].program == 33  # no note yet: a file put together carelessly


def test_patterns_inherit_nothing(read: Reader) -> None:
    first, second = read(program(33) + control(64, 127) + note(60), note(60), kind=2).tracks
    assert (first.program, second.program) == (33, 0)


def test_a_note_that_another_track_ends_has_an_end(read: Reader) -> None:
    began = event(0, 0x90, 60, 90) + meta(9600, 6, b"fine")
    score = read(began, event(480, 0x80, 60, 0) + note(62))
    assert spans(score.tracks[0]) == [(60, 0.0, 0.5)]


def test_no_more_resets_than_songs_have(read: Reader) -> None:
    with pytest.raises(ScoreError, match="more than 200 resets"):
        read(note(60) + exclusive(0x7E, 0x7F, 0x09, 0x01) * 201)


def test_a_program_in_another_track_counts(read: Reader) -> None:
    assert read(program(33), note(40)).tracks[0].role == "bass"


def test_two_hands_on_one_channel_share_the_program_that_one_of_them_told(read: Reader) -> None:
    score = read(program(33) + note(60) + program(24) + note(60), note(40) + note(40))
    assert [(track.program, track.notes) for track in score.tracks] == [(33, 1), (24, 1), (33, 1), (24, 1)]


def test_a_conductor_tells_all_tracks_of_a_channel(read: Reader) -> None:
    score = read(program(24, delta=480), program(33) + note(40) + note(40))
    assert [(track.program, track.notes) for track in score.tracks] == [(33, 1), (24, 1)]


def test_tracks_without_a_name_are_numbered(read: Reader) -> None:
    score = read(meta(0, 3, b"Lead") + note(60), note(62), meta(0, 3, b"\x00 \n") + note(64))
    assert [track.name for track in score.tracks] == ["Lead", "Track 2", "Track 3"]


def test_volume_and_expression_are_told_in_db(read: Reader) -> None:
    quiet = read(control(7, 64) + control(11, 64) + note(60)).tracks[0]
    assert quiet.volume_db == pytest.approx(-23.8, abs=0.05)
    reset = read(control(7, 64) + control(11, 64) + control(121, 0) + note(60)).tracks[0]
    assert reset.volume_db == pytest.approx(-11.9, abs=0.05)  # expression comes back, volume does not


def test_names_numbers_and_cases_map_roles(read: Reader, tmp_path: Path) -> None:
    score = read(meta(0, 3, b"Lead") + note(60), meta(0, 3, b"Pad") + note(62), meta(0, 3, b"lead") + note(64))
    roles = [track.role for track in map_roles(score, {"LEAD": "guitar", "2": "bass"}).tracks]
    assert roles == ["guitar", "bass", "guitar"]
    assert map_roles(score, {}) == score
    for wish in ("Solo", "9", "", "-1"):
        with pytest.raises(UsageError, match=r"a\.mid: has no track .+ choose from 1 Lead, 2 Pad, 3 lead") as caught:
            map_roles(score, {wish: "bass"})
        assert "\n" not in str(caught.value)


def test_a_name_that_is_a_number_goes_before_the_number(read: Reader) -> None:
    score = read(meta(0, 3, b"2") + note(60), note(62))
    assert [track.role for track in map_roles(score, {"2": "bass"}).tracks] == ["bass", "keyboard"]


# Beginnings and ends of notes


def test_overlapping_notes_on_one_key_keep_their_ends(read: Reader) -> None:
    on, off = event(240, 0x90, 60, 90), event(240, 0x80, 60, 0)
    assert spans(read(event(0, 0x90, 60, 90) + on + off + off).tracks[0]) == [(60, 0.0, 0.25), (60, 0.25, 0.75)]


def test_one_end_silences_all_that_began_where_ends_are_missing(read: Reader) -> None:
    track = event(0, 0x90, 60, 90) + event(240, 0x90, 60, 90) + event(240, 0x80, 60, 0) + note(62, 960)
    assert spans(read(track).tracks[0])[:2] == [(60, 0.0, 0.25), (60, 0.25, 0.5)]


@pytest.mark.parametrize("extra", [b"", note(60, 480), event(0, 0x90, 60, 90)])
def test_an_end_behind_the_next_beginning_at_one_tick_ends_the_note_before(read: Reader, extra: bytes) -> None:
    legato = event(0, 0x90, 60, 90) + event(480, 0x90, 60, 80) + event(0, 0x80, 60, 0) + event(480, 0x80, 60, 0)
    track = read(legato + extra + note(72, 480)).tracks[0]
    assert spans(track)[:2] == [(60, 0.0, 0.5), (60, 0.5, 1.0)]
    kinds = [(each.kind, each.value) for each in track.events if each.time_s == 0.5]
    assert kinds == [("off", 0), ("on", 80)]


def test_notes_of_no_length_keep_to_it_and_the_score_lasts_longer_than_the_last_one(read: Reader) -> None:
    hit = event(480, 0x99, 38, 90) + event(0, 0x89, 38, 0)
    score = read(hit + hit)
    assert spans(score.tracks[0]) == [(38, 0.5, 0.5), (38, 1.0, 1.0)]
    assert score.duration_s == pytest.approx(1.005)


def test_of_two_notes_at_one_tick_on_one_key_one_sounds(read: Reader) -> None:
    doubled = event(0, 0x90, 60, 50) + event(0, 0x90, 60, 90) + event(480, 0x80, 60, 0) + event(0, 0x80, 60, 0)
    assert played(read(doubled).tracks[0]) == [(60, 90, 0.0, 0.5)]


def test_a_note_that_nobody_ends_lasts_to_the_end_of_its_track(read: Reader) -> None:
    score = read(event(0, 0x90, 60, 90) + meta(1920, 6, b"fine"), note(62, 4800))
    assert spans(score.tracks[0]) == [(60, 0.0, 2.0)]


def test_ends_of_notes_that_never_began_are_passed_over(read: Reader) -> None:
    assert spans(read(event(0, 0x80, 60, 0) + note(60) + event(0, 0x80, 61, 0)).tracks[0]) == [(60, 0.0, 0.5)]


def test_events_at_one_time_keep_their_order_in_the_file(read: Reader) -> None:
    # The pedal catches a note that ends at the same tick behind it, and sostenuto one that begins before it.
    caught = event(0, 0x90, 60, 90) + control(64, 127, delta=480) + event(0, 0x80, 60, 0) + note(62, 960)
    kinds = [(each.kind, each.number) for each in read(caught).tracks[0].events]
    assert kinds[:4] == [("on", 60), ("cc", 64), ("off", 60), ("on", 62)]
    held = (
        event(0, 0x90, 60, 90)
        + control(66, 127)
        + event(0, 0x90, 62, 90)
        + event(480, 0x80, 60, 0)
        + event(0, 0x80, 62, 0)
    )
    kinds = [(each.kind, each.number) for each in read(held).tracks[0].events]
    assert kinds[:3] == [("on", 60), ("cc", 66), ("on", 62)]


def test_all_that_a_channel_is_told_is_in_the_track(read: Reader) -> None:
    told = control(1, 5) + event(0, 0xE0, 0, 0x60) + event(0, 0xD0, 33) + event(0, 0xA0, 60, 44)
    events = [each for each in read(told + note(60)).tracks[0].events if each.kind not in ("on", "off")]
    assert [each[1:] for each in events] == [
        ("cc", 1, 5),
        ("bend", 0, 4096),
        ("pressure", 0, 33),
        ("key_pressure", 60, 44),
    ]


def test_a_score_ends_when_its_pedal_comes_up(read: Reader) -> None:
    chord = control(64, 127) + note(60, 480)
    assert read(chord).duration_s == 0.5  # the file ends there as well
    assert read(chord + control(64, 0, delta=960)).duration_s == 1.5
    assert read(chord + control(121, 0, delta=960)).duration_s == 1.5
    assert read(chord + meta(480, 1, b"the end")).duration_s == 0.5  # nobody lifts it
    assert read(chord + control(64, 0, delta=96000)).duration_s == 12.5  # what rings on is long gone
    assert read(chord + control(64, 0) + control(64, 127, delta=960)).duration_s == 0.5
    assert read(note(60, 480) + control(64, 127, delta=1) + control(64, 0, delta=960)).duration_s == 0.5


def test_tempo_and_metre_are_those_that_hold_longest(read: Reader) -> None:
    marks = (
        tempo(0, 1_000_000)
        + meta(0, 0x58, b"\x03\x02\x18\x08")
        + tempo(960, 500_000)
        + meta(0, 0x58, b"\x06\x03\x18\x08")
    )
    score = read(marks, note(60, 960 + 480 * 10))
    assert (score.tempo_bpm, score.metre) == (120.0, "6/8")
    assert score.duration_s == 7.0


# Independent judges


@pytest.fixture(params=bundled_scores().values(), ids=lambda score: score.name)
def bundled(request: pytest.FixtureRequest) -> BundledScore:
    score: BundledScore = request.param
    return score


def test_bundled_scores_are_read_as_mido_reads_them(bundled: BundledScore) -> None:
    score = read_score(bundled.path)
    assert [(track.name, track.role) for track in score.tracks] == [
        ("Keyboard", "keyboard"), ("Bass", "bass"), ("Guitar", "guitar"), ("Drums", "drums"),
    ]  # fmt: skip
    expected: dict[int, list[Played]] = {}
    now, sounding = 0.0, {}
    for message in mido.MidiFile(bundled.path):
        now += message.time
        if message.type == "note_on":
            sounding[message.channel, message.note] = (message.velocity, now)
        elif message.type == "note_off":
            velocity, start = sounding.pop((message.channel, message.note))
            expected.setdefault(message.channel, []).append((message.note, velocity, start, now))
    for track, channel in zip(score.tracks, (0, 1, 2, 9), strict=True):
        found = sorted(played(track))
        assert [row[:2] for row in found] == [row[:2] for row in sorted(expected[channel])]
        times = [time for row in found for time in row[2:]]
        assert times == pytest.approx([time for row in sorted(expected[channel]) for time in row[2:]], abs=1e-6)


KEYS_AND_TIMES = st.tuples(st.integers(0, 127), st.integers(1, 127), st.integers(0, 900), st.integers(50, 900))
PHRASES = st.lists(
    st.tuples(st.integers(0, 127), st.lists(KEYS_AND_TIMES, min_size=1, max_size=6, unique_by=lambda note: note[0])),
    min_size=1,
    max_size=4,
)
Phrases = list[tuple[int, list[tuple[int, int, int, int]]]]
TEMPO_MAPS = st.lists(st.tuples(st.integers(0, 2000), st.integers(100_000, 2_000_000)), max_size=6)


def phrases_track(channel: int, phrases: Phrases) -> mido.MidiTrack:
    """Phrases one behind the other, each with a program and notes (key, velocity, start, length) of its own."""
    moments: list[tuple[int, int, mido.Message]] = []
    begin = 0
    for number, notes in phrases:
        moments.append((begin, 1, mido.Message("program_change", channel=channel, program=number)))
        for key, velocity, start, length in notes:
            on = mido.Message("note_on", channel=channel, note=key, velocity=velocity)
            moments.append((begin + start, 2, on))
            moments.append((begin + start + length, 0, mido.Message("note_off", channel=channel, note=key)))
        begin = max(tick for tick, _, _ in moments)
    track, now = mido.MidiTrack(), 0
    for tick, _, message in sorted(moments, key=lambda item: item[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    return track


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 15), PHRASES), min_size=1, max_size=4, unique_by=lambda track: track[0]),
    TEMPO_MAPS,
    st.integers(24, 960),
)
def test_notes_programs_and_tempi_are_those_that_pretty_midi_reads(
    tmp_path: Path, parts: list[tuple[int, Phrases]], tempi: list[tuple[int, int]], ticks: int
) -> None:
    file = mido.MidiFile(ticks_per_beat=ticks)
    file.tracks.append(mido.MidiTrack(mido.MetaMessage("set_tempo", tempo=t, time=delta) for delta, t in tempi))
    file.tracks += [phrases_track(channel, phrases) for channel, phrases in parts]
    path = tmp_path / "random.mid"
    file.save(path)
    judge = pretty_midi.PrettyMIDI(str(path))
    expected = sorted(
        ((i.program, i.is_drum, n.pitch, n.velocity), n.start, n.end) for i in judge.instruments for n in i.notes
    )
    found = sorted(
        ((track.program, track.is_drum, key, velocity), start, end)
        for track in read_score(path).tracks
        for key, velocity, start, end in played(track)
    )
    assert [what for what, *_ in found] == [what for what, *_ in expected]
    assert [t for _, *times in found for t in times] == pytest.approx(
        [t for _, *times in expected for t in times], abs=1e-6
    )


# Bad input

BAD_SCORES = {
    "empty": b"",
    "text": b"hello, I am no MIDI file at all",
    "truncated": find_score("canon").read_bytes()[:700],
    "header only": b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x01\xe0",
    "no notes": midi(meta(0, 3, b"silence") + control(7, 3)),
    "only ends": midi(event(0, 0x80, 60, 0) + event(0, 0x90, 60, 0)),
    "2^31 ticks": midi(b"".join(event(0x0FFFFFFF, 0xB0, 1, 1) for _ in range(8)) + note(60)),
    "100 hours": midi(tempo(0, 0xFFFFFF) + note(60, 480 * 21459 + 1)),
}


@pytest.mark.parametrize("name", BAD_SCORES)
def test_bad_scores_are_refused_in_one_line_that_names_file_and_mend(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.mid"
    path.write_bytes(BAD_SCORES[name])
    with pytest.raises(ScoreError, match=r"bad\.mid: .+: .+") as caught:
        read_score(path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mid", tmp_path):
        with pytest.raises(ScoreError, match="no such MIDI file"):
            read_score(path)


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "large.mid"
    with path.open("wb") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(ScoreError, match="17825792 bytes are more than a score holds"):
        read_score(path)


def heavy() -> dict[str, tuple[bytes, str | None]]:
    """Files that want all of a reader's time or memory, and what is said of them (None where they are played)."""
    running = (16 * 2**20 - 100) // 3
    return {
    "16 MB of running status": (midi(event(0, 0x90, 60, 64) + b"\x00\x3c\x40" * running), "more than 700000 events"),
    "a million tempi": (midi(b"\x01\xff\x51\x03\x07\xa1\x20" * 1_000_000, note(60)), "more than 700000 events"),
    "more notes than are played": (midi(event(0, 0x90, 60, 64) + b"\x00\x3c\x40" * 300_001), "more than 300000 notes"),
    "299,000 notes at one instant": (
        midi(b"".join(bytes((0, 0x90 | n % 16, n // 16 % 128, 64)) for n in range(299_000))),
        None,
    ),
    "150,000 notes on one key": (midi(event(0, 0x90, 60, 64) + b"\x00\x3c\x40" * 149_999 + b"\x01\x3c\x00" * 150_000), None),
    "a flood of controllers": (midi(note(60) + event(0, 0xB0, 1, 64) + b"\x01\x01\x40" * 690_000), None),
    "empty tracks to 16 MB": (midi() + b"MTrk\x00\x00\x00\x00" * 2_000_000, "more than 65535 tracks"),
    "65,535 tracks": (midi(*[note(60)] * 65535), "65535 instruments"),
    "programs times controllers": (
        midi(b"".join(program(n % 128) + note(60) for n in range(2000)) + event(0, 0xB0, 1, 64) + b"\x00\x01\x40" * 200_000),
        "128 instruments with .* events",
    ),
    "a million empty metas": (midi(b"\x00\xff\x01\x00" * 1_000_000 + note(60)), None),
    "15 MB of lyrics": (midi(meta(0, 5, b"la " * 5_000_000) + note(60)), None),
}  # fmt: skip


_READ_ALL = """
import json, sys, time
from pathlib import Path
from core.errors import ScoreError
from phase2_music.rendering.score import read_score

def peak_mb():
    lines = Path("/proc/self/status").read_text().splitlines() if Path("/proc/self/status").exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)

results = {"before": peak_mb()}
for path in sys.argv[1:]:
    began = time.process_time()
    try:
        read_score(Path(path))
        said = None
    except ScoreError as error:
        said = str(error)
    results[Path(path).stem] = [time.process_time() - began, said]
print(json.dumps(results | {"after": peak_mb()}))
"""


@pytest.mark.slow
def test_heavy_files_take_bounded_time_and_memory(tmp_path: Path) -> None:
    files = heavy()
    paths = [tmp_path / f"{number}.mid" for number in range(len(files))]
    for path, (data, _) in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    command = [sys.executable, "-c", _READ_ALL, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    results = json.loads(done.stdout)
    for path, (name, (_, wanted)) in zip(paths, files.items(), strict=True):
        cpu_s, said = results[path.stem]
        assert cpu_s < 10, f"{name}: {cpu_s:.1f} s"
        if wanted is None:
            assert said is None, name
        else:
            assert said is not None, name
            assert re.search(wanted, said), f"{name}: {said}"
    assert results["after"] - results["before"] < 500


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_scores_give_a_score_or_our_error(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(find_score("gymnopedie").read_bytes()[:4000])
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzz.mid"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with suppress(ScoreError):
        assert read_score(path).tracks


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(RAW_EVENTS, max_size=12), max_size=4), st.integers(0, 2), st.sampled_from([1, 480, 0xE728]))
def test_any_events_give_a_score_in_order_or_our_error(
    tmp_path: Path, tracks: list[list[bytes]], kind: int, division: int
) -> None:
    path = tmp_path / "fuzz.mid"
    path.write_bytes(midi(*map(b"".join, tracks), note(60), kind=kind, division=division))
    with suppress(ScoreError):
        score = read_score(path)
        for track in score.tracks:
            times = [each.time_s for each in track.events]
            assert times == sorted(times)
            assert all(end >= start for _, start, end in spans(track))
            assert max(end for _, _, end in spans(track)) <= score.duration_s + 1e-9
        assert any(track.hi_key >= 60 >= track.lo_key for track in score.tracks)
