"""What kind of place a picture shows, as far as surfaces, light and focus tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from phase1_sound.vision.engines.embedded.features import Figures, Maps
from phase1_sound.vision.engines.embedded.regions import OUTDOOR, TEXTURES, Region

PlaceName = Literal["page", "night", "portrait", "outdoors", "close", "indoors", "unknown"]
PLACES: tuple[PlaceName, ...] = get_args(PlaceName)

_OUTDOOR_AREA = 0.15
_TRACE = 0.03
_FINE = 4.0
_FOCUS_RATIO = 2.2
_STRAIGHT = 0.55


@dataclass(frozen=True)
class Place:
    """`name` is one of PLACES, `area` the share of each region class by its name."""

    name: PlaceName
    area: dict[str, float]

    def has(self, *names: str) -> bool:
        """Whether there is a region of one of these classes."""
        return any(name in self.area for name in names)


def find_place(regions: Sequence[Region], figures: Figures, maps: Maps, portrait: bool) -> Place:
    """The first kind of place for which something speaks, from the surest to the least sure."""
    area = {region.name: region.area for region in regions}
    outdoor = sum(area.get(name, 0.0) for name in OUTDOOR)
    outdoors = outdoor > _OUTDOOR_AREA and ("sky" in area or area.get("vegetation", 0.0) > _OUTDOOR_AREA)
    rules: tuple[tuple[PlaceName, bool], ...] = (
        ("page", "document" in area),
        ("portrait", portrait),
        ("night", any(name in area for name in ("fire", "stars", "lights"))),
        ("outdoors", outdoors),
        ("close", is_close_view(maps)),
        ("indoors", _is_indoors(area, figures)),
    )
    return Place(next((name for name, holds in rules if holds), "unknown"), area)


def is_close_view(maps: Maps) -> bool:
    """Whether the middle is sharp and the rim of the picture soft: a near thing before a ground out of focus."""
    height, width = maps.shape
    fine = np.abs(cv2.Laplacian(maps.lightness, cv2.CV_32F))
    rim = np.ones(maps.shape, dtype=bool)
    rim[height // 6 : height - height // 6, width // 6 : width - width // 6] = False
    middle = fine[height // 3 : height - height // 3, width // 3 : width - width // 3]
    sharp = float(middle.mean()) if middle.size else 0.0
    return sharp > _FINE and sharp > _FOCUS_RATIO * float(fine[rim].mean())


def _is_indoors(area: dict[str, float], figures: Figures) -> bool:
    """No proof: straight lines that lie and stand, several surfaces, warm or pale ones among them."""
    if figures.grey or any(area.get(name, 0.0) > _TRACE for name in OUTDOOR):
        return False
    straight = figures.horizontal + figures.upright > _STRAIGHT and min(figures.horizontal, figures.upright) > 0.15
    made = area.get("warm", 0.0) + area.get("bright", 0.0) > 0.2
    return straight and made and len(set(area) - set(TEXTURES) - {"dark", "blank"}) >= 2
