"""`make screenshots`: Prefect's form, a run and its report, as a musician sees them, into docs/screenshots/.

Starts `photone up` in a folder of its own, makes a song through the deployment, and looks at it in Debian's Chromium.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from flows.service.api import PrefectApi

OUT = Path(__file__).parent / "screenshots"
WIDTH = 1180


@dataclass(frozen=True)
class Shot:
    """A picture to take: its name, the page below the interface's address, what must be there, its height in pixels."""

    name: str
    path: str
    text: str
    height: int


def chromium() -> str:
    """Debian's browser."""
    found = shutil.which("chromium")
    if not found:
        raise SystemExit("chromium is missing. Run: sudo apt-get install chromium")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running() -> Iterator[PrefectApi]:
    """`photone up` in a folder of its own."""
    with tempfile.TemporaryDirectory() as workspace:
        port, player = free_port(), free_port()
        command = [sys.executable, "-u", "-m", "flows.cli", "up", "--port", str(port), "--player-port", str(player)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        with subprocess.Popen(command, cwd=workspace, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if "Ctrl-C" in line:
                        break
                yield PrefectApi(f"http://127.0.0.1:{port}/api")
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def make_song(api: PrefectApi) -> tuple[str, str]:
    """A song of the bundled photograph; gives the ids of its run and of its report."""
    run = api.start("picture-to-song", {"score": "greensleeves", "options": {"preview_s": 20}})["id"]
    while (state := api.ask(f"flow_runs/{run}")["state_type"]) not in ("COMPLETED", "FAILED", "CRASHED"):
        time.sleep(0.5)
    if state != "COMPLETED":
        raise SystemExit(f"the run for the pictures ended {state.lower()}")
    asked = {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": ["song"]}}}
    return run, api.ask("artifacts/filter", asked)[0]["id"]


def shots(api: PrefectApi) -> list[Shot]:
    """What is photographed."""
    run, report = make_song(api)
    form = api.deployment("picture-to-song")["id"]
    return [
        Shot("deployments", "deployments", "picture-to-song", 640),
        Shot("form", f"deployments/deployment/{form}/run", "Who looks at the picture", 2500),
        Shot("run", f"runs/flow-run/{run}", "Finished in state", 900),
        Shot("progress", f"runs/flow-run/{run}?tab=Artifacts", "effects", 900),
        Shot("report", f"artifacts/artifact/{report}", "Sounds of the picture", 2000),
    ]


def take(page: Page, address: str, shot: Shot) -> None:
    page.set_viewport_size({"width": WIDTH, "height": shot.height})
    page.goto(f"{address}/v2/{shot.path}")
    page.get_by_text(shot.text).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # charts move into place
    page.screenshot(path=OUT / f"{shot.name}.png")
    print(OUT / f"{shot.name}.png", file=sys.stderr)


def main() -> None:
    """Take them all."""
    OUT.mkdir(exist_ok=True)
    with running() as api, sync_playwright() as playwright:
        wanted = shots(api)
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(locale="en-GB")
        for shot in wanted:
            take(page, api.url.removesuffix("/api"), shot)
        browser.close()


if __name__ == "__main__":
    main()
