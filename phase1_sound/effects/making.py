"""Scene -> effects on disk: all of a scene, or some of them again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import DocumentError, UsageError
from core.manifest import atomic_path, prepare_folder, sha256_file
from phase1_sound.effects.attempts import AS_USUAL, NOBODY, RETRIES, Making, MakingOptions, OnProgress, Told
from phase1_sound.effects.planning import (
    DURATION_S,
    Planned,
    file_name,
    kept_variants,
    openness_of,
    pan_of,
    plan_effects,
    slug,
)
from phase1_sound.effects.protocol import EffectsEngine, HasNotes, MayDecline
from phase1_sound.effects.shaping import CEILING_DBTP, LOUDNESS_LUFS, shaped
from schemas.effect import Effect, Effects, EngineRecord
from schemas.scene import Scene, SoundSource, Variant

__all__ = [
    "CEILING_DBTP",
    "DOCUMENT",
    "DURATION_S",
    "LOUDNESS_LUFS",
    "NOBODY",
    "RETRIES",
    "MakingOptions",
    "OnProgress",
    "Planned",
    "Previous",
    "Told",
    "kept_variants",
    "make_effects",
    "matched",
    "openness_of",
    "plan_effects",
    "read_effects",
    "remake_effects",
    "shaped",
    "slug",
]

DOCUMENT = "effects.json"


def make_effects(
    scene: Scene,
    scene_sha256: str,
    engine: EffectsEngine,
    out: Path,
    seed: int,
    on_progress: OnProgress | None = None,
    *,
    options: MakingOptions = AS_USUAL,
    told: Told = NOBODY,
    previous: Previous | None = None,
) -> Effects:
    """Make every kept variant of a scene audible and write `out/NN_<source>_<method>.wav` and
    `out/effects.json`.

    Files are 24-bit WAV at 44.1 kHz, -20 LUFS, at most -1 dBTP. The engine gets all requests at once. Effects that do not
    pass the checks are made again together with other seeds, up to three times, and then kept with their verdict, or
    replaced. WAV files in `out` that belong to no effect are removed.

    Of `previous` effects, those that were made again by themselves keep their own seed, and those that are still good are
    not made again; where an edit of the scene has given one another number, its file gets the name that goes with it.

    Raises:
        EngineError: the engine failed. OutputError: the folder cannot be written to.
        UsageError: the engine cannot make some of the variants, and was not told to leave them out.
    """
    prepare_folder(out)
    told = replace(told, progress=on_progress) if on_progress else told
    before = previous or Previous()
    plan = plan_effects(scene, seed, options.prompt, before.own_seeds, before.seed_numbers)
    kept = _renamed(out, before.kept(out, plan, engine, openness_of(scene)), plan)
    todo = [each for each in plan if each.number not in kept]
    able, left_out = _able(todo, engine)
    if not able and not kept:
        raise _nothing(engine, plan)
    making = Making(engine, out, options, told, before.own_seeds, before.seed_numbers)
    made = making.all(able)
    document = Effects(
        scene_sha256=scene_sha256,
        engine=EngineRecord.of(engine.info),
        seed=seed,
        openness=openness_of(scene),
        effects=_sorted([*kept.values(), *made]),
        left_out=[_name(each) for each in left_out],
        notes=_gathered(before.document.notes if before.document and kept else (), engine, making, before.notes),
    )
    document.write(out / DOCUMENT)
    remove_stale(out, {effect.file for effect in document.effects})
    return document


def remake_effects(
    scene: Scene,
    scene_sha256: str,
    engine: EffectsEngine,
    out: Path,
    seed: int,
    numbers: Sequence[int],
    *,
    options: MakingOptions = AS_USUAL,
    told: Told = NOBODY,
) -> Effects:
    """Make some effects of a folder again and leave the files of the others alone.

    `seed` is that of a whole scene: effect 3 becomes the one that `make_effects` makes with this seed. effects.json keeps
    it as the effect's `own_seed`, and its engine where that is another than the rest's.

    Raises:
        DocumentError: the folder has no effects.json. UsageError: it is of another scene, or has no such effect.
        EngineError: the engine failed. OutputError: the folder cannot be written to.
    """
    old = Effects.read(out / DOCUMENT)
    if old.scene_sha256 != scene_sha256:
        raise UsageError(f"{out / DOCUMENT}: was made of another scene: make all effects again, without --only")
    own_seeds = dict.fromkeys(numbers, seed)
    plan = {each.number: each for each in plan_effects(scene, old.seed, options.prompt, own_seeds)}
    absent = sorted(set(numbers) - set(plan))
    if absent:
        raise UsageError(f"{out / DOCUMENT}: has no effect {absent[0]}: effects are 1 to {len(plan)}")
    prepare_folder(out)
    todo = [plan[number] for number in sorted(set(numbers))]
    able, _ = _able(todo, engine)
    if not able:
        raise _nothing(engine, todo)
    record = EngineRecord.of(engine.info)
    making = Making(engine, out, options, told, own_seeds)
    made = [effect.model_copy(update=_by_itself(effect, record, seed, old)) for effect in making.all(able)]
    document = _with(old, made, [_name(each) for each in able], _gathered(old.notes, engine, making))
    document.write(out / DOCUMENT)
    return document


def _by_itself(effect: Effect, record: EngineRecord, seed: int, old: Effects) -> dict[str, Any]:
    """What is different about an effect that was made by itself; nothing where it is as all effects are."""
    engine = effect.engine or (None if record == old.engine else record)
    return {"engine": engine, "own_seed": None if engine is None and seed == old.seed else seed}


def _with(old: Effects, made: Sequence[Effect], names: Sequence[str], notes: Sequence[str]) -> Effects:
    numbers = {effect.number for effect in made}
    effects = _sorted([*(effect for effect in old.effects if effect.number not in numbers), *made])
    return old.model_copy(
        update={
            "effects": effects,
            "left_out": [name for name in old.left_out if name not in names],
            "notes": list(notes),
        }
    )


def read_effects(folder: Path) -> Effects | None:
    """The effects that a folder holds, None where its effects.json is missing or damaged."""
    try:
        return Effects.read(folder / DOCUMENT)
    except DocumentError:
        return None


@dataclass(frozen=True)
class Previous:
    """Earlier effects of the same folder as far as they belong to the scene and seed, and what is to be said of them.

    `same` says that the same engine and the same photone made them: what is intact need not be made again.
    """

    document: Effects | None = None
    same: bool = False
    notes: Sequence[str] = ()

    @classmethod
    def of(
        cls, document: Effects, scene: Scene, scene_sha256: str, seed: int, *, same: bool, edited: bool = False
    ) -> Previous:
        """Read earlier effects. Another seed undoes what was made again by itself, and so does another scene, unless it was
        `edited` by hand: then variants that are as they were keep their effects, under whatever number. A note tells what is
        undone.
        """
        found = [] if document.seed != seed else list(document.effects)
        if found and document.scene_sha256 != scene_sha256:
            found = matched(found if edited else [each for each in found if _is_usual(each)], scene, edited=edited)
        stays = {(effect.own_seed, effect.sha256) for effect in found}
        gone = [
            str(effect.number)
            for effect in document.effects
            if effect.own_seed is not None and (effect.own_seed, effect.sha256) not in stays
        ]
        note = (
            f"made again with the rest, for another scene or seed: what --only had changed in effect {', '.join(gone)}"
        )
        return cls(document.model_copy(update={"effects": found}) if found else None, same, [note] if gone else [])

    @property
    def effects(self) -> Sequence[Effect]:
        return self.document.effects if self.document else ()

    @property
    def own_seeds(self) -> dict[int, int]:
        """Seeds of the effects that were made again by themselves."""
        return {effect.number: effect.own_seed for effect in self.effects if effect.own_seed is not None}

    @property
    def seed_numbers(self) -> dict[int, int]:
        """Numbers in the seeds of effects that had another number when these were drawn."""
        return {effect.number: effect.seed_number for effect in self.effects if effect.seed_number is not None}

    def kept(
        self, folder: Path, plan: Sequence[Planned], engine: EffectsEngine, openness: float | None = None
    ) -> dict[int, Effect]:
        """The effects that need not be made again, by number.

        What the user made by itself with another engine or other prompts cannot be made again here: it stays as it is.

        Raises:
            UsageError: such an effect is gone.
        """
        planned = {each.number: each for each in plan}
        same = self.same and self.document is not None and self.document.engine == EngineRecord.of(engine.info)
        same = same and self.document is not None and openness in (None, self.document.openness)
        kept = {}
        for effect in self.effects:
            there = _found(effect, folder, planned.get(effect.number))
            asked_alike = effect.engine is None and _asked_alike(effect, planned.get(effect.number))
            by_hand = effect.own_seed is not None and not asked_alike
            if by_hand and there is None:
                raise UsageError(
                    f"{folder / effect.file}: is gone or changed, and was made by itself with another engine or prompt: "
                    f"make it again with `photone effects --only {effect.number}`, or remove {folder / DOCUMENT}"
                )
            if there is not None and (by_hand or (same and asked_alike)):
                kept[effect.number] = effect.model_copy(update={"file": there})
        return kept


def matched(effects: Sequence[Effect], scene: Scene, *, edited: bool = True) -> list[Effect]:
    """Effects whose variants are in a scene as they were, with their numbers, roles and places there.

    Several alike are matched by number first, then in order; where the scene was not `edited` by hand, by number only.
    """
    pool = list(effects)
    pairs = list(enumerate(kept_variants(scene), 1))
    found: dict[int, Effect] = {}
    for by_number in (True, False) if edited else (True,):
        for number, (source, variant) in pairs:
            candidates = (e for e in pool if _is_of(e, source, variant) and (e.number == number or not by_number))
            effect = next(candidates, None) if number not in found else None
            if effect is not None:
                pool.remove(effect)
                found[number] = effect.model_copy(update=_placed(effect, number, source, variant))
    return _sorted(found.values())


def _is_of(effect: Effect, source: SoundSource, variant: Variant) -> bool:
    asked = (effect.source, effect.material, effect.play_method, tuple(effect.timbre))
    return asked == (source.name, source.material, variant.play_method, tuple(variant.timbre))


def _is_usual(effect: Effect) -> bool:
    """Whether it is what the scene and the seed alone would give."""
    return effect.own_seed is None and effect.seed_number is None


def _placed(effect: Effect, number: int, source: SoundSource, variant: Variant) -> dict[str, Any]:
    drawn_for = effect.seed_number or effect.number
    return {
        "number": number,
        "seed_number": None if drawn_for == number else drawn_for,
        "role_hint": variant.mapping_to_music_instrument,
        "confidence": variant.confidence,
        "pan": pan_of(source),
    }


def _found(effect: Effect, folder: Path, planned: Planned | None) -> str | None:
    """The name of an effect's file, under its old number or, where renaming was stopped half-way, its new one."""
    names = [effect.file, *([file_name(planned)] if planned else [])]
    return next((name for name in names if _intact(effect, folder / name)), None)


