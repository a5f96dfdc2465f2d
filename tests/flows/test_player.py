"""The player: run folders and nothing else, with seeking, in a browser that trusts nobody."""

from __future__ import annotations

import http.client
import urllib.request
from pathlib import Path

import pytest
from served import Up

from flows.service.player import find_file, find_runs


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A runs folder with a run, a batch of one, and things that are none."""
    runs = tmp_path / "runs"
    for name in ("lake-canon", "batch/sea", "unfinished", "other"):
        (runs / name).mkdir(parents=True)
        (runs / name / "index.html").write_text("<p>page</p>")
    for name in ("lake-canon", "batch/sea", "unfinished"):
        (runs / name / "run.json").write_text("{}")
    (runs / "unfinished" / "index.html").unlink()
    (runs / "lake-canon" / "song.wav").write_bytes(bytes(range(256)) * 4)
    (runs / "lake-canon" / "notes.py").write_text("secret")
    (runs / "lake-canon" / "picture.svg").write_text("<svg/>")
    (runs / "lake-canon" / ".photone-tmp-1.wav").write_bytes(b"half")
    (runs / "lake-canon" / ".lock").mkdir()
    (runs / "lake-canon" / ".lock" / "x.json").write_text("{}")
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "run.json").write_text("{}")
    (runs / "lake-canon" / "link.json").symlink_to(tmp_path / "secret.json")
    (runs / "lake-canon" / "folder").symlink_to(tmp_path)
    (runs / "away").symlink_to(tmp_path)
    (runs / "run.json").write_text("{}")  # does not make the runs folder a run
    (runs / "loose.json").write_text("{}")
    return runs


@pytest.mark.parametrize(
    "path", ["lake-canon/song.wav", "lake-canon/index.html", "lake-canon/run.json", "batch/sea/index.html"]
)
def test_files_of_runs_are_found(runs: Path, path: str) -> None:
    assert find_file(runs, path) == runs / path


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "lake-canon",
        "other/index.html",
        "loose.json",
        "run.json",
        "../secret.json",
        "lake-canon/../../secret.json",
        "/etc/hostname",
        "lake-canon/link.json",
        "lake-canon/folder/secret.json",
        "away/secret.json",
        "lake-canon/.photone-tmp-1.wav",
        "lake-canon/.lock/x.json",
        "lake-canon/notes.py",
        "lake-canon/picture.svg",
        "lake-canon/song.wav\0.json",
        "lake-canon\\song.wav",
        "lake-canon/nothing.wav",
        "lake-canon/" + "x" * 5000 + ".wav",
    ],
)
def test_nothing_else_is(runs: Path, path: str) -> None:
    assert find_file(runs, path) is None


def test_the_gallery_lists_finished_runs_and_follows_no_link(runs: Path) -> None:
    assert set(find_runs(runs)) == {Path("lake-canon"), Path("batch/sea")}


@pytest.fixture
def served(up: Up) -> Up:
    """The session's player with a small run that holds a song of 1000 bytes."""
    folder = up.workspace / "runs" / "a & b <c>"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}")
    (folder / "index.html").write_text("<p>page</p>")
    (folder / "song.wav").write_bytes(bytes(index % 251 for index in range(1000)))
    (up.workspace / "runs" / "escape.json").write_text("{}")
    return up


def ask(up: Up, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """The path goes out as it is: no client cleans it up."""
    connection = http.client.HTTPConnection(up.player.removeprefix("http://"), timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


SONG = "/runs/a%20%26%20b%20%3Cc%3E/song.wav"


def test_a_song_can_be_sought_in(served: Up) -> None:
    whole = bytes(index % 251 for index in range(1000))
    status, headers, body = ask(served, SONG)
    assert (status, body, headers["content-type"], headers["accept-ranges"]) == (200, whole, "audio/wav", "bytes")
    status, headers, body = ask(served, SONG, Range="bytes=100-199")
    assert (status, body, headers["content-range"]) == (206, whole[100:200], "bytes 100-199/1000")
    assert ask(served, SONG, Range="bytes=-10")[2] == whole[-10:]
    assert ask(served, SONG, Range="bytes=2000-")[0] == 416
    status, headers, body = ask(served, SONG, method="HEAD")
    assert (status, headers["content-length"], body) == (200, "1000", b"")


def test_every_answer_ties_the_browser_down(served: Up) -> None:
    for path in ("/", SONG, "/runs/a%20%26%20b%20%3Cc%3E/index.html", "/nothing"):
        _, headers, _ = ask(served, path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/runs/../.prefect/up.json",
        "/runs/%2e%2e/.prefect/up.json",
        "/runs/a%20%26%20b%20%3Cc%3E/..%2f..%2f.prefect%2fup.json",
        "/runs//etc/hostname",
        "/runs/%2fetc%2fhostname",
        "/runs/escape.json",
        "/.prefect/up.json",
        "//etc/hostname",
        "/runs/a%00.wav",
    ],
)
def test_tricks_with_paths_find_nothing(served: Up, path: str) -> None:
    assert ask(served, path)[0] == 404


def test_nothing_can_be_written_and_other_names_are_refused(served: Up) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(served, SONG, method=method)[0] == 405
    connection = http.client.HTTPConnection(served.player.removeprefix("http://"), timeout=10)
    connection.request("GET", "/", headers={"Host": "rebound.example"})
    assert connection.getresponse().status == 421


def test_names_of_runs_are_text(served: Up) -> None:
    page = urllib.request.urlopen(f"{served.player}/", timeout=10).read().decode()
    assert "a &amp; b &lt;c&gt;" in page
    assert "<c>" not in page
    assert ask(served, "/runs/a%20%26%20b%20%3Cc%3E/")[1]["location"] == "/runs/a%20%26%20b%20%3Cc%3E/index.html"
