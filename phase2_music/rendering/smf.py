"""Standard MIDI File 1.0 -> messages with times in seconds, in bounded time and memory.

mido and pretty_midi read whole files into objects before anything can be counted, refuse files that every player plays (a
key signature out of range, running status behind a meta event) and know neither SMPTE division nor ports. This reader passes
over what it does not need, counts as it goes, and is judged by both of them in the tests.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from core.errors import ScoreError

MAX_MESSAGES = 700_000
"""Channel messages, tempi and metres in one file: 300,000 notes and 100,000 controllers."""

MAX_TRACKS = 65535
"""Track chunks in one file: the header cannot count further."""

DEFAULT_TEMPO = 500_000  # microseconds a quarter note: 120 bpm
DEFAULT_METRE = (4, 4)

# Data bytes behind each kind of channel message (MIDI 1.0, table 1).
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_META, _SYSEX, _SYSEX_GOES_ON = 0xFF, 0xF0, 0xF7
_NAME, _PORT, _END, _TEMPO, _METRE = 0x03, 0x21, 0x2F, 0x51, 0x58

# Manufacturers' and universal messages that change what channels mean; the device number (any) stands at the second place.
_GM_ON, _GM_OFF, _GM2_ON = b"\x7e\x09\x01", b"\x7e\x09\x02", b"\x7e\x09\x03"
_GS_RESET, _XG_ON = b"\x41\x42\x12\x40\x00\x7f\x00", b"\x43\x4c\x00\x00\x7e\x00"
_GS_PART = b"\x41\x42\x12\x40"
_GS_RHYTHM = 0x15

GS, GM, XG = 0, 1, 2
"""Which reset a message of kind `RESET` is: Roland's, General MIDI's (1, 2, or off), Yamaha's."""
RESET, RHYTHM = 0xF0, 0xF1
"""Kinds of messages that a file tells by system exclusives: all of a port as in the beginning; a channel is a kit (`data1` 1)
or none (0)."""

_FRAMES_PER_SECOND = {24: 24.0, 25: 25.0, 29: 30000 / 1001, 30: 30.0}


class MidiMessage(NamedTuple):
    """One channel message: `kind` is its status without the channel (0x80-0xE0), `RESET` or `RHYTHM`; `channel` 0-15, `port`
    0-255."""

    tick: int
    port: int
    channel: int
    kind: int
    data1: int
    data2: int


@dataclass(frozen=True)
class MidiTrack:
    """One track: its name, its channel messages in order, its tempi (tick, µs a quarter note), its metres, its end."""

    name: str
    messages: Sequence[MidiMessage]
    tempi: Sequence[tuple[int, int]]
    metres: Sequence[tuple[int, tuple[int, int]]]
    end_tick: int


@dataclass(frozen=True)
class MidiFile:
    """A file: format 0 (one track), 1 (tracks together) or 2 (tracks one after the other), and its clock."""

    format: int
    tracks: tuple[MidiTrack, ...]
    clock: Clock


@dataclass(frozen=True)
class Clock:
    """Ticks to seconds: `ticks` where the tempo changes (first 0), the seconds there, and a tick's length from there on."""

    ticks: Sequence[int]
    seconds: Sequence[float]
    tick_s: Sequence[float]
    tempi: Sequence[int]

    def seconds_at(self, tick: int) -> float:
        """The time of a tick."""
        index = bisect_right(self.ticks, tick) - 1
        return self.seconds[index] + (tick - self.ticks[index]) * self.tick_s[index]


def parse_midi(data: bytes) -> MidiFile:
    """Read a file's bytes.

    Raises:
        ScoreError: the bytes are not a whole Standard MIDI File, or hold more than a score does; the message names no file.
    """
    data = _unwrapped(data)
    if data[:4] != b"MThd" or len(data) < 14:
        raise ScoreError("not a MIDI file: it does not begin with MThd: export the score again")
    size, kind, _, division = struct.unpack(">IHHH", data[4:14])
    if kind > 2 or size < 6:
        raise ScoreError(f"not a MIDI file of format 0, 1 or 2 (it says {kind}): export the score again")
    tracks: list[MidiTrack] = []
    budget = MAX_MESSAGES
    for number, body in enumerate(_track_chunks(data, 8 + size), 1):
        track = _read_track(body, number, budget)
        budget -= len(track.messages) + len(track.tempi) + len(track.metres)
        tracks.append(track)
    tracks = _on_one_port(tracks)
    if kind == 2:
        tracks = _one_after_the_other(tracks)
    return MidiFile(kind, tuple(tracks), _clock(tracks, division))


