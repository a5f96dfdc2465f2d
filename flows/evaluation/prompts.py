"""`photone eval prompts`: what each part of a prompt costs in tokens, and with an engine what it does to the sound."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

from core.errors import UsageError
from core.manifest import prepare_folder, sha256_file
from core.seeds import derive_seed
from flows.engines import load_engine
from flows.evaluation.instruments import aligned
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.effects.making import MakingOptions, Told, kept_variants, make_effects
from phase1_sound.effects.protocol import EffectsEngine, ReadsPrompts
from phase1_sound.prompts import CAPTION, PromptOptions, counted, effect_prompt, estimated_tokens
from schemas.effect import Effect, Measures, Prompt
from schemas.scene import Scene, read_scene

Report = Callable[[str], None]

PARTS = ("context", "mood", "material", "timbre", "quality", "negative", "instrument")
_LEGACY = PromptOptions(style="legacy", mood=True, instrument=True)


def _switched(on: bool, *parts: str) -> PromptOptions:
    changes: dict[str, Any] = dict.fromkeys(parts, on)
    return replace(CAPTION, **changes)


SWITCHES: Mapping[str, PromptOptions] = {
    "caption": CAPTION,
    **{f"no {part}": _switched(False, part) for part in ("context", "material", "timbre", "quality", "negative")},
    **{f"with {part}": _switched(True, part) for part in ("mood", "instrument")},
    "event only": _switched(False, *PARTS),
    "legacy": _LEGACY,
    "legacy, no mood": replace(_LEGACY, mood=False),
    "legacy, no instrument": replace(_LEGACY, instrument=False),
}
"""The rows of the table: the first is what `photone make` uses, each other one turns one switch."""

FIGURES = ("centroid_hz", "rolloff_hz", "flatness", "crest_db", "onset_rate_hz", "silence_share", "t30_s")


@dataclass(frozen=True)
class PromptsOptions:
    """What is evaluated: the scenes in a folder, with an `effects` engine or without, and where its sounds are kept."""

    scenes: Path
    effects: str | None = None
    out: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Count:
    """Tokens of all prompts of a row for one encoder."""

    mean: float
    largest: int
    limit: int
    estimated: bool


@dataclass(frozen=True)
class Sound:
    """What an engine made of a row's prompts: means of the figures of effects.json, and the share that was good at once."""

    effects: int
    good_at_once: float
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class PromptRow:
    """One setting of the switches over all variants of all scenes."""

    name: str
    parts: tuple[str, ...]
    prompts: int
    words: float
    tokens: Mapping[str, Count]
    truncated: int
    example: str
    sound: Sound | None = None


