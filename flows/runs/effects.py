"""`photone effects`: a scene's effects without a run, and some of them again in a run or outside of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.engines import read_options
from core.errors import UsageError
from core.manifest import sha256_file
from core.seeds import derive_seed
from flows.engines import load_engine
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.effects.making import (
    DOCUMENT,
    NOBODY,
    MakingOptions,
    Told,
    make_effects,
    remake_effects,
)
from phase1_sound.prompts import PromptOptions
from schemas.effect import Effects
from schemas.scene import read_scene


@dataclass(frozen=True)
class EffectsOptions:
    """What is made: all effects of a scene, or those numbered in `only` again.

    `effects` None is the default engine, or with `only` the one that made the others. `prompt` is a style and parts, as
    "legacy" or "caption?mood=yes"; `replacement` makes what still fails after the last attempt.
    """

    scene: Path
    out: Path
    effects: str | None = None
    seed: int = 0
    only: tuple[int, ...] = ()
    prompt: str = ""
    replacement: str | None = None


def make(options: EffectsOptions, told: Told = NOBODY) -> Effects:
    """Make effects; gives the document that lies beside them.

    Raises:
        UsageError: an option cannot be read, or `only` names an effect that is not there.
        SceneError: the scene cannot be read. EngineError: an engine cannot run here, or failed.
    """
    scene, scene_sha256 = read_scene(options.scene), sha256_file(options.scene)
    engine = load_engine(EFFECTS_ENGINES, _spec(options))
    seed = derive_seed(options.seed, "effects")
    replacement = load_engine(EFFECTS_ENGINES, options.replacement) if options.replacement else None
    making = MakingOptions(prompt_options(options.prompt), replacement)
    if options.only:
        return remake_effects(scene, scene_sha256, engine, options.out, seed, options.only, options=making, told=told)
    return make_effects(scene, scene_sha256, engine, options.out, seed, options=making, told=told)


def _spec(options: EffectsOptions) -> str:
    if options.effects or not options.only:
        return options.effects or EFFECTS_ENGINES.default
    return Effects.read(options.out / DOCUMENT).engine.name


def prompt_options(text: str) -> PromptOptions:
    """Read "legacy" or "caption?mood=yes&context=no".

    Raises:
        UsageError: it cannot be read so.
    """
    return read_options(text, PromptOptions, "style", "--prompt")


def parse_only(text: str) -> tuple[int, ...]:
    """Parse "3" or "3,5" into numbers of effects.

    Raises:
        UsageError: it cannot be read so.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and 0 < int(part) < 10_000 for part in parts):
        raise UsageError(f"--only {text}: expected numbers of effects, as 3 or 3,5")
    return tuple(dict.fromkeys(int(part) for part in parts))
