"""Tracks of one role -> what a synthesiser is told, frame by frame: round robins dealt, soft pedal, octaves, drum keys."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from operator import attrgetter
from typing import NamedTuple

from core.audio import SAMPLE_RATE
from phase2_music.instruments.roles import CHOKES, DRUM_BANK, ROLE_SPECS, RoleSpec
from phase2_music.rendering.score import ScoreEvent, Track

GRID_FRAMES = 64
"""FluidSynth computes 64 frames at a time and takes events between: they fall on this grid, at most 0.73 ms off."""

MAX_CHANNELS = 256
"""As many channels as FluidSynth has."""

SOFT_PEDAL = 0.7
"""With the soft pedal down notes are struck with this part of their velocity, so they are softer and, by the velocity
layers, darker. FluidSynth itself does not answer to controller 67."""

# Drum keys beyond General MIDI's 35-81 (Roland GS and General MIDI 2) and the piece that stands in.
_DRUM_SUBSTITUTES = {
    27: 75, 28: 39, 29: 73, 30: 74, 31: 37, 32: 37, 33: 76, 34: 80, 82: 70, 83: 54, 84: 53, 85: 75, 86: 41, 87: 43, 88: 70,
}  # fmt: skip

# Key of each piece that rings until it is cut, by itself and by those that cut it.
_RINGING = {key: ringing for ringing, cut in CHOKES.items() for key in (ringing, *cut)}

_SUSTAIN, _SOSTENUTO, _SOFT = 64, 66, 67
_SOUND_OFF, _RESET, _NOTES_OFF = 120, 121, 123
_MODES = range(124, 128)
_PORTAMENTO_FROM = 84
# The band has one sound a role, so banks mean nothing; by the legato pedal FluidSynth would play one note at a time.
_UNTOLD = (0, 32, 68)
UNREGISTERED = (98, 99)
"""Controllers that choose a parameter which no standard registers."""
_DATA, _DATA_FINE, _REGISTERED = 6, 38, (100, 101)
_TUNING = ((1, 0), (2, 0))  # the registered parameters' low and high numbers


HELD = 1
"""Value of an "off" while a pedal holds the note."""


class Message(NamedTuple):
    """What the synthesiser is told at a frame (of the grid) on one of its channels; the rest as in ScoreEvent."""

    frame: int
    channel: int
    kind: str
    number: int
    value: int


@dataclass(frozen=True)
class Window:
    """The part of the score that is played, in seconds; `cut` where the score goes on behind it."""

    start_s: float
    end_s: float
    cut: bool = True


def kits(tracks: Sequence[Track]) -> list[Track]:
    """Drum tracks, those that share a channel as one: a file may have a track for each piece, and one piece cuts another."""
    by_channel: dict[int, list[Track]] = defaultdict(list)
    for track in tracks:
        by_channel[track.channel].append(track)
    return [replace(first, events=_merged([first, *others])) for first, *others in by_channel.values()]


def _merged(tracks: Sequence[Track]) -> tuple[ScoreEvent, ...]:
    """All notes of tracks on one channel, and the channel's controllers once."""
    first, *others = tracks
    notes = ([event for event in track.events if event.kind in ("on", "off")] for track in others)
    return tuple(merge(first.events, *notes, key=attrgetter("time_s")))


def perform(
    tracks: Sequence[Track], turns: int, window: Window, fold_octaves: bool = False, lead_frames: int = 0
) -> list[Message]:
    """The messages of all tracks in playing order.

    Each track has `turns` channels of its own, one for each round robin of the instrument (one for all where the synthesiser
    has too few): track t's turn r plays on channel t * turns + r. Controllers before the window are told at its start; where it
    cuts the score all keys and pedals come up. All is told `lead_frames` earlier, from frame -`lead_frames` on: so much silence
    stands before the samples.
    """
    turns = turns_that_fit(len(tracks), turns)
    early = on_grid(lead_frames)
    messages: list[Message] = []
    for index, track in enumerate(tracks):
        player = _Player(ROLE_SPECS[track.role], index * turns, turns, fold_octaves, early)
        messages += player.play(track.events, window)
    # sorted() is stable: messages of one track at one frame keep their order.
    return sorted(messages, key=lambda message: message.frame)


def turns_that_fit(tracks: int, turns: int) -> int:
    """How many turns each track gets within the synthesiser's channels."""
    return turns if tracks * turns <= MAX_CHANNELS else 1


