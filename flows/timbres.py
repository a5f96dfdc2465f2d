"""Timbre models: corpus, training and export of one family, or of several side by side. Knows neither Prefect nor the terminal.

One family's folder holds `checkpoint.pt`, `options.json`, `config.gin`, `progress.jsonl` (a line each time the training tells
where it stands), `tensorboard/`, and in the end `model/` (model.onnx, model.ts, card.json).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.errors import EngineError, PhotoneError, UsageError
from core.manifest import prepare_folder, sha256_file, to_json, write_text
from flows.runs.locks import run_lock
from phase2_music.timbre.corpus import MANIFEST, make_corpus
from phase2_music.timbre.corpus_gm import FAMILIES, HELD_OUT_PROGRAM
from phase2_music.timbre.corpus_source import CorpusOptions
from phase2_music.timbre.train.options import TrainingOptions, preset
from schemas.document import MELODIC_ROLES, Role
from schemas.timbre import TimbreCard

MODEL, PROGRESS = "model", "progress.jsonl"
CORPORA = Path("runs") / "corpus"
MODELS = Path("runs") / "timbres"
_SMOKE_PROGRAMS = 2
_PATIENCE_S = 60.0  # for a family that is asked to end: it writes its checkpoint

Report = Callable[[Role, dict[str, Any]], None]
"""Is told a family and a line of its progress (`Progress.as_json`, or {"corpus": notes, "of": notes})."""


@dataclass(frozen=True)
class TimbreRequest:
    """One family to train. `out` is its folder; `corpus` a corpus's folder or one that has it as `<role>/` (None: its own).

    `changes` are options of the training that differ from the preset's.
    """

    role: Role
    preset: str
    out: Path
    corpus: Path | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.role not in MELODIC_ROLES:
            raise UsageError(f"no timbre model for {self.role!r}: choose from {', '.join(MELODIC_ROLES)}")
        self.options  # noqa: B018 - says what is wrong before work begins

    @property
    def options(self) -> TrainingOptions:
        """The preset with the changes."""
        return preset(self.preset, **self.changes)

    def as_json(self) -> dict[str, Any]:
        """The request as JSON values."""
        return vars(self) | {"out": str(self.out), "corpus": str(self.corpus) if self.corpus else None}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TimbreRequest:
        """`as_json` backwards."""
        paths = {"out": Path(value["out"]), "corpus": Path(value["corpus"]) if value["corpus"] else None}
        return cls(**value | paths)


@dataclass(frozen=True)
class Trained:
    """A family's model, in its folder; `unchanged` where there was nothing to train or export."""

    role: Role
    folder: Path
    card: TimbreCard
    unchanged: bool

    def as_json(self) -> dict[str, Any]:
        """What was trained, as JSON values."""
        training = self.card.training
        names = ("preset", "steps", "phase_2_step", "finished", "first_losses", "losses", "elapsed_s", "device")
        figures = {name: getattr(training, name) for name in names}
        sizes = {"onnx_bytes": self.card.onnx.bytes, "onnx_error": self.card.onnx_error}
        return {"role": self.role, "model": str(self.folder), "unchanged": self.unchanged, **figures, **sizes}


def train_family(request: TimbreRequest, report: Report = lambda role, line: None) -> Trained:
    """Make the corpus where there is none, train from the last checkpoint on, export.

    Raises:
        PhotoneError: as `make_corpus`, `train` and `export_model`; somebody else trains in the folder.
    """
    corpus = prepare_corpus(request, report)
    with run_lock(request.out):
        return _train_and_export(request, corpus, report)


def _train_and_export(request: TimbreRequest, corpus: Path, report: Report) -> Trained:
    steps = _train(request, corpus, report)
    folder = request.out / MODEL
    card = _exported(folder, steps, request.options)
    if card is not None:
        return Trained(request.role, folder, card, unchanged=True)
    from phase2_music.timbre.train.export import export_model

    card = export_model(request.out, corpus, folder, request.options, _photone_version())
    return Trained(request.role, folder, card, unchanged=False)


def train_families(requests: Sequence[TimbreRequest], report: Report = lambda role, line: None) -> list[Trained]:
    """Train several families side by side, one process each: the steps' many small kernels leave a GPU mostly idle.

    When one fails, the others go on to their end; then the first failure is raised. An interruption ends all in order.

    Raises:
        EngineError: a family failed; its log is named.
    """
    if len(requests) == 1:
        return [train_family(requests[0], report)]
    families = [_Family(request, report) for request in requests]
    try:
        statuses = [family.wait() for family in families]
    except BaseException:
        for family in families:
            family.end()
        raise
    for family, status in zip(families, statuses, strict=True):
        if status:
            raise EngineError(f"{family.request.role}: {family.complaint()}")
    return [_read(family.request, unchanged=family.unchanged) for family in families]


def prepare_corpus(request: TimbreRequest, report: Report = lambda role, line: None) -> Path:
    """The folder of a request's corpus, made where it is photone's own to make.

    Raises:
        UsageError: the corpus that was named is not there.
        EngineError: the soundfont is missing.
    """
    folder = corpus_folder(request)
    if (folder / MANIFEST).is_file():
        return folder
    if request.corpus is not None:
        raise UsageError(
            f"{folder}: holds no {MANIFEST}: make it with `photone train corpus {request.role} --out {folder}`"
        )
    options = default_corpus(request, folder)
    make_corpus(options, lambda done, of: report(request.role, {"corpus": done, "of": of}))
    return folder


