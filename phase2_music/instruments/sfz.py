"""SFZ: the text format that most samplers read. Opcodes stand in one table that writer and tests share.

Player quirks that shaped what is written: sfizz goes silent under load unless `hint_ram_based=1`; `loop_end` is inclusive;
paths are relative with forward slashes; decay and release are times for a fall of 9 nepers (78 dB), whatever the sustain
level (sfizz and ARIA), so our times to a level are converted; sfizz's two-pole low-pass has its corner 7 % lower than asked
(measured against FluidSynth's, which has it in place). Layers are the same sound through different filters,
in phase but around the corner, so they cross-fade by gain, not by power.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from schemas.instrument import Instrument, Zone


@dataclass(frozen=True)
class Opcode:
    """One SFZ opcode: its header, type, range and, for text, the words that players know (sfzformat.com names)."""

    header: str
    kind: type
    low: float
    high: float
    unit: str = ""
    words: tuple[str, ...] = ()


OPCODES: dict[str, Opcode] = {
    "hint_ram_based": Opcode("control", int, 0, 1),
    "default_path": Opcode("control", str, 0, 0),
    "ampeg_attack": Opcode("global", float, 0, 100, "s"),
    "ampeg_decay": Opcode("global", float, 0, 100, "s"),
    "ampeg_sustain": Opcode("global", float, 0, 100, "%"),
    "ampeg_release": Opcode("global", float, 0, 100, "s"),
    "amp_veltrack": Opcode("global", float, -100, 100, "%"),
    "volume": Opcode("global", float, -144, 6, "dB"),
    "xf_velcurve": Opcode("global", str, 0, 0, words=("gain", "power")),
    "fil_type": Opcode("region", str, 0, 0, words=("lpf_1p", "hpf_1p", "lpf_2p", "hpf_2p", "bpf_2p", "brf_2p")),
    "cutoff": Opcode("region", float, 0, 22050, "Hz"),
    "resonance": Opcode("region", float, -6, 40, "dB"),
    "loop_mode": Opcode("region", str, 0, 0, words=("no_loop", "one_shot", "loop_continuous", "loop_sustain")),
    "sample": Opcode("region", str, 0, 0),
    "pitch_keycenter": Opcode("region", int, 0, 127, "key"),
    "tune": Opcode("region", float, -100, 100, "cents"),
    "lokey": Opcode("region", int, 0, 127, "key"),
    "hikey": Opcode("region", int, 0, 127, "key"),
    "lovel": Opcode("region", int, 0, 127),
    "hivel": Opcode("region", int, 0, 127),
    "xfin_lovel": Opcode("region", int, 0, 127),
    "xfin_hivel": Opcode("region", int, 0, 127),
    "xfout_lovel": Opcode("region", int, 0, 127),
    "xfout_hivel": Opcode("region", int, 0, 127),
    "seq_length": Opcode("region", int, 1, 100),
    "seq_position": Opcode("region", int, 1, 100),
    "loop_start": Opcode("region", int, 0, 2**32 - 1, "frames"),
    "loop_end": Opcode("region", int, 0, 2**32 - 1, "frames"),
    "group": Opcode("region", int, 0, 127),
    "off_by": Opcode("region", int, 0, 127),
    "off_mode": Opcode("region", str, 0, 0, words=("fast", "normal", "time")),
    "bend_up": Opcode("global", int, -9600, 9600, "cents"),
    "bend_down": Opcode("global", int, -9600, 9600, "cents"),
}


CORNER = 1.07
"""What `cutoff` is written as, over the corner that is meant: see the quirks above."""

_NINE_NEPERS_DB = 9.0 * 20.0 / math.log(10.0)


def _line(header: str, opcodes: dict[str, str | int | float]) -> str:
    for name, value in opcodes.items():
        row = OPCODES[name]
        if row.kind is not str and not row.low <= float(value) <= row.high:
            raise AssertionError(f"{name}={value} is outside {row.low}..{row.high}")
    return f"<{header}> " + " ".join(f"{name}={_text(value)}" for name, value in opcodes.items())


def _text(value: str | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def sfz_text(instrument: Instrument) -> str:
    """An instrument as SFZ; samples are looked for under samples/ beside the file."""
    envelope = instrument.envelope
    lines = [
        # A name must not end the comment.
        " ".join(
            f"// {instrument.name} ({instrument.role}), made by photone from {instrument.source_effect.name}".split()
        ),
        _line("control", {"hint_ram_based": 1, "default_path": "samples/"}),
        _line(
            "global",
            {
                "ampeg_attack": envelope.attack_s,
                "ampeg_decay": fall_time_s(envelope.decay_s, -20 * math.log10(max(envelope.sustain, 1e-4))),
                "ampeg_sustain": 100.0 * envelope.sustain,
                "ampeg_release": fall_time_s(envelope.release_s, 60.0),
                "xf_velcurve": "gain",
                # A mono sample in the middle is 3 dB louder in sfizz than in SF2 players, which split its power.
                "volume": 0.0 if instrument.channels == 2 else -3.01,
                "bend_up": 200,
                "bend_down": -200,
            },
        ),
    ]
    alternatives = Counter((zone.lo_key, zone.lo_velocity) for zone in instrument.zones)
    regions = [
        _region(zone, alternatives[zone.lo_key, zone.lo_velocity], instrument.velocity_crossfade // 2)
        for zone in instrument.zones
    ]
    return "\n".join([*lines, *regions]) + "\n"


def fall_time_s(time_s: float, fall_db: float) -> float:
    """SFZ's decay or release time for a fall of `fall_db` in `time_s`: the time for 9 nepers, at most 100 s."""
    return min(100.0, time_s * _NINE_NEPERS_DB / fall_db) if fall_db > 0 else 0.0


