"""Which sources a picture gets: the table's likelihood, what the picture speaks for, and a nudge.

The nudge is a number drawn from the rounded figures and regions, so pictures that look alike still differ a
little while the same picture always gives the same scene.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from core.manifest import sha256_json
from core.seeds import derive_seed
from phase1_sound.vision.engines.embedded.features import Figures
from phase1_sound.vision.engines.embedded.places import Place
from phase1_sound.vision.engines.embedded.regions import SMALL_BY_NATURE, TEXTURES, Region
from phase1_sound.vision.engines.embedded.table import Source, Table, Way
from schemas.document import MELODIC_ROLES, ROLES

FEWEST_SOURCES, MOST_SOURCES = 4, 6
_LARGE_AREA = 0.25
_SMALL_AREA = {True: 0.08, False: 0.03}
"""Share of the picture under which a texture (True) or a surface (False) is not asked for sources."""
_GLARE = ("dark", "bright")
_NUDGE = 0.45
_AT_HOME = 0.2
_SAME_MATERIAL = 0.35
_ABSENT_CONFIDENCE = 0.5


@dataclass
class Pick:
    """A chosen source, the region it comes from (None: the texture of the whole) and the chosen ways."""

    source: Source
    region: Region | None
    ways: list[Way] = field(default_factory=list)


class Chooser:
    """Chooses sources and ways to play them for one picture."""

    def __init__(self, regions: tuple[Region, ...], figures: Figures, place: Place, table: Table) -> None:
        self._regions, self._figures, self._place, self._table = regions, figures, place, table
        self._key = _fingerprint(regions, figures)
        self._picks: list[Pick] = []

    def choose(self) -> list[Pick]:
        """4 to 6 sources with at least 8 ways between them, every role among them."""
        seen = sorted(self._regions, key=rank)
        large = [region for region in seen if not is_small(region)]
        for region in large:
            if region.name != "dark" or len(self._picks) < FEWEST_SOURCES:
                for _ in range(2 if _is_large(region) else 1):
                    self._add(region.name, region)
        for region in (*large, *large, *seen):  # rather one more of what is seen than of what is not
            if len(self._picks) < FEWEST_SOURCES:
                self._add(region.name, region)
        for name in self._textures_by_fit() * 2:
            if len(self._picks) < FEWEST_SOURCES:
                self._add(name, None)
        self._choose_ways()
        self._cover_roles()
        return self._picks

    def _add(self, region_class: str, region: Region | None) -> None:
        taken = {pick.source.name for pick in self._picks}
        candidates = [s for s in self._table.of(region_class) if s.name not in taken and s.suits(self._place)]
        if candidates and len(self._picks) < MOST_SOURCES:
            best = max(candidates, key=lambda source: self._appeal(source, region))
            self._picks.append(Pick(best, region))

    def _appeal(self, source: Source, region: Region | None) -> float:
        values = _preferences(self._figures, region)
        wanted = sum(weight * (values[name] - 0.5) for name, weight in source.prefers.items())
        same = sum(pick.source.material == source.material for pick in self._picks)
        wanted += _AT_HOME * (self._place.name in source.where)
        return source.likelihood + wanted + _NUDGE * self._nudge(source.name) - _SAME_MATERIAL * same

    def _nudge(self, *names: str) -> float:
        return derive_seed(self._key, *names) / 2**63

    def _textures_by_fit(self) -> list[str]:
        """The texture classes, the one that describes the whole picture best first."""
        f = self._figures
        fit = {
            "rough": f.roughness,
            "smooth": max(f.flatness, 1 - f.roughness),
            "lines": max(f.horizontal, f.upright),
            "regular": f.regularity,
        }
        return sorted(fit, key=lambda name: (-fit[name], name))

    def _choose_ways(self) -> None:
        """Two ways for each source and a third for the first two; roles that are still missing come first."""
        for place, pick in enumerate(self._picks):
            for _ in range(3 if place < 2 and len(self._picks) < MOST_SOURCES else 2):
                self._add_way(pick)

    def _add_way(self, pick: Pick) -> None:
        covered = _roles(self._picks)
        free = [way for way in pick.source.variants if way not in pick.ways]
        if free:
            pick.ways.append(max(free, key=lambda way: self._use(pick, way, covered)))

    def _use(self, pick: Pick, way: Way, covered: set[str]) -> float:
        missing = way.role != "none" and way.role not in covered and _can_play(way, way.role)
        return way.fit + 0.25 * missing + 0.2 * self._nudge(pick.source.name, way.play)

    def _cover_roles(self) -> None:
        for role in ROLES:
            if role not in _roles(self._picks):
                pick, way = self._way_for(role)
                if pick not in self._picks:
                    self._picks.append(pick)
                pick.ways.append(way)

    def _way_for(self, role: str) -> tuple[Pick, Way]:
        """The first unused way for a role: among the chosen sources, else of the regions, else of the textures."""
        for pick in (*self._picks, *self._others()):
            for way in pick.source.variants:
                if _can_play(way, role) and way not in pick.ways:
                    return pick, way
        raise AssertionError(f"sources.toml has no texture source for the role {role}")

    def _others(self) -> Iterable[Pick]:
        """What could be chosen as well: things of the regions that are seen, then of textures that are not."""
        taken = {pick.source.name for pick in self._picks}
        seen = [(region.name, region) for region in sorted(self._regions, key=rank) if not is_small(region)]
        for name, region in (*seen, *((name, None) for name in self._textures_by_fit())):
            fitting = [s for s in self._table.of(name) if s.name not in taken and s.suits(self._place)]
            for source in sorted(fitting, key=lambda source: -self._appeal(source, region)):
                yield Pick(source, region)


def rank(region: Region) -> tuple[int, float]:
    """Fire, lights and people first, then surfaces, textures, shade and glare, and what is too small to matter."""
    if region.name in SMALL_BY_NATURE:
        order = 0
    elif is_small(region):
        order = 4
    else:
        order = 3 if region.name == "dark" else 2 if region.name in (*TEXTURES, "bright") else 1
    return order, -region.presence * region.purity


def _is_large(region: Region) -> bool:
    return region.presence >= _LARGE_AREA and region.name not in _GLARE


def is_small(region: Region) -> bool:
    """Whether a region is too small to be told of or asked for sources; lights, fire and people never are."""
    return region.area < _SMALL_AREA[region.name in (*TEXTURES, "dark")] and region.name not in SMALL_BY_NATURE


def confidence(pick: Pick, way: Way, table: Table) -> float:
    """0.45 + 0.5 * min(1, area / 0.3) * purity, limited by the class, times the way's fit; two decimals.

    The area of a lamp, a fire or a person is taken as the eye weighs it (`Region.presence`).
    """
    region = pick.region
    if region is None:
        return round(_ABSENT_CONFIDENCE * way.fit, 2)
    seen = 0.45 + 0.5 * min(1.0, region.presence / 0.3) * region.purity
    return round(min(table.region[region.name].cap, seen) * way.fit, 2)


def _roles(picks: Iterable[Pick]) -> set[str]:
    """The roles that are covered: drums by anything meant for them, melodic roles by what has a tone."""
    return {way.role for pick in picks for way in pick.ways if _can_play(way, way.role)}


def _can_play(way: Way, role: str) -> bool:
    return way.role == role and (way.pitched or role not in MELODIC_ROLES)


def _preferences(figures: Figures, region: Region | None) -> Mapping[str, float]:
    """The figures that a source may prefer, all 0..1."""
    values = {name: float(value) for name, value in asdict(figures).items()}
    values["warmth"] = (figures.warmth + 1) / 2
    values["area"] = 0.5 if region is None else min(1.0, region.area / 0.5)
    values["low"] = 0.5 if region is None else region.y
    values["grain"] = figures.roughness if region is None else float(np.clip(region.grain / 12, 0, 1))
    return values


def _fingerprint(regions: tuple[Region, ...], figures: Figures) -> int:
    rounded = {name: round(float(value), 2) for name, value in asdict(figures).items()}
    areas = {region.name: [round(region.area, 2), round(region.x, 1), round(region.y, 1)] for region in regions}
    return int(sha256_json([rounded, areas])[:15], 16)
