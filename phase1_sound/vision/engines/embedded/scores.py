"""How well every pixel fits every class of surface: one map of scores per class.

Rules learnt from mistakes: water, sand and snow need a sky; sky touches the top edge; a grey picture gets no class
that needs colour; warm hues stay "a warm brown surface"; a page is a page.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from phase1_sound.vision.engines.embedded.features import Figures, Map, Maps
from phase1_sound.vision.engines.embedded.lights import Mask, fire, points_of_light

_LEAST_SKY = 0.04
_LEAST_WATER = 0.02
_LEAST_BLANK = 0.1
_LEAST_EVENING = 0.25


def class_scores(maps: Maps, figures: Figures, portrait: bool = False) -> dict[str, Map]:
    """Scores (0 and up) per class. What is blue behind the head of a `portrait` is taken for no sky."""
    if is_document(maps):
        return {"document": _up(maps.lightness, 40, 60), **_plain_scores(maps, 0.3)}
    scores = {**_plain_scores(maps, 1.0 if figures.grey else 0.35), "blank": _blank_score(maps) * 2}
    kind, points = points_of_light(maps)
    scores[kind] = points * 2
    if not figures.grey:
        scores |= _coloured_scores(maps)
        scores |= {} if portrait else _landscape_scores(maps, scores)
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
    # The dark and the light parts of a pattern belong to the pattern.
    pattern = _up(maps.regularity, 0.42, 0.65) * _up(_nearby(maps.grain), 2, 5)
    alone = 1 - 0.8 * pattern
    return {
        "dark": _down(maps.lightness, 12, 24) * alone,
        "bright": _up(maps.lightness, 74, 88) * _down(maps.grain, 2, 6) * _down(maps.chroma, 8, 20) * 0.9 * alone,
        "rough": _up(maps.grain, 3, 7) * visible * texture,
        "smooth": _down(_nearby(maps.grain), 1.2, 3.6) * visible * _down(maps.lightness, 76, 90) * texture,
        "lines": _up(directed, 0.5, 0.75) * _up(maps.grain, 2, 6) * visible * texture,
        "regular": pattern * np.maximum(visible, 0.5) * 0.8,
    }


def _blank_score(maps: Maps) -> Map:
    """1 where the ground is pure black or pure white without any grain and reaches the edge, as a cut-out has it."""
    flat = (maps.grain < 0.25) & (maps.chroma < 4)
    found = np.zeros(maps.shape, dtype=bool)
    for ground in (flat & (maps.lightness < 3), flat & (maps.lightness > 98)):
        found |= _touching(ground, 0) | _touching(ground, -1)
    # The rim of the ground has grain from what it surrounds.
    grown = cv2.dilate(found.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    plain = grown & ((maps.lightness < 5) | (maps.lightness > 96))
    return (plain if found.mean() >= _LEAST_BLANK else np.zeros_like(found)).astype(np.float32)


def _nearby(values: Map) -> Map:
    return np.asarray(cv2.blur(values, (31, 31)), dtype=np.float32)


def _coloured_scores(maps: Maps) -> dict[str, Map]:
    # A smooth fade from green to black has grain, too, but nothing fine in it.
    leafy = (_up(maps.grain, 1.5, 4.5) * 0.88 + 0.12) * _up(maps.sharpness, 0.22, 0.38)
    green = _band(maps.chroma, 5, 12, 60, 75)  # greener than leaves is paint
    return {
        "vegetation": _band(maps.hue, 92, 106, 165, 185) * green * _up(maps.lightness, 6, 14) * leafy,
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
    if float((sky > 0.4).mean()) < _LEAST_SKY:
        return {"sky": np.zeros(maps.shape, dtype=np.float32)}
    ground = _below(sky > 0.4) * _up(maps.y, 0.25, 0.45)
    dry = _band(maps.hue, 50, 62, 98, 108) * _band(maps.chroma, 5, 9, 40, 52)
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
    score[: evening_rows(maps)] = 1.1
    score[_horizon(maps, _touching(score > 0.4, 0)) :] = 0
    return np.where(_touching(score > 0.4, 0), score * 1.3, 0).astype(np.float32)


def evening_rows(maps: Maps) -> int:
    """Rows from the top that are an evening sky, 0 for none: even from side to side, ever lighter downwards, warm below.

    A lit wall can look like this, too, but seldom over the whole width.
    """
    spread = np.subtract(*np.percentile(maps.lightness, (75, 25), axis=1))
    uneven = (spread > 8) | (np.median(maps.grain, axis=1) > 2.5)
    rows = int(uneven.argmax()) if uneven.any() else len(uneven)
    if rows < _LEAST_EVENING * len(uneven):
        return 0
    tenth = max(1, rows // 10)
    above, below = maps.lightness[:tenth], maps.lightness[rows - tenth : rows]
    a, b = (float(np.median(values[rows - tenth : rows])) for values in (maps.a, maps.b))
    warm = np.hypot(a, b) > 20 and 15 < np.degrees(np.arctan2(b, a)) < 95
    return rows if warm and float(np.median(below) - np.median(above)) > 15 else 0


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
    """Bluish or grey, lying texture, under the sky and 60 % as wide as the open view of it; else nothing.

    Under an evening sky water takes any hue.
    """
    bluish = np.maximum(_band(maps.hue, 170, 195, 290, 310), _down(maps.chroma, 6, 12) * 0.9)
    bluish = np.ones_like(bluish) if evening_rows(maps) else bluish
    lying = _up(maps.horizontal - maps.upright, 0.0, 0.25)
    score = bluish * lying * _band(maps.lightness, 8, 18, 88, 96) * _down(maps.grain, 7, 12) * ground
    strips = _long_strips(score > 0.3)
    # Directions are averages over 31 pixels: beside a mast or a tree the water loses 15 on either side.
    columns = cv2.dilate(strips.any(axis=0).astype(np.uint8)[None], np.ones((1, 31), np.uint8))
    wide = float(columns.sum()) > 0.6 * _open_width(sky)
    enough = float(strips.mean()) > _LEAST_WATER
    return np.where(strips, score * 1.3, 0).astype(np.float32) if wide and enough else np.zeros_like(score)


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