def corpus_folder(request: TimbreRequest) -> Path:
    """Where a request's corpus lies: what it names, or its own for `smoke`, or the family's in runs/corpus."""
    if request.corpus is not None:
        return request.corpus if (request.corpus / MANIFEST).is_file() else request.corpus / request.role
    return request.out / "corpus" if request.preset == "smoke" else CORPORA / request.role


def default_corpus(request: TimbreRequest, folder: Path) -> CorpusOptions:
    """The corpus that is made when none is named: the whole family, or for `smoke` a few short notes of three programs."""
    if request.preset != "smoke":
        return CorpusOptions(request.role, folder)
    held_out = HELD_OUT_PROGRAM[request.role]
    others = [program for program in FAMILIES[request.role] if program != held_out]
    programs = (*others[:_SMOKE_PROGRAMS], held_out)
    return CorpusOptions(request.role, folder, key_step=4, velocities=(100,), programs=programs, duration_s=1.5)


def progress_text(line: dict[str, Any]) -> str:
    """A line of progress in words."""
    if "corpus" in line:
        return f"corpus, {line['corpus']} of {line['of']} notes"
    text = f"step {line['step']}, phase {line['phase']}, {100 * line['used']:.0f} %"
    if line["losses"]:
        losses = " ".join(f"{name} {loss:.3g}" for name, loss in line["losses"].items())
        text += f", {line['steps_per_s']:.1f} steps/s, {_duration(line['eta_s'])} left, {losses}"
    point = line["validation"]
    return text if point is None else f"{text}, validation {point['distance']:.3g} ({point['latents_95']} latents)"


def summary(trained: Trained) -> str:
    """What was trained, on one line."""
    training = trained.card.training
    first, last = training.first_losses.get("whole"), training.losses.get("whole")
    distance = "" if first is None or last is None else f", spectral distance {first:.3g} -> {last:.3g}"
    phase = "phase 1" if training.phase_2_step is None else f"phase 2 since step {training.phase_2_step}"
    state = "nothing to do" if trained.unchanged else "budget used up" if training.finished else "to be gone on with"
    return (
        f"{trained.role}: {training.steps} steps ({phase}) in {_duration(training.elapsed_s)}{distance}; {state}\n"
        f"{trained.folder}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _train(request: TimbreRequest, corpus: Path, report: Report) -> int:
    """Train; gives the number of steps that the model has behind it."""
    from phase2_music.timbre.corpus import read_corpus
    from phase2_music.timbre.train.board import Board
    from phase2_music.timbre.train.loop import Progress, train

    board: Board | None = None
    rate = read_corpus(corpus).sample_rate
    with (request.out / PROGRESS).open("a", encoding="utf-8") as file:

        def tell(progress: Progress) -> None:
            nonlocal board
            if board is None:
                board = Board(request.out / "tensorboard", progress.step, rate)
            board.add(progress)
            line = progress.as_json()
            print(json.dumps(line), file=file, flush=True)
            report(request.role, line)

        try:
            return train(corpus, request.out, request.options, tell).step
        finally:
            if board is not None:
                board.close()


def _photone_version() -> str:
    try:
        return version("photone")
    except PackageNotFoundError:
        return "source"  # a copy of the tree on a machine where nothing can be installed


def _exported(folder: Path, steps: int, options: TrainingOptions) -> TimbreCard | None:
    """The card of a model that was exported after so many steps already, if its files are as they were."""
    from phase2_music.timbre.train.export import CARD

    if not (folder / CARD).is_file():
        return None
    card = TimbreCard.read(folder / CARD)
    for file in (card.onnx, card.ts):
        if not (folder / file.file).is_file() or sha256_file(folder / file.file) != file.sha256:
            return None
    return card if card.training.steps == steps and card.training.preset == options.preset else None


class _Family:
    """One family's process: what it tells line by line, and its log."""

    def __init__(self, request: TimbreRequest, report: Report) -> None:
        self.request, self.unchanged = request, False
        self._report = report
        prepare_folder(request.out)
        self._log = request.out / "train.log"
        written = request.out / "request.json"
        write_text(written, to_json(request.as_json()))
        with self._log.open("w", encoding="utf-8") as log:
            # A session of its own: Ctrl-C reaches us alone, and we pass it on once.
            command = [sys.executable, "-m", "flows.timbres", str(written)]
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        self._reader = threading.Thread(target=self._read_lines, daemon=True)
        self._reader.start()

    def wait(self) -> int:
        """Wait for its end; gives its exit status."""
        status = self._process.wait()
        self._reader.join()
        return status

    def end(self) -> None:
        """Ask it to end after its checkpoint."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        self._process.kill()

    def complaint(self) -> str:
        """The last thing it said."""
        lines = self._log.read_text(encoding="utf-8").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), "ended without a word")
        return f"{said} (see {self._log})"

    def _read_lines(self) -> None:
        for text in self._process.stdout or ():
            line = json.loads(text)
            if "unchanged" in line:
                self.unchanged = line["unchanged"]
            else:
                self._report(self.request.role, line)


def _read(request: TimbreRequest, *, unchanged: bool) -> Trained:
    from phase2_music.timbre.train.export import CARD

    folder = request.out / MODEL
    return Trained(request.role, folder, TimbreCard.read(folder / CARD), unchanged)


def main(arguments: Sequence[str]) -> int:
    """One family in a process of its own: `python -m flows.timbres REQUEST.json`, progress as JSON lines."""
    request = TimbreRequest.from_json(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        made = train_family(request, lambda role, line: print(json.dumps(line), flush=True))
    except PhotoneError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it stopped", file=sys.stderr)
        return 1
    print(json.dumps({"unchanged": made.unchanged}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
