"""A small notation for writing a band's parts by hand, and its reader.

A voice is a line of tokens:

| token       | meaning                                                                              |
|-------------|--------------------------------------------------------------------------------------|
| `F#5:q`     | a note (C4 is MIDI key 60) and its duration, which stays until another is written     |
| `D4,A4:h`   | a chord, low to high                                                                 |
| `-:e`       | a rest                                                                               |
| `w h q e s` | whole, half, quarter, eighth, sixteenth; `q.` dotted, `e3` in a triplet, `h+e` tied   |
| `>` `'` `_` | after a note: accent, staccato, tenuto (its full length)                             |
| `/` `\\`    | after a chord: strummed from the lowest string, from the highest                     |
| `@mf @p<f`  | from here on: a dynamic; a swell to another one, reached at the next mark or the end  |
| `@staccato` | from here on: short notes, until `@normal`                                           |
| `|`         | a bar line, which must fall where the metre says                                     |

A groove is the drummer's grid: blocks of rows, one character per step (`x` stroke, `X` accent, `o` soft, `.`
none), each block under a header such as `4x @p<mf` that says how often it is played and how loudly. Bars in a
row stand between `|`.

All times are `Fraction`s of a quarter note, so bars add up exactly.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product

DYNAMICS = {"ppp": 38, "pp": 48, "p": 58, "mp": 68, "mf": 79, "f": 92, "ff": 105}
"""MIDI velocity of each dynamic, before accents."""

KIT: Mapping[str, tuple[int, Fraction]] = {
    "kick": (36, Fraction(1, 2)),
    "rim": (37, Fraction(1, 4)),
    "snare": (38, Fraction(1, 2)),
    "floor": (43, Fraction(1)),
    "low": (45, Fraction(1)),
    "mid": (47, Fraction(1)),
    "high": (50, Fraction(1)),
    "hat": (42, Fraction(1, 4)),
    "pedal": (44, Fraction(1, 4)),
    "open": (46, Fraction(1)),
    "crash": (49, Fraction(4)),
    "ride": (51, Fraction(2)),
    "bell": (53, Fraction(2)),
    "tamb": (54, Fraction(1, 2)),
    "block": (76, Fraction(1, 4)),
}
"""General MIDI percussion: the key of each piece of the kit, and how many quarter notes it is let ring."""

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "b": -1}
_VALUES = {"w": Fraction(4), "h": Fraction(2), "q": Fraction(1), "e": Fraction(1, 2), "s": Fraction(1, 4)}
_PITCH = re.compile(r"([A-G])([#b]?)(-?\d)")
_TOKEN = re.compile(r"(?P<head>-|[A-G][#b]?\d(?:,[A-G][#b]?\d)*)(?::(?P<value>[^>'_/\\]+))?(?P<marks>[>'_/\\]*)")
_HEADER = re.compile(r"(\d+)x(?:\s+@(\S+))?")
_STROKES = {"x": "", "X": ">", "o": "o"}
_TOUCHES = {"@normal": "", "@staccato": "'"}


@dataclass(frozen=True)
class Chord:
    """One or more keys struck together.

    `start` and `length` are in quarter notes from the beginning of the voice, `level` is the velocity of the
    dynamic in force (1-127) and `marks` the articulation signs of the notation, or `o` for a soft stroke.
    """

    start: Fraction
    length: Fraction
    keys: tuple[int, ...]
    level: float
    marks: str


@dataclass
class _Dynamics:
    """Dynamic marks in order of position: (position, level, level to swell to)."""

    marks: list[tuple[Fraction, int, int]] = field(default_factory=list)

    def add(self, position: Fraction, word: str) -> None:
        level, _, target = word.partition("<")
        self.marks.append((position, DYNAMICS[level], DYNAMICS[target or level]))

    def level_at(self, position: Fraction, end: Fraction) -> float:
        index = bisect_right([mark[0] for mark in self.marks], position) - 1
        if index < 0:
            return DYNAMICS["mf"]
        begin, level, target = self.marks[index]
        stop = self.marks[index + 1][0] if index + 1 < len(self.marks) else end
        return level + (target - level) * float((position - begin) / (stop - begin))


def key_of(name: str) -> int:
    """MIDI key of a note name such as `F#5` or `Bb2` (C4 is 60)."""
    match = _PITCH.fullmatch(name)
    if match is None:
        raise ValueError(f"no such note: {name!r}")
    letter, accidental, octave_number = match.groups()
    return 12 * (int(octave_number) + 1) + _LETTERS[letter] + _ACCIDENTALS[accidental]


def duration_of(value: str) -> Fraction:
    """Quarter notes of a written duration such as `q.`, `e3` or `h+e`."""
    return sum((_plain_duration(part) for part in value.split("+")), Fraction(0))


def _plain_duration(part: str) -> Fraction:
    length = _VALUES[part[0]]
    return {"": length, ".": length * 3 / 2, "3": length * 2 / 3}[part[1:]]


def octave(text: str, shift: int) -> str:
    """The same voice `shift` octaves higher (lower, if negative)."""
    return _PITCH.sub(lambda match: f"{match[1]}{match[2]}{int(match[3]) + shift}", text)


def over(progression: str, shape: str, voicings: Mapping[str, str]) -> str:
    """Write `shape` once over each chord of a progression.

    `voicings` spells each chord name, low to high (`{"Am": "E3,A3,C4"}`). In `shape`, digits stand for the
    notes of the chord: `0:e 1 2 1` is a broken chord, `-:e 0,1,2:e'` a chop after the beat. Bar lines and
    dynamics in the progression are kept.
    """
    return " ".join(
        word if word[0] in "|@" else _fill(shape, voicings[word].split(",")) for word in progression.split()
    )


def _fill(shape: str, notes: list[str]) -> str:
    def fill_token(token: str) -> str:
        head, colon, tail = token.partition(":")
        return re.sub(r"\d", lambda match: notes[int(match[0])], head) + colon + tail

    return " ".join(fill_token(token) for token in shape.split())


def read_voice(text: str, bar: Fraction) -> tuple[list[Chord], Fraction]:
    """Read a voice; `bar` is the bar's length in quarter notes.

    Returns the chords with their start, length and level, and the length of the voice.

    Raises:
        ValueError: a token that is no notation, or a bar line where no bar ends.
    """
    position, length, touch = Fraction(0), Fraction(1), ""
    dynamics, chords = _Dynamics(), []
    for token in text.split():
        if token == "|":
            _check_bar_line(position, bar, text)
        elif token in _TOUCHES:
            touch = _TOUCHES[token]
        elif token[0] == "@":
            dynamics.add(position, token[1:])
        else:
            keys, value, marks = _read_note(token)
            length = duration_of(value) if value else length
            if keys:
                chords.append(Chord(position, length, keys, 0, marks + touch))
            position += length
    return [replace(chord, level=dynamics.level_at(chord.start, position)) for chord in chords], position


def _check_bar_line(position: Fraction, bar: Fraction, text: str) -> None:
    if position % bar:
        late = float(position % bar)
        raise ValueError(f"bar line {late} quarters into bar {position // bar + 1} of {text!r}")


def _read_note(token: str) -> tuple[tuple[int, ...], str, str]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ValueError(f"no notation: {token!r}")
    keys = () if match["head"] == "-" else tuple(key_of(name) for name in match["head"].split(","))
    return keys, match["value"] or "", match["marks"]


def read_groove(text: str, bar: Fraction) -> tuple[list[Chord], Fraction]:
    """Read a groove; `bar` is the bar's length in quarter notes.

    Returns the strokes, and the length of the groove.

    Raises:
        ValueError: a row without a header, or rows of one block that differ in their number of bars.
    """
    strokes: list[Chord] = []
    position = Fraction(0)
    for times, word, rows in _blocks(text):
        span = _bars_in(rows) * bar
        end = position + times * span
        dynamics = _Dynamics()
        dynamics.add(position, word)
        for turn, (piece, row) in product(range(times), rows):
            key, ring = KIT[piece]
            for start, mark in _steps(row, position + turn * span, bar):
                strokes.append(Chord(start, ring, (key,), dynamics.level_at(start, end), mark))
        position = end
    return strokes, position


def _bars_in(rows: list[tuple[str, str]]) -> int:
    counts = {row.count("|") + 1 for _, row in rows}
    if len(counts) != 1:
        raise ValueError(f"rows of unequal length in a groove: {rows!r}")
    return counts.pop()


def _blocks(text: str) -> Iterator[tuple[int, str, list[tuple[str, str]]]]:
    """Split a groove into (times, dynamic, [(piece of the kit, row), ...])."""
    times, word = 0, "mf"
    rows: list[tuple[str, str]] = []
    for line in [*text.strip().splitlines(), "0x"]:
        header = _HEADER.fullmatch(line.strip())
        if header is None:
            piece, row = line.split(maxsplit=1)
            rows.append((piece, row.replace(" ", "")))
            continue
        if rows:
            yield times, word, rows
        times, word, rows = int(header[1]), header[2] or "mf", []


def _steps(row: str, start: Fraction, bar: Fraction) -> Iterator[tuple[Fraction, str]]:
    """The (time, mark) of each stroke in a row of bars."""
    for index, steps in enumerate(row.split("|")):
        for step, character in enumerate(steps):
            if character != ".":
                yield start + index * bar + step * bar / len(steps), _STROKES[character]
