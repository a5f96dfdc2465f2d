"""`photone doctor`: what is wrong with this machine, and the mend."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.errors import PhotoneError
from core.manifest import prepare_folder


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    text: str

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look at everything that a run needs."""
    return [_python(), _fluidsynth(), _prefect(), _folder(), _disk(), *_engines()]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info[:2] == (3, 11), f"{found} (3.11 is wanted)")


def _fluidsynth() -> Finding:
    from phase2_music.rendering.synth import library_version

    try:
        return Finding("FluidSynth", True, library_version())
    except PhotoneError as error:
        return Finding("FluidSynth", False, str(error))


def _prefect() -> Finding:
    try:
        return Finding("Prefect", True, version("prefect"))
    except PackageNotFoundError:
        return Finding("Prefect", False, "is not installed: run `pip install photone` again")


def _folder() -> Finding:
    folder = Path("runs")
    existed = folder.exists()
    try:
        prepare_folder(folder)
    except PhotoneError as error:
        return Finding("run folder", False, str(error))
    if not existed:
        folder.rmdir()
    return Finding("run folder", True, f"{folder.absolute()} can be written to")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Finding("disk", free > 0.5, f"{free:.1f} GB free (a run takes about 0.15 GB)")


def _engines() -> list[Finding]:
    from phase1_sound.effects import EFFECTS_ENGINES
    from phase1_sound.vision import VISION_ENGINES
    from phase2_music.timbre import TIMBRE_ENGINES

    findings = []
    for table in (VISION_ENGINES, EFFECTS_ENGINES, TIMBRE_ENGINES):
        problem = table.problem(table.default)
        findings.append(Finding(f"{table.stage} engine {table.default}", problem is None, problem or "ready"))
    return findings
