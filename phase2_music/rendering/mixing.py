"""Raw stems -> mastered stems, reverb and song.

Two passes over blocks, so memory does not grow with the song. The first levels, pans and filters each stem, adds the room and
measures their sum; the second puts one gain curve over all of them and writes. Filter and curve are the same for every part and
each part is rounded to 24 bits before they are added: stems and reverb sum to the song, bit for bit.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from core.audio import Samples
from core.errors import ScoreError
from core.loudness import EDGE_FRAMES, from_db, peaks_between
from core.manifest import TEMPORARY_PREFIX
from phase2_music.instruments.roles import ROLE_SPECS
from phase2_music.rendering.convolution import Convolver
from phase2_music.rendering.dynamics import (
    BLOCK_FRAMES,
    MAX_GLUE_DB,
    MAX_REDUCTION_DB,
    BusMeasure,
    MasterGain,
    master_gain,
)
from phase2_music.rendering.encoding import (
    FULL_SCALE,
    LOSSY_HEADROOM_DB,
    LOSSY_SUFFIXES,
    RAW_SUFFIX,
    FileFormat,
    Frames24,
    Read,
    Write,
    encode_lossy,
    frames_of,
    open_raw,
    open_writer,
    read_blocks,
    write_whole,
)
from phase2_music.rendering.metering import (
    BAND_HZ,
    BATCH_FRAMES,
    HOP_FRAMES,
    SongMeter,
    StemMeasure,
    StemMeter,
)
from phase2_music.rendering.reverb import Room, room_impulse
from phase2_music.rendering.tone import Levels, minimum_phase, stem_tone, tone_correction
from schemas.document import Role

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_CHUNK_FRAMES = BATCH_FRAMES  # what is worked on at a time
_ROOM_FRAMES = 4 * HOP_FRAMES  # the room's convolution steps by this much,
_TONE_FRAMES = 2 * HOP_FRAMES  # and the tone correction by this
_MAX_GAIN_DB = 40.0
_PEAK_MARGIN_DB = 0.05
# How far levels make up for the tone correction. Wholly, a bright role would be turned up for the highs that were just taken
# out of it, and the mix were as bright as before; not at all, the roles would lie 10 LU apart.
_TONE_SHARE = 0.3
_MAX_SPREAD_LU = 9.0
# Low and loud things belong to the middle: how far a role follows its source's place in the picture.
_PAN_WIDTH: dict[Role, float] = {"keyboard": 0.7, "bass": 0.15, "guitar": 0.7, "drums": 0.25}
_ROOM_SEND: dict[str, float] = {"keyboard": 1.0, "bass": 0.25, "guitar": 1.0, "drums": 1.0}


@dataclass(frozen=True)
class MixOptions:
    """How stems become a mix.

    Target in LUFS, ceiling in dBTP; `openness` of the scene from 0 (a small dry room) to 1 (a wide open place) makes the
    room; `dry` leaves it out; `stems_only` writes no song. `file_format` is the song's; stems are FLAC beside FLAC, else WAV.
    """

    loudness_lufs: float = -14.0
    ceiling_dbtp: float = -1.0
    openness: float = 0.5
    dry: bool = False
    stems_only: bool = False
    file_format: FileFormat = "wav"


@dataclass(frozen=True)
class StemLevel:
    """What was done to a stem: gain in dB and pan -1..1."""

    gain_db: float
    pan: float


@dataclass(frozen=True)
class Mix:
    """What was done and measured.

    Loudness and peak are those of the file (decoded where it is lossy, else those of the sum under its gain: within 0.02 LU and
    0.01 dB of what a meter reads from the file); `reduction_db` is the most that the limiter took
    away; `tone_db` the correction of each third octave of `metering.BAND_HZ`; `room_s` the room's T60, None without one.
    """

    frames: int
    loudness_lufs: float
    true_peak_dbtp: float
    levels: dict[Role, StemLevel]
    reduction_db: float
    tone_db: tuple[float, ...]
    room_s: float | None
    warnings: tuple[str, ...]


def measure_stem(raw: Path) -> StemMeasure:
    """Measure a raw stem that was not measured while it was rendered."""
    meter = StemMeter()
    for block in read_blocks(raw, _CHUNK_FRAMES):
        meter.add(block)
    return meter.measure()


def mix_stems(
    raw: Mapping[Role, Path],
    pans: Mapping[Role, float],
    out_stems: Mapping[Role, Path],
    out_mix: Path,
    options: MixOptions,
    out_reverb: Path | None = None,
    measures: Mapping[Role, StemMeasure] | None = None,
) -> Mix:
    """Mix and master raw stems (44.1 kHz stereo) into `out_stems`, `out_reverb` and `out_mix`, each by its name's ending.

    `out_mix` is not written with `stems_only`, `out_reverb` not with `dry`. `measures` are what a `StemMeter` found while the
    stems were rendered; what is missing is measured here.

    Raises:
        ScoreError: nothing sounds.
        OSError: a file cannot be written.
    """
    with (
        ThreadPoolExecutor(max_workers=min(len(raw), os.cpu_count() or 1)) as pool,
        tempfile.TemporaryDirectory(dir=out_mix.parent, prefix=TEMPORARY_PREFIX) as scratch,
    ):
        missing = [role for role in raw if role not in (measures or {})]
        found = dict(measures or {}) | dict(
            zip(missing, pool.map(measure_stem, (raw[r] for r in missing)), strict=True)
        )
        plan = _plan({role: found[role] for role in raw}, pans)
        room = None if options.dry else Room.of_openness(options.openness)
        frames = max(map(frames_of, raw.values())) + (room.frames if room else 0)
        bus = _Bus(raw, plan, room, frames, Path(scratch), pool)
        outputs: dict[str, Path] = {**out_stems} | ({"reverb": out_reverb} if room and out_reverb else {})
        mastered = _master(bus, plan, outputs, None if options.stems_only else out_mix, options)
    return Mix(
        frames,
        mastered.loudness_lufs,
        mastered.true_peak_dbtp,
        plan.levels,
        round(mastered.reduction_db, 2),
        tuple(np.round(plan.tone_db, 2).tolist()),
        room.t60_s if room else None,
        _warnings(mastered, options),
    )


def _master(bus: _Bus, plan: _Plan, outputs: Mapping[str, Path], song: Path | None, options: MixOptions) -> MasterGain:
    """Measure the sum, work out its gain and write. Gives the gain, with what was measured of a lossy file."""
    lossy = song is not None and song.suffix in LOSSY_SUFFIXES
    measure = bus.measure(_expected_peak(plan, options))
    ceiling = options.ceiling_dbtp - _PEAK_MARGIN_DB - (LOSSY_HEADROOM_DB if lossy else 0.0)
    gain = master_gain(measure, options.loudness_lufs, ceiling)
    uncoded = bus.scratch / f"song{RAW_SUFFIX}" if lossy else song
    _write(bus, gain, outputs, uncoded)
    if lossy and song and uncoded:
        loudness, peak = encode_lossy(uncoded, song, options.ceiling_dbtp)
        return replace(gain, loudness_lufs=loudness, true_peak_dbtp=peak)
    return gain


def _warnings(mastered: MasterGain, options: MixOptions) -> tuple[str, ...]:
    if mastered.loudness_lufs >= options.loudness_lufs - 0.5:
        return ()
    return (
        f"the song is at {mastered.loudness_lufs:.1f} LUFS, not {options.loudness_lufs:g}: its peaks stand so far out that "
        f"they would have to be lowered by more than {MAX_REDUCTION_DB:g} dB",
    )


def pan_gains(pan: float) -> Samples:
    """Left and right gain of a constant-power pan, 1 and 1 in the middle, shape (2, 1)."""
    angle = (pan + 1.0) * math.pi / 4.0
    return np.array([[math.cos(angle)], [math.sin(angle)]], dtype=np.float32) * np.float32(math.sqrt(2.0))


@dataclass(frozen=True)
class _Plan:
    """Level and pan of each stem, its tone in dB for each band, the sum's own share of it, loudness of the sum in LUFS."""

    levels: dict[Role, StemLevel]
    stem_tones_db: dict[Role, Levels]
    tone_db: Levels
    loudness_lufs: float


