"""Instrument + Score -> stems: FluidSynth through pyfluidsynth, one synthesiser per role, streamed to disk in blocks."""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache, partial
from heapq import heappop, heappush
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.audio import SAMPLE_RATE, Audio, Samples
from core.errors import EngineError, InstrumentError
from core.manifest import sha256_bytes, sha256_json
from phase2_music.instruments.roles import ROLE_SPECS
from phase2_music.rendering.metering import BATCH_FRAMES, StemMeasure, StemMeter
from phase2_music.rendering.performance import GRID_FRAMES, HELD, UNREGISTERED, Message
from schemas.document import Role

_STEM_VERSION = 3  # raised when the same messages come to sound otherwise
_MAX_TAIL_S = 12.0
_POLYPHONY = 512
_GAIN = 0.5
# 4th order, FluidSynth's own default. A bright sample played a semitone off its root gets images 37 to 45 dB below it, with 7th
# order none; that takes a third longer, and the samples' own grain lies higher.
_INTERPOLATION = 4
_BLOCK_FRAMES = math.lcm(GRID_FRAMES, BATCH_FRAMES)
_TAIL_FRAMES = 32 * GRID_FRAMES
# A note that has faded to so far below the loudest one is ended, where SFZ players stop at -78 dB of its own level: what is
# left lies under the twelfth bit. FluidSynth goes on to -96 dB, which would be a sixth of its work.
_FADED_DB = 72.0
_LEAST_FALL_DB = 30.0
_NOTE_VOICES = 8  # two velocity layers in stereo are four
_RELEASE = 38  # generator of the volume envelope's release (SoundFont 2.04, 8.1.2), in timecents
_AT_ONCE = -12000.0

# The first synthesiser of a process fills FluidSynth's tables and does not make others wait: a second one that is made
# meanwhile may find no modulators there and play at another level.
_MAKING = threading.Lock()

# FluidSynth's functions that pyfluidsynth leaves out, with their arguments.
_MISSING_FUNCTIONS = {
    "fluid_synth_write_float": "synth frames lout loff lincr rout roff rincr",
    "fluid_synth_set_interp_method": "synth channel method",
    "fluid_synth_channel_pressure": "synth channel value",
    "fluid_synth_key_pressure": "synth channel key value",
    "fluid_synth_get_voicelist": "synth voices most note",
    "fluid_voice_is_on": "voice",
    "fluid_voice_gen_set": "voice generator amount",
    "fluid_voice_update_param": "voice generator",
}
_TYPES = dict.fromkeys(("synth", "lout", "rout", "voices", "voice"), ctypes.c_void_p) | {"amount": ctypes.c_float}


_Send = Callable[[int, int, int], object]
"""Tells a synthesiser a message's channel, number and value."""


@dataclass(frozen=True)
class StemRequest:
    """One role's part: its SF2, how many tracks play it on how many channels each (`turns`), what they play, where it goes.

    The messages may begin at frame -`lead_frames`; the stem begins at 0. `release_s` is the instrument's (-60 dB).
    """

    role: Role
    sf2: Path
    tracks: int
    turns: int
    messages: Sequence[Message]
    out: Path
    lead_frames: int = 0
    release_s: float = math.inf

    def key(self, sf2_sha256: str) -> str:
        """Hash of all that the stem depends on."""
        kinds = {kind: number for number, kind in enumerate(sorted({message.kind for message in self.messages}))}
        rows = np.array([(*m[:2], kinds[m.kind], *m[3:]) for m in self.messages], dtype=np.int64)
        settings = [_POLYPHONY, _GAIN, _INTERPOLATION, _MAX_TAIL_S, _FADED_DB, library_version()]
        channels = [self.tracks, self.turns, self.lead_frames, str(self.release_s)]
        part = [self.role, sf2_sha256, *channels, list(kinds), sha256_bytes(rows.tobytes())]
        return sha256_json([_STEM_VERSION, *settings, *part])


