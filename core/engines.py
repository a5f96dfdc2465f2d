"""Engines: one table of strings per stage, imported on first use, never exchanged silently."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, cast
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from core.errors import EngineError, UsageError

T = TypeVar("T")


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
    in one line what it does and what it cannot. `key_variable` names the environment variable that holds a secret; `flows/`
    reads it and gives it to the class as a second argument. `gpu` is set where it works on a GPU if it can: runs queue for
    that.

    The class may have two static methods: `readiness(argument) -> Readiness` says what it still needs here, and
    `fetch(argument, progress) -> str` downloads that.
    """

    target: str
    summary: str
    extra: str = ""
    needs_argument: str = ""
    key_variable: str = ""
    gpu: bool = False


@dataclass(frozen=True)
class Readiness:
    """Whether an engine can run here: `problem` is None, or what is missing and how to get it. `detail` says with what it
    runs (weights, their size and licence, device).
    """

    problem: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class EngineTable:
    """The engines of one stage, the default first, unless `preferred` names another one by what is there."""

    stage: str
    entries: Mapping[str, EngineEntry]
    preferred: Callable[[], str | None] | None = None

    @property
    def default(self) -> str:
        preferred = self.preferred() if self.preferred else None
        return preferred or next(iter(self.entries))

    def check(self, spec: str) -> tuple[str, str]:
        """Split "name" or "name:argument" and make sure that the name exists, without importing the engine.

        Raises:
            UsageError: no such engine, or its argument is missing.
        """
        name, _, argument = spec.partition(":")
        entry = self._entry(name)
        if entry.needs_argument and not argument:
            raise UsageError(f"{self.stage} engine {name!r} needs {entry.needs_argument}: write {name}:...")
        return name, argument

    def load(self, spec: str, key: str = "") -> Any:
        """Import an engine and make it. `key` is its secret, where its entry names a `key_variable`.

        Raises:
            UsageError: no such engine, or its argument is missing or one too many.
            EngineError: a package that it needs is not installed.
        """
        name, argument = self.check(spec)
        entry = self.entries[name]
        make = self._class(name)
        if entry.key_variable:
            return make(argument, key)
        if argument and not inspect.signature(make).parameters:
            raise UsageError(f"{self.stage} engine {name!r} takes no argument: write {name}")
        return make(argument) if argument else make()

    def problem(self, spec: str) -> str | None:
        """Why an engine cannot run here, or None when it can."""
        return self.readiness(spec).problem

    def readiness(self, spec: str) -> Readiness:
        """Whether an engine can run here, with its packages, weights and hardware; without loading a model.

        Raises:
            UsageError: no such engine, or an argument that it cannot read.
        """
        name, _, argument = spec.partition(":")
        self._entry(name)
        try:
            made = self._class(name)
        except EngineError as error:
            return Readiness(str(error))
        return made.readiness(argument) if hasattr(made, "readiness") else Readiness()

    def fetch(self, spec: str, progress: bool = False) -> str:
        """Download what an engine needs, and say what came; `progress` shows bars on standard error.

        Raises:
            UsageError: no such engine, or it has nothing to download.
            EngineError: the download failed; the same call goes on where it stopped.
        """
        name, _, argument = spec.partition(":")
        self._entry(name)
        made = self._class(name)
        if not hasattr(made, "fetch"):
            raise UsageError(f"{self.stage} engine {name!r} has nothing to download")
        return str(made.fetch(argument, progress))

    def _entry(self, name: str) -> EngineEntry:
        entry = self.entries.get(name)
        if entry is None:
            choices = ", ".join(self.entries)
            raise UsageError(f"no {self.stage} engine is called {name!r}: choose one of {choices}")
        return entry

    def _class(self, name: str) -> Any:
        module_name, _, class_name = self.entries[name].target.partition(":")
        try:
            return getattr(importlib.import_module(module_name), class_name)
        except ImportError as error:
            raise EngineError(self._missing(name, self.entries[name], error)) from error

    def _missing(self, name: str, entry: EngineEntry, error: ImportError) -> str:
        mend = f'pip install "photone[{entry.extra}]"' if entry.extra else "install photone again"
        return f"{self.stage} engine {name!r} cannot run here ({error}): {mend}"


def read_options(argument: str, options: type[T], main: str, engine: str, **rest: Any) -> T:
    """Read an engine's argument "MAIN?key=value&key=value" into its frozen options; MAIN becomes the field `main`, `rest`
    are fields that do not come from the command line.

    Values are read by the fields' types; percent signs escape ("%26" is "&"). Fields with `repr=False` (secrets, and
    what is no plain value) cannot be set so.

    Raises:
        UsageError: an unknown key, or a value of another type.
    """
    text, _, query = argument.partition("?")
    given: dict[str, Any] = rest | ({main: text} if text else {})
    names = {each.name for each in fields(cast(Any, options)) if each.repr}
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        if not equals or key not in names - {main}:
            choices = ", ".join(sorted(names - {main}))
            raise UsageError(f"engine {engine}: cannot read {pair!r}: write key=value, keys are {choices}")
        given[key] = unquote(value)
    try:
        return TypeAdapter(options).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"engine {engine}: {place}={first['input']}: {first['msg']}") from error