def _renamed(folder: Path, kept: Mapping[int, Effect], plan: Sequence[Planned]) -> dict[int, Effect]:
    """Give each kept effect the file that goes with its number; the old ones stay until the document is written."""
    names = {each.number: file_name(each) for each in plan}
    with ExitStack() as moves:  # all are copied before the first is put in the place of another
        for number, effect in kept.items():
            if effect.file != names[number]:
                copy = moves.enter_context(atomic_path(folder / names[number]))
                shutil.copy2(folder / effect.file, copy)
    return {number: effect.model_copy(update={"file": names[number]}) for number, effect in kept.items()}


def _asked_alike(effect: Effect, planned: Planned | None) -> bool:
    asked = planned.prompt if planned else None
    return asked is not None and (effect.prompt.text, effect.prompt.negative) == (asked.text, asked.negative)


def _intact(effect: Effect, path: Path) -> bool:
    return path.is_file() and sha256_file(path) == effect.sha256


def _able(plan: Sequence[Planned], engine: EffectsEngine) -> tuple[list[Planned], list[Planned]]:
    """What an engine can make of a plan, and what it leaves out."""
    if not isinstance(engine, MayDecline) or not plan:
        return list(plan), []
    declined = engine.declined([each.request for each in plan])
    pairs = list(zip(plan, declined, strict=True))
    return [each for each, left in pairs if not left], [each for each, left in pairs if left]


def _nothing(engine: EffectsEngine, plan: Sequence[Planned]) -> UsageError:
    return UsageError(f"{engine.info.name}: makes none of the {len(plan)} effects: choose another engine")


def _gathered(old: Sequence[str], engine: EffectsEngine, making: Making, more: Sequence[str] = ()) -> list[str]:
    """What the user should know, each once: what was said of what stays, of the engine, and of what failed."""
    own = engine.notes if isinstance(engine, HasNotes) else ()
    return list(dict.fromkeys([*old, *own, *making.notes, *more]))


def _name(planned: Planned) -> str:
    return f"{planned.number}: {planned.source.name}, {planned.variant.play_method}"


def _sorted(effects: Iterable[Effect]) -> list[Effect]:
    return sorted(effects, key=lambda effect: effect.number)


def remove_stale(folder: Path, kept: set[str]) -> None:
    """Remove WAV files that an earlier run for another scene left in the folder."""
    for path in folder.glob("*.wav"):
        if path.name not in kept:
            path.unlink(missing_ok=True)