def _velocities(zone: Zone, half: int) -> dict[str, str | int | float]:
    """The velocity range, widened by the cross-fade where a layer lies above or below."""
    opcodes: dict[str, str | int | float] = {"lovel": zone.lo_velocity, "hivel": zone.hi_velocity}
    if zone.lo_velocity > 1 and half:
        low, high = max(1, zone.lo_velocity - half), min(127, zone.lo_velocity + half)
        opcodes |= {"lovel": low, "xfin_lovel": low, "xfin_hivel": high}
    if zone.hi_velocity < 127 and half:
        low, high = max(1, zone.hi_velocity + 1 - half), min(127, zone.hi_velocity + 1 + half)
        opcodes |= {"hivel": high, "xfout_lovel": low, "xfout_hivel": high}
    return opcodes


def _region(zone: Zone, seq_length: int, half: int) -> str:
    opcodes: dict[str, str | int | float] = {
        "sample": zone.sample,
        "pitch_keycenter": zone.root_key,
        "tune": float(zone.tune_cents),
        "lokey": zone.lo_key,
        "hikey": zone.hi_key,
    }
    if (zone.lo_velocity, zone.hi_velocity) != (1, 127):
        opcodes |= _velocities(zone, half)
    if zone.cutoff_hz is not None:
        # Q = 1 / sqrt 2, as SF2's flattest; players take 0 dB for Q = 1, which would brighten what lies at the corner.
        opcodes |= {"fil_type": "lpf_2p", "cutoff": min(CORNER * zone.cutoff_hz, 22050.0), "resonance": -3.01}
    if seq_length > 1:
        opcodes |= {"seq_length": seq_length, "seq_position": zone.seq_position}
    if zone.loop_start is not None and zone.loop_end is not None:
        opcodes |= {"loop_mode": "loop_continuous", "loop_start": zone.loop_start, "loop_end": zone.loop_end}
    else:
        opcodes["loop_mode"] = "one_shot" if zone.one_shot else "no_loop"
    if zone.exclusive_class:
        opcodes |= {"group": zone.exclusive_class, "off_by": zone.exclusive_class, "off_mode": "fast"}
    return _line("region", opcodes)
