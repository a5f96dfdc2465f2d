"""SFZ as a player would read it: our own files come back as written, and each fault is found on its line."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import InstrumentError
from phase2_music.instruments.sfz import CORNER, OPCODES, sfz_text
from phase2_music.instruments.sfz_reader import SfzFile, SfzRegion, check_sfz, read_sfz
from phase2_music.instruments.zones import key_spans
from schemas.document import ROLES
from schemas.instrument import Instrument, Zone

FRAMES = 1000
HEAD = "<control> hint_ram_based=1 default_path=samples/\n"


def write_sample(path: Path, frames: int = FRAMES) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(frames), 44100, subtype="PCM_16")


def document(zones: list[Zone], **rest: object) -> Instrument:
    """An instrument of some zones, with what does not matter filled in."""
    value = {
        "role": "keyboard",
        "name": "rain keyboard",
        "source_effect": {
            "file": "rain.wav",
            "sha256": "0" * 64,
            "name": "rain",
            "pitched": False,
            "f0_hz": None,
            "voiced_probability": 0.0,
        },
        "pitched": False,
        "timbre": {"name": "none", "version": "1", "weights_sha256": None},
        "seed": 1,
        "character": 0.5,
        "method": "resynthesis",
        "sample_rate": 44100,
        "envelope": {"attack_s": 0.01, "decay_s": 0.5, "sustain": 0.5, "release_s": 0.3},
        "zones": zones,
        "verified": {"notes": 0, "within_25_cents": 0, "median_abs_cents": None},
    }
    return Instrument.model_validate({**value, **rest})


@st.composite
def instruments(draw: st.DrawFn) -> Instrument:
    """Melodic instruments and kits with velocity layers, cross-fades, round robins, loops and exclusive classes."""
    roots = sorted(draw(st.sets(st.integers(0, 127), min_size=1, max_size=5)))
    kit = draw(st.booleans())
    borders = draw(st.sampled_from([(1, 128), (1, 64, 128), (1, 43, 86, 128)]))
    spans = [(root, root) for root in roots] if kit else key_spans(roots)
    zones = []
    for root, (low, high) in zip(roots, spans, strict=True):
        loop = draw(st.none() | st.tuples(st.integers(0, 499), st.integers(500, FRAMES - 1))) if not kit else None
        same = {
            "root_key": root,
            "lo_key": low,
            "hi_key": high,
            "one_shot": kit,
            "tune_cents": draw(st.integers(-10000, 10000)) / 100,
            "exclusive_class": draw(st.integers(0, 2)) if kit else 0,
            **({"loop_start": loop[0], "loop_end": loop[1]} if loop else {}),
        }
        for turn in range(1, draw(st.integers(1, 3)) + 1):
            zones += [
                Zone(
                    **{"sample": f"s_{root:03d}_{turn}.wav", "seq_position": turn, **same},
                    lo_velocity=soft,
                    hi_velocity=loud - 1,
                    cutoff_hz=None if loud == 128 else 1000.0 * loud / 8,
                )
                for soft, loud in pairwise(borders)
            ]
    name = draw(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
    return document(zones, name=name, velocity_crossfade=draw(st.integers(0, 32)))


def zone_of(region: SfzRegion) -> Zone:
    """What a player makes of a region, in the document's terms: a border between layers lies mid-way in the cross-fade."""
    opcodes = {name: opcode.value for name, opcode in region.opcodes.items()}
    lo_velocity, hi_velocity = region.whole("lovel"), region.whole("hivel")
    if "xfin_lovel" in opcodes:
        lo_velocity = (region.whole("xfin_lovel") + region.whole("xfin_hivel")) // 2
    if "xfout_lovel" in opcodes:
        hi_velocity = (region.whole("xfout_lovel") + region.whole("xfout_hivel")) // 2 - 1
    assert region.sample is not None
    return Zone(
        sample=region.sample.removeprefix("samples/"),
        root_key=region.whole("pitch_keycenter"),
        tune_cents=opcodes["tune"],
        lo_key=region.whole("lokey"),
        hi_key=region.whole("hikey"),
        lo_velocity=lo_velocity,
        hi_velocity=hi_velocity,
        seq_position=region.whole("seq_position"),
        loop_start=region.loop_start,
        loop_end=region.loop_end,
        cutoff_hz=opcodes.get("cutoff"),
        exclusive_class=opcodes.get("group", 0),
        one_shot=region.one_shot,
    )


def same_zones(file: SfzFile, instrument: Instrument) -> bool:
    return [zone_of(region) for region in file.regions] == [as_written(zone) for zone in instrument.zones]


