"""The API held against its own OpenAPI document by schemathesis: no request breaks it, every answer is a documented one."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from app_client import OURS, NotingPrefect
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from flows.service.app.api import api_app
from flows.service.app.catalogue import Catalogue
from flows.service.app.folders import run_id
from flows.service.player import player_app

LAKE, JOB = run_id("lake"), "11111111-2222-3333-4444-555555555555"
CHECKED = [
    CHECKS.get_one("not_a_server_error"),
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@pytest.fixture(scope="module")
def api(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs = tmp_path_factory.mktemp("runs")
    shutil.copytree(small_run, runs / "lake")
    prefect = NotingPrefect()
    prefect.add("of-swap-score", {"run": str(runs / "lake")}, id=JOB, state_type="RUNNING")
    app = player_app(runs, "testserver", "", prefect)  # type: ignore[arg-type] # stands for one
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)

    @schema.hook
    def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        """Half of the time, what is asked for is there."""
        if path_parameters and random.Random(repr(sorted(path_parameters.items()))).random() < 0.5:
            there = {"run": LAKE, "job": JOB, "number": 1}
            return {name: there[name] for name in path_parameters}
        return path_parameters

    return schema


OPERATIONS = [
    (path, method)
    for path, methods in api_app(Catalogue(Path("runs")), None).openapi()["paths"].items()
    for method in methods
]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS])
def test_no_request_breaks_the_api(api: Any, path: str, method: str, mode: GenerationMode) -> None:
    statuses: Counter[int] = Counter()
    try:
        cases = api[path][method].as_strategy(generation_mode=mode)

        @settings(
            max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True
        )
        @given(case=cases)
        def try_it(case: Any) -> None:
            statuses[case.call_and_validate(headers=OURS, checks=CHECKED).status_code] += 1

        try_it()
        print(f"{method} {path}: {dict(statuses)}")
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # there is nothing that could be wrong with it
