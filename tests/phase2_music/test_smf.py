"""The MIDI reader against mido, and what mido does not read."""

from __future__ import annotations

import io
import struct
from contextlib import suppress

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_files import END, chunk, event, meta, midi, note, smpte, tempo

from core.errors import ScoreError
from phase2_music.rendering.smf import GM, GS, RESET, RHYTHM, XG, MidiFile, MidiMessage, parse_midi

DATA = st.integers(0, 127)
DELTAS = st.one_of(st.just(0), st.integers(0, 2000))

CHANNEL_MESSAGES = st.one_of(
    st.builds(
        mido.Message, st.sampled_from(["note_on", "note_off"]), note=DATA, velocity=DATA, channel=st.integers(0, 15)
    ),
    st.builds(mido.Message, st.just("control_change"), control=DATA, value=DATA, channel=st.integers(0, 15)),
    st.builds(mido.Message, st.just("program_change"), program=DATA, channel=st.integers(0, 15)),
    st.builds(mido.Message, st.just("pitchwheel"), pitch=st.integers(-8192, 8191), channel=st.integers(0, 15)),
    st.builds(mido.Message, st.just("aftertouch"), value=DATA, channel=st.integers(0, 15)),
    st.builds(mido.Message, st.just("polytouch"), note=DATA, value=DATA, channel=st.integers(0, 15)),
)
TEMPI = st.builds(mido.MetaMessage, st.just("set_tempo"), tempo=st.integers(1, 0xFFFFFF))
# What a player passes over.
ASIDES = st.one_of(
    st.builds(
        mido.MetaMessage, st.sampled_from(["text", "lyrics", "marker", "cue_marker"]), text=st.just("la\n\x7f la")
    ),
    st.builds(mido.MetaMessage, st.just("key_signature"), key=st.sampled_from(["C", "F#m", "Cb"])),
    st.builds(mido.MetaMessage, st.just("time_signature"), numerator=st.integers(1, 255), denominator=st.just(8)),
    st.builds(mido.Message, st.just("sysex"), data=st.lists(DATA, max_size=200)),
    st.builds(mido.MetaMessage, st.just("sequencer_specific"), data=st.just((0, 1, 2))),
)
EVENTS = st.one_of(CHANNEL_MESSAGES, CHANNEL_MESSAGES, TEMPI, ASIDES)
TRACKS = st.lists(st.tuples(DELTAS, EVENTS), max_size=25)


def written(tracks: list[list[tuple[int, mido.Message]]], ticks: int) -> mido.MidiFile:
    file = mido.MidiFile(type=0 if len(tracks) == 1 else 1, ticks_per_beat=ticks)
    for track in tracks:
        file.tracks.append(mido.MidiTrack([message.copy(time=delta) for delta, message in track]))
    return file


def saved(file: mido.MidiFile) -> bytes:
    data = io.BytesIO()
    file.save(file=data)
    return data.getvalue()


def ours(midi_file: MidiFile) -> list[tuple[float, list[int]]]:
    """Seconds and bytes of each message, in playing order."""
    merged = sorted(
        ((m.tick, index, m) for index, track in enumerate(midi_file.tracks) for m in track.messages),
        key=lambda item: item[:2],
    )
    length = {0xC0: 2, 0xD0: 2}
    return [
        (midi_file.clock.seconds_at(tick), [m.kind | m.channel, m.data1, m.data2][: length.get(m.kind, 3)])
        for tick, _, m in merged
    ]


def theirs(file: mido.MidiFile) -> list[tuple[float, list[int]]]:
    now, found = 0.0, []
    for message in file:
        now += message.time
        if not message.is_meta and message.type != "sysex":
            found.append((now, message.bytes()))
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(TRACKS, min_size=1, max_size=4), st.integers(1, 0x7FFF))
def test_messages_and_times_are_those_that_mido_reads(tracks: list[list[tuple[int, mido.Message]]], ticks: int) -> None:
    data = saved(written(tracks, ticks))
    expected = theirs(mido.MidiFile(file=io.BytesIO(data)))
    found = ours(parse_midi(data))
    assert [message for _, message in found] == [message for _, message in expected]
    assert [time for time, _ in found] == pytest.approx([time for time, _ in expected], rel=1e-9, abs=1e-6)


def ticks_of(data: bytes) -> list[int]:
    return [message.tick for track in parse_midi(data).tracks for message in track.messages]


def messages_of(data: bytes) -> list[MidiMessage]:
    return [message for track in parse_midi(data).tracks for message in track.messages]


def seconds_of(data: bytes) -> list[float]:
    return [time for time, _ in ours(parse_midi(data))]


