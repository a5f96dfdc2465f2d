"""Any picture file -> the picture that is analysed: upright, sRGB, at most 1024 pixels on the long side.

Pillow reads the file. Whatever goes wrong there leaves this module as one `PictureError`, and whatever
Pillow would like to say on standard error stays inside. Memory stays bounded: a JPEG is decoded at 1/2, 1/4
or 1/8 of its size (libjpeg's scaled decoding), everything else is converted in bands.
"""

from __future__ import annotations

import io
import logging
import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from core.errors import PictureError
from core.manifest import sha256_file, write_bytes

Pixels = npt.NDArray[np.uint8]

LONG_SIDE = 1024
"""Most pixels on the long side of an analysed picture."""
MAX_JPEG_MEGAPIXELS = 200
MAX_MEGAPIXELS = 120
"""Limit for everything that cannot be decoded at a reduced size: other formats, and progressive JPEGs."""

JPEG_QUALITY = 90
_BAND_ROWS = 512
_ORIENTATION_TAG = 0x0112
# Not all that Pillow knows: EPS would start Ghostscript, and TGA, which has no signature, takes anything.
_FORMATS = (
    "JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "JPEG2000", "PPM", "ICO", "PCX", "SGI",
    "QOI", "PSD",
)  # fmt: skip
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow's size limit and Python's warning filters are global: one picture at a time may change them.
_PILLOW_LOCK = threading.RLock()


@dataclass(frozen=True)
class AnalysedPicture:
    """What was analysed: SHA-256 of the file as given, size in pixels as analysed, notes for the user."""

    sha256: str
    width: int
    height: int
    notes: tuple[str, ...] = ()


def save_analysed(path: Path, out: Path) -> AnalysedPicture:
    """Write the picture to be analysed as a JPEG without metadata; the same file gives the same bytes.

    `path` is a JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP, JPEG 2000, PNM or PSD file of any colour mode and
    depth; `out` is the JPEG to write, under a temporary name first.

    Raises:
        PictureError: the picture is missing, damaged, too large or in no format that can be read.
        OutputError: `out` cannot be written.
    """
    image, notes = _read(path)
    digest = _hash(path)
    buffer = io.BytesIO()
    # A fresh image: Pillow would carry comments, profiles and EXIF of the source over.
    bare = Image.fromarray(np.asarray(image))
    bare.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    write_bytes(out, buffer.getvalue())
    return AnalysedPicture(digest, image.width, image.height, notes)


def load_rgb(path: Path) -> Pixels:
    """Read any picture as it is analysed: uint8 of shape (height, width, 3), at most 1024 pixels a side.

    Raises:
        PictureError: the picture is missing, damaged, too large or in no format that can be read.
    """
    image, _ = _read(path)
    return np.array(image, dtype=np.uint8)


def _hash(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> tuple[Image.Image, tuple[str, ...]]:
    _check_is_file(path)
    try:
        with _quiet_pillow(), Image.open(path, formats=_formats()) as image:
            _check_size(path, image)
            notes = _notes(image)
            to_srgb, problem = _colour_transform(image)
            return _upright(_shrunk(image, to_srgb), image), notes + problem
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"{path}: not a picture that can be read: convert it to JPEG or PNG") from error
    except MemoryError as error:
        raise PictureError(f"{path}: too large for this machine's memory: scale it down first") from error
    except Exception as error:  # Pillow raises nearly every built-in error on damaged files
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> PictureError:
    if isinstance(error, OSError) and error.strerror:  # from the system; Pillow's own carry none
        return PictureError(f"{path}: cannot be opened ({error.strerror}): check the path and who may read it")
    reason = str(error)[:120] or type(error).__name__
    return PictureError(f"{path}: damaged or cut off ({reason}): export or download it again")


def _check_is_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise PictureError(f"{path}: is a folder: name one picture in it, or use photone batch")
        if not path.is_file():
            raise PictureError(f"{path}: no such picture file: check the path")
        if path.stat().st_size == 0:
            raise PictureError(f"{path}: is empty: export or download it again")
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Lift Pillow's own size limit (ours is checked instead) and keep its warnings and log lines quiet."""
    logger = logging.getLogger("PIL")
    with _PILLOW_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level, limit = logger.level, Image.MAX_IMAGE_PIXELS
        logger.setLevel(logging.CRITICAL + 1)
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            logger.setLevel(level)


def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_size(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise PictureError(f"{path}: has no pixels ({width} x {height}): export or download it again")
    # libjpeg keeps all coefficients of a progressive JPEG in memory, whatever the size it decodes to.
    sequential_jpeg = _is_jpeg(image) and not image.info.get("progressive")
    limit = MAX_JPEG_MEGAPIXELS if sequential_jpeg else MAX_MEGAPIXELS
    megapixels = width * height / 1e6
    if megapixels > limit:
        raise PictureError(
            f"{path}: {width} x {height} is {megapixels:.0f} megapixels, "
            f"at most {limit} can be read: scale it down first"
        )


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO")


def _notes(image: Image.Image) -> tuple[str, ...]:
    frames = int(getattr(image, "n_frames", 1))
    if frames <= 1 or _is_jpeg(image) or image.format in ("PSD", "ICO"):
        return ()
    if image.format == "TIFF":
        return (f"the file has {frames} pages: the first one is analysed",)
    return (f"the picture is an animation of {frames} frames: the first one is analysed",)


@dataclass(frozen=True)
class _ToSrgb:
    """A transform of an embedded colour profile to sRGB, from pixels of `mode`."""

    transform: ImageCms.ImageCmsTransform
    mode: str


_PROFILE_MODES = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}