def as_written(zone: Zone) -> Zone:
    corner = zone.cutoff_hz and float(f"{CORNER * zone.cutoff_hz:.6g}")
    return zone.model_copy(update={"cutoff_hz": corner})


@pytest.mark.parametrize("role", ROLES)
def test_our_instruments_come_back_as_written_and_are_clean(noise_band: Path, role: str) -> None:
    path = noise_band / role / f"{role}.sfz"
    assert same_zones(read_sfz(path), Instrument.read(noise_band / role / "instrument.json"))
    assert check_sfz(path) == []


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sfz")


@settings(deadline=None, max_examples=60)
@given(instrument=instruments())
def test_what_the_writer_writes_is_read_back_and_clean(folder: Path, instrument: Instrument) -> None:
    path = folder / "made.sfz"
    path.write_text(sfz_text(instrument), encoding="utf-8")
    for zone in instrument.zones:
        write_sample(folder / "samples" / zone.sample)
    file = read_sfz(path)
    assert same_zones(file, instrument)
    assert file.control["hint_ram_based"].value == 1
    assert check_sfz(path) == []


def test_narrower_headers_win_and_new_ones_forget(folder: Path) -> None:
    path = folder / "inherit.sfz"
    path.write_text(
        "<control> default_path=a/\n"
        "<global> tune=1 lokey=10 hikey=20\n<master> tune=2\n<group> tune=3 sample=x.wav\n<region> tune=4\n<region>\n"
        "<group> hikey=19\n<region> lokey=11\n<master> lovel=5\n<region> sample=y.wav\n"
        "<control> default_path=b/piano_\n<global>\n<region> sample=C 4.wav tune=5\n"
    )
    regions = read_sfz(path).regions
    assert [region.line for region in regions] == [5, 6, 8, 10, 13]
    tunes = [region.opcodes["tune"].value if "tune" in region.opcodes else None for region in regions]
    assert tunes == [4, 3, 2, 1, 5]
    assert [region.sample for region in regions] == ["a/x.wav", "a/x.wav", None, "a/y.wav", "b/piano_C 4.wav"]
    assert [region.whole("lokey") for region in regions] == [10, 10, 11, 10, 0]
    assert [region.whole("hikey") for region in regions] == [20, 20, 19, 20, 127]
    assert [region.whole("lovel") for region in regions] == [1, 1, 1, 5, 1]
    assert regions[0].line_of("lokey") == 2
    assert regions[2].line_of("lokey") == 8


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_comments_line_ends_and_encodings_change_nothing(folder: Path, encoding: str, end: str) -> None:
    lines = [
        "// caf\xe9 <region> sample=no.wav",
        "/* over",
        "  two lines */ <control> hint_ram_based=1",
        "<region>sample=a b\xe9.wav  lokey=60 hikey=62// end",
        "loop_mode=one_shot /* so */ pitch_keycenter=61 <region> sample=c.wav",
    ]
    path = folder / "lines.sfz"
    path.write_bytes(end.join(lines).encode(encoding))
    first, second = read_sfz(path).regions
    assert first.sample == "a b\xe9.wav"
    assert (first.whole("lokey"), first.whole("hikey"), first.whole("pitch_keycenter")) == (60, 62, 61)
    assert first.one_shot
    assert (first.line, first.line_of("loop_mode"), second.line, second.sample) == (4, 5, 5, "c.wav")


