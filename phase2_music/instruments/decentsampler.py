"""DecentSampler: the .dspreset file of a free sampler that runs on every desktop and tablet.

Written after its published format guide. Player quirks that shaped what is written: `loopEnd` is the last frame of the loop;
low-pass filters, one-shot playing and the knobs of the envelope belong to groups, so zones that differ in these lie in
different groups; knobs send their value as the file is loaded, so they start at the document's own envelope. Velocity layers
meet without a cross-fade.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from core.errors import InstrumentError
from schemas.instrument import Envelope, Instrument, Zone

# What XML 1.0 cannot hold, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST_ATTACK_S = 10.0
_LONGEST_S = 25.0
_HIGHEST_HZ = 22000.0

_GroupKey = tuple[float, bool]
"""Low-pass corner in Hz (0 for none), one-shot."""


def dspreset_text(instrument: Instrument) -> str:
    """An instrument as a DecentSampler preset; samples are looked for under samples/ beside the file.

    Raises:
        InstrumentError: a sample's name holds a character that XML cannot hold.
    """
    groups = _grouped(instrument.zones)
    root = ET.Element("DecentSampler", minVersion="1.0.0")
    root.append(_ui(instrument, [index for index, (_, one_shot) in enumerate(groups) if not one_shot]))
    listing = ET.SubElement(root, "groups")
    lengths = _round_robins(instrument.zones)
    for key, zones in groups.items():
        group = ET.SubElement(listing, "group", _group_attributes(key, instrument.envelope))
        group.extend([_sample(zone, lengths[_span(zone)]) for zone in zones])
        if key[0]:
            effects = ET.SubElement(group, "effects")
            ET.SubElement(
                effects, "effect", type="lowpass", frequency=_number(min(key[0], _HIGHEST_HZ)), resonance="0.7"
            )
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _grouped(zones: Sequence[Zone]) -> dict[_GroupKey, list[Zone]]:
    groups: dict[_GroupKey, list[Zone]] = {}
    for zone in zones:
        groups.setdefault((zone.cutoff_hz or 0.0, zone.one_shot), []).append(zone)
    return groups


def _span(zone: Zone) -> tuple[int, int, int, int]:
    return zone.lo_key, zone.hi_key, zone.lo_velocity, zone.hi_velocity


def _round_robins(zones: Sequence[Zone]) -> dict[tuple[int, int, int, int], int]:
    """How many samples take turns on each rectangle of keys and velocities."""
    lengths: dict[tuple[int, int, int, int], int] = {}
    for zone in zones:
        lengths[_span(zone)] = max(lengths.get(_span(zone), 1), zone.seq_position)
    return lengths


def _group_attributes(key: _GroupKey, envelope: Envelope) -> dict[str, str]:
    cutoff_hz, one_shot = key
    name = f"below {cutoff_hz:.0f} Hz" if cutoff_hz else "full"
    if one_shot:
        # Without its envelope a sample plays to its end; a player too old to know that is given its longest release.
        shape = {"ampEnvEnabled": "false", "attack": "0", "decay": "0", "sustain": "1", "release": _number(_LONGEST_S)}
    else:
        shape = {
            "attack": _number(envelope.attack_s),
            "decay": _number(envelope.decay_s),
            "sustain": _number(envelope.sustain),
            "release": _number(envelope.release_s),
        }
    return {"name": name, "ampVelTrack": "1", **shape}


def _sample(zone: Zone, seq_length: int) -> ET.Element:
    attributes = {
        "path": _path(zone.sample),
        "rootNote": str(zone.root_key),
        "loNote": str(zone.lo_key),
        "hiNote": str(zone.hi_key),
        "loVel": str(zone.lo_velocity),
        "hiVel": str(zone.hi_velocity),
        "tuning": _number(zone.tune_cents / 100.0),
        "loopEnabled": "false",
    }
    if zone.loop_start is not None and zone.loop_end is not None:
        attributes |= {"loopEnabled": "true", "loopStart": str(zone.loop_start), "loopEnd": str(zone.loop_end)}
    if seq_length > 1:
        attributes |= {"seqMode": "round_robin", "seqLength": str(seq_length), "seqPosition": str(zone.seq_position)}
    if zone.exclusive_class:
        tag = f"exclusive{zone.exclusive_class}"
        attributes |= {"tags": tag, "silencedByTags": tag, "silencingMode": "fast"}
    return ET.Element("sample", attributes)


def _path(sample: str) -> str:
    if _NOT_XML.search(sample):
        raise InstrumentError(f"sample {sample!r}: its name holds a character that XML cannot hold: rename it")
    return f"samples/{sample}"


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _ui(instrument: Instrument, sustained: Sequence[int]) -> ET.Element:
    """The title, and knobs for the envelope of the groups that have one."""
    ui = ET.Element("ui", width="812", height="375", bgColor="FFF4EFE6")
    tab = ET.SubElement(ui, "tab", name="main")
    _label(tab, 60, instrument.name, "34", "FF2B2B2B")
    _label(tab, 110, f"{instrument.role}, made by photone of {instrument.source_effect.name}", "16", "FF7A7268")
    if sustained:
        envelope = instrument.envelope
        _knob(tab, 286, "Attack", "ENV_ATTACK", envelope.attack_s, _LONGEST_ATTACK_S, sustained)
        _knob(tab, 426, "Release", "ENV_RELEASE", envelope.release_s, _LONGEST_S, sustained)
    return ui


def _label(tab: ET.Element, y: int, text: str, size: str, colour: str) -> None:
    place = {"x": "56", "y": str(y), "width": "700", "height": "44"}
    ET.SubElement(tab, "label", place, text=_NOT_XML.sub(" ", text), textSize=size, textColor=colour, hAlign="center")


def _knob(
    tab: ET.Element, x: int, label: str, parameter: str, value: float, highest: float, groups: Sequence[int]
) -> None:
    knob = ET.SubElement(
        tab,
        "labeled-knob",
        {"x": str(x), "y": "190", "width": "100", "height": "120", "label": label, "parameterName": label},
        valueType="float",
        minValue="0",
        maxValue=_number(max(highest, value)),
        value=_number(value),
        defaultValue=_number(value),
        textSize="16",
        textColor="FF2B2B2B",
        trackForegroundColor="FFB4552D",
        trackBackgroundColor="33000000",
    )
    for index in groups:
        ET.SubElement(knob, "binding", type="amp", level="group", position=str(index), parameter=parameter)
