"""The command line. Contract: exit status 0 = done, 2 = the user's input or usage, 1 = anything else; errors are one line."""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import PhotoneError, UsageError

if TYPE_CHECKING:
    from flows.runs.songs import Made, SongOptions
    from flows.runs.stages import MakeOptions
    from phase2_music.rendering.score import Score
    from schemas.song import Song

# Heavy imports stay inside the commands: `photone --help` answers at once, and Prefect is imported for --track only.

PATH = click.Path(path_type=Path)


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of a musician's work, not of the alphabet

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:  # click would print an empty line of its own
            raise PhotoneError("interrupted: the same command goes on where it stopped") from interrupt


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="photone")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def app(debug: bool) -> None:
    """Pictures become playable music."""


def _example(text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        function.__doc__ = f"{function.__doc__}\n\n\b\nExample:\n  {text}"
        return function

    return decorate


def _engine_options(*stages: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for stage in reversed(stages):
            text = f"Engine for {stage}; see `photone engines`."
            function = click.option(f"--{stage}", metavar="E", default=None, help=text)(function)
        return function

    return decorate


seed_option = click.option("--seed", type=click.IntRange(0, 2**53), default=0, show_default=True, help="Random seed.")
compact_option = click.option(
    "--compact", is_flag=True, help="Small instruments: a sample for every sixth key, no round robins, 16 bits."
)


def _blend_option(function: Callable[..., None]) -> Callable[..., None]:
    """`--blend` of the commands that have a timbre engine: the command gets it as an option of that engine."""

    @wraps(function)
    def command(timbre: str | None, blend: float | None, **values: Any) -> None:
        from phase2_music.timbre import with_blend

        function(timbre=with_blend(timbre, blend), **values)

    text = "How much of a RAVE model's sound notes take at most: 0 = none, 1 = all; for --timbre rave."
    return click.option("--blend", type=click.FloatRange(0, 1), help=text)(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
_SONG_OPTIONS = (
    click.option(
        "--preview",
        "preview_s",
        type=click.FloatRange(0.1, 36000),
        metavar="SECONDS",
        help="Only so many seconds, from the first note on.",
    ),
    click.option(
        "--map",
        "map_text",
        metavar="TRACK=ROLE,...",
        default="",
        help="Roles for tracks of the score by name or number: Lead=guitar,3=bass. The rest as General MIDI says.",
    ),
    click.option("--fold-octaves", is_flag=True, help="Bring notes beyond an instrument's range into it by octaves."),
    click.option("--stems-only", is_flag=True, help="Write the stems and no song."),
    click.option("--dry", is_flag=True, help="No reverb."),
    click.option(
        "--loudness",
        "loudness_lufs",
        type=click.FloatRange(-40, -5),
        metavar="LUFS",
        default=-14.0,
        show_default=True,
        help="Integrated loudness of the song.",
    ),
    click.option(
        "--format",
        "file_format",
        type=click.Choice(["wav", "flac", "mp3", "ogg"]),
        default="wav",
        show_default=True,
        help="Format of the song.",
    ),
)


def _song_options(*, score_required: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Options of every command that plays a score; the command gets them as `song`, a SongOptions."""
    default: dict[str, Any] = {"required": True} if score_required else {"default": "canon", "show_default": True}
    score = click.option(
        "--score", metavar="FILE.mid|NAME", help="A MIDI file or a bundled score (`photone scores`).", **default
    )

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(**values: Any) -> None:
            names = (
                "score",
                "preview_s",
                "map_text",
                "fold_octaves",
                "stems_only",
                "dry",
                "loudness_lufs",
                "file_format",
            )
            given = {name: values.pop(name) for name in names}
            function(song=_song(**given), **values)

        for option in reversed((score, *_SONG_OPTIONS)):
            command = option(command)
        return command

    return decorate


def _song(score: str, preview_s: float | None, map_text: str, fold_octaves: bool, **mix: Any) -> SongOptions:
    from flows.runs.songs import SongOptions
    from flows.wishes import parse_map
    from phase2_music.rendering.mixing import MixOptions
    from phase2_music.rendering.render import RenderOptions

    return SongOptions(score, parse_map(map_text), RenderOptions(preview_s, fold_octaves, MixOptions(**mix)))


@app.command()
@click.argument("picture", type=PATH)
@_song_options(score_required=False)
@click.option(
    "--out", metavar="DIR|ADDRESS", help="Run folder, runs/<picture>-<score> by default; or s3://bucket/prefix/NAME."
)
@_engine_options("vision", "effects", "timbre")
@_blend_option
@seed_option
@click.option("--track", is_flag=True, help="Run as a Prefect flow, on a running server or on one started for it.")
@click.option(
    "--cast",
    "cast_text",
    metavar="ROLE=N,...",
    help="Effects for roles by number: bass=3,drums=1+4. The rest is chosen.",
)
@compact_option
@json_option
@_example("photone make holiday.jpg --score greensleeves")
def make(
    picture: Path, song: SongOptions, out: str | None, cast_text: str | None, as_json: bool, track: bool, **rest: Any
) -> None:
    """Make effects, instruments and a song out of PICTURE."""
    from flows.runs.songs import score_name
    from flows.runs.stages import MakeOptions
    from flows.runs.storage import make_stored, place_of_run
    from flows.wishes import parse_cast

    folder, address = place_of_run(out or f"runs/{picture.stem or 'picture'}-{score_name(song.score)}")
    given = {name: value for name, value in rest.items() if value is not None}
    options = MakeOptions(picture=picture, out=folder, song=song, cast=parse_cast(cast_text or ""), **given)
    began = time.perf_counter()
    if track:
        made = _tracked(options, address)
    else:
        with _progress() as report:
            made = make_stored(options, address, report, _score_shown(as_json))
    _print_made(folder, made, time.perf_counter() - began, as_json)


def _tracked(options: MakeOptions, address: str) -> Made:
    import os

    from flows.runs.stages import check_options
    from flows.runs.storage import ARTIFACTS_VARIABLE

    check_options(options)
    if address:
        os.environ[ARTIFACTS_VARIABLE] = address  # where the flow's tasks look
    from flows.service.server import running_server

    with running_server() as url:
        click.echo(f"tracked at {url.removesuffix('/api')}", err=True)
        # Prefect reads its settings on import: only now are they set.
        from flows.deployed.tracked import run_picture_to_song

        return run_picture_to_song(options)


def _print_made(folder: Path, made: Made, elapsed_s: float, as_json: bool) -> None:
    if as_json:
        cast = [casting.model_dump() for casting in made.run.casting]
        report = {"run": str(folder), "song": str(made.song_path), "elapsed_s": round(elapsed_s, 2), "casting": cast}
        click.echo(json.dumps(report | _figures(made.song), indent=2))
        return
    for casting in made.run.casting:
        click.echo(f"{casting.role:9} {casting.effect}: {casting.reason}")
    for warning in made.run.warnings:
        click.echo(f"note: {warning}", err=True)
    cached = [stage.name for stage in made.run.stages if stage.cached]
    if cached:
        click.echo(f"unchanged, not made again: {', '.join(cached)}")
    click.echo(_figures_line(made.song, elapsed_s))
    click.echo(f"run:  {folder}")
    click.echo(f"song: {made.song_path}")


def _figures(song: Song) -> dict[str, Any]:
    return {
        "duration_s": round(song.duration_s, 3),
        "loudness_lufs": song.loudness_lufs,
        "true_peak_dbtp": song.true_peak_dbtp,
        "rtf": song.rtf,
    }


def _figures_line(song: Song, elapsed_s: float) -> str:
    return (
        f"{song.score.file}: {song.duration_s:.1f} s of music at {song.loudness_lufs:.1f} LUFS, "
        f"true peak {song.true_peak_dbtp:.1f} dBTP, in {elapsed_s:.1f} s"
    )


@app.command()
@click.argument("run", type=PATH)
@_song_options(score_required=True)
@click.option("--out", type=PATH, help="Folder for the song; songs/<score> of the run by default.")
@json_option
@_example("photone swap runs/demo --score mountain-king")
def swap(run: Path, song: SongOptions, out: Path | None, as_json: bool) -> None:
    """Play another score with the band of a finished RUN."""
    from flows.runs import songs

    began = time.perf_counter()
    if out is not None:
        songs.check_band(run)
        made_song = songs.render(run / "instruments", song, out, _score_shown(as_json))
        _print_song(out, made_song, time.perf_counter() - began, as_json)
        return
    with _progress() as report:
        made = songs.swap(run, song, report, _score_shown(as_json))
    _print_made(run, made, time.perf_counter() - began, as_json)


def _score_shown(as_json: bool) -> Callable[[Score], None]:
    """Tells which role plays which track, before a song is rendered."""

    def show(score: Score) -> None:
        for track in score.tracks:
            program = "drum kit" if track.is_drum else f"program {track.program}"
            click.echo(f"track {track.number} {track.name} ({program}, {track.notes} notes): {track.role}")

    return (lambda score: None) if as_json else show


def _print_song(folder: Path, song: Song, elapsed_s: float, as_json: bool) -> None:
    if as_json:
        report = {"song": str(folder / (song.file or "stems")), "elapsed_s": round(elapsed_s, 2)}
        click.echo(json.dumps(report | _figures(song), indent=2))
        return
    click.echo(_figures_line(song, elapsed_s))
    click.echo(f"song: {folder / (song.file or 'stems')}")


@app.command()
@click.argument("folder", type=PATH, default=Path("runs"))
@click.option(
    "--search", default="", metavar="WORDS", help="Only runs in whose names, sources and songs all are found."
)
@click.option("--sort", type=click.Choice(["newest", "oldest", "name"]), default="newest", show_default=True)
@json_option
@_example("photone runs --search 'glass canon'")
def runs(folder: Path, search: str, sort: Any, as_json: bool) -> None:
    """List the finished runs in FOLDER, `runs` by default, as the gallery does."""
    from flows.service.app.catalogue import Catalogue

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder: name the one that your runs are in")
    found = Catalogue(folder).find(search, sort)
    if as_json:
        rows = [{"folder": str(folder / run.name), **run.model_dump()} for run in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for run in found:
        songs = ", ".join(song.title for song in run.songs)
        click.echo(f"{run.made_at[:16].replace('T', ' ')}  {folder / run.name}: {run.problem or songs}")


@app.command()
@click.argument("run", type=PATH)
@click.option("--scene", "scene_file", type=PATH, metavar="FILE", help="A scene.json in place of the run's.")
@click.option("--revert", is_flag=True, help="Back to the scene as the vision engine made it.")
@click.option("--source", type=click.IntRange(1), metavar="N", help="Number of the source to change.")
@click.option("--name", help="Its name.")
@click.option("--material", help="Its material.")
@click.option("--variant", type=click.IntRange(1), metavar="N", help="Number of its variant to change.")
@click.option("--add", metavar="METHOD", help="A new variant: how it is played.")
@click.option("--method", help="How the variant is played.")
@click.option("--timbre", metavar="WORD,...", help="How the variant sounds.")
@click.option(
    "--role", type=click.Choice(["keyboard", "bass", "guitar", "drums", "none"]), help="What it is meant for."
)
@click.option("--confidence", type=click.FloatRange(0, 1), help="How sure it is; effects are made from 0.7 on.")
@click.option("--delete", is_flag=True, help="Take the variant, or the whole source, out of the scene.")
@click.option("--again", metavar="N,...", default="", help="Make these effects again with another --seed.")
@click.option("--seed", type=click.IntRange(0, 2**53), help="Seed for --again; drawn where it is left out.")
@json_option
@_example("photone edit runs/demo --source 2 --variant 1 --timbre bright,short --role guitar")
def edit(
    run: Path, scene_file: Path | None, revert: bool, again: str, seed: int | None, as_json: bool, **change: Any
) -> None:
    """Change the scene of a finished RUN, or make an effect again; only what depends on it is made anew."""
    from flows.runs.effects import parse_only
    from flows.scene_changes import SceneChange

    changes = SceneChange(**change)
    if sum((scene_file is not None, revert, bool(again), not changes.empty)) != 1:
        raise UsageError("edit: one change at a time: --source ..., --scene FILE, --again N or --revert")
    if seed is not None and not again:
        raise UsageError("--seed: goes with --again")
    began = time.perf_counter()
    with _progress() as report:
        made = (
            _made_again(run, parse_only(again), seed, report)
            if again
            else _edited(run, scene_file, None if scene_file or revert else changes, report)
        )
    _print_made(run, made, time.perf_counter() - began, as_json)


def _edited(run: Path, scene_file: Path | None, changes: Any, report: Callable[[str], None]) -> Made:
    from flows.runs import remaking
    from flows.scene_changes import changed_scene
    from schemas.scene import read_scene

    scene = read_scene(scene_file) if scene_file else None
    if changes is not None:
        scene = changed_scene(read_scene(run / "scene.json"), changes)
    return remaking.edit_scene(run, scene, report)


def _made_again(run: Path, numbers: tuple[int, ...], seed: int | None, report: Callable[[str], None]) -> Made:
    import secrets

    from flows.runs import remaking

    chosen = secrets.randbelow(2**31) if seed is None else seed
    click.echo(f"seed {chosen}", err=True)
    return remaking.remake_effects(run, numbers, chosen, report)


@app.command()
@click.argument("picture", type=PATH)
@_engine_options("vision")
@_example("photone describe holiday.jpg > scene.json")
def describe(picture: Path, vision: str | None) -> None:
    """Print the scene JSON of PICTURE: what can be heard in it."""
    import tempfile

    from core.manifest import to_json
    from flows.engines import load_engine
    from phase1_sound.vision import VISION_ENGINES
    from phase1_sound.vision.pictures import save_analysed
    from phase1_sound.vision.protocol import VisionRequest

    engine = load_engine(VISION_ENGINES, vision or VISION_ENGINES.default)
    with tempfile.TemporaryDirectory() as folder:
        analysed = Path(folder) / "picture.jpg"
        save_analysed(picture, analysed)
        click.echo(to_json(engine.describe(VisionRequest(analysed)).to_value()), nl=False)


@app.command()
@click.argument("scene", type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder for the effects and effects.json.")
@_engine_options("effects")
@click.option("--only", metavar="N,...", default="", help="Make these effects again and leave the others as they are.")
@click.option(
    "--prompt", metavar="STYLE?PART=no", default="", help="For engines that read prompts: legacy, caption?mood=yes."
)
@click.option(
    "--replace-failed", "replacement", metavar="E", help="Engine for effects that still fail after four attempts."
)
@seed_option
@json_option
@_example("photone effects runs/demo/scene.json --out runs/demo/effects --only 3 --seed 7")
def effects(scene: Path, out: Path, only: str, as_json: bool, **rest: Any) -> None:
    """Make every variant of SCENE audible, or some of them again."""
    from flows.runs import effects as making
    from phase1_sound.effects.making import Told

    options = making.EffectsOptions(scene, out, only=making.parse_only(only), **rest)
    with _progress() as report:
        told = Told(lambda done, of: report(f"{done} of {of} effects"), report)
        made = making.make(options, told)
    if as_json:
        click.echo(json.dumps(made.to_value(), indent=2, ensure_ascii=False))
        return
    for effect in made.effects:
        if not options.only or effect.number in options.only:
            verdict = f"  ({'; '.join(effect.verdict)})" if effect.verdict else ""
            click.echo(f"{out / effect.file}  {effect.measures.loudness_lufs:.1f} LUFS{verdict}")
    for note in [*made.notes, *(f"no effect of {variant}" for variant in made.left_out)]:
        click.echo(f"note: {note}", err=True)


@app.command()
@click.argument("sound", type=PATH)
@click.option(
    "--role", type=click.Choice(["keyboard", "bass", "guitar", "drums"]), required=True, help="What to build."
)
@click.option("--out", type=PATH, required=True, help="Folder for the instrument.")
@_engine_options("timbre")
@_blend_option
@click.option("--name", help="Name of the instrument; the file's by default.")
@click.option(
    "--character", type=click.FloatRange(0, 1), help="0 = pure tone, 1 = the sound itself; the role's own by default."
)
@compact_option
@seed_option
@json_option
@_example("photone instrument kettle.wav --role guitar --out kettle-guitar")
def instrument(
    sound: Path, role: Any, out: Path, timbre: str | None, name: str | None, as_json: bool, **rest: Any
) -> None:
    """Build a playable instrument (SFZ, SF2, samples) out of SOUND."""
    from core.audio import read_audio
    from core.manifest import check_replaceable, sha256_file
    from phase2_music.instruments.build import InstrumentRequest, build_instrument, own_files
    from phase2_music.timbre import TIMBRE_ENGINES

    engine = TIMBRE_ENGINES.load(timbre or TIMBRE_ENGINES.default)
    audio = read_audio(sound)
    check_replaceable(out, own_files(role), f"part of a {role}")
    request = InstrumentRequest(audio, sound.name, sha256_file(sound), name or sound.stem, role, **rest)
    built = build_instrument(request, engine, out).instrument
    if as_json:
        click.echo(json.dumps(built.to_value(), indent=2, ensure_ascii=False))
        return
    click.echo(f"{built.name}: {built.method}, {len(built.zones)} zones")
    if built.verified.notes:
        verified = built.verified
        median = f"{verified.median_abs_cents} cents"
        click.echo(f"in tune: {verified.within_25_cents} of {verified.notes} samples, median {median} off")
    for note in [*(f"removed {what}" for what in built.cleaned), *built.warnings]:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{out / role}.sfz  {out / role}.sf2")


@app.command("set")
@click.argument("instruments_dir", type=PATH)
@click.option(
    "--out", type=PATH, required=True, help="FILE.sf2 (one SF2, the roles as presets) or FILE.zip (everything)."
)
@_example("photone set runs/demo/instruments --out band.zip")
def set_command(instruments_dir: Path, out: Path) -> None:
    """Put a whole band into one file for any sampler."""
    from phase2_music.instruments.sets import export_set

    export_set(instruments_dir, out)
    click.echo(str(out))


@app.command()
@click.argument("instruments_dir", type=PATH)
@_song_options(score_required=True)
@click.option("--out", type=PATH, required=True, help="Folder for song.wav, stems/ and song.json.")
@json_option
@_example("photone render runs/demo/instruments --score song.mid --out song")
def render(instruments_dir: Path, song: SongOptions, out: Path, as_json: bool) -> None:
    """Play a score with the instruments in INSTRUMENTS_DIR."""
    from flows.runs import songs

    began = time.perf_counter()
    made = songs.render(instruments_dir, song, out, _score_shown(as_json))
    _print_song(out, made, time.perf_counter() - began, as_json)


@app.command()
@click.argument("folder", type=PATH)
@click.option(
    "--out", required=True, metavar="DIR|ADDRESS", help="Folder for the runs, one a picture; or s3://bucket/prefix."
)
@_song_options(score_required=False)
@_engine_options("vision", "effects", "timbre")
@click.option(
    "--runner",
    type=click.Choice(["process", "thread", "dask", "ray"]),
    default="process",
    show_default=True,
    help="Who does the work; dask and ray are tracked, and need the extra `scale`.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Pictures at a time.")
@_blend_option
@seed_option
@json_option
@_example("photone batch pictures --out runs/holiday --score greensleeves")
def batch(folder: Path, out: str, song: SongOptions, as_json: bool, **rest: Any) -> None:
    """Make a song out of every picture in FOLDER; runs that are finished are not made again."""
    from flows.batch import make_batch, summary_of
    from flows.runs.storage import place_of

    given = {name: value for name, value in rest.items() if value is not None}
    place, address = place_of(out)
    with _progress() as report:
        results = make_batch(folder, place, song, report, address=address, **given)
    if as_json:
        click.echo(json.dumps([result.as_json() for result in results], indent=2, ensure_ascii=False))
    else:
        for result in sorted(results, key=lambda result: result.error is None):
            click.echo(f"{result.picture.name}: {result.error or result.song}")
        counts = summary_of(results)
        songs = counts["made"] + counts["unchanged"]
        click.echo(f"songs: {songs} ({counts['unchanged']} unchanged), pictures that failed: {counts['failed']}")
    if any(result.error for result in results):
        raise SystemExit(1)


@app.command()
@click.option("--fetch", metavar="ENGINE", help="Download weights: qwen (7B), qwen:3B ... A stopped download goes on.")
@json_option
@_example("photone engines --fetch qwen")
def engines(fetch: str | None, as_json: bool) -> None:
    """List the engines: what can run here, and what is missing and how to get it."""
    from flows.engines import engine_rows, fetch_engine

    if fetch is not None:
        came = fetch_engine(fetch, progress=sys.stderr.isatty())
        click.echo(json.dumps({"engine": fetch, "fetched": came}) if as_json else came)
        return
    rows = list(engine_rows())
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        state, mark = "ready" if row["ready"] else "missing", "*" if row["default"] else " "
        click.echo(f"{row['stage']:8} {mark} {row['engine']:11} {state}: {row['summary']}")
        for more in filter(None, (row["problem"], row["detail"])):
            click.echo(f"{'':23}{more}")
    click.echo("* is the default")


@app.command()
@json_option
@_example("photone scores")
def scores(as_json: bool) -> None:
    """List the bundled scores."""
    from flows.score_list import score_rows

    rows = list(score_rows())
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        minutes = f"{int(row['duration_s'] // 60)}:{int(row['duration_s'] % 60):02d}"
        click.echo(
            f"{row['name']:14} {minutes}  {row['tempo_bpm']:5.0f} bpm  {row['metre']:4} "
            f"{row['title']}, {row['composer']} ({row['mood']}); {', '.join(row['roles'])}"
        )


@app.command()
@json_option
@_example("photone doctor")
def doctor(as_json: bool) -> None:
    """Say what is wrong with this machine; exit status 1 when something is."""
    from flows.doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'BAD '} {finding.name}: {finding.text}")
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


class _TrainGroup(_Group):
    """`photone train keyboard` is short for `photone train model keyboard`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = (*self.commands, *self.get_help_option_names(ctx))
        return super().parse_args(ctx, ["model", *args] if args and args[0] not in known else args)


@app.group(cls=_TrainGroup)
def train() -> None:
    """Train timbre models: photone train keyboard is short for photone train model keyboard."""


_MELODIC_ROLE = click.Choice(["keyboard", "bass", "guitar"])


@train.command(name="model")
@click.argument("roles", nargs=-1, required=True, type=_MELODIC_ROLE)
@click.option(
    "--preset",
    type=click.Choice(["smoke", "small", "full"]),
    default="small",
    show_default=True,
    help="Size and length.",
)
@click.option("--corpus", type=PATH, help="A corpus, or a folder that has one for each role; runs/corpus by default.")
@click.option("--out", type=PATH, help="Folder for the roles' folders; runs/timbres/<preset> by default.")
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), help="Budget of training in all, over all sessions."
)
@click.option("--session-minutes", type=click.FloatRange(0, min_open=True), help="End this session so early, in order.")
@click.option("--steps", type=click.IntRange(1), help="Budget in steps; the preset's by default.")
@click.option("--batch", type=click.IntRange(1), help="Crops in a step; the preset's by default.")
@click.option("--device", default=None, metavar="auto|cpu|cuda", help="Where to train; a GPU where there is one.")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), help="Of the networks, on a GPU.")
@click.option("--cuda-graphs/--no-cuda-graphs", default=None, help="Launch each step as one CUDA graph.")
@click.option("--compile/--no-compile", default=None, help="Compile the networks (torch.compile), on a GPU.")
@click.option("--lines", is_flag=True, help="Print progress line by line, not on a terminal only.")
@seed_option
@json_option
@_example("photone train keyboard bass guitar --preset small --minutes 25 --cuda-graphs")
def train_model(
    roles: tuple[Any, ...], preset: str, corpus: Path | None, out: Path | None, lines: bool, as_json: bool, **rest: Any
) -> None:
    """Train a timbre model for each of ROLES, side by side; goes on where it was stopped, exports what is trained."""
    from flows import timbres

    changes = {name: value for name, value in rest.items() if value is not None}
    folder = out or timbres.MODELS / preset
    requests = [timbres.TimbreRequest(role, preset, folder / role, corpus, changes) for role in dict.fromkeys(roles)]
    with _told_lines() if lines else _progress() as report:
        made = timbres.train_families(requests, lambda role, line: report(f"{role}: {timbres.progress_text(line)}"))
    if as_json:
        click.echo(json.dumps([trained.as_json() for trained in made], indent=2))
        return
    for trained in made:
        click.echo(timbres.summary(trained))


