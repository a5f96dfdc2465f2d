"""DecentSampler presets say what the documents say, each zone once, and are XML whatever the names hold."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sfz_reader import document, instruments

from core.errors import InstrumentError
from phase2_music.instruments.decentsampler import dspreset_text
from schemas.document import ROLES
from schemas.instrument import Instrument, Zone


def zone_of(sample: ET.Element, group: ET.Element) -> Zone:
    """What the player makes of a sample, in the document's terms."""
    looped = sample.attrib["loopEnabled"] == "true"
    assert looped == ("loopStart" in sample.attrib) == ("loopEnd" in sample.attrib)
    effect = group.find("effects/effect")
    tag = sample.get("tags", "exclusive0")
    assert (sample.get("silencedByTags"), sample.get("silencingMode")) in [(None, None), (tag, "fast")]
    return Zone(
        sample=sample.attrib["path"].removeprefix("samples/"),
        root_key=int(sample.attrib["rootNote"]),
        tune_cents=round(100 * float(sample.attrib["tuning"]), 3),
        lo_key=int(sample.attrib["loNote"]),
        hi_key=int(sample.attrib["hiNote"]),
        lo_velocity=int(sample.attrib["loVel"]),
        hi_velocity=int(sample.attrib["hiVel"]),
        seq_position=int(sample.get("seqPosition", "1")),
        loop_start=int(sample.attrib["loopStart"]) if looped else None,
        loop_end=int(sample.attrib["loopEnd"]) if looped else None,
        cutoff_hz=None if effect is None else float(effect.attrib["frequency"]),
        exclusive_class=int(tag.removeprefix("exclusive")),
        one_shot=group.get("ampEnvEnabled") == "false",
    )


def zones_of(preset: ET.Element) -> list[Zone]:
    return [zone_of(sample, group) for group in preset.iterfind("groups/group") for sample in group.iterfind("sample")]


def in_order(zones: list[Zone]) -> list[str]:
    return sorted(zone.model_dump_json() for zone in zones)


@pytest.mark.parametrize("role", ROLES)
def test_our_instruments_play_the_files_beside_them(noise_band: Path, role: str) -> None:
    instrument = Instrument.read(noise_band / role / "instrument.json")
    preset = ET.fromstring(dspreset_text(instrument))
    assert in_order(zones_of(preset)) == in_order(instrument.zones)
    paths = {sample.attrib["path"] for sample in preset.iter("sample")}
    assert all((noise_band / role / path).is_file() for path in paths)
    assert {path.name for path in (noise_band / role / "samples").iterdir()} == {Path(path).name for path in paths}


@settings(deadline=None, max_examples=60)
@given(instrument=instruments())
def test_every_zone_is_there_once_as_in_the_document(instrument: Instrument) -> None:
    preset = ET.fromstring(dspreset_text(instrument))
    assert in_order(zones_of(preset)) == in_order(instrument.zones)


def key(number: int, **rest: object) -> Zone:
    fields = {"sample": f"{number}.wav", "root_key": number, "tune_cents": 0.0, "lo_key": number, "hi_key": number}
    return Zone.model_validate({**fields, **rest})


def test_hats_silence_each_other_and_nothing_else(noise_band: Path) -> None:
    preset = ET.fromstring(dspreset_text(Instrument.read(noise_band / "drums" / "instrument.json")))
    samples = list(preset.iter("sample"))
    hats = [sample for sample in samples if sample.attrib["rootNote"] in ("42", "44", "46")]
    assert {sample.attrib["rootNote"] for sample in hats} == {"42", "44", "46"}
    (tag,) = {sample.attrib["tags"] for sample in hats}
    silenced = [sample for sample in samples if tag in sample.get("silencedByTags", "").split(",")]
    assert silenced == hats == [sample for sample in samples if tag in sample.get("tags", "").split(",")]
    assert {sample.attrib["silencingMode"] for sample in hats} == {"fast"}


def test_round_robins_take_turns_only_where_there_are_several() -> None:
    zones = [key(60), key(61), key(61, sample="b.wav", seq_position=2)]
    samples = ET.fromstring(dspreset_text(document(zones))).iter("sample")
    turns = [[sample.get(name) for name in ("seqMode", "seqLength", "seqPosition")] for sample in samples]
    assert turns == [[None, None, None], ["round_robin", "2", "1"], ["round_robin", "2", "2"]]


def test_the_envelope_belongs_to_held_notes_and_one_shots_play_out() -> None:
    zones = [key(60, one_shot=True), key(61), key(62, cutoff_hz=3000.0)]
    envelope = {"attack_s": 0.01, "decay_s": 1.5, "sustain": 0.25, "release_s": 30.0}
    preset = ET.fromstring(dspreset_text(document(zones, envelope=envelope)))
    shot, plain, dark = preset.iterfind("groups/group")
    assert (shot.get("ampEnvEnabled"), shot.get("release")) == ("false", "25")
    for group in (plain, dark):
        shape = [group.get(name) for name in ("ampEnvEnabled", "attack", "decay", "sustain", "release")]
        assert shape == [None, "0.01", "1.5", "0.25", "30"]
    assert [group.get("ampVelTrack") for group in (shot, plain, dark)] == ["1", "1", "1"]
    assert plain.find("effects") is None
    assert dark.find("effects/effect[@type='lowpass'][@frequency='3000']") is not None


def test_knobs_start_at_the_envelope_and_leave_one_shots_alone() -> None:
    zones = [key(60, one_shot=True), key(61), key(62, cutoff_hz=3000.0)]
    envelope = {"attack_s": 0.01, "decay_s": 1.5, "sustain": 0.25, "release_s": 30.0}
    preset = ET.fromstring(dspreset_text(document(zones, envelope=envelope)))
    attack, release = preset.iter("labeled-knob")
    assert (attack.get("value"), attack.get("maxValue")) == ("0.01", "10")
    assert (release.get("value"), release.get("maxValue")) == ("30", "30")
    for knob, parameter in ((attack, "ENV_ATTACK"), (release, "ENV_RELEASE")):
        bound = [(b.get("level"), b.get("position"), b.get("parameter")) for b in knob]
        assert bound == [("group", "1", parameter), ("group", "2", parameter)]
    assert ET.fromstring(dspreset_text(document(zones[:1]))).find(".//labeled-knob") is None


def test_the_place_in_the_picture_is_the_mixs_affair_as_in_the_other_formats() -> None:
    assert dspreset_text(document([key(60)], pan=-0.25)) == dspreset_text(document([key(60)]))


@given(name=st.text())
def test_any_name_is_shown_and_is_xml(name: str) -> None:
    marked = f'<b a="1">&amp; {name}'
    text = dspreset_text(document([key(60, sample="a&b<1>.wav")], name=marked))
    preset = ET.fromstring(text.encode("utf-8"))
    title = preset.find("ui/tab/label")
    assert title is not None
    assert title.get("text", "").startswith('<b a="1">&amp; ')
    assert len(title.get("text", "")) == len(marked)
    assert [sample.get("path") for sample in preset.iter("sample")] == ["samples/a&b<1>.wav"]


def test_a_sample_name_that_xml_cannot_hold_is_refused() -> None:
    with pytest.raises(InstrumentError, match=r"sample 'a\\x01.wav': .*: rename it"):
        dspreset_text(document([key(60, sample="a\x01.wav")]))
