"""Small pictures for the gallery, made of a run's own and kept in the cache folder."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

from PIL import Image

from core.errors import OutputError
from core.manifest import sha256_bytes, write_bytes
from flows.runs.songs import cache_folder

LONG_SIDE = 480
"""Most pixels on the long side."""
_QUALITY = 80


def thumbnail(picture: Path) -> bytes | None:
    """A JPEG of a picture.jpg, at most 480 pixels a side; None where it cannot be read.

    It is kept under the picture's path, time and size. A cache that cannot be written to costs time only.
    """
    try:
        found = picture.stat()
        key = sha256_bytes(f"{picture}\0{found.st_mtime_ns}\0{found.st_size}".encode(errors="surrogateescape"))
        kept = cache_folder() / "thumbnails" / f"{key}.jpg"
        with suppress(OSError):
            return kept.read_bytes()
        small = _shrunk(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises on damaged files
        return None
    with suppress(OutputError):
        write_bytes(kept, small)
    return small


def _shrunk(picture: Path) -> bytes:
    with Image.open(picture, formats=("JPEG",)) as image:
        image.draft("RGB", (LONG_SIDE, LONG_SIDE))
        rgb = image.convert("RGB")
    rgb.thumbnail((LONG_SIDE, LONG_SIDE))
    buffer = io.BytesIO()
    rgb.save(buffer, "JPEG", quality=_QUALITY, optimize=True, progressive=True)
    return buffer.getvalue()
