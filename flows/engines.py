"""Engines at the edge: where a secret comes out of the environment, what can run here, and downloads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from core.engines import EngineTable, Readiness
from core.errors import UsageError
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.vision import VISION_ENGINES
from phase2_music.timbre import TIMBRE_ENGINES

TABLES = (VISION_ENGINES, EFFECTS_ENGINES, TIMBRE_ENGINES)


def load_engine(table: EngineTable, spec: str) -> Any:
    """Make an engine, with its key out of the environment variable that its entry names.

    The key is read here and handed on in memory only: it is no parameter of a flow and stands in no document.

    Raises:
        UsageError: no such engine, or an argument that it cannot read.
        EngineError: packages or weights are missing.
    """
    name, _ = table.check(spec)
    variable = table.entries[name].key_variable
    return table.load(spec, os.environ.get(variable, "") if variable else "")


def engine_rows() -> Iterator[dict[str, Any]]:
    """What `photone engines` reports on each engine, as JSON values."""
    for table in TABLES:
        for name, entry in table.entries.items():
            found = table.readiness(name)
            yield {
                "stage": table.stage,
                "engine": name,
                "default": name == table.default,
                "ready": found.problem is None,
                "problem": found.problem,
                "detail": _detail(found, entry.needs_argument, entry.key_variable),
                "summary": entry.summary,
            }


def _detail(found: Readiness, argument: str, variable: str) -> str:
    parts = [found.detail, f"needs {argument}" if argument else "", f"key in {variable}, if any" if variable else ""]
    return "; ".join(part for part in parts if part)


def fetch_engine(spec: str, progress: bool) -> str:
    """Download what an engine needs ("qwen", "qwen:3B"), and say what came.

    Raises:
        UsageError: no engine of that name has anything to download.
        EngineError: the download failed; the same call goes on where it stopped.
    """
    name = spec.partition(":")[0]
    table = next((table for table in TABLES if name in table.entries), None)
    if table is None:
        choices = ", ".join(name for table in TABLES for name in table.entries)
        raise UsageError(f"no engine is called {name!r}: choose one of {choices}")
    return table.fetch(spec, progress)
