"""Published runs: whole or not there, only what changed is sent, and another machine goes on from them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from served import small_picture, small_score

from core.errors import DocumentError, EngineError, OutputError, UsageError
from flows.batch import make_batch
from flows.runs.songs import SongOptions
from flows.runs.stages import MakeOptions, finished, make
from flows.runs.storage import Storage, is_address, place_of, place_of_run, working_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MakeOptions:
    folder = tmp_path_factory.mktemp("storage")
    (folder / "pictures").mkdir()
    song = SongOptions(str(small_score(folder / "tune.mid")))
    options = MakeOptions(
        small_picture(folder / "pictures" / "lake.png"), folder / "runs" / "lake", compact=True, song=song
    )
    make(options)
    return options


@pytest.fixture
def run(made: MakeOptions, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(made.out, tmp_path / "lake"))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a bucket on an S3 server of our own, with its keys in the environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
    try:
        while True:
            try:
                urllib.request.urlopen(urllib.request.Request(f"{url}/photone", method="PUT"), timeout=5)
                break
            except OSError:
                assert time.monotonic() < end, "the S3 server does not answer"
                time.sleep(0.2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", url)
            patch.setenv("AWS_ACCESS_KEY_ID", "key")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            yield "s3://photone/runs"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(params=["memory", "file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    return f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/share"


def listing(root: str) -> dict[str, bytes]:
    """Everything under an address."""
    fs, base = fsspec.core.url_to_fs(root)
    fs.invalidate_cache()
    return {path.removeprefix(base).lstrip("/"): fs.cat_file(path) for path in fs.find(base)}


def test_a_published_run_is_fetched_byte_for_byte_and_needs_no_work(
    made: MakeOptions, root: str, tmp_path: Path
) -> None:
    sent = Storage(root).publish(made.out, "lake")
    there = listing(root)
    here = {f"lake/{path.relative_to(made.out).as_posix()}": path for path in made.out.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in here.items()} == there
    assert (sent.address, sent.files) == (f"{root}/lake", len(there))
    other = MakeOptions(made.picture, tmp_path / "elsewhere" / "lake", compact=True, song=made.song)
    assert Storage(root).fetch("lake", other.out) > 20
    run = make(other).run
    assert [stage.name for stage in run.stages if not stage.cached] == []
    assert finished(other).is_dir()


def test_only_what_changed_is_sent_again(made: MakeOptions, run: Path, root: str) -> None:
    Storage(root).publish(run, "lake")
    assert Storage(root).publish(run, "lake").files == 0
    make(MakeOptions(made.picture, run, compact=True, song=SongOptions(made.song.score, {}, made.song.render)))
    assert Storage(root).publish(run, "lake").files < 4, "more than the page and the manifest"
    (run / "songs" / "tune" / "song.wav").unlink()
    document = json.loads((run / "run.json").read_text())
    gone = next(output for output in document["outputs"] if output["path"] == "songs/tune/song.wav")
    document["outputs"].remove(gone)
    (run / "run.json").write_text(json.dumps(document))
    assert Storage(root).publish(run, "lake").files < 5
    assert "lake/songs/tune/song.wav" not in listing(root)


class Watched:
    """A file system that tells what it does, and looks at what a reader would find after each step."""

    def __init__(self, root: str, fails_at: int = 0) -> None:
        self.fs, self.base = fsspec.core.url_to_fs(root)
        self.steps, self.fails_at = 0, fails_at
        self.whole: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fs, name)

    def look(self) -> None:
        manifest = f"{self.base}/lake/run.json"
        if self.fs.exists(manifest):
            outputs = json.loads(self.fs.cat_file(manifest))["outputs"]
            sizes = {o["path"]: o["bytes"] for o in outputs}
            self.whole.append(all(self.fs.exists(f"{self.base}/lake/{p}") for p in sizes))
            assert all(self.fs.size(f"{self.base}/lake/{p}") == size for p, size in sizes.items())

    def put_file(self, source: str, target: str) -> None:
        self.steps += 1
        if self.steps == self.fails_at:
            raise OSError("the network is gone")
        self.fs.put_file(source, target)
        self.look()

    def rm_file(self, path: str) -> None:
        self.fs.rm_file(path)
        self.look()


def test_a_reader_never_finds_half_a_run(made: MakeOptions, run: Path, tmp_path: Path) -> None:
    root = f"memory://half-{tmp_path.name}"
    storage = Storage(root)
    storage._fs = watched = Watched(root)
    storage.publish(run, "lake")
    assert watched.whole == [True], "the manifest is there once, at the end"
    make(MakeOptions(made.picture, run, seed=1, compact=True, song=made.song))
    storage._fs = watched = Watched(root, fails_at=9)
    with pytest.raises(OutputError, match="the network is gone") as caught:
        storage.publish(run, "lake")
    assert caught.value.retryable
    assert all(watched.whole)
    assert Storage(root).fetch("lake", tmp_path / "reader") == 0, "there is no whole run, so there is none"
    assert Storage(root).publish(run, "lake").files > 20
    assert Storage(root).fetch("lake", tmp_path / "reader") > 20
    assert (tmp_path / "reader" / "run.json").read_bytes() == (run / "run.json").read_bytes()


def test_a_run_that_was_begun_here_is_left_alone(run: Path, root: str) -> None:
    Storage(root).publish(run, "lake")
    (run / "scene.json").write_text("{}")
    assert Storage(root).fetch("lake", run) == 0
    assert (run / "scene.json").read_text() == "{}"


def test_a_file_that_is_not_what_the_manifest_says_is_refused(run: Path, tmp_path: Path) -> None:
    root = f"memory://altered-{tmp_path.name}"
    Storage(root).publish(run, "lake")
    fs, base = fsspec.core.url_to_fs(root)
    fs.pipe_file(f"{base}/lake/scene.json", b"{}")
    with pytest.raises(OutputError, match=r"lake/scene\.json: is not what its run\.json says"):
        Storage(root).fetch("lake", tmp_path / "reader")
    assert not (tmp_path / "reader" / "run.json").exists()


@pytest.mark.slow
def test_a_batch_is_published_and_goes_on_elsewhere(
    made: MakeOptions, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{s3}/batch"
    given: dict[str, Any] = {"song": made.song, "compact": True, "address": address}
    for machine, unchanged in (("one", False), ("two", True)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        place, _ = place_of(address)
        assert place == tmp_path / machine / "photone" / "runs" / "s3-photone-runs-batch"
        (result,) = make_batch(made.picture.parent, place, **given)
        assert (result.error, result.unchanged) == (None, unchanged)
    assert "lake/songs/tune/song.wav" in listing(address)


def test_addresses_and_folders_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_address("s3://bucket/runs")
    assert not is_address("runs/s3")
    assert not is_address("C:/runs")
    assert place_of_run("s3://bucket/runs/lake") == (working_folder("s3://bucket/runs") / "lake", "s3://bucket/runs")
    monkeypatch.setenv("PHOTONE_ARTIFACTS", "s3://bucket/all/")
    assert place_of("runs/x") == (Path("runs/x"), "s3://bucket/all")
    assert place_of("s3://other/") == (working_folder("s3://other/"), "s3://other")
    with pytest.raises(UsageError, match="names no run: write s3://bucket/prefix/NAME"):
        place_of_run("s3://bucket")


def test_what_cannot_be_used_is_said_in_one_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"nonesuch://x: no storage of that kind"):
        Storage("nonesuch://x")
    with pytest.raises(DocumentError, match=r"run\.json: no such file"):
        Storage(f"memory://{tmp_path.name}").publish(tmp_path, "lake")

    def without_s3fs(address: str) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", without_s3fs)
    with pytest.raises(EngineError, match=r'Install s3fs .*: pip install "photone\[scale\]"'):
        Storage("s3://bucket")
