"""The tracked run: a real Prefect server, a real flow, and no server left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import Up

from flows.service.server import running_server

REPOSITORY = Path(__file__).parents[2]
SERVER_SETTINGS = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_SERVER_EPHEMERAL_ENABLED")


@pytest.fixture
def server(up: Up) -> str:
    """The API's URL of the session's `photone up`."""
    return up.api.url


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "meadow.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)).save(path)
    return path


def photone(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        timeout=200,
        check=False,
    )


def ask(url: str, path: str, body: dict[str, object]) -> list[dict[str, object]]:
    request = urllib.request.Request(
        f"{url}/{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_a_tracked_run_uses_the_running_server_and_makes_the_same_bytes(
    server: str, picture: Path, tmp_path: Path
) -> None:
    asked = ("make", picture, "--preview", "2", "--compact", "--out")
    with ThreadPoolExecutor() as pool:
        other = pool.submit(photone, *asked, tmp_path / "b")
        tracked = photone(*asked, tmp_path / "a", "--track", PREFECT_API_URL=server)
    assert tracked.returncode == 0, tracked.stderr
    assert f"tracked at {server.removesuffix('/api')}\n" in tracked.stderr
    assert other.result().returncode == 0, other.result().stderr
    for name in ("scene.json", "instruments/bass/bass.sf2", "songs/canon-preview/song.wav"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    run = json.loads((tmp_path / "a" / "run.json").read_text())
    assert not any(stage["cached"] for stage in run["stages"])
    assert {name: engine["name"] for name, engine in run["engines"].items()} == {
        "vision": "embedded",
        "effects": "foley",
        "timbre": "resonator",
    }
    names = {str(found["name"]): found for found in ask(server, "flow_runs/filter", {})}
    flow_run = names["meadow -> canon"]
    assert flow_run["state_type"] == "COMPLETED"
    tasks = ask(server, "task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [flow_run["id"]]}}})
    found = {re.sub(r"-[0-9a-f]{3}$", "", str(task["name"])) for task in tasks}
    assert found == {"picture", "scene", "effects", "casting", "instruments", "song"}
    assert {task["state_type"] for task in tasks} == {"COMPLETED"}


def test_a_bad_picture_fails_the_flow_with_our_line(server: str, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    result = photone("make", tmp_path / "bad.jpg", "--track", "--out", tmp_path / "run", PREFECT_API_URL=server)
    assert result.returncode == 2
    assert "photone: " in result.stderr
    assert "bad.jpg" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_named_server_that_does_not_answer_is_an_error(picture: Path, tmp_path: Path) -> None:
    result = photone("make", picture, "--track", "--out", tmp_path / "run", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert result.returncode == 1
    assert result.stderr.startswith("photone: http://127.0.0.1:9/api: no Prefect server answers there")
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_server_that_is_started_is_stopped(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    for name in SERVER_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    try:
        with running_server() as url:
            assert url != server
            assert "PREFECT_API_URL" in os.environ
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"{url}/health", timeout=2)
    finally:
        os.environ.clear()
        os.environ.update(before)
