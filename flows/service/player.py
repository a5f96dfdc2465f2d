"""The player: a small web server for the gallery, the pages and sounds of finished runs, and the gallery's JSON API.

Files are served from run folders only (`flows/service/app/folders.py`), and sounds can be sought in (Range). It makes nothing
itself: what the gallery asks for becomes a job of Prefect's.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from core.manifest import sha256_bytes
from flows.service.api import AUTH_VARIABLE, PrefectApi
from flows.service.app.answers import RunSummary
from flows.service.app.api import PREFIX, api_app
from flows.service.app.catalogue import Catalogue
from flows.service.app.folders import MEDIA_TYPES, PAGE_FILE, find_file, find_runs, run_id
from flows.service.app.guard import OwnRequestsOnly
from flows.service.app.jobs import Jobs
from flows.service.hosts import Application, OwnNamesOnly, Receive, Scope, Send, WithHeaders

__all__ = ["AUTH_VARIABLE", "HEADERS", "MEDIA_TYPES", "find_file", "find_runs", "player_app", "serve_player"]

UI_VARIABLE = "PREFECT_UI_URL"

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

_GALLERY, _RUNS_MARK = "served.html", "<!-- runs -->"
_WAY_BACK = "back.js"
_STATIC = {"app.js": "served.js", "app.css": "served.css", _WAY_BACK: _WAY_BACK}
"""What /app/ holds, and the built files of flows/page that it is."""


def player_app(runs: Path, host: str, auth: str = "", prefect: PrefectApi | None = None, ui: str = "") -> Application:
    """The application; `auth` is "user:password" where one is wanted, `ui` where people see Prefect."""
    catalogue = Catalogue(runs)
    api = api_app(catalogue, Jobs(prefect, catalogue, ui) if prefect else None)

    def serve(request: Request) -> Response:
        path = request.path_params["path"]
        if path and not path.endswith(tuple(MEDIA_TYPES)):
            if find_file(runs, f"{path.rstrip('/')}/{PAGE_FILE}") is None:
                raise HTTPException(404)
            return RedirectResponse(f"/runs/{quote(path.rstrip('/'))}/{PAGE_FILE}")
        found = find_file(runs, path)
        if found is None:
            raise HTTPException(404)
        if found.name == PAGE_FILE:
            return HTMLResponse(_with_way_back(found, runs))
        return FileResponse(found, media_type=MEDIA_TYPES[found.suffix.lower()])

    def gallery(request: Request) -> Response:
        return HTMLResponse(_gallery(catalogue.find()))

    def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    routes = [
        Route("/", gallery, methods=["GET"]),
        Route("/health", health, methods=["GET"]),
        Route("/app/{name}", _static, methods=["GET"]),
        Route("/runs/{path:path}", serve, methods=["GET"]),
        Mount(PREFIX, OwnRequestsOnly(api)),
    ]
    site = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    return WithHeaders(OwnNamesOnly(_Guarded(site, auth), host), HEADERS)


def _refused(request: Request, error: Exception) -> Response:
    """What no route takes: JSON below the API (an address with a line break in it does not get there), else plain text."""
    assert isinstance(error, HTTPException)
    if request.scope["path"].startswith(f"{PREFIX}/"):
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    return PlainTextResponse(error.detail, error.status_code, error.headers)


def _with_way_back(page: Path, runs: Path) -> bytes:
    """A run's page with the script that links it to the gallery; the file on disk knows of no server."""
    name = page.parent.relative_to(runs.resolve()).as_posix()
    script = f'<script defer src="/app/{_WAY_BACK}" data-run="{run_id(name)}"></script>\n</head>'
    return page.read_bytes().replace(b"</head>", script.encode(), 1)


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    content = _built(_STATIC[name]) if name in _STATIC else None
    if content is None:
        raise HTTPException(404)
    tag = f'"{sha256_bytes(content)[:32]}"'
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"etag": tag})
    return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers={"etag": tag})


def _built(name: str) -> bytes | None:
    """A file of the gallery that `make web` has built, None where it is not there."""
    file = resources.files("flows.page").joinpath(name)
    return file.read_bytes() if file.is_file() else None


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


def _gallery(runs: Sequence[RunSummary]) -> str:
    """The gallery's page: the built one with the runs as a plain list in it, or the list alone."""
    built = _built(_GALLERY)
    page = built.decode() if built else _PLAIN_PAGE
    return page.replace(_RUNS_MARK, _plain_list(runs), 1)


def _plain_list(runs: Sequence[RunSummary]) -> str:
    items = "".join(f'<li><a href="{escape(run.url)}">{_picture(run)}{escape(run.name)}</a></li>' for run in runs)
    return f'<ul class="runs">{items}</ul>' if runs else "<p>No finished run yet.</p>"


def _picture(run: RunSummary) -> str:
    source = escape(run.thumbnail or "")
    return f'<img src="{source}" alt="" loading="lazy" width="320" height="240">' if source else ""


_PLAIN_PAGE = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>photone: runs</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;"
    "padding:1rem}ul{list-style:none;padding:0;display:grid;gap:1rem;"
    "grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}img{display:block;width:100%;height:auto;aspect-ratio:4/3;"
    f"object-fit:cover;border-radius:.4rem}}</style></head>\n<body><main><h1>Runs</h1>{_RUNS_MARK}</main></body></html>\n"
)


def serve_player(runs: Path, host: str, port: int) -> None:
    """Serve until this process is stopped. Prefect's address and password come with the environment."""
    import uvicorn

    url, password = os.environ.get("PREFECT_API_URL", ""), os.environ.get("PREFECT_API_AUTH_STRING", "")
    prefect = PrefectApi(url, password) if url else None
    application = player_app(runs, host, os.environ.get(AUTH_VARIABLE, ""), prefect, os.environ.get(UI_VARIABLE, ""))
    uvicorn.run(application, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2)
