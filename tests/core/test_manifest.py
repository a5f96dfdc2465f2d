"""Files are whole or not there, whatever happens while they are written; who cannot write is told why."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from core.errors import DiskFullError, OutputError, PhotoneError
from core.manifest import (
    TEMPORARY_PREFIX,
    atomic_folder,
    atomic_path,
    check_replaceable,
    prepare_folder,
    sha256_bytes,
    sha256_file,
    sha256_json,
    sweep,
    to_json,
    write_bytes,
    write_text,
)

Atomic = Callable[[Path], AbstractContextManager[Path]]


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_hashes_are_sha256(tmp_path: Path) -> None:
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, "abc"
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "a") == abc


def test_the_hash_of_json_knows_content_not_order() -> None:
    assert sha256_json({"a": 1, "b": [1.5, None, "é"]}) == sha256_json({"b": [1.5, None, "é"], "a": 1})
    assert len({sha256_json(value) for value in ({"a": 1}, {"a": "1"}, {"a": [1]}, {"b": 1}, {"a": None})}) == 5


def test_json_is_readable_and_strict() -> None:
    assert to_json({"name": "Glöckchen"}) == '{\n  "name": "Glöckchen"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"level": float("nan")})


def test_a_whole_file_is_moved_into_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent  # a move between disks would not be atomic
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["new", "new/a.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), PhotoneError("x")])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_file_that_fails_half_way_changes_nothing(tmp_path: Path, error: BaseException, before: str | None) -> None:
    path = tmp_path / "a.txt"
    if before:
        path.write_text(before)

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)) as caught:
        write()
    assert caught.value is error
    assert names(tmp_path) == (["a.txt"] if before else [])
    assert not before or path.read_text() == before


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), PhotoneError("x")])
@pytest.mark.parametrize("before", [False, True])
def test_a_folder_that_fails_half_way_changes_nothing(tmp_path: Path, error: BaseException, before: bool) -> None:
    path = tmp_path / "band"
    if before:
        path.mkdir()
        (path / "old").write_text("old")

    def write() -> None:
        with atomic_folder(path) as temporary:
            (temporary / "deep").mkdir()
            (temporary / "deep" / "half").write_text("half")
            raise error

    with pytest.raises(type(error)) as caught:
        write()
    assert caught.value is error
    assert names(tmp_path) == (["band", "band/old"] if before else [])


def test_a_whole_folder_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "band"
    for content in ("one", "two"):
        with atomic_folder(path) as temporary:
            (temporary / content).write_text(content)
    assert names(tmp_path) == ["deep", "deep/band", "deep/band/two"]


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "Glöckchen\n")
    write_bytes(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "a").read_bytes() == b"Gl\xc3\xb6ckchen\n"
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize("atomic", [atomic_path, atomic_folder])
@pytest.mark.parametrize(
    ("code", "error", "status", "message"),
    [
        (errno.ENOSPC, DiskFullError, 1, r"song\.wav: the disk is full: free some space and run the same command"),
        (errno.EDQUOT, DiskFullError, 1, r"song\.wav: the disk is full"),
        (errno.EACCES, OutputError, 2, r"song\.wav: cannot be written \(Permission denied\): .*--out"),
        (errno.EROFS, OutputError, 2, r"song\.wav: cannot be written \(Read-only file system\): .*--out"),
    ],
)
def test_a_write_that_the_system_refuses(
    atomic: Atomic,
    code: int,
    error: type[OutputError],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(then: Callable[..., None]) -> None:
        with atomic(tmp_path / "song.wav") as temporary:
            (temporary / "part" if temporary.is_dir() else temporary).write_text("part")
            then()

    with pytest.raises(OutputError, match=message) as caught:
        write(failing(code))
    assert type(caught.value) is error
    assert caught.value.exit_status == status
    assert names(tmp_path) == []

    # The same when the move into place is what fails.
    monkeypatch.setattr(os, "replace", failing(code))
    with pytest.raises(error, match=message):
        write(lambda: None)
    assert names(tmp_path) == []


@pytest.mark.parametrize("atomic", [atomic_path, atomic_folder])
def test_a_file_where_a_folder_is_wanted(atomic: Atomic, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match=r"file/a: cannot be written \(.*\): choose another folder with --out"):
        atomic(tmp_path / "file" / "a").__enter__()
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_where_a_file_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a" / "inside").mkdir(parents=True)
    with pytest.raises(OutputError, match="a: cannot be written"):
        write_text(tmp_path / "a", "text")
    assert names(tmp_path) == ["a", "a/inside"]


def test_a_folder_is_prepared_before_any_work(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "deep" / "run")
    prepare_folder(tmp_path / "deep" / "run")
    assert names(tmp_path) == ["deep", "deep/run"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file: is a file, not a folder: choose another folder with --out"):
        prepare_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="file/run: cannot be written"):
        prepare_folder(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("code", "error", "message"), [(errno.ENOSPC, DiskFullError, "disk is full"), (errno.EACCES, OutputError, "--out")]
)
def test_a_folder_that_cannot_be_written_to(
    code: int, error: type[OutputError], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_bytes", failing(code))
    with pytest.raises(OutputError, match=message) as caught:
        prepare_folder(tmp_path)
    assert type(caught.value) is error


def test_sweep_removes_leftovers_and_nothing_else(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    (run / "effects").mkdir(parents=True)
    (run / f"{TEMPORARY_PREFIX}1-band" / f"{TEMPORARY_PREFIX}2-deep").mkdir(parents=True)
    (run / f"{TEMPORARY_PREFIX}1-band" / "half.wav").write_text("x")
    (run / "effects" / f"{TEMPORARY_PREFIX}3-a.wav").write_text("x")
    (run / "effects" / "a.tmp-3.wav").write_text("x")
    outside.mkdir()
    (outside / "precious").write_text("x")
    (run / f"{TEMPORARY_PREFIX}4-link").symlink_to(outside)
    sweep(run)
    assert names(run) == ["effects", "effects/a.tmp-3.wav"]
    assert names(outside) == ["precious"]


def test_sweep_finds_what_a_killed_write_leaves(tmp_path: Path) -> None:
    for atomic in (atomic_path, atomic_folder):
        temporary = atomic(tmp_path / "song.wav").__enter__()
        if not temporary.is_dir():
            temporary.write_text("half")
        assert len(names(tmp_path)) == 1
        sweep(tmp_path)
        assert names(tmp_path) == []


def test_what_is_replaced_holds_nothing_of_the_users(tmp_path: Path) -> None:
    own = ("a.json", "parts", "parts/*.wav")
    check_replaceable(tmp_path / "none", own, "part of an a")
    folder = tmp_path / "a"
    (folder / "parts").mkdir(parents=True)
    for name in ("a.json", "parts/1.wav", ".photone-tmp-1234-a.json"):
        (folder / name).write_text("ours")
    check_replaceable(folder, own, "part of an a")
    (folder / "parts" / "mine.txt").write_text("mine")
    with pytest.raises(
        OutputError, match=r"a: holds parts/mine\.txt, which is not part of an a: choose an empty folder"
    ):
        check_replaceable(folder, own, "part of an a")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        check_replaceable(folder / "a.json", own, "part of an a")


def test_a_folder_never_takes_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_text("mine")
    with pytest.raises(OutputError, match=r"song\.wav: is a file, not a folder"), atomic_folder(tmp_path / "song.wav"):
        pass
    assert (tmp_path / "song.wav").read_text() == "mine"


def test_the_folder_where_one_is_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with atomic_folder(Path()) as folder:
        (folder / "a").write_text("x")
    assert names(tmp_path) == ["here", "here/a"]