def test_running_status_goes_on_across_meta_events_and_sysex() -> None:
    track = (
        event(0, 0x90, 60, 90) + meta(10, 1, b"la") + event(10, 62, 90) + event(5, 0xF0, 2, 1, 0xF7) + event(5, 64, 90)
    )
    read = parse_midi(midi(track)).tracks[0].messages
    assert [(m.tick, m.kind, m.data1) for m in read] == [(0, 0x90, 60), (20, 0x90, 62), (30, 0x90, 64)]


@pytest.mark.parametrize(("frames", "rate"), [(24, 24.0), (25, 25.0), (29, 30000 / 1001), (30, 30.0)])
def test_smpte_time_codes_count_frames_and_pass_over_tempi(frames: int, rate: float) -> None:
    data = midi(tempo(0, 1_000_000) + event(40 * 100, 0x90, 60, 90), division=smpte(frames, 40))
    assert seconds_of(data) == pytest.approx([100 / rate])


@pytest.mark.parametrize("division", [smpte(23, 40), smpte(25, 0), smpte(60, 8), 0])
def test_clocks_that_do_not_exist_are_refused(division: int) -> None:
    with pytest.raises(ScoreError, match="clock"):
        parse_midi(midi(note(60), division=division))


def test_of_several_tempi_at_one_tick_the_last_one_holds() -> None:
    data = midi(tempo(0, 250_000) + tempo(0, 1_000_000), event(480, 0x90, 60, 90))
    assert seconds_of(data) == [1.0]
    across = midi(tempo(480, 250_000), tempo(480, 1_000_000), event(960, 0x90, 60, 90))
    assert seconds_of(across) == [1.5]


def test_a_tempo_of_nothing_changes_nothing() -> None:
    assert seconds_of(midi(tempo(0, 1_000_000) + tempo(0, 0) + event(480, 0x90, 60, 90))) == [1.0]
    short = meta(0, 0x51, b"\x01\x02")
    assert seconds_of(midi(short + event(480, 0x90, 60, 90))) == [0.5]


def test_tempi_in_any_track_hold_for_all() -> None:
    first = event(480, 0x90, 60, 90) + event(480, 0x90, 61, 90)
    assert seconds_of(midi(first, tempo(480, 1_000_000))) == [0.5, 1.5]


def test_format_2_plays_its_patterns_one_after_the_other_each_at_its_own_tempo() -> None:
    slow = tempo(0, 1_000_000) + note(60) + meta(480, 1)
    data = midi(slow, note(62), kind=2)
    assert [s for s, m in zip(seconds_of(data), messages_of(data), strict=True) if m.kind != RESET] == [
        0.0,
        1.0,
        2.0,
        2.5,
    ]
    assert [m.tick for m in messages_of(data) if m.kind == RESET] == [0, 960]


def test_a_track_that_sets_up_the_only_port_needs_no_port() -> None:
    data = midi(event(0, 0xB0, 7, 20), meta(0, 0x21, b"\x01") + note(60))
    assert {m.port for m in messages_of(data)} == {1}


def test_resets_and_rhythm_parts_are_read_for_any_device() -> None:
    def exclusive(*data: int) -> bytes:
        return event(0, 0xF0, len(data) + 1, *data, 0xF7)

    told = (
        exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x00, 0x7F, 0x00, 0x41)
        + exclusive(0x7E, 0x7F, 0x09, 0x01)
        + exclusive(0x43, 0x1F, 0x4C, 0, 0, 0x7E, 0)
        + exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x1A, 0x15, 0x02, 0x0F)
        + exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x10, 0x15, 0x00, 0x0F)
        + exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x11, 0x15, 0x01, 0x0F)
        + exclusive(0x7E, 0x7F, 0x06, 0x01)
        + note(60)
    )
    found = [(m.kind, m.channel, m.data1) for m in messages_of(midi(told))]
    assert found[:-2] == [
        (RESET, 0, GS),
        (RESET, 0, GM),
        (RESET, 0, XG),
        (RHYTHM, 10, 1),
        (RHYTHM, 9, 0),
        (RHYTHM, 0, 1),
    ]


def test_ports_keep_channels_apart() -> None:
    data = midi(meta(0, 0x21, b"\x00") + note(60), meta(0, 0x21, b"\x03") + note(60))
    assert [track.messages[0].port for track in parse_midi(data).tracks] == [0, 3]


@pytest.mark.parametrize("before", [b"", b"LIST" + struct.pack("<I", 3) + b"abc\x00"])
def test_files_in_a_riff_wrapper_are_read(before: bytes) -> None:
    inner = midi(note(60))
    body = b"RMID" + before + b"data" + struct.pack("<I", len(inner)) + inner + b"DISP" + struct.pack("<I", 2) + b"xx"
    assert ticks_of(b"RIFF" + struct.pack("<I", len(body)) + body) == [0, 480]


