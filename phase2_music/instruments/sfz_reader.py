"""SFZ read back, and judged: what a player would stumble over, each problem with its line and how to mend it.

The opcodes and their ranges are those of `sfz.OPCODES`, the part of SFZ that photone writes. Keys and velocities without an
opcode have SFZ's defaults: the whole keyboard, every velocity, root key 60.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from core.errors import InstrumentError
from phase2_music.instruments.sfz import OPCODES, Opcode

Value = str | int | float

# From the widest to the narrowest: a new header forgets the opcodes of its own kind and of the kinds after it.
_LEVELS = ("global", "master", "group")
_HEADERS = ("control", *_LEVELS, "region")
_DEFAULTS: dict[str, int] = {
    "lokey": 0,
    "hikey": 127,
    "lovel": 1,
    "hivel": 127,
    "pitch_keycenter": 60,
    "xfin_lovel": 0,
    "xfin_hivel": 0,
    "xfout_lovel": 127,
    "xfout_hivel": 127,
    "seq_length": 1,
    "seq_position": 1,
}
_ORDERED = (
    ("lokey", "hikey"),
    ("lovel", "hivel"),
    ("xfin_lovel", "xfin_hivel"),
    ("xfout_lovel", "xfout_hivel"),
    ("seq_position", "seq_length"),
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|/\*.*\Z", re.DOTALL)
_DIRECTIVE = re.compile(r"#(?:define|include)\b")
_HEADER_OR_OPCODE = re.compile(r"<([^<>]*)>|(?<![^\s>])([^\s<>=]+)=")
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,3})?")
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[1-9]|lpt[1-9])(?:\..*)?", re.IGNORECASE)
_LONGEST_ROUND = 1000
_FARTHEST_ROOT = 12
_KEYS = ("pitch_keycenter", "lokey", "hikey")
_SILENT = ("no region sounds", "widen a region or add one")


@dataclass(frozen=True)
class SfzOpcode:
    """One opcode with the line that gives it; `value` is text where the opcode is unknown or its value of the wrong type."""

    name: str
    text: str
    value: Value
    line: int


Opcodes = Mapping[str, SfzOpcode]


@dataclass(frozen=True)
class SfzRegion:
    """One region with all that it inherits.

    `sample` is its path from the SFZ's folder (`default_path` applied), None where no header names one. Loop points are
    frames, `loop_end` the last frame of the loop.
    """

    line: int
    opcodes: Opcodes
    sample: str | None

    def whole(self, name: str) -> int:
        """The value of a whole-number opcode, SFZ's default where it is not given."""
        return _DEFAULTS[name] if (given := self._given(name)) is None else given

    def in_range(self, name: str) -> bool:
        """Whether a whole-number opcode has a value that players take."""
        return OPCODES[name].low <= self.whole(name) <= OPCODES[name].high

    def line_of(self, name: str) -> int:
        """The line that gives an opcode, the region's own where none does."""
        return self.opcodes[name].line if name in self.opcodes else self.line

    def _given(self, name: str) -> int | None:
        value = self.opcodes[name].value if name in self.opcodes else None
        return value if isinstance(value, int) else None

    @property
    def loop_start(self) -> int | None:
        return self._given("loop_start")

    @property
    def loop_end(self) -> int | None:
        return self._given("loop_end")

    @property
    def one_shot(self) -> bool:
        return "loop_mode" in self.opcodes and self.opcodes["loop_mode"].value == "one_shot"


@dataclass(frozen=True)
class SfzFile:
    """An SFZ file: the opcodes of its <control> headers (the last wins) and its regions in the order of the file."""

    path: Path
    control: Opcodes
    regions: tuple[SfzRegion, ...]


class _Problem(NamedTuple):
    line: int
    what: str
    mend: str
    fatal: bool = False

    def at(self, path: Path) -> str:
        return " ".join(f"{path}:{self.line}: {self.what}: {self.mend}".split())


@dataclass
class _Section:
    header: str
    line: int
    opcodes: dict[str, SfzOpcode] = field(default_factory=dict)