@dataclass(frozen=True)
class PromptsEvaluation:
    """The ablation: rows in the order of `SWITCHES`."""

    scenes: tuple[str, ...]
    effects: str | None
    rows: tuple[PromptRow, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether the prompts that `photone make` uses are read to their end."""
        return self.rows[0].truncated == 0


def evaluate(options: PromptsOptions, report: Report = lambda text: None) -> PromptsEvaluation:
    """Write the prompts of all scenes with each setting, and with an engine make them audible with the same seeds.

    Raises:
        UsageError: the folder holds no scene, or the engine reads no prompts.
        SceneError: a scene cannot be read. EngineError: the engine cannot run here, or failed.
    """
    paths = scene_files(options.scenes)
    scenes = {path: read_scene(path) for path in paths}
    engine = _engine(options.effects)
    rows = []
    for name, switches in SWITCHES.items():
        report(name)
        row = written(name, switches, scenes.values(), engine)
        if engine is not None:
            row = replace(row, sound=_heard(name, switches, scenes, engine, options, report))
        rows.append(row)
    return PromptsEvaluation(tuple(map(str, paths)), options.effects, tuple(rows), _notes(engine))


def scene_files(folder: Path) -> list[Path]:
    """The scenes of a folder: its JSON files, and the scene.json of folders in it (runs).

    Raises:
        UsageError: there are none.
    """
    found = sorted([*folder.glob("*.json"), *folder.glob("*/scene.json")])
    if not found:
        raise UsageError(f"{folder}: holds no scene: expected *.json or */scene.json")
    return found


def _engine(spec: str | None) -> EffectsEngine | None:
    if spec is None:
        return None
    engine: EffectsEngine = load_engine(EFFECTS_ENGINES, spec)
    if not isinstance(engine, ReadsPrompts):
        raise UsageError(f"{spec}: reads no prompts: take audioldm2 or stable-audio, or leave --effects out")
    return engine


def written(
    name: str, switches: PromptOptions, scenes: Iterable[Scene], engine: EffectsEngine | None = None
) -> PromptRow:
    """The prompts of all variants with one setting, counted by the engine's tokenizers or estimated."""
    count = engine.tokens if isinstance(engine, ReadsPrompts) else estimated_tokens
    prompts = [
        counted(effect_prompt(scene, source, variant, switches), count)
        for scene in scenes
        for source, variant in kept_variants(scene)
    ]
    return PromptRow(
        name=name,
        parts=tuple(part for part in PARTS if getattr(switches, part)),
        prompts=len(prompts),
        words=round(mean(prompt.words for prompt in prompts), 1),
        tokens=_counts(prompts),
        truncated=sum(prompt.truncated for prompt in prompts),
        example=prompts[0].text,
    )


def _counts(prompts: Sequence[Prompt]) -> dict[str, Count]:
    counts = {}
    for place, first in enumerate(prompts[0].tokens):
        numbers = [prompt.tokens[place].count for prompt in prompts]
        counts[first.encoder] = Count(round(mean(numbers), 1), max(numbers), first.limit, first.estimated)
    return counts


def _heard(
    name: str,
    switches: PromptOptions,
    scenes: Mapping[Path, Scene],
    engine: EffectsEngine,
    options: PromptsOptions,
    report: Report,
) -> Sound:
    effects: list[Effect] = []
    told = Told(report=lambda text: report(f"{name}: {text}"))
    with tempfile.TemporaryDirectory() as scratch:
        root = options.out or Path(scratch)
        for number, (path, scene) in enumerate(scenes.items(), 1):
            out = root / name.replace(",", "").replace(" ", "-") / f"{number:02d}-{path.parent.name or path.stem}"
            prepare_folder(out)
            seed = derive_seed(options.seed, "effects")  # the same for every setting: only the words differ
            making = MakingOptions(prompt=switches)
            effects += make_effects(scene, sha256_file(path), engine, out, seed, options=making, told=told).effects
    return Sound(
        effects=len(effects),
        good_at_once=mean(effect.attempts == 1 and not effect.verdict for effect in effects),
        figures={figure: _mean(figure, (effect.measures for effect in effects)) for figure in FIGURES},
    )


def _mean(figure: str, measures: Iterable[Measures]) -> float | None:
    values = [value for each in measures if (value := getattr(each, figure)) is not None]
    return round(mean(values), 6) if values else None


def _notes(engine: EffectsEngine | None) -> tuple[str, ...]:
    if engine is None:
        return ("Tokens are estimated (a token for seven letters of a word and for each mark): --effects counts them.",)
    return (f"Tokens by the tokenizers of {engine.info.name}. The same seeds for each setting: only the words differ.",)


def as_json(evaluation: PromptsEvaluation) -> dict[str, Any]:
    """The evaluation as JSON values."""
    return dataclasses.asdict(evaluation) | {"passed": evaluation.passed}


def as_table(evaluation: PromptsEvaluation) -> str:
    """The evaluation as plain text: a line for each setting, then one for its sound, then notes."""
    encoders = list(evaluation.rows[0].tokens)
    head = ("prompts", *PARTS, "words", *(f"{name} mean/max" for name in encoders), "truncated")
    cells = [head, *(_cells(row) for row in evaluation.rows)]
    lines = list(aligned(cells, 1))
    if evaluation.effects is not None:
        sounds = [
            ("sound", "good at once", *FIGURES),
            *(_sound_cells(row, evaluation.rows[0]) for row in evaluation.rows),
        ]
        lines += ["", *aligned(sounds, 1)]
    scenes = f"{len(evaluation.scenes)} scenes, {evaluation.rows[0].prompts} variants."
    limits = ", ".join(f"{name} {count.limit}" for name, count in evaluation.rows[0].tokens.items())
    examples = [f"{row.name}: {row.example}" for row in evaluation.rows if row.name in ("caption", "legacy")]
    return "\n".join([*lines, "", *examples, "", f"{scenes} Limits: {limits} tokens.", *evaluation.notes])


def _cells(row: PromptRow) -> tuple[str, ...]:
    marks = ("x" if part in row.parts else "-" for part in PARTS)
    counts = (f"{'~' if count.estimated else ''}{count.mean:.0f}/{count.largest}" for count in row.tokens.values())
    return (row.name, *marks, f"{row.words:.0f}", *counts, f"{row.truncated} of {row.prompts}")


def _sound_cells(row: PromptRow, first: PromptRow) -> tuple[str, ...]:
    if row.sound is None or first.sound is None:
        return (row.name, *["-"] * (len(FIGURES) + 1))
    return (row.name, f"{row.sound.good_at_once:.0%}", *(_figure(row, first, figure) for figure in FIGURES))


def _figure(row: PromptRow, first: PromptRow, figure: str) -> str:
    """A mean, and how far it is from the first row's."""
    value = row.sound.figures[figure] if row.sound else None
    base = first.sound.figures[figure] if first.sound else None
    if value is None:
        return "-"
    text = f"{value:.3g}"
    return text if base is None or row is first else f"{text} ({value - base:+.2g})"