def _plan(measures: Mapping[Role, StemMeasure], pans: Mapping[Role, float]) -> _Plan:
    """Levels and tone from the stems' spectra. Each moves the other a little, so both are found in turn."""
    own = {role: _own_tone(role, measure) for role, measure in measures.items()}
    measures = {role: StemMeasure(each.powers * 10.0 ** (own[role] / 10.0)) for role, each in measures.items()}
    tone_db = np.zeros(len(BAND_HZ))
    for _ in range(3):
        gains = _gains_db(measures, tone_db)
        total = _sum_of_powers(measures, gains)
        if measures.keys() - {"drums"}:  # a kit alone keeps its own tone: there is no line for it to follow
            tone_db = tone_correction(total.mean(axis=0))
    corrected = StemMeasure(np.asarray(total * 10.0 ** (tone_db / 10.0)))
    lufs = corrected.loudness_lufs()
    if not math.isfinite(lufs):
        raise ScoreError("the song is silent: its notes have no velocity or its channels no volume")
    levels = {r: StemLevel(round(g, 3), round(pans.get(r, 0.0) * _PAN_WIDTH[r], 3)) for r, g in gains.items()}
    return _Plan(levels, {role: tone + tone_db for role, tone in own.items()}, tone_db, lufs)


def _own_tone(role: Role, measure: StemMeasure) -> Levels:
    """A stem's own part of its tone; drums are bright by right."""
    if role == "drums" or not len(measure.powers):
        return np.zeros(len(BAND_HZ))
    return stem_tone(np.asarray(measure.powers.mean(axis=0), dtype=np.float64))


