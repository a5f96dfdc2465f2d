"""Which names a local server answers to, and whose pages may ask it for changes.

A page elsewhere can make its reader's browser call servers on this machine: by a name of its own that leads here (DNS
rebinding), by a form or by a web socket, for neither of which browsers ask first (CORS).
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

HOSTNAMES_VARIABLE = "PHOTONE_HOSTNAMES"
_LOOPBACK = ("127.0.0.1", "::1")
_READING = ("GET", "HEAD", "OPTIONS")  # a web socket has no method

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def own_names(host: str) -> frozenset[str]:
    """The names of this machine that a browser may use: what it is bound to, and those of PHOTONE_HOSTNAMES."""
    named = {name.strip().lower() for name in os.environ.get(HOSTNAMES_VARIABLE, "").split(",")}
    return frozenset({"localhost", host.lower(), socket.gethostname().lower(), *named} - {""})


def is_own(header: str, names: frozenset[str]) -> bool:
    """Whether a Host header means this machine: one of its names or a bare address, which nobody can rebind."""
    host = _without_port(header)
    if host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _without_port(header: str) -> str:
    host = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() and not header.endswith("]") else header
    return host.strip("[]").lower()


class OwnNamesOnly:
    """An ASGI application behind a check of the Host header (else 421) and, for all but reading, of Origin (else 403)."""

    def __init__(self, application: Application, host: str) -> None:
        self._application = application
        self._names = own_names(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refusal(scope)
        if refused is None:
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            status, text = refused
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": text})

    def _refusal(self, scope: Scope) -> tuple[int, bytes] | None:
        """Why a request is refused: its status and a text."""
        if scope["type"] == "lifespan":
            return None
        if not is_own(_header(scope, b"host"), self._names):
            return 421, b"not a name of this machine\n"
        if scope.get("method") not in _READING and not self._is_own_page(scope):
            return 403, b"changes are for pages of this machine\n"
        return None

    def _is_own_page(self, scope: Scope) -> bool:
        """Whether a page of ours asks, or no page at all: programs send no Origin."""
        origin = _header(scope, b"origin")
        asked = _without_port(_header(scope, b"host"))
        return not origin or _without_port(origin.partition("://")[2]) in {asked, *_LOOPBACK, *self._names}


class WithHeaders:
    """An ASGI application that adds headers to each of its answers, where it has not set them itself."""

    def __init__(self, application: Application, headers: Mapping[str, str]) -> None:
        self._application = application
        self._headers = {name.encode(): value.encode() for name, value in headers.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                more = [(name, value) for name, value in self._headers.items() if name not in present]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self._application(scope, receive, with_headers)


def _header(scope: Scope, wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")
