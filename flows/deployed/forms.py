"""The forms of the served flows: choices, texts and limits as a musician reads them in Prefect's user interface.

A deployment's parameters are checked against the JSON Schema of these types before a run is made, and against the types
themselves before it begins. Choices come from the tables that the command line reads. `X | None` would show as tabs, so an
empty text or a named choice stands for "nothing".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from core.engines import EngineTable
from core.errors import PhotoneError, UsageError
from flows.demo import demo_picture
from flows.runs.ledger import RUN_FILE
from flows.runs.roots import (
    PICTURE_LIMIT_BYTES,
    SCENE_LIMIT_BYTES,
    SCORE_LIMIT_BYTES,
    check_engine,
    check_size,
    inside,
    runs_folder,
)
from flows.runs.songs import SongOptions, score_name
from flows.runs.stages import MakeOptions
from flows.wishes import parse_cast, parse_map
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.vision import VISION_ENGINES
from phase2_music.rendering.encoding import FILE_FORMATS, FileFormat
from phase2_music.rendering.mixing import MixOptions
from phase2_music.rendering.render import RenderOptions
from phase2_music.scores import bundled_scores
from phase2_music.timbre import TIMBRE_ENGINES
from schemas.document import ROLES

DEMO = "demo"
LATEST = "latest"
OWN_SCORE = "my own file"
CUSTOM_LOOK = "custom"
NO_PARENTS = r"^(?!(.*/)?\.\.(/|$))"


@dataclass(frozen=True)
class Look:
    """A ready-made mix: integrated loudness in LUFS, without reverb or with the room of the picture."""

    title: str
    loudness_lufs: float = -14.0
    dry: bool = False


LOOKS = {
    "natural": Look("the room of the picture, as loud as streaming services play (-14 LUFS)"),
    "dry": Look("no reverb, for mixing it yourself (-14 LUFS)", dry=True),
    "broadcast": Look("the room of the picture, as quiet as radio and television ask (-23 LUFS)", -23.0),
    "loud": Look("the room of the picture, limited hard (-9 LUFS)", -9.0),
}


class Player(Enum):
    """A role of the band."""

    KEYBOARD = "keyboard"
    BASS = "bass"
    GUITAR = "guitar"
    DRUMS = "drums"


def _listed(lines: Iterable[str]) -> str:
    return "; ".join(lines)


def shown(title: str, text: str, position: int, schema: dict[str, Any] | None = None, **limits: Any) -> Any:
    """How a parameter of a flow is shown, for `Annotated[..., shown(...)]`; `schema` goes into its JSON Schema only.

    Prefect gives every parameter its own name as title and its docstring's text as description. Only what stands under
    `json_schema_extra` outlives that.
    """
    return Field(
        json_schema_extra={"title": title, "description": text, "position": position, **(schema or {})}, **limits
    )


def choice(choices: Iterable[str], title: str, text: str, position: int) -> Any:
    """What makes a `str` a dropdown: the schema's `enum`, and a check of the same. For `Annotated[str, *choice(...)]`."""
    known = tuple(choices)

    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"choose one of {', '.join(known)}")
        return value

    return AfterValidator(check), shown(title, text, position, schema={"enum": list(known)})


def path_text(title: str, text: str, position: int, **limits: Any) -> Any:
    """A text box for a path, for `Annotated[str, path_text(...)]`.

    "..": refused by the flow (`roots.inside`) and, by the schema's pattern, before a run is made. The pattern stands in the
    schema only, since pydantic's own expressions know no look-ahead.
    """
    return shown(title, text, position, schema={"pattern": NO_PARENTS}, max_length=1000, **limits)


def _engine(table: EngineTable, title: str, position: int) -> Any:
    known = _listed(f"{name}: {entry.summary}" for name, entry in table.entries.items())
    return choice(table.entries, title, known, position)


def _scores() -> Any:
    known = bundled_scores()
    text = _listed(f"{name}: {score.title}, {score.composer} ({score.mood})" for name, score in known.items())
    return choice((*known, OWN_SCORE), "Score", f"{text}; {OWN_SCORE}: the MIDI file named below", 1)


def _looks() -> Any:
    text = _listed(f"{name}: {look.title}" for name, look in LOOKS.items())
    choices = (*LOOKS, CUSTOM_LOOK)
    return choice(choices, "Look of the mix", f"{text}; {CUSTOM_LOOK}: loudness and reverb as in the options", 6)


_players = shown(
    "Who plays", "The players that are heard. Take some out to practise their part yourself.", 7, min_length=1
)