def _colour_transform(image: Image.Image) -> tuple[_ToSrgb | None, tuple[str, ...]]:
    """How to bring a picture's colours to sRGB (None: they are, as far as it says), and a note when that cannot be done."""
    data = image.info.get("icc_profile")
    if not data:
        return None, ()
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if ImageCms.getProfileDescription(profile).startswith("sRGB"):
            return None, ()
        mode = _PROFILE_MODES[profile.profile.xcolor_space.strip()]
        if mode != ("L" if image.mode in ("L", "LA") else "CMYK" if image.mode == "CMYK" else "RGB"):
            raise ValueError(f"a profile for {mode}")
        made = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, KeyError, OSError, TypeError, ValueError):  # what lcms and Pillow raise on odd ones
        return None, ("the picture's colour profile cannot be used: its colours are read as sRGB",)
    return _ToSrgb(made, mode), ()


def _shrunk(image: Image.Image, to_srgb: _ToSrgb | None) -> Image.Image:
    """An RGB copy of at most 1024 pixels on the long side, in the orientation of the file."""
    if _is_jpeg(image):
        scale = max(1.0, max(image.size) / LONG_SIDE)
        image.draft(None, _scaled(image.size, scale))
    _load(image)
    rgb = _reduced_rgb(image, to_srgb)
    scale = max(rgb.size) / LONG_SIDE
    return rgb if scale <= 1 else rgb.resize(_scaled(rgb.size, scale), Image.Resampling.LANCZOS)


def _load(image: Image.Image) -> None:
    if image.format == "TIFF":
        with _standard_error_closed():
            image.load()
    else:
        image.load()


@contextmanager
def _standard_error_closed() -> Iterator[None]:
    """Send the process's standard error nowhere: libtiff writes there itself, Pillow cannot stop it."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] / scale)), max(1, round(size[1] / scale))


def _reduced_rgb(image: Image.Image, to_srgb: _ToSrgb | None) -> Image.Image:
    """Convert to RGB in bands, each averaged down by a whole factor that leaves at least 2048 pixels."""
    width, height = image.size
    factor = max(1, max(width, height) // (2 * LONG_SIDE))
    to_rgb = _Converter(image, to_srgb)
    if factor == 1:
        return to_rgb(image)
    out = Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    rows = factor * math.ceil(_BAND_ROWS / factor)
    for top in range(0, height, rows):
        band = to_rgb(image.crop((0, top, width, min(top + rows, height))))
        out.paste(band.reduce((factor, factor)), (0, top // factor))
    return out


class _Converter:
    """Turns bands of one picture into sRGB, on white where it is transparent."""

    def __init__(self, image: Image.Image, to_srgb: _ToSrgb | None) -> None:
        self._to_srgb = to_srgb
        self._deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
        self._low, self._high = _full_scale(image) if self._deep else (0.0, 255.0)

    def __call__(self, band: Image.Image) -> Image.Image:
        if self._deep:
            return self._from_deep(band)
        if self._to_srgb is None:
            return self._flat(band)
        colours = band if band.mode == self._to_srgb.mode else self._flat(band).convert(self._to_srgb.mode)
        converted = ImageCms.applyTransform(colours, self._to_srgb.transform)
        assert converted is not None  # it is None only for work in place
        return converted

    def _flat(self, band: Image.Image) -> Image.Image:
        if not band.has_transparency_data:
            return band.convert("RGB")
        layer = band.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")

    def _from_deep(self, band: Image.Image) -> Image.Image:
        values = np.nan_to_num(np.asarray(band, dtype=np.float32), nan=self._low)
        unit = np.clip((values - self._low) / (self._high - self._low), 0.0, 1.0)
        return Image.fromarray(np.rint(unit * 255).astype(np.uint8)).convert("RGB")


def _full_scale(image: Image.Image) -> tuple[float, float]:
    """Black and white of a deep grey picture: its type's own where the values fit, else their own range.

    Pillow clips such pictures at 255 when it converts them itself.
    """
    if image.mode.startswith("I;16"):
        return 0.0, 65535.0
    values = np.asarray(image)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scales = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    for scale in scales:
        if low >= 0 and high <= scale:
            return 0.0, scale
    return low, max(high, low + 1.0)


def _upright(rgb: Image.Image, source: Image.Image) -> Image.Image:
    # Read after loading: Pillow turns TIFFs itself and then forgets their tag.
    orientation = source.getexif().get(_ORIENTATION_TAG)
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return rgb if turn is None else rgb.transpose(turn)
