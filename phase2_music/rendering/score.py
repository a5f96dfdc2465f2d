"""MIDI file -> Score: which notes and controllers each role plays, in seconds."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from statistics import median_low
from typing import NamedTuple, TypeVar

from core.errors import ScoreError, UsageError
from core.manifest import sha256_bytes
from phase2_music.rendering.smf import (
    DEFAULT_METRE,
    GS,
    MAX_MESSAGES,
    RESET,
    RHYTHM,
    Clock,
    MidiFile,
    MidiMessage,
    MidiTrack,
    parse_midi,
)
from schemas.document import ROLES, Role

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_NOTES = 300_000
MAX_TRACKS = 200
MAX_EVENTS = 1_000_000
MAX_DURATION_S = 4 * 3600.0

# General MIDI programs -> roles, by family and register: first program of each stretch, the role that plays it, and the one
# that plays it where the part lies low.
_PROGRAM_ROLES: tuple[tuple[int, Role, Role], ...] = (
    (0, "keyboard", "keyboard"),  # pianos, chromatic percussion, organs
    (24, "guitar", "guitar"),  # guitars
    (32, "bass", "bass"),  # basses
    (40, "keyboard", "bass"),  # strings
    (43, "bass", "bass"),  # contrabass
    (44, "keyboard", "bass"),  # tremolo, pizzicato, harp, timpani, ensembles, voices
    (56, "guitar", "bass"),  # trumpet, trombone
    (58, "bass", "bass"),  # tuba
    (59, "guitar", "bass"),  # other brass, saxophones
    (67, "bass", "bass"),  # baritone sax
    (68, "guitar", "bass"),  # oboe, english horn
    (70, "bass", "bass"),  # bassoon
    (71, "guitar", "bass"),  # clarinet, pipes, leads
    (87, "bass", "bass"),  # bass and lead
    (88, "keyboard", "bass"),  # pads, effects
    (104, "guitar", "guitar"),  # sitar, banjo, shamisen, koto
    (108, "keyboard", "keyboard"),  # kalimba
    (109, "guitar", "guitar"),  # bagpipe, fiddle, shanai
    (112, "keyboard", "keyboard"),  # tinkle bell to woodblock
    (116, "bass", "bass"),  # taiko, melodic tom, synth drum
    (119, "keyboard", "keyboard"),  # reverse cymbal, sound effects
)
_LOW_KEY = 45
"""A part is low when half of its notes lie below A2, where a bass guitar plays."""

_DRUM_CHANNEL = 9
_DRUM_BANKS = (120, 126, 127)  # bank select MSB of General MIDI 2 and XG for rhythm; variations of sounds in GS
_MELODIC_BANK = 121  # General MIDI 2's, on the drum channel too

_SHORTEST_NOTE_S = 0.005
_LONGEST_RING_S = 12.0  # what a pedal adds to a song behind its last note
_OFF, _ON, _KEY_PRESSURE, _CONTROLLER, _PROGRAM, _PRESSURE, _BEND = 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0
_BANK_MSB, _VOLUME, _EXPRESSION, _SUSTAIN, _SOSTENUTO, _RESET = 0, 7, 11, 64, 66, 121

# What General MIDI has at the beginning: no sound, no controllers, volume, pan, a wheel of two semitones, no tuning.
_BEGINNING = (
    *((120, 0), (121, 0), (7, 100), (10, 64)),
    *((101, 0), (100, 0), (6, 2), (38, 0), (100, 1), (6, 64), (38, 0), (100, 2), (6, 64), (101, 127), (100, 127)),
)

_MOST_RESETS = 200
_MOST_OTHERS = 16  # tracks that are asked for a note which another one ends

_Value = TypeVar("_Value")


class ScoreEvent(NamedTuple):
    """One MIDI channel message at a time in seconds.

    `kind` is "on", "off", "cc", "bend", "pressure" (of the channel) or "key_pressure"; `number` is the key or controller,
    `value` the velocity, the controller's value, the pressure or the bend (-8192..8191).
    """

    time_s: float
    kind: str
    number: int
    value: int


@dataclass(frozen=True)
class Track:
    """One instrument of the score: what one track of the file plays with one program on one channel.

    Its events are sorted by time; at one time they keep the file's order, but a key ends before it is struck again. Its
    channel's controllers are among them. Tracks with one `channel` (its port times 16 and its number there) share it.
    `volume_db` is the mean level that the file's volume and expression controllers give its notes.
    """

    number: int
    name: str
    program: int
    channel: int
    is_drum: bool
    role: Role
    notes: int
    lo_key: int
    hi_key: int
    volume_db: float
    events: tuple[ScoreEvent, ...]


@dataclass(frozen=True)
class Score:
    """A score as it will be played: times in seconds from its beginning.

    `tempo_bpm` (quarter notes a minute) and `metre` are those that hold for the longest time. `duration_s` is when the last
    note ends or the pedal that holds it comes up.
    """

    path: Path
    sha256: str
    duration_s: float
    tempo_bpm: float
    metre: str
    tracks: tuple[Track, ...]

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that have something to play, in a fixed order."""
        used = Counter(track.role for track in self.tracks)
        return tuple(role for role in ROLES if used[role])

    @property
    def first_note_s(self) -> float:
        """When the first note begins."""
        return min(event.time_s for track in self.tracks for event in track.events if event.kind == "on")


