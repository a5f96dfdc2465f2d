"""SF2 (SoundFont 2.04): a RIFF file of samples, instruments and presets. No kept library writes it, so we do.

Section numbers refer to the SoundFont Technical Specification 2.04. Traps: `endloop` is exclusive (7.10), each sample is
followed by at least 46 zero frames (6.1), key range comes first and sampleID last in a zone (8.1.2), `initialAttenuation` is
read at 0.4 of its value by FluidSynth and at full value by others (so levels are in the samples, never there), volume
envelope times are for a fall of 100 dB (8.1.2, 36 and 38).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from core.audio import Samples

_PADDING_FRAMES = 46
_FULL_FALL_DB = 96.0

GENERATORS: dict[str, int] = {
    "initialFilterFc": 8,
    "pan": 17,
    "attackVolEnv": 34,
    "decayVolEnv": 36,
    "sustainVolEnv": 37,
    "releaseVolEnv": 38,
    "instrument": 41,
    "keyRange": 43,
    "velRange": 44,
    "coarseTune": 51,
    "fineTune": 52,
    "sampleID": 53,
    "sampleModes": 54,
    "exclusiveClass": 57,
    "overridingRootKey": 58,
}
"""Generators that we write and their numbers (8.1.3)."""

_ORDER_FIRST = ("keyRange", "velRange")
_ORDER_LAST = ("instrument", "sampleID")

Amount = int | tuple[int, int]
Generators = dict[str, Amount]


@dataclass(frozen=True)
class Sf2Sample:
    """Samples of shape (1 or 2, frames); `loop` is the first and the last frame of the loop, None for none.

    A stereo sample becomes a linked pair of mono ones, and each zone that plays it two zones, panned hard.
    """

    name: str
    samples: Samples
    sample_rate: int
    root_key: int
    correction_cents: int = 0
    loop: tuple[int, int] | None = None


@dataclass(frozen=True)
class Sf2Zone:
    """One zone of an instrument: the index of its sample, and its generators."""

    sample: int
    generators: Generators = field(default_factory=dict)


@dataclass(frozen=True)
class Sf2Preset:
    """One preset with an instrument of its own."""

    name: str
    bank: int
    program: int
    zones: Sequence[Sf2Zone]
    common: Generators = field(default_factory=dict)


def timecents(seconds: float) -> int:
    """Time in SoundFont's unit: 1200 log2(s), within -12000..8000."""
    return max(-12000, min(8000, round(1200 * math.log2(seconds)))) if seconds > 0 else -12000


def envelope_generators(attack_s: float, decay_s: float, sustain: float, release_s: float) -> Generators:
    """Generators of a volume envelope whose decay reaches `sustain` (0..1) after `decay_s`, release -60 dB in `release_s`.

    8.1.2, 36 to 38: times are those of a fall by 100 dB, whatever the sustain level, which is given in centibels. FluidSynth
    takes 96 dB for the 100, so that is what is written: other players then fall 4 % steeper and deeper.
    """
    fall_db = min(96.0, -20 * math.log10(max(sustain, 1e-5)))
    generators: Generators = {
        "attackVolEnv": timecents(attack_s),
        "releaseVolEnv": timecents(release_s * _FULL_FALL_DB / 60.0),
    }
    if decay_s > 0 and fall_db > 0:
        generators |= {
            "decayVolEnv": timecents(decay_s * _FULL_FALL_DB / fall_db),
            "sustainVolEnv": round(1000 * fall_db / _FULL_FALL_DB),
        }
    return generators


def filter_cents(cutoff_hz: float) -> int:
    """Corner of the low-pass in SoundFont's unit: cents above 8.176 Hz, within 1500..13500."""
    return max(1500, min(13500, round(1200 * math.log2(cutoff_hz / 8.176))))


def sf2_bytes(name: str, samples: Sequence[Sf2Sample], presets: Sequence[Sf2Preset]) -> bytes:
    """A whole SF2 file. Samples have 24 bits: the low bytes stand in the sm24 chunk, which 16-bit players pass over."""
    channels = [channel for sample in samples for channel in _channels(sample)]
    body = b"sfbk" + _info(name) + _sample_data(channels) + _preset_data(samples, channels, presets)
    return _chunk(b"RIFF", body)


@dataclass(frozen=True)
class _Channel:
    """One mono sample in the file; `link` is the way to its partner in the list (0 for none), `kind` the SF2 type."""

    name: str
    samples: Samples
    source: Sf2Sample
    link: int
    kind: int


_MONO, _RIGHT, _LEFT = 1, 2, 4


def _channels(sample: Sf2Sample) -> list[_Channel]:
    if len(sample.samples) == 1:
        return [_Channel(sample.name, sample.samples[0], sample, 0, _MONO)]
    left, right = sample.samples
    return [
        _Channel(f"{sample.name[:17]}_L", left, sample, 1, _LEFT),
        _Channel(f"{sample.name[:17]}_R", right, sample, -1, _RIGHT),
    ]


def _chunk(tag: bytes, data: bytes) -> bytes:
    return tag + struct.pack("<I", len(data)) + data + (b"\0" if len(data) % 2 else b"")


def _list(tag: bytes, chunks: bytes) -> bytes:
    return _chunk(b"LIST", tag + chunks)


def _zero_terminated(text: str) -> bytes:
    data = text.encode("ascii", "replace")[:255] + b"\0"
    return data + b"\0" * (len(data) % 2)


