"""Weights are found, hashed, downloaded and verified: against a hub on this machine that also misbehaves."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from core import weights
from core.errors import DiskFullError, EngineError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BIG = bytes(range(256)) * 12_000  # 3 MB: more than one block of the client


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """As much of the hub's interface as a download needs."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(head=True)

    def do_GET(self) -> None:
        self.answer(head=False)

    def answer(self, head: bool) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append((self.command, path, self.headers.get("Range")))
        if path == "/api/models/me/model" or path.startswith("/api/models/me/model/revision/"):
            self.json({"id": "me/model", "sha": COMMIT, "siblings": [{"rfilename": n} for n in self.server.files]})
        elif path.startswith("/api/models/me/model/tree/"):
            self.json([entry(name, data) for name, data in self.server.files.items()])
        elif path.startswith(f"/me/model/resolve/{COMMIT}/"):
            self.file(path.rpartition("/")[2], head)
        else:
            self.plain(404, b"not here", X_Error_Code="RepoNotFound")

    def json(self, value: object) -> None:
        self.plain(200, json.dumps(value).encode(), Content_Type="application/json")

    def file(self, name: str, head: bool) -> None:
        announced = self.server.files[name]
        data = self.server.sent.get(name, announced)
        begin = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if begin else 200)
        large = name.endswith(".safetensors")  # the others are kept in git, by their SHA-1
        self.send_header("ETag", f'"{sha256(announced) if large else hashlib.sha1(announced).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if head:
            return
        end = self.server.cut_at if self.server.cut_at and name == "model.safetensors" else len(data)
        self.wfile.write(data[begin:end])
        if end < len(data):
            self.close_connection = True

    def plain(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def entry(name: str, data: bytes) -> dict[str, object]:
    found: dict[str, object] = {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
    if name.endswith(".safetensors"):
        found["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
    return found


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"config.json": b"{}", "model.safetensors": BIG, "pickle.bin": b"never", "LICENSE": b"free"}
        self.sent: dict[str, bytes] = {}
        self.cut_at = 0
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub", reason='needs pip install "photone[models]"')
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True, raising=False)
    server = Hub()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetched(hub: Hub, cache: Path) -> weights.Fetched:
    return weights.fetch("me/model", cache=cache, endpoint=hub.url)


def test_a_model_is_downloaded_verified_and_recorded(hub: Hub, tmp_path: Path) -> None:
    assert weights.find_weights("me/model", cache=tmp_path) is None
    made = fetched(hub, tmp_path)
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "LICENSE", "config.json", "model.safetensors", "photone-weights.json"
    ]  # fmt: skip
    assert (made.commit, made.size) == (COMMIT, len(BIG))
    record = json.loads((made.folder / weights.RECORD).read_text())
    assert record == {
        "repository": "me/model",
        "commit": COMMIT,
        "sha256": made.sha256,
        "files": {"model.safetensors": {"bytes": len(BIG), "sha256": sha256(BIG)}},
    }
    assert weights.find_weights("me/model", cache=tmp_path) == made.folder
    assert weights.missing_files(made.folder) == []


def test_the_hash_is_that_of_the_files_wherever_they_lie(hub: Hub, tmp_path: Path) -> None:
    made = fetched(hub, tmp_path / "cache")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "model.safetensors").write_bytes(BIG)
    assert weights.weights_sha256(plain) == weights.weights_sha256(made.folder) == made.sha256
    (plain / "model.safetensors").write_bytes(BIG[:-1] + b"x")
    assert weights.weights_sha256(plain) != made.sha256


def test_what_is_there_is_not_downloaded_again(hub: Hub, tmp_path: Path) -> None:
    fetched(hub, tmp_path)
    hub.asked.clear()
    fetched(hub, tmp_path)
    assert [path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path] == []


def test_a_download_that_was_stopped_goes_on(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the client's own tries
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 500_000)  # 10 MB: what is lost at most
    hub.cut_at = 1_500_000
    with pytest.raises(EngineError, match=r"me/model: the download stopped .*goes on from there") as caught:
        fetched(hub, tmp_path)
    assert caught.value.retryable
    assert weights.find_weights("me/model", cache=tmp_path) is None
    hub.cut_at = 0
    hub.asked.clear()
    made = fetched(hub, tmp_path)
    ranges = [wanted for method, path, wanted in hub.asked if method == "GET" and path.endswith(".safetensors")]
    assert ranges == ["bytes=1500000-"]
    assert (made.folder / "model.safetensors").read_bytes() == BIG


def test_bytes_that_the_hub_did_not_announce_are_removed(hub: Hub, tmp_path: Path) -> None:
    hub.sent["model.safetensors"] = BIG[:-1] + b"x"
    with pytest.raises(EngineError, match=r"model\.safetensors came damaged and was removed: fetch it again"):
        fetched(hub, tmp_path)
    del hub.sent["model.safetensors"]
    assert (fetched(hub, tmp_path).folder / "model.safetensors").read_bytes() == BIG


def test_a_repository_that_is_not_there_is_a_clear_error(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="me/other: the hub has no such repository") as caught:
        weights.fetch("me/other", cache=tmp_path, endpoint=hub.url)
    assert "\n" not in str(caught.value)


def test_a_repository_without_safetensors_is_refused(hub: Hub, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(EngineError, match=r"holds no \.safetensors weights"):
        fetched(hub, tmp_path)


def test_a_hub_that_cannot_be_reached_is_a_clear_error(hub: Hub, tmp_path: Path) -> None:
    hub.server_close()
    with pytest.raises(EngineError, match="me/model: the download stopped") as caught:
        weights.fetch("me/model", cache=tmp_path, endpoint="http://127.0.0.1:9")
    assert caught.value.retryable


def test_a_disk_that_is_too_small_is_told_before(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    with pytest.raises(DiskFullError, match=r"me/model: 0\.0 GB are to be downloaded and .* has 0\.0 GB free"):
        fetched(hub, tmp_path)
    assert not any("/resolve/" in path and method == "GET" for method, path, _ in hub.asked)


def test_nothing_is_printed_unless_asked(hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetched(hub, tmp_path / "quiet")
    assert capfd.readouterr() == ("", "")
    weights.fetch("me/model", cache=tmp_path / "loud", endpoint=hub.url, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert err != ""


@pytest.mark.parametrize("name", ["no-folder-here", "a/b/c", "/nowhere/at/all", "../x", ""])
def test_what_is_neither_folder_nor_repository_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match="no such folder, and no OWNER/NAME of the hub"):
        weights.find_weights(name)


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert weights.find_weights(str(tmp_path)) == tmp_path
    assert weights.missing_files(tmp_path) == ["config.json", "model.safetensors"]


def test_each_part_of_split_weights_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    parts = {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    (tmp_path / "model-1.safetensors").write_bytes(b"123")
    assert weights.missing_files(tmp_path) == ["model-2.safetensors"]
    assert weights.weights_size(tmp_path) == 3
    (tmp_path / "model.safetensors.index.json").write_text("{")
    assert weights.missing_files(tmp_path) == ["model.safetensors.index.json (damaged)"]