@train.command(name="corpus")
@click.argument("role", type=_MELODIC_ROLE)
@click.option("--source", type=click.Choice(["gm", "nsynth"]), default="gm", show_default=True, help="What plays.")
@click.option("--soundfont", type=PATH, help="A General MIDI soundfont; Debian's fluid-soundfont-gm by default.")
@click.option("--nsynth", type=PATH, help="The folder of nsynth-train, nsynth-valid and nsynth-test (json/wav).")
@click.option("--out", type=PATH, help="Folder for the corpus; runs/corpus/<role> by default.")
@click.option("--sample-rate", type=int, default=44100, show_default=True, help="In Hz.")
@click.option("--key-step", type=click.IntRange(1, 12), default=1, show_default=True, help="Every so many keys (gm).")
@click.option("--velocities", metavar="N,...", default="40,80,120", show_default=True, help="How hard (gm).")
@click.option("--programs", metavar="N,...", default="", help="General MIDI programs; the whole family by default.")
@click.option("--duration", "duration_s", type=float, default=4.0, show_default=True, help="Of a note in s (gm).")
@click.option("--limit", type=click.IntRange(0), default=0, help="Notes of each split at most (nsynth); 0 for all.")
@seed_option
@json_option
@_example("photone train corpus keyboard --key-step 2 --velocities 100")
def train_corpus(role: Any, out: Path | None, velocities: str, programs: str, as_json: bool, **rest: Any) -> None:
    """Make the notes that a timbre model of ROLE learns from; goes on where it was stopped."""
    from flows import timbres
    from phase2_music.timbre.corpus import make_corpus
    from phase2_music.timbre.corpus_source import CorpusOptions

    folder = out or timbres.CORPORA / role
    options = CorpusOptions(role, folder, velocities=_numbers(velocities), programs=_numbers(programs), **rest)
    with _progress() as report:
        corpus = make_corpus(options, lambda done, of: report(f"{done} of {of} notes"))
    counts: dict[str, Any] = {split: len(corpus.split(split)) for split in ("train", "valid", "test")}
    minutes = round(sum(note.duration_s for note in corpus.notes) / 60, 1)
    if as_json:
        click.echo(json.dumps({"corpus": str(folder), "notes": counts, "minutes": minutes}, indent=2))
        return
    click.echo(", ".join(f"{split}: {count}" for split, count in counts.items()) + f" notes; {minutes} minutes")
    click.echo(f"{folder} ({corpus.origin}, {corpus.licence})")


