"""Text on pictures, in the page's own typefaces.

A typeface comes in files for different alphabets; each letter is taken from the first file that has it. A letter that none has
loses its accent, or else stays out: a poster with gaps is better than one with boxes.
"""

from __future__ import annotations

import io
import unicodedata
from functools import cache
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

Typeface = Literal["serif", "sans"]

_FILES = {typeface: (f"{typeface}.woff2", f"{typeface}-ext.woff2") for typeface in ("serif", "sans")}
_NO_LETTER = "\U0010fffe"
_LONGEST = 400  # characters, of which no line has room for more


@cache
def font(file: str, size: int) -> FreeTypeFont:
    """A font file of flows/page at a size in pixels."""
    from PIL import ImageFont

    return ImageFont.truetype(io.BytesIO(resources.files("flows.page").joinpath(file).read_bytes()), size)


@cache
def _has(file: str, letter: str) -> bool:
    probe = font(file, 20)
    return letter.isspace() or bytes(probe.getmask(letter)) != bytes(probe.getmask(_NO_LETTER))


@cache
def _file_of(letter: str, typeface: Typeface) -> str | None:
    return next((file for file in _FILES[typeface] if _has(file, letter)), None)


def _letters(text: str, typeface: Typeface) -> str:
    """Text of letters that can be drawn, on one line."""
    found = []
    for letter in unicodedata.normalize("NFC", " ".join(text.split())[:_LONGEST]):
        bare = unicodedata.normalize("NFKD", letter)[0]
        found.append(next((one for one in (letter, bare) if _file_of(one, typeface)), ""))
    return " ".join("".join(found).split())


def _runs(text: str, typeface: Typeface, size: int) -> list[tuple[str, FreeTypeFont]]:
    runs = groupby(_letters(text, typeface), lambda letter: _file_of(letter, typeface))
    return [("".join(letters), font(file, size)) for file, letters in runs if file]


def width(text: str, typeface: Typeface, size: int) -> float:
    """How wide a text is drawn, in pixels."""
    return sum(face.getlength(run) for run, face in _runs(text, typeface, size))


def write(
    draw: ImageDraw, place: tuple[float, float], text: str, colour: tuple[int, int, int], typeface: Typeface, size: int
) -> None:
    """Draw a text that begins at `place` on its baseline."""
    x, y = place
    for run, face in _runs(text, typeface, size):
        draw.text((x, y), run, colour, face, anchor="ls")
        x += face.getlength(run)


def fitted(text: str, typeface: Typeface, size: int, room: float) -> str:
    """A text cut to `room` pixels, with an ellipsis where something is missing."""
    text = " ".join(text.split())[:_LONGEST]
    if width(text, typeface, size) <= room:
        return text
    fits, over = 0, len(text)
    while fits + 1 < over:
        middle = (fits + over) // 2
        if width(text[:middle] + "…", typeface, size) <= room:
            fits = middle
        else:
            over = middle
    return text[:fits].rstrip(" ,.;:") + "…"


def lines(text: str, typeface: Typeface, size: int, room: float, most: int) -> list[str]:
    """A text in at most `most` lines of `room` pixels; the last one is cut."""
    found, words = [""], text.split()
    for index, word in enumerate(words):
        longer = f"{found[-1]} {word}".strip()
        if not found[-1] or width(longer, typeface, size) <= room:
            found[-1] = longer
        elif len(found) == most:
            return [*found[:-1], fitted(" ".join([found[-1], *words[index:]]), typeface, size, room)]
        else:
            found.append(word)
    return [fitted(line, typeface, size, room) for line in found]
