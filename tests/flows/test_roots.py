"""Paths and addresses in parameters stay where the operator allows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import UsageError
from flows.runs.roots import check_engine, check_size, inside, roots, unconfined


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root, with a neighbour that is none, in which we stand."""
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "neighbour").mkdir()
    (tmp_path / "neighbour" / "secret.png").write_bytes(b"x")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PHOTONE_ROOTS", str(folder))
    return folder


def test_paths_below_a_root_are_taken(root: Path) -> None:
    assert inside("pictures/lake.png", "picture") == root / "pictures" / "lake.png"
    assert inside(root / "runs", "out") == root / "runs"


@pytest.mark.parametrize(
    "path",
    [
        "../neighbour/secret.png",
        "pictures/../../neighbour/secret.png",
        "pictures/../lake.png",  # harmless, and still not guessed at
        "/etc/passwd",
        "~/lake.png",
        "{root}-more/lake.png",
        ".ssh/id_rsa",
        "pictures/.hidden.png",
        "a\0b",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(root: Path, path: str) -> None:
    with pytest.raises(UsageError, match=r"^picture: "):
        inside(path.format(root=root), "picture")


def test_links_are_followed_before_the_path_is_judged(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "neighbour")
    (root / "file.png").symlink_to("/etc/passwd")
    (root / "inner").symlink_to(root / "pictures")
    (root / "loop").symlink_to(root / "loop")
    for path in ("link/secret.png", "link/new.png", "file.png", "loop/x"):
        with pytest.raises(UsageError):
            inside(path, "picture")
    assert inside("inner/lake.png", "picture") == root / "pictures" / "lake.png"


def test_without_roots_only_the_current_folder_is_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHOTONE_ROOTS")
    assert roots() == (root,)
    with pytest.raises(UsageError, match="lies outside the folders of PHOTONE_ROOTS"):
        inside(root.parent / "neighbour" / "secret.png", "picture")


def test_a_command_runs_with_its_users_rights_unless_roots_are_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unconfined()
    with pytest.raises(UsageError):
        inside("/etc/hostname", "picture")
    monkeypatch.delenv("PHOTONE_ROOTS")
    unconfined()
    assert inside("/etc/hostname", "picture") == Path("/etc/hostname")
    assert os.environ["PHOTONE_ROOTS"] == "/"


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("sidecar:../scene.json", "must not hold"),
        ("sidecar:/etc/passwd", "lies outside"),
        ("folder:/home", "lies outside"),
        ("folder:sounds?map=/etc/passwd", "lies outside"),
        ("folder:sounds?map=%2Fetc%2Fpasswd", "lies outside"),
        ("qwen:/opt/weights", "lies outside"),
        ("openai-http:http://169.254.169.254/v1?model=x", "169.254.169.254: is no server"),
        ("openai-http:https://example.org/v1?model=x", "example.org: is no server"),
    ],
)
def test_engines_are_given_nothing_from_elsewhere(root: Path, spec: str, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        check_engine(spec, "vision")


def test_engines_may_have_what_is_allowed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTONE_MODEL_SERVERS", "gpu.example.org")
    for spec in (
        "embedded",
        "qwen:3B",
        "sidecar:scene.json",
        "folder:sounds?map=names.toml",
        "openai-http:http://127.0.0.1:8000/v1?model=Qwen/Qwen2.5-VL-7B",
        "openai-http:https://gpu.example.org/v1?model=x",
    ):
        check_engine(spec, "vision")


def test_files_beyond_the_limit_are_refused(root: Path) -> None:
    path = root / "huge.png"
    with path.open("wb") as file:
        file.truncate(2_000_001)
    with pytest.raises(UsageError, match=r"picture: huge\.png: 2 MB are more than the 2 MB"):
        check_size(path, 2_000_000, "picture")
    check_size(path, 2_000_001, "picture")