@app.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every one.")
@click.option("--port", type=click.IntRange(1, 65535), default=4200, show_default=True, help="Prefect's port.")
@click.option(
    "--player-port", type=click.IntRange(1, 65535), default=4280, show_default=True, help="The player's port."
)
@click.option("--watch", type=PATH, metavar="FOLDER", help="Start a run for each picture that arrives in FOLDER.")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are kept and played from.")
@click.option("--score", default="canon", show_default=True, help="What watched pictures become.")
@click.option(
    "--at-once", type=click.IntRange(1, 64), metavar="N", help="Runs at the same time; half of the processors."
)
@_example("photone up --watch pictures")
def up(**options: Any) -> None:
    """Start Prefect's server and interface, the player and a worker; they stop with Ctrl-C."""
    from flows.service.up import UpOptions
    from flows.service.up import up as go_up

    go_up(UpOptions(**options), click.echo, lambda text: click.echo(f"note: {text}", err=True))


@app.group(name="eval", cls=_Group)
def evaluate() -> None:
    """Measure how good photone's own work is."""


@evaluate.command(name="instruments")
@click.option(
    "--sources",
    metavar="NAME,...",
    default="",
    help="Sounds to build of; `all` adds every foley gesture; 21 by default.",
)
@click.option("--roles", metavar="ROLE,...", default="", help="Roles to build; all four by default.")
@click.option("--step", type=click.IntRange(1, 24), default=1, show_default=True, help="Play every so many keys.")
@click.option("--out", type=PATH, help="Keep the instruments and the figures in this folder.")
@click.option("--peer/--no-peer", default=True, show_default=True, help="Compare with librosa's pitch_shift.")
@seed_option
@json_option
@_example("photone eval instruments --sources noise,bell --roles keyboard")
def eval_instruments(sources: str, roles: str, out: Path | None, as_json: bool, **rest: Any) -> None:
    """Build instruments out of many sounds and measure them in two players; exit status 1 when a target is missed."""
    from core.manifest import prepare_folder
    from flows.evaluation import instruments as evaluation

    if out is not None:
        prepare_folder(out)
    options = evaluation.EvaluationOptions(_names(sources), _roles(roles), out=out, **rest)
    with _progress() as report:
        result = evaluation.evaluate(options, report)
    _tell(evaluation.as_json(result), evaluation.as_table(result), result.passed, out, "evaluation", as_json)


