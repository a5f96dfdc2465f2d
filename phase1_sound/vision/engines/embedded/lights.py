"""Light that comes from the picture itself: small lamps at night, and fire."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from phase1_sound.vision.engines.embedded.features import Map, Maps

Mask = npt.NDArray[np.bool_]

DARK_SCENE = 38.0
"""Median and mean lightness of a dark scene: lamps and fire are looked for nowhere else."""

_FEWEST_LAMPS = 3
_LARGEST_LAMP = 0.004
_FIRE_SIZE = (0.008, 0.35)


def is_dark_scene(maps: Maps) -> bool:
    """Whether more than half of the picture lies in the dark."""
    return float(np.median(maps.lightness)) < DARK_SCENE and float(maps.lightness.mean()) < DARK_SCENE


def lamps(maps: Maps) -> Map:
    """Score (0..1) of at least three small bright points in a dark scene, zero elsewhere."""
    if not is_dark_scene(maps):
        return np.zeros(maps.shape, dtype=np.float32)
    near = cv2.blur(maps.lightness, (41, 41))
    bright = (maps.lightness > 55) & (maps.lightness - near > 22) & (near < 34)
    labels, sizes = _components(bright)
    small = [i for i, size in enumerate(sizes) if i > 0 and size <= _LARGEST_LAMP * labels.size]
    if len(small) < _FEWEST_LAMPS:
        return np.zeros(maps.shape, dtype=np.float32)
    # A lamp is seen by its halo: the points alone would cover next to nothing of the picture.
    spots = np.isin(labels, small).astype(np.uint8)
    halo = cv2.dilate(spots, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    return halo.astype(np.float32)


def fire(maps: Maps) -> Map:
    """Score (0..1) of compact orange blobs with a nearly white core in a dark scene, zero elsewhere."""
    found = np.zeros(maps.shape, dtype=np.float32)
    if not is_dark_scene(maps):
        return found
    core = (maps.lightness > 86) & (maps.b > 5)
    glow = (maps.b > 22) & (maps.a > 4) & (maps.lightness > 25)
    labels, sizes = _components(_closed(glow | core))
    for label, size in enumerate(sizes):
        if label and _FIRE_SIZE[0] <= size / labels.size <= _FIRE_SIZE[1]:
            blob = labels == label
            if _is_fire(blob, core, glow):
                found[blob] = 1
    return found


def _is_fire(blob: Mask, core: Mask, glow: Mask) -> bool:
    inside = float(core[blob].mean())
    return 0.02 <= inside <= 0.7 and float(glow[blob].mean()) > 0.25 and _solidity(blob) > 0.6


def _solidity(blob: Mask) -> float:
    """Area of a blob over the area of its convex hull: low for a string of lamps or a lit facade."""
    points = cv2.findNonZero(blob.astype(np.uint8))
    hull = cv2.contourArea(cv2.convexHull(points))
    return float(blob.sum() / max(hull, 1.0))


def _closed(mask: Mask) -> Mask:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel), dtype=bool)


def _components(mask: Mask) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Labels per pixel (0 = background) and the size of each label in pixels."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return np.asarray(labels, dtype=np.int32), [int(stats[i, cv2.CC_STAT_AREA]) for i in range(count)]
