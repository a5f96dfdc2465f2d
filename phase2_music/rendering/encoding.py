"""Files of stereo sound, written and read in blocks: raw stems, 24-bit WAV and FLAC, MP3 and Ogg Vorbis."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import soundfile

from core.audio import SAMPLE_RATE, Samples, sound_file_errors
from core.loudness import LoudnessMeter, TruePeakMeter, from_db

FileFormat = Literal["wav", "flac", "mp3", "ogg"]
FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
FULL_SCALE = 1 << 23
LOSSY_HEADROOM_DB = 0.5
"""How much lower the ceiling is before lossy coding, which raises peaks."""
RAW_SUFFIX = ".f32"
"""Raw stems: interleaved 32-bit float without a header. libsndfile takes ten times as long to write floats."""

_BLOCK_FRAMES = 1 << 16  # libsndfile's Vorbis encoder keeps a whole write on the stack
_LOSSY_TRIES = 4

Frames24 = npt.NDArray[np.int32]
"""Samples of 24 bits, shape (frames, 2)."""
Read = Callable[[Samples], None]
"""Fills an array of shape (frames, 2) with the next frames, and with silence behind the end."""
Write = Callable[[Frames24], None]


@dataclass(frozen=True)
class _Coding:
    """libsndfile's names of a format, and its settings: Vorbis at quality 7 (some 220 kbit/s), MP3 at 320 kbit/s."""

    container: str
    subtype: str
    settings: dict[str, Any]


_CODINGS: dict[str, _Coding] = {
    ".flac": _Coding("FLAC", "PCM_24", {}),
    ".ogg": _Coding("OGG", "VORBIS", {"compression_level": 0.3}),
    ".mp3": _Coding("MP3", "MPEG_LAYER_III", {"compression_level": 0.0, "bitrate_mode": "CONSTANT"}),
}
LOSSY_SUFFIXES = (".mp3", ".ogg")


def stem_suffix(file_format: FileFormat) -> str:
    """Ending of the stems' names beside a song of this format: FLAC beside FLAC, else WAV, as only exact stems add up."""
    return ".flac" if file_format == "flac" else ".wav"


def frames_of(raw: Path) -> int:
    """Length of a raw stem in frames (`.f32`, or a file that libsndfile reads)."""
    return raw.stat().st_size // 8 if raw.suffix == RAW_SUFFIX else int(soundfile.info(raw).frames)


@contextmanager
def open_raw(path: Path) -> Iterator[Read]:
    """Gives a function that reads the next frames into an array."""
    if path.suffix == RAW_SUFFIX:
        with path.open("rb", buffering=0) as file:
            yield lambda out: _read_floats(file, out)
    else:
        with sound_file_errors(), soundfile.SoundFile(path) as sound:
            yield lambda out: _fill(out, len(sound.read(dtype="float32", out=out)))


def _read_floats(file: Any, out: Samples) -> None:
    view, done = out.data.cast("B"), 0
    while done < len(view) and (got := file.readinto(view[done:])):
        done += got
    _fill(out, done // 8)


def _fill(out: Samples, frames: int) -> None:
    out[frames:] = 0.0


def read_blocks(path: Path, block_frames: int = 1 << 16) -> Iterator[Samples]:
    """A file's blocks, shape (frames, 2); each is valid until the next one."""
    frames, block = frames_of(path), np.empty((block_frames, 2), dtype=np.float32)
    with open_raw(path) as read:
        for start in range(0, frames, block_frames):
            read(block)
            yield block[: frames - start]


def open_writer(path: Path | None, frames: int, over: Path | None = None) -> AbstractContextManager[Write]:
    """A function that writes the next block of a WAV or FLAC of 24 bits, or of a raw file; None writes nothing.

    `frames` is the length of the whole. The same samples give the same bytes. `over` is a raw file of as many frames or more,
    which a WAV is written over, since new pages cost more than copying: whoever reads it reads each block (the first one of 22
    frames at least) before the same one is written.
    """
    if path is None:
        return nullcontext(lambda block: None)
    if path.suffix == RAW_SUFFIX:
        return _raw_writer(path)
    return _wav_writer(path, frames, over) if path.suffix == ".wav" else _library_writer(path)


@contextmanager
def _raw_writer(path: Path) -> Iterator[Write]:
    with path.open("wb") as file:
        yield lambda block: write_whole(file, (block / FULL_SCALE).astype(np.float32).data.cast("B"))


@contextmanager
def _wav_writer(path: Path, frames: int, over: Path | None) -> Iterator[Write]:
    header = _wav_header(6 * frames)
    here = over is not None and over.stat().st_dev == path.parent.stat().st_dev
    if over and here:
        over.replace(path)
    # Packing three bytes with NumPy takes half as long as libsndfile's conversion.
    with path.open("r+b" if here else "wb", buffering=0) as file:
        file.seek(len(header))
        yield lambda block: write_whole(file, _packed(block))
        file.truncate()
        file.seek(0)
        file.write(header)


def write_whole(file: Any, data: memoryview) -> None:
    """Write to an unbuffered file, which may stop short of all."""
    left = memoryview(data)
    while len(left):
        left = left[file.write(left) :]


def _wav_header(data_bytes: int) -> bytes:
    """RIFF header of 24-bit stereo; RF64 (EBU Tech 3306) beyond 4 GiB."""
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, SAMPLE_RATE, 6 * SAMPLE_RATE, 6, 24)
    if data_bytes + 36 < 1 << 32:
        return (
            struct.pack("<4sI4s", b"RIFF", data_bytes + 36, b"WAVE") + layout + struct.pack("<4sI", b"data", data_bytes)
        )
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, data_bytes + 72, data_bytes, data_bytes // 6, 0)
    unknown = 0xFFFFFFFF
    return struct.pack("<4sI4s", b"RF64", unknown, b"WAVE") + sizes + layout + struct.pack("<4sI", b"data", unknown)


