"""Uploads: a multipart form read as it streams in, with a limit for each part, and what it holds checked before it is kept.

A file's type is what the picture's resp. the score's reader makes of its content; its name is only a hint for people. Files
are kept under `<runs>/uploads/<start of their SHA-256>/<safe name>`, moved there whole.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from core.errors import PhotoneError, UsageError
from core.manifest import TEMPORARY_PREFIX, sha256_file, translate_os_error
from flows.runs.roots import MEGABYTE
from flows.service.app.folders import UPLOADS

_TEXT_LIMIT_BYTES = 2_000
_MOST_PARTS = 16
_NAME_LENGTH = 60
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)  # names that are no files elsewhere


class TooLargeError(UsageError):
    """More bytes came than are taken."""


class UnreadableFormError(UsageError):
    """The request is no form that can be read."""


@dataclass
class UploadedFile:
    """A file on its way: still under a temporary name; `name` is what the client calls it."""

    name: str
    path: Path
    sha256: str
    bytes: int


@dataclass
class Form:
    """What a form held; leaving it as a context removes files that were not kept."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, UploadedFile] = field(default_factory=dict)

    def __enter__(self) -> Form:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files.values():
            with suppress(OSError):
                file.path.unlink(missing_ok=True)


class FormReader:
    """Reads a multipart form. `files` gives the most bytes of each file field, `texts` names the other fields."""

    def __init__(self, folder: Path, content_type: str, files: Mapping[str, int], texts: Iterable[str]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise UnreadableFormError("send the form as multipart/form-data")
        self.form = Form()
        self._folder, self._limits, self._texts = folder, files, frozenset(texts)
        self._header, self._value, self._disposition = bytearray(), bytearray(), b""
        self._parts, self._ended = 0, False
        self._part: _Part | None = None
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._close,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type] # its TypedDict names the same
        except FormParserError as error:
            raise UnreadableFormError("the form's boundary cannot be read") from error

    async def read(self, stream: AsyncIterator[bytes]) -> Form:
        """Read it all; what was written goes away again when something is wrong.

        Raises:
            TooLargeError: a part is larger than it may be. UnreadableFormError: it is cut off, or no such form.
            OutputError: a file cannot be written.
        """
        try:
            async for data in stream:
                self._parser.write(data)
            self._parser.finalize()
            if not self._ended:
                raise UnreadableFormError("the form is cut off: send it again")
        except FormParserError as error:
            self._give_up()
            raise UnreadableFormError(f"the form cannot be read: {error}") from error
        except OSError as error:
            self._give_up()
            raise translate_os_error(error, self._folder) from error
        except BaseException:
            self._give_up()
            raise
        return self.form

    def _give_up(self) -> None:
        if self._part is not None:
            self._part.drop()
        self.form.__exit__()

    def _begin(self) -> None:
        self._parts += 1
        self._disposition = b""
        if self._parts > _MOST_PARTS:
            raise UnreadableFormError(f"the form has more than {_MOST_PARTS} fields")

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename")
        if name in self.form.texts or name in self.form.files:
            raise UnreadableFormError(f"{name}: is there twice")
        if name in self._limits and file_name is not None:
            self._part = _File(name, file_name.decode("utf-8", "replace"), self._folder, self._limits[name])
        elif name in self._texts and file_name is None:
            self._part = _Text(name)
        else:
            what = "is to be a file" if name in self._limits else "is no field of this form"
            raise UnreadableFormError(f"{printable(name) or 'a part'}: {what}")

    def _data(self, data: bytes, start: int, end: int) -> None:
        assert self._part is not None
        self._part.take(data[start:end])

    def _close(self) -> None:
        assert self._part is not None
        self._part.close(self.form)
        self._part = None

    def _end(self) -> None:
        self._ended = True


class _Part:
    def take(self, data: bytes) -> None:
        raise NotImplementedError

    def close(self, form: Form) -> None:
        raise NotImplementedError

    def drop(self) -> None:
        """Forget it."""


