"""Jobs: what the gallery has Prefect do, and how far that is. Nothing is kept here: Prefect knows its runs."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import EngineError, UsageError
from flows.service.api import PrefectApi
from flows.service.app.answers import JobAnswer, JobKind, JobState, StageAnswer, StageState
from flows.service.app.catalogue import Catalogue
from flows.service.app.folders import PAGE_FILE, run_id, run_url

LATEST_ENDED = 20


@dataclass(frozen=True)
class JobType:
    """A deployment that the gallery starts: what its job is called, and its stages in order."""

    kind: JobKind
    stages: tuple[str, ...]


JOB_TYPES: Mapping[str, JobType] = {
    "picture-to-song": JobType("make", ("picture", "scene", "effects", "casting", "instruments", "song")),
    "swap-score": JobType("song", ("song",)),
    "edit-scene": JobType("scene", ("scene", "effects", "casting", "instruments", "song")),
    "effect-again": JobType("effect", ("effects", "casting", "instruments", "song")),
}
"""By the deployment's name."""

_WEIGHTS = {"effects": 4, "instruments": 6, "song": 6}  # of the work; what is not named here is short: 1
_UNFINISHED = ("SCHEDULED", "PENDING", "PAUSED", "RUNNING", "CANCELLING")
_STATES: Mapping[str, JobState] = {
    "SCHEDULED": "waiting",
    "PENDING": "waiting",
    "PAUSED": "waiting",
    "RUNNING": "running",
    "CANCELLING": "cancelling",
    "COMPLETED": "done",
    "FAILED": "failed",
    "CRASHED": "failed",
    "CANCELLED": "cancelled",
}
_STAGE_STATES: Mapping[str, StageState] = {
    "RUNNING": "running",
    "COMPLETED": "done",
    "FAILED": "failed",
    "CRASHED": "failed",
    "CANCELLED": "cancelled",
    "CANCELLING": "running",
}
_UNTOLD = re.compile(r"^(flow|task) run encountered an exception:?\s*|^\w+(Error|Exception):\s*", re.IGNORECASE)
_PAGE = 200
_BEGINNING_S, _LOOK_S = 20.0, 0.1  # a process begins within some seconds


