"""Which names a local server answers to, so that a page elsewhere cannot reach it through a name of its own (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

HOSTNAMES_VARIABLE = "PHOTONE_HOSTNAMES"

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
    host = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() and not header.endswith("]") else header
    host = host.strip("[]").lower()
    if host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class OwnNamesOnly:
    """An ASGI application behind a check of the Host header: anything else gets 421."""

    def __init__(self, application: Application, host: str) -> None:
        self._application = application
        self._names = own_names(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or is_own(_host(scope), self._names):
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 421, "headers": headers})
            await send({"type": "http.response.body", "body": b"not a name of this machine\n"})


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


def _host(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