def _gains_db(measures: Mapping[Role, StemMeasure], tone_db: Levels) -> dict[Role, float]:
    """Gain of each stem in dB: its role's loudness, and no further than `_MAX_SPREAD_LU` below the loudest in the end."""
    gains, loudness = {}, {}
    for role, measure in measures.items():
        before = measure.loudness_lufs(10.0 ** (_TONE_SHARE * tone_db / 20.0))
        gains[role] = min(_MAX_GAIN_DB, ROLE_SPECS[role].mix_lufs - before) if math.isfinite(before) else 0.0
        loudness[role] = measure.loudness_lufs(10.0 ** (tone_db / 20.0)) + gains[role]
    floor = max(loudness.values()) - _MAX_SPREAD_LU
    return {
        role: min(_MAX_GAIN_DB, gain + max(0.0, floor - loudness[role])) if math.isfinite(loudness[role]) else gain
        for role, gain in gains.items()
    }


def _sum_of_powers(measures: Mapping[Role, StemMeasure], gains_db: Mapping[Role, float]) -> Levels:
    hops = max(4, *(len(measure.powers) for measure in measures.values()))
    total = np.zeros((hops, len(BAND_HZ)))
    for role, measure in measures.items():
        total[: len(measure.powers)] += measure.powers * 10.0 ** (gains_db[role] / 10.0)
    return total


def _expected_peak(plan: _Plan, options: MixOptions) -> float:
    """Amplitude of the sum that the ceiling will be at, or less: below it, peaks between samples do not matter."""
    return from_db(options.ceiling_dbtp - (options.loudness_lufs - plan.loudness_lufs) - 6.0)


_Blocks = tuple[Samples, Samples]
"""A part's next chunk, interleaved, shape (blocks, 2 BLOCK_FRAMES), and each block's largest sample, shape (blocks,)."""
_Answer = Callable[[Samples], Samples]
"""What goes into the room, mono, shape (frames,) -> its answer, shape (blocks, 2 BLOCK_FRAMES)."""


class _Part:
    """A raw stem on its way: read, levelled, panned and filtered, and kept for the second pass."""

    def __init__(self, read: Read, level: StemLevel, tone: Samples, kept: Any) -> None:
        self._read, self._kept = read, kept
        self._gains = np.tile(pan_gains(level.pan)[:, 0] * np.float32(from_db(level.gain_db)), _TONE_FRAMES)
        self._tone = Convolver(tone, _TONE_FRAMES)

    def next(self, frames: int) -> _Blocks:
        """The next frames."""
        self._read(self._tone.begin(frames))
        blocks = np.multiply(self._tone.end(), self._gains).reshape(-1, 2 * BLOCK_FRAMES)
        write_whole(self._kept, blocks.data.cast("B"))
        return blocks, _block_peaks(blocks)


