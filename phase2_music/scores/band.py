"""From written parts to a MIDI file: pieces of sections, four roles, and how a careful band plays them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random

import mido

from phase2_music.scores.notation import Chord, read_groove, read_voice

TICKS_PER_QUARTER = 480
ROLES = ("keyboard", "bass", "guitar", "drums")
CHANNELS = {"keyboard": 0, "bass": 1, "guitar": 2, "drums": 9}

_STRUM_TICKS = 3  # between two strings: 3 to 5 ms at the tempi used here
_RELEASE_TICKS = 4  # a key is let go this long before it is struck again
_PEDAL_CATCH = Fraction(1, 8)  # the pedal goes down once the new chord sounds, else the old one rings on


@dataclass(frozen=True)
class Section:
    """Some bars of a piece: for each role its voices (none: the role rests), the tempo, and the pedalling.

    `tempo_bpm` counts quarter notes; two values are an even accelerando or ritardando from beat to beat.
    `pedal` is the time between two changes of the keyboard's pedal, in quarter notes.
    """

    name: str
    bars: int
    tempo_bpm: float | tuple[float, float]
    keyboard: tuple[str, ...] = ()
    bass: tuple[str, ...] = ()
    guitar: tuple[str, ...] = ()
    drums: str = ""
    pedal: Fraction | None = None


@dataclass(frozen=True)
class Piece:
    """An arrangement: metre (numerator, denominator), key as MIDI files write it, General MIDI programs."""

    name: str
    metre: tuple[int, int]
    key: str
    programs: dict[str, int]
    sections: tuple[Section, ...]

    @property
    def bar(self) -> Fraction:
        """Length of a bar in quarter notes."""
        return Fraction(4 * self.metre[0], self.metre[1])

    @property
    def beat(self) -> Fraction:
        """Length of a beat in quarter notes: three eighths in compound metres."""
        compound = self.metre[1] == 8 and self.metre[0] % 3 == 0
        return Fraction(3, 2) if compound else Fraction(4, self.metre[1])


@dataclass(frozen=True)
class Note:
    """A note as MIDI has it: `start` and `end` in ticks."""

    start: int
    end: int
    key: int
    velocity: int


def perform(piece: Piece, role: str) -> list[Note]:
    """All notes of one role, in order, no key overlapping itself.

    Raises:
        ValueError: a voice that is shorter or longer than its section.
    """
    random = Random(f"{piece.name}/{role}")
    notes: list[Note] = []
    begin = Fraction(0)
    for section in piece.sections:
        for chord in _written(piece, section, role):
            notes.extend(_play(piece, chord, begin, random, ring=role == "drums"))
        begin += section.bars * piece.bar
    return _one_hand_per_key(notes, _ticks(begin))


def _written(piece: Piece, section: Section, role: str) -> Iterator[Chord]:
    texts = (section.drums,) if role == "drums" else getattr(section, role)
    read = read_groove if role == "drums" else read_voice
    for text in filter(None, texts):
        chords, length = read(text, piece.bar)
        if length != section.bars * piece.bar:
            where = f"{piece.name}, {section.name}, {role}"
            raise ValueError(f"{where}: {float(length / piece.bar)} bars instead of {section.bars}: {text}")
        yield from chords


def _play(piece: Piece, chord: Chord, begin: Fraction, random: Random, ring: bool) -> Iterator[Note]:
    start, length = _ticks(begin + chord.start), _ticks(_sounding(chord, ring))
    for index, key in enumerate(chord.keys):
        delay = _strum_delay(chord.marks, index, len(chord.keys))
        under = 0 if index == len(chord.keys) - 1 else -7  # the top of a chord is its melody
        velocity = chord.level + _metric_weight(piece, chord) + under + random.uniform(-3, 3)
        yield Note(start + delay, start + length, key, max(1, min(120, round(velocity))))


def _sounding(chord: Chord, ring: bool) -> Fraction:
    if ring or "_" in chord.marks:
        return chord.length
    return chord.length * (Fraction(1, 2) if "'" in chord.marks else Fraction(15, 16))


def _strum_delay(marks: str, index: int, count: int) -> int:
    if "/" in marks:
        return index * _STRUM_TICKS
    return (count - 1 - index) * _STRUM_TICKS if "\\" in marks else 0


def _metric_weight(piece: Piece, chord: Chord) -> float:
    """What the written accent and the place in the bar add to the velocity."""
    written = 13 if ">" in chord.marks else -13 if "o" in chord.marks else 0
    place = chord.start % piece.bar
    return written + (4 if place == 0 else 1 if place % piece.beat == 0 else -3)


def _one_hand_per_key(notes: list[Note], end: int) -> list[Note]:
    """Let each key go before it is struck again; of two strokes of one key at one time, keep the longer."""
    rows: dict[int, dict[int, Note]] = {}
    for note in sorted(notes, key=lambda note: (note.start, note.end)):
        rows.setdefault(note.key, {})[note.start] = note
    kept = [note for row in rows.values() for note in _released_in_time(list(row.values()), end)]
    return sorted(kept, key=lambda note: (note.start, note.key))


def _released_in_time(row: list[Note], end: int) -> Iterator[Note]:
    limits = [after.start - _RELEASE_TICKS for _, after in pairwise(row)] + [end]
    for note, limit in zip(row, limits, strict=True):
        yield replace(note, end=min(note.end, limit))


def _ticks(quarters: Fraction) -> int:
    return round(quarters * TICKS_PER_QUARTER)


def write_midi(piece: Piece, title: str, credit: str, path: Path) -> None:
    """Write a piece as a type 1 MIDI file: a conductor's track, then one track per role.

    The same piece gives the same bytes.
    """
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_QUARTER)
    end = _ticks(sum((section.bars * piece.bar for section in piece.sections), Fraction(0)))
    file.tracks.append(_track(_conductor(piece, title, credit), end))
    for role in ROLES:
        file.tracks.append(_track(_part(piece, role), end))
    file.save(path)


def _conductor(piece: Piece, title: str, credit: str) -> Iterator[tuple[int, mido.Message]]:
    numerator, denominator = piece.metre
    yield 0, mido.MetaMessage("track_name", name=title)
    yield 0, mido.MetaMessage("text", text=credit)
    yield (
        0,
        mido.MetaMessage(
            "time_signature",
            numerator=numerator,
            denominator=denominator,
            clocks_per_click=int(24 * piece.beat),
        ),
    )
    yield 0, mido.MetaMessage("key_signature", key=piece.key)
    begin = Fraction(0)
    for section in piece.sections:
        yield _ticks(begin), mido.MetaMessage("marker", text=section.name)
        for place, bpm in _tempi(piece, section):
            yield _ticks(begin + place), mido.MetaMessage("set_tempo", tempo=round(60_000_000 / bpm))
        begin += section.bars * piece.bar


def _tempi(piece: Piece, section: Section) -> Iterator[tuple[Fraction, float]]:
    if not isinstance(section.tempo_bpm, tuple):
        yield Fraction(0), section.tempo_bpm
        return
    first, last = section.tempo_bpm
    beats = int(section.bars * piece.bar / piece.beat)
    for beat in range(beats):
        yield beat * piece.beat, first + (last - first) * beat / (beats - 1)


def _part(piece: Piece, role: str) -> Iterator[tuple[int, mido.Message]]:
    channel = CHANNELS[role]
    yield 0, mido.MetaMessage("track_name", name=role.capitalize())
    if role in piece.programs:
        yield 0, mido.Message("program_change", channel=channel, program=piece.programs[role])
    if role == "keyboard":
        yield from _pedalling(piece, channel)
    for note in perform(piece, role):
        yield note.start, mido.Message("note_on", channel=channel, note=note.key, velocity=note.velocity)
        yield note.end, mido.Message("note_off", channel=channel, note=note.key, velocity=64)


def _pedalling(piece: Piece, channel: int) -> Iterator[tuple[int, mido.Message]]:
    begin = Fraction(0)
    for section in piece.sections:
        end = begin + section.bars * piece.bar
        while section.pedal and begin < end:
            lift = min(begin + section.pedal, end)
            yield _ticks(begin + _PEDAL_CATCH), _pedal(channel, 127)
            yield _ticks(lift), _pedal(channel, 0)
            begin = lift
        begin = end


def _pedal(channel: int, value: int) -> mido.Message:
    return mido.Message("control_change", channel=channel, control=64, value=value)


def _track(events: Iterator[tuple[int, mido.Message]], end: int) -> mido.MidiTrack:
    """Events in order of time as a track; at one time, keys are let go before others are struck."""
    track, now = mido.MidiTrack(), 0
    for tick, message in sorted(events, key=lambda event: (event[0], event[1].type == "note_on")):
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=end - now))
    return track
