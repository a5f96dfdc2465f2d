"""`photone eval instruments`: build instruments out of many sounds and measure what a musician would notice."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from core.audio import SAMPLE_RATE, Audio, Samples, read_audio
from core.errors import EngineError, PhotoneError
from core.manifest import sha256_bytes, sha256_file
from flows.evaluation.judges import FluidSynthPlayer, Player, SfizzPlayer, Strike
from flows.evaluation.measures import (
    Floats,
    Seam,
    centroid_hz,
    change_click_db,
    decibels,
    measure_seam,
    mel_distance,
    mel_profile,
    rms,
    start_click_db,
)
from flows.evaluation.peer import shifted_notes
from flows.evaluation.sources import Source, make_source, source_names
from phase2_music.instruments.build import InstrumentRequest, build_instrument
from phase2_music.instruments.pitch import cents_between, comb_pitch, key_to_hz, yin_pitch
from phase2_music.instruments.roles import ROLE_SPECS
from phase2_music.rendering.synth import play_keys
from phase2_music.timbre import TIMBRE_ENGINES
from schemas.document import ROLES, Role
from schemas.instrument import Instrument, Zone

PLAYERS: dict[str, Callable[[], Player]] = {"fluidsynth": FluidSynthPlayer, "sfizz": SfizzPlayer}
IN_TUNE_CENTS = 25.0
VELOCITIES = (20, 64, 120)

_NOTE_S = 1.0
_VELOCITY = 100
_SAMPLED_KEYS = 5
_NOT_HEARD_CENTS = 9999.0
_ATTACK = slice(round(0.03 * SAMPLE_RATE), None)

Report = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated: names of sources (none for the default ones), roles, every `step`-th key, with the peer or not.

    `out` keeps the instruments that were built, in a folder per source; None throws them away.
    """

    sources: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ROLES
    step: int = 1
    seed: int = 0
    out: Path | None = None
    peer: bool = True


@dataclass(frozen=True)
class Tuning:
    """Played notes of a role: how far two trackers (YIN, comb) hear each from its key, in cents; shape (notes, 2).

    A player of round robins plays every key twice: as the first note, and in one go in which the round robins turn.
    """

    keys: tuple[int, ...]
    cents: tuple[tuple[float, float], ...]

    @property
    def within(self) -> list[bool]:
        return [max(map(abs, pair)) <= IN_TUNE_CENTS for pair in self.cents]

    @property
    def off_cents(self) -> list[float]:
        return [(abs(yin) + abs(comb)) / 2 for yin, comb in self.cents]

    def as_json(self) -> dict[str, Any]:
        off = {str(key): pair for key, pair, good in zip(self.keys, self.cents, self.within, strict=True) if not good}
        middle = round(median(self.off_cents), 3) if self.cents else None
        return {
            "notes": len(self.keys),
            "within_25_cents": sum(self.within),
            "median_cents": middle,
            "out_of_tune": off,
        }


@dataclass(frozen=True)
class Agreement:
    """One note in both players: distance in pitch (None for drums), in level, and in how far the note has died down.

    `level_db` is the first player's level over the second's, less the one offset between the players where that was taken
    away; `decay_db` the same of the note's last quarter of a second against its first.
    """

    key: int
    velocity: int
    cents: float | None
    level_db: float
    decay_db: float | None


@dataclass(frozen=True)
class Click:
    """The break at an event ("start", "release", "steal") of a note, in dB against its surroundings."""

    event: str
    key: int
    db: float


@dataclass(frozen=True)
class Brightness:
    """Spectral centroids of one key in one player at the velocities of VELOCITIES; `rise` is the smallest ratio upwards."""

    player: str
    key: int
    centroids_hz: tuple[float, ...]

    @property
    def rise(self) -> float:
        return min(louder / max(softer, 1e-9) for softer, louder in pairwise(self.centroids_hz))


@dataclass(frozen=True)
class Peer:
    """The same source and role by librosa's pitch_shift of one sample."""

    tuning: Tuning
    mel_db: float
    cpu_s: float


@dataclass(frozen=True)
class Row:
    """One source in one role. `problem` says why there is nothing to measure."""

    source: str
    role: Role
    method: str = ""
    pitched: bool = False
    build_cpu_s: float = 0.0
    size_bytes: int = 0
    tuning: dict[str, Tuning] = field(default_factory=dict)
    agreement: tuple[Agreement, ...] = ()
    seams: tuple[Seam, ...] = ()
    clicks: tuple[Click, ...] = ()
    brightness: tuple[Brightness, ...] = ()
    mel_db: float | None = None
    peer: Peer | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        return f"{self.source} {self.role}"

    def worst_click(self, event: str) -> float | None:
        return max((click.db for click in self.clicks if click.event == event), default=None)