def render_stems(requests: Sequence[StemRequest]) -> dict[Role, StemMeasure]:
    """Render raw stems (32-bit float, stereo, 44.1 kHz), side by side on the cores; notes ring out behind the window.

    Gives what was measured of each on the way.

    Raises:
        InstrumentError: an SF2 cannot be loaded.
        EngineError: libfluidsynth is not installed.
    """
    _library()
    # ctypes lets go of the interpreter while FluidSynth computes, so threads use both cores; the longest part goes first.
    ordered = sorted(requests, key=lambda request: -len(request.messages))
    with ThreadPoolExecutor(max_workers=max(1, min(len(requests), os.cpu_count() or 1))) as pool:
        measures = list(pool.map(render_stem, ordered))
    return {request.role: measure for request, measure in zip(ordered, measures, strict=True)}


def render_stem(request: StemRequest) -> StemMeasure:
    """Render one role's part to a file, and measure it.

    Raises:
        InstrumentError: its SF2 cannot be loaded.
        EngineError: libfluidsynth is not installed.
    """
    meter = StemMeter()
    with _synth(request.sf2, request.role, request.tracks, request.turns) as synth, request.out.open("wb") as file:
        for block in _play(synth, request.messages, request.lead_frames, request.release_s):
            file.write(block.data)
            meter.add(block)
    return meter.measure()


def _play(synth: Any, messages: Sequence[Message], lead_frames: int, release_s: float = math.inf) -> Iterator[Samples]:
    """Blocks of shape (frames, 2): the notes, then the tail. Each block is overwritten by the next."""
    block: Samples = np.zeros((lead_frames + _BLOCK_FRAMES, 2), dtype=np.float32)
    # A score can reach all generators by unregistered parameters, and so the release.
    own = any(message.kind == "cc" and message.number in UNREGISTERED for message in messages)
    loudest = max((message.value for message in messages if message.kind == "on"), default=127)
    faded = _FadedNotes(synth, math.inf if own else release_s, loudest)
    fill, send = _filler(synth, block), _sender(synth, faded)
    notes = next((n for n in range(len(messages), 0, -1) if messages[n - 1].kind in ("on", "off")), 0)
    now, filled = -lead_frames, 0
    for frame, channel, kind, number, value in messages[:notes]:
        while now < frame:
            frames = min(len(block) - filled, frame - now)
            fill(filled, frames)
            now, filled = now + frames, filled + frames
            if filled == len(block):
                yield block[lead_frames:]
                filled = lead_frames
            faded.end(now)
        send[kind](channel, number, value)
    yield block[lead_frames : max(lead_frames, filled)]
    yield from _tail(synth, deque(messages[notes:]), now, send)


def _tail(synth: Any, told: deque[Message], now: int, send: Mapping[str, _Send]) -> Iterator[Samples]:
    """What rings on after the last note, with what is told meanwhile; at most `_MAX_TAIL_S`, faded at its end."""
    end = now + round(_MAX_TAIL_S * SAMPLE_RATE / _TAIL_FRAMES) * _TAIL_FRAMES
    while now < end and _voices(synth):
        while told and told[0].frame <= now:
            _, channel, kind, number, value = told.popleft()
            send[kind](channel, number, value)
        until = min(now + _TAIL_FRAMES, told[0].frame if told else end, end)
        block = _samples(synth, until - now)
        block *= np.clip((end - np.arange(now, until, dtype=np.float32)) / _TAIL_FRAMES, 0.0, 1.0)[:, None]
        yield block
        now = until


class _FadedNotes:
    """Ends notes whose release can hardly be heard any more: `_FADED_DB` below the loudest note of the part.

    FluidSynth numbers notes as they are struck and finds a note's voices by its number; what a voice is told it takes in with
    the next message.
    """

    def __init__(self, synth: Any, release_s: float, loudest: int) -> None:
        self._synth, self._library = synth.synth, _library()
        self._after = [_fall_frames(release_s, velocity, loudest) for velocity in range(128)]
        self._now = self._struck = 0
        self._sounding: dict[tuple[int, int], tuple[int, int]] = {}  # number and velocity by channel and key
        self._released: list[tuple[float, int]] = []  # a heap: when it has faded, and its number
        self._voices = (ctypes.c_void_p * _NOTE_VOICES)()

    def strike(self, channel: int, key: int, velocity: int) -> None:
        """Follow a note that was struck."""
        self._sounding[channel, key] = (self._struck, velocity)
        self._struck += 1

    def let_go(self, channel: int, key: int, held: int) -> None:
        """Follow a key that went up; a note that a pedal holds is left to FluidSynth."""
        if held != HELD:
            number, velocity = self._sounding[channel, key]
            heappush(self._released, (self._now + self._after[velocity], number))

    def end(self, now: int) -> None:
        """End what has faded by this frame, which the next messages belong to."""
        self._now = now
        library, released = self._library, self._released
        while released and released[0][0] <= now:
            library.fluid_synth_get_voicelist(
                self._synth, ctypes.addressof(self._voices), _NOTE_VOICES, heappop(released)[1]
            )
            for voice in self._voices:
                if voice is None or library.fluid_voice_is_on(voice):
                    break
                library.fluid_voice_gen_set(voice, _RELEASE, _AT_ONCE)
                library.fluid_voice_update_param(voice, _RELEASE)


