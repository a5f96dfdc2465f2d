"""Where runs may read and write: paths in a flow's parameters stay inside folders that the operator chose.

A served flow takes its parameters from whoever reaches the server. Its paths are therefore resolved, links and all, and must
lie in one of the folders of PHOTONE_ROOTS (separated by colons; the current folder where it is not set). What the user types
at a command line runs with the user's own rights: `unconfined` says so.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.errors import UsageError

ROOTS_VARIABLE = "PHOTONE_ROOTS"
RUNS_VARIABLE = "PHOTONE_RUNS"
MODEL_SERVERS_VARIABLE = "PHOTONE_MODEL_SERVERS"
MEGABYTE = 1_000_000
PICTURE_LIMIT_BYTES = 64 * MEGABYTE
SCORE_LIMIT_BYTES = 4 * MEGABYTE
SCENE_LIMIT_BYTES = 1 * MEGABYTE

_EVERYWHERE = Path("/")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_PATH_ENGINES = ("sidecar", "folder")  # their argument is a path, whatever it looks like


def roots() -> tuple[Path, ...]:
    """The folders that paths must lie in, links resolved."""
    named = os.environ.get(ROOTS_VARIABLE, "")
    folders = [Path(part) for part in named.split(os.pathsep) if part] or [Path.cwd()]
    return tuple(folder.resolve() for folder in folders)


def runs_folder() -> Path:
    """Where runs lie whose folder nobody names."""
    return Path(os.environ.get(RUNS_VARIABLE) or "runs")


def unconfined() -> None:
    """Let flows of this process and its children use any path, unless the environment names roots."""
    os.environ.setdefault(ROOTS_VARIABLE, str(_EVERYWHERE))


def inside(path: str | Path, what: str) -> Path:
    """A path of a parameter, links resolved, if it lies inside a root; `what` names the parameter.

    Hidden files and folders below a root are refused too: a home folder as root must not open its keys and settings.

    Raises:
        UsageError: it holds "..", or lies outside, or is hidden.
    """
    folders = roots()
    try:
        given = Path(path).expanduser()
        resolved = given.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what}: {str(path)!r} is no path: check it") from error
    if _EVERYWHERE in folders:
        return given
    if ".." in given.parts:
        raise UsageError(f"{what}: {path}: must not hold '..': write the whole path")
    below = next((resolved.relative_to(root) for root in folders if resolved.is_relative_to(root)), None)
    if below is None:
        raise UsageError(
            f"{what}: {path}: lies outside the folders of {ROOTS_VARIABLE}: move it there, or add its folder"
        )
    if any(part.startswith(".") for part in below.parts):
        raise UsageError(f"{what}: {path}: hidden files and folders are not for runs: choose another place")
    return resolved


def check_size(path: Path, limit_bytes: int, what: str) -> None:
    """Refuse a file beyond a limit; a missing one is left to whoever reads it.

    Raises:
        UsageError: the file is larger.
    """
    if path.is_file() and path.stat().st_size > limit_bytes:
        raise UsageError(
            f"{what}: {path.name}: {path.stat().st_size / MEGABYTE:.0f} MB are more than the {limit_bytes / MEGABYTE:.0f} MB "
            "that are taken: make it smaller"
        )


def check_engine(spec: str, what: str) -> None:
    """Hold an engine's argument ("sidecar:scene.json", "openai-http:URL?model=NAME") to the same rules.

    A model server gets the picture and our key, so it must stand on this machine or in PHOTONE_MODEL_SERVERS (host names,
    separated by commas).

    Raises:
        UsageError: a path outside the roots, or a server that is not listed.
    """
    if _EVERYWHERE in roots():
        return
    name, _, argument = spec.partition(":")
    main, _, query = argument.partition("?")
    # Engines read values with percent signs undone (`core.engines.read_options`).
    for text in (main, *(unquote(pair.partition("=")[2]) for pair in query.split("&"))):
        if "://" in text:
            _check_server(text, what)
        elif text and (_is_path(text) or (name in _PATH_ENGINES and text == main)):
            path = inside(text, what)
            if name == "sidecar":
                check_size(path, SCENE_LIMIT_BYTES, what)


def _is_path(text: str) -> bool:
    return text.startswith(("/", ".", "~")) or ".." in text.split("/") or os.path.lexists(text)


def _check_server(url: str, what: str) -> None:
    listed = [host.strip() for host in os.environ.get(MODEL_SERVERS_VARIABLE, "").split(",")]
    host = urlsplit(url).hostname or ""
    if host not in (*_THIS_MACHINE, *filter(None, listed)):
        raise UsageError(f"{what}: {host}: is no server that pictures may go to: add it to {MODEL_SERVERS_VARIABLE}")