WHOLE = "<region> sample=ok.wav "
FAULTS = [
    ("<sound> sample=ok.wav", r":3: unknown header <sound>: write one of <control>, "),
    (WHOLE + "lokye=3", r":3: unknown opcode lokye: "),
    (WHOLE + "lokey=c4", r":3: lokey=c4 is not a whole number: write a whole number from 0 to 127"),
    (WHOLE + "lokey=3 4", r":3: lokey=3 4 is not a whole number"),
    (WHOLE + "tune=1e999", r":3: tune=1e999 is not a number: write a number from -100 to 100"),
    (WHOLE + "tune=101", r":3: tune=101 is out of range: write a value from -100 to 100"),
    (WHOLE + "seq_length=0", r":3: seq_length=0 is out of range"),
    (WHOLE + "pitch_keycenter=128", r":3: pitch_keycenter=128 is out of range"),
    (WHOLE + "hikey=47", r":3: pitch_keycenter=60 is more than 12 keys outside the region's 0\.\.47: "),
    (WHOLE + "loop_mode=loop_continous", r":3: loop_mode=loop_continous is not a word that players know: "),
    (WHOLE + "loop_mode=", r":3: loop_mode has no value: "),
    (WHOLE + "hint_ram_based=1", r":3: hint_ram_based does not belong into <region>: move it into <control>"),
    ("<control> tune=1 <region> sample=ok.wav", r":3: tune does not belong into <control>: move it out"),
    (WHOLE + "tune=1\ntune=2", r":4: tune is given twice in one header: keep this one or that of line 3"),
    (WHOLE + "\nblah", r":4: blah belongs to no opcode: "),
    (WHOLE + "\n#define $A 3", r":4: #define is not supported: "),
    (WHOLE + "\n#include <a.sfz>", r":4: #include is not supported: "),
    (WHOLE + "\n/* more", r":4: the comment /\* does not end: "),
    ("<region> lokey=1", r":3: the region has no sample: "),
    ("<region>\nsample=gone.wav", r":4: sample samples/gone.wav is missing: "),
    ("<region> sample=OK.wav", r":3: sample samples/OK.wav is missing, but ok.wav is there: "),
    ("<control> default_path= <region>\nsample=samples", r":4: sample samples is not a sound that can be read: "),
    ("<region> sample=text.wav", r":3: sample samples/text.wav is not a sound that can be read: "),
    ("<region> sample=empty.wav", r":3: sample samples/empty.wav holds no sound: "),
    ("<control> default_path=\n<region> sample=/tmp/ok.wav", r":4: sample /tmp/ok.wav is an absolute path: "),
    ("<control> default_path=\n<region> sample=C:/ok.wav", r":4: sample C:/ok.wav is an absolute path: "),
    ("<region> sample=a\\ok.wav", r":3: sample samples/a\\ok.wav holds a backslash: write forward slashes"),
    ("<region> sample=../../ok.wav", r":3: sample samples/../../ok.wav lies outside the folder of the SFZ file: "),
    ("<region> sample=what?.wav", r":3: sample samples/what\?.wav is no file name on Windows: "),
    ("<region> sample=nul.wav", r":3: sample samples/nul.wav is no file name on Windows: "),
    ("<region> sample=ok.", r":3: sample samples/ok. has a name that ends with a dot or a space"),
    ("<region> sample=" + "x" * 256, r"has a name of more than 255 bytes: "),
    ("<region> sample=../Samples/ok.wav", r":3: sample samples/../Samples/ok.wav is missing, but samples is there"),
    (WHOLE + "lokey=70 hikey=60", r":3: lokey=70 is above hikey=60: "),
    (WHOLE + "\nhivel=60\nlovel=61", r":5: lovel=61 is above hivel=60: "),
    (WHOLE + "seq_position=2", r":3: seq_position=2 is above seq_length=1: "),
    (WHOLE + "xfin_lovel=60 xfin_hivel=50", r":3: xfin_lovel=60 is above xfin_hivel=50: "),
    (WHOLE + "loop_start=9\nloop_end=8", r":3: loop_start=9 is after loop_end=8: "),
    (WHOLE + "\nloop_end=1000", r":4: loop_end=1000 is past the last frame 999: "),
    (WHOLE + "\nloop_start=1000", r":4: loop_start=1000 is past the last frame 999: "),
    (
        WHOLE + "hikey=60\n" + WHOLE + "lokey=70 pitch_keycenter=70",
        r":3: keys 61\.\.69, velocities 1\.\.127: no region",
    ),
    (WHOLE + "hivel=60\n" + WHOLE + "lovel=63", r":3: keys 0\.\.127, velocities 61\.\.62: no region sounds: widen"),
    (WHOLE + "lovel=2", r":3: keys 0\.\.127, velocities 1\.\.1: no region sounds"),
    (
        WHOLE + "hikey=60\n" + WHOLE + "lokey=60",
        r":4: keys 60\.\.60, velocities 1\.\.127: the regions of lines 3 and 4",
    ),
    (
        WHOLE + "hivel=60\n" + WHOLE + "lovel=60",
        r":4: keys 0\.\.127, velocities 60\.\.60: the regions of lines 3 and 4",
    ),
    (WHOLE + "seq_length=2", r":3: keys 0\.\.127, velocities 1\.\.127, round robin 2: no region sounds"),
    (WHOLE + "seq_length=2\n" + WHOLE, r":4: keys 0\.\.127, velocities 1\.\.127, round robin 1: the regions of lines"),
    (WHOLE + "seq_length=97\n" + WHOLE + "seq_length=89", r"the round robins of 2 lengths hardly ever come together"),
    (
        WHOLE + "hivel=80 xfout_lovel=40 xfout_hivel=80\n" + WHOLE + "lovel=60 xfin_lovel=60 xfin_hivel=80",
        r":3: keys 0\.\.127, velocities \d+\.\.\d+: the layers fade to less than full level: ",
    ),
]


