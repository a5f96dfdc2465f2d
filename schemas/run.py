"""run.json: the manifest of a run, enough to resume it and to make it again."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from schemas.document import Document, Part, Role
from schemas.effect import EngineRecord, Sha256

SCHEMA_VERSION = 1
EDITED_BY_HAND = "edited_by_hand"
"""Option of the vision engine's record: the SHA-256 of the scene as edited."""


class PictureRecord(Part):
    """The picture that was given: its name and hash as given, its size as analysed (pixels), notes from reading it."""

    file: str
    sha256: Sha256
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    notes: list[str] = Field(default_factory=list)


class Engines(Part):
    """Which engines made the run."""

    vision: EngineRecord
    effects: EngineRecord
    timbre: EngineRecord


class Stage(Part):
    """One finished stage. `key` is the hash of all that it depends on; `cached` says that the last run did not repeat it."""

    name: str
    elapsed_s: float = Field(ge=0)
    cached: bool
    key: Sha256


# No absolute path, no hidden name and no "..": a manifest from elsewhere must not reach files outside its run.
RelativePath = Annotated[str, Field(pattern=r"^[^./\\][^/\\]*(/[^./\\][^/\\]*)*$")]


class Output(Part):
    """One file of the run (its path within the run folder), and the stage that made it."""

    path: RelativePath
    sha256: Sha256
    bytes: int = Field(ge=0)
    stage: str


class Casting(Part):
    """Which effect plays a role, and why."""

    role: Role
    effect: str
    number: int = Field(ge=1)
    score: float
    reason: str


class SceneEdit(Part):
    """The scene was edited by hand.

    scene.json holds the edited scene (`sha256`), scene-original.json what the vision engine had made (`original_sha256`) of
    the picture as analysed. The edit stands as long as picture and engine are the same.
    """

    sha256: Sha256
    original_sha256: Sha256
    picture_sha256: Sha256
    engine: EngineRecord

    @property
    def stands(self) -> bool:
        """Whether it is in force: it was not taken back."""
        return self.sha256 != self.original_sha256

    @property
    def marked(self) -> EngineRecord:
        """The engine's record, which says that the scene was edited after it."""
        return self.engine.model_copy(update={"options": {**self.engine.options, EDITED_BY_HAND: self.sha256}})


class Asked(Part):
    """What the run was asked for beside its seed, so that parts of it can be made again: engines as they were named, effects
    that were given to roles, and each song by the name of its folder.
    """

    vision: str
    effects: str
    timbre: str
    cast: dict[Role, list[int]] = Field(default_factory=dict)
    compact: bool = False
    songs: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Run(Document):
    """A run so far: written anew after each stage, so a run that was stopped resumes where it stopped."""

    schema_name: ClassVar[str] = "run"

    schema_version: Literal[1] = 1
    photone_version: str
    picture: PictureRecord | None = None
    seed: int = Field(ge=0)
    engines: Engines | None = None
    stages: list[Stage] = Field(default_factory=list)
    casting: list[Casting] = Field(default_factory=list)
    outputs: list[Output] = Field(default_factory=list)
    scene_edit: SceneEdit | None = None
    asked: Asked | None = None
    scene_notes: list[str] = Field(default_factory=list, description="What the vision engine left out of the scene.")
    warnings: list[str] = Field(default_factory=list)
