"""What a request must be before the API looks at it: asked for by our own page, and not larger than anything it may send."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException

from flows.runs.roots import MEGABYTE, PICTURE_LIMIT_BYTES, SCENE_LIMIT_BYTES, SCORE_LIMIT_BYTES
from flows.service.hosts import Application, Receive, Scope, Send

HEADER = b"x-photone"
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORM_LIMIT_BYTES = PICTURE_LIMIT_BYTES + SCORE_LIMIT_BYTES + MEGABYTE
_JSON_LIMIT_BYTES = SCENE_LIMIT_BYTES + MEGABYTE // 10
_TOO_LARGE = "more bytes than are taken here: make it smaller"


class OwnRequestsOnly:
    """An ASGI application behind two checks: who asks for a change, and how much comes.

    A page elsewhere can make a browser send a form here, but it cannot add a header to it without asking us first (CORS),
    which nobody answers. Where the browser says where a request comes from, that must be this very server.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _SAFE:
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        limit = _FORM_LIMIT_BYTES if scope["path"].endswith(("/runs", "/songs")) else _JSON_LIMIT_BYTES
        length = headers.get(b"content-length", b"")
        if not _is_ours(headers):
            await _refuse(send, 403, "changes are for photone's own pages: send the header X-Photone: 1, from here")
        elif length.isdigit() and (len(length) > 15 or int(length) > limit):
            await _refuse(send, 413, _TOO_LARGE)
        else:
            await self._application(scope, _counted(receive, limit), send)


def _is_ours(headers: dict[bytes, bytes]) -> bool:
    origin, host = headers.get(b"origin"), headers.get(b"host", b"").decode("latin-1").lower()
    if headers.get(HEADER) != b"1" or headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
        return False
    try:
        return origin is None or urlsplit(origin.decode("latin-1")).netloc.lower() == host
    except ValueError:
        return False


def _counted(receive: Receive, limit_bytes: int) -> Receive:
    """What comes, as long as it is no more than it may be: Content-Length may lie, or be missing."""
    came = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > limit_bytes:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return counted


async def _refuse(send: Send, status: int, text: str) -> None:
    body = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
