"""Whom a local server answers: its own names, and for changes its own pages only."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flows.service.hosts import OwnNamesOnly


def answer(kind: str, method: str | None, **headers: str) -> Any:
    """The status of an HTTP request, or what a web socket is told first; "taken" where the application got it."""
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "taken"})

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message.get("status") or message["type"])

    scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    scope |= {"method": method} if method else {}
    asyncio.run(OwnNamesOnly(application, "127.0.0.1")(scope, receive, send))
    return sent[0]


@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost:4200", "[::1]:4200", "192.168.1.7"])
def test_own_names_and_bare_addresses_are_answered(host: str) -> None:
    assert answer("http", "GET", host=host) == "taken"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:4200", ""])
def test_other_names_are_not(host: str) -> None:
    assert answer("http", "GET", host=host) == 421
    assert answer("websocket", None, host=host) == "websocket.close"


def test_other_sites_pages_change_nothing() -> None:
    for origin in ("http://evil.example", "null", "http://localhost.evil.example:4200", "http://203.0.113.7:4200"):
        assert answer("http", "POST", host="localhost:4200", origin=origin) == 403
        assert answer("http", "DELETE", host="localhost:4200", origin=origin) == 403
        assert answer("websocket", None, host="localhost:4200", origin=origin) == "websocket.close"
        assert (
            answer("http", "GET", host="localhost:4200", origin=origin) == "taken"
        )  # CORS keeps what it reads from it


def test_own_pages_and_programs_may() -> None:
    assert answer("http", "POST", host="localhost:4200", origin="http://localhost:4200") == "taken"
    assert answer("http", "POST", host="localhost:4200", origin="http://127.0.0.1:4200") == "taken"
    assert answer("http", "POST", host="192.168.1.7:4200", origin="http://192.168.1.7:4200") == "taken"
    assert answer("http", "POST", host="localhost:4200") == "taken"
    assert answer("websocket", None, host="localhost:4200", origin="http://localhost:4200") == "taken"
