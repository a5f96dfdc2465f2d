"""Instrument + Score -> stems: FluidSynth through pyfluidsynth, one synthesiser per role, streamed to disk in blocks."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from core.audio import SAMPLE_RATE, Samples, sound_file_errors
from core.errors import EngineError, InstrumentError
from phase2_music.instruments.roles import ROLE_SPECS
from phase2_music.rendering.score import Score, ScoreEvent, Track
from schemas.document import Role

GRID_FRAMES = 64
"""FluidSynth computes 64 frames at a time and takes events between: they fall on this grid, at most 0.73 ms off."""

_MAX_TAIL_S = 12.0
_POLYPHONY = 512
_INTERPOLATION_7TH_ORDER = 7
_BLOCK_FRAMES = 256 * GRID_FRAMES


@dataclass(frozen=True)
class StemRequest:
    """One role's part: its SF2, the tracks that it plays, the window of the score in seconds, and where the stem goes."""

    role: Role
    sf2: Path
    tracks: tuple[Track, ...]
    start_s: float
    end_s: float
    out: Path


def render_stems(
    score: Score, sf2_files: dict[Role, Path], folder: Path, start_s: float, end_s: float
) -> dict[Role, Path]:
    """Render a raw stem (32-bit float, stereo, 44.1 kHz) for each role of the score, side by side on the cores.

    The window from `start_s` to `end_s` (seconds of the score) is played; notes ring out behind it.

    Raises:
        InstrumentError: a role of the score has no instrument, or its SF2 cannot be loaded.
        EngineError: libfluidsynth is not installed.
    """
    requests = []
    for role in score.roles:
        if role not in sf2_files:
            raise InstrumentError(f"the score needs {role}, and the band has none: build one or use another score")
        tracks = tuple(track for track in score.tracks if track.role == role)
        requests.append(StemRequest(role, sf2_files[role], tracks, start_s, end_s, folder / f"{role}.wav"))
    _library()
    # ctypes lets go of the interpreter while FluidSynth computes, so threads use both cores.
    with ThreadPoolExecutor(max_workers=min(len(requests), os.cpu_count() or 1)) as pool:
        list(pool.map(render_stem, requests))
    return {request.role: request.out for request in requests}


def render_stem(request: StemRequest) -> None:
    """Render one role's part to a file."""
    with (
        _synth(request.sf2, request.role, len(request.tracks)) as synth,
        sound_file_errors(),
        soundfile.SoundFile(request.out, "w", SAMPLE_RATE, 2, "FLOAT", format="WAV") as file,
    ):
        for block in _play(synth, request):
            file.write(block)


def _play(synth: Any, request: StemRequest) -> Iterator[Samples]:
    """Blocks of shape (frames, 2): the window, then the tail until nothing sounds."""
    now = 0
    for frame, channel, event in _timeline(request.tracks, request.start_s, request.end_s):
        while now < frame:
            frames = min(_BLOCK_FRAMES, frame - now)
            yield _samples(synth, frames)
            now += frames
        _send(synth, channel, event)
    limit = now + round(_MAX_TAIL_S * SAMPLE_RATE / GRID_FRAMES) * GRID_FRAMES
    while now < limit and _voices(synth):
        frames = min(_BLOCK_FRAMES // 8, limit - now)
        block = _samples(synth, frames)
        now += frames
        if now >= limit:
            block *= np.linspace(1.0, 0.0, len(block), dtype=np.float32)[:, None]
        yield block


def _timeline(tracks: Sequence[Track], start_s: float, end_s: float) -> list[tuple[int, int, ScoreEvent]]:
    """Events of all tracks as (frame on the grid, channel, event), in playing order.

    Controllers before the window are sent at its start, so a preview from the middle sounds as the middle does.
    """
    timeline = []
    for channel, track in enumerate(tracks):
        begun: set[int] = set()
        for event in track.events:
            if event.kind == "on" and start_s <= event.time_s < end_s:
                begun.add(event.number)
            elif event.kind == "on" or (event.kind == "off" and event.number not in begun):
                continue
            time_s = min(max(event.time_s, start_s), end_s) - start_s
            frame = round(time_s * SAMPLE_RATE / GRID_FRAMES) * GRID_FRAMES
            timeline.append((frame, channel, event))
    # sorted() is stable: events of one track at one time keep their order.
    return sorted(timeline, key=lambda item: item[0])


def _send(synth: Any, channel: int, event: ScoreEvent) -> None:
    if event.kind == "on":
        synth.noteon(channel, event.number, event.value)
    elif event.kind == "off":
        synth.noteoff(channel, event.number)
    elif event.kind == "cc":
        synth.cc(channel, event.number, event.value)
    else:
        synth.pitch_bend(channel, event.value)


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
    if not hasattr(fluidsynth, "fluid_synth_write_float"):
        pointer, integer = ctypes.c_void_p, ctypes.c_int
        fluidsynth.fluid_synth_write_float = fluidsynth.cfunc(
            "fluid_synth_write_float", integer, ("synth", pointer, 1), ("len", integer, 1), ("lout", pointer, 1),
            ("loff", integer, 1), ("lincr", integer, 1), ("rout", pointer, 1), ("roff", integer, 1), ("rincr", integer, 1),
        )  # fmt: skip
        fluidsynth.fluid_synth_set_interp_method = fluidsynth.cfunc(
            "fluid_synth_set_interp_method",
            integer,
            ("synth", pointer, 1),
            ("chan", integer, 1),
            ("method", integer, 1),
        )
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
def _synth(sf2: Path, role: Role, channels: int) -> Iterator[Any]:
    library = _library()
    settings = {
        "synth.reverb.active": 0,
        "synth.chorus.active": 0,
        "synth.polyphony": _POLYPHONY,
        "synth.cpu-cores": 1,
        "synth.threadsafe-api": 0,
    }
    synth = library.Synth(gain=0.5, samplerate=float(SAMPLE_RATE), channels=max(16, channels), **settings)
    try:
        library.fluid_synth_set_interp_method(synth.synth, -1, _INTERPOLATION_7TH_ORDER)
        font = synth.sfload(str(sf2)) if _is_sf2(sf2) else -1
        if font < 0:
            raise InstrumentError(f"{sf2}: not an SF2 that FluidSynth loads: build the instrument again")
        spec = ROLE_SPECS[role]
        for channel in range(channels):
            synth.program_select(channel, font, spec.bank, spec.program)
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


def _samples(synth: Any, frames: int) -> Samples:
    """The next frames, shape (frames, 2)."""
    block: Samples = np.zeros((frames, 2), dtype=np.float32)
    _library().fluid_synth_write_float(synth.synth, frames, block.ctypes.data, 0, 2, block.ctypes.data, 1, 2)
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
        with _synth(sf2, role, 1) as synth:
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
