"""The stages of a run as plain functions: each reads files of the run folder, does its work, and writes files there.

Nothing here knows of Prefect or of the command line; `flows/tracked.py` wraps the same functions in tasks.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.audio import read_audio, write_audio
from core.engines import EngineInfo
from core.errors import DocumentError, InstrumentError, PhotoneError
from core.manifest import sha256_file
from core.seeds import derive_seed
from flows.ledger import RUN_FILE, Ledger, files_under
from flows.page import write_page
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.effects.making import make_effects
from phase1_sound.vision import VISION_ENGINES
from phase1_sound.vision.pictures import save_analysed
from phase1_sound.vision.protocol import VisionRequest
from phase2_music.instruments.build import InstrumentRequest, build_instrument
from phase2_music.instruments.casting import Candidate, cast_band, traits_of
from phase2_music.rendering.render import RenderOptions, find_band, render_song
from phase2_music.rendering.score import read_score
from phase2_music.scores import bundled_scores, find_score
from phase2_music.timbre import TIMBRE_ENGINES
from phase2_music.timbre.protocol import TimbreEngine
from schemas.document import ROLES, Role
from schemas.effect import Effect, Effects, EngineRecord
from schemas.instrument import Instrument
from schemas.run import Casting, Engines, PictureRecord, Run
from schemas.scene import read_scene
from schemas.song import Song

Report = Callable[[str], None]
"""Told the name of each stage as it begins."""

_TABLES = {"vision": VISION_ENGINES, "effects": EFFECTS_ENGINES, "timbre": TIMBRE_ENGINES}
# Raised when a stage's result changes without its inputs changing: old results are then made again.
_VERSIONS = {"picture": 1, "scene": 1, "effects": 1, "casting": 1, "instrument": 1, "song": 1}


@dataclass(frozen=True)
class MakeOptions:
    """What `photone make` is asked for.

    Engines are "name" or "name:argument"; `score` is a bundled name or a path; `cast` gives roles to effects by number.
    """

    picture: Path
    out: Path
    score: str = "canon"
    vision: str = VISION_ENGINES.default
    effects: str = EFFECTS_ENGINES.default
    timbre: str = TIMBRE_ENGINES.default
    seed: int = 0
    preview_s: float | None = None
    cast: Mapping[Role, Sequence[int]] = field(default_factory=dict)


def score_name(score: str) -> str:
    """The name of a score's folder under songs/: of letters, digits, dots and dashes."""
    stem = Path(score).stem if score not in bundled_scores() else score
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "score"


def check_options(options: MakeOptions) -> None:
    """Refuse what cannot work before any work is done.

    Raises:
        UsageError: an unknown engine.
        EngineError: an engine cannot run here.
        SceneError: the sidecar's scene is not valid.
        ScoreError: an unknown or unreadable score.
    """
    for stage, table in _TABLES.items():
        table.load(getattr(options, stage))
    read_score(find_score(options.score))


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
    """scene.json: what can be heard in the picture."""
    picture, out = ledger.folder / "picture.jpg", ledger.folder / "scene.json"
    engine = VISION_ENGINES.load(options.vision)

    def work() -> list[Path]:
        engine.describe(VisionRequest(picture)).write(out)
        return [out]

    ledger.stage("scene", _depends("scene", engine.info, picture=sha256_file(picture)), work)


def effects_stage(ledger: Ledger, options: MakeOptions) -> None:
    """effects/: every variant of the scene as a sound."""
    scene_path, out = ledger.folder / "scene.json", ledger.folder / "effects"
    engine = EFFECTS_ENGINES.load(options.effects)
    scene_sha256 = sha256_file(scene_path)

    def work() -> list[Path]:
        make_effects(read_scene(scene_path), scene_sha256, engine, out, derive_seed(options.seed, "effects"))
        return files_under(out)

    ledger.stage("effects", _depends("effects", engine.info, scene=scene_sha256, seed=options.seed), work)


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
    effects = {e.number: e for e in Effects.read(ledger.folder / "effects" / "effects.json").effects}
    for role in ROLES:
        on_role(role)
        played = [effects[casting.number] for casting in ledger.run.casting if casting.role == role]
        _instrument_stage(ledger, role, played, engine, options.seed)


def _instrument_stage(ledger: Ledger, role: Role, effects: list[Effect], engine: TimbreEngine, seed: int) -> None:
    effect, *others = effects
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
            seed=derive_seed(seed, "instrument", role),
            pan=effect.pan,
            others=tuple(read_audio(folder / other.file) for other in others),
        )
        built = build_instrument(request, engine, out)
        write_audio(timbre, built.colour)
        return [*files_under(out), timbre]

    depends = _depends(
        "instrument", engine.info, effects=[e.sha256 for e in effects], pan=effect.pan, role=role, seed=seed
    )
    ledger.stage(f"instrument-{role}", depends, work)


