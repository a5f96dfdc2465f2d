"""Dockerfile, compose.yaml and prefect.yaml say the same as the code: what can be checked without an engine."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import prefect.server
import pytest
import yaml

from flows.deployed.deployments import DEPLOYMENTS, TAG
from flows.runs.roots import ROOTS_VARIABLE, RUNS_VARIABLE
from flows.runs.storage import ARTIFACTS_VARIABLE

ROOT = Path(__file__).parents[2]
PROJECT = yaml.safe_load((ROOT / "prefect.yaml").read_text())
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ROWS = {row.name: row for row in DEPLOYMENTS}
OURS = {"server", "services", "migrate", "deploy", "worker", "gpu-worker", "player"}


def pool_types() -> dict[str, Any]:
    """Prefect's own table of work pools, with the schema of each one's job variables."""
    path = Path(prefect.server.__file__).parent / "api/collections_data/views/aggregate-worker-metadata.json"
    found = json.loads(path.read_text())
    return {kind: row for package in found.values() for kind, row in package.items()}


def test_prefect_yaml_holds_the_served_deployments() -> None:
    assert [row["name"] for row in PROJECT["deployments"]] == [row.name for row in DEPLOYMENTS]
    for found in PROJECT["deployments"]:
        row = ROWS[found["name"]]
        assert found["entrypoint"] == row.flow.replace(":", ".")
        assert found["description"] == row.summary
        assert found["tags"] == [TAG]
        assert found.get("concurrency_limit") == row.limit
        schedules = [{"cron": row.cron, "timezone": "UTC", "active": False}] if row.cron else None
        assert found.get("schedules") == schedules


@pytest.mark.parametrize("row", PROJECT["deployments"], ids=lambda row: row["name"])
def test_an_entrypoint_is_a_flow_of_that_name(row: dict[str, Any]) -> None:
    module, _, name = row["entrypoint"].rpartition(".")
    assert getattr(importlib.import_module(module), name).name == row["name"]


def test_prefect_yaml_names_the_version_that_is_pinned() -> None:
    assert f"prefect=={PROJECT['prefect-version']}\n" in (ROOT / "constraints.txt").read_text()


@pytest.mark.parametrize("kind", ["process", "docker", "kubernetes"])
def test_a_pools_job_variables_are_ones_that_its_type_knows(kind: str) -> None:
    pool = PROJECT["definitions"]["work_pools"][kind]
    known = pool_types()[kind]["default_base_job_configuration"]["variables"]["properties"]
    assert set(pool.get("job_variables", {})) <= set(known)
    assert pool["name"].startswith("photone")


def test_the_dockerfile_has_both_targets_and_ends_with_the_small_one() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.M)
    assert [name for _, name in stages][-2:] == ["cuda", "cpu"]
    known = {"${PYTHON}"}
    for base, name in stages:
        assert base in known, f"{name} is made of {base}, which is not there yet"
        known.add(name)
    for source in re.findall(r"COPY --from=(\S+)", DOCKERFILE):
        assert source in known


def test_the_image_runs_without_root_and_without_tools_to_build() -> None:
    after = DOCKERFILE[DOCKERFILE.index("AS base") :]
    assert re.search(r"^USER photone$", after, re.M)
    assert "USER root" not in after
    assert re.findall(r"apt-get install[^\n]*? (lib\S+|[a-z]\S+) \\", after) == ["libfluidsynth3"]
    assert not re.search(r"gcc|build-essential|-dev\b|\bgit\b|\[dev", DOCKERFILE)
    assert "HEALTHCHECK" in after
    assert not re.search(r"(PASSWORD|SECRET|API_KEY)\s*=", DOCKERFILE)


def test_the_image_installs_extras_that_exist_and_copies_what_is_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = {extra for found in re.findall(r'"\.\[([a-z,]+)\]"', DOCKERFILE) for extra in found.split(",")}
    assert asked == {"scale", "models"}
    assert asked <= set(extras)
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M) for name in line.split()}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {package.rstrip("*") for package in packages} <= copied


def test_compose_has_what_a_team_needs() -> None:
    services = COMPOSE["services"]
    assert set(services) == OURS | {"postgres", "redis"}
    assert services["gpu-worker"]["profiles"] == ["gpu"]
    assert services["gpu-worker"]["build"]["target"] == "cuda"
    assert services["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    for name, service in services.items():
        for other in service.get("depends_on", {}):
            assert other in services, f"{name} waits for {other}"
        assert "healthcheck" in service or "--with-healthcheck" in service["command"], f"{name}: nobody knows how it is"


def test_compose_opens_nothing_to_the_network() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:4200:4200", "127.0.0.1:4280:4280"]
    assert not re.search(r"PASSWORD: [^$\s]", (ROOT / "compose.yaml").read_text())
    for name in OURS:
        assert COMPOSE["services"][name]["cap_drop"] == ["ALL"]


def test_every_volume_is_declared() -> None:
    mounted = {
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith((".", "/", "$"))
    }
    assert mounted | {"runs"} == set(COMPOSE["volumes"])


def test_workers_get_no_password_of_the_database() -> None:
    for name in ("worker", "gpu-worker", "player", "deploy"):
        assert not any("DATABASE" in key for key in COMPOSE["services"][name].get("environment", {}))


def test_the_workers_variables_are_ones_that_the_code_reads() -> None:
    environment = COMPOSE["services"]["worker"]["environment"]
    assert {RUNS_VARIABLE, ROOTS_VARIABLE, ARTIFACTS_VARIABLE} <= set(environment)
    read = "\n".join(path.read_text() for path in (ROOT / "flows").rglob("*.py"))
    for name in environment:
        assert not name.startswith("PHOTONE_") or f'"{name}"' in read, f"nothing reads {name}"


_SETTINGS = """
import importlib, json, os
from prefect.settings import get_current_settings
server = get_current_settings().server
import prefect_redis.client
modules = [os.environ[name] for name in os.environ if os.environ[name].startswith("prefect_redis.")]
for module in modules:
    importlib.import_module(module)
print(json.dumps({
    "database": server.database.connection_url.get_secret_value(),
    "events_days": server.events.retention_period.days,
    "vacuum": sorted(server.services.db_vacuum.enabled_vacuum_types),
    "runs_days": server.services.db_vacuum.retention_period.days,
    "broker": server.events.messaging_broker if hasattr(server.events, "messaging_broker") else "",
    "redis": prefect_redis.client.RedisMessagingSettings().host,
    "modules": len(modules),
}))
"""


def test_the_servers_variables_are_settings_of_prefect() -> None:
    environment = {name: str(value) for name, value in COMPOSE["services"]["server"]["environment"].items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", _SETTINGS], env=kept | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("database").endswith("@postgres:5432/prefect")
    assert found.pop("broker") in ("", "prefect_redis.messaging")
    assert found == {
        "events_days": 7,
        "vacuum": ["events", "flow_runs", "orphans"],
        "runs_days": 90,
        "redis": "redis",
        "modules": 4,
    }
