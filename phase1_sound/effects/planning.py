"""Scene -> plan: which variants become effects, what is asked of the engine, and what the files are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.seeds import derive_seed
from phase1_sound.effects.protocol import EffectRequest
from phase1_sound.prompts import CAPTION, PromptOptions, effect_prompt
from schemas.effect import Prompt
from schemas.scene import MIN_VARIANTS, STUDENT_CONFIDENCE, Scene, SoundSource, Variant

DURATION_S = 4.0
_SLUG_LENGTH = 24

_PLACES: tuple[tuple[float, str], ...] = (
    (
        0.15,
        "indoor indoors inside room kitchen bedroom bathroom office hall hallway corridor classroom studio "
        "cellar basement attic ceiling sofa couch shelf desk cafe bar shop store museum library interior",
    ),
    (
        0.5,
        "street alley courtyard city urban market station garage bridge tunnel church balcony yard town",
    ),
    (
        0.95,
        "open outdoor outdoors outside sky field meadow beach sea ocean mountain mountains desert forest "
        "park garden lake river countryside landscape hill hills valley farm clouds shore cliff",
    ),
)


@dataclass(frozen=True)
class Planned:
    """One effect to be made: its place among the effects, where it comes from, what is asked."""

    number: int
    source: SoundSource
    variant: Variant
    prompt: Prompt
    request: EffectRequest


def kept_variants(scene: Scene) -> list[tuple[SoundSource, Variant]]:
    """Variants with a confidence of at least 0.7; where those are fewer than 5, all variants."""
    kept = [pair for pair in scene.variants if pair[1].confidence >= STUDENT_CONFIDENCE]
    return kept if len(kept) >= MIN_VARIANTS else scene.variants


def plan_effects(
    scene: Scene,
    seed: int,
    prompts: PromptOptions = CAPTION,
    own_seeds: Mapping[int, int] | None = None,
    seed_numbers: Mapping[int, int] | None = None,
) -> list[Planned]:
    """The requests of all kept variants, numbered from 1; each has its own seed by source, play method and
    number. `own_seeds` take the place of `seed` for single numbers, `seed_numbers` that of the number in the seed.
    """
    openness = openness_of(scene)
    plan = []
    for number, (source, variant) in enumerate(kept_variants(scene), 1):
        drawn_for = (seed_numbers or {}).get(number, number)
        prompt = effect_prompt(scene, source, variant, prompts)
        request = EffectRequest(
            source=source.name,
            material=source.material,
            play_method=variant.play_method,
            timbre=tuple(variant.timbre),
            prompt=prompt.text,
            negative_prompt=prompt.negative,
            duration_s=DURATION_S,
            openness=openness,
            seed=derive_seed(
                (own_seeds or {}).get(number, seed), "effect", source.name, variant.play_method, drawn_for
            ),
        )
        plan.append(Planned(number, source, variant, prompt, request))
    return plan


def openness_of(scene: Scene) -> float:
    """0.15 for a room, 0.5 for a street, 0.95 for the open, by the words of the description; 0.5 when they
    say nothing.
    """
    words = set(re.findall(r"[a-z]+", scene.scene_description.lower()))
    votes = [(len(words & set(places.split())), openness) for openness, places in _PLACES]
    total = sum(count for count, _ in votes)
    return sum(count * value for count, value in votes) / total if total else 0.5


def file_name(planned: Planned) -> str:
    """NN_<source>_<method>.wav in [a-z0-9-]; the number makes it unique."""
    return f"{planned.number:02d}_{slug(planned.source.name)}_{slug(planned.variant.play_method)}.wav"


def slug(text: str) -> str:
    """Lower-case letters and digits joined by hyphens, at most 24 characters, whole words where possible."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if len(words) > _SLUG_LENGTH:
        cut = words[: _SLUG_LENGTH + 1].rsplit("-", 1)[0]
        words = cut[:_SLUG_LENGTH]
    return words or "sound"


def pan_of(source: SoundSource) -> float:
    """Where the centre of a source's box stands between the picture's sides: -1 left, 1 right, 0 without a
    box.
    """
    if source.box is None:
        return 0.0
    return min(1.0, max(-1.0, source.box[0] + source.box[2] - 1.0))