def song_stage(ledger: Ledger, score: str, preview_s: float | None) -> Path:
    """songs/<score>/: the score played by the band; gives that folder."""
    path = find_score(score)
    # A preview has a folder of its own: it must not take the place of a whole song.
    out = ledger.folder / "songs" / (score_name(score) + ("-preview" if preview_s else ""))
    band = find_band(ledger.folder / "instruments")
    options = RenderOptions(preview_s=preview_s)

    def work() -> list[Path]:
        render_song(read_score(path), band, out, options)
        return files_under(out)

    depends = {
        "version": _VERSIONS["song"],
        "score": sha256_file(path),
        "instruments": {role: sha256_file(sf2) for role, sf2 in band.sf2.items()},
        "pans": band.pan,
        "options": dataclasses.asdict(options),
    }
    ledger.stage(f"song-{out.name}", depends, work)
    return out


def note_engines(ledger: Ledger, options: MakeOptions) -> None:
    """Write into the manifest which engines make this run."""
    records = {stage: EngineRecord.of(table.load(getattr(options, stage)).info) for stage, table in _TABLES.items()}
    ledger.note(engines=Engines(**records))


def _depends(stage: str, info: EngineInfo, **inputs: object) -> dict[str, object]:
    engine = [info.name, info.version, info.weights_sha256, dict(info.options)]
    return {"version": _VERSIONS[stage], "engine": engine, **inputs}


@dataclass(frozen=True)
class Made:
    """A finished run: its manifest, the song that was asked for and that song's folder."""

    run: Run
    song: Song
    song_folder: Path


def finish(ledger: Ledger, song_folder: Path) -> Made:
    """Gather the warnings of all documents into the manifest, write the page and say what came out."""
    folder = ledger.folder
    effects = Effects.read(folder / "effects" / "effects.json").effects
    instruments = [Instrument.read(folder / "instruments" / role / "instrument.json") for role in ROLES]
    song = Song.read(song_folder / "song.json")
    warnings = list(ledger.run.picture.notes) if ledger.run.picture else []
    warnings += [f"{effect.file}: {problem}" for effect in effects for problem in effect.verdict]
    warnings += [f"{instrument.role}: {warning}" for instrument in instruments for warning in instrument.warnings]
    ledger.note(warnings=[*warnings, *song.warnings])
    write_page(folder, ledger.run)
    return Made(ledger.run, song, song_folder)


def make(options: MakeOptions, report: Report = lambda stage: None) -> Made:
    """Picture -> song: every stage that is not done yet, in order.

    Raises:
        PhotoneError: with what was wrong; finished stages stay, so the next call goes on from there.
    """
    check_options(options)
    report("picture")
    ledger = open_run(options)
    for name, stage in (("scene", scene_stage), ("effects", effects_stage), ("casting", casting_stage)):
        report(name)
        stage(ledger, options)
    instruments_stage(ledger, options, lambda role: report(f"instrument {role}"))
    report("song")
    return finish(ledger, song_stage(ledger, options.score, options.preview_s))


def open_run(options: MakeOptions) -> Ledger:
    """Open the run folder and bring in the picture; a folder made for a picture that cannot be read goes away again."""
    existed = options.out.exists()
    ledger = Ledger.open(options.out, options.seed)
    try:
        picture_stage(ledger, options)
        note_engines(ledger, options)
    except PhotoneError:
        if not existed:
            shutil.rmtree(options.out, ignore_errors=True)
        raise
    return ledger


def swap(folder: Path, score: str, preview_s: float | None, report: Report = lambda stage: None) -> Made:
    """Play another score with the band of a finished run, into its songs/.

    Raises:
        DocumentError: the folder is not a run.
        ScoreError: the score cannot be read.
    """
    check_swap(folder, score)
    ledger = Ledger.read(folder)
    report("song")
    song_folder = song_stage(ledger, score, preview_s)
    ledger.mark_untouched()
    return finish(ledger, song_folder)


def check_swap(folder: Path, score: str) -> None:
    """Refuse a score that cannot be read and a run whose instruments are not finished.

    Raises:
        ScoreError: the score cannot be read.
        DocumentError: a role has no instrument.
    """
    read_score(find_score(score))
    Run.read(folder / RUN_FILE)
    for role in ROLES:
        if not (folder / "instruments" / role / "instrument.json").is_file():
            raise DocumentError(f"{folder}: has no finished {role}: run `photone make` on it again")


def render(instruments: Path, score: str, out: Path, preview_s: float | None) -> Song:
    """Play a score with a folder of instruments into `out`.

    Raises:
        InstrumentError: no instruments there, or `out` holds something other than a song.
    """
    parsed = read_score(find_score(score))
    band = find_band(instruments)
    if out.is_dir() and any(out.iterdir()) and not (out / "song.json").is_file():
        raise InstrumentError(f"{out}: holds other files than a song: choose an empty folder with --out")
    return render_song(parsed, band, out, RenderOptions(preview_s=preview_s))
