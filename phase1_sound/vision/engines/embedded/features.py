"""Measurements of a picture: maps per pixel and figures for the whole, all at a long side of 512 pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

WORKING_SIDE = 512
GREY_CHROMA = 3.0
"""A picture whose mean Lab chroma is lower counts as grey: nothing is said about colours."""

_SMALLEST_SIDE = 16
_TILE = 64


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of shape (height, width), float32.

    `lightness` 0..100, `a` (green to red) and `b` (blue to yellow) are CIE Lab, `chroma` their length and
    `hue` their angle in degrees 0..360. `grain` is the standard deviation of the lightness over 9 pixels,
    `edges` the gradient of the lightness per pixel, `horizontal` and `upright` the share (0..1) of
    horizontal and of upright lines in the edges nearby, `regularity` (0..1) how far the texture repeats
    itself, `sharpness` (about 0.2 to 1.5) how much of the grain is fine: low where the picture is out of focus
    or hazy. `x` runs from -1 to 1, `y` from 0 (top) to 1.
    """

    lightness: Map
    a: Map
    b: Map
    chroma: Map
    hue: Map
    grain: Map
    edges: Map
    horizontal: Map
    upright: Map
    regularity: Map
    sharpness: Map
    x: Map
    y: Map

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.lightness.shape
        return height, width


@dataclass(frozen=True)
class Figures:
    """Figures of the whole picture, each 0..1 except `warmth` and `balance` (-1..1).

    `brightness`, `contrast`, `saturation`, `detail` (density of edges), `roughness` (grain), `regularity`,
    `horizontal` and `upright` (direction of the edges), `flatness` (share of pixels without any texture),
    `warmth` (blue to orange), `balance` (where the light is: left to right), `depth` (top brighter than
    bottom). `grey` switches colour claims off.
    """

    brightness: float
    contrast: float
    saturation: float
    warmth: float
    detail: float
    roughness: float
    regularity: float
    horizontal: float
    upright: float
    flatness: float
    balance: float
    depth: float
    grey: bool


