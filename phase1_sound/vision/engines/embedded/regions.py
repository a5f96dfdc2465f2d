"""Which surface each pixel belongs to, and the regions that follow. No objects are recognised.

Every class gives each pixel a score s; the classes compete for it: p_k = s_k^2 / (sum of all s^2 + 0.04),
so that two classes that both fit share the pixel and a pixel that fits none belongs to none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from phase1_sound.vision.engines.embedded.features import Figures, Map, Maps
from phase1_sound.vision.engines.embedded.lights import Mask, fire, lamps

TEXTURES = ("rough", "smooth", "lines", "regular")
"""Classes that say what a surface feels like, not what it is: what is chosen from them is not recognised."""
COLOURLESS = (*TEXTURES, "dark", "bright", "lights", "document")
"""Classes that need no colour: the only ones in a grey picture."""
OUTDOOR = ("sky", "vegetation", "water", "sand", "snow")

SMALLEST_AREA = 0.012
"""Share of the picture under which a region is not reported."""
_NOISE = 0.04
_LEAST_WINNER = 0.3


@dataclass(frozen=True)
class Region:
    """All pixels of one class.

    `area` is their share of the picture, `purity` their mean p (both 0..1), `x` (-1..1) and `y` (0 top..1)
    the centre, `box` [x0, y0, x1, y1] in 0..1 holds 96 % of them in each direction; the rest are their mean
    values (see `Maps`).
    """

    name: str
    area: float
    purity: float
    x: float
    y: float
    box: tuple[float, float, float, float]
    lightness: float
    chroma: float
    hue: float
    grain: float
    regularity: float


def find_regions(maps: Maps, figures: Figures) -> tuple[Region, ...]:
    """The regions of a picture, the largest (area x purity) first."""
    scores = _scores(maps, figures)
    names = list(scores)
    # Neighbours speak for each other: single dark pixels in a tree belong to the tree.
    squares = np.stack([cv2.blur(scores[name] ** 2, (7, 7)) for name in names])
    shares = squares / (squares.sum(axis=0) + _NOISE)
    winner = np.where(shares.max(axis=0) > _LEAST_WINNER, shares.argmax(axis=0), -1)
    found = [_region(name, winner == i, shares[i], maps) for i, name in enumerate(names)]
    regions = [region for region in found if region is not None]
    return tuple(sorted(regions, key=lambda region: (-region.area * region.purity, region.name)))


def _scores(maps: Maps, figures: Figures) -> dict[str, Map]:
    if is_document(maps):
        return {"document": _up(maps.lightness, 40, 60), **_plain_scores(maps, 0.3)}
    scores = {**_plain_scores(maps, 1.0 if figures.grey else 0.35), "lights": lamps(maps) * 2}
    if not figures.grey:
        scores |= _coloured_scores(maps)
        scores |= _landscape_scores(maps, scores)
        scores["fire"] = fire(maps) * 3
    return scores


def _up(values: Map, low: float, high: float) -> Map:
    """0 up to `low`, 1 from `high` on, a straight line between."""
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _down(values: Map, low: float, high: float) -> Map:
    return 1 - _up(values, low, high)


def _band(values: Map, low: float, full_low: float, full_high: float, high: float) -> Map:
    return _up(values, low, full_low) * _down(values, full_high, high)


def _plain_scores(maps: Maps, texture: float) -> dict[str, Map]:
    """Classes by lightness and texture alone; `texture` weighs those that only say how a surface feels."""
    directed = np.maximum(maps.horizontal, maps.upright)
    visible = _up(maps.lightness, 12, 24)
    return {
        "dark": _down(maps.lightness, 12, 24),
        "bright": _up(maps.lightness, 74, 88) * _down(maps.grain, 2, 6) * _down(maps.chroma, 8, 20) * 0.9,
        "rough": _up(maps.grain, 4, 9) * visible * texture,
        "smooth": _down(_nearby(maps.grain), 1.5, 5) * visible * _down(maps.lightness, 76, 90) * texture,
        "lines": _up(directed, 0.5, 0.75) * _up(maps.grain, 2, 6) * visible * texture,
        "regular": _up(maps.regularity, 0.42, 0.65) * _up(_nearby(maps.grain), 2, 5) * visible * 0.8,
    }


def _nearby(values: Map) -> Map:
    return np.asarray(cv2.blur(values, (31, 31)), dtype=np.float32)


def _coloured_scores(maps: Maps) -> dict[str, Map]:
    leafy = _up(maps.grain, 1, 4.5) * 0.8 + 0.2
    return {
        "vegetation": _band(maps.hue, 92, 106, 165, 185) * _up(maps.chroma, 5, 12) * _up(maps.lightness, 6, 14) * leafy,
        "stone": _down(maps.chroma, 8, 15) * _band(maps.lightness, 18, 30, 74, 86) * _up(maps.grain, 2, 5) * 0.8,
        # Wood, skin, earth, brick and fur share these hues: no more than the hue is said.
        "warm": _warm_hue(maps) * _band(maps.chroma, 8, 14, 38, 52) * _band(maps.lightness, 10, 18, 68, 80),
        "colour": _up(maps.chroma, 36, 52) * (1 - 0.8 * _band(maps.hue, 95, 110, 150, 165) * _up(maps.grain, 1, 4)),
    }


def _warm_hue(maps: Maps) -> Map:
    turned = (maps.hue + 180) % 360  # warm hues lie on either side of 0
    return _band(turned, 195, 210, 265, 275)


def _landscape_scores(maps: Maps, scores: Mapping[str, Map]) -> dict[str, Map]:
    """Sky, and what is only believed under a sky: water, sand, snow."""
    sky = sky_score(maps, float((scores["vegetation"] > 0.5).mean()))
    if float((sky > 0.4).mean()) < 0.04:
        return {"sky": np.zeros(maps.shape, dtype=np.float32)}
    ground = _below(sky > 0.4) * _up(maps.y, 0.25, 0.45)
    dry = _band(maps.hue, 50, 62, 98, 108) * _band(maps.chroma, 5, 9, 30, 40)
    white = _down(maps.chroma, 6, 11) * _down(maps.b, 3, 8)
    fine = _down(maps.grain, 4, 8) * ground
    return {
        "sky": sky,
        "water": _water_score(maps, ground, sky > 0.4),
        "sand": _touching_bottom(dry * _band(maps.lightness, 48, 62, 92, 97) * fine) * 1.2,
        "snow": _touching_bottom(white * _up(maps.lightness, 72, 84) * fine) * 1.3,
    }


def sky_score(maps: Maps, green_share: float) -> Map:
    """Score of smooth, blue or pale areas that touch the top edge, down to the horizon if there is one.

    A pale area may as well be a wall, a ceiling or paper: without blue it is only believed above something
    green, and never where pure white fills the bottom edge as well.
    """
    blue = _band(maps.hue, 215, 230, 290, 305) * _up(maps.chroma, 5, 12) * _up(maps.lightness, 8, 18)
    pale = _up(maps.lightness, 68, 82) * _down(maps.chroma, 10, 20)
    paper = min(float((maps.lightness[rows] > 98).mean()) for rows in (0, -1)) > 0.2
    outside = green_share > 0.05 or float((blue[: len(blue) // 3] > 0.5).mean()) > 0.15
    pale *= 0.9 if outside and not paper else 0.0
    ripples = _up(maps.horizontal, 0.4, 0.6) * _up(maps.grain, 1, 2.5)
    score = np.maximum(blue, pale) * _down(maps.grain, 2.5, 6) * _down(maps.y, 0.65, 0.9) * (1 - ripples)
    score[_horizon(maps, _touching(score > 0.4, 0)) :] = 0
    return np.where(_touching(score > 0.4, 0), score * 1.3, 0).astype(np.float32)


def _horizon(maps: Maps, sky: Mask) -> int:
    """First row below a third of the height where lying lines cross over half of the sky, or the height."""
    height = len(sky)
    for row in range(height // 3, height):
        columns = sky[row]
        if columns.mean() > 0.1 and float((maps.horizontal[row, columns] > 0.45).mean()) > 0.5:
            # The share of lying lines is an average over 31 rows: the line itself lies up to 15 rows lower.
            return row + int(maps.edges[row : row + 18, columns].mean(axis=1).argmax())
    return height


def _touching(mask: Mask, edge: int) -> Mask:
    """The connected parts of a mask that touch the top (`edge` 0) or the bottom (-1)."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    rows = max(1, len(mask) // 50)
    strip = labels[:rows] if edge == 0 else labels[-rows:]
    return np.isin(labels, [label for label in np.unique(strip) if label])