def _fall_frames(release_s: float, velocity: int, loudest: int) -> float:
    """How long a note's release takes to fall to `_FADED_DB` below the loudest one, by SoundFont 2's curve of velocities."""
    below_db = 40.0 * math.log10(loudest / max(1, velocity))
    return release_s * max(_LEAST_FALL_DB, _FADED_DB - below_db) / 60.0 * SAMPLE_RATE


def _sender(synth: Any, faded: _FadedNotes) -> Mapping[str, _Send]:
    """For each kind of message what tells it to a synthesiser."""
    library, pointer = _library(), synth.synth

    def strike(channel: int, key: int, velocity: int) -> None:
        library.fluid_synth_noteon(pointer, channel, key, velocity)
        faded.strike(channel, key, velocity)

    def let_go(channel: int, key: int, held: int) -> None:
        library.fluid_synth_noteoff(pointer, channel, key)
        faded.let_go(channel, key, held)

    return {
        "on": strike,
        "off": let_go,
        "cc": partial(library.fluid_synth_cc, pointer),
        "bend": lambda channel, _, value: library.fluid_synth_pitch_bend(pointer, channel, value + 8192),
        "pressure": lambda channel, _, value: library.fluid_synth_channel_pressure(pointer, channel, value),
        "key_pressure": partial(library.fluid_synth_key_pressure, pointer),
    }


@cache
def _library() -> Any:
    """pyfluidsynth, with the C functions that it leaves out.

    Raises:
        EngineError: the C library is not installed.
    """
    try:
        with redirect_stdout(StringIO()):  # pyfluidsynth prints where it found its library when CI is set
            import fluidsynth
    except (ImportError, OSError) as error:
        raise EngineError(
            "FluidSynth's library is not installed: run `apt-get install libfluidsynth3` (Debian, Ubuntu) or "
            "`brew install fluid-synth` (macOS)"
        ) from error
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    for name, arguments in _MISSING_FUNCTIONS.items():
        types = [(each, _TYPES.get(each, integer), 1) for each in arguments.split()]
        setattr(fluidsynth, name, fluidsynth.cfunc(name, integer, *types))
    set_log = fluidsynth.cfunc(
        "fluid_set_log_function", pointer, ("level", integer, 1), ("fun", pointer, 1), ("data", pointer, 1)
    )
    # It would write to standard error by itself; what matters comes back as a return value.
    for level in range(5):
        set_log(level, None, None)
    return fluidsynth


def library_version() -> str:
    """Version of the FluidSynth library that plays here.

    Raises:
        EngineError: the C library is not installed.
    """
    parts = [ctypes.c_int() for _ in range(3)]
    _library().fluid_version(*map(ctypes.byref, parts))
    return ".".join(str(part.value) for part in parts)


@contextmanager
def _synth(sf2: Path, role: Role, tracks: int, turns: int) -> Iterator[Any]:
    """A synthesiser whose channel t * turns + r plays round robin r of the instrument."""
    with _opened(sf2, [ROLE_SPECS[role].preset(channel % turns + 1) for channel in range(tracks * turns)]) as synth:
        yield synth