def working_copy(rgb: Pixels) -> Pixels:
    """Shrink to a long side of 512 pixels, and stretch a side that is too short for the filters to 16."""
    height, width = rgb.shape[:2]
    scale = min(1.0, WORKING_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    room = (max(_SMALLEST_SIDE, size[0]), max(_SMALLEST_SIDE, size[1]))
    return np.asarray(cv2.resize(small, room, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def measure(rgb: Pixels) -> Maps:
    """Maps of a working copy, uint8 of shape (height, width, 3)."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness, a, b = (np.ascontiguousarray(lab[..., i]) for i in range(3))
    horizontal, upright, edges = _directions(lightness)
    grain = _grain(lightness)
    height, width = lightness.shape
    columns, rows = np.linspace(-1, 1, width), np.linspace(0, 1, height)
    x, y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    return Maps(
        lightness=lightness,
        a=a,
        b=b,
        chroma=np.hypot(a, b),
        hue=np.degrees(np.arctan2(b, a)) % 360,
        grain=grain,
        edges=edges,
        horizontal=horizontal,
        upright=upright,
        regularity=_regularity(lightness),
        sharpness=_sharpness(lightness, grain),
        x=x,
        y=y,
    )


def _blur(values: Map, side: int) -> Map:
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def _grain(lightness: Map) -> Map:
    variance = _blur(lightness**2, 9) - _blur(lightness, 9) ** 2
    return np.asarray(np.sqrt(np.maximum(variance, 0)), dtype=np.float32)


def _sharpness(lightness: Map, grain: Map) -> Map:
    """Second differences (they see single pixels) over the deviation within 9 pixels, both taken nearby."""
    fine = np.abs(cv2.Laplacian(lightness, cv2.CV_32F))
    return np.asarray(_blur(fine, 15) / (_blur(grain, 15) + 0.5), dtype=np.float32)


def _directions(lightness: Map) -> tuple[Map, Map, Map]:
    """Shares of lying and of upright lines in the edge energy nearby (31 pixels), and the gradient."""
    across = cv2.Sobel(lightness, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    down = cv2.Sobel(lightness, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    energy = across**2 + down**2
    # A horizontal line has its gradient within 20 degrees of upright.
    lying = np.where(np.abs(down) > 2.75 * np.abs(across), energy, 0)
    standing = np.where(np.abs(across) > 2.75 * np.abs(down), energy, 0)
    total = _blur(energy, 31) + 0.05
    return _blur(lying, 31) / total, _blur(standing, 31) / total, np.sqrt(energy)


def _regularity(lightness: Map) -> Map:
    """How far 64-pixel tiles repeat themselves: the highest side peak of their autocorrelation."""
    height, width = lightness.shape
    rows, columns = _starts(height), _starts(width)
    peaks = np.array([[_side_peak(_tile(lightness, r, c)) for c in columns] for r in rows], dtype=np.float32)
    return np.asarray(cv2.resize(peaks, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _starts(length: int) -> list[int]:
    return [0] if length <= _TILE else list(range(0, length - _TILE + 1, _TILE // 2))


def _tile(lightness: Map, row: int, column: int) -> Map:
    return lightness[row : row + _TILE, column : column + _TILE]


def _side_peak(tile: Map) -> float:
    """Highest local maximum (0..1) of the autocorrelation at lags of 4 to 32 pixels; 0 for a flat tile."""
    if min(tile.shape) < _TILE or tile.std() < 3.0:
        return 0.0
    centred = tile - tile.mean()
    spectrum = np.abs(np.fft.rfft2(centred, s=(2 * _TILE, 2 * _TILE))) ** 2
    lags = np.fft.fftshift(np.fft.irfft2(spectrum))[_TILE // 2 : -_TILE // 2, _TILE // 2 : -_TILE // 2]
    correlation = (lags / _overlap() / lags.max()).astype(np.float32)
    highest = cv2.dilate(correlation, np.ones((5, 5), np.uint8))
    centre = _TILE // 2
    near = np.hypot(*np.indices(correlation.shape) - centre) < 4
    maxima = correlation[(correlation >= highest) & ~near & _inside(correlation.shape)]
    return float(np.clip(maxima.max(initial=0.0), 0, 1))


def _overlap() -> npt.NDArray[np.float64]:
    """Share of a tile that overlaps with its copy, per lag: divides the bias out of the autocorrelation."""
    lag = np.abs(np.arange(_TILE) - _TILE // 2)
    share = 1 - lag / _TILE
    return np.outer(share, share)


def _inside(shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    inside = np.zeros(shape, dtype=bool)
    inside[3:-3, 3:-3] = True
    return inside


def summarise(maps: Maps) -> Figures:
    """Figures of the whole picture."""
    light = maps.lightness
    strong = maps.edges > 4
    weight = maps.edges**2
    total = float(weight.sum()) + 1e-3
    chroma = float(maps.chroma.mean())
    third = max(1, light.shape[0] // 3)
    return Figures(
        brightness=float(light.mean()) / 100,
        contrast=_unit(float(light.std()) / 35),
        saturation=_unit(chroma / 50),
        warmth=float(np.clip(maps.b.mean() / 25, -1, 1)) if chroma >= GREY_CHROMA else 0.0,
        detail=_unit(float(strong.mean()) / 0.35),
        roughness=_unit(float(maps.grain.mean()) / 12),
        regularity=float(np.percentile(maps.regularity, 75)),
        horizontal=_unit(float((maps.horizontal * weight).sum()) / total),
        upright=_unit(float((maps.upright * weight).sum()) / total),
        flatness=float((maps.grain < 1.2).mean()),
        balance=float(np.clip((light * maps.x).mean() / 15, -1, 1)),
        depth=float(np.clip(0.5 + (light[:third].mean() - light[-third:].mean()) / 100, 0, 1)),
        grey=chroma < GREY_CHROMA,
    )


def _unit(value: float) -> float:
    return float(np.clip(value, 0, 1))
