"""MIDI file -> Score: which notes and controllers each role plays, in seconds."""

from __future__ import annotations

import warnings
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from core.errors import ScoreError
from core.manifest import sha256_file
from schemas.document import ROLES, Role

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_NOTES = 300_000
MAX_DURATION_S = 4 * 3600.0

# General MIDI programs -> roles: first program of each stretch. Registers decide nothing here; families do.
_PROGRAM_ROLES: tuple[tuple[int, Role], ...] = (
    (0, "keyboard"),  # pianos, chromatic percussion, organs
    (24, "guitar"),  # guitars
    (32, "bass"),  # basses
    (40, "keyboard"),  # strings
    (43, "bass"),  # contrabass
    (44, "keyboard"),  # tremolo, pizzicato, harp, timpani, ensembles, voices
    (56, "guitar"),  # trumpet, trombone
    (58, "bass"),  # tuba
    (59, "guitar"),  # other brass, reeds, pipes, leads
    (67, "bass"),  # baritone sax
    (68, "guitar"),
    (70, "bass"),  # bassoon
    (71, "guitar"),
    (87, "bass"),  # bass and lead
    (88, "keyboard"),  # pads, effects
    (104, "guitar"),  # sitar, banjo, shamisen, koto
    (108, "keyboard"),  # kalimba
    (109, "guitar"),  # bagpipe, fiddle, shanai
    (112, "keyboard"),  # tinkle bell to woodblock
    (116, "bass"),  # taiko, melodic tom, synth drum
    (119, "keyboard"),  # reverse cymbal, sound effects
)


@dataclass(frozen=True)
class ScoreEvent:
    """One MIDI channel message at a time in seconds; `kind` is "on", "off", "cc" or "bend".

    `number` is the key or controller, `value` the velocity, the controller's value or the bend (-8192..8191).
    """

    time_s: float
    kind: str
    number: int
    value: int


@dataclass(frozen=True)
class Track:
    """One instrument of the score; its events are sorted by time, at one time "off" before controllers before "on"."""

    name: str
    program: int
    is_drum: bool
    role: Role
    notes: int
    events: tuple[ScoreEvent, ...]


@dataclass(frozen=True)
class Score:
    """A score as it will be played: times in seconds from its beginning.

    `tempo_bpm` (quarter notes a minute) and `metre` are those that hold for the longest time.
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


def role_of_program(program: int, is_drum: bool) -> Role:
    """The role that plays a General MIDI program (0-127)."""
    if is_drum:
        return "drums"
    return next(role for first, role in reversed(_PROGRAM_ROLES) if program >= first)


def read_score(path: Path) -> Score:
    """Read a MIDI file with pretty_midi.

    Raises:
        ScoreError: the file is missing, empty, damaged, has no notes, or is beyond all measure.
    """
    midi = _parse(path)
    tracks = tuple(_track(instrument, index) for index, instrument in enumerate(midi.instruments) if instrument.notes)
    if not tracks:
        raise ScoreError(f"{path}: holds no notes: choose another MIDI file")
    notes = sum(track.notes for track in tracks)
    duration = max(event.time_s for track in tracks for event in track.events if event.kind == "off")
    if notes > MAX_NOTES or duration > MAX_DURATION_S:
        raise ScoreError(
            f"{path}: {notes} notes in {duration:.0f} s are more than photone plays "
            f"({MAX_NOTES} notes, {MAX_DURATION_S:.0f} s): shorten the score"
        )
    return Score(path, sha256_file(path), duration, _main_tempo(midi, duration), _main_metre(midi, duration), tracks)


def _longest(times: list[float], values: list[Any], end_s: float) -> Any:
    held: dict[Any, float] = {}
    for start, end, value in zip(times, [*times[1:], end_s], values, strict=True):
        held[value] = held.get(value, 0.0) + max(0.0, end - start)
    return max(held, key=lambda value: held[value])


def _main_tempo(midi: Any, end_s: float) -> float:
    times, tempi = midi.get_tempo_changes()
    return round(float(_longest([float(t) for t in times], [round(float(t), 1) for t in tempi], end_s)), 1)


def _main_metre(midi: Any, end_s: float) -> str:
    changes = midi.time_signature_changes
    if not changes:
        return "4/4"
    return str(_longest([c.time for c in changes], [f"{c.numerator}/{c.denominator}" for c in changes], end_s))


def _parse(path: Path) -> Any:
    if not path.is_file():
        raise ScoreError(f"{path}: no such MIDI file: check the path")
    size = path.stat().st_size
    if not size:
        raise ScoreError(f"{path}: is empty: export the score again")
    if size > MAX_FILE_BYTES:
        raise ScoreError(f"{path}: {size} bytes are more than a score holds ({MAX_FILE_BYTES}): choose another file")
    with redirect_stdout(StringIO()):  # pyfluidsynth prints where it found its library when CI is set
        import pretty_midi

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pretty_midi.PrettyMIDI(str(path))
    # mido and pretty_midi raise whatever the bytes lead to (EOFError, OSError, IndexError, KeyError, ValueError, ...).
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ScoreError(f"{path}: not a MIDI file that can be read ({reason}): export the score again") from error


def _track(instrument: Any, index: int) -> Track:
    events = []
    for note in instrument.notes:
        events.append(ScoreEvent(float(note.start), "on", int(note.pitch), int(note.velocity)))
        events.append(ScoreEvent(max(float(note.end), float(note.start) + 0.005), "off", int(note.pitch), 0))
    events += [ScoreEvent(float(c.time), "cc", int(c.number), int(c.value)) for c in instrument.control_changes]
    events += [ScoreEvent(float(b.time), "bend", 0, int(b.pitch)) for b in instrument.pitch_bends]
    order = {"off": 0, "cc": 1, "bend": 2, "on": 3}
    events.sort(key=lambda event: (event.time_s, order[event.kind], event.number))
    return Track(
        name=instrument.name.strip() or f"Track {index + 1}",
        program=int(instrument.program),
        is_drum=bool(instrument.is_drum),
        role=role_of_program(int(instrument.program), bool(instrument.is_drum)),
        notes=len(instrument.notes),
        events=tuple(events),
    )
