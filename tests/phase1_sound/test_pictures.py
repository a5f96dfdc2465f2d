"""Reading any picture: what comes out looks like what went in, and nothing but PictureError escapes."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from core.errors import OutputError, PictureError
from core.manifest import sha256_file
from phase1_sound.vision import pictures
from phase1_sound.vision.pictures import load_rgb, save_analysed

RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 170, 40), (30, 40, 200), (250, 250, 250)


def corners() -> Image.Image:
    """Red, green, blue and white in the four corners (reading order), 60 wide and 40 high."""
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:20, :30], pixels[:20, 30:], pixels[20:, :30], pixels[20:, 30:] = RED, GREEN, BLUE, WHITE
    return Image.fromarray(pixels)


def near(pixel: object, colour: tuple[int, int, int], tolerance: int = 14) -> bool:
    return bool(np.abs(np.asarray(pixel, dtype=int) - colour).max() <= tolerance)


def has_corners(rgb: np.ndarray) -> bool:
    height, width = rgb.shape[:2]
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    found = [rgb[row, column] for row in rows for column in columns]
    return all(near(pixel, colour) for pixel, colour in zip(found, (RED, GREEN, BLUE, WHITE), strict=True))


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "avif", "tif", "bmp", "jp2", "ppm"])
def test_formats_keep_their_picture(tmp_path: Path, suffix: str) -> None:
    rgb = load_rgb(saved(tmp_path / f"corners.{suffix}", corners()))
    assert rgb.shape == (40, 60, 3)
    assert rgb.dtype == np.uint8
    assert has_corners(rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    # Store the picture the way a camera held like this would, and expect it upright.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = corners() if orientation == 1 else corners().transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"turned.{suffix}", stored, exif=exif)
    rgb = load_rgb(path)
    assert rgb.shape == (40, 60, 3)
    assert has_corners(rgb)


def test_analysed_picture_is_small_upright_and_bare(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    metadata = {"exif": exif, "dpi": (300, 300), "comment": b"hello", "icc_profile": b"any" * 99, "xmp": b"<x/>"}
    path = saved(tmp_path / "large.jpg", corners().resize((3000, 2000)), **metadata)
    made = save_analysed(path, tmp_path / "run" / "picture.jpg")
    with Image.open(tmp_path / "run" / "picture.jpg") as image:
        assert image.format == "JPEG"
        assert image.size == (made.width, made.height) == (683, 1024)
        assert not image.getexif()
        assert not {"comment", "icc_profile", "exif", "dpi", "xmp"} & set(image.info)
    assert made.sha256 == sha256_file(path)
    assert made.notes == ("the picture's colour profile cannot be used: its colours are read as sRGB",)


def profile_of_swapped_colours() -> bytes:
    """An ICC profile (version 2, matrix and gamma 2.2) in which the channel called red is sRGB's blue."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    red, green, blue = xyz(0.4361, 0.2225, 0.0139), xyz(0.3851, 0.7169, 0.0971), xyz(0.1431, 0.0606, 0.7141)
    gamma = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(2.2 * 256), 0)
    text = b"desc\0\0\0\0" + struct.pack(">I", 8) + b"swapped\0" + bytes(78)
    tags = {b"desc": text, b"wtpt": xyz(0.9642, 1, 0.8249), b"rXYZ": blue, b"gXYZ": green, b"bXYZ": red}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma)
    table, data, place = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", place + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s", 128 + len(table + data), 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    head += bytes(68 - len(head)) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + table + data


@pytest.mark.parametrize(("suffix", "mode"), [("jpg", "RGB"), ("png", "RGB"), ("png", "RGBA"), ("tif", "RGB")])
def test_an_embedded_colour_profile_is_applied(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"swapped.{suffix}"
    red = Image.new("RGB", (2300, 90), (220, 20, 20)).convert(mode)
    saved(path, red, icc_profile=profile_of_swapped_colours())
    made = save_analysed(path, tmp_path / "picture.jpg")
    assert made.notes == ()
    with Image.open(tmp_path / "picture.jpg") as image:
        assert near(image.getpixel((5, 5)), (20, 20, 220), 20)
        assert "icc_profile" not in image.info


def test_a_profile_that_does_not_fit_is_named_and_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path / "grey.png", Image.new("L", (30, 20), 90), icc_profile=profile_of_swapped_colours())
    made = save_analysed(path, tmp_path / "picture.jpg")
    assert made.notes == ("the picture's colour profile cannot be used: its colours are read as sRGB",)
    assert near(load_rgb(path)[0, 0], (90, 90, 90))


def test_same_file_same_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", corners().resize((1500, 900)))
    for name in ("one.jpg", "two.jpg"):
        save_analysed(path, tmp_path / name)
    assert (tmp_path / "one.jpg").read_bytes() == (tmp_path / "two.jpg").read_bytes()


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    assert load_rgb(saved(tmp_path / "dot.png", Image.new("RGB", (1, 1), RED))).tolist() == [[list(RED)]]