@evaluate.command(name="songs")
@click.argument("instruments_dir", type=PATH)
@click.option("--scores", metavar="NAME|FILE.mid,...", default="", help="Scores to play; the bundled ones by default.")
@click.option("--peer", type=PATH, metavar="SF2", help="A General MIDI soundfont to compare the harmony with.")
@click.option("--out", type=PATH, help="Keep the songs and the figures in this folder.")
@json_option
@_example("photone eval songs runs/demo/instruments")
def eval_songs(instruments_dir: Path, scores: str, peer: Path | None, out: Path | None, as_json: bool) -> None:
    """Play scores with a band and measure the songs; exit status 1 when a target is missed."""
    import tempfile
    from dataclasses import asdict

    from flows.evaluation import songs as evaluation
    from phase2_music.scores import bundled_scores

    with tempfile.TemporaryDirectory() as scratch, _progress() as report:
        names = _names(scores) or tuple(bundled_scores())
        found = evaluation.evaluate_songs(instruments_dir, names, out or Path(scratch), peer, report)
    misses = [evaluation.missed(song) for song in found]
    values = [asdict(song) | {"missed": missed} for song, missed in zip(found, misses, strict=True)]
    _tell(values, evaluation.as_table(found), not any(misses), out, "evaluation", as_json)


