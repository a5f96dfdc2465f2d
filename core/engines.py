"""Engines: one table of strings per stage, imported on first use, never exchanged silently."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import EngineError, UsageError


@dataclass(frozen=True)
class EngineInfo:
    """Who made a document: written into every document that an engine makes.

    `weights_sha256` is None for an engine without weights.
    """

    name: str
    version: str
    weights_sha256: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineEntry:
    """One row of a stage's table.

    `target` is "package.module:Class"; the class takes nothing, or one string: the argument after the colon of
    "name:argument" on the command line. `extra` names the pip extra that brings its packages ("" for none), `summary` says
    in one line what it does and what it cannot.
    """

    target: str
    summary: str
    extra: str = ""
    needs_argument: str = ""


@dataclass(frozen=True)
class EngineTable:
    """The engines of one stage, the default first."""

    stage: str
    entries: Mapping[str, EngineEntry]

    @property
    def default(self) -> str:
        return next(iter(self.entries))

    def check(self, spec: str) -> tuple[str, str]:
        """Split "name" or "name:argument" and make sure that the name exists, without importing the engine.

        Raises:
            UsageError: no such engine, or its argument is missing.
        """
        name, _, argument = spec.partition(":")
        entry = self.entries.get(name)
        if entry is None:
            choices = ", ".join(self.entries)
            raise UsageError(f"no {self.stage} engine is called {name!r}: choose one of {choices}")
        if entry.needs_argument and not argument:
            raise UsageError(f"{self.stage} engine {name!r} needs {entry.needs_argument}: write {name}:...")
        return name, argument

    def load(self, spec: str) -> Any:
        """Import an engine and make it.

        Raises:
            UsageError: no such engine, or its argument is missing or one too many.
            EngineError: a package that it needs is not installed.
        """
        name, argument = self.check(spec)
        entry = self.entries[name]
        module_name, _, class_name = entry.target.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise EngineError(self._missing(name, entry, error)) from error
        make = getattr(module, class_name)
        if argument and not inspect.signature(make).parameters:
            raise UsageError(f"{self.stage} engine {name!r} takes no argument: write {name}")
        return make(argument) if argument else make()

    def problem(self, name: str) -> str | None:
        """Why an engine cannot run here, or None when its packages import."""
        entry = self.entries[name]
        try:
            importlib.import_module(entry.target.partition(":")[0])
        except ImportError as error:
            return self._missing(name, entry, error)
        return None

    def _missing(self, name: str, entry: EngineEntry, error: ImportError) -> str:
        mend = f'pip install "photone[{entry.extra}]"' if entry.extra else "install photone again"
        return f"{self.stage} engine {name!r} cannot run here ({error}): {mend}"