@pytest.fixture(scope="session")
def faulty(folder: Path) -> Path:
    samples = folder / "samples"
    write_sample(samples / "ok.wav")
    write_sample(samples / "empty.wav", frames=0)
    (samples / "text.wav").write_text("not a sound")
    return folder / "faulty.sfz"


@pytest.mark.parametrize(("text", "problem"), FAULTS)
def test_each_fault_is_found_on_its_line(faulty: Path, text: str, problem: str) -> None:
    faulty.write_text(HEAD + "\n" + text + "\n")
    found = check_sfz(faulty)
    assert len(found) == 1, found
    assert re.search(problem, found[0])
    assert re.fullmatch(r".+:[0-9]+: .+: .+", found[0])


def test_faults_of_the_whole_file_and_of_names_that_clash(faulty: Path) -> None:
    faulty.write_text("<control> default_path=samples/\n")
    hint, empty = check_sfz(faulty)
    assert ":1: hint_ram_based=1 is missing" in hint
    assert ":1: no <region>" in empty
    faulty.write_text("\n<control> hint_ram_based=0 default_path=samples/\n" + WHOLE)
    assert [":2: hint_ram_based=1 is missing" in problem for problem in check_sfz(faulty)] == [True]
    faulty.write_text(HEAD + WHOLE + "hikey=60\n<region> lokey=61 pitch_keycenter=61 sample=Ok.wav\n")
    assert ":3: sample samples/Ok.wav differs from samples/ok.wav only by case: " in check_sfz(faulty)[0]


CLEAN = [
    WHOLE + "hivel=80 xfout_lovel=40 xfout_hivel=80\n" + WHOLE + "lovel=40 xfin_lovel=40 xfin_hivel=80",
    f"{WHOLE}lokey=60 hikey=60 loop_mode=one_shot\n{WHOLE}lokey=72 hikey=72 pitch_keycenter=72 loop_mode=one_shot",
    WHOLE + "seq_length=2\n" + WHOLE + "seq_length=2 seq_position=2",
    WHOLE + "seq_length=4\n" + WHOLE + "seq_length=2 seq_position=2\n" + WHOLE + "seq_length=4 seq_position=3",
    WHOLE + "loop_mode=loop_continuous loop_start=0 loop_end=999",
    WHOLE + "hikey=48",
    "<control> default_path= <region> sample=./samples/../samples/ok.wav",
]


@pytest.mark.parametrize("text", CLEAN)
def test_what_plays_well_is_not_faulted(faulty: Path, text: str) -> None:
    faulty.write_text(HEAD + text)
    assert check_sfz(faulty) == []


@pytest.mark.parametrize("text", ["<region> lokey=x", "lokey=3", "#include <a>", "<bus>", "blah", "<region> /*"])
def test_what_is_not_sfz_is_refused_with_its_line(faulty: Path, text: str) -> None:
    faulty.write_text("\n" + text)
    with pytest.raises(InstrumentError, match=r"faulty\.sfz:2: .+: .+"):
        read_sfz(faulty)


def test_a_file_that_cannot_be_read_says_so(folder: Path) -> None:
    for read in (read_sfz, check_sfz):
        with pytest.raises(InstrumentError, match="no such SFZ file: check the path"):
            read(folder / "gone.sfz")
        with pytest.raises(InstrumentError, match="cannot be read"):
            read(folder)
        with pytest.raises(InstrumentError, match="cannot be read"):
            read(folder / "\0.sfz")


WORDS = [
    *(f"{name}=" for name in OPCODES),
    *("<region>", "<group>", "<global>", "<master>", "<control>", "<curve>", "<", ">", "=", "\n", "\r\n", " ", "  "),
    *("//", "/*", "*/", "#define", "#include", "-1", "0", "1", "60", "127", "128", "1e9", "9" * 30, "nan", "inf", "\0"),
    *("ok.wav", "samples/", "../", "/", "\\", "con", "one_shot", "gain", "\ufeff", "\u2028", "é", "٣", "\x85"),
]
DIGITS = st.integers(-2, 130).map(str)


@settings(deadline=None, max_examples=300)
@given(data=st.lists(st.sampled_from(WORDS) | DIGITS | st.text(max_size=4), max_size=40).map("".join) | st.binary())
@example(data="<region>sample=samples/" + "/x" * 5000)
@example(data="<region>seq_length=100 <region>seq_length=99 <region>seq_length=97")
def test_only_our_errors_escape_from_any_bytes(faulty: Path, data: str | bytes) -> None:
    faulty.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    problems = check_sfz(faulty)
    assert all(problem.startswith(f"{faulty}:") and len(problem.splitlines()) == 1 for problem in problems)
    try:
        file = read_sfz(faulty)
    except InstrumentError:
        assert problems
    else:
        assert all(region.line >= 1 for region in file.regions)