def role_of_program(program: int, is_drum: bool, middle_key: int = 60) -> Role:
    """The role that plays a General MIDI program (0-127) in a part whose middle note is `middle_key`."""
    if is_drum:
        return "drums"
    high, low = next((high, low) for first, high, low in reversed(_PROGRAM_ROLES) if program >= first)
    return low if middle_key < _LOW_KEY else high


def read_score(path: Path) -> Score:
    """Read a MIDI file of format 0, 1 or 2.

    Raises:
        ScoreError: the file is missing, empty, damaged, has no notes, or is beyond all measure.
    """
    try:
        return replace(_score(_read(path)), path=path)
    except ScoreError as error:
        raise ScoreError(f"{path}: {error}") from error


@lru_cache(maxsize=1)  # a score is checked before a run is touched, and read again where it is played
def _score(data: bytes) -> Score:
    """The score in a file's bytes, without its path."""
    midi = parse_midi(data)
    parts = _Reader(midi).parts()
    if not parts:
        raise ScoreError("holds no notes: choose another MIDI file")
    _check_size(parts)
    duration = max(part.end_s for part in parts)
    _check_duration(duration)
    tracks = tuple(part.track(number) for number, part in enumerate(parts, 1))
    tempo_bpm, metre = _main_tempo(midi.clock, duration), _main_metre(midi, duration)
    return Score(Path(), sha256_bytes(data), duration, tempo_bpm, metre, tracks)


