"""The engine: request -> brief -> drawn recipe -> sound, in an airy or resonant or bright character, in a
room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage, signal

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
    log_uniform,
    low_pass,
    noise,
    phase_of,
    tilt_eq,
    unit,
    wander,
)
from phase1_sound.effects.engines.foley.gestures import GESTURES, Gesture, Kind
from phase1_sound.effects.engines.foley.parsing import understand
from phase1_sound.effects.engines.foley.room import Room
from phase1_sound.effects.protocol import EffectRequest, EffectResult

PEAK = 0.9
FADE_IN_S: dict[Kind, float] = {"hits": 0.0, "sustained": 0.015, "texture": 0.06}
FADE_OUT_S = 0.06
RESONANCES = 30


class Foley:
    """Physically informed synthesis of everyday sounds with numpy and scipy.

    Knows materials and gestures by their words; what it does not know becomes the nearest thing it does,
    flagged with "recognised": false in the recipe. The same request gives the same samples, alone or in a
    batch.
    """

    info = EngineInfo(name="foley", version="3")

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
    sound = coloured(recipe.render(frames, render), brief.character, gesture, render)
    sound = faded(high_pass(room.around(sound, render), 22.0), gesture.kind)
    record = {
        "gesture": brief.gesture,
        "kind": gesture.kind,
        "after": recipe.source,
        "material": brief.material.name,
        "size": brief.size,
        "recognised": not understood.not_understood,
        "not_understood": list(understood.not_understood),
        "character": plain(vars(brief.character)),
        "parameters": recipe.parameters(),
        "room": plain(vars(room)),
    }
    return EffectResult(Audio(PEAK * unit(sound).astype(np.float32), RATE), record)


def coloured(sound: Signal, character: Character, gesture: Gesture, rng: np.random.Generator) -> Signal:
    """What words ask of any sound, whatever its recipe has made of them: rhythm, roughness, resonance, air, tilt."""
    if gesture.kind != "hits" and not gesture.recipe.beats:
        sound = sound * paced(sound, character, rng)
    if character.evenness:
        sound = sound * evened(sound, character.evenness, rng)
    if character.roughness > 0:
        sound = sound * roughened(sound.shape[-1], character.roughness, rng)
    if character.damping > 0:
        sound = dried(sound, character.damping)
    if character.damping < 0 and not gesture.recipe.rings:
        sound = resonating(sound, -character.damping, rng)
    if character.air > 0:
        # Air follows the sound's level.
        level = low_pass(np.abs(sound), 9.0)
        sound = sound + 1.2 * character.air * level * noise(rng, sound.shape[-1], 400.0, 9000.0, -2.0)
    return tilt_eq(sound, character.tilt_db) if character.tilt_db else sound


def paced(sound: Signal, character: Character, rng: np.random.Generator) -> Signal:
    """Gain of what goes on without events of its own: beats, some two a second ("pulsing"); flurries ("fast") or calm
    ("slow").
    """
    frames = sound.shape[-1]
    gain = np.ones(frames)
    if character.pulse > 0:
        beat = 2 * np.pi * 2.1 * character.rate_factor * clock(frames)
        gain *= 1 - min(character.pulse, 0.95) * (0.5 + 0.5 * np.cos(beat)) ** 0.7
    if character.rate > 0:
        gain *= 1 - min(0.9, 1.45 * character.rate) * wander(rng, frames, 6.0)
    return gain * calmed(sound, -1.44 * character.rate) if character.rate < 0 else gain


def evened(sound: Signal, evenness: float, rng: np.random.Generator) -> Signal:
    """Gain that evens out the level of the last moments ("steady"), or comes and goes at random ("erratic")."""
    if evenness < 0:
        return (1.05 - wander(rng, sound.shape[-1], 3.5)) ** (3.5 * -evenness)
    level = low_pass(np.abs(sound if sound.ndim == 1 else sound.mean(axis=0)), 4.0)
    return np.asarray((level + 0.03 * level.max() + 1e-12) ** (-0.6 * evenness))


def calmed(sound: Signal, amount: float) -> Signal:
    """Gain that evens out the level over some 70 ms: the small unrest goes, long swells stay."""
    mono = np.abs(sound if sound.ndim == 1 else sound.mean(axis=0))
    level = ndimage.uniform_filter1d(ndimage.uniform_filter1d(mono, 64)[::64], frames_of(0.07) // 64 | 1)
    gain = (level + 0.03 * level.max() + 1e-12) ** -amount
    return np.interp(np.arange(len(mono)), np.arange(len(gain)) * 64, gain)


def roughened(frames: int, roughness: float, rng: np.random.Generator) -> Signal:
    """Gain that flutters some 70 times a second, where the ear hears roughness (Fastl and Zwicker, 2007)."""
    flutter = np.sin(phase_of(55.0 + 30.0 * wander(rng, frames, 9.0)))
    return 1 - min(0.9, 1.2 * roughness) * (0.5 + 0.5 * flutter)


def dried(sound: Signal, damping: float) -> Signal:
    """Tails pulled down: a gain that falls with the level under its recent maximum (a downward expander)."""
    level = low_pass(np.abs(sound if sound.ndim == 1 else sound.mean(axis=0)), 25.0) + 1e-9
    recent = ndimage.maximum_filter1d(level[::64], frames_of(0.5) // 64 | 1)
    above = level[::64] / recent
    gain = np.interp(np.arange(len(level)), np.arange(len(above)) * 64, above ** (0.5 * damping))
    return np.asarray(sound * gain)


def resonating(sound: Signal, amount: float, rng: np.random.Generator) -> Signal:
    """The sound with something near it that answers: thirty modes of 120-4500 Hz that ring for half a second to two."""
    freqs = log_uniform(rng, (120.0, 4500.0), RESONANCES)
    decays = 6.91 / (1.9 * amount * (300.0 / (300.0 + freqs)) ** 0.3 + 0.2)
    t = clock(frames_of(1.6))
    answer = sum(np.exp(-d * t) * np.sin(2 * np.pi * f * t) for f, d in zip(freqs, decays, strict=True))
    mono = sound if sound.ndim == 1 else sound.mean(axis=0)
    wet = signal.oaconvolve(mono.astype(np.float32), np.asarray(answer, np.float32))[: len(mono)]
    scale = float(np.sqrt(np.mean(mono**2)) / max(np.sqrt(np.mean(wet**2)), 1e-12))
    return np.asarray(sound + 0.6 * min(amount, 1.2) * scale * wet)


def faded(sound: Signal, kind: Kind) -> Signal:
    """Without clicks at the ends: hits keep their beginning, textures come in within 60 ms; the last 60 ms go
    out.
    """
    t, frames = clock(sound.shape[-1]), sound.shape[-1]
    gain = np.clip((frames / RATE - t) / min(FADE_OUT_S, 0.25 * frames / RATE), 0.0, 1.0)
    if FADE_IN_S[kind]:
        gain = gain * np.clip(t / FADE_IN_S[kind], 0.0, 1.0)
    return np.asarray(sound * (0.5 - 0.5 * np.cos(np.pi * gain)))