def _touching_bottom(score: Map) -> Map:
    return np.where(_touching(score > 0.3, -1), score, 0).astype(np.float32)


def _below(sky: Mask) -> Map:
    """1 for pixels that have sky somewhere above them, or whose row lies under the sky's lowest quarter."""
    rows = np.flatnonzero(sky.any(axis=1))
    horizon = int(np.percentile(rows, 75)) if len(rows) else 0
    above = np.maximum.accumulate(sky, axis=0)
    above[horizon:] = True
    return (above & ~sky).astype(np.float32)


def _water_score(maps: Maps, ground: Map, sky: Mask) -> Map:
    """Bluish or grey, lying texture, under the sky and 60 % as wide as the open view of it; else nothing."""
    bluish = np.maximum(_band(maps.hue, 170, 195, 290, 310), _down(maps.chroma, 6, 12) * 0.9)
    lying = _up(maps.horizontal - maps.upright, 0.0, 0.25)
    score = bluish * lying * _band(maps.lightness, 8, 18, 88, 96) * _down(maps.grain, 7, 12) * ground
    strips = _long_strips(score > 0.3)
    wide = float(strips.any(axis=0).sum()) > 0.6 * _open_width(sky)
    return np.where(strips, score * 1.3, 0).astype(np.float32) if wide else np.zeros_like(score)


