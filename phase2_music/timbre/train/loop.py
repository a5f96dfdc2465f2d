"""The training itself: a plain loop that can be stopped anywhere and goes on at its last checkpoint."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import EngineError, UsageError
from core.manifest import prepare_folder, sha256_file, sweep, to_json, write_text
from core.seeds import derive_seed
from phase2_music.timbre.corpus import MANIFEST
from phase2_music.timbre.train import checkpoint, data
from phase2_music.timbre.train.checkpoint import State
from phase2_music.timbre.train.model import build
from phase2_music.timbre.train.options import TrainingOptions
from phase2_music.timbre.train.steps import Steps
from schemas.timbre import Corpus, ValidationPoint

_VARIANCE_SHARE = 0.95


@dataclass(frozen=True)
class Progress:
    """Where a training stands: told every few steps and after each validation.

    `used` is the share of the budget, `eta_s` what is left of it at the present speed; `losses` are means since the last time.
    `sounds` are, after a validation, crops beside what the model makes of them: float32 of shape (crops, 2, frames).
    """

    role: str
    step: int
    phase: int
    used: float
    steps_per_s: float
    elapsed_s: float
    eta_s: float
    losses: Mapping[str, float]
    rate: float
    beta: float
    validation: ValidationPoint | None = None
    sounds: Any = None

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        values = {name: value for name, value in vars(self).items() if name not in ("sounds", "validation", "losses")}
        point = self.validation.model_dump() if self.validation else None
        return values | {"losses": dict(self.losses), "validation": point}


Report = Callable[[Progress], None]


@dataclass
class _Session:
    """What a session works with."""

    corpus: Corpus
    options: TrainingOptions
    out: Path
    identity: tuple[str, str]
    steps: Steps
    notes: data.Notes
    validation: Tensor
    report: Report
    state: State
    began: float = 0.0
    elapsed_before: float = 0.0
    first_step: int = 0
    saved: float = 0.0
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    told: tuple[int, float] = (0, 0.0)

    @property
    def elapsed_s(self) -> float:
        return self.elapsed_before + time.monotonic() - self.began

    @property
    def used(self) -> float:
        return self.options.used(self.state.step, self.elapsed_s)


def train(corpus_folder: Path, out: Path, options: TrainingOptions, report: Report = lambda progress: None) -> State:
    """Train a family's model until its budget or the session's is used up; goes on where an earlier call stopped.

    `out` then holds checkpoint.pt, options.json and RAVE's configuration as config.gin. On a CPU the same options and
    corpus give the same weights, however often the training was stopped, unless `minutes` decide on the schedule.

    Raises:
        UsageError: the corpus or the checkpoint is damaged or does not go with the options.
        EngineError: a package or the device is missing, or the losses are no longer numbers.
        OutputError: the folder cannot be written to.
    """
    with _threads(options.threads):
        session = _open(corpus_folder, out, options, report)
        if session.used >= 1.0:
            return session.state
        session.began = session.saved = time.monotonic()
        session.told = (session.state.step, session.elapsed_s)
        with _polite_end() as asked:
            try:
                _run(session, asked)
            finally:
                # An interruption (Ctrl-C, a polite kill) loses no step; a hard kill those since the last checkpoint.
                _save(session)
    return session.state


def _run(session: _Session, asked_to_end: Callable[[], bool]) -> None:
    while not _over(session):
        if asked_to_end():
            return
        _switch_if_due(session)
        _step(session)
    _validate_once(session)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _open(corpus_folder: Path, out: Path, options: TrainingOptions, report: Report) -> _Session:
    corpus = data.load_corpus(corpus_folder)
    device = choose_device(options.device)
    prepare_folder(out)
    sweep(out)
    torch.manual_seed(derive_seed(options.seed, "weights"))
    steps = Steps(build(options, corpus.sample_rate), options, device)
    identity = (options.identity(), sha256_file(corpus_folder / MANIFEST))
    state = checkpoint.load(out, steps, identity)
    write_text(out / "options.json", to_json(options.as_json()))
    write_text(out / "config.gin", steps.networks.config)
    notes = data.load_notes(corpus_folder, corpus, "train", device)
    validation = data.validation_batch(data.load_notes(corpus_folder, corpus, "valid", device), options)
    session = _Session(corpus, options, out, identity, steps, notes, validation, report, state)
    session.first_step, session.elapsed_before = state.step, state.elapsed_s
    session.began = time.monotonic()
    return session


def choose_device(wish: str) -> torch.device:
    """The device that was asked for; `auto` is the first CUDA device, or the CPU where there is none.

    Raises:
        UsageError: there is no such device here.
    """
    if wish == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wish)
    except RuntimeError as error:
        raise UsageError(f"no device {wish!r}: choose auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"device {wish!r} is not here: choose auto or cpu")
    return device


def _over(session: _Session) -> bool:
    options, done = session.options, session.state.step - session.first_step
    if options.session_steps is not None and done >= options.session_steps:
        return True
    if options.session_minutes is not None and time.monotonic() - session.began >= 60 * options.session_minutes:
        return True
    return session.used >= 1.0


def _switch_if_due(session: _Session) -> None:
    """Go over to phase 2 when its time has come, behind a validation: from here on the latents stay as they are."""
    state = session.state
    if state.phase == 1 and session.used >= session.options.phase_1_share:
        _validate_once(session)
        session.state = replace(session.state, phase_2_step=session.state.step)
        _save(session)


def _step(session: _Session) -> None:
    options, state, used = session.options, session.state, session.used
    sound = data.batch(session.notes, options, session.corpus.sample_rate, state.step)
    kind = session.steps.kind(state.step, state.phase)
    for name, loss in session.steps.run(kind, sound, options.rate(used), options.beta(used)).items():
        session.sums[name] = session.sums.get(name, torch.zeros_like(loss)) + loss
        session.counts[name] = session.counts.get(name, 0) + 1
    session.state = state = replace(state, step=state.step + 1)
    if state.step % options.log_every == 0:
        _tell(session)
    if state.step % options.validate_every == 0:
        _validate(session)
    if time.monotonic() - session.saved > options.checkpoint_every_s:
        _save(session)


def _gather(session: _Session) -> dict[str, float]:
    """Means of the losses since the last time.

    Raises:
        EngineError: one is no number any more.
    """
    means = {name: float(total) / session.counts[name] for name, total in session.sums.items()}
    for name, mean in means.items():
        if not np.isfinite(mean):
            raise EngineError(
                f"{session.out}: the loss {name!r} is no number any more at step {session.state.step}: go on from the last "
                "checkpoint with --precision float32, or begin again in another folder with another --seed"
            )
    # Only now: while they stand, `_save` sees that something is wrong and keeps the last good checkpoint.
    session.sums, session.counts = {}, {}
    return means


def _tell(session: _Session, validation: ValidationPoint | None = None, sounds: Any = None) -> None:
    """Report where the training stands."""
    means = _gather(session)
    session.state = state = session.state.with_losses(means)
    now, used = session.elapsed_s, session.used
    speed = (state.step - session.told[0]) / max(1e-9, now - session.told[1])
    session.told = (state.step, now)
    gone, done = now - session.elapsed_before, used - session.options.used(session.first_step, session.elapsed_before)
    options = session.options
    eta_s = gone * (1.0 - used) / done if done > 0 else 0.0
    rate, beta = options.rate(used), options.beta(used)
    progress = Progress(
        session.corpus.role, state.step, state.phase, used, speed, now, eta_s, means, rate, beta, validation, sounds
    )
    session.report(progress)


def _validate_once(session: _Session) -> None:
    """Validate, unless that was the last thing that happened."""
    state = session.state
    if not state.validations or state.validations[-1].step != state.step:
        _validate(session)


def _validate(session: _Session) -> None:
    """Measure how well unseen keys are reproduced, and how many latents that takes."""
    again, distance, means = session.steps.reproduce(session.validation)
    state = session.state
    point = ValidationPoint(
        step=state.step,
        phase=1 if state.phase == 1 else 2,
        distance=round(float(distance), 6),
        latents_95=latents_used(means),
    )
    session.state = replace(state, validations=(*state.validations, point))
    pairs = torch.cat([session.validation, again], 1)[:4].float().cpu().numpy()
    _tell(session, point, pairs)


def latents_used(means: Tensor) -> int:
    """How many principal directions hold 95 % of the variance of posterior means of shape (B, latents, frames)."""
    flat = means.detach().double().cpu().transpose(0, 1).flatten(1)
    variances = torch.linalg.eigvalsh(torch.cov(flat)).flip(0).clamp(min=0)
    shares = variances.cumsum(0) / variances.sum().clamp(min=1e-30)
    return int((shares < _VARIANCE_SHARE).sum()) + 1


def _save(session: _Session) -> None:
    """Write a checkpoint, unless the losses since the last report are no numbers: then the last good one stays."""
    if all(bool(torch.isfinite(total)) for total in session.sums.values()):
        state = replace(session.state, elapsed_s=session.elapsed_s)
        checkpoint.save(session.out, session.steps, state, session.identity)
        session.state = state
    session.saved = time.monotonic()


@contextmanager
def _polite_end() -> Iterator[Callable[[], bool]]:
    """Tell whether Ctrl-C or a polite kill came, and pass it on behind the block: no step and no write is cut in two."""
    came: list[int] = []
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # signals reach no other
        for asked in (signal.SIGINT, signal.SIGTERM):
            before[asked] = signal.signal(asked, lambda number, frame: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt
