"""The player: a small web server for the pages and sounds of finished runs. It reads, and only from run folders.

A file is served when it lies in a folder that has a run.json, below the runs folder, with no link leading out of it, no
hidden name on its way and a suffix that a run's files have. Sounds can be sought in (Range).
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from flows.runs.ledger import RUN_FILE
from flows.service.hosts import Application, OwnNamesOnly, Receive, Scope, Send, WithHeaders

AUTH_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".mid": "audio/midi",
    ".sfz": "text/plain; charset=utf-8",
    ".sf2": "application/octet-stream",
    ".dspreset": "application/octet-stream",
    ".zip": "application/zip",
}
"""What is served, by suffix, and as what; no SVG, which can hold scripts."""

HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; font-src 'self' data:; "
    "worker-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
_DEPTH = 3  # runs/<run>, runs/<batch>/<run>


def find_file(runs: Path, path: str) -> Path | None:
    """The file of a run that a URL's path below /runs/ means, links resolved; None for everything else."""
    parts = PurePosixPath(path).parts
    if not parts or any(part.startswith(".") or "\\" in part or "\0" in part for part in parts) or path.startswith("/"):
        return None
    root = runs.resolve()
    try:
        found = root.joinpath(*parts).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    if not found.is_file() or not found.is_relative_to(root) or found.suffix.lower() not in MEDIA_TYPES:
        return None
    below = found.relative_to(root)
    if any(part.startswith(".") for part in below.parts):
        return None
    folders = [root.joinpath(*below.parts[:depth]) for depth in range(1, len(below.parts))]
    return found if any((folder / RUN_FILE).is_file() for folder in folders) else None


def find_runs(runs: Path) -> list[Path]:
    """Finished runs, the newest first, as paths relative to the runs folder; links are not followed."""
    found: list[tuple[float, Path]] = []
    _gather(runs, runs, _DEPTH, found)
    return [path for _, path in sorted(found, key=lambda each: (-each[0], each[1]))]


def _gather(folder: Path, runs: Path, depth: int, found: list[tuple[float, Path]]) -> None:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or path.is_symlink() or not path.is_dir():
            continue
        if (path / RUN_FILE).is_file():
            if (path / "index.html").is_file():
                found.append(((path / RUN_FILE).stat().st_mtime, path.relative_to(runs)))
        elif depth > 1:
            _gather(path, runs, depth - 1, found)


def player_app(runs: Path, host: str, auth: str = "") -> Application:
    """The application; `auth` is "user:password" where one is wanted."""

    async def serve(request: Request) -> Response:
        path = request.path_params["path"]
        if path and not path.endswith(tuple(MEDIA_TYPES)):
            if find_file(runs, f"{path.rstrip('/')}/index.html") is None:
                raise HTTPException(404)
            return RedirectResponse(f"/runs/{quote(path.rstrip('/'))}/index.html")
        found = find_file(runs, path)
        if found is None:
            raise HTTPException(404)
        return FileResponse(found, media_type=MEDIA_TYPES[found.suffix.lower()])

    async def gallery(request: Request) -> Response:
        return HTMLResponse(_gallery(find_runs(runs)))

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    routes = [
        Route("/", gallery, methods=["GET"]),
        Route("/health", health, methods=["GET"]),
        Route("/runs/{path:path}", serve, methods=["GET"]),
    ]
    return WithHeaders(OwnNamesOnly(_Guarded(Starlette(routes=routes), auth), host), HEADERS)


class _Guarded:
    """Asks for the password, where there is one."""

    def __init__(self, application: Application, auth: str) -> None:
        self._application = application
        self._auth = b"Basic " + base64.b64encode(auth.encode()) if auth else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        application = self._application
        if self._auth and scope["type"] == "http" and scope["path"] != "/health" and not self._known(scope["headers"]):
            application = PlainTextResponse("password, please\n", 401, {"www-authenticate": 'Basic realm="photone"'})
        await application(scope, receive, send)

    def _known(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        given = next((value for name, value in headers if name == b"authorization"), b"")
        return hmac.compare_digest(given, self._auth)


def _gallery(runs: Sequence[Path]) -> str:
    items = "".join(
        f'<li><a href="/runs/{quote(path.as_posix())}/index.html"><img src="/runs/{quote(path.as_posix())}/picture.jpg" '
        f'alt="" loading="lazy">{escape(path.as_posix())}</a></li>'
        for path in runs
    )
    body = f"<ul>{items}</ul>" if runs else "<p>No finished run yet.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>photone: runs</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;"
        "padding:1rem}ul{list-style:none;padding:0;display:grid;gap:1rem;"
        "grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}img{display:block;width:100%;aspect-ratio:4/3;"
        f"object-fit:cover;border-radius:.4rem}}</style></head>\n<body><main><h1>Runs</h1>{body}</main></body></html>\n"
    )


def serve_player(runs: Path, host: str, port: int) -> None:
    """Serve until this process is stopped."""
    import uvicorn

    application = player_app(runs, host, os.environ.get(AUTH_VARIABLE, ""))
    uvicorn.run(application, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2)