def test_other_chunks_and_a_longer_header_are_passed_over() -> None:
    header = chunk(b"MThd", struct.pack(">HHH", 1, 1, 96) + b"more")
    tracks = chunk(b"XFIH", b"karaoke") + chunk(b"MTrk", note(60, 96) + END) + b"XFKM\x00\x00\xff\xff cut off"
    assert seconds_of(header + tracks) == [0.0, 0.5]


def test_odd_key_signatures_and_metres_are_passed_over() -> None:
    odd = (
        meta(0, 0x59, b"\x63\x07")
        + meta(0, 0x58, b"\x00\x02\x18\x08")
        + meta(0, 0x58, b"\x04\xff\x18\x08")
        + meta(0, 0x7F)
    )
    read = parse_midi(midi(odd + note(60)))
    assert len(read.tracks[0].messages) == 2
    assert not read.tracks[0].metres


def test_nothing_is_read_behind_the_end_of_a_track_or_missed_without_one() -> None:
    assert ticks_of(midi(note(60) + END + note(62))) == [0, 480]
    assert ticks_of(midi(note(60), end=b"")) == [0, 480]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"Lead", "Lead"),
        ("Flöte".encode(), "Flöte"),
        ("Flöte".encode("latin-1"), "Flöte"),
        (b"a\x00b\x1b[31m\r\nc\x85", "a b [31m c"),
        (b"x" * 5000, "x" * 80),
        (b"\xff\xfe", "ÿþ"),
        (b"   ", ""),
    ],
)
def test_names_become_one_printable_line(raw: bytes, name: str) -> None:
    assert parse_midi(midi(meta(0, 3, raw) + note(60))).tracks[0].name == name


def test_the_first_name_counts() -> None:
    assert parse_midi(midi(meta(0, 3, b"Lead") + meta(0, 3, b"Other") + note(60))).tracks[0].name == "Lead"


def test_data_bytes_beyond_seven_bits_are_clipped() -> None:
    read = parse_midi(midi(event(0, 0x90, 60, 0xC8))).tracks[0].messages
    assert (read[0].data1, read[0].data2) == (60, 127)


BAD = {
    "nothing": (b"", "does not begin with MThd"),
    "cut header": (b"MThd\x00\x00\x00\x06\x00\x01", "does not begin with MThd"),
    "empty RIFF": (b"RIFF\x04\x00\x00\x00RMID", "does not begin with MThd"),
    "format 3": (midi(note(60), kind=3), "format 0, 1 or 2"),
    "data first": (midi(event(0, 60, 90)), "begins in the middle of an event"),
    "system message": (midi(event(0, 0xF4)), "holds the byte 0xf4"),
    "long number": (midi(b"\xff\xff\xff\xff\x7f\x90\x3c\x40"), "longer than MIDI allows"),
    "cut event": (midi(event(0, 0x90, 60), end=b""), "ends inside an event"),
    "huge meta": (midi(b"\x00\xff\x01\xff\xff\xff\x7f"), "ends inside an event"),
    "huge sysex": (midi(b"\x00\xf0\xff\xff\xff\x7f"), "ends inside an event"),
    "cut track": (midi(note(60))[:-5], "ends inside track 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_damage_is_named_with_a_mend(name: str) -> None:
    data, message = BAD[name]
    with pytest.raises(ScoreError, match=message) as caught:
        parse_midi(data)
    assert "export" in str(caught.value)


RAW_EVENTS = st.one_of(
    st.binary(max_size=6),
    st.builds(lambda d, s, b: event(d, s, *b), DELTAS, st.integers(0x80, 0xFF), st.binary(min_size=1, max_size=3)),
    st.builds(meta, DELTAS, DATA, st.binary(max_size=12)),
    st.builds(tempo, DELTAS, st.integers(0, 0xFFFFFF)),
    st.builds(note, DATA, DELTAS),
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda tail: midi(note(60)) + tail)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(ScoreError):
        parse_midi(data)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(RAW_EVENTS, max_size=12), max_size=4), st.integers(0, 4), st.integers(0, 0xFFFF))
def test_any_events_are_read_or_refused(tracks: list[list[bytes]], kind: int, division: int) -> None:
    with suppress(ScoreError):
        read = parse_midi(midi(*map(b"".join, tracks), kind=kind, division=division))
        assert all(a.tick <= b.tick for t in read.tracks for a, b in zip(t.messages, t.messages[1:], strict=False))
        assert all(0 <= m.data1 <= 127 and 0 <= m.data2 <= 127 for track in read.tracks for m in track.messages)
