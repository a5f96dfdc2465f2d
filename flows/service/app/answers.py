"""What the API answers with: these models are its OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.document import Role
from schemas.scene import Scene

RunId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
StageState = Literal["waiting", "running", "done", "kept", "failed", "cancelled"]
JobState = Literal["waiting", "running", "cancelling", "done", "failed", "cancelled"]
JobKind = Literal["make", "song", "scene", "effect"]


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class Problem(Answer):
    """What was wrong with a request, in one line."""

    detail: str


class Look(Answer):
    """A ready-made mix."""

    name: str
    title: str


class Limits(Answer):
    """The most bytes that an upload may have."""

    picture_bytes: int
    midi_bytes: int
    scene_bytes: int


class About(Answer):
    """What this player can do."""

    photone: str
    can_make: bool
    why_not: str | None
    limits: Limits
    looks: list[Look]
    roles: list[Role]


class ScoreAnswer(Answer):
    """A bundled score."""

    name: str
    title: str
    composer: str
    mood: str
    duration_s: float
    tempo_bpm: float
    roles: list[Role]


class SongAnswer(Answer):
    """A song of a run; `current` is False where an earlier band plays it."""

    name: str
    title: str
    url: str | None
    page_url: str | None
    duration_s: float
    loudness_lufs: float
    preview: bool
    current: bool


class RunSummary(Answer):
    """A run as the gallery shows it. With a `problem` (its run.json is damaged) only the fields before `sources` hold."""

    id: RunId
    name: str
    title: str
    url: str
    thumbnail: str | None
    picture: str | None
    made_at: str
    sources: list[str] = []
    roles: dict[Role, str] = {}
    songs: list[SongAnswer] = []
    problem: str | None = None


class RunList(Answer):
    """A page of the gallery; `total` counts all that match."""

    total: int
    runs: list[RunSummary]


class EffectAnswer(Answer):
    """An effect, and its place in the scene."""

    number: int
    name: str
    source: str
    material: str
    play_method: str
    timbre: list[str]
    role_hint: Role | None
    confidence: float
    roles: list[Role]
    url: str
    seed: int
    made_again: bool
    verdict: list[str]
    duration_s: float
    loudness_lufs: float
    source_index: int | None
    variant_index: int | None


class CastingAnswer(Answer):
    """Which effect plays a role, and why."""

    role: Role
    number: int
    effect: str
    reason: str


class EngineNames(Answer):
    """Who made a run."""

    vision: str
    effects: str
    timbre: str


class Download(Answer):
    """A file to take along."""

    name: str
    url: str
    bytes: int


class RunDetail(RunSummary):
    """Everything about a run."""

    scene: Scene | None = None
    scene_sha256: str | None = None
    scene_edited: bool = False
    effects: list[EffectAnswer] = []
    casting: list[CastingAnswer] = []
    seed: int | None = None
    engines: EngineNames | None = None
    downloads: list[Download] = []
    warnings: list[str] = []
    editable: bool = False
    not_editable: str | None = None


class StageAnswer(Answer):
    """How far a stage of a job is; `done` of `of` where it counts."""

    name: str
    state: StageState
    done: int | None = None
    of: int | None = None


class JobAnswer(Answer):
    """A job: Prefect's flow run of this id."""

    id: str
    kind: JobKind
    name: str
    state: JobState
    stages: list[StageAnswer]
    progress: float = Field(ge=0, le=1)
    message: str | None
    started_at: str | None
    ended_at: str | None
    run: RunId | None
    run_url: str | None
    song: str | None
    prefect_url: str | None


class JobList(Answer):
    """Unfinished jobs, then the latest ones that ended."""

    jobs: list[JobAnswer]


class SceneEditRequest(BaseModel):
    """An edited scene, and the hash of the scene that it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scene: Scene
    base_sha256: str = Field(pattern="^[0-9a-f]{64}$")


class AgainRequest(BaseModel):
    """An effect again: with this seed, or with one that is drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int | None = Field(default=None, ge=0, le=2**53)