ScoreName = Annotated[str, *_scores()]
ScoreFile = Annotated[str, path_text("Own MIDI file", f"Path of a .mid file; read when the score is '{OWN_SCORE}'", 2)]
VisionName = Annotated[str, *_engine(VISION_ENGINES, "Who looks at the picture", 3)]
EffectsName = Annotated[str, *_engine(EFFECTS_ENGINES, "Who makes the sounds", 4)]
TimbreName = Annotated[str, *_engine(TIMBRE_ENGINES, "Who makes instruments of them", 5)]
LookName = Annotated[str, *_looks()]
Players = Annotated[list[Player], _players]
PictureFile = Annotated[
    str,
    path_text(
        "Picture",
        f"Path of a photograph or drawing (JPEG, PNG, WebP, TIFF ...); '{DEMO}' is the picture that photone brings along",
        0,
        min_length=1,
    ),
]
RunName = Annotated[
    str,
    path_text(
        "Run",
        f"Folder of a finished run whose band plays; '{LATEST}' is the newest",
        0,
        min_length=1,
    ),
]
SceneFile = Annotated[
    str,
    path_text(
        "Edited scene", "Path of a scene.json in place of the run's; left empty: back to the scene as it was seen", 1
    ),
]
BaseScene = Annotated[
    str,
    shown(
        "Made from",
        "SHA-256 of the scene that was edited, so that no change of somebody else is lost; left empty: not looked at",
        2,
        schema={"pattern": "^([0-9a-f]{64})?$"},
        max_length=64,
    ),
]
EffectNumber = Annotated[int, shown("Effect", "Number of the effect that is made again", 1, ge=1, le=9999)]
EffectSeed = Annotated[int, shown("Seed", "Another number gives another sound", 2, ge=0, le=2**53)]
OutFolder = Annotated[str, path_text("Folder for the run", "Left empty: runs/<picture>-<score>", 8)]
ALL_PLAYERS = list(Player)


class SongForm(BaseModel):
    """How the score is played."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Options")

    preview_s: float = Field(
        0.0, ge=0, le=36000, title="Preview", description="Only so many seconds, from the first note on; 0 plays it all"
    )
    file_format: FileFormat = Field(FILE_FORMATS[0], title="Format of the song")
    track_roles: str = Field(
        "",
        max_length=1000,
        title="Roles for tracks",
        description="Lead=guitar,3=bass: roles for tracks of the score by name or number; the rest as General MIDI says",
    )
    fold_octaves: bool = Field(
        False, title="Fold octaves", description="Bring notes beyond an instrument's range into it by octaves"
    )
    stems_only: bool = Field(False, title="Stems only", description="Write a file for each player and no song")
    loudness_lufs: float = Field(
        -14.0, ge=-40, le=-5, title="Loudness (LUFS)", description=f"Read when the look is '{CUSTOM_LOOK}'"
    )
    dry: bool = Field(False, title="No reverb", description=f"Read when the look is '{CUSTOM_LOOK}'")

    def song(self, score: str, score_file: str, look: str, players: list[Player]) -> SongOptions:
        """What is played and how.

        Raises:
            UsageError: the own file is not named, lies outside the roots, is too large, or a track's role cannot be read.
        """
        chosen = LOOKS.get(look, Look("", self.loudness_lufs, self.dry))
        mix = MixOptions(
            loudness_lufs=chosen.loudness_lufs, dry=chosen.dry, stems_only=self.stems_only, file_format=self.file_format
        )
        playing = RenderOptions(self.preview_s or None, self.fold_octaves, mix)
        wanted = tuple(role for role in ROLES if Player(role) in players)
        return SongOptions(read_score_choice(score, score_file), parse_map(self.track_roles), playing, wanted)


class MakeForm(SongForm):
    """How picture, sounds and instruments are made, and how the score is played."""

    seed: int = Field(0, ge=0, le=2**53, title="Seed", description="Another number gives other sounds")
    compact: bool = Field(
        False, title="Small instruments", description="A sample for every sixth key, no round robins, 16 bits: faster"
    )
    cast: str = Field(
        "",
        max_length=200,
        pattern=r"^\s*((keyboard|bass|guitar|drums)\s*=\s*\d{1,4}(\+\d{1,4})*\s*(,\s*|$))*$",
        title="Casting",
        description="bass=3,drums=1+4: effects for roles by their numbers; the rest is chosen",
    )
    vision_detail: str = Field(
        "",
        max_length=1000,
        title="Who looks: which",
        description="What the engine needs, as 3B for qwen, or a scene.json for sidecar",
    )
    effects_detail: str = Field(
        "",
        max_length=1000,
        title="Who makes the sounds: which",
        description="As large for audioldm2, or a folder for folder",
    )
    timbre_detail: str = Field(
        "", max_length=1000, title="Who makes instruments: which", description="As a model's file"
    )


SongOptionsForm = Annotated[SongForm, shown("Options", "How the score is played", 5)]
MakeOptionsForm = Annotated[MakeForm, shown("Options", "How everything is made, and how the score is played", 9)]


def read_score_choice(score: str, score_file: str) -> str:
    """The bundled name, or the path of the own file.

    Raises:
        UsageError: the own file is not named, lies outside the roots or is too large.
    """
    if score != OWN_SCORE:
        return score
    if not score_file:
        raise UsageError(f"score_file: the score is {OWN_SCORE!r} and no file is named: give the path of a MIDI file")
    path = inside(score_file, "score_file")
    check_size(path, SCORE_LIMIT_BYTES, "score_file")
    return str(path)


def score_choice(score: str) -> tuple[str, str]:
    """A score as the command line names it, as the form's two fields."""
    return (score, "") if score in bundled_scores() else (OWN_SCORE, score)