def _on_one_port(tracks: list[MidiTrack]) -> list[MidiTrack]:
    """All tracks on the one port on which notes are played; as they are where there are several.

    Many exporters write a port into the tracks that play and none into the one that sets them up.
    """
    ports = {message.port for track in tracks for message in track.messages if message.kind == 0x90}
    told = {message.port for track in tracks for message in track.messages}
    if len(ports) != 1 or told == ports:
        return tracks
    port = min(ports)
    return [replace(track, messages=[m._replace(port=port) for m in track.messages]) for track in tracks]


def _unwrapped(data: bytes) -> bytes:
    """A MIDI file that stands in the data chunk of a RIFF file (RP-029), or the bytes as they are."""
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    position = 12
    while position + 8 <= len(data):
        tag, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        if tag == b"data":
            return data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    return b""


def _track_chunks(data: bytes, position: int) -> Iterator[memoryview]:
    """The bodies of the track chunks; other chunks are passed over, as the standard asks."""
    view = memoryview(data)
    number = 1
    while position + 8 <= len(data):
        tag, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "big")
        position += 8
        if tag == b"MTrk":
            if position + size > len(data):
                raise ScoreError(
                    f"the file ends inside track {number} ({len(data) - position} of {size} bytes): export the score again"
                )
            if number > MAX_TRACKS:
                raise ScoreError(
                    f"more than {MAX_TRACKS} tracks are more than a MIDI file counts: export the score again"
                )
            yield view[position : position + size]
            number += 1
        position += size


def _read_track(body: memoryview, number: int, budget: int) -> MidiTrack:
    reader = _TrackReader(body, number)
    try:
        reader.read(budget)
    except IndexError:
        raise ScoreError(f"track {number} ends inside an event: export the score again") from None
    return MidiTrack(reader.name, reader.messages, reader.tempi, reader.metres, reader.tick)


class _TrackReader:
    """Reads one track chunk event by event. An index past the chunk's end raises IndexError."""

    def __init__(self, body: memoryview, number: int) -> None:
        self._body = body
        self._number = number
        self._at = 0
        self._port = 0
        self.tick = 0
        self.name = ""
        self.messages: list[MidiMessage] = []
        self.tempi: list[tuple[int, int]] = []
        self.metres: list[tuple[int, tuple[int, int]]] = []

    def read(self, budget: int) -> None:
        body, status = self._body, 0
        while self._at < len(body):
            self.tick += self._variable_length()
            byte = body[self._at]
            if byte >= 0x80:
                self._at += 1
            if byte == _META:
                if self._meta():
                    return
            elif byte in (_SYSEX, _SYSEX_GOES_ON):
                self._exclusive()
            elif byte > _SYSEX:
                raise ScoreError(
                    f"track {self._number} holds the byte {byte:#x}, which no MIDI file may: export it again"
                )
            else:
                # Running status: the byte is data, the status is that of the event before. Many files keep it across
                # meta events, against the letter of the standard.
                status = byte if byte >= 0x80 else status
                self._channel_message(status)
            if len(self.messages) + len(self.tempi) + len(self.metres) > budget:
                raise ScoreError(f"more than {MAX_MESSAGES} events are more than photone plays: shorten the score")

    def _exclusive(self) -> None:
        """Take a system exclusive; those that mean nothing here are passed over."""
        length = self._variable_length()
        start = self._at
        self._skip(length)
        body = bytes(self._body[start : start + min(length, 16)])
        told = body[:1] + body[2:]  # for whichever device
        if told.startswith((_GM_ON, _GM_OFF, _GM2_ON)):
            self._tell(0, RESET, GM)
        elif told.startswith(_XG_ON):
            self._tell(0, RESET, XG)
        elif told.startswith(_GS_RESET):
            self._tell(0, RESET, GS)
        elif told.startswith(_GS_PART) and len(told) > 6 and told[4] & 0xF0 == 0x10 and told[5] == _GS_RHYTHM:
            part = told[4] & 0x0F  # part 0 is channel 10, parts 1-9 the channels before it
            self._tell(9 if part == 0 else part - 1 if part < 10 else part, RHYTHM, min(told[6], 1))

    def _tell(self, channel: int, kind: int, data1: int) -> None:
        self.messages.append(MidiMessage(self.tick, self._port, channel, kind, data1, 0))

    def _channel_message(self, status: int) -> None:
        if not status:
            raise ScoreError(f"track {self._number} begins in the middle of an event: export the score again")
        kind, body, at = status & 0xF0, self._body, self._at
        if _DATA_BYTES[kind] == 2:
            data1, data2 = body[at], body[at + 1]
            self._at = at + 2
        else:
            data1, data2 = body[at], 0
            self._at = at + 1
        # Bytes over 127 are damage; players clip them.
        message = MidiMessage(self.tick, self._port, status & 0x0F, kind, min(data1, 127), min(data2, 127))
        self.messages.append(message)

    def _meta(self) -> bool:
        """Take a meta event; True at the end of the track."""
        kind = self._body[self._at]
        self._at += 1
        length = self._variable_length()
        start = self._at
        self._skip(length)
        value = self._body[start : start + min(length, 256)]
        if kind == _TEMPO and length >= 3 and (tempo := int.from_bytes(value[:3], "big")):
            self.tempi.append((self.tick, tempo))
        elif kind == _METRE and length >= 2 and value[0] and value[1] < 8:
            self.metres.append((self.tick, (value[0], 1 << value[1])))
        elif kind == _NAME and not self.name:
            self.name = _text(bytes(value))
        elif kind == _PORT and length:
            self._port = value[0]
        return kind == _END

    def _skip(self, length: int) -> None:
        self._at += length
        if self._at > len(self._body):
            raise IndexError

    def _variable_length(self) -> int:
        """Seven bits a byte, at most four bytes, the last without its top bit (SMF 1.0)."""
        value = 0
        for _ in range(4):
            byte = self._body[self._at]
            self._at += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise ScoreError(f"track {self._number} holds a number longer than MIDI allows: export the score again")