class Jobs:
    """Runs of the deployments in JOB_TYPES, through Prefect's API; `ui` is where people see Prefect, "" for nowhere."""

    def __init__(self, api: PrefectApi, catalogue: Catalogue, ui: str = "") -> None:
        self._api, self._catalogue, self._ui = api, catalogue, ui
        self._deployments: dict[str, str] = {}

    def start(self, deployment: str, parameters: dict[str, Any], name: str) -> JobAnswer:
        """Start one.

        Raises:
            EngineError: Prefect does not answer, or does not serve this. UsageError: it refuses a parameter.
        """
        known = {name: identity for identity, name in self._known(wanted=deployment).items()}
        if deployment not in known:
            raise EngineError(f"Prefect does not serve {deployment}: start photone with `photone up`", retryable=True)
        body = {"parameters": parameters, "name": name}
        made = self._api.ask(f"deployments/{known[deployment]}/create_flow_run", body)
        return self._answers([made])[0]

    def get(self, identity: str) -> JobAnswer | None:
        """A job by its id, None where there is none.

        Raises:
            EngineError: Prefect does not answer.
        """
        found = self._run(identity)
        return self._answers([found])[0] if found else None

    def latest(self) -> list[JobAnswer]:
        """Unfinished jobs, the newest first, then the latest that ended.

        Raises:
            EngineError: Prefect does not answer.
        """
        ended = tuple(state for state in _STATES if state not in _UNFINISHED)
        going = self._runs({"state": {"type": {"any_": list(_UNFINISHED)}}}, _PAGE, "EXPECTED_START_TIME_DESC")
        done = self._runs({"state": {"type": {"any_": list(ended)}}}, LATEST_ENDED, "END_TIME_DESC")
        return self._answers([*going, *done])

    def cancel(self, job: JobAnswer) -> JobAnswer:
        """Cancel a job; gives what has become of it so far.

        Prefect's worker drops a wish to cancel a run that has no process yet, and the run would be Cancelling for ever: one
        that waits is Cancelled at once. One whose process is being started would run all the same: its beginning is awaited.

        Raises:
            EngineError: Prefect does not answer.
        """
        until, now = time.monotonic() + _BEGINNING_S, self._state(job.id)
        while now == "PENDING" and time.monotonic() < until:
            time.sleep(_LOOK_S)
            now = self._state(job.id)
        if now not in _UNFINISHED:
            return self.get(job.id) or job
        name = "Cancelled" if _STATES[now] == "waiting" else "Cancelling"
        state = {"state": {"type": name.upper(), "name": name, "message": "cancelled in the gallery"}}
        self._api.ask(f"flow_runs/{job.id}/set_state", {**state, "force": False})
        return self.get(job.id) or job

    def _run(self, identity: str) -> dict[str, Any] | None:
        return next(iter(self._runs({"id": {"any_": [identity]}}, limit=1)), None)

    def _state(self, identity: str) -> str:
        """The type of a job's state in Prefect, "" for none."""
        found = self._run(identity)
        return str(found["state_type"]) if found else ""

    def _known(self, wanted: str = "") -> dict[str, str]:
        """Our deployments' names by their ids; asked for again where one is missing."""
        if not self._deployments or (wanted and wanted not in self._deployments.values()):
            asked = {"deployments": {"name": {"any_": list(JOB_TYPES)}}, "limit": _PAGE}
            self._deployments = {each["id"]: each["name"] for each in self._ask("deployments/filter", asked)}
        return self._deployments

    def _runs(self, which: dict[str, Any], limit: int, sort: str = "ID_DESC") -> list[dict[str, Any]]:
        known = self._known()
        asked = {"flow_runs": {**which, "deployment_id": {"any_": list(known)}}, "limit": limit, "sort": sort}
        return self._ask("flow_runs/filter", asked) if known else []

    def _ask(self, path: str, body: Any) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._api.ask(path, body)
        except UsageError as error:  # what is asked here is ours: it is no fault of the user's
            raise EngineError(str(error), retryable=True) from error
        return found

    def _all(self, path: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._ask(path, {**asked, "limit": _PAGE, "offset": len(found)})
            found += page
            if len(page) < _PAGE:
                return found

    def _answers(self, runs: Sequence[dict[str, Any]]) -> list[JobAnswer]:
        ids = [run["id"] for run in runs]
        tasks, shares = self._tasks(ids), self._shares([run["id"] for run in runs if run["state_type"] in _UNFINISHED])
        return [self._answer(run, tasks[run["id"]], shares[run["id"]]) for run in runs]

    def _tasks(self, ids: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """The latest task run of each stage, by flow run and stage."""
        tasks: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        if not ids:
            return tasks
        found = self._all("task_runs/filter", {"task_runs": {"flow_run_id": {"any_": list(ids)}}})
        for task in sorted(found, key=lambda task: task["start_time"] or task["created"] or ""):
            tasks[task["flow_run_id"]][task["name"]] = task
        return tasks

    def _shares(self, ids: Sequence[str]) -> dict[str, dict[str, tuple[int, int]]]:
        """How many of how many are done, by flow run and stage."""
        shares: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        if not ids:
            return shares
        asked = {"artifacts": {"flow_run_id": {"any_": list(ids)}, "type": {"any_": ["progress"]}}}
        for artifact in self._all("artifacts/filter", asked):
            counted = re.fullmatch(r"(\w+): (\d+) of (\d+)", artifact["description"] or "")
            if counted:
                shares[artifact["flow_run_id"]][counted[1]] = (int(counted[2]), int(counted[3]))
        return shares

    def _answer(
        self, run: dict[str, Any], tasks: Mapping[str, dict[str, Any]], shares: Mapping[str, tuple[int, int]]
    ) -> JobAnswer:
        deployment = self._known()[run["deployment_id"]]
        job, state = JOB_TYPES[deployment], _STATES[run["state_type"]]
        stages = [_stage(name, tasks.get(name), shares.get(name), state) for name in job.stages]
        name = self._run_name(deployment, run["parameters"])
        return JobAnswer(
            id=run["id"],
            kind=job.kind,
            name=run["name"],
            state=state,
            stages=stages,
            progress=1.0 if state == "done" else _progress(stages),
            message=self._message(run, state),
            started_at=run["start_time"],
            ended_at=run["end_time"],
            run=run_id(name) if name else None,
            run_url=run_url(name, PAGE_FILE) if name and (self._catalogue.runs / name / PAGE_FILE).is_file() else None,
            song=self._song(deployment, name, run["parameters"]) if name and state == "done" else None,
            prefect_url=f"{self._ui}/runs/flow-run/{run['id']}" if self._ui else None,
        )

    def _run_name(self, deployment: str, parameters: Mapping[str, Any]) -> str | None:
        """The run that a job works on, where its parameters name it; a form may leave that to the flow."""
        given = str(parameters.get("out" if deployment == "picture-to-song" else "run") or "")
        if not given or "\0" in given:
            return None
        path = Path(given).absolute()
        for root in (self._catalogue.runs.absolute(), self._catalogue.runs.resolve()):
            if path.is_relative_to(root) and path != root and ".." not in path.parts:
                return path.relative_to(root).as_posix()
        return None

    def _song(self, deployment: str, name: str, parameters: Mapping[str, Any]) -> str | None:
        """Where the song is that a job made; of an edit, one that the changed band plays."""
        folder = self._catalogue.folder(run_id(name))
        songs = [song for song in self._catalogue.detail(folder).songs if song.current and song.url] if folder else []
        wanted = _song_folder(parameters) if JOB_TYPES[deployment].kind in ("make", "song") else ""
        return next((song.url for song in songs if wanted in ("", song.name)), None)

    def _message(self, run: Mapping[str, Any], state: JobState) -> str | None:
        if state not in ("failed", "cancelled"):
            return None
        text = " ".join(str((run["state"] or {}).get("message") or "").split())
        while (shorter := _UNTOLD.sub("", text, count=1)) != text:
            text = shorter
        text = text.replace(f"{self._catalogue.runs.absolute()}/", "")
        return text[:500] or ("it was cancelled" if state == "cancelled" else "it failed: Prefect's log says why")


def _song_folder(parameters: Mapping[str, Any]) -> str:
    from flows.runs.songs import score_name

    score, file = str(parameters.get("score") or "canon"), str(parameters.get("score_file") or "")
    preview = (parameters.get("options") or {}).get("preview_s")
    return score_name(file or score) + ("-preview" if preview else "")


def _stage(name: str, task: Mapping[str, Any] | None, share: tuple[int, int] | None, job: JobState) -> StageAnswer:
    if task is None:  # not begun; a finished job may have had nothing to do there
        states: dict[JobState, StageState] = {"done": "kept", "failed": "cancelled", "cancelled": "cancelled"}
        return StageAnswer(name=name, state=states.get(job, "waiting"))
    state = _STAGE_STATES.get(task["state_type"], "waiting")
    if state == "done" and task["state_name"] == "Cached":
        state = "kept"
    elif state == "running" and job in ("failed", "cancelled"):
        state = "cancelled"
    done, of = share or (None, None)
    return StageAnswer(name=name, state=state, done=done, of=of)


def _progress(stages: Iterable[StageAnswer]) -> float:
    done = whole = 0.0
    for stage in stages:
        weight = _WEIGHTS.get(stage.name, 1)
        whole += weight
        if stage.state in ("done", "kept"):
            done += weight
        elif stage.done is not None and stage.of:
            done += weight * min(1.0, stage.done / stage.of)
    return round(done / whole, 3)
