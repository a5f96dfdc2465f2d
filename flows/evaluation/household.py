"""`photone up` in a folder of its own, for measurements: started, asked, killed in parts, and its processor time counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image

from core.errors import EngineError
from core.manifest import write_text
from flows.demo import demo_picture
from flows.service.api import PrefectApi
from flows.service.server import free_ports

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_START_LIMIT_S = 180.0


class Household:
    """A running `photone up`."""

    def __init__(self, workspace: Path, process: subprocess.Popen[bytes], api: PrefectApi) -> None:
        self.workspace, self.process, self.api = workspace, process, api

    def pid(self, child: str) -> int:
        """Process id of its server, worker or player."""
        return int(json.loads((self.workspace / ".prefect" / "up.json").read_text())[child])

    def kill(self, child: str) -> None:
        """SIGKILL for a part of it; comes back when it has a new one that is ready."""
        old = self.pid(child)
        os.kill(old, signal.SIGKILL)
        limit = time.monotonic() + _START_LIMIT_S
        while self.pid(child) == old:
            if time.monotonic() > limit:
                raise EngineError(f"the {child} was killed and did not come again: see {self.workspace}/.prefect")
            time.sleep(0.1)

    def wait(self, run: str, limit_s: float) -> dict[str, Any]:
        """Wait for a run's end.

        Raises:
            EngineError: it did not end in time.
        """
        limit = time.monotonic() + limit_s
        while time.monotonic() < limit:
            with suppress(EngineError):  # the server may be on its way up again
                found: dict[str, Any] = self.api.ask(f"flow_runs/{run}")
                if found["state_type"] in FINAL:
                    return found
            time.sleep(0.5)
        raise EngineError(f"the run did not end in {limit_s:.0f} s: see {self.workspace}/.prefect")


@contextmanager
def household(workspace: Path) -> Iterator[Household]:
    """Start `photone up` on free ports, and stop it at the end.

    Raises:
        EngineError: it does not start.
    """
    port, player = free_ports(2)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows.cli", "up", "--port", str(port), "--player-port", str(player)]
    with (workspace / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=workspace, env=clean, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        state = workspace / ".prefect" / "up.json"
        limit = time.monotonic() + _START_LIMIT_S
        while not state.is_file():
            if process.poll() is not None or time.monotonic() > limit:
                raise EngineError(f"photone up did not start: {workspace / 'up.log'} says why")
            time.sleep(0.2)
        yield Household(workspace, process, PrefectApi(f"http://127.0.0.1:{port}/api"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def write_pictures(folder: Path, count: int, broken: int, side: int = 96) -> None:
    """Cut small pictures out of the demo's, and spoil some: torn, text, empty, a head without a body."""
    folder.mkdir(parents=True)
    with Image.open(demo_picture()) as picture:
        for number in range(count - broken):
            x, y = 11 * number % (picture.width - side), 7 * number % (picture.height - side)
            picture.crop((x, y, x + side, y + side)).save(folder / f"picture-{number:03d}.png")
    torn = (folder / "picture-000.png").read_bytes()[:200]
    spoilt = (("torn.jpg", torn), ("text.png", b"no picture"), ("empty.webp", b""), ("head.gif", b"GIF89a"))
    for number in range(broken):
        name, data = spoilt[number % len(spoilt)]
        (folder / f"bad-{number:02d}-{name}").write_bytes(data)


class ProcessorTime:
    """Processor time of a process and all below it, in seconds, also of those that ended: it looks four times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: dict[tuple[int, str], float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            self._seen.update(_tree_times(self._pid))

    @property
    def total_s(self) -> float:
        """So far."""
        self._seen.update(_tree_times(self._pid))
        return sum(self._seen.values())

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()


def _tree_times(root: int) -> dict[tuple[int, str], float]:
    """Processor seconds of each process below `root` by id and start, without those of children."""
    found: dict[int, tuple[int, str, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            found[int(path.parent.name)] = (int(fields[1]), fields[19], (int(fields[11]) + int(fields[12])) * _TICK_S)
    below = [root]
    for pid in below:
        below += [each for each, (parent, _, _) in found.items() if parent == pid]
    return {(pid, found[pid][1]): found[pid][2] for pid in below if pid in found}


def keep(out: Path | None, name: str, text: str) -> None:
    """Keep figures where asked for."""
    if out is not None:
        write_text(out / name, text)