@contextmanager
def _opened(sf2: Path, presets: Sequence[tuple[int, int]]) -> Iterator[Any]:
    """A synthesiser whose channels play the presets (bank, program) of an SF2, in this order."""
    settings = {
        "synth.reverb.active": 0,
        "synth.chorus.active": 0,
        "synth.polyphony": _POLYPHONY,
        "synth.cpu-cores": 1,
        "synth.threadsafe-api": 0,
        "synth.lock-memory": 0,
    }
    channels = -(-len(presets) // 16) * 16  # FluidSynth has them by sixteens
    with _MAKING:
        library = _library()
        synth = library.Synth(gain=_GAIN, samplerate=float(SAMPLE_RATE), channels=channels, **settings)
    try:
        library.fluid_synth_set_interp_method(synth.synth, -1, _INTERPOLATION)
        font = synth.sfload(str(sf2)) if _is_sf2(sf2) else -1
        if font < 0:
            raise InstrumentError(f"{sf2}: not an SF2 that FluidSynth loads: build the instrument again")
        for channel, (bank, program) in enumerate(presets):
            if synth.program_select(channel, font, bank, program) != 0:
                raise InstrumentError(f"{sf2}: has no preset {program} in bank {bank}: build the instrument again")
        yield synth
    finally:
        synth.delete()


def _is_sf2(path: Path) -> bool:
    """Whether a file begins as an SF2 does: anything else would go to a DLS reader that writes to standard error."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"sfbk"


def _filler(synth: Any, block: Samples) -> Callable[[int, int], None]:
    """What computes the next frames into a block of shape (frames, 2): from which of its frames on, and how many."""
    write, pointer, address = _library().fluid_synth_write_float, synth.synth, block.ctypes.data

    def fill(start: int, frames: int) -> None:
        write(pointer, frames, address, 2 * start, 2, address, 2 * start + 1, 2)

    return fill


def _samples(synth: Any, frames: int) -> Samples:
    """The next frames, shape (frames, 2)."""
    block: Samples = np.zeros((frames, 2), dtype=np.float32)
    _filler(synth, block)(0, frames)
    return block


def _voices(synth: Any) -> int:
    return int(_library().fluid_synth_get_active_voice_count(synth.synth))


def play_keys(
    sf2: Path,
    role: Role,
    keys: Iterable[int],
    *,
    seconds: float,
    velocity: int = 100,
    hold_s: float | None = None,
    then: int | None = None,
    after_s: float = 0.0,
) -> Iterator[tuple[int, Samples]]:
    """Play keys one by one and give each with its sound, left channel, shape (frames,): how instruments are measured.

    A key is held for `hold_s` (the whole of `seconds` by default); `then` is a key struck `after_s` later.

    Raises:
        InstrumentError: the SF2 cannot be loaded.
        EngineError: libfluidsynth is not installed.
    """
    for key in keys:
        with _synth(sf2, role, 1, 1) as synth:
            moments = sorted(
                {round(t * SAMPLE_RATE) for t in (0.0, hold_s or seconds, after_s, seconds) if t <= seconds}
            )
            pieces = []
            synth.noteon(0, key, velocity)
            for start, end in pairwise(moments):
                if hold_s is not None and start == round(hold_s * SAMPLE_RATE):
                    synth.noteoff(0, key)
                if then is not None and start == round(after_s * SAMPLE_RATE):
                    synth.noteon(0, then, velocity)
                pieces.append(_samples(synth, end - start)[:, 0])
            yield key, np.concatenate(pieces)


class Struck(NamedTuple):
    """A single note: MIDI key and velocity, how long it is held and how long it is heard, in frames at 44.1 kHz."""

    key: int
    velocity: int
    held: int
    frames: int


def play_program(sf2: Path, program: int, notes: Iterable[Struck]) -> Iterator[Audio]:
    """Play single notes of a General MIDI soundfont's melodic program, each into silence, in mono.

    Lengths are rounded up to 64 frames. The same notes in the same order give the same samples; in another order they
    may differ by some 50 dB below their peak, because FluidSynth's voices keep traces of what they played.

    Raises:
        InstrumentError: the soundfont cannot be loaded or lacks the program.
        EngineError: libfluidsynth is not installed.
    """
    with _opened(sf2, [(0, program)]) as synth:
        for note in notes:
            synth.noteon(0, note.key, note.velocity)
            held = _samples(synth, _on_grid(note.held))
            synth.noteoff(0, note.key)
            rest = _samples(synth, _on_grid(note.frames) - len(held))
            yield Audio(np.concatenate([held, rest]).mean(axis=1, dtype=np.float32), SAMPLE_RATE)
            synth.all_sounds_off(0)
            _samples(synth, GRID_FRAMES)


def _on_grid(frames: int) -> int:
    return -(-frames // GRID_FRAMES) * GRID_FRAMES
