"""`photone up` for tests: starting it, talking to it, and small things for it to work on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mido
import numpy as np
from PIL import Image

from flows.service.api import PrefectApi
from flows.service.server import free_ports

REPOSITORY = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
CANCEL_S = 20.0
"""What a cancel may take until no work is left. On a quiet machine 0.07 s were measured; tests run beside others."""
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Up:
    """A running `photone up`: its folder, its process, its server and its player."""

    workspace: Path
    process: subprocess.Popen[str]
    api: PrefectApi
    player: str

    @property
    def state(self) -> dict[str, Any]:
        """Process ids of the family and addresses."""
        return dict(json.loads((self.workspace / ".prefect" / "up.json").read_text()))

    @property
    def output(self) -> str:
        """What it has said so far, on both streams."""
        return (self.workspace / "up.out").read_text()

    def start(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment; gives its id."""
        return str(self.api.start(deployment, parameters)["id"])

    def ask(self, path: str, body: Any = None) -> Any:
        return self.api.ask(path, body)

    def run(self, run: str) -> dict[str, Any]:
        return dict(self.ask(f"flow_runs/{run}"))

    def wait(self, run: str, states: tuple[str, ...] = FINAL, limit_s: float = 120.0) -> dict[str, Any]:
        """Wait until a run is in one of these states."""
        end = time.monotonic() + limit_s
        while (found := self.run(run))["state_type"] not in states:
            assert time.monotonic() < end, f"{found['name']} is still {found['state_name']}: {self.logs()}"
            time.sleep(0.2)
        return found

    def artifacts(self, run: str) -> dict[str, dict[str, Any]]:
        """A run's artifacts by key."""
        found = self.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return {each["key"]: each for each in found}

    def logs(self) -> str:
        """The ends of the family's logs."""
        return "\n".join(
            f"{path.name}: {path.read_text()[-2000:]}" for path in (self.workspace / ".prefect").glob("*.log")
        )

    def stop(self, number: signal.Signals = signal.SIGTERM, limit_s: float = 20.0) -> int:
        """End it by a signal; gives its exit status."""
        self.process.send_signal(number)
        return self.process.wait(limit_s)


def launch(workspace: Path, *arguments: object, ports: list[int] | None = None, **environment: str) -> Up:
    """Start `photone up` in a folder; comes back when it says that all is there."""
    port, player_port = ports or free_ports(2)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with (workspace / "up.out").open("w") as out:
        process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-u",
                    "-m",
                    "flows.cli",
                    "up",
                    "--port",
                    str(port),
                    "--player-port",
                    str(player_port),
                ),
                *map(str, arguments),
            ],
            cwd=workspace,
            env={**clean, "PYTHONPATH": str(REPOSITORY), **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
    auth = environment.get("PREFECT_SERVER_API_AUTH_STRING", "")
    api = PrefectApi(f"http://127.0.0.1:{port}/api", auth)
    made = Up(workspace, process, api, f"http://127.0.0.1:{player_port}")
    end = time.monotonic() + 120
    while "Ctrl-C" not in made.output:
        assert process.poll() is None, f"photone up ended: {made.output}\n{made.logs()}"
        assert time.monotonic() < end, made.logs()
        time.sleep(0.1)
    return made


def processes_below(pid: int, doing: str = "") -> list[int]:
    """All processes below one whose command holds a text."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    family = [pid]
    for each in family:
        family += [int(row[0]) for row in rows if int(row[1]) == each]
    return [int(row[0]) for row in rows if int(row[0]) in family[1:] and doing in row[2]]


def gone(pid: int, limit_s: float = 5.0) -> bool:
    """Whether a process has ended with all its threads, which hold its ports as long as one lives, or does so in time."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if ended and len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1:
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def small_picture(path: Path, seed: int = 0) -> Path:
    """A tiny picture that can be analysed."""
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)).save(path)
    return path


def small_score(path: Path) -> Path:
    """Two seconds of music for the four roles."""
    midi = mido.MidiFile(ticks_per_beat=480)
    for channel, program, key in ((0, 0, 60), (1, 33, 36), (2, 25, 64), (9, 0, 38)):
        track = mido.MidiTrack()
        track.append(mido.Message("program_change", channel=channel, program=program, time=0))
        for _ in range(4):
            track.append(mido.Message("note_on", channel=channel, note=key, velocity=90, time=0))
            track.append(mido.Message("note_off", channel=channel, note=key, velocity=0, time=480))
        midi.tracks.append(track)
    midi.save(path)
    return path
