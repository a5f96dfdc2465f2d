"""MIDI files written byte by byte, so that tests can write what no library would."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

END = b"\x00\xff\x2f\x00"


def variable(number: int) -> bytes:
    """A variable-length quantity."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


def event(delta: int, *data: int) -> bytes:
    return variable(delta) + bytes(data)


def meta(delta: int, kind: int, data: bytes = b"") -> bytes:
    return variable(delta) + bytes([0xFF, kind]) + variable(len(data)) + data


def tempo(delta: int, microseconds: int) -> bytes:
    return meta(delta, 0x51, microseconds.to_bytes(3, "big"))


def note(key: int, ticks: int = 480, *, delta: int = 0, channel: int = 0, velocity: int = 90) -> bytes:
    """A note and its end."""
    return event(delta, 0x90 | channel, key, velocity) + event(ticks, 0x80 | channel, key, 0)


def chunk(tag: bytes, data: bytes) -> bytes:
    return tag + struct.pack(">I", len(data)) + data


def midi(*tracks: bytes, kind: int = 1, division: int = 480, end: bytes = END) -> bytes:
    """A file of tracks, each with an end of track behind."""
    header = struct.pack(">HHH", kind, min(len(tracks), 65535), division & 0xFFFF)
    return chunk(b"MThd", header) + b"".join(chunk(b"MTrk", track + end) for track in tracks)


def smpte(frames: int, ticks: int) -> int:
    """A division of so many ticks a frame."""
    return (256 - frames) << 8 | ticks


def write(path: Path, *tracks: bytes | Iterable[bytes], kind: int = 1, division: int = 480) -> Path:
    joined = [track if isinstance(track, bytes) else b"".join(track) for track in tracks]
    path.write_bytes(midi(*joined, kind=kind, division=division))
    return path