@dataclass
class _Parsed:
    sections: list[_Section] = field(default_factory=list)
    problems: list[_Problem] = field(default_factory=list)

    def complain(self, line: int, what: str, mend: str, *, fatal: bool = True) -> None:
        self.problems.append(_Problem(line, what, mend, fatal))


def read_sfz(path: Path) -> SfzFile:
    """Read an SFZ file; opcodes that photone does not know are kept as text.

    Raises:
        InstrumentError: the file cannot be read or is not SFZ (`check_sfz` lists everything that is wrong).
    """
    parsed = _parse(_text(path))
    for problem in sorted(parsed.problems):
        if problem.fatal:
            raise InstrumentError(problem.at(path))
    return _file(path, parsed.sections)


def check_sfz(path: Path) -> list[str]:
    """What is wrong with an SFZ file and its samples, in the order of the file, each as `file:line: what: how to mend it`.

    Every key between the lowest and the highest must sound once at every velocity 1..127 in every round robin; layers that
    cross-fade count together. A kit (one-shot regions only) may leave keys out.

    Raises:
        InstrumentError: the file cannot be read at all.
    """
    parsed = _parse(_text(path))
    file = _file(path, parsed.sections)
    problems = [
        *parsed.problems,
        *_control_problems(file, parsed.sections),
        *(problem for region in file.regions for problem in _region_problems(region)),
        *_root_problems(file.regions),
        *_sample_problems(file),
    ]
    if not any(problem.fatal for problem in problems) and all(map(_in_order, file.regions)):
        problems += _coverage_problems(file.regions)
    return list(dict.fromkeys(problem.at(path) for problem in sorted(problems)))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InstrumentError(f"{path}: no such SFZ file: check the path") from error
    except (OSError, ValueError) as error:
        raise InstrumentError(f"{path}: cannot be read ({error}): check the file") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _shown(text: str) -> str:
    short = text if len(text) <= 80 else text[:77] + "..."
    return short if short.isprintable() else repr(short)


# Text -> headers with their opcodes


def _parse(text: str) -> _Parsed:
    parsed = _Parsed()
    for number, line in enumerate(_without_comments(text, parsed).split("\n"), start=1):
        directive = _DIRECTIVE.search(line)
        if directive:
            parsed.complain(number, f"{directive[0]} is not supported", "write out what it stands for")
            line = line[: directive.start()]
        _parse_line(line, number, parsed)
    return parsed


def _without_comments(text: str, parsed: _Parsed) -> str:
    """The text with each comment blanked out, so that every line keeps its number."""

    def blank(comment: re.Match[str]) -> str:
        if comment[0].startswith("/*") and (len(comment[0]) < 4 or not comment[0].endswith("*/")):
            line = text.count("\n", 0, comment.start()) + 1
            parsed.complain(line, "the comment /* does not end", "close it with */")
        return " " + "\n" * comment[0].count("\n")

    return _COMMENT.sub(blank, text)


def _parse_line(line: str, number: int, parsed: _Parsed) -> None:
    tokens = list(_HEADER_OR_OPCODE.finditer(line))
    borders = [*(token.start() for token in tokens), len(line)]
    _stray(line[: borders[0]], number, parsed)
    for token, end in zip(tokens, borders[1:], strict=True):
        rest = line[token.end() : end].strip()
        if token[2] is None:
            _open(token[1], number, parsed)
            _stray(rest, number, parsed)
        else:
            _add(token[2], rest, number, parsed)


def _stray(text: str, number: int, parsed: _Parsed) -> None:
    if text.strip():
        parsed.complain(number, f"{_shown(text.strip())} belongs to no opcode", "remove it or write name=value")


def _open(header: str, number: int, parsed: _Parsed) -> None:
    if header not in _HEADERS:
        known = ", ".join(f"<{known}>" for known in _HEADERS)
        parsed.complain(number, f"unknown header <{_shown(header)}>", f"write one of {known}")
    parsed.sections.append(_Section(header, number))


