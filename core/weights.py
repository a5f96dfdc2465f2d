"""Weights of models: where they lie, what is missing, their hash, and how they are downloaded.

A model is a folder, or the name of a repository on the Hugging Face hub, whose files lie in the hub's own cache. Nothing is
downloaded but by `fetch`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core.errors import DiskFullError, EngineError
from core.manifest import TEMPORARY_PREFIX, sha256_file, sha256_json, to_json, translate_os_error, write_text

RECORD = "photone-weights.json"
"""What `fetch` writes beside verified weights: the repository, its commit, each file's size and SHA-256."""
PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model", "LICENSE*")
"""What is downloaded: no pickles, which can run code when they are read."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Fetched:
    """Verified weights: their folder, commit, size in bytes and SHA-256 (see `weights_sha256`)."""

    folder: Path
    commit: str
    size: int
    sha256: str


def find_weights(model: str, revision: str = "", cache: Path | None = None) -> Path | None:
    """The folder of a model: a path as it stands, or the hub's cached copy; None where there is none.

    Raises:
        EngineError: it is neither a folder nor the name of a repository, or huggingface_hub is not installed.
    """
    if model and Path(model).is_dir():
        return Path(model)
    _check_repository(model)
    hub = _hub()
    try:
        found = hub.snapshot_download(
            model,
            revision=revision or None,
            cache_dir=cache,
            allow_patterns=list(PATTERNS),
            local_files_only=True,
        )
    except (OSError, ValueError):  # LocalEntryNotFoundError is both: nothing there
        return None
    return Path(found)


def _check_repository(model: str) -> None:
    if not _REPOSITORY.fullmatch(model):
        raise EngineError(f"{model}: no such folder, and no OWNER/NAME of the hub: check the path")


def _hub() -> Any:
    try:
        import huggingface_hub  # heavy enough not to be imported before it is needed
    except ImportError as error:
        raise EngineError(f'huggingface_hub is not installed ({error}): pip install "photone[models]"') from error
    return huggingface_hub


def missing_files(folder: Path) -> list[str]:
    """Which of a transformers model's files are not there: its configuration, and each part of its weights."""
    missing = [name for name in ("config.json",) if not (folder / name).is_file()]
    index = folder / "model.safetensors.index.json"
    parts = ["model.safetensors"]
    if index.is_file():
        try:
            parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return [*missing, f"{index.name} (damaged)"]
    return missing + [part for part in parts if not (folder / part).is_file()]


def weight_files(folder: Path) -> list[Path]:
    """The files that hold weights, at any depth, in the order of their names."""
    return sorted(path for path in folder.rglob("*.safetensors") if path.is_file())


def weights_size(folder: Path) -> int:
    """Bytes of all weights."""
    return sum(path.stat().st_size for path in weight_files(folder))


def weights_sha256(folder: Path) -> str:
    """One hash for all weights: SHA-256 of the canonical JSON of each file's name and SHA-256.

    The hub's cache names large files by their SHA-256, so there nothing is read; elsewhere the files are, once a process.
    """
    return sha256_json({path.relative_to(folder).as_posix(): _file_sha256(path) for path in weight_files(folder)})


def _file_sha256(path: Path) -> str:
    announced = _announced_sha256(path)
    if announced:
        return announced
    status = path.stat()
    return _computed_sha256(path, status.st_size, status.st_mtime_ns)


def _announced_sha256(path: Path) -> str | None:
    """The name of the hub's blob that a file of a snapshot links to, where that is a SHA-256."""
    blob = path.readlink() if path.is_symlink() else path
    return blob.name if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) else None


@lru_cache(maxsize=256)
def _computed_sha256(path: Path, size: int, mtime_ns: int) -> str:
    return sha256_file(path)


def fetch(
    model: str,
    revision: str = "",
    *,
    progress: bool = False,
    cache: Path | None = None,
    endpoint: str | None = None,
) -> Fetched:
    """Download a repository of the hub into the hub's cache, verify its weights and record their hashes beside them.

    What is there already is not downloaded again, and a download that was stopped goes on at the byte where it stopped.
    `progress` shows bars on standard error. `endpoint` is another hub than huggingface.co.

    Raises:
        EngineError: the hub cannot be reached, has no such repository, or sent other bytes than it announced.
        DiskFullError: there is not enough room.
    """
    _check_repository(model)
    options = {"revision": revision or None, "cache_dir": cache, "endpoint": endpoint, "allow_patterns": list(PATTERNS)}
    with _translated(model), _told(progress):
        hub = _hub()
        hub.HfApi(endpoint=endpoint).model_info(model, revision=revision or None)  # says what is wrong most clearly
        wanted = [file for file in hub.snapshot_download(model, dry_run=True, **options) if file.will_download]
        _check_room(wanted, model)
        for file in wanted:
            _fetch_blob(model, file, endpoint)
        folder = Path(hub.snapshot_download(model, **options))
    hashes = {path: _verified(path, model) for path in weight_files(folder)}
    if not hashes:
        raise EngineError(f"{model}: holds no .safetensors weights: choose another repository")
    return _record(model, folder, hashes)


