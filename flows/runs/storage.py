"""Where finished runs are kept for everybody: a folder that machines share, or object storage through fsspec (s3://...).

A run is made in a local folder and then published. Its run.json is taken away first and comes back last, so that whoever finds
one finds every file that it names; files that did not change are not sent again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.errors import DocumentError, EngineError, OutputError, UsageError
from core.manifest import sha256_file, write_bytes
from flows.runs.ledger import RUN_FILE, files_under
from flows.runs.roots import runs_folder
from flows.runs.songs import Made, Report, ShowScore, cache_folder
from flows.runs.stages import MakeOptions, make
from schemas.run import Run

ARTIFACTS_VARIABLE = "PHOTONE_ARTIFACTS"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://\S+")
T = TypeVar("T")


def is_address(text: str | Path) -> bool:
    """Whether a place is named by an address (s3://bucket/prefix) and not by a path."""
    return bool(_ADDRESS.fullmatch(str(text)))


def artifacts_root() -> str:
    """Address or folder that PHOTONE_ARTIFACTS names, under which finished runs are published; empty for none."""
    return os.environ.get(ARTIFACTS_VARIABLE, "").rstrip("/")


def working_folder(address: str) -> Path:
    """The local folder in which the runs of an address are made; it stays, so that a stopped run goes on."""
    return cache_folder() / "runs" / re.sub(r"[^A-Za-z0-9._-]+", "-", address).strip("-.")


def published_name(folder: Path) -> str:
    """What a run folder is called under the root: its place below the runs' folder, or its own name."""
    there, runs = folder.resolve(), runs_folder().resolve()
    return there.relative_to(runs).as_posix() if there.is_relative_to(runs) and there != runs else there.name


def place_of(out: str | Path) -> tuple[Path, str]:
    """Where runs are made for --out, and the address that they are published to; PHOTONE_ARTIFACTS where --out is a folder."""
    if is_address(out):
        return working_folder(str(out)), str(out).rstrip("/")
    return Path(out), artifacts_root()


def place_of_run(out: str) -> tuple[Path, str]:
    """The same for one run: s3://bucket/prefix/NAME is the run NAME of s3://bucket/prefix.

    Raises:
        UsageError: the address names no run.
    """
    if not is_address(out):
        return Path(out), artifacts_root()
    root, _, name = out.rstrip("/").rpartition("/")
    if not is_address(root) or not name:
        raise UsageError(f"--out {out}: names no run: write s3://bucket/prefix/NAME")
    return working_folder(root) / name, root


def make_stored(options: MakeOptions, address: str, report: Report, show: ShowScore = lambda score: None) -> Made:
    """`make`, going on from what is published at an address, and published there when it is finished.

    Raises:
        PhotoneError: as `make`, or the storage does not answer.
    """
    storage, name = Storage(address) if address else None, published_name(options.out)
    if storage:
        storage.fetch(name, options.out)
    made = make(options, report, show)
    if storage:
        storage.publish(options.out, name)
    return made


@dataclass(frozen=True)
class Sent:
    """What publishing did: where the run is, and how many files and bytes were sent."""

    address: str
    files: int
    bytes: int


class Storage:
    """The runs under one address."""

    def __init__(self, root: str) -> None:
        """Connect.

        Raises:
            UsageError: no storage of that kind.
            EngineError: its package is not installed.
        """
        self.root = root.rstrip("/")
        self._fs, self._base = _connect(self.root)

    def publish(self, folder: Path, name: str) -> Sent:
        """Send a finished run folder to <root>/<name>: what changed, and run.json last.

        Raises:
            DocumentError: the folder is not a run, or a file of it is missing.
            OutputError: the storage does not take it (may be tried again).
        """
        run = Run.read(folder / RUN_FILE)
        there = _guarded(self.root, lambda: self._manifest(name))
        kept = {output.path: output.sha256 for output in there.outputs} if there else {}
        named = {output.path: output.sha256 for output in run.outputs}
        changed = [path for path, sha256 in named.items() if kept.get(path) != sha256]
        others = [path for path in _visible(folder) if path not in named and path != RUN_FILE]
        if not changed and there == run:
            return Sent(f"{self.root}/{name}", 0, 0)
        return _guarded(self.root, lambda: self._send(folder, name, [*changed, *others], set(kept) - set(named)))

    def _send(self, folder: Path, name: str, files: list[str], gone: set[str]) -> Sent:
        if self._fs.exists(self._path(name, RUN_FILE)):
            self._fs.rm_file(self._path(name, RUN_FILE))
        for path in files:
            self._put(folder, name, path)
        for path in sorted(gone):
            if self._fs.exists(self._path(name, path)):
                self._fs.rm_file(self._path(name, path))
        self._put(folder, name, RUN_FILE)
        sent = [*files, RUN_FILE]
        return Sent(f"{self.root}/{name}", len(sent), sum((folder / path).stat().st_size for path in sent))

    def _put(self, folder: Path, name: str, path: str) -> None:
        if not (folder / path).is_file():
            raise DocumentError(f"{folder / path}: is missing: run the same command again")
        target = self._path(name, path)
        self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        # A folder's files come whole or not at all, as an object does.
        temporary = f"{target}.photone-tmp" if _is_folder(self._fs) else target
        self._fs.put_file(str(folder / path), temporary)
        if temporary != target:
            self._fs.mv(temporary, target)

    def fetch(self, name: str, folder: Path) -> int:
        """Bring a published run into a local folder, so that work goes on from it; gives how many files came.

        What the folder holds already in the same state stays. A folder with a run of its own that was begun here is left
        alone. Each file is checked against the manifest.

        Raises:
            OutputError: the storage does not answer (may be tried again), or sends a file other than its manifest says.
        """
        run = None if (folder / RUN_FILE).is_file() else _guarded(self.root, lambda: self._manifest(name))
        if run is None:
            return 0
        for output in run.outputs:
            if not _same(folder / output.path, output.sha256):
                self._get(name, output.path, folder, output.sha256)
        run.write(folder / RUN_FILE)
        return len(run.outputs)

    def _get(self, name: str, path: str, folder: Path, sha256: str) -> None:
        data = _guarded(self.root, lambda: self._fs.cat_file(self._path(name, path)))
        write_bytes(folder / path, data)
        if not _same(folder / path, sha256):
            (folder / path).unlink()
            raise OutputError(
                f"{self.root}/{name}/{path}: is not what its run.json says: remove that run and publish it again"
            )

    def _manifest(self, name: str) -> Run | None:
        path = self._path(name, RUN_FILE)
        try:
            text = self._fs.cat_file(path)
        except FileNotFoundError:
            return None
        return Run.from_value(json.loads(text), f"{self.root}/{name}/{RUN_FILE}")

    def _path(self, name: str, path: str) -> str:
        return f"{self._base}/{name}/{path}"


def _connect(root: str) -> tuple[Any, str]:
    import fsspec

    try:
        fs, base = fsspec.core.url_to_fs(root)
    except ImportError as error:
        raise EngineError(f'{root}: needs a package that is missing ({error}): pip install "photone[scale]"') from error
    except ValueError as error:
        raise UsageError(f"{root}: no storage of that kind ({error}): use a folder or s3://bucket/prefix") from error
    return fs, str(base).rstrip("/")


def _guarded(root: str, call: Callable[[], T]) -> T:
    """Call the storage; its errors become ours."""
    try:
        return call()
    except (OSError, ConnectionError, TimeoutError) as error:
        raise OutputError(f"{root}: the storage refuses ({error}): check address and rights", retryable=True) from error
    except Exception as error:
        if type(error).__module__.startswith(("botocore", "aiobotocore", "s3fs")):
            raise OutputError(
                f"{root}: the storage refuses ({error}): check address and keys", retryable=True
            ) from error
        raise


def _is_folder(fs: Any) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _same(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def _visible(folder: Path) -> list[str]:
    """Every file of a run, without locks and what is half written; the page's are in no manifest."""
    paths = (path.relative_to(folder) for path in files_under(folder))
    return [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]
