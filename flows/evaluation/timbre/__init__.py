"""`photone eval timbre`: the gate that a timbre model passes before the engine takes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from core.errors import EngineError, UsageError
from core.manifest import sha256_file
from core.seeds import generator
from flows.evaluation.instruments import aligned
from flows.evaluation.timbre.family import EffectFigures, Family, effect_figures, learn_family, strange_effects
from flows.evaluation.timbre.notes import HeldOut, NoteRow, Through, held_out, note_rows
from flows.evaluation.timbre.uses import UseRow, better_use, use_rows
from phase2_music.timbre.corpus import MANIFEST, read_corpus
from phase2_music.timbre.engines.rave.model import TimbreModel
from phase2_music.timbre.engines.rave.models import MELODIC, Found, file_sha256, find_models
from phase2_music.timbre.engines.rave.network import TorchNetwork, load_network
from phase2_music.timbre.shipped import CARD
from schemas.timbre import Corpus, TimbreCard

USED_VARIANCE = 0.01
"""From which variance on a latent counts as used (the active units of Burda, Grosse and Salakhutdinov 2016)."""

_RTF_S = 10.0
_RTF_TIMES = 3
_USE_EFFECTS = 3
_LATENT_NOTES = 24
_ENOUGH_TRACKED = 0.5  # of the notes: a share of fewer says little of a family

Report = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """What a figure is to reach: at least or at most `limit`."""

    text: str
    limit: float
    least: bool = True

    def met(self, value: float | None) -> bool:
        """Whether a value reaches it; what could not be measured does not."""
        return value is not None and (value >= self.limit if self.least else value <= self.limit)

    @property
    def shown(self) -> str:
        return f"{'>=' if self.least else '<='} {self.limit:g}"


TARGETS: dict[str, Target] = {
    "f0_followed": Target("held-out notes whose pitch is followed within 50 cents, share", 0.9),
    "lsd_over_silence": Target("log-spectral distance over that of silence, median", 0.5, least=False),
    "lsd_over_other": Target("log-spectral distance over that of another note, median", 0.6, least=False),
    "envelope_correlation": Target("correlation of levels over time, median", 0.9),
    "latents_used": Target("latents used", 4),
    "distinct_effects": Target("distance between answers over that between effects", 0.25),
    "classifier_accuracy": Target("notes and effects that the classifier names right, share", 0.9),
    "effects_closer": Target("effects that come closer to the family, share", 0.8),
    "rtf": Target("CPU time on one core over the sound's length", 0.05, least=False),
}
"""What a model must reach. The first two and the last are the project's bar, the others are judgement: between what
silence, one spectrum for all or an identity reach and what a model is for."""


@dataclass(frozen=True)
class TimbreOptions:
    """What is evaluated: a model's folder (or a .ts or .onnx file) against a corpus, on so many held-out notes.

    `uses`: also build samples both ways, on the effect and on the notes. `write`: put the figures into the model's card.
    """

    model: Path
    corpus: Path
    notes: int = 96
    uses: bool = True
    write: bool = True


@dataclass(frozen=True)
class TimbreEvaluation:
    """The figures by the names of TARGETS, further facts, and the rows that they come from."""

    figures: dict[str, float | None]
    facts: dict[str, float | int | bool | str | None]
    notes: tuple[NoteRow, ...]
    effects: EffectFigures
    uses: tuple[UseRow, ...]

    @property
    def missed(self) -> list[str]:
        """A sentence for each target that was not reached."""
        return [
            f"{target.text}: {_shown(self.figures[name])} ({target.shown})"
            for name, target in TARGETS.items()
            if name in self.figures and not target.met(self.figures[name])
        ]

    @property
    def passed(self) -> bool:
        return not self.missed


@dataclass(frozen=True)
class Subject:
    """What stands before the gate. `encode` gives latents of shape (latents, columns) of mono samples at `sample_rate`."""

    through: Through
    rtf: Callable[[], float]
    encode: Callable[[Any], Any] | None
    sample_rate: int


def evaluate(options: TimbreOptions, report: Report = lambda text: None) -> TimbreEvaluation:
    """Measure a model, and write the gate's figures into its card.

    Raises:
        UsageError: there is no such model or corpus, or they do not belong together.
        EngineError: the model cannot be loaded, or failed, or its .ts is missing.
    """
    found = _the_model(options.model)
    corpus = _corpus(options.corpus, found.card)
    report("the family")
    family = learn_family(options.corpus, corpus)
    result = measure(_subject(found), held_out(options.corpus, corpus, options.notes), family, report)
    if options.uses:
        report("both uses")
        rows = use_rows(str(options.model), corpus.role, strange_effects(_USE_EFFECTS), family)
        facts = result.facts | {"better_use": better_use(rows)}
        result = TimbreEvaluation(result.figures, facts, result.notes, result.effects, tuple(rows))
    if found.card is not None and options.write:
        card = found.card.with_gate(result.passed, {**result.figures, **result.facts}, result.missed)
        card.write(found.path.parent / CARD)
    return result


def _the_model(path: Path) -> Found:
    found = find_models(str(path))
    if MELODIC not in found:
        raise UsageError(f"{path}: holds models of {', '.join(found)}: name the folder of one of them")
    return found[MELODIC]


def _corpus(folder: Path, card: TimbreCard | None) -> Corpus:
    """The corpus, which must be the one that the model was trained on, or one that it knows nothing of.

    Raises:
        UsageError: it is of another role, or another selection of the notes that the model has learned from.
    """
    corpus = read_corpus(folder)
    if card is None:
        return corpus
    if corpus.role != card.role:
        raise UsageError(
            f"{folder}: is a corpus of {corpus.role}, the model learned {card.role}: give the {card.role} corpus"
        )
    same = sha256_file(folder / MANIFEST) == card.corpus.manifest_sha256
    if not same and corpus.origin_sha256 == card.corpus.origin_sha256:
        raise UsageError(
            f"{folder}: other notes are held out here than were in the model's training: give the corpus that it was trained on"
        )
    return corpus


def _subject(found: Found) -> Subject:
    model = TimbreModel.load(found)
    network: Any = model.network
    if found.card is not None:
        network = load_network(_script(found.path.parent, found.card), found.card.sample_rate, None)
    encode = network.encode if isinstance(network, TorchNetwork) else None
    return Subject(model.through, lambda: real_time_factor(model), encode, model.network.sample_rate)


def _script(folder: Path, card: TimbreCard) -> Path:
    path = folder / card.ts.file
    if not path.is_file() or file_sha256(path) != card.ts.sha256:
        raise EngineError(
            f"{path}: is not there, or not the file that {CARD} describes: its latents are part of the gate, so evaluate the "
            "folder that `photone train` made"
        )
    return path


def measure(
    subject: Subject, notes: Sequence[HeldOut], family: Family, report: Report = lambda text: None
) -> TimbreEvaluation:
    """All figures of the gate but those of the uses."""
    report(f"{len(notes)} held-out notes")
    rows = note_rows(notes, subject.through)
    report("effects")
    effects = effect_figures(strange_effects(), family, subject.through)
    report("latents and time")
    latents = None if subject.encode is None else latent_variances(subject.encode, notes, subject.sample_rate)
    figures: dict[str, float | None] = {
        **note_figures(rows),
        "latents_used": None if latents is None else sum(value > USED_VARIANCE for value in latents),
        "distinct_effects": effects.distinct,
        "classifier_accuracy": family.accuracy,
        "effects_closer": round(sum(row.rises for row in effects.rows) / len(effects.rows), 3),
        "rtf": round(subject.rtf(), 4),
    }
    if latents is None:
        del figures["latents_used"]  # an ONNX file alone does not show them
    facts = {
        **_note_facts(rows),
        "latents": None if latents is None else len(latents),
        "largest_latent_variance": None if not latents else round(max(latents), 4),
        "effects": len(effects.rows),
        "effects_rise": _mean_rise(effects),
    }
    return TimbreEvaluation(figures, facts, tuple(rows), effects, ())


def note_figures(rows: Sequence[NoteRow]) -> dict[str, float | None]:
    """The figures over all held-out notes."""
    asked = [row.followed for row in rows if row.followed is not None]
    return {
        "f0_followed": round(sum(asked) / len(asked), 3) if len(asked) >= _ENOUGH_TRACKED * len(rows) else None,
        "lsd_over_silence": round(median(row.lsd_db / max(row.silence_db, 1e-9) for row in rows), 3),
        "lsd_over_other": round(median(row.lsd_db / max(row.other_db, 1e-9) for row in rows), 3),
        "envelope_correlation": round(median(row.envelope for row in rows), 3),
    }


def _note_facts(rows: Sequence[NoteRow]) -> dict[str, float | int | bool | str | None]:
    return {
        "notes": len(rows),
        "notes_tracked": sum(row.followed is not None for row in rows),
        "lsd_db": round(median(row.lsd_db for row in rows), 2),
        "lsd_silence_db": round(median(row.silence_db for row in rows), 2),
        "lsd_other_db": round(median(row.other_db for row in rows), 2),
    }


def _mean_rise(effects: EffectFigures) -> float | None:
    """Mean rise in log odds over the effects of which the model made a sound."""
    rises = [row.after - row.before for row in effects.rows if row.after is not None]
    return round(float(np.mean(rises)), 2) if rises else None


def latent_variances(encode: Callable[[Any], Any], notes: Sequence[HeldOut], sample_rate: int) -> list[float]:
    """Variance of each latent over held-out notes and time: of the posterior's mean, which is what an exported model uses.

    The divergence of each latent from its prior would need the posterior's spread, which an export leaves out; a latent whose
    mean never moves has none.
    """
    columns = [
        encode(note.sound.resampled(sample_rate).samples) for note in notes[:: max(1, len(notes) // _LATENT_NOTES)]
    ]
    return [float(value) for value in np.concatenate(columns, axis=1).var(axis=1)]


def real_time_factor(model: TimbreModel) -> float:
    """CPU seconds that the network takes for a second of sound on one thread: the least of three times 10 s."""
    rate = model.network.sample_rate
    sound = 0.1 * generator(0, "rtf").standard_normal((model.network.channels, round(_RTF_S * rate))).astype(np.float32)
    costs = []
    for _ in range(_RTF_TIMES):
        began = time.process_time()
        model.network.run(sound)
        costs.append(time.process_time() - began)
    return min(costs) / _RTF_S


def as_json(evaluation: TimbreEvaluation) -> dict[str, Any]:
    """The evaluation as JSON values: figures with their targets, facts, all rows."""
    return {
        "passed": evaluation.passed,
        "missed": evaluation.missed,
        "figures": {
            name: {"value": value, "target": TARGETS[name].shown, "met": TARGETS[name].met(value)}
            for name, value in evaluation.figures.items()
        },
        "facts": evaluation.facts,
        "uses": [asdict(row) for row in evaluation.uses],
        "effects": [asdict(row) for row in evaluation.effects.rows],
        "notes": [asdict(row) for row in evaluation.notes],
    }


def as_table(evaluation: TimbreEvaluation) -> str:
    """The evaluation as plain text: the figures, the distances beside those of silence and of another note, both uses."""
    lines = [("figure", "value", "target", "met")]
    for name, value in evaluation.figures.items():
        target = TARGETS[name]
        lines.append((target.text, _shown(value), target.shown, "PASS" if target.met(value) else "MISS"))
    facts = evaluation.facts
    distances = (
        f"log-spectral distance in dB: identity 0, model {facts['lsd_db']}, silence {facts['lsd_silence_db']}, "
        f"another note {facts['lsd_other_db']} (medians of {facts['notes']} held-out notes)"
    )
    text = [*aligned(lines, 1), "", distances]
    if evaluation.uses:
        text += ["", *aligned([_USE_HEADINGS, *map(_use_cells, evaluation.uses)], 1)]
        text += [row.problem for row in evaluation.uses if row.problem]
        text.append(f"better use: {facts['better_use']}")
    verdict = "passed" if evaluation.passed else "missed"
    return "\n".join([*text, f"the gate is {verdict}"])


_USE_HEADINGS = ("samples by", "in tune", "closeness", "from effect dB", "blend", "seam dB")


def _use_cells(row: UseRow) -> tuple[str, ...]:
    name = {"resonator": "resonator alone", "notes": "model on the notes", "effect": "model on the effect"}[row.use]
    values = (row.closeness, row.colour_db, row.blend, row.seam_db)
    cells = ("-" if value is None else f"{value:.2f}" for value in values)
    return name, f"{row.in_tune} of {row.samples}", *cells


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:g}"
