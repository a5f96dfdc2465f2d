"""One worker to a run folder: a lock file with process, host and heartbeat; the lock of a worker that died is taken over.

A plain file, because run folders may lie on a network share, where the kernel's locks are not to be relied on.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import OutputError
from core.manifest import prepare_folder, translate_os_error

LOCK_FILE = ".photone-lock"
HEARTBEAT_S = 5.0
_SILENCE_S = 60.0  # no heartbeat for so long: the other host is down
_POLL_S = 0.5
_GRACE_S = 3.0  # what a dead worker had started ends within this


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, and how long its last heartbeat is ago (seconds)."""

    token: str
    host: str
    pid: int
    silent_s: float

    @property
    def dead(self) -> bool:
        """Whether it will not come back."""
        gone = self.host == socket.gethostname() and not _runs(self.pid)
        return self.silent_s > (_GRACE_S if gone else _SILENCE_S)

    @property
    def dying(self) -> bool:
        """Whether its process is gone, so that waiting for it is worth while."""
        return self.host == socket.gethostname() and not _runs(self.pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder while it is worked on.

    Raises:
        OutputError: somebody else works on it (may be tried again), or the folder cannot be written to.
    """
    lock = _Lock(folder)
    while (holder := lock.take()) is not None:
        if not holder.dying:
            raise _busy(folder, holder)
        time.sleep(_POLL_S)
    with lock.kept():
        yield


@asynccontextmanager
async def awaited_run_lock(folder: Path, patience_s: float = 3600.0) -> AsyncIterator[None]:
    """Hold a run folder; while somebody else works on it, wait: what they finish need not be made again.

    Raises:
        OutputError: they still work on it after `patience_s` (may be tried again), or the folder cannot be written to.
    """
    import asyncio  # takes a tenth of the time in which a swap starts, and a swap does not wait here

    lock = _Lock(folder)
    limit = time.monotonic() + patience_s
    while (holder := lock.take()) is not None:
        if time.monotonic() > limit:
            raise _busy(folder, holder)
        await asyncio.sleep(_POLL_S)
    with lock.kept():
        yield


def _busy(folder: Path, holder: Holder) -> OutputError:
    return OutputError(
        f"{folder}: process {holder.pid} on {holder.host} works on this run: wait until it is done, "
        "or choose another folder with --out",
        retryable=True,
    )


class _Lock:
    """A try at a folder's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._existed = folder, folder.exists()
        self._token = secrets.token_hex(8)
        prepare_folder(folder)

    def take(self) -> Holder | None:
        """None when it is ours, or else who holds it."""
        try:
            with _guard(self._folder):
                holder = _holder(self._folder, self._token)
                if holder is not None and not holder.dead:
                    return holder
                _take(self._folder, self._token)
                return None
        except OSError as error:
            raise translate_os_error(error, self._folder) from error

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Beat while the block runs, then let go."""
        stopped = threading.Event()
        beat = threading.Thread(target=_beat, args=(self._folder, self._token, stopped), daemon=True)
        beat.start()
        try:
            yield
        finally:
            stopped.set()
            beat.join()
            _release(self._folder, self._token)
            if not self._existed:  # nothing came of it: a folder that held only the lock goes as well
                with suppress(OSError):
                    self._folder.rmdir()


@contextmanager
def _guard(folder: Path) -> Iterator[None]:
    """Keep others of this machine (and of a share that knows kernel locks) from looking and taking at the same time."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a share without kernel locks: the heartbeat still tells of a lost race
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _take(folder: Path, token: str) -> None:
    for leftover in folder.glob(f"{LOCK_FILE}-*"):
        leftover.unlink(missing_ok=True)
    temporary = folder / f"{LOCK_FILE}-{token}"
    temporary.write_text(json.dumps({"token": token, "host": socket.gethostname(), "pid": os.getpid()}))
    temporary.replace(folder / LOCK_FILE)


def _holder(folder: Path, token: str) -> Holder | None:
    path = folder / LOCK_FILE
    try:
        text, beat_at = path.read_text(encoding="utf-8"), path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
        return Holder(found["token"], found["host"], int(found["pid"]), _file_clock(folder, token) - beat_at)
    except (ValueError, KeyError, TypeError):
        return None  # not ours to respect: half a line from a disk that was full


def _file_clock(folder: Path, token: str) -> float:
    """The time by the clock of the folder's file system, which two hosts share."""
    probe = folder / f"{LOCK_FILE}-{token}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _beat(folder: Path, token: str, stopped: threading.Event) -> None:
    path = folder / LOCK_FILE
    while not stopped.wait(HEARTBEAT_S):
        with suppress(OSError, ValueError):
            if json.loads(path.read_text(encoding="utf-8"))["token"] == token:
                os.utime(path)


def _release(folder: Path, token: str) -> None:
    path = folder / LOCK_FILE
    with suppress(OSError, ValueError, KeyError):
        if json.loads(path.read_text(encoding="utf-8"))["token"] == token:
            path.unlink()
