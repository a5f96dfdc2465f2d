"""Instrument documents and their samples -> one SF2: a single instrument, or a whole band as General MIDI presets."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.audio import Samples
from phase2_music.instruments.roles import ROLE_SPECS
from phase2_music.instruments.sf2 import (
    Generators,
    Sf2Preset,
    Sf2Sample,
    Sf2Zone,
    envelope_generators,
    filter_cents,
    sf2_bytes,
)
from schemas.instrument import Instrument, Zone

_OPEN_HZ = 20000.0


def soundfont(name: str, band: Sequence[tuple[Instrument, Mapping[str, Samples]]]) -> bytes:
    """SF2 of instruments, each given with its samples by file name (shape (1 or 2, frames)).

    The first turn of each instrument is its General MIDI preset; round robins are presets of their own, since SF2 knows no
    turns.
    """
    samples: list[Sf2Sample] = []
    presets: list[Sf2Preset] = []
    for instrument, sounds in band:
        numbers = {sample: len(samples) + index for index, sample in enumerate(sounds)}
        samples += _samples(instrument, sounds)
        presets += _presets(instrument, numbers)
    return sf2_bytes(name, samples, presets)


def _samples(instrument: Instrument, sounds: Mapping[str, Samples]) -> list[Sf2Sample]:
    first_zone = {zone.sample: zone for zone in reversed(instrument.zones)}
    made = []
    for name, samples in sounds.items():
        zone = first_zone[name]
        loop = (zone.loop_start, zone.loop_end) if zone.loop_start is not None and zone.loop_end is not None else None
        cents = round(zone.tune_cents)
        made.append(Sf2Sample(Path(name).stem, samples, instrument.sample_rate, zone.root_key, cents, loop))
    return made


def _presets(instrument: Instrument, numbers: Mapping[str, int]) -> list[Sf2Preset]:
    envelope = instrument.envelope
    common = envelope_generators(envelope.attack_s, envelope.decay_s, envelope.sustain, envelope.release_s)
    presets = []
    for turn in range(1, max(zone.seq_position for zone in instrument.zones) + 1):
        zones = [Sf2Zone(numbers[z.sample], _generators(z)) for z in zones_of_turn(instrument.zones, turn)]
        bank, program = ROLE_SPECS[instrument.role].preset(turn)
        presets.append(Sf2Preset(_preset_name(instrument, turn), bank, program, zones, common))
    return presets


def _preset_name(instrument: Instrument, turn: int) -> str:
    """What tells presets apart within SF2's 19 letters of ASCII: the turn, what fits of the effect's name, and the role."""
    plain = unicodedata.normalize("NFKD", instrument.name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    words = "".join(c if c.isprintable() else " " for c in plain).split()
    effect = " ".join(words).removesuffix(instrument.role).strip()
    before, behind = ("" if turn == 1 else f"{turn} "), f" {instrument.role}"
    return f"{before}{effect[: 19 - len(before) - len(behind)].strip()}{behind}".strip()


def zones_of_turn(zones: Sequence[Zone], turn: int) -> list[Zone]:
    """The zones that sound in a turn; keys without an alternative sound in every turn."""
    present = {(zone.lo_key, zone.lo_velocity) for zone in zones if zone.seq_position == turn}
    return [
        zone
        for zone in zones
        if zone.seq_position == turn or (zone.seq_position == 1 and (zone.lo_key, zone.lo_velocity) not in present)
    ]


def _generators(zone: Zone) -> Generators:
    generators: Generators = {
        "keyRange": (zone.lo_key, zone.hi_key),
        "velRange": (zone.lo_velocity, zone.hi_velocity),
        "overridingRootKey": zone.root_key,
        "sampleModes": 1 if zone.loop_start is not None else 0,
    }
    # FluidSynth scales a filtered voice by its Q, so the open layer gets the same filter, wide open.
    generators["initialFilterFc"] = filter_cents(zone.cutoff_hz or _OPEN_HZ)
    if zone.exclusive_class:
        generators["exclusiveClass"] = zone.exclusive_class
    return generators
