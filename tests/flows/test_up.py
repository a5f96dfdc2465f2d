"""`photone up`: what it starts, that it ends with all its children, and that a kill loses nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import REPOSITORY, Up, gone, processes_below, small_picture

from core.errors import UsageError
from flows.deployed.deployments import DEPLOYMENTS
from flows.service.server import free_ports
from flows.service.up import MOST_TRIES, database_url, take_up


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def photone(workspace: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, arguments)],
        cwd=workspace,
        env={**clean, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_all_deployments_are_served_and_its_addresses_are_told(up: Up) -> None:
    served = up.ask("deployments/filter", {})
    assert {each["name"] for each in served} == {row.name for row in DEPLOYMENTS}
    assert {each["status"] for each in served} == {"READY"}
    assert f"Prefect: {up.api.url.removesuffix('/api')}\n" in up.output
    assert f"player:  {up.player}\n" in up.output
    with urllib.request.urlopen(up.api.url.removesuffix("api"), timeout=10) as page:
        assert b"<html" in page.read()


def edit_schedule(up: Up) -> None:
    """As a user does in the interface: another hour, and on."""
    folder = up.api.deployment("render-folder")
    assert [(each["schedule"]["cron"], each["active"]) for each in folder["schedules"]] == [("0 3 * * *", False)]
    change = {"active": True, "schedule": {"cron": "30 4 * * *", "timezone": "UTC"}}
    up.api.ask(f"deployments/{folder['id']}/schedules/{folder['schedules'][0]['id']}", change, "PATCH")


@pytest.mark.slow
def test_a_kill_leaves_no_process_and_the_next_start_goes_on_where_it_stopped(
    launched: Callable[..., Up], tmp_path: Path
) -> None:
    ports = free_ports(2)
    first = launched(ports=ports)
    edit_schedule(first)
    small_picture(tmp_path / "lake.png")
    run = first.start("picture-to-song", picture="lake.png", options={"preview_s": 1, "compact": True})
    first.wait(run, ("RUNNING",))
    effects = tmp_path / "runs" / "lake-canon" / "effects" / "effects.json"
    while not effects.is_file():
        time.sleep(0.05)
    assert first.run(run)["state_type"] == "RUNNING"
    family = processes_below(first.process.pid)
    assert len(family) >= 4  # server, worker, player, the run
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    assert all(gone(pid) for pid in family)
    assert not any(map(listens, ports))
    when = effects.stat().st_mtime_ns
    second = launched(ports=ports)
    assert "was stopped on its way and goes on" in second.output
    finished = second.wait(run)
    assert finished["state_type"] == "COMPLETED"
    assert finished["name"] == "lake -> canon"
    assert (tmp_path / "runs/lake-canon/songs/canon-preview/song.wav").is_file()
    assert effects.stat().st_mtime_ns == when  # a finished stage is not repeated
    assert not list((tmp_path / "runs").rglob(".photone-tmp-*"))
    states = [state["name"] for state in second.ask(f"flow_run_states/?flow_run_id={run}")]
    assert {"Crashed", "AwaitingRetry"} <= set(states)
    kept = second.api.deployment("render-folder")  # the user's, not the table's
    assert [(each["schedule"]["cron"], each["active"]) for each in kept["schedules"]] == [("30 4 * * *", True)]
    assert not kept["paused"]
    began = time.monotonic()
    assert second.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 10
    assert not any(map(listens, ports))


def test_runs_that_are_not_ours_or_kill_their_worker_again_and_again_are_not_taken_up() -> None:
    def run(name: str, **facts: Any) -> dict[str, Any]:
        common = {"id": name, "name": name, "state_type": "RUNNING", "run_count": 1, "parent_task_run_id": None}
        return {**common, "deployment_id": "served", **facts}

    class Fake:
        def __init__(self) -> None:
            self.states: list[tuple[str, str]] = []

        def ask(self, path: str, body: Any = None) -> Any:
            if path == "deployments/filter":
                return [{"id": "served", "work_pool_name": None}, {"id": "pool", "work_pool_name": "gpu"}]
            return {"flow_run_id": {"task-1": "again", "task-2": "tracked"}[path.removeprefix("task_runs/")]}

        def unfinished_runs(self, types: tuple[str, ...]) -> list[dict[str, Any]]:
            return [
                run("again"),
                run("deadly", run_count=MOST_TRIES),
                run("elsewhere", deployment_id="pool"),
                run("tracked", deployment_id=None),
                run("part", deployment_id=None, parent_task_run_id="task-1"),
                run("part of tracked", deployment_id=None, parent_task_run_id="task-2"),
                run("unwanted", state_type="CANCELLING"),
            ]

        def set_state(self, run: str, type_: str, name: str, message: str) -> None:
            self.states.append((run, name))

    fake, told = Fake(), []
    take_up(fake, told.append)  # type: ignore[arg-type]
    assert fake.states == [
        ("again", "Crashed"),
        ("again", "AwaitingRetry"),
        ("deadly", "Crashed"),
        ("unwanted", "Cancelled"),
        ("part", "Crashed"),
    ]
    assert f"deadly: its worker died {MOST_TRIES} times" in told[1]


def test_a_second_one_here_or_on_the_same_ports_is_refused_in_one_line(up: Up, tmp_path: Path) -> None:
    here = photone(up.workspace, "up", "--port", free_ports(1)[0])
    assert here.returncode == 2
    assert here.stderr.startswith(f"photone: photone is up here already ({up.api.url.removesuffix('/api')}, process ")
    port = up.api.url.split(":")[-1].removesuffix("/api")
    elsewhere = photone(tmp_path, "up", "--port", port)
    assert elsewhere.returncode == 2
    assert elsewhere.stderr.startswith(
        f"photone: port {port} (Prefect) is taken: a Prefect server answers there already"
    )
    assert elsewhere.stderr.count("\n") == 1
    taken = up.player.split(":")[-1]
    player = photone(tmp_path, "up", "--port", free_ports(1)[0], "--player-port", taken)
    assert f"port {taken} (the player) is taken: something else listens there" in player.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--watch", "nowhere"], "--watch nowhere: no such folder"),
        (["--score", "nothing"], "no score 'nothing'"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid: is no address of this machine"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(arguments: list[str], text: str, tmp_path: Path) -> None:
    port, player = free_ports(2)
    result = photone(tmp_path, "up", "--port", port, "--player-port", player, *arguments)
    assert result.returncode == 2
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_database_address_that_cannot_be_read_is_not_repeated() -> None:
    assert database_url("postgresql://a:b@c:1/d") == "postgresql+asyncpg://a:b@c:1/d"
    with pytest.raises(UsageError, match="expected postgresql://") as refused:
        database_url("mysql://a:hidden@c/d")
    assert "hidden" not in str(refused.value)


def test_names_of_other_machines_are_refused_and_other_pages_may_not_call(up: Up) -> None:
    for url in (f"{up.api.url}/health", f"{up.player}/health"):
        with pytest.raises(urllib.error.HTTPError, match="421"):
            urllib.request.urlopen(urllib.request.Request(url, headers={"Host": "evil.example"}), timeout=10)
    asked = urllib.request.Request(
        f"{up.api.url}/flow_runs/filter",
        method="OPTIONS",
        headers={
            "Origin": "http://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=10)
    assert refused.value.headers.get("access-control-allow-origin") is None


def test_without_a_password_the_network_is_warned_of(launched: Callable[..., Up], tmp_path: Path) -> None:
    port, player = free_ports(2)
    with subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-m",
            "flows.cli",
            "up",
            "--host",
            "0.0.0.0",
            "--port",
            str(port),
            "--player-port",
            str(player),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "without a password; set PREFECT_SERVER_API_AUTH_STRING=USER:PASSWORD" in line
        family = processes_below(process.pid)
        process.send_signal(signal.SIGTERM)  # on its way up already
        assert process.wait(15) == 0
    assert all(gone(pid) for pid in family)
