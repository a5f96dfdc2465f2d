"""sources.toml as checked objects: which things a region class suggests, and how they may be played."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from phase1_sound.vision.engines.embedded.places import Place, PlaceName
from schemas.document import Part, Role
from schemas.scene import Unit

Preference = Literal[
    "brightness", "contrast", "saturation", "warmth", "detail", "roughness", "regularity",
    "horizontal", "upright", "flatness", "depth", "area", "low", "grain",
]  # fmt: skip
"""What a source may prefer: the picture's figures, and the region's `area`, `low` (how far down), `grain`."""


class RegionClass(Part):
    """How a region class is spoken of. `cap` limits its confidence; `texture`: nothing was recognised.

    `silent`: it suggests no sound, `mood`: what it adds to the mood.
    """

    label: str
    seen: str
    cap: Unit
    texture: bool
    silent: bool = False
    mood: str = ""


class Way(Part):
    """One way to play a source; `fit` (0..1) multiplies the region's confidence, `pitched` ways have a tone."""

    play: str
    timbre: Annotated[list[str], Field(min_length=1, max_length=6)]
    role: Literal["keyboard", "bass", "guitar", "drums", "none"]
    fit: Unit
    pitched: bool = False

    @property
    def instrument(self) -> Role | None:
        return None if self.role == "none" else self.role


class Source(Part):
    """A thing that a region suggests; the figures that it prefers (weights) decide between several.

    `where` lists the kinds of place in which it may turn up (none: everywhere), `needs` region classes of which one
    has to be in the picture as well.
    """

    region: str
    name: str
    material: str
    likelihood: Unit
    prefers: dict[Preference, float]
    where: tuple[PlaceName, ...] = ()
    needs: tuple[str, ...] = ()
    variants: Annotated[list[Way], Field(min_length=1)]

    def suits(self, place: Place) -> bool:
        """Whether it may turn up in such a place."""
        return (not self.where or place.name in self.where) and (not self.needs or place.has(*self.needs))


class Table(Part):
    """The whole of sources.toml."""

    region: dict[str, RegionClass]
    source: list[Source]

    @model_validator(mode="after")
    def _regions_and_names_match(self) -> Self:
        used = {name for source in self.source for name in (source.region, *source.needs)}
        unknown = used - set(self.region)
        if unknown:
            raise ValueError(f"sources of unknown region classes: {', '.join(sorted(unknown))}")
        names = [source.name for source in self.source]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"sources of the same name: {', '.join(sorted(twice))}")
        return self

    def of(self, region: str) -> list[Source]:
        """The sources of one region class."""
        return [source for source in self.source if source.region == region]


@cache
def load_table() -> Table:
    """Read the table that comes with photone (a mistake in it is a programming mistake and crashes)."""
    text = resources.files(__package__).joinpath("sources.toml").read_text(encoding="utf-8")
    return Table.model_validate(tomllib.loads(text))
