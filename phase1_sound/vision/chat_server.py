"""One call of a chat-completions server: time limits, retries with back-off, and every failure as one clear error."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from core.errors import EngineError
from phase1_sound.vision.asking import Reply

_MOST_BYTES = 4_000_000
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_FIRST_WAIT_S = 1.0


class _BusyError(Exception):
    """The server may answer later. `wait_s` is what it asks for."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class ChatServer:
    """Where to ask and how patiently: see `HttpOptions`."""

    endpoint: str
    key: str = field(repr=False)
    timeout_s: float
    connect_s: float
    retries: int
    most_wait_s: float
    sleep: Callable[[float], None] = time.sleep

    def complete(self, body: dict[str, Any]) -> Reply:
        """Send a body and give the first choice's text.

        Raises:
            EngineError: the server cannot be reached, refuses, or answers something that is no chat completion;
                `retryable` where it may answer later.
        """
        wait_s = _FIRST_WAIT_S
        for tried in range(1, self.retries + 2):
            try:
                return self._reply_in(self._post(body))
            except _BusyError as busy:
                asked_s = wait_s if busy.wait_s is None else busy.wait_s
                if tried > self.retries or asked_s > self.most_wait_s:
                    later = f"try again in {asked_s:.0f} s" if busy.wait_s else "is the server running and free?"
                    raise self._error(f"{busy}, {tried} times asked: {later}", retryable=True) from busy
            self.sleep(asked_s)
            wait_s *= 2
        raise AssertionError("the last try returns or raises")

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        timeout = httpx.Timeout(self.timeout_s, connect=self.connect_s)
        try:
            # trust_env: proxies and .netrc come from the environment, which nothing below flows/ reads.
            with (
                httpx.Client(timeout=timeout, trust_env=False) as client,
                client.stream("POST", self.endpoint, json=body, headers=headers) as response,
            ):
                content = self._read(response)
        except httpx.ConnectTimeout as error:
            raise _BusyError(f"no connection within {self.connect_s:g} s") from error
        except httpx.TimeoutException as error:
            raise _BusyError(f"no answer within {self.timeout_s:g} s") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise self._error(f"is no address that can be asked ({error}): mend it") from error
        except httpx.HTTPError as error:
            raise _BusyError(f"the connection failed ({str(error)[:200] or type(error).__name__})") from error
        return self._completion(response, content)

    def _read(self, response: httpx.Response) -> bytes:
        """The whole body, within the time limit and of bearable size: a server may trickle or never end."""
        end, content = time.monotonic() + self.timeout_s, bytearray()
        for block in response.iter_bytes():
            content += block
            if len(content) > _MOST_BYTES:
                raise self._error(f"answers more than {_MOST_BYTES // 1_000_000} MB: check the address")
            if time.monotonic() > end:
                raise _BusyError(f"no whole answer within {self.timeout_s:g} s")
        return bytes(content)

    def _completion(self, response: httpx.Response, content: bytes) -> dict[str, Any]:
        status, said = response.status_code, _excerpt(content)
        if status in _BUSY:
            raise _BusyError(f"status {status} ({said})", _retry_after_s(response.headers.get("retry-after")))
        if status in (401, 403):
            raise self._error(f"refuses the key (status {status}): set PHOTONE_API_KEY to one that it takes")
        if status == 404:
            raise self._error(f"has no such page or model ({said}): an address mostly ends in /v1")
        if status != 200:
            raise self._error(f"status {status} ({said}): check address and model; ?schema=no sends no schema")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            kind = response.headers.get("content-type", "of no type")
            raise self._error(f"answers no JSON but {kind} ({said}): check the address") from error
        return value if isinstance(value, dict) else {}

    def _reply_in(self, completion: dict[str, Any]) -> Reply:
        try:
            choice = completion["choices"][0]
            content, reason = choice["message"].get("content"), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            said = _excerpt(json.dumps(completion).encode())
            raise self._error(f"answers JSON that is no chat completion ({said}): check the address") from error
        return Reply(_text(content), cut_off=reason == "length")

    def _error(self, reason: str, retryable: bool = False) -> EngineError:
        return EngineError(f"{self.endpoint}: {reason}", retryable=retryable)


def _text(content: Any) -> str:
    """A message's text: plain, or in parts. None (a refusal, say) is an empty answer."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _excerpt(content: bytes) -> str:
    text = " ".join(content[:2000].decode("utf-8", "replace").split())
    return "".join(c for c in text if c.isprintable())[:200] or "nothing more"


def _retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds, or a date), None where it says nothing."""
    if not header:
        return None
    if header.strip().isdecimal() and len(header) < 10:
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