@evaluate.command(name="vision")
@click.option("--engine", "engines", metavar="E", multiple=True, help="A vision engine; several for a comparison.")
@click.option("--pictures", metavar="NAME,...", default="", help="Pictures of the built-in golden set; all by default.")
@click.option("--golden", "folder", type=PATH, help="Your own: a folder of pictures, beside each a scene of its name.")
@click.option("--out", type=PATH, help="Keep the figures in this folder.")
@json_option
@_example("photone eval vision --engine embedded --engine qwen:3B")
def eval_vision(engines: tuple[str, ...], pictures: str, folder: Path | None, out: Path | None, as_json: bool) -> None:
    """Compare what engines say of pictures with scenes that people wrote; exit status 1 when a target is missed."""
    from core.manifest import prepare_folder
    from flows.evaluation import vision as evaluation
    from phase1_sound.vision import VISION_ENGINES

    if folder is not None and pictures:
        raise UsageError("--pictures names pictures of the built-in golden set: leave it out with --golden")
    if out is not None:
        prepare_folder(out)
    options = evaluation.VisionOptions(engines or (VISION_ENGINES.default,), _names(pictures), folder)
    with _progress() as report:
        result = evaluation.evaluate(options, report)
    _tell(evaluation.as_json(result), evaluation.as_table(result), result.passed, out, "vision", as_json)