def _name20(text: str) -> bytes:
    return text.encode("ascii", "replace")[:19].ljust(20, b"\0")


def _info(name: str) -> bytes:
    chunks = _chunk(b"ifil", struct.pack("<HH", 2, 4))
    chunks += _chunk(b"isng", _zero_terminated("EMU8000"))
    chunks += _chunk(b"INAM", _zero_terminated(name))
    chunks += _chunk(b"ISFT", _zero_terminated("photone"))
    return _list(b"INFO", chunks)


def _sample_data(samples: Sequence[_Channel]) -> bytes:
    padding = np.zeros(_PADDING_FRAMES, dtype=np.float32)
    joined = np.concatenate([piece for sample in samples for piece in (sample.samples, padding)])
    # An even number of frames: players disagree on whether sm24's size counts its pad byte.
    joined = np.pad(joined, (0, len(joined) % 2))
    whole = np.clip(np.round(joined.astype(np.float64) * 2**23), -(2**23), 2**23 - 1).astype(np.int32)
    high = _chunk(b"smpl", (whole >> 8).astype("<i2").tobytes())
    return _list(b"sdta", high + _chunk(b"sm24", (whole & 0xFF).astype(np.uint8).tobytes()))


def _split_zones(samples: Sequence[Sf2Sample], zones: Sequence[Sf2Zone]) -> list[Sf2Zone]:
    """Zones by channel: a stereo sample's zone twice, panned hard left and right."""
    firsts = np.cumsum([0, *(len(sample.samples) for sample in samples)])
    split = []
    for zone in zones:
        first = int(firsts[zone.sample])
        if len(samples[zone.sample].samples) == 1:
            split.append(Sf2Zone(first, zone.generators))
        else:
            split += [Sf2Zone(first + i, zone.generators | {"pan": pan}) for i, pan in enumerate((-500, 500))]
    return split


def _preset_data(samples: Sequence[Sf2Sample], channels: Sequence[_Channel], presets: Sequence[Sf2Preset]) -> bytes:
    layers = [[Sf2Zone(-1, {"instrument": index})] for index in range(len(presets))]
    pbag, pgen, preset_starts = _bags(layers, [{} for _ in presets])
    ibag, igen, instrument_starts = _bags(
        [_split_zones(samples, preset.zones) for preset in presets], [p.common for p in presets]
    )
    phdr = b"".join(
        _name20(preset.name) + struct.pack("<HHHIII", preset.program, preset.bank, start, 0, 0, 0)
        for preset, start in zip(presets, preset_starts, strict=False)
    ) + _name20("EOP") + struct.pack("<HHHIII", 0, 0, preset_starts[-1], 0, 0, 0)  # fmt: skip
    inst = b"".join(
        _name20(preset.name) + struct.pack("<H", start)
        for preset, start in zip(presets, instrument_starts, strict=False)
    ) + _name20("EOI") + struct.pack("<H", instrument_starts[-1])  # fmt: skip
    no_modulators = bytes(10)
    chunks = [(b"phdr", phdr), (b"pbag", pbag), (b"pmod", no_modulators), (b"pgen", pgen)]
    chunks += [(b"inst", inst), (b"ibag", ibag), (b"imod", no_modulators), (b"igen", igen)]
    chunks += [(b"shdr", _sample_headers(channels))]
    return _list(b"pdta", b"".join(_chunk(tag, data) for tag, data in chunks))


def _bags(layers: Sequence[Sequence[Sf2Zone]], commons: Sequence[Generators]) -> tuple[bytes, bytes, list[int]]:
    """Bag and generator records of a list of zone lists, and the first bag of each (and one past the last)."""
    bags: list[int] = []
    generators, starts = bytearray(), []
    for zones, common in zip(layers, commons, strict=True):
        starts.append(len(bags))
        rows = ([common] if common else []) + [
            zone.generators | ({"sampleID": zone.sample} if zone.sample >= 0 else {}) for zone in zones
        ]
        for row in rows:
            bags.append(len(generators) // 4)
            generators += _generator_records(row)
    starts.append(len(bags))
    bags.append(len(generators) // 4)
    generators += bytes(4)
    return b"".join(struct.pack("<HH", bag, 0) for bag in bags), bytes(generators), starts


def _generator_records(generators: Generators) -> bytes:
    def order(name: str) -> int:
        if name in _ORDER_FIRST:
            return _ORDER_FIRST.index(name) - 10
        return _ORDER_LAST.index(name) + 1000 if name in _ORDER_LAST else GENERATORS[name]

    records = b""
    for name in sorted(generators, key=order):
        amount = generators[name]
        number = struct.pack("<H", GENERATORS[name])
        if isinstance(amount, tuple):
            records += number + struct.pack("<BB", *amount)
        else:
            records += number + struct.pack("<h" if amount < 0 else "<H", amount)
    return records


def _sample_headers(channels: Sequence[_Channel]) -> bytes:
    data, start = b"", 0
    for index, channel in enumerate(channels):
        sample = channel.source
        end = start + len(channel.samples)
        first, last = sample.loop or (0, len(channel.samples) - 1)
        link = index + channel.link if channel.link else 0
        data += _name20(channel.name) + struct.pack(
            "<IIIIIBbHH", start, end, start + first, start + last + 1, sample.sample_rate, sample.root_key,
            sample.correction_cents, link, channel.kind,
        )  # fmt: skip
        start = end + _PADDING_FRAMES
    return data + _name20("EOS") + bytes(26)