@pytest.mark.parametrize("size", [(8000, 3), (3, 8000), (60000, 1), (1, 20000)])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_extreme_shapes(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    rgb = load_rgb(saved(tmp_path / f"strip.{suffix}", Image.new("RGB", size, GREEN)))
    assert rgb.shape[:2] == ((1, 1024) if size[0] > size[1] else (1024, 1))
    assert near(rgb.reshape(-1, 3).mean(axis=0), GREEN)


def test_shrinking_keeps_the_average(tmp_path: Path) -> None:
    # A checkerboard of single pixels turns grey; picking every n-th pixel would give black or white.
    board = (np.indices((3000, 5000)).sum(axis=0) % 2 * 255).astype(np.uint8)
    rgb = load_rgb(saved(tmp_path / "board.png", Image.fromarray(board)))
    assert rgb.shape == (614, 1024, 3)
    assert np.abs(rgb.astype(int) - 127).max() < 8


def test_bands_meet_without_a_seam(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 5000).astype(np.uint8)[:, None].repeat(4200, axis=1)
    rgb = load_rgb(saved(tmp_path / "ramp.png", Image.fromarray(ramp)))
    expected = np.linspace(0, 255, len(rgb))
    assert np.abs(rgb[:, 100, 0] - expected).max() < 3


def test_cmyk_as_photographs_are_stored(tmp_path: Path) -> None:
    path = saved(tmp_path / "print.jpg", corners().convert("CMYK"), quality=95)
    assert b"Adobe" in path.read_bytes()[:200]  # stored inverted
    assert has_corners(load_rgb(path))
    assert has_corners(load_rgb(saved(tmp_path / "print.tif", corners().convert("CMYK"))))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(20, axis=0)
    rgb = load_rgb(saved(tmp_path / f"deep.{suffix}", Image.fromarray(ramp)))
    assert np.abs(rgb[10, :, 0] - np.arange(256)).max() <= 1


@pytest.mark.parametrize("largest", [1.0, 255.0, 65535.0])
def test_float_grey_is_scaled(tmp_path: Path, largest: float) -> None:
    ramp = np.linspace(0, largest, 256).astype(np.float32)[None, :].repeat(20, axis=0)
    rgb = load_rgb(saved(tmp_path / "float.tif", Image.fromarray(ramp)))
    assert np.abs(rgb[10, :, 0] - np.arange(256)).max() <= 1


def test_sixteen_bit_colour_png(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    deep = np.asarray(corners())[..., ::-1].astype(np.uint16) * 257
    path = tmp_path / "deep.png"
    path.write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    assert has_corners(load_rgb(path))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(tmp_path: Path, mode: str) -> None:
    layer = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    layer.paste((20, 20, 20, 255), (20, 0, 40, 40))
    rgb = load_rgb(saved(tmp_path / "layer.png", layer.convert(mode)))
    assert near(rgb[20, 5], (255, 255, 255))
    assert near(rgb[20, 35], (20, 20, 20))


def test_transparent_palette_entry_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([90, 90, 90, 20, 20, 20])
    image.paste(1, (20, 0, 40, 40))
    rgb = load_rgb(saved(tmp_path / "layer.png", image, transparency=0))
    assert near(rgb[20, 5], (255, 255, 255))
    assert near(rgb[20, 35], (20, 20, 20))


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr"])
def test_other_modes(tmp_path: Path, mode: str) -> None:
    half = Image.new("RGB", (40, 40), (255, 255, 255))
    half.paste((0, 0, 0), (20, 0, 40, 40))
    rgb = load_rgb(saved(tmp_path / "other.tif", half.convert(mode)))
    assert near(rgb[20, 5], (255, 255, 255))
    assert near(rgb[20, 35], (0, 0, 0))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"moving.{suffix}"
    more = [Image.new("RGB", (60, 40), colour) for colour in (BLUE, RED)]
    corners().save(path, save_all=True, append_images=more, duration=50)
    made = save_analysed(path, tmp_path / "picture.jpg")
    assert has_corners(load_rgb(tmp_path / "picture.jpg"))
    assert made.notes == ("the picture is an animation of 3 frames: the first one is analysed",)


def test_first_page_of_a_tiff(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    corners().save(path, save_all=True, append_images=[Image.new("RGB", (60, 40), BLUE)])
    made = save_analysed(path, tmp_path / "picture.jpg")
    assert "2 pages" in made.notes[0]
    assert has_corners(load_rgb(tmp_path / "picture.jpg"))


# ------------------------------------------------------------------------------------------------ large


_PEAK = """
import sys
from pathlib import Path
from phase1_sound.vision.pictures import load_rgb
rgb = load_rgb(Path(sys.argv[1]))
# VmHWM, not ru_maxrss: that one starts with the peak of the process that started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(rgb.shape[0], rgb.shape[1], int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_hundred_megapixel_jpeg_in_bounded_memory(tmp_path: Path) -> None:
    path = saved(tmp_path / "huge.jpg", Image.new("RGB", (12500, 8000), GREEN))
    run = [sys.executable, "-c", _PEAK, str(path)]
    root = Path(pictures.__file__).parents[2]
    done = subprocess.run(run, check=True, capture_output=True, text=True, cwd=root)
    height, width, peak_mb = map(int, done.stdout.split())
    assert (height, width) == (655, 1024)
    assert peak_mb < 350
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("size", "name", "limit"), [((15000, 14000), "wide.jpg", 200), ((12000, 10100), "wide.png", 120)]
)
def test_too_large_is_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], name: str, limit: int
) -> None:
    path = tmp_path / name
    Image.new("1", size).convert("L").save(path)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(PictureError, match=f"{name}.*at most {limit} can be read: scale it down"):
        load_rgb(path)


# ------------------------------------------------------------------------------------------------ bad files


def test_missing_and_folder_and_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(PictureError, match=r"gone\.jpg: no such picture file: check the path"):
        load_rgb(tmp_path / "gone.jpg")
    with pytest.raises(PictureError, match=r"is a folder.*photone batch"):
        load_rgb(tmp_path)
    with pytest.raises(PictureError, match=r"empty\.jpg: is empty"):
        load_rgb(tmp_path / "empty.jpg")
    with pytest.raises(PictureError, match=r"xxx: cannot be opened \(File name too long\): check the path"):
        load_rgb(tmp_path / ("x" * 400))


@pytest.mark.parametrize("data", [b"hello, this is text\n" * 50, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_not_a_picture(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "notes.jpg"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"notes\.jpg: not a picture that can be read: convert it"):
        load_rgb(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"cut.{suffix}", Image.effect_noise((200, 200), 80))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PictureError, match=rf"cut\.{suffix}: (damaged or cut off|not a picture)"):
        load_rgb(path)


def test_unwritable_output_is_not_the_pictures_fault(tmp_path: Path) -> None:
    (tmp_path / "taken" / "picture.jpg").mkdir(parents=True)
    path = saved(tmp_path / "a.png", corners())
    with pytest.raises(OutputError):
        save_analysed(path, tmp_path / "taken" / "picture.jpg")


def _samples() -> list[bytes]:
    made = []
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PCX", "JPEG2000"):
        buffer = io.BytesIO()
        corners().save(buffer, kind)
        made.append(buffer.getvalue())
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        buffer = io.BytesIO()
        corners().save(buffer, "TIFF", compression=compression)
        made.append(buffer.getvalue())
    return made


SAMPLES = _samples()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A real file, cut off or with some bytes changed (mostly in its header)."""
    data = bytearray(draw(st.sampled_from(SAMPLES)))
    end = draw(st.integers(1, len(data)))
    for place in draw(st.lists(st.integers(0, min(len(data), 250) - 1), max_size=6)):
        data[place] = draw(st.integers(0, 255))
    return bytes(data[:end] if draw(st.booleans()) else data)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(damaged(), st.binary(max_size=300)))
def test_only_our_error_escapes_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], data: bytes
) -> None:
    path = tmp_path / "fuzzed.bin"
    path.write_bytes(data)
    problem = None
    try:
        rgb = load_rgb(path)
        assert rgb.ndim == 3
        assert 1 <= max(rgb.shape[:2]) <= 1024
    except PictureError as error:
        problem = str(error)
    assert problem is None or (problem.startswith(f"{path}: ") and "\n" not in problem)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize(
    "failure", [struct.error("x"), ValueError("x"), IndexError(), SyntaxError("x"), ZeroDivisionError(), MemoryError()]
)
def test_whatever_pillow_raises_is_translated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(_: object) -> None:
        raise failure

    path = saved(tmp_path / "odd.png", corners())
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(PictureError, match=r"odd\.png: (damaged or cut off|too large for this machine)") as caught:
        load_rgb(path)
    assert caught.value.__cause__ is failure


def test_damaged_tiff_prints_nothing_and_standard_error_survives(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "bad.tif", Image.effect_noise((100, 100), 80), compression="tiff_lzw")
    data = bytearray(path.read_bytes())
    data[200:2000] = bytes(1800)
    path.write_bytes(data)
    with pytest.raises(PictureError):
        load_rgb(path)
    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


def test_pillows_own_settings_are_left_alone(tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    load_rgb(saved(tmp_path / "a.png", corners()))
    with pytest.raises(PictureError):
        load_rgb(tmp_path / "gone.png")
    assert limit is not None
    assert limit == Image.MAX_IMAGE_PIXELS