@evaluate.command(name="prompts")
@click.argument("scenes", type=PATH)
@click.option(
    "--effects", metavar="E", help="An engine that reads prompts: count with its tokenizers and measure its sounds."
)
@click.option("--out", type=PATH, help="Keep the sounds and the figures in this folder.")
@seed_option
@json_option
@_example("photone eval prompts runs")
def eval_prompts(scenes: Path, effects: str | None, out: Path | None, seed: int, as_json: bool) -> None:
    """Show what each part of a prompt costs, for the scenes in a folder; exit status 1 when our own are cut off."""
    from core.manifest import prepare_folder
    from flows.evaluation import prompts as evaluation

    if out is not None:
        prepare_folder(out)
    with _progress() as report:
        result = evaluation.evaluate(evaluation.PromptsOptions(scenes, effects, out, seed), report)
    _tell(evaluation.as_json(result), evaluation.as_table(result), result.passed, out, "prompts", as_json)


@evaluate.command(name="foley")
@click.option("--materials", metavar="NAME,...", default="", help="Materials; all by default.")
@click.option("--gestures", metavar="NAME,...", default="", help="Gestures; all by default.")
@click.option("--seconds", type=click.FloatRange(0.5, 30), default=4.0, show_default=True, help="Length of an effect.")
@click.option("--seeds", type=click.IntRange(2, 100), default=8, show_default=True, help="Sounds to tell gestures by.")
@click.option("--words/--no-words", default=True, show_default=True, help="Also try every word of timbre (minutes).")
@click.option("--out", type=PATH, help="Keep the figures in this folder.")
@json_option
@_example("photone eval foley --materials metal,wood,glass --no-words")
def eval_foley(materials: str, gestures: str, out: Path | None, as_json: bool, **rest: Any) -> None:
    """Measure the foley engine, every material under every gesture; exit status 1 when a law or a target is missed."""
    from core.manifest import prepare_folder
    from flows.evaluation import foley as evaluation

    if out is not None:
        prepare_folder(out)
    options = evaluation.FoleyOptions(_names(materials), _names(gestures), **rest)
    with _progress() as report:
        result = evaluation.evaluate(options, report)
    _tell(evaluation.as_json(result), evaluation.as_table(result), result.passed, out, "foley", as_json)


