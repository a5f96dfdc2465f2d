"""Stems -> mix: level and pan per role, a room, a limiter; everything in blocks, so memory does not grow with the song."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from core.audio import SAMPLE_RATE, Samples, sound_file_errors
from core.errors import ScoreError
from core.loudness import LoudnessMeter, TruePeakMeter, from_db, peak_gain
from core.seeds import generator
from phase2_music.instruments.roles import ROLE_SPECS
from schemas.document import Role

BLOCK_FRAMES = 1 << 17
_LIMITER_HALF = round(0.005 * SAMPLE_RATE)
_CONTEXT = 2 * _LIMITER_HALF + 64
# Low and loud things belong to the middle: how far a role follows its source's place in the picture.
_PAN_WIDTH: dict[Role, float] = {"keyboard": 0.7, "bass": 0.15, "guitar": 0.7, "drums": 0.25}


@dataclass(frozen=True)
class MixOptions:
    """How stems become a mix: target in LUFS, ceiling in dBTP, room: T60 in seconds and level of the reverb in dB."""

    loudness_lufs: float = -14.0
    ceiling_dbtp: float = -1.0
    room_s: float = 1.1
    room_db: float = -17.0


@dataclass(frozen=True)
class StemLevel:
    """What was done to a stem: gain in dB and pan -1..1."""

    gain_db: float
    pan: float


@dataclass(frozen=True)
class Mix:
    """What was measured of the mix."""

    frames: int
    loudness_lufs: float
    true_peak_dbtp: float
    levels: dict[Role, StemLevel]


def mix_stems(
    raw: dict[Role, Path], pans: dict[Role, float], out_stems: dict[Role, Path], out_mix: Path, options: MixOptions
) -> Mix:
    """Level and pan raw stems into `out_stems`, and mix and master them into `out_mix` (24-bit WAV, 44.1 kHz).

    Raises:
        ScoreError: nothing sounds.
    """
    frames = max(soundfile.info(path).frames for path in raw.values())
    levels = {role: _level(role, path, pans.get(role, 0.0)) for role, path in raw.items()}
    bus = out_mix.with_name(out_mix.name + ".bus.wav")
    bus_lufs = _sum_to_bus(raw, levels, out_stems, bus, frames, options)
    if not math.isfinite(bus_lufs):
        raise ScoreError("the song is silent: its notes have no velocity or its channels no volume")
    loudness, peak = _master(bus, out_mix, bus_lufs, options)
    bus.unlink()
    return Mix(frames, loudness, peak, levels)


def _blocks(path: Path) -> Iterator[Samples]:
    """A file's blocks, shape (2, frames)."""
    for block in soundfile.blocks(path, BLOCK_FRAMES, dtype="float32", always_2d=True):
        yield block.T


def _level(role: Role, path: Path, pan: float) -> StemLevel:
    meter = LoudnessMeter(SAMPLE_RATE, 2)
    for block in _blocks(path):
        meter.add(block)
    lufs = meter.integrated_lufs()
    gain_db = ROLE_SPECS[role].mix_lufs - lufs if math.isfinite(lufs) else 0.0
    return StemLevel(round(min(40.0, gain_db), 3), round(pan * _PAN_WIDTH[role], 3))


def pan_gains(pan: float) -> Samples:
    """Left and right gain of a constant-power pan, 1 and 1 in the middle, shape (2, 1)."""
    angle = (pan + 1.0) * math.pi / 4.0
    return np.array([[math.cos(angle)], [math.sin(angle)]], dtype=np.float32) * np.float32(math.sqrt(2.0))


def _sum_to_bus(
    raw: dict[Role, Path],
    levels: dict[Role, StemLevel],
    out_stems: dict[Role, Path],
    bus: Path,
    frames: int,
    options: MixOptions,
) -> float:
    """Write the stems and their sum with the room; gives the sum's loudness in LUFS."""
    room, meter = _Room(options), LoudnessMeter(SAMPLE_RATE, 2)
    with sound_file_errors(), ExitStack() as stack:
        readers = {role: stack.enter_context(soundfile.SoundFile(path)) for role, path in raw.items()}
        writers = {
            role: stack.enter_context(soundfile.SoundFile(path, "w", SAMPLE_RATE, 2, "PCM_24", format="WAV"))
            for role, path in out_stems.items()
        }
        mix = stack.enter_context(soundfile.SoundFile(bus, "w", SAMPLE_RATE, 2, "FLOAT", format="WAV"))
        for start in range(0, frames, BLOCK_FRAMES):
            length = min(BLOCK_FRAMES, frames - start)
            total = np.zeros((2, length), dtype=np.float32)
            send = np.zeros((2, length), dtype=np.float32)
            for role, reader in readers.items():
                block = reader.read(length, dtype="float32", always_2d=True, fill_value=0.0).T
                block = block * pan_gains(levels[role].pan) * np.float32(from_db(levels[role].gain_db))
                writers[role].write(np.clip(block, -1.0, 1.0).T)
                total += block
                send += block * (0.25 if role == "bass" else 1.0)
            total += room.wet(send)
            meter.add(total)
            mix.write(total.T)
    return meter.integrated_lufs()


