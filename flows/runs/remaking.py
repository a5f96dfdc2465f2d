"""Changes to a finished run: its scene edited, an effect made again; then what depends on that, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import SceneError, UsageError
from core.manifest import sha256_bytes, sha256_file, to_json, write_bytes, write_text
from flows.runs import effects as making
from flows.runs import songs
from flows.runs.editing import ORIGINAL, SCENE, edit_stage
from flows.runs.ledger import RUN_FILE, SCENE_EDIT, Ledger
from flows.runs.locks import run_lock
from flows.runs.songs import Made, Report
from flows.runs.stages import MakeOptions, casting_stage, effects_stage, effects_told, instruments_stage
from phase1_sound.effects.making import kept_variants, matched, read_effects
from schemas.document import Role
from schemas.effect import Effect
from schemas.run import Asked, Run, SceneEdit
from schemas.scene import Scene, read_scene


def asked_options(folder: Path) -> MakeOptions:
    """How a finished run was asked for.

    Raises:
        UsageError: an earlier version of photone made it, which did not note that. DocumentError: it is no run.
    """
    run = Run.read(folder / RUN_FILE)
    asked = run.asked
    if asked is None:
        raise UsageError(
            f"{folder}: was made before runs noted how they were asked for: run `photone make` on it again, "
            "which makes nothing new"
        )
    return MakeOptions(
        picture=folder / "picture.jpg",
        out=folder,
        vision=asked.vision,
        effects=asked.effects,
        timbre=asked.timbre,
        seed=run.seed,
        cast=asked.cast,
        compact=asked.compact,
    )


def edit_scene(folder: Path, scene: Scene | None, report: Report = lambda stage: None) -> Made:
    """Give a run another scene (None: the vision engine's own again) and make again what depends on it.

    Raises:
        PhotoneError: as `stages.make`; what is finished stays, so that the same call goes on from there.
    """
    asked_options(folder)
    with run_lock(folder):
        ledger = Ledger.read(folder)
        report("scene")
        apply(ledger, scene)
        return remake(ledger, report)


def remake_effects(folder: Path, numbers: Sequence[int], seed: int, report: Report = lambda stage: None) -> Made:
    """Make effects of a run again with another seed, and what depends on them.

    Raises:
        PhotoneError: there is no such effect, or as `stages.make`.
    """
    asked_options(folder)
    with run_lock(folder):
        ledger = Ledger.read(folder)
        effects_again(ledger, numbers, seed, report)
        return remake(ledger, report)


def effects_again(ledger: Ledger, numbers: Sequence[int], seed: int, report: Report = lambda stage: None) -> None:
    """The stage of effects, with some of them made again.

    Raises:
        UsageError: there is no such effect.
    """
    options = asked_options(ledger.folder)
    out = ledger.folder / "effects"
    asked = making.EffectsOptions(ledger.folder / SCENE, out, options.effects, seed, tuple(numbers))
    making.make(asked, effects_told(report))
    effects_stage(ledger, options, report)


def remake(ledger: Ledger, report: Report = lambda stage: None) -> Made:
    """Make again what is not of the present scene: effects, casting, instruments, songs.

    Raises:
        PhotoneError: as `stages.make`.
    """
    options = asked_options(ledger.folder)
    report("effects")
    effects_stage(ledger, options, report)
    report("casting")
    casting_stage(ledger, options)
    instruments_stage(ledger, options, lambda role: report(f"instrument {role}"))
    song_folder = songs.songs_stage(ledger, report)
    ledger.mark_untouched()
    return songs.finish(ledger, song_folder)


def apply(ledger: Ledger, scene: Scene | None, base_sha256: str = "") -> bool:
    """Put a scene in the place of a run's; None is the one that the vision engine had made. False where it is there already.

    The first edit keeps the engine's scene as scene-original.json. The manifest is written last: a call that was stopped
    is as if it had never been, or is finished by the next one.

    Raises:
        SceneError: `base_sha256` is given and the run's scene is another by now, or the engine's scene is lost.
        UsageError: there is nothing to go back to.
    """
    folder, path, edit = ledger.folder, ledger.folder / SCENE, ledger.run.scene_edit
    if scene is None and edit is not None and not edit.stands:
        return False
    text = to_json(scene.to_value()) if scene is not None else _original(ledger)
    wanted, now, noted = sha256_bytes(text.encode()), sha256_file(path), _noted(ledger)
    if wanted == now == noted:
        return False
    if base_sha256 and base_sha256 != noted:
        raise SceneError(f"{path}: has changed meanwhile: look at it again, then edit it")
    before = edit if edit is not None and edit.stands else _first_edit(ledger, now, noted)
    made = before.model_copy(update={"sha256": wanted})
    asked = _moved_cast(ledger, scene if scene is not None else read_scene(folder / ORIGINAL))
    write_text(path, text)
    owners = {path: SCENE_EDIT, folder / ORIGINAL: "scene"} if made.stands else {path: "scene"}
    ledger.edit_scene(made, owners, asked)
    if made.stands:
        edit_stage(ledger, made)
    return True


def _noted(ledger: Ledger) -> str:
    """The hash of the scene that the manifest knows."""
    return next((output.sha256 for output in ledger.run.outputs if output.path == SCENE), "")


def _first_edit(ledger: Ledger, now: str, noted: str) -> SceneEdit:
    """Keep the engine's scene, which no edit may take away."""
    path, original = ledger.folder / SCENE, ledger.folder / ORIGINAL
    if now == noted:
        write_bytes(original, path.read_bytes())
    elif not original.is_file() or sha256_file(original) != noted:
        raise SceneError(
            f"{path}: was changed, and nothing keeps the engine's scene: save yours as another file, run `photone make` "
            f"again, then `photone edit {ledger.folder} --scene FILE`"
        )
    if ledger.run.engines is None:
        raise UsageError(f"{ledger.folder}: is not finished: run `photone make` on it first")
    picture = sha256_file(ledger.folder / "picture.jpg")
    return SceneEdit(sha256=noted, original_sha256=noted, picture_sha256=picture, engine=ledger.run.engines.vision)


def _original(ledger: Ledger) -> str:
    path = ledger.folder / ORIGINAL
    if ledger.run.scene_edit is None or not path.is_file():
        raise UsageError(f"{ledger.folder}: its scene was not edited: there is nothing to go back to")
    return path.read_text(encoding="utf-8")


def _moved_cast(ledger: Ledger, scene: Scene) -> Asked | None:
    """What was asked for, with effects that were given to roles by number under their new numbers."""
    asked, effects = ledger.run.asked, read_effects(ledger.folder / "effects")
    if asked is None or effects is None:
        return asked
    numbers = _new_numbers(effects.effects, scene)
    cast: dict[Role, list[int]] = {}
    for role, given in asked.cast.items():
        if there := [numbers[number] for number in given if number in numbers]:
            cast[role] = there
    return asked.model_copy(update={"cast": cast})


def _new_numbers(effects: Sequence[Effect], scene: Scene) -> dict[int, int]:
    """The numbers that effects have in an edited scene, by their old ones: of the variant as it was, else of what it has
    become: the same method of the same source, or, where as many are there as before, what stands in its place.
    """
    now = {(each.seed_number or each.number, each.sha256): each.number for each in matched(effects, scene)}
    keys = {each.number: (each.seed_number or each.number, each.sha256) for each in effects}
    numbers = {number: now[key] for number, key in keys.items() if key in now}
    variants = dict(enumerate(kept_variants(scene), 1))
    free = {number: pair for number, pair in variants.items() if number not in numbers.values()}
    for effect in (each for each in effects if each.number not in numbers):
        named = [n for n, (s, v) in free.items() if (s.name, v.play_method) == (effect.source, effect.play_method)]
        in_place = [effect.number] if len(variants) == len(effects) and effect.number in free else []
        if found := [*named, *in_place]:
            numbers[effect.number] = found[0]
            del free[found[0]]
    return numbers
