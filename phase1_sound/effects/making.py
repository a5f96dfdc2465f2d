"""Scene -> effects on disk: which variants to make, making, finishing, checking, writing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.audio import SAMPLE_RATE, Audio, write_audio
from core.loudness import loudness_lufs, normalise_loudness
from core.manifest import prepare_folder, sha256_file
from core.seeds import derive_seed
from phase1_sound.checks import SILENT_LUFS, measure, verdict
from phase1_sound.effects.protocol import EffectRequest, EffectResult, EffectsEngine
from phase1_sound.prompts import effect_prompt
from schemas.effect import Effect, Effects, EngineRecord, Measures, Prompt
from schemas.scene import MIN_VARIANTS, STUDENT_CONFIDENCE, Scene, SoundSource, Variant

DURATION_S = 4.0
LOUDNESS_LUFS = -20.0
CEILING_DBTP = -1.0
RETRIES = 3
DOCUMENT = "effects.json"
_LEADING_DB = -60.0
_PREROLL_S = 0.002
_FADE_S = 0.03
_SLUG_LENGTH = 24

OnProgress = Callable[[int, int], None]
"""Called with the number of effects done and of all."""

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


def make_effects(
    scene: Scene,
    scene_sha256: str,
    engine: EffectsEngine,
    out: Path,
    seed: int,
    on_progress: OnProgress | None = None,
) -> Effects:
    """Make every kept variant of a scene audible and write `out/NN_<source>_<method>.wav` and
    `out/effects.json`.

    Files are 24-bit WAV at 44.1 kHz, -20 LUFS, at most -1 dBTP. An effect that does not pass the checks is
    made again with another seed, up to three times, and then kept with its verdict. WAV files in `out` that
    belong to no effect are removed.

    Raises:
        EngineError: the engine failed. OutputError: the folder cannot be written to.
    """
    prepare_folder(out)
    plan = plan_effects(scene, seed)
    effects = []
    for planned, result in zip(plan, engine.make([each.request for each in plan]), strict=True):
        effects.append(_finish(planned, result, engine, out))
        if on_progress:
            on_progress(len(effects), len(plan))
    document = Effects(scene_sha256=scene_sha256, engine=EngineRecord.of(engine.info), seed=seed, effects=effects)
    document.write(out / DOCUMENT)
    remove_stale(out, {effect.file for effect in effects})
    return document


def kept_variants(scene: Scene) -> list[tuple[SoundSource, Variant]]:
    """Variants with a confidence of at least 0.7; where those are fewer than 5, all variants."""
    kept = [pair for pair in scene.variants if pair[1].confidence >= STUDENT_CONFIDENCE]
    return kept if len(kept) >= MIN_VARIANTS else scene.variants


def plan_effects(scene: Scene, seed: int) -> list[Planned]:
    """The requests of all kept variants, numbered from 1; each has its own seed by source, play method and
    number.
    """
    openness = openness_of(scene)
    plan = []
    for number, (source, variant) in enumerate(kept_variants(scene), 1):
        prompt = effect_prompt(scene, source, variant)
        request = EffectRequest(
            source=source.name,
            material=source.material,
            play_method=variant.play_method,
            timbre=tuple(variant.timbre),
            prompt=prompt.text,
            negative_prompt=prompt.negative,
            duration_s=DURATION_S,
            openness=openness,
            seed=derive_seed(seed, "effect", source.name, variant.play_method, number),
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


def _finish(planned: Planned, result: EffectResult, engine: EffectsEngine, out: Path) -> Effect:
    """Bring a sound into shape and check it, make it again while it is not usable, write it, describe it."""
    request = planned.request
    audio, measures, findings = _checked(result)
    for again in range(1, RETRIES + 1):
        if not findings:
            break
        request = replace(planned.request, seed=derive_seed(planned.request.seed, "again", again))
        result = next(iter(engine.make([request])))
        audio, measures, findings = _checked(result)
    file = file_name(planned)
    write_audio(out / file, audio)
    return Effect(
        number=planned.number,
        file=file,
        sha256=sha256_file(out / file),
        source=planned.source.name,
        material=planned.source.material,
        play_method=planned.variant.play_method,
        timbre=list(planned.variant.timbre),
        role_hint=planned.variant.mapping_to_music_instrument,
        confidence=planned.variant.confidence,
        pan=pan_of(planned.source),
        seed=request.seed,
        prompt=planned.prompt,
        recipe=result.recipe,
        duration_s=audio.duration_s,
        sample_rate=audio.sample_rate,
        measures=measures,
        verdict=findings,
    )


def _checked(result: EffectResult) -> tuple[Audio, Measures, list[str]]:
    audio = shaped(result.audio)
    measures = measure(audio)
    return audio, measures, verdict(audio, measures)


def shaped(audio: Audio) -> Audio:
    """At 44.1 kHz, without DC and leading silence, fading at its end, at -20 LUFS; silence is left alone."""
    audio = trimmed(without_dc(audio).resampled(SAMPLE_RATE))
    faded = fade_out(audio)
    if loudness_lufs(faded) <= SILENT_LUFS:
        return faded  # raising it would only raise its noise
    return normalise_loudness(faded, LOUDNESS_LUFS, CEILING_DBTP)


def without_dc(audio: Audio) -> Audio:
    """Every channel less its mean."""
    if not audio.frames:
        return audio
    return Audio(
        audio.samples - audio.samples.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32),
        audio.sample_rate,
    )


def trimmed(audio: Audio) -> Audio:
    """Without the silence before the first sample within 60 dB of the peak, 2 ms of it kept."""
    loud = np.flatnonzero(np.max(np.abs(audio.samples), axis=0, initial=0.0) > audio.peak * 10 ** (_LEADING_DB / 20))
    start = max(0, int(loud[0]) - round(_PREROLL_S * audio.sample_rate)) if len(loud) else 0
    return Audio(audio.samples[:, start:], audio.sample_rate)


def fade_out(audio: Audio) -> Audio:
    """With a raised-cosine fade over the last 30 ms, so that it ends without a click."""
    count = min(round(_FADE_S * audio.sample_rate), audio.frames)
    samples = audio.samples.copy()
    samples[:, audio.frames - count :] *= (0.5 + 0.5 * np.cos(np.pi * (np.arange(count) + 1) / max(count, 1))).astype(
        np.float32
    )
    return Audio(samples, audio.sample_rate)


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


def remove_stale(folder: Path, kept: set[str]) -> None:
    """Remove WAV files that an earlier run for another scene left in the folder."""
    for path in folder.glob("*.wav"):
        if path.name not in kept:
            path.unlink(missing_ok=True)
