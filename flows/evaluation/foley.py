"""`photone eval foley`: every material under every gesture, the laws that sounds obey, words, recipes told apart, cost."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from core.audio import Audio
from core.errors import UsageError
from core.seeds import derive_seed
from flows.evaluation.foley_laws import laws
from flows.evaluation.foley_words import WordRow, word_rows
from flows.evaluation.instruments import Figure, aligned
from flows.evaluation.measures import Floats
from flows.evaluation.phrases import PHRASES, Phrase
from phase1_sound.checks import band_levels, measure, verdict
from phase1_sound.effects.engines.foley.engine import Foley
from phase1_sound.effects.engines.foley.gestures import GESTURES
from phase1_sound.effects.engines.foley.materials import MATERIALS
from phase1_sound.effects.protocol import EffectRequest, EffectResult
from phase1_sound.effects.shaping import shaped
from schemas.effect import Measures

MEDIAN_CPU_S = 0.06
LONGEST_CPU_S = 0.4
TOLD_APART = 0.9
WORDS_MOVE = 0.8
SEED = 2024

Report = Callable[[str], None]


@dataclass(frozen=True)
class FoleyOptions:
    """What is evaluated: materials and gestures by name (none for all), effects of so many seconds.

    `seeds` sounds of every gesture are made for telling the recipes apart: half to learn from, half to be named.
    """

    materials: tuple[str, ...] = ()
    gestures: tuple[str, ...] = ()
    seconds: float = 4.0
    seeds: int = 8
    words: bool = True


@dataclass(frozen=True)
class FoleyRow:
    """One material under one gesture, once. `made` is the gesture that was heard: water is not struck, it splashes.

    Levels in LUFS and dBTP are those of the finished effect; `t30_s` is None where the sound never falls 30 dB.
    """

    material: str
    gesture: str
    made: str
    cpu_s: float
    loudness_lufs: float
    true_peak_dbtp: float
    centroid_hz: float
    t30_s: float | None
    flatness: float
    onset_rate_hz: float
    channels: int
    verdict: tuple[str, ...]


@dataclass(frozen=True)
class FoleyEvaluation:
    """All rows, what words did to every recipe, the figures over both, and which gestures were taken for others."""

    rows: tuple[FoleyRow, ...]
    words: tuple[WordRow, ...]
    figures: tuple[Figure, ...]
    mistaken: dict[str, str]

    @property
    def passed(self) -> bool:
        return all(figure.passed for figure in self.figures)


def evaluate(options: FoleyOptions, report: Report = lambda text: None) -> FoleyEvaluation:
    """Make and measure every pair of a material and a gesture, then check the laws.

    Raises:
        UsageError: there is no such material or gesture, or there are fewer than two seeds.
    """
    materials = _known(options.materials, MATERIALS, "material")
    gestures = _known(options.gestures, GESTURES, "gesture")
    if options.seeds < 2:
        raise UsageError(f"--seeds {options.seeds}: half of the seeds teach, half are named: give at least 2")
    rows = []
    for gesture in gestures:
        report(f"{gesture} of {len(materials)} materials")
        rows += [_row(material, gesture, options.seconds) for material in materials]
    words: list[WordRow] = []
    if options.words:
        words = word_rows(gestures, report)
    report("recipes told apart")
    mistaken, share = told_apart(gestures, options.seeds)
    report("laws")
    found = [*_figures(rows), *laws(), *_word_figures(words), _apart_figure(mistaken, share, gestures, options.seeds)]
    return FoleyEvaluation(tuple(rows), tuple(words), (*found, *phrase_figures()), mistaken)


def _known(names: Sequence[str], table: dict[str, Any], what: str) -> tuple[str, ...]:
    for name in names:
        if name not in table:
            raise UsageError(f"no {what} {name!r}: choose from {', '.join(table)}")
    return tuple(dict.fromkeys(names)) or tuple(table)


def asked(gesture: str, *timbre: str, material: str = "", seconds: float = 4.0, seed: int = 1) -> EffectRequest:
    """The gesture's example request, of another material or with words of timbre, in a half open place."""
    source, own, method = GESTURES[gesture].example
    own_seed = derive_seed(SEED, gesture, material or own, *timbre, seed)
    return EffectRequest(source, material or own, method, timbre, "", "", seconds, 0.5, own_seed)


