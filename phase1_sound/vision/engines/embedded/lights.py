"""Light that comes from the picture itself: small lamps at night, a sky full of stars, and fire."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from phase1_sound.vision.engines.embedded.features import Map, Maps

Mask = npt.NDArray[np.bool_]

DARK_SCENE = 30.0
"""Median and mean lightness of a dark scene: lamps and fire are looked for nowhere else."""

_FEWEST_LAMPS = 3
_LARGEST_LAMP = 0.004
_FEWEST_STARS = 60
_FIRE_SIZE = (0.008, 0.35)


def is_dark_scene(maps: Maps) -> bool:
    """Whether more than half of the picture lies in the dark."""
    return float(np.median(maps.lightness)) < DARK_SCENE and float(maps.lightness.mean()) < DARK_SCENE


def points_of_light(maps: Maps) -> tuple[str, Map]:
    """ "lights" or "stars", and the score (0..1) of small bright points in a dark scene, zero elsewhere.

    Lamps stand somewhere; stars are many and lie in every part of the picture.
    """
    nothing = "lights", np.zeros(maps.shape, dtype=np.float32)
    if not is_dark_scene(maps):
        return nothing
    near = cv2.blur(maps.lightness, (41, 41))
    bright = (maps.lightness > 55) & (maps.lightness - near > 22) & (near < 34)
    labels, stats = _components(bright)
    small = [i for i in range(1, len(stats)) if _is_point(stats[i], labels.size)]
    if len(small) < _FEWEST_LAMPS:
        return nothing
    # A lamp is seen by its halo: the points alone would cover next to nothing of the picture.
    spots = np.isin(labels, small).astype(np.uint8)
    halo = cv2.dilate(spots, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    name = "stars" if len(small) >= _FEWEST_STARS and _is_everywhere(spots) else "lights"
    return name, halo.astype(np.float32)


def _is_point(stats: npt.NDArray[np.int32], pixels: int) -> bool:
    """Small and compact: not the edge of something larger."""
    wide, high, size = (int(stats[i]) for i in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    return size <= _LARGEST_LAMP * pixels and size > 0.4 * wide * high and max(wide, high) <= 3 * min(wide, high)


def _is_everywhere(spots: npt.NDArray[np.uint8]) -> bool:
    """Whether there is something in each of 4 x 4 parts of the picture."""
    coarse = cv2.resize(spots.astype(np.float32), (4, 4), interpolation=cv2.INTER_AREA)
    return bool((coarse > 0).all())


def fire(maps: Maps) -> Map:
    """Score (0..1) of compact orange blobs with a nearly white core and dark all round, zero elsewhere."""
    found = np.zeros(maps.shape, dtype=np.float32)
    if not is_dark_scene(maps):
        return found
    core = (maps.lightness > 86) & (maps.b > 5)
    glow = (maps.b > 22) & (maps.a > 4) & (maps.lightness > 25)
    labels, stats = _components(_closed(glow | core))
    for label in range(1, len(stats)):
        if _FIRE_SIZE[0] <= stats[label, cv2.CC_STAT_AREA] / labels.size <= _FIRE_SIZE[1]:
            blob = labels == label
            if _is_fire(blob, core, glow) and _stands_in_the_dark(blob, maps):
                found[blob] = 1
    return found


def _is_fire(blob: Mask, core: Mask, glow: Mask) -> bool:
    inside = float(core[blob].mean())
    return 0.02 <= inside <= 0.7 and float(glow[blob].mean()) > 0.25 and _solidity(blob) > 0.6


def _stands_in_the_dark(blob: Mask, maps: Maps) -> bool:
    """Whether what surrounds a blob is dark, and where it is lit at all, warm: not one sector of a colour wheel."""
    wide = cv2.dilate(blob.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25)))
    ring = wide.astype(bool) & ~blob
    cold = (maps.lightness > 30) & (maps.chroma > 15) & ((maps.b < 0) | (maps.a < -5))
    return float(np.median(maps.lightness[ring])) < 35 and float(cold[ring].mean()) < 0.15


def _solidity(blob: Mask) -> float:
    """Area of a blob over the area of its convex hull: low for a string of lamps or a lit facade."""
    points = cv2.findNonZero(blob.astype(np.uint8))
    hull = cv2.contourArea(cv2.convexHull(points))
    return float(blob.sum() / max(hull, 1.0))


def _closed(mask: Mask) -> Mask:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel), dtype=bool)


def _components(mask: Mask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Labels per pixel (0 = background), and OpenCV's statistics of each label."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return np.asarray(labels, dtype=np.int32), np.asarray(stats, dtype=np.int32)