class _Player:
    """Deals the notes of one track over the channels that carry the instrument's round robins.

    A key that still sounds is struck again on the channel where it sounds, so that it ends there as it would on one channel. So
    is a piece of the kit that is to cut one that rings: SF2's exclusive classes do not reach other channels.
    """

    def __init__(self, spec: RoleSpec, channel: int, turns: int, fold_octaves: bool, early: int) -> None:
        self._spec = spec
        self._channel = channel
        self._turns = turns
        self._fold = fold_octaves
        self._last: dict[int, int] = {}  # key -> its last turn
        self._held: Counter[int] = Counter()  # folded octaves may hold one key more than once
        self._ringing: set[int] = set()  # keys that are up and sound by a pedal
        self._open: dict[int, int] = {}  # ringing piece of the kit that nothing has cut yet -> its turn
        self._pedals: set[int] = set()
        self._glide_from: ScoreEvent | None = None
        self._wheel = _Wheel()
        self._early = early

    def play(self, events: Sequence[ScoreEvent], window: Window) -> Iterator[Message]:
        end_s = window.end_s if window.cut else math.inf  # what is told behind the last note shapes how it rings on
        for event in events:
            frame = _grid_frame(min(max(event.time_s, window.start_s), end_s) - window.start_s) - self._early
            if event.kind == "on":
                if window.start_s <= event.time_s < end_s:
                    yield from self._strike(frame, event)
            elif event.kind == "off":
                yield from self._let_go(frame, event)
            elif event.time_s <= end_s:
                yield from self._tell(frame, event)
        if events and events[-1].time_s > end_s:
            yield from self._lift_pedals(_grid_frame(end_s - window.start_s))

    def _lift_pedals(self, frame: int) -> Iterator[Message]:
        """Where the window cuts the score, what the pedals hold would sound on. (A score may end with a pedal down.)"""
        for pedal in sorted(self._pedals & {_SUSTAIN, _SOSTENUTO}):
            yield from self._tell(frame, ScoreEvent(0.0, "cc", pedal, 0))

    def _strike(self, frame: int, event: ScoreEvent) -> Iterator[Message]:
        key = self._key(event.number)
        turn = self._turn(key)
        self._last[key] = turn
        self._held[key] += 1
        self._ringing.discard(key)
        if self._glide_from:  # the next note alone begins at its key, on whichever turn that is
            yield Message(frame, self._channel + turn, *self._glide_from[1:])
            self._glide_from = None
        velocity = max(1, round(event.value * SOFT_PEDAL)) if _SOFT in self._pedals else event.value
        yield Message(frame, self._channel + turn, "on", key, velocity)

    def _turn(self, key: int) -> int:
        """Which round robin plays a key that is struck."""
        last = self._last.get(key, self._turns - 1)
        turn = last if self._held[key] or key in self._ringing else (last + 1) % self._turns
        ringing = _RINGING.get(key) if self._spec.bank == DRUM_BANK else None
        if ringing is None:
            return turn
        turn = self._open.pop(ringing, turn)
        if key == ringing:
            self._open[key] = turn
        return turn

    def _let_go(self, frame: int, event: ScoreEvent) -> Iterator[Message]:
        key = self._key(event.number)
        if not self._held[key]:
            return
        self._held[key] -= 1
        if not self._held[key]:
            held = bool(self._pedals & {_SUSTAIN, _SOSTENUTO})
            if held:
                self._ringing.add(key)
            yield Message(frame, self._channel + self._last[key], "off", key, HELD if held else 0)

    def _tell(self, frame: int, event: ScoreEvent) -> Iterator[Message]:
        if event.kind == "cc":
            if event.number in _MODES:
                # Omni, mono and poly end all notes and else mean nothing to a track that has its channels for itself;
                # FluidSynth would take mono as an order to shut the channels behind.
                event = event._replace(number=_NOTES_OFF)
            if event.number == _SOSTENUTO and (event.value >= 64) == (_SOSTENUTO in self._pedals):
                return  # FluidSynth would catch what was struck since the pedal went down
            self._follow(event.number, event.value)
            if event.number in _UNTOLD:
                return
            if event.number == _PORTAMENTO_FROM:
                self._glide_from = event
                return
        for told in self._wheel.answer(event):
            number = self._key(told.number) if told.kind == "key_pressure" else told.number
            for turn in range(self._turns):
                yield Message(frame, self._channel + turn, told.kind, number, told.value)

    def _follow(self, controller: int, value: int) -> None:
        """Keep in mind which pedals are down and which keys sound."""
        if controller in (_SUSTAIN, _SOSTENUTO, _SOFT):
            (self._pedals.add if value >= 64 else self._pedals.discard)(controller)
        elif controller == _RESET:
            self._pedals.clear()
        elif controller in (_SOUND_OFF, _NOTES_OFF):
            self._ringing.update(key for key, count in self._held.items() if count)
            self._held.clear()
        if controller == _SOUND_OFF or not self._pedals & {_SUSTAIN, _SOSTENUTO}:
            self._ringing.clear()

    def _key(self, key: int) -> int:
        if self._spec.bank == DRUM_BANK:
            return _DRUM_SUBSTITUTES.get(key, min(max(key, self._spec.lo_key), self._spec.hi_key))
        if self._fold:
            key += 12 * max(0, -(-(self._spec.lo_key - key) // 12)) - 12 * max(0, -(-(key - self._spec.hi_key) // 12))
        return key


class _Wheel:
    """The pitch wheel of a track, its range in semitones (registered parameter 0) and the channel's tuning (1 and 2).

    SoundFont 2's wheel reaches 127/128 of its range (2.04, 8.4.10): of twelve semitones ten cents are missing. So a range that
    a score asks for is set one semitone wider, and the wheel is turned less. A reset of all controllers leaves range and
    tuning as they are (RP-015), where FluidSynth forgets the tuning: it is told again.
    """

    def __init__(self) -> None:
        self._parameter = dict.fromkeys(_REGISTERED, 127)
        self._is_registered = False
        self._semitones, self._cents, self._bend = 2, 0, 0
        self._wide: int | None = None  # the range that was set; None as long as the score sets none
        self._tuning: dict[tuple[int, int], int] = {}  # registered parameter and data controller -> value

    def answer(self, event: ScoreEvent) -> list[ScoreEvent]:
        """What the synthesiser is told instead of an event of the score."""
        if event.kind == "bend":
            self._bend = event.value
            return [self._turned(event)]
        if event.kind == "cc":
            return self._follow(event)
        return [event]

    def _follow(self, event: ScoreEvent) -> list[ScoreEvent]:
        if event.number in _REGISTERED:
            self._parameter[event.number] = event.value
            self._is_registered = True
        elif event.number in UNREGISTERED:
            self._is_registered = False
        elif event.number == _RESET:
            self._parameter = dict.fromkeys(_REGISTERED, 127)
            self._bend = 0
            return [event, *self._tuned(event)]
        elif event.number in (_DATA, _DATA_FINE) and self._is_registered:
            return self._set(event)
        return [event]

    def _set(self, event: ScoreEvent) -> list[ScoreEvent]:
        """Take a value of the parameter that is chosen."""
        parameter = tuple(self._parameter[number] for number in _REGISTERED)
        if parameter in _TUNING:
            self._tuning[parameter[0], event.number] = event.value
        if any(parameter):
            return [event]
        if event.number == _DATA:
            self._semitones = event.value
        else:
            self._cents = min(event.value, 99)
        self._wide = min(127, self._semitones + 1)
        wider = event._replace(number=_DATA, value=self._wide)
        return [wider, self._turned(ScoreEvent(event.time_s, "bend", 0, self._bend))]

    def _tuned(self, event: ScoreEvent) -> list[ScoreEvent]:
        """The tuning told again, and no parameter chosen in the end."""
        if not self._tuning:
            return []
        rows = [row for (low, data), value in self._tuning.items() for row in ((101, 0), (100, low), (data, value))]
        return [event._replace(number=number, value=value) for number, value in (*rows, (101, 127), (100, 127))]

    def _turned(self, event: ScoreEvent) -> ScoreEvent:
        if self._wide is None:
            return event
        value = round(event.value * (self._semitones + 0.01 * self._cents) / self._wide * 128 / 127)
        return event._replace(value=max(-8192, min(8191, value)))


def on_grid(frames: float) -> int:
    """The nearest frame of the grid."""
    return round(frames / GRID_FRAMES) * GRID_FRAMES


def _grid_frame(time_s: float) -> int:
    return on_grid(time_s * SAMPLE_RATE)
