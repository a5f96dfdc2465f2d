"""The player in this process for tests, with a Prefect that only takes notes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from core.errors import EngineError
from flows.service.app.jobs import JOB_TYPES
from flows.service.player import player_app

OURS = {"X-Photone": "1"}


@dataclass
class NotingPrefect:
    """Answers what the player asks of Prefect, as its API does; `runs` are the flow runs that it was asked for."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    down: bool = False

    def ask(self, path: str, body: Any = None, method: str = "") -> Any:
        if self.down:
            raise EngineError("http://127.0.0.1:1/api: the Prefect server does not answer", retryable=True)
        if path == "deployments/filter":
            return [{"id": f"of-{name}", "name": name} for name in JOB_TYPES]
        if path.endswith("/create_flow_run"):
            return self.add(path.split("/")[1], body["parameters"], name=body["name"])
        if path == "flow_runs/filter":
            return self._found(body["flow_runs"])[: body["limit"]]
        if path.endswith("/set_state"):
            self.runs[path.split("/")[1]]["state_type"] = body["state"]["type"]
            return {}
        rows = self.tasks if path == "task_runs/filter" else self.artifacts
        return rows if not body["offset"] else []

    def add(self, deployment: str, parameters: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """A flow run; gives it."""
        run = {
            "id": str(uuid.uuid4()),
            "deployment_id": deployment,
            "parameters": parameters,
            "name": "a run",
            "state_type": "SCHEDULED",
            "state": {"message": ""},
            "start_time": None,
            "end_time": None,
            **changes,
        }
        self.runs[run["id"]] = run
        return run

    def _found(self, which: dict[str, Any]) -> list[dict[str, Any]]:
        ids = which.get("id", {}).get("any_")
        types = which.get("state", {}).get("type", {}).get("any_")
        return [
            run
            for run in reversed(self.runs.values())
            if (ids is None or run["id"] in ids) and (types is None or run["state_type"] in types)
        ]

    @property
    def last(self) -> dict[str, Any]:
        """The latest flow run that was asked for."""
        return list(self.runs.values())[-1]


def client(runs: Path, prefect: Any, auth: str = "") -> TestClient:
    """The player as a browser on this machine reaches it; what it breaks at is an answer, as it is there."""
    app = player_app(runs, "127.0.0.1", auth, prefect)
    return TestClient(app, base_url="http://127.0.0.1:4280", raise_server_exceptions=False)
