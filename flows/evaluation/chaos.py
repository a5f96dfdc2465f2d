"""Chaos: a folder of pictures, some broken, while worker and server are killed at random; then everything is counted.

`python -m flows.evaluation.chaos --pictures 40 --broken 4 --worker-kills 3 --server-kills 1`
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.manifest import sha256_file, to_json
from flows.evaluation.household import Household, household, keep, write_pictures
from flows.runs.ledger import RUN_FILE
from schemas.run import Run

Finished = dict[tuple[str, str], tuple[str, float]]
"""Key and seconds of every finished stage, by run and stage: a stage that is done again gets other seconds."""


@dataclass(frozen=True)
class ChaosOptions:
    """How much there is to do, and how often what is killed (SIGKILL)."""

    pictures: int = 40
    broken: int = 4
    worker_kills: int = 3
    server_kills: int = 1
    workers: int = 2
    seed: int = 0
    limit_s: float = 3600.0


@dataclass(frozen=True)
class ChaosResult:
    """What was found at the end."""

    songs: int
    reasons: int
    duplicates: int
    half_files: int
    altered_files: int
    finished_at_kills: int
    repeated: int
    tries: int
    worker_kills: int
    server_kills: int
    elapsed_s: float
    state: str

    def missed(self, options: ChaosOptions) -> list[str]:
        """What is not as it should be."""
        wanted = {
            "songs": options.pictures - options.broken,
            "reasons": options.broken,
            **dict.fromkeys(("duplicates", "half_files", "altered_files", "repeated"), 0),
            "worker_kills": options.worker_kills,
            "server_kills": options.server_kills,
        }
        found = asdict(self)
        return [f"{name}: {found[name]}, wanted {value}" for name, value in wanted.items() if found[name] != value]


def measure(options: ChaosOptions, workspace: Path) -> ChaosResult:
    """Let it happen in a folder.

    Raises:
        EngineError: what was killed did not come again, or the batch did not end in time.
    """
    with household(workspace) as up:
        return let_happen(options, up)


def let_happen(options: ChaosOptions, up: Household) -> ChaosResult:
    """Let it happen in a `photone up` that is running.

    Raises:
        EngineError: as `measure`.
    """
    pictures, runs = up.workspace / "chaos", up.workspace / "runs" / "chaos"
    write_pictures(pictures, options.pictures, options.broken)
    asked = {
        "folder": str(pictures),
        "out": str(runs),
        "workers": options.workers,
        "options": {"compact": True, "preview_s": 2.0},
    }
    began = time.monotonic()
    run = str(up.api.start("render-folder", asked)["id"])
    kills, seen = _kill(up, runs, options)
    found = up.wait(run, options.limit_s)
    return _count(runs, found, _report(up, run), seen, kills, time.monotonic() - began)


def _kill(up: Household, runs: Path, options: ChaosOptions) -> tuple[list[str], Finished]:
    """Kill at random stages of the work; gives what was killed, and what was finished at those moments."""
    rng = random.Random(options.seed)
    victims = ["worker"] * options.worker_kills + ["server"] * options.server_kills
    rng.shuffle(victims)
    total = (options.pictures - options.broken) * 9  # some nine stages a song
    moments = sorted(rng.uniform(0.05, 0.85) * total for _ in victims)
    seen: Finished = {}
    limit = time.monotonic() + options.limit_s
    for victim, moment in zip(victims, moments, strict=True):
        while len(_finished(runs)) < moment and time.monotonic() < limit:
            time.sleep(0.1)
        time.sleep(rng.uniform(0, 1.5))
        up.kill(victim)
        seen |= {key: value for key, value in _finished(runs).items() if key not in seen}
    return victims, seen


def _finished(runs: Path) -> Finished:
    found: Finished = {}
    for path in runs.glob(f"*/{RUN_FILE}"):
        for stage in json.loads(path.read_text())["stages"]:
            found[path.parent.name, stage["name"]] = (stage["key"], stage["elapsed_s"])
    return found


def _report(up: Household, run: str) -> str:
    found = up.api.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": ["batch"]}}})
    return str(found[-1]["data"]) if found else ""


def _count(
    runs: Path, found: dict[str, Any], report: str, seen: Finished, kills: list[str], elapsed_s: float
) -> ChaosResult:
    folders = [path.parent for path in runs.glob(f"*/{RUN_FILE}")]
    documents = [Run.read(folder / RUN_FILE) for folder in folders]
    sources = [run.picture.sha256 for run in documents if run.picture]
    outputs = [(folder / o.path, o.sha256) for folder, run in zip(folders, documents, strict=True) for o in run.outputs]
    final = _finished(runs)
    return ChaosResult(
        songs=sum((folder / "songs" / "canon-preview" / "song.wav").is_file() for folder in folders),
        reasons=sum(line.startswith("| bad-") for line in report.splitlines()),
        duplicates=len(sources) - len(set(sources)) + len(folders) - len(set(folders)),
        half_files=sum(1 for _ in runs.rglob(".*")),
        altered_files=sum(not path.is_file() or sha256_file(path) != sha256 for path, sha256 in outputs),
        finished_at_kills=len(seen),
        repeated=sum(final.get(key) != value for key, value in seen.items()),
        tries=int(found["run_count"]),
        worker_kills=kills.count("worker"),
        server_kills=kills.count("server"),
        elapsed_s=round(elapsed_s, 1),
        state=f"{found['state_name']}: {found['state'].get('message')}",
    )


def main() -> None:
    """Measure and print; exit status 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in asdict(ChaosOptions()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--out", type=Path, help="Keep the figures in this folder.")
    given = vars(parser.parse_args())
    out = given.pop("out")
    options = ChaosOptions(**given)
    with tempfile.TemporaryDirectory(prefix="photone-chaos-") as workspace:
        result = measure(options, Path(workspace))
    missed = result.missed(options)
    text = to_json({"options": asdict(options), "found": asdict(result), "missed": missed})
    keep(out, "chaos.json", text)
    print(text, end="")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