def made(request: EffectRequest) -> EffectResult:
    """One effect as the engine makes it."""
    (result,) = Foley().make([request])
    return result


def _row(material: str, gesture: str, seconds: float) -> FoleyRow:
    request = asked(gesture, material=material, seconds=seconds)
    began = time.process_time()
    result = made(request)
    cpu_s = time.process_time() - began
    audio = shaped(result.audio)
    measures = measure(audio)
    return FoleyRow(
        material, gesture, result.recipe["gesture"], round(cpu_s, 4), *_measured(measures), audio.channels,
        tuple(verdict(audio, measures)),
    )  # fmt: skip


def _measured(measures: Measures) -> tuple[float, float, float, float | None, float, float]:
    return (
        round(measures.loudness_lufs, 2), round(measures.true_peak_dbtp, 2), round(measures.centroid_hz, 1),
        measures.t30_s, round(measures.flatness, 4), round(measures.onset_rate_hz, 2),
    )  # fmt: skip


def _figures(rows: Sequence[FoleyRow]) -> Iterator[Figure]:
    bad = [row for row in rows if row.verdict]
    where = f"{bad[0].material} {bad[0].gesture}: {bad[0].verdict[0]}" if bad else ""
    yield Figure("usable effects", "all", len(rows) - len(bad), where, len(rows) - len(bad), len(rows), not bad)
    costs = [row.cpu_s for row in rows]
    slowest = max(rows, key=lambda row: row.cpu_s)
    middle = median(costs)
    within = sum(cost <= MEDIAN_CPU_S for cost in costs)
    yield Figure(
        "CPU per effect, median s",
        f"<= {MEDIAN_CPU_S:g}",
        round(middle, 4),
        "",
        within,
        len(rows),
        middle <= MEDIAN_CPU_S,
    )
    name, quick = f"{slowest.material} {slowest.gesture}", sum(cost <= LONGEST_CPU_S for cost in costs)
    yield Figure(
        "CPU per effect, longest s", f"<= {LONGEST_CPU_S:g}", slowest.cpu_s, name, quick, len(rows), quick == len(rows)
    )


def _word_figures(words: Sequence[WordRow]) -> Iterator[Figure]:
    for word in dict.fromkeys(row.words for row in words):
        mine = [row for row in words if row.words == word]
        right = sum(bool(row.right) for row in mine)
        wrong = ", ".join(row.gesture for row in mine if not row.right)
        share = right / len(mine)
        moves = " or ".join(dict.fromkeys(f"{row.feature} {'up' if row.sign > 0 else 'down'}" for row in mine))
        name = f'"{word.split()[0]}" moves {moves}, %'
        yield Figure(
            name, f">= {100 * WORDS_MOVE:g}", round(100 * share, 1), wrong, right, len(mine), share >= WORDS_MOVE
        )


def log_mel_statistics(audio: Audio) -> Floats:
    """Mean, spread and speed of the levels of 16 log-spaced bands, shape (48,), dB under the loudest."""
    levels = band_levels(audio.mono().astype(np.float64), audio.sample_rate)
    levels = levels - levels.max()
    return np.concatenate([levels.mean(axis=1), levels.std(axis=1), np.abs(np.diff(levels, axis=1)).mean(axis=1)])


def told_apart(gestures: Sequence[str], seeds: int, seconds: float = 2.0) -> tuple[dict[str, str], float]:
    """Name gestures by the nearest centroid of half the seeds: which were mistaken for which, and the share named right."""
    sounds = np.array(
        [
            [log_mel_statistics(made(asked(name, seconds=seconds, seed=seed)).audio) for seed in range(seeds)]
            for name in gestures
        ]
    )
    known, unknown = sounds[:, : seeds // 2], sounds[:, seeds // 2 :]
    scale = np.maximum(known.std(axis=1).mean(axis=0), 0.1)  # what differs within a gesture tells little about it
    centroids = known.mean(axis=1) / scale
    distances = np.linalg.norm((unknown / scale)[:, :, None] - centroids, axis=-1)
    named = distances.argmin(axis=-1)
    right = named == np.arange(len(gestures))[:, None]
    mistaken = {
        gestures[row]: ", ".join(sorted({gestures[other] for other in named[row][~right[row]]}))
        for row in range(len(gestures))
        if not right[row].all()
    }
    return mistaken, float(right.mean())


def _apart_figure(mistaken: dict[str, str], share: float, gestures: Sequence[str], seeds: int) -> Figure:
    of = len(gestures) * (seeds - seeds // 2)
    where = "; ".join(f"{name} as {other}" for name, other in mistaken.items())
    return Figure(
        "gestures named by log-mel, %", f">= {100 * TOLD_APART:g}", round(100 * share, 1), where, round(share * of), of,
        share >= TOLD_APART,
    )  # fmt: skip


def phrase_request(phrase: Phrase, seconds: float = 1.5) -> EffectRequest:
    """A scene's phrase as a request."""
    seed = derive_seed(SEED, phrase.source, phrase.play_method)
    return EffectRequest(phrase.source, phrase.material, phrase.play_method, (), "", "", seconds, 0.5, seed)


def phrase_figures() -> Iterator[Figure]:
    """Real phrases of scenes: how many sound, how many become the gesture that a person expects."""
    unusable, other = [], []
    for phrase in PHRASES:
        result = made(phrase_request(phrase))
        audio = shaped(result.audio)
        if verdict(audio, measure(audio)):
            unusable.append(str(phrase))
        if result.recipe["gesture"] not in phrase.gestures:
            other.append(f"{phrase} as {result.recipe['gesture']}")
    for name, wrong, least in (("phrases that sound", unusable, 1.0), ("phrases understood, %", other, 0.9)):
        good = len(PHRASES) - len(wrong)
        share = good / len(PHRASES)
        target = "all" if least == 1 else f">= {100 * least:g}"
        value = float(good) if least == 1 else round(100 * share, 1)
        yield Figure(name, target, value, "; ".join(wrong[:6]), good, len(PHRASES), share >= least)


def as_json(evaluation: FoleyEvaluation) -> dict[str, Any]:
    """The evaluation as JSON values: all rows, all words, all figures."""
    return {
        "passed": evaluation.passed,
        "figures": [dataclasses.asdict(figure) for figure in evaluation.figures],
        "mistaken": evaluation.mistaken,
        "rows": [dataclasses.asdict(row) for row in evaluation.rows],
        "words": [dataclasses.asdict(row) for row in evaluation.words],
    }


_HEADINGS = (
    "material",
    "gesture",
    "heard as",
    "CPU ms",
    "LUFS",
    "dBTP",
    "centroid",
    "T30 s",
    "flatness",
    "onsets/s",
    "ch",
)


def as_table(evaluation: FoleyEvaluation) -> str:
    """The evaluation as plain text: a line per material and gesture, then a line per figure."""
    figures = [("figure", "target", "value", "met", "", "where not"), *map(_figure_cells, evaluation.figures)]
    problems = [f"{row.material} {row.gesture}: {'; '.join(row.verdict)}" for row in evaluation.rows if row.verdict]
    table = aligned([_HEADINGS, *map(_cells, evaluation.rows)], 3)
    return "\n".join([*table, "", *aligned(figures, 6), *([""] if problems else []), *problems])


def _cells(row: FoleyRow) -> tuple[str, ...]:
    heard = row.made if row.made != row.gesture else ""
    t30 = "-" if row.t30_s is None else f"{row.t30_s:.2f}"
    return (
        row.material, row.gesture, heard, f"{1000 * row.cpu_s:.0f}", f"{row.loudness_lufs:.1f}", f"{row.true_peak_dbtp:.1f}",
        f"{row.centroid_hz:.0f}", t30, f"{row.flatness:.3f}", f"{row.onset_rate_hz:.1f}", str(row.channels),
    )  # fmt: skip


def _figure_cells(figure: Figure) -> tuple[str, ...]:
    value = "-" if figure.value is None else f"{figure.value:.3g}" if figure.value < 1 else f"{figure.value:g}"
    met = f"{figure.met} of {figure.of}"
    return figure.name, figure.target, value, met, "PASS" if figure.passed else "MISS", figure.where