def _add(name: str, text: str, number: int, parsed: _Parsed) -> None:
    if not parsed.sections:
        parsed.complain(number, f"{_shown(name)}= stands before any header", "write <global> or <region> before it")
        return
    section = parsed.sections[-1]
    if section.header not in _HEADERS:  # one complaint about the header is enough
        return
    if name in section.opcodes:
        mend = f"keep this one or that of line {section.opcodes[name].line}"
        parsed.complain(number, f"{_shown(name)} is given twice in one header", mend, fatal=False)
    row = OPCODES.get(name)
    if row is None:
        parsed.complain(number, f"unknown opcode {_shown(name)}", "correct its name or remove it", fatal=False)
    elif (row.header == "control") != (section.header == "control"):
        mend = "move it into <control>" if row.header == "control" else "move it out of <control>"
        parsed.complain(number, f"{name} does not belong into <{section.header}>", mend, fatal=False)
    value = _value(name, text, number, parsed) if row else text
    section.opcodes[name] = SfzOpcode(name, text, value, number)


def _value(name: str, text: str, number: int, parsed: _Parsed) -> Value:
    row = OPCODES[name]
    if row.kind is str:
        _check_word(name, text, number, parsed)
        return text
    value = _number(text, row)
    if value is None:
        kind = "whole number" if row.kind is int else "number"
        mend = f"write a {kind} from {row.low:g} to {row.high:g}"
        parsed.complain(number, f"{name}={_shown(text)} is not a {kind}", mend)
        return text
    if not row.low <= value <= row.high:
        mend = f"write a value from {row.low:g} to {row.high:g}"
        parsed.complain(number, f"{name}={_shown(text)} is out of range", mend, fatal=False)
    return value


def _number(text: str, row: Opcode) -> int | float | None:
    if row.kind is int:
        return int(text) if _WHOLE.fullmatch(text) else None
    value = float(text) if _DECIMAL.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def _check_word(name: str, text: str, number: int, parsed: _Parsed) -> None:
    if not text and name != "default_path":  # an empty default_path is how a file goes back to its own folder
        parsed.complain(number, f"{name} has no value", "write one or remove the opcode", fatal=False)
    elif OPCODES[name].words and text not in OPCODES[name].words:
        mend = f"write one of {', '.join(OPCODES[name].words)}"
        parsed.complain(number, f"{name}={_shown(text)} is not a word that players know", mend, fatal=False)


# Headers -> regions


def _file(path: Path, sections: Iterable[_Section]) -> SfzFile:
    control: dict[str, SfzOpcode] = {}
    inherited: dict[str, Opcodes] = {}
    regions = []
    for section in sections:
        if section.header == "control":
            control |= section.opcodes
        elif section.header == "region":
            regions.append(_region(section, inherited, control))
        elif section.header in _LEVELS:
            for level in _LEVELS[_LEVELS.index(section.header) :]:
                inherited.pop(level, None)
            inherited[section.header] = section.opcodes
    return SfzFile(path, MappingProxyType(control), tuple(regions))


def _region(section: _Section, inherited: Mapping[str, Opcodes], control: Opcodes) -> SfzRegion:
    opcodes: dict[str, SfzOpcode] = {}
    for level in _LEVELS:
        opcodes |= inherited.get(level, {})
    opcodes |= section.opcodes
    sample = None
    if "sample" in opcodes and opcodes["sample"].text:
        # SFZ puts default_path before the name as text: "samples/piano_" is a fair prefix.
        sample = (control["default_path"].text if "default_path" in control else "") + opcodes["sample"].text
    return SfzRegion(section.line, MappingProxyType(opcodes), sample)


# What is wrong with the headers and single regions


def _control_problems(file: SfzFile, sections: Iterable[_Section]) -> Iterator[_Problem]:
    if all(section.header in _HEADERS and section.header != "region" for section in sections):
        yield _Problem(1, "no <region>: nothing would sound", "write a <region> for each sample")
    hint = file.control.get("hint_ram_based")
    if hint is None or hint.value != 1:
        line = hint.line if hint else 1
        what = "hint_ram_based=1 is missing: sfizz goes silent when the computer is busy"
        yield _Problem(line, what, "write <control> hint_ram_based=1")


