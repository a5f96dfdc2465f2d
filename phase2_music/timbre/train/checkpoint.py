"""A training's state on disk: whole or not there, so that it can be taken up after any interruption."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from core.errors import UsageError
from core.manifest import write_bytes
from phase2_music.timbre.train.steps import Steps
from schemas.timbre import ValidationPoint

FILE = "checkpoint.pt"
_VERSION = 1


@dataclass(frozen=True)
class State:
    """How far a training is; `elapsed_s` counts all its sessions, `phase_2_step` is None in phase 1."""

    step: int = 0
    elapsed_s: float = 0.0
    phase_2_step: int | None = None
    first_losses: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    validations: tuple[ValidationPoint, ...] = ()

    @property
    def phase(self) -> int:
        return 1 if self.phase_2_step is None else 2

    def with_losses(self, losses: dict[str, float]) -> State:
        """The same with new means of losses; of each loss, the first mean is kept as well."""
        return replace(self, losses=self.losses | losses, first_losses=losses | self.first_losses)


def save(folder: Path, steps: Steps, state: State, identity: Sequence[str]) -> None:
    """Write everything that the next step depends on.

    Raises:
        OutputError: the folder cannot be written to.
    """
    value = {
        "version": _VERSION,
        "device": device_name(steps.device),
        "identity": list(identity),
        "model": steps.networks.rave.state_dict(),
        "generator": steps.generator.state_dict()["state"],
        "discriminator": steps.discriminator.state_dict()["state"],
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state() if steps.device.type == "cuda" else None,
        "state": {
            name: getattr(state, name) for name in ("step", "elapsed_s", "phase_2_step", "first_losses", "losses")
        },
        "validations": [point.model_dump() for point in state.validations],
    }
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(folder / FILE, buffer.getvalue())


def load(folder: Path, steps: Steps, identity: Sequence[str]) -> State:
    """Take up what was saved; the beginning, if nothing was.

    Raises:
        UsageError: the checkpoint is damaged, or of a training with other options or another corpus.
    """
    path = folder / FILE
    if not path.is_file():
        return State()
    value = read(path)
    if list(value["identity"]) != list(identity):
        raise UsageError(
            f"{path}: is of a training with other options or another corpus: choose another folder with --out"
        )
    steps.networks.rave.load_state_dict(value["model"])
    for optimiser, name in ((steps.generator, "generator"), (steps.discriminator, "discriminator")):
        # The groups stay as they are: rates, and whether a graph reads them, are of this session.
        optimiser.load_state_dict(optimiser.state_dict() | {"state": value[name]})
    torch.set_rng_state(value["random"])
    if steps.device.type == "cuda" and value["random_cuda"] is not None:
        torch.cuda.set_rng_state(value["random_cuda"])
    return state_of(value)


def state_of(value: dict[str, Any]) -> State:
    """How far a checkpoint's training is."""
    points = tuple(ValidationPoint.model_validate(point) for point in value["validations"])
    return State(**value["state"], validations=points)


def device_name(device: torch.device) -> str:
    """A device in words."""
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else str(device.type)


def read(path: Path) -> dict[str, Any]:
    """The values of a checkpoint, on the CPU.

    Raises:
        UsageError: it is damaged.
    """
    try:
        value: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise UsageError(f"{path}: is no whole checkpoint: remove it to train from the beginning") from error
    if not isinstance(value, dict) or value.get("version") != _VERSION:
        raise UsageError(f"{path}: is a checkpoint of another version: remove it to train from the beginning")
    return value
