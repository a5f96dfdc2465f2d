"""`photone eval vision`: what vision engines say of pictures, against scenes that people wrote for them."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from core.errors import PhotoneError
from flows.engines import load_engine
from flows.evaluation.golden import PROTOCOL_PICTURES, Golden, built_in, from_folder
from flows.evaluation.instruments import aligned
from flows.evaluation.similarity import SAME_SOURCE, Similarity, load_words
from phase1_sound.vision import VISION_ENGINES
from phase1_sound.vision.pictures import save_analysed
from phase1_sound.vision.protocol import VisionEngine, VisionRequest
from schemas.scene import MIN_VARIANTS, Scene

Report = Callable[[str], None]
Box = Sequence[float]


@dataclass(frozen=True)
class VisionOptions:
    """What is evaluated: engines as on the command line, golden pictures by name (none for all), or a `folder` of them.

    `folder` holds pictures, and beside each a golden scene of the same name (the student project's protocol).
    """

    engines: tuple[str, ...] = (VISION_ENGINES.default,)
    pictures: tuple[str, ...] = ()
    folder: Path | None = None


@dataclass(frozen=True)
class Pair:
    """A golden source that an engine found: both names, their similarity (0..1), and the IoU where both have a box."""

    golden: str
    found: str
    similarity: float
    iou: float | None


@dataclass(frozen=True)
class VisionRow:
    """One picture by one engine. `problem` says why there is no valid scene; the figures are then None.

    `recall` is the share of golden sources that were found, `hallucination` the share of the engine's sources that are no
    golden one, `sources` the mean over golden sources of the best similarity to any source of the engine's; `scene_text`
    and `mood_text` are similarities of the sentences. All are 0..1.
    """

    picture: str
    engine: str
    elapsed_s: float = 0.0
    variants: int = 0
    banned: tuple[str, ...] = ()
    false_claims: tuple[str, ...] = ()
    pairs: tuple[Pair, ...] = ()
    missed: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()
    recall: float | None = None
    hallucination: float | None = None
    sources: float | None = None
    scene_text: float | None = None
    mood_text: float | None = None
    scene: Scene | None = None
    problem: str | None = None

    @property
    def ious(self) -> list[float]:
        return [pair.iou for pair in self.pairs if pair.iou is not None]


@dataclass(frozen=True)
class VisionFigure:
    """One figure per engine over all pictures; `target` is empty where there is none, `passed` None likewise."""

    name: str
    target: str
    values: dict[str, float | None]
    passed: dict[str, bool] | None = None


@dataclass(frozen=True)
class VisionEvaluation:
    """All rows, the figures over them, and the golden pictures that are not at hand with the reason."""

    engines: tuple[str, ...]
    rows: tuple[VisionRow, ...]
    figures: tuple[VisionFigure, ...]
    missing: dict[str, str]
    protocol: bool

    @property
    def passed(self) -> bool:
        return all(all(figure.passed.values()) for figure in self.figures if figure.passed is not None)


def evaluate(options: VisionOptions, report: Report = lambda text: None) -> VisionEvaluation:
    """Have every engine describe every golden picture, and measure what it says.

    Raises:
        UsageError: no such engine or golden picture, or a picture of the folder has no scene.
        EngineError: an engine cannot run here.
        PictureError, SceneError: the folder, or a golden scene in it, cannot be read.
    """
    golden, missing = (from_folder(options.folder), {}) if options.folder else built_in(options.pictures)
    names = tuple(dict.fromkeys(options.engines))
    engines: dict[str, VisionEngine] = {name: load_engine(VISION_ENGINES, name) for name in names}
    judge = Judge(golden)
    rows: list[VisionRow] = []
    steady: dict[str, bool] = {}
    with tempfile.TemporaryDirectory(prefix="photone-eval-") as scratch:
        for place, one in enumerate(golden):
            picture = Path(scratch) / f"{place}.jpg"
            save_analysed(one.picture(Path(scratch)), picture)
            for name, engine in engines.items():
                report(f"{len(rows) + 1}/{len(golden) * len(engines)}: {one.name} by {name}")
                if place == 0:  # the first answer is for loading and warming up; it must be the same the second time
                    first = _described(engine, picture)[0]
                rows.append(_row(one, name, engine, picture, judge))
                if place == 0:
                    steady[name] = first is not None and first == rows[-1].scene
    return VisionEvaluation(
        names, tuple(rows), tuple(figures(rows, names, steady)), missing, options.folder is not None
    )


def _described(engine: VisionEngine, picture: Path) -> tuple[Scene | None, str | None]:
    try:
        return engine.describe(VisionRequest(picture, warn=lambda text: None)), None
    except PhotoneError as error:
        return None, str(error)


def _row(golden: Golden, name: str, engine: VisionEngine, picture: Path, judge: Judge) -> VisionRow:
    began = time.perf_counter()
    scene, problem = _described(engine, picture)
    elapsed_s = round(time.perf_counter() - began, 4)
    row = VisionRow(golden.name, name, elapsed_s, problem=problem)
    return row if scene is None else judge.judged(row, golden, scene)


class Judge:
    """Compares scenes with golden ones; the weights of words come from the golden set."""

    def __init__(self, golden: Iterable[Golden]) -> None:
        scenes = [one.scene for one in golden]
        names = [source.name for scene in scenes for source in scene.sound_sources]
        sentences = [text for scene in scenes for text in (scene.scene_description, scene.mood_description)]
        self._alike = Similarity(names, sentences)

    def judged(self, row: VisionRow, golden: Golden, scene: Scene) -> VisionRow:
        """The row with all figures of a scene."""
        wanted, given = golden.scene.sound_sources, scene.sound_sources
        alike = np.array([[self._alike.sources(one, other) for other in given] for one in wanted])
        same = np.where(alike >= SAME_SOURCE, alike, 0.0)  # what is not the same shall not pull at the assignment
        pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-same), strict=True) if same[i, j] > 0]
        found, used = {i for i, _ in pairs}, {j for _, j in pairs}
        words = load_words()
        return dataclasses.replace(
            row,
            variants=len(scene.variants),
            banned=tuple(words.banned_in(scene)),
            false_claims=tuple(word for topic in golden.never for word in words.claims(scene, topic)),
            pairs=tuple(
                Pair(wanted[i].name, given[j].name, _rounded(alike[i, j]), box_iou(wanted[i].box, given[j].box))
                for i, j in pairs
            ),
            missed=tuple(source.name for i, source in enumerate(wanted) if i not in found),
            invented=tuple(source.name for j, source in enumerate(given) if j not in used),
            recall=_rounded(len(pairs) / len(wanted)),
            hallucination=_rounded(1 - len(pairs) / len(given)),
            sources=_rounded(float(alike.max(axis=1).mean())),
            scene_text=_rounded(self._alike.sentences(golden.scene.scene_description, scene.scene_description)),
            mood_text=_rounded(self._alike.sentences(golden.scene.mood_description, scene.mood_description)),
            scene=scene,
        )


def box_iou(one: Box | None, other: Box | None) -> float | None:
    """Area of the intersection of two boxes [x0, y0, x1, y1] over that of their union; None without both."""
    if one is None or other is None:
        return None
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return _rounded(wide * high / (sum(areas) - wide * high))


Value = Callable[[Sequence[VisionRow]], float | None]


@dataclass(frozen=True)
class _Measure:
    """A figure over the rows of one engine; `met` tells whether its target is met, None where there is no target."""

    name: str
    target: str
    value: Value
    met: Callable[[float | None, Sequence[VisionRow]], bool] | None = None


def _mean_of(attribute: str) -> Value:
    def value(rows: Sequence[VisionRow]) -> float | None:
        values = [getattr(row, attribute) for row in rows if getattr(row, attribute) is not None]
        return _rounded(mean(values)) if values else None

    return value


def _mean_iou(rows: Sequence[VisionRow]) -> float | None:
    values = [iou for row in rows for iou in row.ious]
    return _rounded(mean(values)) if values else None


def _distinct(rows: Sequence[VisionRow]) -> float:
    return float(len({row.scene.model_dump_json() for row in rows if row.scene}))


MEASURES: tuple[_Measure, ...] = (
    _Measure("schema-valid scenes, %", "100",
             lambda rows: _rounded(100 * mean(row.problem is None for row in rows)), lambda value, _: value == 100),
    _Measure("fewest variants", f">= {MIN_VARIANTS}",
             lambda rows: min((float(row.variants) for row in rows if row.scene), default=None),
             lambda value, _: value is not None and value >= MIN_VARIANTS),
    _Measure("banned words", "0", lambda rows: float(sum(len(row.banned) for row in rows)), lambda value, _: value == 0),
    _Measure("false claims", "0", lambda rows: float(sum(len(row.false_claims) for row in rows)), lambda value, _: value == 0),
    _Measure("distinct scenes", "all", _distinct, lambda value, rows: value == len(rows)),
    _Measure("source recall", "", _mean_of("recall")),
    _Measure("source hallucination", "", _mean_of("hallucination")),
    _Measure("sources, similarity", "", _mean_of("sources")),
    _Measure("scene, similarity", "", _mean_of("scene_text")),
    _Measure("mood, similarity", "", _mean_of("mood_text")),
    _Measure("box IoU of found sources", "", _mean_iou),
    _Measure("boxes compared", "", lambda rows: float(sum(len(row.ious) for row in rows))),
    _Measure("mean time, s", "", lambda rows: _rounded(mean(row.elapsed_s for row in rows))),
    _Measure("longest time, s", "", lambda rows: _rounded(max(row.elapsed_s for row in rows))),
)  # fmt: skip
"""One figure per line of the side-by-side table. Recall and the like have no target: they compare engines."""


def figures(rows: Sequence[VisionRow], engines: Sequence[str], steady: dict[str, bool]) -> list[VisionFigure]:
    """The figures of every engine over its rows; `steady`: whether the first picture gave the same scene twice."""
    of = {engine: [row for row in rows if row.engine == engine] for engine in engines}
    made = []
    for measure in MEASURES:
        values = {engine: measure.value(of[engine]) for engine in engines}
        met = measure.met
        passed = {engine: met(values[engine], of[engine]) for engine in engines} if met else None
        made.append(VisionFigure(measure.name, measure.target, values, passed))
    same = {engine: float(steady[engine]) for engine in engines}
    return [*made, VisionFigure("same scene again (1 = yes)", "", {engine: same[engine] for engine in engines})]


def _rounded(value: float) -> float:
    return round(float(value), 4)


def as_json(evaluation: VisionEvaluation) -> dict[str, Any]:
    """The evaluation as JSON values, what was found, missed and invented named, with every scene."""
    return {
        "passed": evaluation.passed,
        "engines": list(evaluation.engines),
        "missing": evaluation.missing,
        "figures": [dataclasses.asdict(figure) for figure in evaluation.figures],
        "rows": [_row_json(row) for row in evaluation.rows],
    }


def _row_json(row: VisionRow) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    return values | {
        "pairs": [dataclasses.asdict(pair) for pair in row.pairs],
        "scene": row.scene.to_value() if row.scene else None,
    }


_HEADINGS = ("found", "recall", "halluc.", "sources", "scene", "mood", "IoU", "false", "s")


def as_table(evaluation: VisionEvaluation) -> str:
    """The evaluation as plain text: a line per picture and engine, then a line per figure, engines side by side."""
    cells = [("picture", "engine", *_HEADINGS), *(_cells(row) for row in evaluation.rows)]
    figures = [("figure", "target", *evaluation.engines), *map(_figure_cells, evaluation.figures)]
    return "\n".join([*aligned(cells, 2), "", *aligned(figures, 2), *_notes(evaluation)])


def _cells(row: VisionRow) -> tuple[str, ...]:
    if row.problem:
        return (row.picture, row.engine, "FAILED", *[""] * (len(_HEADINGS) - 1))
    return (
        row.picture, row.engine, f"{len(row.pairs)} of {len(row.pairs) + len(row.missed)}", _text(row.recall),
        _text(row.hallucination), _text(row.sources), _text(row.scene_text), _text(row.mood_text),
        _text(mean(row.ious) if row.ious else None), str(len(row.false_claims)), _text(row.elapsed_s),
    )  # fmt: skip


def _figure_cells(figure: VisionFigure) -> tuple[str, ...]:
    def cell(engine: str, value: float | None) -> str:
        text = "-" if value is None else f"{value:.0f}" if value == int(value) else f"{value:.2f}"
        return text if figure.passed is None else f"{text} {'PASS' if figure.passed[engine] else 'MISS'}"

    return figure.name, figure.target, *(cell(engine, value) for engine, value in figure.values.items())


def _notes(evaluation: VisionEvaluation) -> list[str]:
    pictures = len({row.picture for row in evaluation.rows})
    notes = [f"{row.picture} by {row.engine}: {row.problem}" for row in evaluation.rows if row.problem]
    notes += [
        f"{row.picture} by {row.engine}: false: {', '.join(row.false_claims)}"
        for row in evaluation.rows
        if row.false_claims
    ]
    notes += [f"left out {name}: {reason}" for name, reason in evaluation.missing.items()]
    if evaluation.protocol and pictures != PROTOCOL_PICTURES:
        notes.append(f"{pictures} pictures: the student project's protocol has {PROTOCOL_PICTURES}")
    notes.append(
        f"{pictures} pictures. Similarity is of words and letters (tf-idf, words.toml), not of meaning; "
        f"a source is found from {SAME_SOURCE:g} on."
    )
    return ["", *notes]


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