class _Room:
    """A stereo convolution reverb: exponentially decaying noise, brighter at first, low-cut, 18 ms after the direct sound."""

    def __init__(self, options: MixOptions) -> None:
        frames = round(options.room_s * 1.2 * SAMPLE_RATE)
        t = np.arange(frames) / SAMPLE_RATE
        noise = generator(0, "room").standard_normal((2, frames))
        dark = signal.sosfilt(signal.butter(1, 2500.0, fs=SAMPLE_RATE, output="sos"), noise, axis=1)
        impulse = (noise * np.exp(-t / 0.08) + 2.0 * dark) * np.exp(-6.91 * t / options.room_s)
        impulse = signal.sosfilt(signal.butter(2, 180.0, "high", fs=SAMPLE_RATE, output="sos"), impulse, axis=1)
        impulse *= np.minimum(1.0, t / 0.01)
        impulse /= np.sqrt(np.sum(impulse**2, axis=1, keepdims=True))
        delay = np.zeros((2, round(0.018 * SAMPLE_RATE)))
        self._impulse = np.concatenate([delay, impulse], axis=1) * from_db(options.room_db)
        self._tail = np.zeros((2, self._impulse.shape[1] - 1))

    def wet(self, block: Samples) -> Samples:
        """The reverb of the next block, same shape."""
        full = signal.oaconvolve(block, self._impulse, axes=1)
        full[:, : self._tail.shape[1]] += self._tail
        length = block.shape[1]
        self._tail = full[:, length:]
        return np.asarray(full[:, :length], dtype=np.float32)


def _master(bus: Path, out: Path, bus_lufs: float, options: MixOptions) -> tuple[float, float]:
    """Gain and limiting to the target; what limiting takes away is given back in a second and third try."""
    gain_db = options.loudness_lufs - bus_lufs
    loudness = peak = -math.inf
    for _ in range(3):
        with sound_file_errors(), soundfile.SoundFile(out, "w", SAMPLE_RATE, 2, "PCM_24", format="WAV") as file:
            meter, peaks = LoudnessMeter(SAMPLE_RATE, 2), TruePeakMeter(2)
            for block in _limited(bus, gain_db, options.ceiling_dbtp):
                meter.add(block)
                peaks.add(block)
                file.write(block.T)
        loudness, peak = meter.integrated_lufs(), peaks.true_peak_dbtp()
        if abs(loudness - options.loudness_lufs) <= 0.2:
            break
        gain_db += options.loudness_lufs - loudness
    return loudness, peak


def _limited(bus: Path, gain_db: float, ceiling_dbtp: float) -> Iterator[Samples]:
    """Look-ahead limiting in blocks: each is computed with its neighbours' edges, so the joints do not show."""
    gain = np.float32(from_db(gain_db))
    ceiling = from_db(ceiling_dbtp - 0.05)
    silence = np.zeros((2, _CONTEXT), dtype=np.float32)
    before = silence
    current: Samples | None = None
    for following in _and_silence(_blocks(bus)):
        if current is not None:
            window = np.concatenate([before, current, following[:, :_CONTEXT]], axis=1) * gain
            curve = peak_gain(window, ceiling, _LIMITER_HALF)
            limited = window if curve is None else window * curve
            yield limited[:, before.shape[1] : before.shape[1] + current.shape[1]]
            before = np.concatenate([before, current], axis=1)[:, -_CONTEXT:]
        current = following


def _and_silence(blocks: Iterator[Samples]) -> Iterator[Samples]:
    yield from blocks
    yield np.zeros((2, _CONTEXT), dtype=np.float32)