class _Bus:
    """The stems and their room before the gain curve: made in the first pass, and kept on disk for the second."""

    def __init__(
        self, raw: Mapping[Role, Path], plan: _Plan, room: Room | None, frames: int, scratch: Path, pool: Executor
    ) -> None:
        self.frames, self.scratch, self.pool = frames, scratch, pool
        self._tones = {role: minimum_phase(tone) for role, tone in plan.stem_tones_db.items()}
        self._raw, self._plan, self._room = dict(raw), plan, room

    def kept(self, part: str) -> Path:
        """Where a part is kept for the second pass, which may write over what it has read."""
        return self.scratch / f"{part}{RAW_SUFFIX}"

    def chunks(self) -> list[int]:
        """Length of each chunk in frames: the last one reaches behind the end, by less than a step of the room's."""
        steps, chunk = -(-self.frames // _ROOM_FRAMES), _CHUNK_FRAMES // _ROOM_FRAMES
        return [min(chunk, steps - first) * _ROOM_FRAMES for first in range(0, steps, chunk)]

    def measure(self, threshold: float) -> BusMeasure:
        """Go over the stems and their sum; peaks between samples count where they may reach `threshold`."""
        meter, peaks = SongMeter(), _BusPeaks(threshold)
        with ExitStack() as stack:
            stems = {role: part.next for role, part in self._open_stems(stack).items()}
            added = {"sum": partial(self._add_up, self._open_room(stack))}
            for done in _side_by_side(self.pool, added, _side_by_side(self.pool, stems, self.chunks())):
                total, loudest = done["sum"]
                peaks.add(total, loudest)
                meter.add(total.reshape(-1, 2))
        return peaks.measure(meter)

    def _add_up(self, room: _Answer | None, stems: Mapping[str, _Blocks]) -> _Blocks:
        """The sum of the stems' next chunk and the room's answer, and the largest sample of any part in each block."""
        total = _added([blocks for blocks, _ in stems.values()])
        loudest = np.maximum.reduce([peaks for _, peaks in stems.values()])
        if room:
            wet = room(_send(total, {role: blocks for role, (blocks, _) in stems.items()}))
            loudest = np.maximum(loudest, _block_peaks(wet))
            total += wet
        return total, loudest

    def _open_stems(self, stack: ExitStack) -> dict[str, _Part]:
        levels = self._plan.levels
        return {role: self._open_stem(stack, role, path, levels[role]) for role, path in self._raw.items()}

    def _open_stem(self, stack: ExitStack, role: Role, raw: Path, level: StemLevel) -> _Part:
        kept = stack.enter_context(self.kept(role).open("wb", buffering=0))
        return _Part(stack.enter_context(open_raw(raw)), level, self._tones[role], kept)

    def _open_room(self, stack: ExitStack) -> _Answer | None:
        """What answers the next chunk, and keeps the answer."""
        if self._room is None:
            return None
        file = stack.enter_context(self.kept("reverb").open("wb", buffering=0))
        convolver = Convolver(0.5 * room_impulse(self._room), _ROOM_FRAMES)

        def answer(send: Samples) -> Samples:
            place = convolver.begin(len(send))
            place[:, 0], place[:, 1] = send, 0.0  # mono, as a signal without imaginary part
            wet = np.ascontiguousarray(convolver.end())
            write_whole(file, wet.data.cast("B"))
            return wet.reshape(-1, 2 * BLOCK_FRAMES)

        return answer

    def parts(self, stack: ExitStack) -> dict[str, Callable[[int], Samples]]:
        """For each stem and the reverb, what gives its next frames with all but the curve, interleaved."""
        names = [*self._raw, *(["reverb"] if self._room else [])]
        return {name: partial(_read_new, stack.enter_context(open_raw(self.kept(name)))) for name in names}


def _read_new(read: Read, frames: int) -> Samples:
    block = np.empty((frames, 2), dtype=np.float32)
    read(block)
    return block


Numbers = TypeVar("Numbers", Samples, Frames24)


def _added(parts: list[Numbers]) -> Numbers:
    """Their sum, in their order."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def _send(total: Samples, stems: Mapping[str, Samples]) -> Samples:
    """What goes into the room, mono, shape (frames,): the sum, less the share of each stem that stays out."""
    send = _mono(total)
    for role, blocks in stems.items():
        if _ROOM_SEND[role] != 1.0:
            send -= _mono(blocks) * np.float32(1.0 - _ROOM_SEND[role])
    return send


def _mono(blocks: Samples) -> Samples:
    """Left and right together, shape (frames,)."""
    frames = blocks.reshape(-1, 2)
    return np.asarray(frames[:, 0] + frames[:, 1])


def _block_peaks(blocks: Samples) -> Samples:
    """Largest sample of each block, shape (blocks,)."""
    # `reduceat` takes half the time of `max(axis=1)`, whose rows are short.
    samples, starts = blocks.reshape(-1), np.arange(0, blocks.size, blocks.shape[1])
    return np.maximum(np.maximum.reduceat(samples, starts), -np.minimum.reduceat(samples, starts))


class _BusPeaks:
    """True peak and energy of each block of a sum that comes in chunks."""

    def __init__(self, threshold: float) -> None:
        self._threshold, self._highest = threshold, 0.0
        self._before: Samples = np.zeros((2 * EDGE_FRAMES, 2), dtype=np.float32)
        self._peaks: list[Samples] = [np.zeros(1, dtype=np.float32)]
        self._part_peaks: list[Samples] = []
        self._energy: list[Samples] = []

    def add(self, total: Samples, part_peaks: Samples) -> None:
        """Take the next chunk, shape (blocks, 2 BLOCK_FRAMES), and the peaks of its parts: those must not clip either, where
        one is against another."""
        self._energy.append(np.einsum("bf,bf->b", total, total) / BLOCK_FRAMES)
        self._peaks.append(_block_peaks(total))
        self._part_peaks.append(part_peaks)
        self._highest = max(self._highest, float(self._peaks[-1].max()))
        sound = total.reshape(-1, 2)
        # A song that never comes near the ceiling has a true peak as well: one of its highest.
        threshold = min(self._threshold, self._highest * from_db(-MAX_GLUE_DB))
        inside, peaks = peaks_between(sound, threshold)
        seam, late_peaks = peaks_between(np.concatenate([self._before, sound[: 2 * EDGE_FRAMES]]), threshold)
        frames, between = np.concatenate([inside, seam - 2 * EDGE_FRAMES]), np.concatenate([peaks, late_peaks])
        late = frames < 0  # what had to wait for its neighbours
        self._peaks[-2][-1] = max(self._peaks[-2][-1], between[late].max(initial=0.0))
        np.maximum.at(self._peaks[-1], frames[~late] // BLOCK_FRAMES, between[~late])
        self._before = sound[-2 * EDGE_FRAMES :].copy()

    def measure(self, meter: SongMeter) -> BusMeasure:
        peaks, part_peaks, energy = map(np.concatenate, (self._peaks[1:], self._part_peaks, self._energy))
        return BusMeasure(peaks, part_peaks, energy, meter.k_powers())


@dataclass(frozen=True)
class _Step:
    """The gain of a chunk, shape (blocks, 2 BLOCK_FRAMES), and how many of its frames the song has."""

    curve: Samples
    kept: int


def _finish(part: Callable[[int], Samples], write: Write, step: _Step) -> Frames24:
    """A part's next chunk under the gain curve, rounded to 24 bits and written."""
    shaped = part(step.curve.size // 2).reshape(step.curve.shape)
    shaped *= step.curve
    exact: Frames24 = np.rint(shaped, out=shaped).astype(np.int32).reshape(-1, 2)[: step.kept]
    write(exact)
    return exact


def _steps(bus: _Bus, gain: MasterGain) -> Iterator[_Step]:
    start = 0
    for length in bus.chunks():
        curve = gain.over(start // BLOCK_FRAMES, length // BLOCK_FRAMES) * np.float32(FULL_SCALE)
        yield _Step(curve, min(length, bus.frames - start))
        start += length


def _write(bus: _Bus, gain: MasterGain, outputs: Mapping[str, Path], song: Path | None) -> None:
    """Second pass: the curve over every part, and the parts' sum."""
    with ExitStack() as stack:
        tasks = {
            name: partial(
                _finish, part, stack.enter_context(open_writer(outputs.get(name), bus.frames, bus.kept(name)))
            )
            for name, part in bus.parts(stack).items()
        }
        write_song = stack.enter_context(open_writer(song, bus.frames))
        for done in _side_by_side(bus.pool, tasks, _steps(bus, gain)):
            write_song(_added(list(done.values())))


def _side_by_side(
    pool: Executor, tasks: Mapping[str, Callable[[Argument], Result]], steps: Iterable[Argument]
) -> Iterator[dict[str, Result]]:
    """All tasks' results for one step after the other; the next step is on its way while the caller uses this one's.

    Each core is given its share of the tasks at once: threads that wait for each other cost more than uneven shares.
    """
    cores = min(len(tasks), os.cpu_count() or 1)
    shares = [list(tasks)[core::cores] for core in range(cores)]

    def do(share: list[str], step: Argument) -> dict[str, Result]:
        return {name: tasks[name](step) for name in share}

    pending: list[Future[dict[str, Result]]] = []
    for step in steps:
        done = _results(pending, tasks)
        pending = [pool.submit(do, share, step) for share in shares]
        if done:
            yield done
    yield _results(pending, tasks)


def _results(shares: Iterable[Future[dict[str, Result]]], names: Iterable[str]) -> dict[str, Result]:
    """What the shares of one step gave, in the order of `names`; empty before the first step."""
    done: dict[str, Result] = {}
    for share in shares:
        done |= share.result()
    return {name: done[name] for name in names} if done else {}
