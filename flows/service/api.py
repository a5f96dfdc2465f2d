"""The few requests to a Prefect server that need no Prefect: `photone up` and its watcher stay small and start at once."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError

from core.errors import EngineError, UsageError

AUTH_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"
"""Of the server, worker and player: "user:password" where one is wanted."""
_PATIENCE_S = 30.0
# 503: SQLite was busy with another request and nothing was done; Prefect's own clients ask again, too.
_BUSY_PAUSES_S = (0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class PrefectApi:
    """A server by its URL ("http://127.0.0.1:4200/api"); `auth` is "user:password" where it wants one."""

    url: str
    auth: str = field(default="", repr=False)

    def ask(self, path: str, body: Any = None, method: str = "") -> Any:
        """Send JSON and give what comes back; GET without a body.

        Raises:
            UsageError: the server refuses what was sent.
            EngineError: it does not answer, or fails.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if self.auth:
            headers["Authorization"] = "Basic " + base64.b64encode(self.auth.encode()).decode()
        request = urllib.request.Request(f"{self.url}/{path}", data=data, headers=headers, method=method or None)
        try:
            text = _answer(request)
        except HTTPError as error:
            raise _refused(self.url, path, error) from error
        except OSError as error:
            raise EngineError(f"{self.url}: the Prefect server does not answer ({error})", retryable=True) from error
        return json.loads(text) if text else None

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by its name, which is its flow's too.

        Raises:
            UsageError: the server has none of that name.
        """
        found: dict[str, Any] = self.ask(f"deployments/name/{name}/{name}")
        return found

    def start(self, deployment: str, parameters: dict[str, Any], **rest: Any) -> dict[str, Any]:
        """Start a run of a deployment; `rest` is its name, idempotency key and so on.

        Raises:
            UsageError: a parameter is refused.
        """
        known = self.deployment(deployment)
        made: dict[str, Any] = self.ask(
            f"deployments/{known['id']}/create_flow_run", {"parameters": parameters, **rest}
        )
        return made

    def unfinished_runs(self, types: tuple[str, ...]) -> list[dict[str, Any]]:
        """The flow runs whose state is of one of these types."""
        found: list[dict[str, Any]] = []
        while True:
            asked = {"flow_runs": {"state": {"type": {"any_": list(types)}}}, "limit": 200, "offset": len(found)}
            page = self.ask("flow_runs/filter", asked)
            found += page
            if len(page) < 200:
                return found

    def set_state(self, run: str, type_: str, name: str, message: str) -> None:
        """Put a flow run into a state, whatever the server's rules for that say."""
        state = {"type": type_, "name": name, "message": message}
        self.ask(f"flow_runs/{run}/set_state", {"state": state, "force": True})


def _answer(request: urllib.request.Request) -> bytes:
    for pause_s in (*_BUSY_PAUSES_S, None):
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            if error.code != 503 or pause_s is None:
                raise
            time.sleep(pause_s)
    raise AssertionError("the last try gives or raises")


def _refused(url: str, path: str, error: HTTPError) -> EngineError | UsageError:
    text = error.read().decode(errors="replace")[:400]
    if error.code == 401:
        return UsageError(f"{url}: wants a password: set PREFECT_API_AUTH_STRING=user:password")
    if 400 <= error.code < 500:
        return UsageError(f"{url}/{path}: refused ({error.code}): {text}")
    return EngineError(f"{url}/{path}: the Prefect server failed ({error.code}): {text}", retryable=True)