def _packed(block: Frames24) -> memoryview:
    """The low three bytes of each sample.

    Words of four bytes are laid three bytes apart, in rising order, so that each one's empty top byte goes under the next
    one: a quarter of the time that picking the bytes takes.
    """
    packed = np.empty(3 * block.size + 1, dtype=np.uint8)
    np.ndarray(block.size, "<i4", packed.data, strides=(3,))[:] = block.reshape(-1)
    return packed.data[:-1]


@contextmanager
def _library_writer(path: Path) -> Iterator[Write]:
    coding = _CODINGS[path.suffix]
    with (
        sound_file_errors(),
        soundfile.SoundFile(
            path, "w", SAMPLE_RATE, 2, coding.subtype, format=coding.container, **coding.settings
        ) as file,
    ):
        yield lambda block: file.write(block << 8)


def encode_lossy(raw: Path, out: Path, ceiling_dbtp: float) -> tuple[float, float]:
    """Encode a raw song as MP3 or Ogg; gives the loudness (LUFS) and true peak (dBTP) of what a player will decode.

    Coding raises peaks by an unknown amount: the file is decoded, and encoded again, softer by the excess, until its peak is
    under the ceiling. The same song gives the same bytes.
    """
    gain_db = 0.0
    for _ in range(_LOSSY_TRIES):
        _encode(raw, out, from_db(gain_db))
        loudness, peak = _decoded(out)
        if peak <= ceiling_dbtp:
            break
        gain_db -= peak - ceiling_dbtp + 0.1
    if out.suffix == ".ogg":
        fix_ogg_serial(out)
    return loudness, peak


def _encode(raw: Path, out: Path, gain: float) -> None:
    coding = _CODINGS[out.suffix]
    with (
        sound_file_errors(),
        soundfile.SoundFile(
            out, "w", SAMPLE_RATE, 2, coding.subtype, format=coding.container, **coding.settings
        ) as file,
    ):
        for block in read_blocks(raw, _BLOCK_FRAMES):
            file.write(block * np.float32(gain))


def _decoded(path: Path) -> tuple[float, float]:
    loudness, peak = LoudnessMeter(SAMPLE_RATE, 2), TruePeakMeter(2)
    for block in read_blocks(path):
        loudness.add(block)
        peak.add(block)
    return loudness.integrated_lufs(), peak.true_peak_dbtp()


_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def fix_ogg_serial(path: Path, serial: int = 1) -> None:
    """Give an Ogg file's stream a fixed number in place of libsndfile's random one, so that the same song gives the same bytes.

    Page layout after RFC 3533: serial number at byte 14, checksum at 22, lacing values from 27 on.
    """
    with path.open("r+b") as file:
        while len(header := bytearray(file.read(27))) == 27:
            lacing = file.read(header[26])
            body = file.read(sum(lacing))
            header[14:18] = struct.pack("<I", serial)
            header[22:26] = bytes(4)
            header[22:26] = struct.pack("<I", _ogg_checksum(bytes(header) + lacing + body))
            file.seek(-(27 + len(lacing) + len(body)), 1)
            file.write(header)
            file.seek(len(lacing) + len(body), 1)


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 of polynomial 0x04C11DB7, highest bit first, from 0: zlib's, which goes lowest bit first, on reversed bytes."""
    mirrored = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def sum_error_dbfs(parts: list[Path], whole: Path) -> float:
    """Largest difference between the sum of some files and another, in dB of full scale; -inf where they are equal."""
    worst = 0.0
    for *blocks, total in zip(*(read_blocks(path) for path in (*parts, whole)), strict=True):
        worst = max(worst, float(np.abs(sum(block.astype(np.float64) for block in blocks) - total).max()))
    return 20.0 * math.log10(worst) if worst > 0 else -math.inf
