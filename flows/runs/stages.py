"""The stages of a run as plain functions: each reads files of the run folder, does its work, and writes files there.

Nothing here knows of Prefect or of the command line; `flows/deployed/tracked.py` wraps the same functions in tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.audio import read_audio, write_audio
from core.engines import EngineInfo
from core.errors import PhotoneError
from core.manifest import sha256_file
from core.seeds import derive_seed
from flows.engines import load_engine
from flows.runs import editing
from flows.runs.ledger import Examination, Ledger, UndoneError, files_under
from flows.runs.locks import LOCK_FILE, run_lock
from flows.runs.songs import Made, Report, ShowScore, SongOptions, finish, song_stage
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.effects.making import Previous, Told, make_effects, read_effects
from phase1_sound.vision import VISION_ENGINES
from phase1_sound.vision.pictures import save_analysed
from phase1_sound.vision.protocol import VisionRequest
from phase2_music.instruments.build import InstrumentRequest, build_instrument
from phase2_music.instruments.casting import Candidate, cast_band, traits_of
from phase2_music.timbre import TIMBRE_ENGINES
from phase2_music.timbre.protocol import TimbreEngine
from schemas.document import ROLES, Role
from schemas.effect import Effect, Effects, EngineRecord
from schemas.instrument import Instrument
from schemas.run import Asked, Casting, Engines, PictureRecord
from schemas.scene import read_scene

_TABLES = {"vision": VISION_ENGINES, "effects": EFFECTS_ENGINES, "timbre": TIMBRE_ENGINES}
# Raised when a stage's result changes without its inputs changing: old results are then made again.
_VERSIONS = {"picture": 1, "scene": 1, "effects": 1, "casting": 1, "instrument": 2}


@dataclass(frozen=True)
class MakeOptions:
    """What `photone make` is asked for.

    Engines are "name" or "name:argument"; `cast` gives roles to effects by number, `compact`
    builds small instruments.
    """

    picture: Path
    out: Path
    vision: str = VISION_ENGINES.default
    effects: str = EFFECTS_ENGINES.default
    timbre: str = TIMBRE_ENGINES.default
    seed: int = 0
    cast: Mapping[Role, Sequence[int]] = field(default_factory=dict)
    song: SongOptions = field(default_factory=SongOptions)
    compact: bool = False


def check_options(options: MakeOptions) -> None:
    """Refuse what cannot work before any work is done.

    Raises:
        UsageError: an unknown engine.
        EngineError: an engine cannot run here.
        SceneError: the sidecar's scene is not valid.
        ScoreError: an unknown or unreadable score.
    """
    for stage, table in _TABLES.items():
        load_engine(table, getattr(options, stage))
    options.song.read()


def picture_stage(ledger: Ledger, options: MakeOptions) -> None:
    """picture.jpg: the picture as analysed."""
    source = options.picture
    depends = {"version": _VERSIONS["picture"], "sha256": sha256_file(source) if source.is_file() else str(source)}

    def work() -> list[Path]:
        analysed = save_analysed(source, ledger.folder / "picture.jpg")
        record = PictureRecord(
            file=source.name,
            sha256=analysed.sha256,
            width=analysed.width,
            height=analysed.height,
            notes=list(analysed.notes),
        )
        ledger.note(picture=record)
        return [ledger.folder / "picture.jpg"]

    ledger.stage("picture", depends, work)


def scene_stage(ledger: Ledger, options: MakeOptions) -> None:
    """scene.json: what can be heard in the picture.

    A scene that was edited by hand stays as long as picture and engine are the same; the engine's own lies beside it then.
    """
    engine = load_engine(VISION_ENGINES, options.vision)
    picture = ledger.folder / "picture.jpg"
    edit = editing.standing(ledger, engine.info)
    out = ledger.folder / (editing.ORIGINAL if edit else editing.SCENE)

    def work() -> list[Path]:
        notes = editing.kept_aside(ledger) if edit is None else []
        engine.describe(VisionRequest(picture, notes.append)).write(out)
        ledger.note(scene_notes=notes)
        return [out]

    ledger.stage("scene", _depends("scene", engine.info, picture=sha256_file(picture)), work)
    if edit is not None:
        editing.edit_stage(ledger, edit)
    elif ledger.run.scene_edit is not None:
        ledger.edit_scene(None, {out: "scene"})


def effects_stage(ledger: Ledger, options: MakeOptions, report: Report = lambda text: None) -> None:
    """effects/: every variant of the scene as a sound; `report` is told how far it is."""
    scene_path, out = ledger.folder / "scene.json", ledger.folder / "effects"
    engine = load_engine(EFFECTS_ENGINES, options.effects)
    scene_sha256 = sha256_file(scene_path)

    def depends(scene_sha256: str) -> dict[str, object]:
        return _depends("effects", engine.info, scene=scene_sha256, seed=options.seed)

    def work() -> list[Path]:
        scene, seed, previous = read_scene(scene_path), derive_seed(options.seed, "effects"), None
        # `photone effects --only` may have changed what this stage had made, and an edit of the scene may have left some
        # variants as they were: those effects stay, and the rest is not made again.
        if old := read_effects(out):
            same, edited = ledger.knows("effects", depends(old.scene_sha256)), ledger.run.scene_edit is not None
            previous = Previous.of(old, scene, scene_sha256, seed, same=same, edited=edited)
        make_effects(scene, scene_sha256, engine, out, seed, told=effects_told(report), previous=previous)
        return files_under(out)

    ledger.stage("effects", depends(scene_sha256), work)


def effects_told(report: Report) -> Told:
    """How the makers of effects tell a run's `report`."""
    return Told(lambda done, of: report(f"effects: {done} of {of}"), lambda text: report(f"effects: {text}"))