def read_picture(picture: str) -> Path:
    """The picture's path.

    Raises:
        UsageError: it lies outside the roots or is too large.
    """
    if picture == DEMO:
        return demo_picture()
    path = inside(picture, "picture")
    check_size(path, PICTURE_LIMIT_BYTES, "picture")
    return path


def read_run(run: str) -> Path:
    """The folder of a finished run.

    Raises:
        UsageError: it lies outside the roots, or there is none yet.
    """
    if run != LATEST:
        return inside(run, "run")
    found = sorted(runs_folder().glob(f"*/{RUN_FILE}"), key=lambda path: path.stat().st_mtime)
    finished = [path for path in found if (path.parent / "index.html").is_file()]
    if not finished:
        raise UsageError(f"{runs_folder()}: holds no finished run yet: make a song first")
    return inside(finished[-1].parent, "run")


def read_scene_file(scene_file: str) -> Path | None:
    """The path of an edited scene, None where none is named.

    Raises:
        UsageError: it lies outside the roots or is too large.
    """
    if not scene_file:
        return None
    path = inside(scene_file, "scene_file")
    check_size(path, SCENE_LIMIT_BYTES, "scene_file")
    return path


def read_engine(name: str, detail: str, what: str) -> str:
    """An engine as the command line names it.

    Raises:
        UsageError: its argument leads outside the roots, or to a server that is not listed.
    """
    spec = f"{name}:{detail}" if detail else name
    check_engine(spec, what)
    return spec


@dataclass(frozen=True)
class MakeChoices:
    """The fields of picture-to-song's form beside its options."""

    picture: str
    score: str
    score_file: str
    vision: str
    effects: str
    timbre: str
    look: str
    players: list[Player]
    out: str


def read_make(choices: MakeChoices, form: MakeForm) -> MakeOptions:
    """The form as options of the stages.

    Raises:
        UsageError: a path outside the roots, a file too large, or a text that cannot be read.
    """
    picture = read_picture(choices.picture)
    song = form.song(choices.score, choices.score_file, choices.look, choices.players)
    out = choices.out or runs_folder() / f"{picture.stem}-{score_name(song.score)}"
    return MakeOptions(
        picture=picture,
        out=inside(out, "out"),
        vision=read_engine(choices.vision, form.vision_detail, "vision"),
        effects=read_engine(choices.effects, form.effects_detail, "effects"),
        timbre=read_engine(choices.timbre, form.timbre_detail, "timbre"),
        seed=form.seed,
        cast=parse_cast(form.cast),
        song=song,
        compact=form.compact,
    )


def make_parameters(options: MakeOptions) -> dict[str, Any]:
    """Options as the parameters of picture-to-song: `read_make` backwards, for the command line."""
    score, score_file = score_choice(options.song.score)
    engines = {stage: getattr(options, stage).partition(":") for stage in ("vision", "effects", "timbre")}
    form = MakeForm(
        **_song_fields(options.song),
        seed=options.seed,
        compact=options.compact,
        cast=",".join(f"{role}={'+'.join(map(str, numbers))}" for role, numbers in options.cast.items()),
        **{f"{stage}_detail": detail for stage, (_, _, detail) in engines.items()},
    )
    return {
        "picture": str(options.picture),
        "score": score,
        "score_file": score_file,
        **{stage: name for stage, (name, _, _) in engines.items()},
        "look": CUSTOM_LOOK,
        "players": [Player(role) for role in options.song.players],
        "out": str(options.out),
        "options": form,
    }


def _song_fields(song: SongOptions) -> dict[str, Any]:
    mix = song.render.mix
    return {
        "preview_s": song.render.preview_s or 0.0,
        "fold_octaves": song.render.fold_octaves,
        "track_roles": ",".join(f"{track}={role}" for track, role in song.roles.items()),
        "loudness_lufs": mix.loudness_lufs,
        "dry": mix.dry,
        "stems_only": mix.stems_only,
        "file_format": mix.file_format,
    }


def run_name(picture: str, score: str, score_file: str = "") -> str:
    """What a run is called: its picture and its score."""
    shown = score if score != OWN_SCORE else Path(score_file).stem
    stem = _demo_stem() if picture == DEMO else Path(picture).stem
    return f"{stem or picture} -> {shown or OWN_SCORE}"


def _demo_stem() -> str:
    try:
        return demo_picture().stem
    except (PhotoneError, SystemExit):
        return DEMO
