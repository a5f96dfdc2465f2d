"""Throughput: a batch with one worker and with two, and what orchestration costs beside the plain `photone make`.

`python -m flows.evaluation.throughput --pictures 16`
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import EngineError
from core.manifest import to_json
from flows.evaluation.household import ProcessorTime, household, keep, write_pictures

LEAST_RATIO = 1.6
MOST_OVERHEAD = 0.15


@dataclass(frozen=True)
class Throughput:
    """Seconds of a batch by workers, and processor seconds a song: plain, and as a flow with all that belongs to it."""

    pictures: int
    one_worker_s: float
    two_workers_s: float
    songs: int
    plain_cpu_s: float
    flow_cpu_s: float

    @property
    def ratio(self) -> float:
        """How much faster two workers are."""
        return self.one_worker_s / self.two_workers_s

    @property
    def overhead(self) -> float:
        """What orchestration adds, as a share of the plain song."""
        return self.flow_cpu_s / self.plain_cpu_s - 1


def measure(pictures: int, songs: int, preview_s: float, workspace: Path) -> Throughput:
    """Measure the batches with `pictures` pictures, and the cost of a song with `songs` of them.

    Raises:
        EngineError: something did not end well.
    """
    preview = ["--preview", str(preview_s)] if preview_s else []
    write_pictures(workspace / "batch", pictures, 0)
    alone, together = (_batch(workspace, workers, preview) for workers in (1, 2))
    write_pictures(workspace / "songs", songs, 0)
    plain = _plain(workspace, preview)
    return Throughput(pictures, alone, together, songs, plain / songs, _flow(workspace, songs, preview_s) / songs)


def _photone(*arguments: object) -> None:
    command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"photone {arguments[0]} failed: {done.stderr.strip()}")


def _batch(workspace: Path, workers: int, more: Sequence[str]) -> float:
    began = time.monotonic()
    _photone("batch", workspace / "batch", "--out", workspace / f"by-{workers}", "--workers", workers, *more)
    return round(time.monotonic() - began, 2)


def _plain(workspace: Path, more: Sequence[str]) -> float:
    before = _children_s()
    for picture in sorted((workspace / "songs").iterdir()):
        _photone("make", picture, "--out", workspace / "plain" / picture.stem, *more)
    return _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _flow(workspace: Path, songs: int, preview_s: float) -> float:
    """The same pictures by render-folder: server, worker and all, from the start of the run to its end."""
    asked = {"folder": str(workspace / "songs"), "out": str(workspace / "flow"), "workers": 1}
    with household(workspace) as up:
        counted = ProcessorTime(up.process.pid)
        before = counted.total_s
        run = up.api.start("render-folder", asked | {"options": {"preview_s": preview_s}})["id"]
        found = up.wait(run, 3600.0)
        used = counted.total_s - before
        counted.stop()
    if found["state"]["message"] != f"made {songs}, unchanged 0, failed 0":
        raise EngineError(f"render-folder ended otherwise: {found['state']['message']}")
    return used


def main() -> None:
    """Measure and print; exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--songs", type=int, default=4, help="How many songs the cost is measured with.")
    parser.add_argument("--preview", type=float, default=0.0, help="Seconds of music; 0 for whole songs.")
    parser.add_argument("--out", type=Path, help="Keep the figures in this folder.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photone-throughput-") as workspace:
        found = measure(given.pictures, given.songs, given.preview, Path(workspace))
    figures = asdict(found) | {"ratio": round(found.ratio, 2), "overhead": round(found.overhead, 3)}
    text = to_json(figures | {"least_ratio": LEAST_RATIO, "most_overhead": MOST_OVERHEAD})
    keep(given.out, "throughput.json", text)
    print(text, end="")
    sys.exit(0 if found.ratio >= LEAST_RATIO and found.overhead <= MOST_OVERHEAD else 1)


if __name__ == "__main__":
    main()