def casting_stage(ledger: Ledger, options: MakeOptions) -> None:
    """Which effect plays which role, in run.json."""
    folder = ledger.folder / "effects"

    def work() -> list[Path]:
        effects = Effects.read(folder / "effects.json").effects
        choices = cast_band([_candidate(effect, folder) for effect in effects], options.cast)
        files = {effect.number: f"effects/{effect.file}" for effect in effects}
        ledger.note(
            casting=[
                Casting(
                    role=c.role,
                    effect=files[c.candidate.number],
                    number=c.candidate.number,
                    score=c.score,
                    reason=c.reason,
                )
                for c in choices
            ]
        )
        return []

    wishes = {role: list(numbers) for role, numbers in options.cast.items()}
    effects_sha256 = sha256_file(folder / "effects.json")
    ledger.stage("casting", {"version": _VERSIONS["casting"], "effects": effects_sha256, "cast": wishes}, work)


def _candidate(effect: Effect, folder: Path) -> Candidate:
    traits = traits_of(read_audio(folder / effect.file))
    name = f"{effect.source}: {effect.play_method}"
    return Candidate(effect.number, name, effect.role_hint, effect.confidence, traits)


def instruments_stage(ledger: Ledger, options: MakeOptions, on_role: Report = lambda role: None) -> None:
    """timbres/ and instruments/: one stage per role, so that a changed effect rebuilds only what is made of it."""
    engine = TIMBRE_ENGINES.load(options.timbre)
    document = Effects.read(ledger.folder / "effects" / "effects.json")
    for role in ROLES:
        on_role(role)
        _instrument_stage(ledger, role, document, engine, options)


def _instrument_stage(
    ledger: Ledger, role: Role, document: Effects, engine: TimbreEngine, options: MakeOptions
) -> None:
    by_number = {effect.number: effect for effect in document.effects}
    effects = [by_number[casting.number] for casting in ledger.run.casting if casting.role == role]
    effect, *others = effects
    facts: dict[str, Any] = {"pan": effect.pan, "openness": document.openness, "compact": options.compact}
    folder = ledger.folder / "effects"
    out = ledger.folder / "instruments" / role
    timbre = ledger.folder / "timbres" / f"{role}.wav"

    def work() -> list[Path]:
        request = InstrumentRequest(
            sound=read_audio(folder / effect.file),
            file=f"effects/{effect.file}",
            sha256=effect.sha256,
            name=effect.source,
            role=role,
            seed=derive_seed(options.seed, "instrument", role),
            **facts,
            others=tuple(read_audio(folder / other.file) for other in others),
        )
        built = build_instrument(request, engine, out)
        write_audio(timbre, built.colour)
        return [*files_under(out), timbre]

    depends = _depends(
        "instrument", engine.info, effects=[e.sha256 for e in effects], role=role, seed=options.seed, **facts
    )
    stage = f"instrument-{role}"
    if ledger.stage(stage, depends, work):
        _rename_effect(ledger, stage, out / "instrument.json", f"effects/{effect.file}")


