"""Which surface each pixel belongs to, and the regions that follow. No objects are recognised.

Every class gives each pixel a score s; the classes compete for it: p_k = s_k^2 / (sum of all s^2 + 0.04),
so that two classes that both fit share the pixel and a pixel that fits none belongs to none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from phase1_sound.vision.engines.embedded.features import Figures, Map, Maps
from phase1_sound.vision.engines.embedded.lights import Mask
from phase1_sound.vision.engines.embedded.people import Person
from phase1_sound.vision.engines.embedded.scores import class_scores

TEXTURES = ("rough", "smooth", "lines", "regular")
"""Classes that say what a surface feels like, not what it is: what is chosen from them is not recognised."""
COLOURLESS = (*TEXTURES, "dark", "bright", "lights", "stars", "document", "blank", "people")
"""Classes that need no colour: the only ones in a grey picture."""
OUTDOOR = ("sky", "vegetation", "water", "sand", "snow")

SMALL_BY_NATURE = ("people", "fire", "lights", "stars")
"""Classes that matter more than their area: a lamp at night is seen first."""

SMALLEST_AREA = 0.012
"""Share of the picture under which a region is not reported."""
_NOISE = 0.04
_LEAST_WINNER = 0.3
_GLOW = 6.0
_PORTRAIT = 0.15


@dataclass(frozen=True)
class Region:
    """All pixels of one class.

    `area` is their share of the picture, `purity` their mean p (both 0..1), `x` (-1..1) and `y` (0 top..1)
    the centre, `box` [x0, y0, x1, y1] in 0..1 holds 96 % of them in each direction; `distance` (0 near..1 far) is
    a guess from the place and the sharpness; the rest are their mean values (see `Maps`). `cue` says what spoke for
    a person.
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
    distance: float = 0.5
    cue: str = ""

    @property
    def presence(self) -> float:
        """Area as the eye weighs it: light in the dark and people count for more than their area."""
        return min(1.0, self.area * (_GLOW if self.name in SMALL_BY_NATURE else 1.0))


def find_regions(maps: Maps, figures: Figures, people: tuple[Person, ...] = ()) -> tuple[Region, ...]:
    """The regions of a picture, the largest (area x purity) first. People lie on top of the surfaces."""
    scores = class_scores(maps, figures, is_portrait(people, maps))
    names = list(scores)
    # Neighbours speak for each other: single dark pixels in a tree belong to the tree.
    squares = np.stack([cv2.blur(scores[name] ** 2, (7, 7)) for name in names])
    shares = squares / (squares.sum(axis=0) + _NOISE)
    winner = np.where(shares.max(axis=0) > _LEAST_WINNER, shares.argmax(axis=0), -1)
    found = [_region(name, winner == i, shares[i], maps) for i, name in enumerate(names)]
    regions = [region for region in (*found, _people_region(people, maps)) if region is not None]
    return tuple(sorted(regions, key=lambda region: (-region.area * region.purity, region.name)))


def is_portrait(people: tuple[Person, ...], maps: Maps) -> bool:
    """Whether somebody's face is so large that little else can be told from what surrounds it."""
    return any(person.box[3] > _PORTRAIT * maps.shape[0] for person in people)


def _people_region(people: tuple[Person, ...], maps: Maps) -> Region | None:
    if not people:
        return None
    mask = np.zeros(maps.shape, dtype=bool)
    for person in people:
        x0, y0, x1, y1 = person.body(maps.shape)
        mask[y0:y1, x0:x1] = True
    certain = np.full(maps.shape, min(1.0, 0.5 + people[0].score / 20), dtype=np.float32)
    region = _region("people", mask, certain, maps)
    cue = f"{len(people)} face{'s' if len(people) > 1 else ''} (score {people[0].score:.1f}) with {people[0].second}"
    return region and replace(region, cue=cue)


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
        distance=_distance(name, mask, maps),
    )


def _distance(name: str, mask: Mask, maps: Maps) -> float:
    """0 near..1 far: what reaches low down is near, what is soft against the rest of the picture is far.

    The ground plane makes the lowest row of a thing its distance; haze and focus take its finest grain.
    """
    if name == "sky":
        return 1.0
    foot = float(np.quantile(np.flatnonzero(mask.any(axis=1)), 0.9)) / len(mask)
    ratio = float(np.median(maps.sharpness[mask])) / (float(np.median(maps.sharpness)) + 1e-6)
    return float(np.clip(0.75 * (1 - foot) + 0.25 * np.clip(1.5 - ratio, 0, 1), 0, 1))


def _box(mask: Mask) -> tuple[float, float, float, float]:
    height, width = mask.shape
    y0, y1 = _extent(mask.sum(axis=1))
    x0, x1 = _extent(mask.sum(axis=0))
    return (round(x0 / width, 3), round(y0 / height, 3), round(x1 / width, 3), round(y1 / height, 3))


def _extent(counts: Map) -> tuple[int, int]:
    """First and last (exclusive) index that hold 96 % of the counts between them."""
    total = np.cumsum(counts) / counts.sum()
    return int(np.searchsorted(total, 0.02)), int(np.searchsorted(total, 0.98)) + 1
