"""Pictures of the golden set that no package brings: drawn from formulas and fixed seeds, the same everywhere."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from core.errors import UsageError

Pixels = npt.NDArray[np.uint8]
Canvas = npt.NDArray[np.float32]
Colour = tuple[int, int, int]

HEIGHT, WIDTH = 480, 720


def draw(name: str) -> Pixels:
    """One of DRAWINGS, uint8 of shape (480, 720, 3), RGB.

    Raises:
        UsageError: nothing of that name is drawn.
    """
    if name not in DRAWINGS:
        raise UsageError(f"no drawing is called {name!r}: choose from {', '.join(DRAWINGS)}")
    return np.clip(DRAWINGS[name](), 0, 255).astype(np.uint8)


def _filled(colour: Colour) -> Canvas:
    return np.full((HEIGHT, WIDTH, 3), colour, dtype=np.float32)


def _noise(seed: int, wide: float, high: float, amount: float) -> Canvas:
    """Blurred noise of shape (480, 720, 1): `wide` and `high` in pixels, standard deviation `amount`."""
    noise = np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigmaX=wide, sigmaY=high), dtype=np.float32)
    return np.asarray(blurred / blurred.std() * amount, dtype=np.float32)[..., None]


def _grain(seed: int, size: float, amount: float) -> Canvas:
    """Noise in two octaves, as leaves, stones and plaster have it."""
    return _noise(seed, size, size, amount) + _noise(seed + 500, size * 4, size * 4, amount * 0.6)


def _fade(top: Colour, bottom: Colour, rows: int) -> Canvas:
    share = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    one, other = (np.array(colour, dtype=np.float32) for colour in (top, bottom))
    return np.broadcast_to(one * (1 - share) + other * share, (rows, WIDTH, 3)).astype(np.float32)


def _soft(picture: Canvas, sigma: float) -> Canvas:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.float32)


def _ridge(seed: int, base: float, amount: float, slope: float = 200.0) -> npt.NDArray[np.int32]:
    """Row of a skyline per column."""
    noise = np.random.default_rng(seed).standard_normal(WIDTH + 1200).astype(np.float32)[None]
    line = cv2.GaussianBlur(noise, (0, 0), sigmaX=slope)[0, 600 : 600 + WIDTH]
    return np.asarray(base + amount * line / (np.abs(line).max() + 1e-6), dtype=np.int32)


def _below(line: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.arange(HEIGHT)[:, None] >= line[None, :])


def beach() -> Canvas:
    """Blue sky, a sea from side to side, pale sand in front."""
    picture = _filled((60, 120, 160)) + _noise(1, 26, 1.6, 13)
    picture[:190] = _fade((96, 156, 226), (190, 214, 238), 190)
    sand = _below(_ridge(2, 340, 14))
    fine = _filled((219, 196, 152)) + _noise(3, 0.8, 0.8, 5) + _noise(4, 40, 12, 4)
    return np.where(sand[..., None], fine, picture)


def snowy_hill() -> Canvas:
    """A white hill under a clear sky with three dark firs."""
    picture = _filled((0, 0, 0))
    picture[:] = _fade((88, 140, 214), (198, 218, 240), HEIGHT)
    snow = _filled((238, 242, 248)) + _noise(11, 1.0, 1.0, 3) + _noise(12, 90, 30, 4)
    picture = np.where(_below(_ridge(10, 250, 60))[..., None], snow, picture)
    for x, foot, size in ((150, 330, 90), (470, 300, 70), (600, 360, 110)):
        for part in range(4):
            top, half = foot - size + part * size // 5, (part + 2) * size // 9
            corners = np.array([[x, top], [x - half, top + size // 2], [x + half, top + size // 2]])
            cv2.fillPoly(picture, [corners], (26, 62, 44))
    return picture


def forest() -> Canvas:
    """Leaves from edge to edge and dark trunks, no sky."""
    picture = _filled((62, 108, 44)) + _grain(21, 2.2, 26)
    for x, wide in ((60, 26), (190, 16), (300, 34), (455, 18), (560, 30), (670, 20)):
        trunk = (_filled((66, 48, 34)) + _noise(22 + x, 1.2, 14, 12))[:, x : x + wide]
        picture[:400, x : x + wide] = trunk[:400]
    return picture


def meadow() -> Canvas:
    """A pale blue sky over tall grass with red flowers."""
    picture = _filled((92, 140, 54)) + _noise(31, 1.1, 5, 22) + _noise(32, 20, 20, 8)
    picture[:200] = _fade((120, 170, 232), (200, 220, 240), 200)
    rng = np.random.default_rng(33)
    for x, y in zip(rng.integers(0, WIDTH, 45), rng.integers(240, HEIGHT, 45), strict=True):
        cv2.circle(picture, (int(x), int(y)), 4 + int(y) // 90, (212, 34, 40), -1)
    return picture


def night_street() -> Canvas:
    """A street at night: dark fronts, lit windows, two rows of street lamps."""
    picture = _filled((11, 13, 24)) + _noise(41, 2, 2, 1.5)
    rng = np.random.default_rng(42)
    for x in range(0, WIDTH, 90):
        top = int(rng.integers(90, 190))
        cv2.rectangle(picture, (x, top), (x + 84, 350), (22, 22, 28), -1)
        for row in range(top + 14, 330, 34):
            for column in range(x + 10, x + 76, 24):
                if rng.random() < 0.3:
                    cv2.rectangle(picture, (column, row), (column + 9, row + 12), (236, 196, 120), -1)
    for place in range(6):
        for side in (-1, 1):
            x, y = 360 + side * (60 + place * 55), 330 - place * 22
            cv2.line(picture, (x, y), (x, y + 90 + place * 10), (34, 34, 38), 2)
            cv2.circle(picture, (x, y), 3 + place // 2, (255, 236, 180), -1)
    return _soft(picture, 1.0)


def campfire() -> Canvas:
    """A fire with a white core in the middle of the night, logs below it."""
    picture = _filled((13, 11, 10)) + _noise(51, 3, 3, 2)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    halo = np.exp(-(((x - 360) / 170) ** 2) - ((y - 330) / 130) ** 2)
    picture += halo[..., None] * np.array([46, 18, 4], dtype=np.float32)
    for half, high, colour in ((78, 150, (196, 74, 14)), (54, 108, (246, 146, 30)), (28, 62, (255, 250, 214))):
        flame = np.array([[360 - half, 350], [360 - half // 2, 350 - high // 2], [360 - 6, 350 - high]])
        mirrored = np.array([[360 + half // 2, 350 - high // 2], [360 + half, 350], [360, 372]])
        cv2.fillPoly(picture, [np.concatenate([flame, mirrored])], colour)
    for turn in (-0.18, 0.16):
        box = cv2.boxPoints(((360, 378), (220, 24), float(np.degrees(turn))))
        cv2.fillPoly(picture, [box.astype(np.int32)], (58, 36, 22))
    return _soft(picture, 2.2)


def room() -> Canvas:
    """A room: pale wall with a window, wooden floor boards, a table and a shelf of books."""
    picture = _filled((206, 196, 178)) + _noise(61, 2, 2, 1.5)
    picture[330:] = (_filled((150, 104, 62)) + _noise(62, 40, 1.0, 8))[330:]
    for y in (352, 382, 420, 466):
        picture[y : y + 2] *= 0.6
    cv2.rectangle(picture, (60, 70), (230, 240), (238, 244, 250), -1)
    for x in (60, 145, 230):
        cv2.line(picture, (x, 70), (x, 240), (112, 84, 56), 6)
    for y in (70, 155, 240):
        cv2.line(picture, (60, y), (230, y), (112, 84, 56), 6)
    rng = np.random.default_rng(63)
    for shelf in (130, 200):
        cv2.rectangle(picture, (430, shelf), (690, shelf + 8), (104, 70, 42), -1)
        x = 436
        while x < 676:
            wide, high = int(rng.integers(8, 18)), int(rng.integers(36, 58))
            colour = tuple(int(value) for value in rng.integers(40, 170, 3))
            cv2.rectangle(picture, (x, shelf - high), (x + wide, shelf), colour, -1)
            x += wide + 2
    cv2.rectangle(picture, (270, 300), (560, 318), (122, 78, 44), -1)
    for x in (284, 540):
        cv2.rectangle(picture, (x, 318), (x + 12, 430), (104, 66, 38), -1)
    return picture


def diagram() -> Canvas:
    """Boxes, arrows and short lines on white."""
    picture = _filled((255, 255, 255))
    for row in range(4):
        for column in range(4):
            x, y = 50 + column * 168, 40 + row * 112
            cv2.rectangle(picture, (x, y), (x + 108, y + 58), (24, 24, 24), 2)
            cv2.line(picture, (x + 14, y + 28), (x + 84, y + 28), (50, 50, 50), 3)
            cv2.line(picture, (x + 108, y + 28), (x + 168, y + 28), (24, 24, 24), 2)
    return picture


def letter() -> Canvas:
    """A typed page on cream paper: rows of short dark strokes."""
    picture = _filled((246, 241, 228)) + _noise(81, 1, 1, 1.2)
    rng = np.random.default_rng(82)
    for y in range(50, 440, 24):
        x = 60
        while x < 640:
            word = int(rng.integers(3, 9))
            for letter in range(word):
                left = x + letter * 9
                cv2.rectangle(picture, (left, y), (left + 5, y + int(rng.integers(7, 12))), (40, 38, 44), 1)
            x += word * 9 + 12
    return picture


def concrete() -> Canvas:
    """Grey paint on rough concrete, nothing else."""
    return _filled((132, 132, 132)) + _grain(91, 1.4, 12)


def ventilation_grille() -> Canvas:
    """A steel grille: the same slot in rows and columns."""
    picture = _filled((146, 150, 154)) + _noise(101, 12, 1, 4)
    for y in range(24, HEIGHT - 20, 40):
        for x in range(20, WIDTH - 40, 60):
            cv2.rectangle(picture, (x, y), (x + 42, y + 18), (36, 38, 42), -1)
            cv2.line(picture, (x, y + 20), (x + 42, y + 20), (206, 210, 214), 2)
    return picture


def cliff() -> Canvas:
    """A grey rock face with cracks under a strip of sky."""
    picture = _filled((124, 120, 114)) + _grain(111, 2.0, 20)
    sky = ~_below(_ridge(112, 110, 40, 60))
    return np.where(sky[..., None], _fade((104, 158, 224), (186, 210, 236), HEIGHT), picture)


def sunset() -> Canvas:
    """The sun sets in a violet and orange sky over a sea that takes its colours."""
    picture = _filled((0, 0, 0))
    picture[:260] = _fade((92, 62, 112), (255, 162, 72), 260)
    cv2.circle(picture, (430, 244), 24, (255, 246, 205), -1)
    picture[260:] = (_filled((122, 72, 52)) + _noise(121, 26, 1.5, 16))[260:]
    return picture


DRAWINGS: dict[str, Callable[[], Canvas]] = {
    "beach": beach,
    "snowy-hill": snowy_hill,
    "forest": forest,
    "meadow": meadow,
    "night-street": night_street,
    "campfire": campfire,
    "room": room,
    "diagram": diagram,
    "letter": letter,
    "concrete": concrete,
    "grille": ventilation_grille,
    "cliff": cliff,
    "sunset": sunset,
}
"""Name -> what draws it."""
