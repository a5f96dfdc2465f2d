"""The engine: request -> brief -> drawn recipe -> sound, in an airy or resonant or bright character, in a
room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from core import seeds
from core.audio import Audio
from core.engines import EngineInfo
from phase1_sound.effects.engines.foley.brief import Character, plain
from phase1_sound.effects.engines.foley.dsp import (
    RATE,
    Signal,
    clock,
    frames_of,
    high_pass,
    low_pass,
    noise,
    tilt_eq,
    unit,
)
from phase1_sound.effects.engines.foley.gestures import GESTURES, Kind
from phase1_sound.effects.engines.foley.parsing import understand
from phase1_sound.effects.engines.foley.room import Room
from phase1_sound.effects.protocol import EffectRequest, EffectResult

PEAK = 0.9
FADE_IN_S: dict[Kind, float] = {"hits": 0.0, "sustained": 0.015, "texture": 0.06}
FADE_OUT_S = 0.06


class Foley:
    """Physically informed synthesis of everyday sounds with numpy and scipy.

    Knows materials and gestures by their words; what it does not know becomes the nearest thing it does,
    flagged with "recognised": false in the recipe. The same request gives the same samples, alone or in a
    batch.
    """

    info = EngineInfo(name="foley", version="1")

    def make(self, requests: Sequence[EffectRequest]) -> Iterator[EffectResult]:
        """Make one effect per request, exactly `duration_s` long, at 44.1 kHz, mono or stereo, peak 0.9."""
        for request in requests:
            yield make_effect(request)


def make_effect(request: EffectRequest) -> EffectResult:
    """Draw the recipe of a request and render it."""
    understood = understand(request)
    brief, draw = understood.brief, seeds.generator(request.seed, "draw")
    gesture = GESTURES[brief.gesture]
    recipe = gesture.recipe.draw(brief, draw)
    room = Room.draw(request.openness, 1 / brief.character.damping_factor, draw)

    frames, render = frames_of(request.duration_s), seeds.generator(request.seed, "render")
    sound = coloured(recipe.render(frames, render), brief.character, render)
    sound = faded(high_pass(room.around(sound, render), 22.0), gesture.kind)
    record = {
        "gesture": brief.gesture,
        "kind": gesture.kind,
        "material": brief.material.name,
        "size": brief.size,
        "recognised": not understood.not_understood,
        "not_understood": list(understood.not_understood),
        "character": plain(vars(brief.character)),
        "parameters": recipe.parameters(),
        "room": plain(vars(room)),
    }
    return EffectResult(Audio(PEAK * unit(sound).astype(np.float32), RATE), record)


def coloured(sound: Signal, character: Character, rng: np.random.Generator) -> Signal:
    """Tilt the spectrum as "bright" or "dark" ask, and let air follow the sound's level as "airy" and
    "hushed" ask.
    """
    if character.air > 0:
        level = low_pass(np.abs(sound), 9.0)
        sound = sound + 1.2 * character.air * level * noise(rng, sound.shape[-1], 400.0, 9000.0, -2.0)
    return tilt_eq(sound, character.tilt_db) if character.tilt_db else sound


def faded(sound: Signal, kind: Kind) -> Signal:
    """Without clicks at the ends: hits keep their beginning, textures come in within 60 ms; the last 60 ms go
    out.
    """
    t, frames = clock(sound.shape[-1]), sound.shape[-1]
    gain = np.clip((frames / RATE - t) / min(FADE_OUT_S, 0.25 * frames / RATE), 0.0, 1.0)
    if FADE_IN_S[kind]:
        gain = gain * np.clip(t / FADE_IN_S[kind], 0.0, 1.0)
    return np.asarray(sound * (0.5 - 0.5 * np.cos(np.pi * gain)))