@dataclass(frozen=True)
class Figure:
    """One figure over all rows: `met` of `of` values meet the target; `value` is the worst (or the share), found at `where`."""

    name: str
    target: str
    value: float | None
    where: str
    met: int
    of: int
    passed: bool


@dataclass(frozen=True)
class Evaluation:
    """All rows, the figures over them, and the judges that are missing with the reason."""

    rows: tuple[Row, ...]
    figures: tuple[Figure, ...]
    missing: dict[str, str]
    offset_db: float | None

    @property
    def passed(self) -> bool:
        return all(figure.passed for figure in self.figures)


def evaluate(options: EvaluationOptions, report: Report = lambda text: None) -> Evaluation:
    """Build and measure every source in every role.

    Raises:
        UsageError: there is no source of a name.
    """
    names = source_names(options.sources)
    players, missing = find_players()
    rows: list[Row] = []
    same = None
    with tempfile.TemporaryDirectory(prefix="photone-eval-") as scratch:
        out = options.out or Path(scratch)
        _warm_up(Path(scratch) / "warm-up")
        for name in names:
            source = make_source(name)
            for role in options.roles:
                report(f"{len(rows) + 1}/{len(names) * len(options.roles)}: {name} {role}")
                rows.append(_row(source, role, options, players, out / name / role))
            if same is None:
                same = _same_bytes(source, options, out / name, Path(scratch) / "again")
    offset_db, rows = _levelled(rows)
    return Evaluation(tuple(rows), tuple(_figures(rows, same, missing, options)), missing, offset_db)


def _levelled(rows: list[Row]) -> tuple[float | None, list[Row]]:
    """Take the one constant offset between the players (the median over all notes of all roles) off their levels."""
    levels = [note.level_db for row in rows for note in row.agreement]
    if not levels:
        return None, rows
    offset = median(levels)
    return round(offset, 3), [dataclasses.replace(row, agreement=_less(row.agreement, offset)) for row in rows]


def _less(notes: Iterable[Agreement], offset_db: float) -> tuple[Agreement, ...]:
    return tuple(dataclasses.replace(note, level_db=round(note.level_db - offset_db, 3)) for note in notes)


def find_players() -> tuple[list[Player], dict[str, str]]:
    """The players that are here, and the reason for each that is not."""
    players, missing = [], {}
    for name, make in PLAYERS.items():
        try:
            players.append(make())
        except EngineError as error:
            missing[name] = str(error)
    return players, missing


