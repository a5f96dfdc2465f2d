"""band.json: the manifest of a ready-made band, one of soundfonts/."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.document import Document, Part
from schemas.effect import Sha256
from schemas.run import Engines, RelativePath


class BandFile(Part):
    """One file of the band (its path within the band's folder)."""

    path: RelativePath
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class Band(Document):
    """A band that was made of a picture and is ready to play: instruments laid out as in a run, without their SF2 files.

    `picture` names what it was made of, `licence` is that of the sounds.
    """

    schema_name: ClassVar[str] = "band"

    name: str
    title: str
    picture: str
    photone_version: str
    seed: int = Field(ge=0)
    engines: Engines
    licence: str
    files: list[BandFile] = Field(min_length=1)