class _Text(_Part):
    def __init__(self, name: str) -> None:
        self._name, self._data = name, bytearray()

    def take(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > _TEXT_LIMIT_BYTES:
            raise TooLargeError(f"{self._name}: is longer than {_TEXT_LIMIT_BYTES} bytes")

    def close(self, form: Form) -> None:
        form.texts[self._name] = self._data.decode("utf-8", "replace")


class _File(_Part):
    def __init__(self, name: str, file_name: str, folder: Path, limit_bytes: int) -> None:
        self._name, self._file_name, self._limit = name, file_name, limit_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        self._hash, self._bytes = hashlib.sha256(), 0
        self._file: BinaryIO = self._path.open("xb")

    def take(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > self._limit:
            raise TooLargeError(
                f"{self._name}: more than the {self._limit / MEGABYTE:.0f} MB that are taken: make it smaller"
            )
        self._hash.update(data)
        self._file.write(data)

    def close(self, form: Form) -> None:
        self._file.close()
        form.files[self._name] = UploadedFile(self._file_name, self._path, self._hash.hexdigest(), self._bytes)

    def drop(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def printable(text: str, length: int = 80) -> str:
    """A client's text as part of a message: one line, without control characters, cut."""
    return "".join(c if c.isprintable() else "?" for c in text)[:length].strip()


def safe_stem(name: str, default: str) -> str:
    """A client's name for a file as letters, digits, dots and dashes: no folder, no ending, nothing hidden."""
    last = re.split(r"[/\\]", name)[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    stem = plain.rpartition(".")[0] or plain
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:_NAME_LENGTH].strip("-._")
    return default if not safe or _RESERVED.fullmatch(safe) else safe


def uploads_folder(runs: Path) -> Path:
    """Where uploads lie."""
    return runs / UPLOADS


def keep_picture(runs: Path, file: UploadedFile) -> Path:
    """Keep an uploaded picture; gives its path.

    Raises:
        PictureError: it is no picture that can be read. OutputError: it cannot be kept.
    """
    from PIL import Image

    from phase1_sound.vision.pictures import load_rgb

    _checked(file, lambda: load_rgb(file.path))
    with Image.open(file.path) as image:
        kind = (image.format or "").lower()
    suffix = _PICTURE_SUFFIXES.get(kind, f".{kind}" if kind.isalnum() else ".img")
    return _kept(runs, file, safe_stem(file.name, "picture") + suffix)


_PICTURE_SUFFIXES = {"jpeg": ".jpg", "mpo": ".jpg", "jpeg2000": ".jp2", "tiff": ".tif"}


def keep_score(runs: Path, file: UploadedFile, taken: Callable[[str, str], bool]) -> Path:
    """Keep an uploaded MIDI file; gives its path. `taken` says of a name and a hash whether that name means another score.

    Raises:
        ScoreError: it is no score that can be played. OutputError: it cannot be kept.
    """
    from phase2_music.rendering.score import read_score

    _checked(file, lambda: read_score(file.path))
    stem = first = safe_stem(file.name, "score")
    number = 1
    while taken(stem, file.sha256):
        number += 1
        stem = f"{first}-{number}"
    return _kept(runs, file, f"{stem}.mid")


def keep_scene(runs: Path, text: str) -> Path:
    """Keep an edited scene; gives its path.

    Raises:
        OutputError: it cannot be kept.
    """
    from core.manifest import sha256_bytes, write_text

    path = uploads_folder(runs) / sha256_bytes(text.encode())[:16] / "scene.json"
    write_text(path, text)
    return path


def _checked(file: UploadedFile, read: Callable[[], object]) -> None:
    try:
        read()
    except PhotoneError as error:  # of the file that we wrote: the client knows it by another name
        text = str(error).replace(str(file.path), printable(file.name) or "the file")
        raise type(error)(text, retryable=error.retryable) from error


def _kept(runs: Path, file: UploadedFile, name: str) -> Path:
    path = uploads_folder(runs) / file.sha256[:16] / name
    try:
        if path.is_file() and sha256_file(path) == file.sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        file.path.chmod(0o644)
        return file.path.replace(path)
    except OSError as error:
        raise translate_os_error(error, path) from error