def _text(data: bytes) -> str:
    """A name in printable characters: UTF-8 where it is valid, else Latin-1, as most files mean it."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:80]


def _one_after_the_other(tracks: Sequence[MidiTrack]) -> list[MidiTrack]:
    """The tracks of a format 2 file, independent patterns, each shifted behind the one before.

    Each starts at its own tempo, with all channels as in the beginning.
    """
    shifted, start = [], 0
    for track in tracks:
        messages = [MidiMessage(start, port, 0, RESET, GM, 0) for port in sorted({m.port for m in track.messages})]
        messages += [m._replace(tick=m.tick + start) for m in track.messages]
        tempi = [(start, DEFAULT_TEMPO), *((tick + start, tempo) for tick, tempo in track.tempi)]
        metres = [(tick + start, metre) for tick, metre in track.metres]
        shifted.append(MidiTrack(track.name, messages, tempi, metres, track.end_tick + start))
        start += track.end_tick
    return shifted


def _clock(tracks: Sequence[MidiTrack], division: int) -> Clock:
    if division & 0x8000:
        # SMPTE: the top byte is minus the frames a second, the low byte the ticks a frame; the tempo means nothing.
        frames, ticks = 256 - (division >> 8), division & 0xFF
        if frames not in _FRAMES_PER_SECOND or not ticks:
            raise ScoreError(
                f"its clock is {ticks} ticks of {frames} frames a second: no such time code: export it again"
            )
        return Clock([0], [0.0], [1.0 / (_FRAMES_PER_SECOND[frames] * ticks)], [DEFAULT_TEMPO])
    if not division:
        raise ScoreError("its clock has 0 ticks a quarter note: export the score again")
    changes = {0: DEFAULT_TEMPO}
    # Of several tempi at one tick the last one holds.
    changes.update(sorted((change for track in tracks for change in track.tempi), key=lambda change: change[0]))
    ticks_of, tempi = list(changes), list(changes.values())
    tick_s = [tempo * 1e-6 / division for tempo in tempi]
    seconds = [0.0]
    for (first, second), length in zip(pairwise(ticks_of), tick_s, strict=False):
        seconds.append(seconds[-1] + (second - first) * length)
    return Clock(ticks_of, seconds, tick_s, tempi)