def _long_strips(mask: Mask) -> Mask:
    """The connected parts of a mask that are a tenth as wide as the picture and a twentieth as high."""
    height, width = mask.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    wide, high = stats[:, cv2.CC_STAT_WIDTH] > width / 10, stats[:, cv2.CC_STAT_HEIGHT] > height / 20
    return np.isin(labels, [i for i in range(1, count) if wide[i] and high[i]])


def _open_width(sky: Mask) -> int:
    """Columns in which the sky reaches down to its lowest fifth: where the view is open to the horizon."""
    rows = np.flatnonzero(sky.any(axis=1))
    low = rows[-1] - (rows[-1] - rows[0]) // 5
    return int(sky[low:].any(axis=0).sum())


def is_document(maps: Maps) -> bool:
    """Whether this is a page or diagram: pale paper, thin dark ink, little between, upright lines."""
    paper = cv2.dilate(cv2.blur(maps.lightness, (3, 3)), np.ones((31, 31), np.uint8))
    ratio = maps.lightness / np.maximum(paper, 1)
    white, ink = float((ratio > 0.86).mean()), float((ratio < 0.7).mean())
    pale = float(((paper > 62) & (maps.chroma < 14)).mean())
    energy = maps.edges**2
    square = float(((maps.horizontal + maps.upright) * energy).sum() / (energy.sum() + 1))
    middle = 1 - white - ink
    return pale > 0.7 and white > 0.6 and 0.01 < ink < 0.35 and middle < 0.22 and square > 0.45


def _region(name: str, mask: Mask, share: Map, maps: Maps) -> Region | None:
    area = float(mask.mean())
    if area < SMALLEST_AREA:
        return None
    weight = share[mask]
    return Region(
        name=name,
        area=area,
        purity=float(weight.mean()),
        x=float(np.average(maps.x[mask], weights=weight)),
        y=float(np.average(maps.y[mask], weights=weight)),
        box=_box(mask),
        lightness=float(maps.lightness[mask].mean()),
        chroma=float(maps.chroma[mask].mean()),
        hue=float(np.degrees(np.arctan2(maps.b[mask].mean(), maps.a[mask].mean())) % 360),
        grain=float(maps.grain[mask].mean()),
        regularity=float(maps.regularity[mask].mean()),
    )


def _box(mask: Mask) -> tuple[float, float, float, float]:
    height, width = mask.shape
    y0, y1 = _extent(mask.sum(axis=1))
    x0, x1 = _extent(mask.sum(axis=0))
    return (round(x0 / width, 3), round(y0 / height, 3), round(x1 / width, 3), round(y1 / height, 3))


def _extent(counts: Map) -> tuple[int, int]:
    """First and last (exclusive) index that hold 96 % of the counts between them."""
    total = np.cumsum(counts) / counts.sum()
    return int(np.searchsorted(total, 0.02)), int(np.searchsorted(total, 0.98)) + 1
