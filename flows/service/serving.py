"""The children of `photone up`: `python -m flows.service.serving server|worker|player`. Each ends when its parent does."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path

from flows.deployed.parent import die_with_parent

SERVER_HEADERS = {
    # The interface reports its use to its makers, whatever the settings say, and markdown may point to pictures anywhere.
    "content-security-policy": "connect-src 'self'; img-src 'self' data: blob:; object-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def serve_server(host: str, port: int) -> None:
    """Prefect's server as `prefect server start` runs it, in this very process and behind a check of the Host header."""
    import uvicorn
    from prefect.server.api.server import create_app

    from flows.service.hosts import OwnNamesOnly, WithHeaders

    application = WithHeaders(OwnNamesOnly(create_app(final=True), host), SERVER_HEADERS)
    uvicorn.run(application, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2)


def main() -> None:
    """Be one of the children."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("server", "worker", "player"))
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--ready", type=int, default=-1, help="A pipe to write to.")
    given = parser.parse_args()
    die_with_parent(given.parent)
    if given.what == "server":
        serve_server(given.host, given.port)
    elif given.what == "player":
        from flows.service.player import serve_player

        serve_player(given.runs, given.host, given.port)
    else:
        from flows.deployed.deployments import serve

        # Prefect's own handler would cancel what runs; a stop of ours lets the next start go on with it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        serve(_announcer(given.ready), given.at_once)


def _announcer(pipe: int) -> Callable[[], None]:
    def ready() -> None:
        os.write(pipe, b"ready")
        os.close(pipe)

    return ready


if __name__ == "__main__":
    main()
