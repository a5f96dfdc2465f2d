"""Files that are whole or not there: hashes, temporary names, moves.

Everything is written under a name that begins with `.photone-tmp-` beside its place and moved there when it is complete, so a
reader never meets half a file and a run that was killed leaves only files that `sweep` removes.
"""

import errno
import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from core.errors import DiskFullError, OutputError

TEMPORARY_PREFIX = ".photone-tmp-"


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON value in one canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256_bytes(text.encode())


def to_json(value: Any) -> str:
    """The one way that we write JSON: two spaces, UTF-8, a final newline, no NaN."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _temporary(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{path.name}")


def translate_os_error(error: OSError, path: Path) -> OutputError:
    """Say what an operating-system error means for the user who wanted to write to `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"{path}: the disk is full: free some space and run the same command again")
    reason = error.strerror or str(error)
    return OutputError(f"{path}: cannot be written ({reason}): choose another folder with --out")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        # What cannot be removed (its folder is a file, say) must not hide the error that is on its way.
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary file name; move what was written there to `path` when the block ends well.

    Raises:
        OutputError: the folder cannot be made or written to; `DiskFullError` when the disk is full.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise translate_os_error(error, path) from error
    finally:
        _remove(temporary)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder; put it in the place of `path` (whole, the old one removed) when the block ends well.

    Raises:
        OutputError: `path` is a file, or cannot be written to; `DiskFullError` when the disk is full.
    """
    _check_folder(path)
    if path.name in ("", ".."):  # ".", say, which has no name to put a temporary one beside
        path = path.resolve()
    temporary = _temporary(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            old = _temporary(path)
            path.replace(old)
            temporary.replace(path)
            _remove(old)
        else:
            temporary.replace(path)
    except OSError as error:
        raise translate_os_error(error, path) from error
    finally:
        _remove(temporary)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 under a temporary name and move it into place."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes under a temporary name and move them into place."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def check_replaceable(path: Path, own: Sequence[str], what: str) -> None:
    """Make sure that a folder which is to be replaced as a whole holds nothing but what an earlier run wrote there.

    `own` are patterns (`fnmatch`) of the paths in it, `what` names what they are.

    Raises:
        OutputError: it is a file, or holds something else.
    """
    _check_folder(path)
    for name in (entry.relative_to(path).as_posix() for entry in path.rglob("*")):
        if TEMPORARY_PREFIX not in name and not any(fnmatch(name, pattern) for pattern in own):
            raise OutputError(f"{path}: holds {name}, which is not {what}: choose an empty folder with --out")


def _check_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: is a file, not a folder: choose another folder with --out")


def prepare_folder(path: Path) -> None:
    """Make a folder and make sure that it can be written to, before any work is done.

    Raises:
        OutputError: it is a file, or cannot be made or written to.
    """
    _check_folder(path)
    probe = _temporary(path / "probe")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
    except OSError as error:
        raise translate_os_error(error, path) from error
    finally:
        _remove(probe)


def sweep(folder: Path) -> None:
    """Remove what a killed run left under temporary names, at any depth."""
    for leftover in sorted(folder.rglob(f"{TEMPORARY_PREFIX}*"), reverse=True):
        _remove(leftover)