def _region_problems(region: SfzRegion) -> Iterator[_Problem]:
    for low, high in _ORDERED:
        first, last = region.whole(low), region.whole(high)
        if first > last and region.in_range(low) and region.in_range(high):
            line = region.line_of(low if low in region.opcodes else high)
            yield _Problem(line, f"{low}={first} is above {high}={last}", "swap or correct them")
    first_frame, last_frame = region.loop_start or 0, region.loop_end
    if last_frame is not None and first_frame > last_frame:
        line = region.line_of("loop_start")
        what = f"loop_start={first_frame} is after loop_end={last_frame}"
        yield _Problem(line, what, "swap or correct them")


def _in_order(region: SfzRegion) -> bool:
    """Whether a region's keys, velocities and turns make sense, so that it can be said what it covers."""
    return all(map(region.in_range, _DEFAULTS)) and all(
        region.whole(low) <= region.whole(high) for low, high in _ORDERED
    )


def _root_problems(regions: Sequence[SfzRegion]) -> Iterator[_Problem]:
    reach: dict[tuple[str | None, int], tuple[int, int]] = {}
    sound = [r for r in regions if all(map(r.in_range, _KEYS)) and r.whole("lokey") <= r.whole("hikey")]
    for region in sound:
        root, low, high = map(region.whole, _KEYS)
        lowest, highest = reach.get((region.sample, root), (low, high))
        reach[region.sample, root] = min(lowest, low), max(highest, high)
    for region in sound:
        root, low, high = map(region.whole, _KEYS)
        lowest, highest = reach[region.sample, root]
        # A round robin may borrow its neighbour's sample; what lies further from all regions that a sample has is a forgotten
        # or mistyped root.
        if not lowest - _FARTHEST_ROOT <= root <= highest + _FARTHEST_ROOT:
            line = region.line_of("pitch_keycenter")
            what = f"pitch_keycenter={root} is more than {_FARTHEST_ROOT} keys outside the region's {low}..{high}"
            yield _Problem(line, what, "name the key that the sample sounds, or correct lokey and hikey")


# What is wrong with the samples