@evaluate.command(name="timbre")
@click.argument("model", type=PATH)
@click.option("--corpus", type=PATH, required=True, help="The corpus that the model was trained on.")
@click.option("--notes", type=click.IntRange(2, 2000), default=96, show_default=True, help="Held-out notes to measure.")
@click.option("--uses/--no-uses", default=True, show_default=True, help="Also build samples with either use of it.")
@click.option("--write/--no-write", default=True, show_default=True, help="Put the figures into the model's card.")
@click.option("--out", type=PATH, help="Keep the figures in this folder.")
@json_option
@_example("photone eval timbre models/keyboard --corpus corpora/keyboard")
def eval_timbre(model: Path, out: Path | None, as_json: bool, **rest: Any) -> None:
    """Hold MODEL, a trained timbre model, against the gate; exit status 1 when it misses it."""
    from core.manifest import prepare_folder
    from flows.evaluation import timbre as evaluation

    if out is not None:
        prepare_folder(out)
    with _progress() as report:
        result = evaluation.evaluate(evaluation.TimbreOptions(model, **rest), report)
    _tell(evaluation.as_json(result), evaluation.as_table(result), result.passed, out, "timbre", as_json)


def _tell(values: Any, table: str, passed: bool, out: Path | None, name: str, as_json: bool) -> None:
    """Print an evaluation, keep it as `out/<name>.json` and `.txt` where asked for, and end with status 1 where it missed."""
    from core.manifest import to_json, write_text

    text = to_json(values)
    if out is not None:
        write_text(out / f"{name}.json", text)
        write_text(out / f"{name}.txt", table + "\n")
    click.echo(text if as_json else table, nl=not as_json)
    if not passed:
        raise SystemExit(1)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in _names(text))
    except ValueError as error:
        raise UsageError(f"{text!r}: expected whole numbers separated by commas") from error