def _check_room(wanted: Sequence[Any], model: str) -> None:
    if not wanted:
        return
    size = sum(file.file_size for file in wanted)
    place = next(parent for parent in Path(wanted[0].local_path).parents if parent.is_dir())
    free = shutil.disk_usage(place).free
    if size > free:
        raise DiskFullError(
            f"{model}: {size / 1e9:.1f} GB are to be downloaded and {place} has {free / 1e9:.1f} GB free: make room, or "
            "set HF_HOME to a larger disk"
        )


def _fetch_blob(model: str, file: Any, endpoint: str | None) -> None:
    """Download a large file to where `snapshot_download` looks for it before it downloads.

    huggingface_hub itself (since 1.31) begins a file anew when it was stopped; weights come in files of gigabytes.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(model, file.filename, revision=file.commit_hash, endpoint=endpoint)
    about = get_hf_file_metadata(url, endpoint=endpoint)
    if not _SHA256.fullmatch(about.etag or ""):
        return  # a small file, kept in git
    snapshot = Path(file.local_path.removesuffix(file.filename))
    blob = snapshot.parent.parent / "blobs" / about.etag
    partial = blob.with_name(f"{TEMPORARY_PREFIX}{about.etag}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    headers = build_hf_headers()
    if urlsplit(about.location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # the user's token is for the hub alone
    if partial.exists() and partial.stat().st_size > file.file_size:
        partial.unlink()
    with partial.open("ab") as to:
        http_get(
            about.location,
            to,
            resume_size=to.tell(),
            headers=headers,
            expected_size=file.file_size,
            displayed_filename=file.filename,
        )
    partial.replace(blob)


def _verified(path: Path, model: str) -> str:
    """The SHA-256 of a downloaded file; where the hub announced another one, the file is removed."""
    announced, found = _announced_sha256(path), sha256_file(path)
    if announced and announced != found:
        path.resolve().unlink()
        path.unlink()
        raise EngineError(f"{model}: {path.name} came damaged and was removed: fetch it again", retryable=True)
    return found


def _record(model: str, folder: Path, hashes: dict[Path, str]) -> Fetched:
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256}
        for path, sha256 in hashes.items()
    }
    fetched = Fetched(folder, folder.name, weights_size(folder), weights_sha256(folder))
    record = {"repository": model, "commit": fetched.commit, "sha256": fetched.sha256, "files": files}
    write_text(folder / RECORD, to_json(record))
    return fetched


@contextmanager
def _translated(model: str) -> Iterator[None]:
    """Errors of the hub and of the network as ours."""
    import httpx2  # huggingface_hub's client
    from huggingface_hub import errors

    again = "what came so far is kept, the same command goes on from there"
    try:
        yield
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise EngineError(f"{model}: the hub has no such repository or revision, or wants a login: check it") from error
    except errors.OfflineModeIsEnabled as error:
        raise EngineError(f"{model}: HF_HUB_OFFLINE is set: unset it to download") from error
    except (httpx2.HTTPError, errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as error:
        reason = f"{error.__cause__ or error}"[:300]
        raise EngineError(f"{model}: the download stopped ({reason}): {again}", retryable=True) from error
    except OSError as error:
        if error.errno is None:
            raise EngineError(f"{model}: the download stopped ({error}): {again}", retryable=True) from error
        raise translate_os_error(error, Path(error.filename or model)) from error


@contextmanager
def _told(progress: bool) -> Iterator[None]:
    """Show the hub's bars and notes, or keep it quiet."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    disabled, verbosity = are_progress_bars_disabled(), logging.get_verbosity()
    if progress:
        enable_progress_bars()
    else:
        disable_progress_bars()
        logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        (disable_progress_bars if disabled else enable_progress_bars)()
        logging.set_verbosity(verbosity)