class _Samples:
    """The sample files around an SFZ: each is looked for, and opened, once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spellings: dict[str, str] = {}
        self._listings: dict[Path, frozenset[str]] = {}
        self._last_frames: dict[str, int | None] = {}

    def missing(self, sample: str) -> str | None:
        """Why a sample cannot be found by its exact name (on any system, also one that ignores case), or None."""
        folder = self.folder
        for part in posixpath.normpath(sample).split("/"):
            names = self._names(folder)
            if part not in names:
                other = next((name for name in sorted(names) if name.casefold() == part.casefold()), None)
                return f"is missing, but {_shown(other)} is there" if other else "is missing"
            folder /= part
        return None

    def _names(self, folder: Path) -> frozenset[str]:
        if folder not in self._listings:
            try:
                self._listings[folder] = frozenset(entry.name for entry in folder.iterdir())
            except (OSError, ValueError):
                self._listings[folder] = frozenset()
        return self._listings[folder]

    def last_frame(self, sample: str) -> int | None:
        """The last frame of a sample that exists, -1 for an empty one, None where libsndfile cannot read it."""
        if sample not in self._last_frames:
            try:
                if not (self.folder / sample).is_file():  # a folder, or a pipe that would be waited for
                    raise OSError(f"{sample} is no file")
                frames = int(soundfile.info(str(self.folder / sample)).frames)
                self._last_frames[sample] = frames - 1
            except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError):
                self._last_frames[sample] = None
        return self._last_frames[sample]


def _sample_problems(file: SfzFile) -> Iterator[_Problem]:
    samples = _Samples(file.path.parent)
    for region in file.regions:
        if region.sample is None:
            yield _Problem(region.line, "the region has no sample", "write sample=")
            continue
        name, line = f"sample {_shown(region.sample)}", region.line_of("sample")
        path_problems = list(_path_problems(region.sample))
        yield from (_Problem(line, f"{name} {what}", mend) for what, mend in path_problems)
        if not path_problems:
            yield from _sound_problems(region, name, line, samples)


def _path_problems(sample: str) -> Iterator[tuple[str, str]]:
    if "\\" in sample:
        yield "holds a backslash", "write forward slashes"
        return
    if sample.startswith("/") or re.match(r"[A-Za-z]:", sample):
        yield "is an absolute path", "write its path from the folder of the SFZ file"
        return
    if posixpath.normpath(sample).split("/")[0] == "..":
        yield "lies outside the folder of the SFZ file", "move it beside or below the SFZ file"
    for part in sample.split("/"):
        if _FORBIDDEN.search(part) or _RESERVED.fullmatch(part):
            yield "is no file name on Windows", "use letters, digits, - and _"
        elif part.rstrip(". ") != part and part not in (".", ".."):
            yield "has a name that ends with a dot or a space, which Windows drops", "rename it"
        elif len(part.encode(errors="replace")) > 255:
            yield "has a name of more than 255 bytes", "shorten it"


def _sound_problems(region: SfzRegion, name: str, line: int, samples: _Samples) -> Iterator[_Problem]:
    assert region.sample is not None
    plain = posixpath.normpath(region.sample)
    first = samples.spellings.setdefault(plain.casefold(), plain)
    if first != plain:
        yield _Problem(line, f"{name} differs from {_shown(first)} only by case", "write both alike or rename one")
    missing = samples.missing(region.sample)
    if missing:
        yield _Problem(line, f"{name} {missing}", "put the file there or correct the name")
        return
    last = samples.last_frame(plain)
    if last is None:
        yield _Problem(line, f"{name} is not a sound that can be read", "convert it to WAV or FLAC")
    elif last < 0:
        yield _Problem(line, f"{name} holds no sound", "record or export it again")
    else:
        yield from _loop_problems(region, last)


def _loop_problems(region: SfzRegion, last: int) -> Iterator[_Problem]:
    for name in ("loop_start", "loop_end"):
        frame = region.loop_start if name == "loop_start" else region.loop_end
        if frame is not None and frame > last:
            what = f"{name}={frame} is past the last frame {last}"
            yield _Problem(region.line_of(name), what, "move the loop or use a longer sample")


# What the regions cover together: every key, velocity and round robin once


class _Fault(NamedTuple):
    line: int
    what: str
    mend: str


@dataclass
class _Patch:
    """A rectangle of keys and velocities that does not sound once; `slots` are the round robins concerned, from 1."""

    fault: _Fault
    lo_key: int
    hi_key: int
    lo_velocity: int
    hi_velocity: int
    slots: tuple[int, ...]

    def continues(self, below: _Patch) -> bool:
        """Whether it is the same fault, on the keys that follow."""
        return self.lo_key == below.hi_key + 1 and self._kind() == below._kind()

    def _kind(self) -> tuple[object, ...]:
        return self.fault.what, self.fault.mend, self.lo_velocity, self.hi_velocity, self.slots

    def problem(self) -> _Problem:
        where = f"keys {self.lo_key}..{self.hi_key}, velocities {self.lo_velocity}..{self.hi_velocity}"
        if self.slots:
            where += f", round robin {', '.join(map(str, self.slots[:8]))}{', ...' if len(self.slots) > 8 else ''}"
        return _Problem(self.fault.line, f"{where}: {self.fault.what}", self.fault.mend)


def _coverage_problems(regions: tuple[SfzRegion, ...]) -> Iterator[_Problem]:
    kit = all(region.one_shot for region in regions)
    edges = sorted({r.whole("lokey") for r in regions} | {r.whole("hikey") + 1 for r in regions})
    open_patches: list[_Patch] = []
    for low, after in pairwise(edges):
        sounding = [r for r in regions if r.whole("lokey") <= low <= r.whole("hikey")]
        patches = list(_patches(sounding, low, after - 1)) if sounding else []
        if not sounding and not kit:
            below = max((r for r in regions if r.whole("hikey") < low), key=lambda r: r.whole("hikey"))
            patches = [_Patch(_Fault(below.line, *_SILENT), low, after - 1, 1, 127, ())]
        open_patches, done = _joined(open_patches, patches)
        yield from (patch.problem() for patch in done)
    yield from (patch.problem() for patch in open_patches)


def _joined(before: list[_Patch], patches: list[_Patch]) -> tuple[list[_Patch], list[_Patch]]:
    """The patches that may still grow upwards, and those that are finished."""
    grown = []
    for patch in patches:
        earlier = next((other for other in before if patch.continues(other)), None)
        if earlier:
            before = [other for other in before if other is not earlier]
            patch.fault, patch.lo_key = earlier.fault, earlier.lo_key
        grown.append(patch)
    return grown, before


def _patches(sounding: list[SfzRegion], lo_key: int, hi_key: int) -> Iterator[_Patch]:
    """What is wrong on keys that all play the same regions."""
    lengths = {region.whole("seq_length") for region in sounding}
    slots = math.lcm(*(max(1, length) for length in lengths))
    if slots > _LONGEST_ROUND:
        what = f"the round robins of {len(lengths)} lengths hardly ever come together"
        fault = _Fault(sounding[0].line, what, "give them the same seq_length")
        yield _Patch(fault, lo_key, hi_key, 1, 127, ())
        return
    levels = np.array([_levels(region) for region in sounding])
    found: dict[tuple[int, int, _Fault], list[int]] = {}
    for slot in range(slots):
        turns = [slot % region.whole("seq_length") == region.whole("seq_position") - 1 for region in sounding]
        playing = levels * np.array(turns)[:, None]
        for low, high in _runs(np.abs(playing.sum(axis=0) - 1.0) > 0.1):
            found.setdefault((low, high, _fault(sounding, playing[:, low - 1], low)), []).append(slot + 1)
    for (low, high, fault), at in found.items():
        yield _Patch(fault, lo_key, hi_key, low, high, () if len(at) == slots else tuple(at))


def _levels(region: SfzRegion) -> npt.NDArray[np.float64]:
    """How far a region is faded in at velocities 1..127, shape (127,), from 0 to 1.

    Before `xf_velcurve` bends it: with `gain` the layers' amplitudes then sum to one, with `power` their powers do.
    """
    velocity = np.arange(1, 128)
    in_range = (velocity >= region.whole("lovel")) & (velocity <= region.whole("hivel"))
    low, high = region.whole("xfin_lovel"), region.whole("xfin_hivel")
    fade_in = np.where(velocity >= high, 1.0, np.clip((velocity - low) / max(1, high - low), 0.0, 1.0))
    low, high = region.whole("xfout_lovel"), region.whole("xfout_hivel")
    fade_out = np.where(velocity <= low, 1.0, np.clip((high - velocity) / max(1, high - low), 0.0, 1.0))
    return np.asarray(in_range * fade_in * fade_out)


def _runs(wrong: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and last velocity of each unbroken run of wrong ones; `wrong` has shape (127,), velocity 1 first."""
    for bad, run in groupby(range(127), key=lambda index: bool(wrong[index])):
        if bad:
            indices = list(run)
            yield indices[0] + 1, indices[-1] + 1


def _fault(sounding: list[SfzRegion], levels: npt.NDArray[np.float64], velocity: int) -> _Fault:
    """The line to mend and what is heard at a velocity."""
    heard = [region for region, level in zip(sounding, levels, strict=True) if level > 0]
    if levels.sum() > 1.0:
        what = f"the regions of lines {heard[0].line} and {heard[1].line} sound together"
        return _Fault(heard[1].line, what, "make them meet without overlap or cross-fade them")
    if heard:
        mend = "let it fade out over the velocities over which the next layer fades in"
        return _Fault(heard[0].line, "the layers fade to less than full level", mend)
    below = [region for region in sounding if region.whole("hivel") < velocity]
    nearest = max(below, key=lambda region: region.whole("hivel")) if below else sounding[0]
    return _Fault(nearest.line, *_SILENT)