def _rename_effect(ledger: Ledger, stage: str, path: Path, file: str) -> None:
    """Where an edit of the scene has given an instrument's effect another number, its document says so; the rest stays."""
    instrument = Instrument.read(path)
    source = instrument.source_effect
    if source.file != file:
        renamed = source.model_copy(update={"file": file})
        ledger.rewrite(stage, path, instrument.model_copy(update={"source_effect": renamed}))


def note_engines(ledger: Ledger, options: MakeOptions) -> None:
    """Write into the manifest which engines make this run, and how they were asked for."""
    made = {stage: load_engine(table, getattr(options, stage)) for stage, table in _TABLES.items()}
    records = {stage: EngineRecord.of(engine.info) for stage, engine in made.items()}
    edit = editing.standing(ledger, made["vision"].info)
    if edit is not None:
        records["vision"] = edit.marked
    asked = Asked(
        **{stage: getattr(options, stage) for stage in _TABLES},
        cast={role: list(numbers) for role, numbers in options.cast.items()},
        compact=options.compact,
        songs=ledger.run.asked.songs if ledger.run.asked else {},
    )
    ledger.note(engines=Engines(**records), asked=asked)


def _depends(stage: str, info: EngineInfo, **inputs: object) -> dict[str, object]:
    engine = [info.name, info.version, info.weights_sha256, dict(info.options)]
    return {"version": _VERSIONS[stage], "engine": engine, **inputs}


def make(options: MakeOptions, report: Report = lambda stage: None, show: ShowScore = lambda score: None) -> Made:
    """Picture -> song: every stage that is not done yet, in order.

    Raises:
        PhotoneError: with what was wrong; finished stages stay, so the next call goes on from there.
    """
    check_options(options)
    with run_lock(options.out):
        return _make(options, report, show)


def _make(options: MakeOptions, report: Report, show: ShowScore) -> Made:
    report("picture")
    ledger = open_run(options)
    report("scene")
    scene_stage(ledger, options)
    report("effects")
    effects_stage(ledger, options, report)
    report("casting")
    casting_stage(ledger, options)
    instruments_stage(ledger, options, lambda role: report(f"instrument {role}"))
    report("song")
    song_folder = song_stage(ledger, options.song, show)
    ledger.mark_untouched()
    return finish(ledger, song_folder)


def finished(options: MakeOptions) -> Path:
    """The song's folder of a run in which nothing is left to do; only hashes are computed, nothing is written.

    Raises:
        UndoneError: with the first stage that is to be done.
        PhotoneError: an engine cannot run here, the score cannot be read, or run.json is damaged.
    """
    ledger = Examination(options.out)
    picture_stage(ledger, options)
    scene_stage(ledger, options)
    effects_stage(ledger, options)
    casting_stage(ledger, options)
    instruments_stage(ledger, options)
    song_folder = song_stage(ledger, options.song)
    ledger.require("cover")
    ledger.require("archive")
    ledger.require("page")
    if not (options.out / "index.html").is_file():
        raise UndoneError("page")
    return song_folder


def open_run(options: MakeOptions) -> Ledger:
    """Open the run folder and bring in the picture; a folder made for a picture that cannot be read goes away again."""
    fresh = not _held(options.out)
    ledger = Ledger.open(options.out, options.seed)
    try:
        picture_stage(ledger, options)
        note_engines(ledger, options)
    except PhotoneError:
        if fresh:
            _empty(options.out)
        raise
    return ledger


def _held(folder: Path) -> list[Path]:
    """What a run folder holds beside its lock."""
    return [path for path in folder.iterdir() if not path.name.startswith(LOCK_FILE)] if folder.is_dir() else []


def _empty(folder: Path) -> None:
    for path in _held(folder):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # its lock is there still, and takes the folder along when it goes
        folder.rmdir()