def _read(path: Path) -> bytes:
    """A file's bytes; the errors' messages name no file."""
    if not path.is_file():
        raise ScoreError("no such MIDI file: check the path")
    size = path.stat().st_size
    if not size:
        raise ScoreError("is empty: export the score again")
    if size > MAX_FILE_BYTES:
        raise ScoreError(f"{size} bytes are more than a score holds ({MAX_FILE_BYTES}): choose another file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ScoreError(f"cannot be read ({error.strerror}): check its permissions") from error


def _check_size(parts: Sequence[_Part]) -> None:
    events = sum(len(part.notes) * 2 + len(part.channel.events) for part in parts)
    if len(parts) > MAX_TRACKS or events > MAX_EVENTS:
        raise ScoreError(
            f"{len(parts)} instruments with {events} events are more than photone plays "
            f"({MAX_TRACKS} instruments, {MAX_EVENTS} events): shorten the score"
        )


def _check_duration(duration_s: float) -> None:
    if duration_s > MAX_DURATION_S:
        raise ScoreError(
            f"its last note ends after {duration_s / 3600:.1f} hours, photone plays {MAX_DURATION_S / 3600:.0f}: "
            "shorten the score"
        )


@dataclass
class _Channel:
    """What a channel has been told so far, and all that it is told: (tick, order in the file, kind, number, value)."""

    number: int
    is_drum: bool
    volume: int = 100
    expression: int = 127
    events: list[tuple[int, int, str, int, int]] = field(default_factory=list)

    def level_db(self) -> float:
        # General MIDI 1, Developer Guidelines: volume and expression act as 40 log10(value / 127).
        return 40.0 * math.log10(max(1, self.volume) * max(1, self.expression) / 127**2)

    def pedals_up(self, tick: int, order: int) -> int:
        """When the pedals that are down behind a tick and an order come up: the tick itself for none, or for never."""
        down: set[int] = set()
        for at, place, kind, number, value in self.events:
            late = (at, place) > (tick, order)
            if late and not down:
                break
            if kind == "cc" and number in (_SUSTAIN, _SOSTENUTO):
                (down.add if value >= 64 else down.discard)(number)
            elif kind == "cc" and number == _RESET:
                down.clear()
            if late and not down:
                return at
        return tick


class _Programs:
    """Which program plays a track's notes on a channel: the channel's, whichever track told it.

    Only where several tracks play on one channel, each keeps the program that it told itself: so do files with more
    instruments than channels mean it.
    """

    def __init__(self, players: set[tuple[int, int, int]]) -> None:
        self._players = players  # (track, port, channel)
        self._told: dict[tuple[int, int], int] = {}
        self._told_all: dict[
            tuple[int, int], tuple[int, int]
        ] = {}  # by tracks that do not play there: (order, program)
        self._told_own: dict[tuple[int, int, int], tuple[int, int]] = {}

    def tell(self, index: int, order: int, message: MidiMessage) -> None:
        """Take a program that a track tells a channel."""
        where = (message.port, message.channel)
        self._told[where] = message.data1
        if (index, *where) in self._players:
            self._told_own[index, *where] = (order, message.data1)
        else:
            self._told_all[where] = (order, message.data1)

    def forget(self, port: int) -> None:
        """Begin anew on a port."""
        self._told = {where: program for where, program in self._told.items() if where[0] != port}
        self._told_all = {where: told for where, told in self._told_all.items() if where[0] != port}
        self._told_own = {where: told for where, told in self._told_own.items() if where[1] != port}

    def of(self, index: int, message: MidiMessage) -> int:
        """The program of a note that a track begins now."""
        where = (message.port, message.channel)
        own = self._told_own.get((index, *where))
        if own is None:
            return self._told.get(where, 0)
        return max(own, self._told_all.get(where, own))[1]


class _Note:
    """A note that sounds: its start and end in ticks, and their places in the order of the file's messages."""

    __slots__ = ("end", "end_order", "key", "level_db", "order", "start", "velocity")

    def __init__(self, start: int, order: int, key: int, velocity: int, level_db: float) -> None:
        self.start, self.order, self.key, self.velocity, self.level_db = start, order, key, velocity, level_db
        self.end, self.end_order = -1, order


@dataclass
class _Part:
    """The notes of one track of the file on one channel with one program."""

    name: str
    program: int
    channel: _Channel
    clock: Clock
    is_drum: bool
    notes: list[_Note] = field(default_factory=list)

    @property
    def end_s(self) -> float:
        """When the last note ends, or the pedal that holds it comes up."""
        tick, order = max((note.end, note.end_order) for note in self.notes)
        last_start = max(note.start for note in self.notes)
        end_s = max(self.clock.seconds_at(tick), self.clock.seconds_at(last_start) + _SHORTEST_NOTE_S)
        if self.is_drum:
            return end_s
        up_s = self.clock.seconds_at(self.channel.pedals_up(tick, order))
        return max(end_s, min(up_s, end_s + _LONGEST_RING_S))

    def track(self, number: int) -> Track:
        keys = [note.key for note in self.notes]
        return Track(
            number=number,
            name=self.name or f"Track {number}",
            program=self.program,
            channel=self.channel.number,
            is_drum=self.is_drum,
            role=role_of_program(self.program, self.is_drum, median_low(keys)),
            notes=len(self.notes),
            lo_key=min(keys),
            hi_key=max(keys),
            volume_db=round(sum(note.level_db for note in self.notes) / len(self.notes), 2),
            events=tuple(self._events()),
        )

    def _events(self) -> Iterator[ScoreEvent]:
        """Notes and controllers in playing order, which at one time is the file's."""
        at = self.clock.seconds_at
        played = chain.from_iterable(_played(self.notes, self.clock))
        told = ((o, ScoreEvent(at(tick), kind, number, value)) for tick, o, kind, number, value in self.channel.events)
        ordered = sorted(chain(played, told), key=lambda item: (item[1].time_s, item[0]))
        return (event for _, event in ordered)


_Ordered = tuple[float, ScoreEvent]


def _played(notes: Sequence[_Note], clock: Clock) -> Iterator[tuple[_Ordered, _Ordered]]:
    """The start and end of each note; a key that is struck again while it sounds ends there, as on a piano."""
    by_key: dict[int, list[_Note]] = defaultdict(list)
    for note in notes:
        by_key[note.key].append(note)
    for struck in by_key.values():
        starts = [(clock.seconds_at(note.start), float(note.order)) for note in struck]
        for note, (start_s, order), (next_s, next_order) in zip(
            struck, starts, [*starts[1:], (math.inf, math.inf)], strict=True
        ):
            if next_s > start_s:  # of notes on one key at one time the last one counts
                end_s = clock.seconds_at(note.end)  # however short: a pedal that goes down behind it must not catch it
                # Careless exporters write the end of a key behind its next beginning.
                end_order = min(note.end_order, next_order - 0.5) if end_s >= next_s else note.end_order
                yield (
                    (order, ScoreEvent(start_s, "on", note.key, note.velocity)),
                    (end_order, ScoreEvent(min(end_s, next_s), "off", note.key, 0)),
                )


class _Reader:
    """Puts the messages of a file's tracks in order and gathers them into parts.

    Controllers and programs belong to the channel, whichever track they stand in; notes are paired within their track.
    """

    def __init__(self, midi: MidiFile) -> None:
        self._midi = midi
        self._channels: dict[tuple[int, int], _Channel] = {}
        self._parts: dict[tuple[int, int, int, int, bool], _Part] = {}
        self._sounding: dict[tuple[int, int, int, int], deque[_Note]] = defaultdict(deque)
        balance = _balance(midi.tracks)
        self._paired = {key for key, count in balance.items() if not count}
        self._unended: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for (index, port, channel, key), count in balance.items():
            if count > 0:
                self._unended[port, channel, key].append(index)
        self._in_gs: dict[int, bool] = {}
        self._resets = 0
        self._programs = _Programs({key[:3] for key in balance})
        self._notes = 0

    def parts(self) -> list[_Part]:
        """The parts in the order of the file's tracks, each with its notes in the order of their starts."""
        numbered = ((m.tick, index, m) for index, track in enumerate(self._midi.tracks) for m in track.messages)
        for order, (_, index, message) in enumerate(sorted(numbered, key=itemgetter(0, 1))):
            self._take(index, order, message)
        for (index, *_), notes in self._sounding.items():
            for note in notes:  # a note that nobody ends lasts to the end of its track
                note.end, note.end_order = max(note.start, self._midi.tracks[index].end_tick), MAX_MESSAGES
        return [part for _, part in sorted(self._parts.items(), key=lambda item: item[0][0])]

    def _take(self, index: int, order: int, message: MidiMessage) -> None:
        where = (message.port, message.channel)
        channel = self._channels.get(where)
        if channel is None:
            number = 16 * message.port + message.channel
            channel = self._channels[where] = _Channel(number, is_drum=message.channel == _DRUM_CHANNEL)
        if message.kind == _ON and message.data2:
            self._begin(index, order, channel, message)
        elif message.kind in (_ON, _OFF):
            self._end(index, order, message)
        elif message.kind == _PROGRAM:
            self._programs.tell(index, order, message)
        elif message.kind == RHYTHM:
            channel.is_drum = bool(message.data1)
        elif message.kind == RESET:
            self._reset(order, message)
        else:
            _tell(channel, order, message, banks_are_kits=not self._in_gs.get(message.port))

    def _reset(self, order: int, message: MidiMessage) -> None:
        """Take a reset of a port: in the middle of a file, where a medley goes on, all is as in the beginning."""
        self._in_gs[message.port] = message.data1 == GS
        if not self._notes:  # programs may stand before it in a file that was put together carelessly
            return
        self._resets += 1
        if self._resets > _MOST_RESETS:
            raise ScoreError(f"more than {_MOST_RESETS} resets are more than photone plays: shorten the score")
        self._programs.forget(message.port)
        for (port, number), channel in self._channels.items():
            if port == message.port:
                for controller, value in _BEGINNING:
                    told = MidiMessage(message.tick, port, number, _CONTROLLER, controller, value)
                    _tell(channel, order, told, banks_are_kits=False)
                channel.is_drum = number == _DRUM_CHANNEL

    def _begin(self, index: int, order: int, channel: _Channel, message: MidiMessage) -> None:
        self._notes += 1
        if self._notes > MAX_NOTES:
            raise ScoreError(f"more than {MAX_NOTES} notes are more than photone plays: shorten the score")
        program = self._programs.of(index, message)
        key = (index, message.port, message.channel, program, channel.is_drum)
        part = self._parts.get(key)
        if part is None:
            name = self._midi.tracks[index].name
            part = self._parts[key] = _Part(name, program, channel, self._midi.clock, channel.is_drum)
        note = _Note(message.tick, order, message.data1, message.data2, channel.level_db())
        part.notes.append(note)
        self._sounding[index, message.port, message.channel, message.data1].append(note)

    def _end(self, index: int, order: int, message: MidiMessage) -> None:
        key = (index, message.port, message.channel, message.data1)
        notes = self._sounding[key]
        if not notes:  # some files end in one track what they began in another
            begun = (self._sounding[other, *key[1:]] for other in self._unended.get(key[1:], [])[:_MOST_OTHERS])
            notes = next((others for others in begun if others), notes)
        # A key with an end for each beginning: the first to begin is the first to end, so overlapping notes keep their
        # lengths. Else one end silences all that began before, as a synthesiser does.
        count = 1 if key in self._paired else sum(note.start < message.tick for note in notes) or len(notes)
        for _ in range(min(count, len(notes))):
            note = notes.popleft()
            note.end, note.end_order = message.tick, order


def _balance(tracks: Sequence[MidiTrack]) -> Counter[tuple[int, int, int, int]]:
    """How many times more each key (track, port, channel, key) is struck than let go."""
    balance: Counter[tuple[int, int, int, int]] = Counter()
    for index, track in enumerate(tracks):
        for message in track.messages:
            if message.kind in (_ON, _OFF):
                struck = message.kind == _ON and message.data2
                balance[index, message.port, message.channel, message.data1] += 1 if struck else -1
    return balance


def _tell(channel: _Channel, order: int, message: MidiMessage, *, banks_are_kits: bool) -> None:
    """Take a controller, pressure or bend."""
    value, events = message.data2, channel.events
    if message.kind == _CONTROLLER:
        if message.data1 == _BANK_MSB and banks_are_kits:
            channel.is_drum = value in _DRUM_BANKS or (message.channel == _DRUM_CHANNEL and value != _MELODIC_BANK)
        elif message.data1 == _VOLUME:
            channel.volume = value
        elif message.data1 == _EXPRESSION:
            channel.expression = value
        elif message.data1 == _RESET:
            channel.expression = 127  # but not the volume (RP-015)
        events.append((message.tick, order, "cc", message.data1, value))
    elif message.kind == _BEND:
        events.append((message.tick, order, "bend", 0, (value << 7 | message.data1) - 8192))
    elif message.kind == _PRESSURE:
        events.append((message.tick, order, "pressure", 0, message.data1))
    elif message.kind == _KEY_PRESSURE:
        events.append((message.tick, order, "key_pressure", message.data1, value))


def map_roles(score: Score, wishes: Mapping[str, Role]) -> Score:
    """The score with roles given to tracks by name (whatever the case) or number; the rest as General MIDI says.

    Raises:
        UsageError: a wish fits no track.
    """
    roles = {track.number: track.role for track in score.tracks}
    for wish, role in wishes.items():
        meant = [t.number for t in score.tracks if t.name.casefold() == wish.casefold()]
        if not meant and re.fullmatch(r"\d{1,4}", wish):
            meant = [t.number for t in score.tracks if t.number == int(wish)]
        if not meant:
            names = ", ".join(f"{t.number} {t.name}" for t in score.tracks)
            raise UsageError(f"{score.path}: has no track {wish!r}: choose from {names}")
        roles.update(dict.fromkeys(meant, role))
    return replace(score, tracks=tuple(replace(track, role=roles[track.number]) for track in score.tracks))


def _longest(spans: Sequence[tuple[float, _Value]], end_s: float) -> _Value:
    """Of values that hold from a time in seconds on, the one that holds longest up to `end_s`."""
    held: dict[_Value, float] = defaultdict(float)
    for (start_s, value), next_s in zip(spans, [*(start for start, _ in spans[1:]), math.inf], strict=True):
        held[value] += max(0.0, min(next_s, end_s) - start_s)
    return max(held, key=lambda value: held[value])


def _main_tempo(clock: Clock, end_s: float) -> float:
    return _longest([(s, round(6e7 / tempo, 1)) for s, tempo in zip(clock.seconds, clock.tempi, strict=True)], end_s)


def _main_metre(midi: MidiFile, end_s: float) -> str:
    changes = {0: DEFAULT_METRE}
    changes.update(sorted((change for track in midi.tracks for change in track.metres), key=itemgetter(0)))
    beats, unit = _longest([(midi.clock.seconds_at(tick), metre) for tick, metre in changes.items()], end_s)
    return f"{beats}/{unit}"