def _warm_up(folder: Path) -> None:
    """Import and compile what the first build would be charged for."""
    sound = Audio(np.random.default_rng(0).standard_normal(SAMPLE_RATE // 2) * 0.1, SAMPLE_RATE)
    _build(Source("warm-up", sound), "bass", 0, folder)
    mel_profile(sound.mono())
    list(shifted_notes(sound, [60]))


def _build(source: Source, role: Role, seed: int, folder: Path) -> tuple[Instrument, float]:
    """Build an instrument; gives its document and the CPU seconds, those of child processes too."""
    engine = TIMBRE_ENGINES.load(TIMBRE_ENGINES.default)
    digest = sha256_bytes(source.sound.samples.tobytes())
    request = InstrumentRequest(source.sound, f"{source.name}.wav", digest, source.name, role, seed)
    before = os.times()
    build_instrument(request, engine, folder)
    after = os.times()
    return Instrument.read(folder / "instrument.json"), sum(after[:4]) - sum(before[:4])


def _same_bytes(source: Source, options: EvaluationOptions, first: Path, second: Path) -> bool:
    """Whether a second build of every role gives the same files with the same bytes."""
    try:
        for role in options.roles:
            _build(source, role, options.seed, second / role)
    except PhotoneError:
        return False
    return _hashes(first) == _hashes(second)


def _hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def _row(source: Source, role: Role, options: EvaluationOptions, players: Sequence[Player], folder: Path) -> Row:
    try:
        document, cpu_s = _build(source, role, options.seed, folder)
        row = Row(source.name, role, document.method, document.source_effect.pitched, cpu_s, _size(folder))
        return _measured(row, source, document, options, players, folder)
    except PhotoneError as error:
        return Row(source.name, role, problem=str(error))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _measured(
    row: Row, source: Source, document: Instrument, options: EvaluationOptions, players: Sequence[Player], folder: Path
) -> Row:
    keys = tuple(range(ROLE_SPECS[row.role].lo_key, ROLE_SPECS[row.role].hi_key + 1, options.step))
    heard = {player.name: _hear(player, folder, row.role, keys) for player in players}
    melodic, unpitched = row.role != "drums", not row.pitched
    colour = mel_profile(source.sound.mono())
    return dataclasses.replace(
        row,
        tuning={name: ear.tuning for name, ear in heard.items()} if melodic else {},
        agreement=tuple(_agreement(row.role, heard)),
        seams=tuple(_seams(document, folder)),
        clicks=tuple(_clicks(document, folder, keys)),
        brightness=tuple(_brightness(heard, keys)),
        mel_db=_mel_db(heard, colour) if melodic and unpitched else None,
        peer=_peer(source, keys, colour) if melodic and options.peer else None,
    )


@dataclass(frozen=True)
class _Heard:
    """What one player made of a role: pitches, and per strike its level and centroid; colours of the sampled keys."""

    tuning: Tuning
    level_db: dict[Strike, float]
    decay_db: dict[Strike, float]
    centroid_hz: dict[Strike, float]
    colours: tuple[tuple[int, Floats], ...]


def sampled(keys: Sequence[int]) -> tuple[int, ...]:
    """Five keys (or all, where they are fewer) from the inside of the range."""
    places = (np.arange(_SAMPLED_KEYS) + 0.5) / _SAMPLED_KEYS * len(keys)
    return tuple(sorted({keys[int(place)] for place in places}))


def _hear(player: Player, folder: Path, role: Role, keys: Sequence[int]) -> _Heard:
    strikes = [Strike(key, _VELOCITY) for key in keys]
    strikes += [Strike(key, velocity) for key in sampled(keys) for velocity in VELOCITIES]
    level, decay, centroid = {}, {}, {}
    cents, colours = [], []
    for strike, sound in zip(strikes, player.play(folder, role, strikes, _NOTE_S), strict=True):
        level[strike], decay[strike], centroid[strike] = decibels(rms(sound)), _decay_db(sound), centroid_hz(sound)
        if strike.velocity == _VELOCITY and role != "drums":
            cents.append(_off_cents(sound, strike.key))
            colours += [(strike.key, mel_profile(sound))] if strike.key in sampled(keys) else []
    if role == "drums":
        return _Heard(Tuning((), ()), level, decay, centroid, ())
    turns = player.play_on(folder, role, strikes[: len(keys)], _NOTE_S)
    again = [(key, _off_cents(sound, key)) for key, sound in zip(keys, turns, strict=False)]
    tuning = Tuning((*keys, *(key for key, _ in again)), (*cents, *(pair for _, pair in again)))
    return _Heard(tuning, level, decay, centroid, tuple(colours))


def _decay_db(sound: Samples) -> float:
    """Level of the last quarter of a note against its first."""
    quarter = len(sound) // 4
    return decibels(rms(sound[-quarter:]) / max(rms(sound[:quarter]), 1e-12))


def _off_cents(sound: Samples, key: int) -> tuple[float, float]:
    """How far two trackers hear a note from its key, in cents."""
    steady = sound[_ATTACK]
    yin, comb = (track(steady, SAMPLE_RATE) for track in (yin_pitch, comb_pitch))
    return _cents(yin, key), _cents(comb, key)


def _cents(found_hz: float | None, key: int) -> float:
    """Distance from the key; a tracker that finds nothing, or no frequency (its interpolation can run off), heard nothing."""
    heard = found_hz is not None and np.isfinite(found_hz) and found_hz > 0
    return round(cents_between(found_hz, key_to_hz(key)), 3) if found_hz and heard else _NOT_HEARD_CENTS


def _agreement(role: Role, heard: dict[str, _Heard]) -> Iterator[Agreement]:
    """Per strike how far the two players are apart."""
    if len(heard) < 2:
        return
    one, other = heard.values()
    for place, strike in enumerate(one.level_db):
        tracked = role != "drums" and strike.velocity == _VELOCITY
        apart = _apart(one.tuning.cents[place], other.tuning.cents[place]) if tracked else None
        level = one.level_db[strike] - other.level_db[strike]
        decay = one.decay_db[strike] - other.decay_db[strike] if role != "drums" else None
        yield Agreement(*strike, apart, level, None if decay is None else round(decay, 3))


def _apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Distance in cents by the tracker that finds less: one that slips by an octave in one player says nothing of it."""
    return round(min(abs(a - b) for a, b in zip(one, other, strict=True)), 3)


def _seams(document: Instrument, folder: Path) -> Iterator[Seam]:
    done = set()
    for zone in document.zones:
        if zone.loop_start is None or zone.loop_end is None or zone.sample in done:
            continue
        done.add(zone.sample)
        audio = read_audio(folder / "samples" / zone.sample)
        f0_hz = key_to_hz(zone.root_key - zone.tune_cents / 100)
        for channel, samples in enumerate(audio.samples):
            loop = samples[zone.loop_start : zone.loop_end + 1]
            yield measure_seam(zone.sample, channel, loop, f0_hz, audio.sample_rate)


def _clicks(document: Instrument, folder: Path, keys: Sequence[int]) -> Iterator[Click]:
    """Clicks at the start, the release and the steal of notes, through FluidSynth."""
    role = document.role
    sf2 = folder / f"{role}.sf2"
    seconds, at = 0.7, 0.4
    for key in sampled(keys)[::2]:
        ((_, held),) = play_keys(sf2, role, [key], seconds=seconds)
        ((_, released),) = play_keys(sf2, role, [key], seconds=seconds, hold_s=at)
        yield Click("start", key, start_click_db(held))
        yield Click("release", key, change_click_db(released, held))
    for key, then in _steals(document.zones, keys):
        ((_, held),) = play_keys(sf2, role, [key], seconds=seconds)
        ((_, stolen),) = play_keys(sf2, role, [key], seconds=seconds, then=then, after_s=at)
        yield Click("steal", key, change_click_db(stolen, held))


def _steals(zones: Iterable[Zone], keys: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of keys of which the second cuts the first: those of one exclusive class, and keys struck again."""
    classes: dict[int, list[int]] = {}
    for zone in zones:
        if zone.exclusive_class and zone.lo_key not in classes.setdefault(zone.exclusive_class, []):
            classes[zone.exclusive_class].append(zone.lo_key)
    chokes = [(members[-1], members[0]) for members in classes.values() if len(members) > 1]
    return chokes + [(key, key) for key in sampled(keys)[::2]]


def _brightness(heard: dict[str, _Heard], keys: Sequence[int]) -> Iterator[Brightness]:
    for name, ear in heard.items():
        for key in sampled(keys):
            yield Brightness(name, key, tuple(round(ear.centroid_hz[Strike(key, v)], 2) for v in VELOCITIES))


def _mel_db(heard: dict[str, _Heard], colour: Floats) -> float | None:
    colours = next(iter(heard.values())).colours if heard else ()
    return (
        round(float(np.mean([mel_distance(own, colour, key_to_hz(key)) for key, own in colours])), 3)
        if colours
        else None
    )


def _peer(source: Source, keys: Sequence[int], colour: Floats) -> Peer:
    cents, distances, cpu_s = [], [], 0.0
    for key, sound, spent_s in shifted_notes(source.sound, keys):
        cpu_s += spent_s
        cents.append(_off_cents(sound, key))
        distances += [mel_distance(mel_profile(sound), colour, key_to_hz(key))] if key in sampled(keys) else []
    return Peer(Tuning(tuple(keys), tuple(cents)), round(float(np.mean(distances)), 3), round(cpu_s, 3))


Value = tuple[str, float]


@dataclass(frozen=True)
class Limit:
    """A target that every value has to meet: `sign` +1 where it is a ceiling, -1 where it is a floor."""

    name: str
    unit: str
    limit: float
    values: Callable[[Row], Iterable[Value]]
    sign: int = 1
    strict: bool = False

    def met(self, value: float) -> bool:
        return self.sign * value < self.sign * self.limit if self.strict else self.sign * (value - self.limit) <= 0

    @property
    def target(self) -> str:
        comparison = ("<" if self.sign > 0 else ">") + ("" if self.strict else "=")
        return f"{comparison} {self.limit:g} {self.unit}".strip()


def _clicks_of(event: str) -> Callable[[Row], Iterable[Value]]:
    return lambda row: ((f"key {click.key}", click.db) for click in row.clicks if click.event == event)


def _seams_by(attribute: str) -> Callable[[Row], Iterable[Value]]:
    return lambda row: ((f"{seam.sample}:{seam.channel}", getattr(seam, attribute)) for seam in row.seams)


LIMITS: tuple[Limit, ...] = (
    Limit("players agree: pitch", "cents", 5.0,
          lambda row: ((f"key {note.key}", note.cents) for note in row.agreement if note.cents is not None)),
    Limit("players agree: level", "dB", 1.0,
          lambda row: ((f"key {note.key} velocity {note.velocity}", abs(note.level_db)) for note in row.agreement)),
    Limit("players agree: decay", "dB", 1.0,
          lambda row: ((f"key {note.key}", abs(note.decay_db)) for note in row.agreement if note.decay_db is not None)),
    Limit("loop: seam click", "dB", -3.0, _seams_by("click_db")),
    Limit("loop: spectral flux", "", 1.2, _seams_by("flux")),
    Limit("loop: RMS step", "dB", 1.0, _seams_by("step_db")),
    Limit("click at note start", "dB", -3.0, _clicks_of("start")),
    Limit("click at release", "dB", -3.0, _clicks_of("release")),
    Limit("click at steal", "dB", -3.0, _clicks_of("steal")),
    Limit("mel distance, unpitched", "dB", 6.0, lambda row: [("", row.mel_db)] if row.mel_db is not None else []),
    Limit("centroid rises by", "x", 1.0,
          lambda row: ((f"{b.player} key {b.key}", b.rise) for b in row.brightness), sign=-1, strict=True),
)  # fmt: skip
"""What every note, loop and velocity has to meet (STYLE of the tables: one row, one figure)."""

CPU_LIMIT_S = 20.0
SIZE_LIMIT_MB = 30.0
SHARE_IN_TUNE = 0.98
MEDIAN_CENTS = 1.0


def _figures(
    rows: Sequence[Row], same: bool | None, missing: dict[str, str], options: EvaluationOptions
) -> Iterator[Figure]:
    broken = [row for row in rows if row.problem]
    yield Figure(
        "built and played", "all", len(rows) - len(broken), broken[0].name if broken else "", len(rows) - len(broken),
        len(rows), not broken,
    )  # fmt: skip
    for player in PLAYERS:
        if set(options.roles) - {"drums"}:
            yield from _tuning_figures(player, rows, missing.get(player))
    for limit in LIMITS:
        values = [(f"{row.name} {where}".strip(), value) for row in rows for where, value in limit.values(row)]
        if missing and limit.name.startswith("players"):
            yield Figure(limit.name, limit.target, None, f"missing: {', '.join(missing)}", 0, 0, False)
        elif values:
            yield _worst(limit.name, limit.target, values, limit.met, limit.sign)
    roles = f"{len(options.roles)} instruments"
    cpu_s, size_mb = _per_source(rows, "build_cpu_s"), _per_source(rows, "size_bytes", 1e-6)
    yield _worst(f"{roles}: CPU", f"<= {CPU_LIMIT_S:g} s", cpu_s, lambda value: value <= CPU_LIMIT_S)
    yield _worst(f"{roles}: size", f"<= {SIZE_LIMIT_MB:g} MB", size_mb, lambda value: value <= SIZE_LIMIT_MB)
    yield Figure("same seed, same bytes", "yes", float(bool(same)), rows[0].source, int(bool(same)), 1, bool(same))


def _tuning_figures(player: str, rows: Sequence[Row], problem: str | None) -> Iterator[Figure]:
    share, middle = f"in tune in {player}", f"median off in {player}"
    targets = (f">= {100 * SHARE_IN_TUNE:g} %", f"<= {MEDIAN_CENTS:g} cents")
    tuned = [(row.name, row.tuning[player]) for row in rows if player in row.tuning]
    if problem or not tuned:
        where = f"missing: {player}" if problem else "nothing was played"
        yield from (
            Figure(name, target, None, where, 0, 0, False)
            for name, target in zip((share, middle), targets, strict=True)
        )
        return
    within = [good for _, tuning in tuned for good in tuning.within]
    off = [cents for _, tuning in tuned for cents in tuning.off_cents]
    worst = min(tuned, key=lambda pair: float(np.mean(pair[1].within)))
    value = sum(within) / len(within)
    where = f"{worst[0]} {100 * float(np.mean(worst[1].within)):.1f} %"
    yield Figure(share, targets[0], round(100 * value, 2), where, sum(within), len(within), value >= SHARE_IN_TUNE)
    furthest = max(tuned, key=lambda pair: median(pair[1].off_cents))
    where = f"{furthest[0]} {median(furthest[1].off_cents):.2f} cents"
    met = sum(median(tuning.off_cents) <= MEDIAN_CENTS for _, tuning in tuned)
    yield Figure(middle, targets[1], round(median(off), 3), where, met, len(tuned), median(off) <= MEDIAN_CENTS)


def _per_source(rows: Sequence[Row], attribute: str, scale: float = 1.0) -> list[Value]:
    totals: dict[str, float] = {}
    for row in rows:
        totals[row.source] = totals.get(row.source, 0.0) + scale * getattr(row, attribute)
    return list(totals.items())


def _worst(name: str, target: str, values: Sequence[Value], met: Callable[[float], bool], sign: int = 1) -> Figure:
    where, value = max(values, key=lambda pair: sign * pair[1])
    good = sum(met(each) for _, each in values)
    return Figure(name, target, round(value, 3), where, good, len(values), good == len(values))


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values, every loop, click and note that is out of tune named."""
    return {
        "passed": evaluation.passed,
        "missing": evaluation.missing,
        "offset_db": evaluation.offset_db,
        "figures": [dataclasses.asdict(figure) for figure in evaluation.figures],
        "rows": [_row_json(row) for row in evaluation.rows],
    }


def _row_json(row: Row) -> dict[str, Any]:
    values = dataclasses.asdict(row)
    values["tuning"] = {player: tuning.as_json() for player, tuning in row.tuning.items()}
    if row.peer:
        values["peer"] = {**row.peer.tuning.as_json(), "mel_db": row.peer.mel_db, "cpu_s": row.peer.cpu_s}
    return values


_HEADINGS = (
    "source", "role", "method", "fluid %", "cents", "sfizz %", "cents", "d cents", "d dB", "d decay", "seam", "flux",
    "step", "start", "release", "steal", "mel", "rise", "CPU s", "MB", "peer %", "cents", "mel", "CPU s",
)  # fmt: skip


def as_table(evaluation: Evaluation) -> str:
    """The evaluation as plain text: a line per source and role with its worst values, then a line per figure."""
    cells = [_HEADINGS, *(_cells(row) for row in evaluation.rows)]
    problems = [f"{row.name}: {row.problem}" for row in evaluation.rows if row.problem]
    problems += [f"no {player}: {reason}" for player, reason in evaluation.missing.items()]
    figures = [("figure", "target", "value", "met", "", "worst at"), *map(_figure_cells, evaluation.figures)]
    return "\n".join([*aligned(cells, 3), "", *aligned(figures, 6), *([""] if problems else []), *problems])


def _cells(row: Row) -> tuple[str, ...]:
    if row.problem:
        return (row.source, row.role, "FAILED", *[""] * (len(_HEADINGS) - 3))
    notes = [note.cents for note in row.agreement if note.cents is not None]
    decays = [abs(note.decay_db) for note in row.agreement if note.decay_db is not None]
    clicks = (row.worst_click(event) for event in ("start", "release", "steal"))
    seams = [max((getattr(seam, a) for seam in row.seams), default=None) for a in ("click_db", "flux", "step_db")]
    return (
        row.source, row.role, row.method,
        *(cell for player in PLAYERS for cell in _tuning_cells(row.tuning.get(player))),
        _text(max(notes, default=None), 2), _text(max((abs(n.level_db) for n in row.agreement), default=None), 2),
        _text(max(decays, default=None)), _text(seams[0]), _text(seams[1], 2), _text(seams[2], 2), *map(_text, clicks),
        _text(row.mel_db), _text(min((b.rise for b in row.brightness), default=None), 3),
        _text(row.build_cpu_s), _text(row.size_bytes / 1e6), *_peer_cells(row.peer),
    )  # fmt: skip


def _peer_cells(peer: Peer | None) -> tuple[str, ...]:
    if peer is None:
        return "-", "-", "-", "-"
    return (*_tuning_cells(peer.tuning), _text(peer.mel_db), _text(peer.cpu_s))


def _tuning_cells(tuning: Tuning | None) -> tuple[str, str]:
    if not tuning or not tuning.keys:
        return "-", "-"
    return f"{100 * np.mean(tuning.within):.1f}", f"{median(tuning.off_cents):.2f}"


def _figure_cells(figure: Figure) -> tuple[str, ...]:
    verdict = "PASS" if figure.passed else "MISS"
    return figure.name, figure.target, _text(figure.value, 2), f"{figure.met} of {figure.of}", verdict, figure.where


def _text(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def aligned(lines: Sequence[Sequence[str]], left: int) -> list[str]:
    """Columns of equal width, the first `left` of them flush left, the others flush right."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
