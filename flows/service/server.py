"""A Prefect server for a tracked run: the one that is running, or one started here and stopped afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.errors import EngineError
from core.manifest import prepare_folder

HOST = "127.0.0.1"
DEFAULT_URL = f"http://{HOST}:4200/api"
_START_LIMIT_S = 120.0


def healthy(url: str) -> bool:
    """Whether a Prefect API answers at a URL."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def server_environment(url: str, home: Path) -> dict[str, str]:
    """Prefect's settings for a server of our own, for it and for its clients."""
    return {
        "PREFECT_HOME": str(home.absolute()),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def running_server() -> Iterator[str]:
    """The URL of a Prefect API, with this process's environment set to use it.

    PREFECT_API_URL is used where it is set; else a server on 127.0.0.1:4200; else one is started on a free port with its
    SQLite database under .prefect/ of the current folder, and stopped at the end.

    Raises:
        EngineError: the server that PREFECT_API_URL names does not answer, or none can be started.
        OutputError: .prefect/ cannot be written to.
    """
    # Logs go to the server, where the UI shows them; the terminal gets our one line.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    named = os.environ.get("PREFECT_API_URL")
    if named and not healthy(named):
        raise EngineError(
            f"{named}: no Prefect server answers there: start it, or unset PREFECT_API_URL", retryable=True
        )
    url = named or (DEFAULT_URL if healthy(DEFAULT_URL) else None)
    if url:
        os.environ.setdefault("PREFECT_API_URL", url)
        os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")
        yield url
        return
    home = Path(".prefect")
    prepare_folder(home)
    with _started(home) as url:
        yield url


@contextmanager
def _started(home: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    url = f"http://{HOST}:{port}/api"
    os.environ.update(server_environment(url, home))
    log_path = home / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    with log_path.open("wb") as log:
        # A session of its own, so that Ctrl-C reaches us first and we stop the server in order.
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait(process, url, log_path)
        yield url
    finally:
        stop(process)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    limit = time.monotonic() + _START_LIMIT_S
    while not healthy(url):
        if process.poll() is not None:
            raise EngineError(f"the Prefect server stopped at once: {log} says why; or run without --track")
        if time.monotonic() > limit:
            raise EngineError(f"the Prefect server did not answer in {_START_LIMIT_S:.0f} s: see {log}", retryable=True)
        time.sleep(0.2)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a server and all that it started: politely, then by force."""
    for number, patience_s in ((signal.SIGINT, 8.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(patience_s)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