def _roles(text: str) -> tuple[Any, ...]:
    from core.errors import UsageError
    from schemas.document import ROLES

    for role in _names(text):
        if role not in ROLES:
            raise UsageError(f"no role {role!r}: choose from {', '.join(ROLES)}")
    return _names(text) or ROLES


@contextmanager
def _told_lines() -> Iterator[Callable[[str], None]]:
    """Tell stages on standard error, a line each."""
    yield lambda text: click.echo(text, err=True)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Tell stages on standard error, and only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda stage: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield lambda stage: status.update(f"{stage} ...")


def main() -> None:
    """Run the command line; our errors become one line and an exit status."""
    debug = "--debug" in sys.argv[1:]
    # A polite kill ends as Ctrl-C does: temporary files go, a server that we started stops.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    start_quickly()
    try:
        app.main(standalone_mode=False)
    except PhotoneError as error:
        _fail(str(error), error.exit_status, debug)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message() + _hint(error), 2, debug)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def start_quickly() -> None:
    """Spare a command what it has no use for, before it imports what it needs.

    Cycles of dead objects are looked for less often, and not at the end, when all memory goes anyway: what imports make lives
    on, and going through it again and again takes 0.2 s of a song's time. Nor are all installed packages searched for
    plugins of pydantic.
    """
    gc.set_threshold(100_000, 20, 20)
    atexit.register(gc.freeze)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def _hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} --help`)" if context else ""


def _fail(message: str, status: int, debug: bool) -> None:
    if debug:
        raise  # what is being handled, with its traceback
    click.echo(f"photone: {' '.join(message.split())}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
