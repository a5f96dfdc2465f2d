"""Which model serves which role, and whether it may: a trained model has a card, and the card a gate that it has passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from core.errors import DocumentError, EngineError, UsageError
from core.manifest import sha256_file
from phase2_music.timbre import shipped
from phase2_music.timbre.shipped import CARD
from schemas.document import ROLES, Role
from schemas.timbre import ModelFile, TimbreCard

Served = Role | Literal["melodic"]
"""Whom a model serves: a role, or every melodic role, where it stands alone."""
MELODIC: Literal["melodic"] = "melodic"
SUFFIXES = (".onnx", ".ts")
LOUDNESS_LUFS = -20.0
"""What a model is fed with where no card says how loud its corpus was."""


@dataclass(frozen=True)
class Found:
    """A model's file, its hash, and its card where it has one.

    `rate` is the sample rate in Hz that the user gave, for files that do not tell theirs.
    """

    path: Path
    sha256: str
    card: TimbreCard | None
    rate: int | None = None

    @property
    def sample_rate(self) -> int | None:
        """In Hz; None where only the file itself can tell."""
        return self.card.sample_rate if self.card else self.rate

    @property
    def loudness_lufs(self) -> float:
        """How loud a sound should be that the model hears: as loud as its corpus."""
        return self.card.corpus.loudness_lufs if self.card else LOUDNESS_LUFS

    @property
    def verdict(self) -> str:
        """What is known of its quality: "passed", "missed", "not run", or "no card" of a model from elsewhere."""
        if self.card is None:
            return "no card"
        if self.card.gate is None:
            return "not run"
        return "passed" if self.card.gate.passed else "missed"

    @property
    def problem(self) -> str | None:
        """Why it may not be used without force: its figures, in one line."""
        if self.card is not None and self.card.gate is None:
            return (
                f"{self.path.parent}: this model's gate was not run: run `photone eval timbre` on it, or add ?force=yes"
            )
        if self.card is not None and self.card.gate is not None and not self.card.gate.passed:
            figures = "; ".join(self.card.gate.missed) or "see card.json"
            return f"{self.path.parent}: the model missed its gate ({figures}): train it further, or add ?force=yes"
        return None


def find_models(argument: str, rate: int | None = None) -> Mapping[Served, Found]:
    """The models that an engine's argument names, by the role that they serve.

    `argument` is a file (.onnx, .ts), a folder with one model, a folder with folders named as roles, or "" for those that come
    with photone.

    Raises:
        UsageError: there is no such file or folder.
        EngineError: there is no model in it, or one that is not what its card says.
    """
    if not argument:
        return _by_role(shipped.SHIPPED) or _nothing_shipped()
    path = Path(argument)
    if path.is_file():
        return {MELODIC: _file(path, rate)}
    if not path.is_dir():
        raise UsageError(f"{path}: no such file or folder: give rave: a model's folder, or a .ts or .onnx file")
    single = _one_in(path, rate)
    found: Mapping[Served, Found] = {MELODIC: single} if single else _by_role(path, rate)
    if not found:
        roles = ", ".join(ROLES)
        raise EngineError(
            f"{path}: holds no timbre model: expected {CARD}, one .ts or .onnx file, or folders named {roles}"
        )
    return found


def _nothing_shipped() -> Mapping[Served, Found]:
    raise EngineError(
        "no timbre model comes with photone yet (none in soundfonts/timbres): train one with "
        "`photone train keyboard` and name its folder, rave:FOLDER, or anybody's RAVE export, rave:FILE.ts"
    )


def _by_role(folder: Path, rate: int | None = None) -> Mapping[Served, Found]:
    models = {role: _one_in(folder / role, rate) for role in ROLES if (folder / role).is_dir()}
    return {role: model for role, model in models.items() if model}


def _one_in(folder: Path, rate: int | None) -> Found | None:
    """The model of a folder: its card's, or the only file there; None where there is none."""
    if (folder / CARD).is_file():
        card = _card(folder)
        return _carded(folder, card, card.onnx)
    files = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.is_file()]
    if len(files) > 1:
        raise UsageError(f"{folder}: holds {len(files)} models and no {CARD}: name one, as in rave:{files[0]}")
    return _file(files[0], rate) if files else None


def _file(path: Path, rate: int | None) -> Found:
    """A file by itself; where the card beside it speaks of it, it is that model and no stranger."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: not a model that can be read: expected {' or '.join(SUFFIXES)}, or a folder")
    if (path.parent / CARD).is_file():
        card = _card(path.parent)
        for file in (card.onnx, card.ts):
            if file.file == path.name:
                return _carded(path.parent, card, file)
    return Found(path, file_sha256(path), None, rate)


def _card(folder: Path) -> TimbreCard:
    try:
        return TimbreCard.read(folder / CARD)
    except DocumentError as error:
        raise EngineError(str(error)) from error


def _carded(folder: Path, card: TimbreCard, file: ModelFile) -> Found:
    path = folder / file.file
    if not path.is_file():
        raise EngineError(f"{path}: is missing, though {CARD} names it: export the model again")
    if file_sha256(path) != file.sha256:
        raise EngineError(f"{path}: is not the file that {CARD} describes: export the model again, or download it anew")
    return Found(path, file.sha256, card)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read once a process while it stays the same."""
    status = path.stat()
    return _computed(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _computed(path: Path, size: int, mtime_ns: int) -> str:
    return sha256_file(path)
