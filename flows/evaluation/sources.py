"""The sounds that instruments are evaluated on: what the foley synthesiser makes, and what is hard in other ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from core.audio import SAMPLE_RATE, Audio
from core.errors import UsageError
from core.seeds import derive_seed, generator
from phase1_sound.effects.engines.foley.engine import Foley
from phase1_sound.effects.engines.foley.gestures import GESTURES
from phase1_sound.effects.protocol import EffectRequest

Floats = npt.NDArray[np.float64]

SEED = 2024
"""Every source is drawn from this seed and its own name: the same on every machine."""

_FOLEY_S = 3.0

FOLEY_SOURCES: dict[str, tuple[str, str, str]] = {
    "strike-metal": ("pan", "metal", "struck with a stick"),
    "bell": ("bell", "bronze", "rung"),
    "strike-glass": ("wine glass", "glass", "tapped with a spoon"),
    "strike-wood": ("table", "wood", "struck with a hammer"),
    "knock": ("door", "wood", "knocked with knuckles"),
    "scrape": ("tile", "stone", "scraped with a knife"),
    "steps-gravel": ("shoes", "gravel", "footsteps"),
    "drip": ("tap", "water", "dripping"),
    "stream": ("brook", "water", "flowing"),
    "wind": ("air", "air", "wind gusting"),
    "rain": ("rain", "water", "raining on the ground"),
    "fire": ("campfire", "wood", "crackling"),
    "rustle": ("leaves", "leaves", "rustling"),
    "engine": ("engine", "metal", "idling"),
    "bird": ("bird", "feathers", "singing"),
    "crumple": ("paper bag", "paper", "crumpled"),
}
"""Name -> (source, material, play method), as a scene names them."""


@dataclass(frozen=True)
class Source:
    """A named sound to build instruments of."""

    name: str
    sound: Audio


def white_noise() -> Audio:
    """White noise, 2 s: nothing in it has a pitch."""
    return _peaked(_rng("noise").standard_normal(2 * SAMPLE_RATE))


def steady_tone() -> Audio:
    """A steady harmonic tone of 220 Hz, 2 s, twelve partials at 1/k."""
    return _peaked(_faded(_harmonics(220.0, 2.0, 12)))


def speech() -> Audio:
    """Noise with the formants of five vowels in turn, four syllables a second, 2.5 s: like speech, whispered."""
    rng = _rng("speech")
    vowels = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
    frames = SAMPLE_RATE // 4
    syllables = []
    for place in range(10):
        formants = vowels[place % len(vowels)]
        breath = rng.standard_normal(frames)
        voice = sum(
            signal.lfilter(*signal.iirpeak(f, f / 90.0, fs=SAMPLE_RATE), breath) / n for n, f in _counted(formants)
        )
        syllables.append(voice * np.sin(np.pi * np.arange(frames) / frames) ** 0.7)
    return _peaked(np.concatenate(syllables))


def click() -> Audio:
    """A decaying burst of noise of 5 ms, and nothing else."""
    frames = round(0.005 * SAMPLE_RATE)
    return _peaked(_rng("click").standard_normal(frames) * np.exp(-np.arange(frames) / 40.0))


def drone() -> Audio:
    """30 s of a low tone that beats and swells over a breath of noise."""
    t = np.arange(30 * SAMPLE_RATE) / SAMPLE_RATE
    tone = _harmonics(82.4, 30.0, 16) + _harmonics(82.7, 30.0, 16)
    breath = signal.lfilter([1.0], [1.0, -0.95], _rng("drone").standard_normal(len(t)))
    return _peaked(_faded((tone + 0.05 * breath) * (1.0 + 0.4 * np.sin(2 * np.pi * 0.11 * t))))


OTHER_SOURCES: dict[str, Callable[[], Audio]] = {
    "noise": white_noise,
    "tone": steady_tone,
    "speech": speech,
    "click": click,
    "drone": drone,
}

DEFAULT_SOURCES: tuple[str, ...] = (*FOLEY_SOURCES, *OTHER_SOURCES)


def source_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of sources as asked for: none for the default ones, `all` for those and every foley gesture.

    Raises:
        UsageError: there is no source of a name.
    """
    known = tuple(dict.fromkeys((*DEFAULT_SOURCES, *GESTURES)))
    if not names:
        return DEFAULT_SOURCES
    if "all" in names:
        return known
    for name in names:
        if name not in known:
            raise UsageError(f"no source {name!r}: choose from all, {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def make_source(name: str) -> Source:
    """Make one source; the same name gives the same samples.

    Raises:
        UsageError: there is no source of that name.
    """
    (known,) = source_names([name])
    if known in OTHER_SOURCES:
        return Source(known, OTHER_SOURCES[known]())
    source, material, method = FOLEY_SOURCES.get(known) or GESTURES[known].example
    request = EffectRequest(source, material, method, (), "", "", _FOLEY_S, 0.3, derive_seed(SEED, known))
    (result,) = Foley().make([request])
    return Source(known, result.audio)


def _rng(name: str) -> np.random.Generator:
    return generator(SEED, name)


def _counted(formants: Sequence[int]) -> list[tuple[int, int]]:
    return list(enumerate(formants, start=1))


def _harmonics(f_hz: float, seconds: float, partials: int) -> Floats:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.asarray(sum(np.sin(2 * np.pi * f_hz * k * t) / k for k in range(1, partials + 1)))


def _faded(samples: Floats) -> Floats:
    fade = round(0.02 * SAMPLE_RATE)
    gain = np.ones(len(samples))
    gain[:fade] = np.linspace(0.0, 1.0, fade)
    gain[-fade:] = np.linspace(1.0, 0.0, fade)
    return samples * gain


def _peaked(samples: Floats) -> Audio:
    return Audio((0.7 * samples / np.max(np.abs(samples))).astype(np.float32), SAMPLE_RATE)
