"""The laws that the foley engine's sounds obey: hardness, size, losses, rates. Each is heard in finished sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

import numpy as np

from core.audio import SAMPLE_RATE, Audio
from flows.evaluation.instruments import Figure
from flows.evaluation.measures import Floats
from phase1_sound.checks import centroid_hz, frame_levels, measure, onset_times, t30_s
from phase1_sound.effects.engines.foley.engine import Foley
from phase1_sound.effects.engines.foley.impacts import Strike
from phase1_sound.effects.engines.foley.parsing import understand
from phase1_sound.effects.protocol import EffectRequest, EffectResult

SOLIDS = ("metal", "bell", "glass", "ceramic", "stone", "wood", "plastic", "skin", "rubber", "cloth")
RINGING_ORDER = ("bell", "metal", "glass", "ceramic", "stone", "wood", "skin", "cloth")
GROUNDS = (
    "wooden floor",
    "stone pavement",
    "metal grating",
    "gravel",
    "snow",
    "dry leaves",
    "grass",
    "sand",
    "carpet",
    "mud",
)
SEEDS = range(3)


def laws() -> Iterator[Figure]:
    """All laws, one figure each."""
    yield _rising("harder strikers are brighter", "centroid rises", SOLIDS, _centroids_of_tools)
    yield _rising("harder contacts are brighter", "centroid rises", SOLIDS, _centroids_of_hardness)
    yield _rising(
        "larger things are darker", "centroid falls", SOLIDS, lambda material: _centroids_of_sizes(material)[::-1]
    )
    yield _ringing()
    yield _rising("drips come as fast as asked", "onsets rise", ("water",), _drips)
    yield _counted("as many drips as drawn", _drip_counts())
    yield _counted("as many steps as drawn", _step_counts())
    yield _calm()


def asked(source: str, material: str, method: str, *timbre: str, seconds: float = 2.0, seed: int = 0) -> EffectRequest:
    """A request in the open, where no room adds to the sound."""
    return EffectRequest(source, material, method, timbre, "", "", seconds, 1.0, seed)


def _made(request: EffectRequest) -> EffectResult:
    (result,) = Foley().make([request])
    return result


def _rising(name: str, target: str, things: Sequence[str], values: Callable[[str], Sequence[float]]) -> Figure:
    """Values of each thing rise strictly; the figure's value is the smallest ratio from one to the next."""
    ratios = {thing: float(min(b / max(a, 1e-9) for a, b in pairwise(values(thing)))) for thing in things}
    worst = min(ratios, key=lambda thing: ratios[thing])
    met = sum(ratio > 1 for ratio in ratios.values())
    return Figure(name, target, round(ratios[worst], 3), worst, met, len(things), met == len(things))


def _centroid(request: EffectRequest) -> float:
    return measure(_made(request).audio).centroid_hz


def _centroids_of_tools(material: str) -> list[float]:
    tools = ("struck with a soft palm", "struck", "struck with a steel hammer")
    return [median(_centroid(asked("thing", material, tool, seed=seed)) for seed in SEEDS) for tool in tools]


def _centroids_of_sizes(material: str) -> list[float]:
    sizes = ("small thing", "thing", "large thing")
    return [median(_centroid(asked(size, material, "struck", seed=seed)) for seed in SEEDS) for size in sizes]


def single_stroke(material: str, seed: int, contact_s: float | None = None) -> Floats:
    """One stroke on a body of a material, 4 s, shape (frames,)."""
    brief = understand(asked("thing", material, "struck", seconds=4.0)).brief
    recipe = Strike.draw(brief, np.random.default_rng(seed))
    recipe = replace(
        recipe,
        times_s=recipe.times_s[:1],
        forces=recipe.forces[:1],
        positions=recipe.positions[:1],
        contacts_s=(contact_s or recipe.contacts_s[0],),
    )
    return np.asarray(recipe.render(4 * SAMPLE_RATE, np.random.default_rng(seed)))


def _centroids_of_hardness(material: str) -> list[float]:
    contacts = (0.004, 0.0015, 0.0003)
    return [median(_spectral_centre(single_stroke(material, seed, contact)) for seed in SEEDS) for contact in contacts]


def _spectral_centre(sound: Floats) -> float:
    power: Floats = np.asarray(np.abs(np.fft.rfft(sound)) ** 2, dtype=np.float64)
    freqs: Floats = np.asarray(np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE))
    return centroid_hz(power[freqs >= 20.0], freqs[freqs >= 20.0])


def t60_s(material: str) -> float:
    """Seconds in which one stroke on a material falls by 60 dB, twice the time of the first 30 dB; median of five seeds."""
    times = [t30_s(frame_levels(0.1 * single_stroke(material, seed), SAMPLE_RATE)) for seed in range(5)]
    return 2 * median(4.0 if time is None else time for time in times)


def _ringing() -> Figure:
    times = {material: t60_s(material) for material in RINGING_ORDER}
    ratios = {f"{a} > {b}": times[a] / max(times[b], 1e-3) for a, b in pairwise(RINGING_ORDER)}
    worst = min(ratios, key=lambda pair: ratios[pair])
    met = sum(ratio > 1 for ratio in ratios.values())
    where = ", ".join(f"{material} {time:.2f}" for material, time in times.items())
    return Figure(
        "T60 by material, s",
        " > ".join(RINGING_ORDER),
        round(ratios[worst], 2),
        where,
        met,
        len(ratios),
        met == len(ratios),
    )


def _onsets(audio: Audio) -> list[float]:
    return onset_times(audio.mono().astype(np.float64), audio.sample_rate)


def _drips(_: str) -> list[float]:
    words = (("slow",), (), ("fast",))
    return [
        float(
            sum(len(_onsets(_made(asked("tap", "water", "dripping", *each, seconds=4.0, seed=s)).audio)) for s in SEEDS)
        )
        for each in words
    ]


def _drip_counts() -> Iterator[tuple[str, int, int]]:
    for seed in SEEDS:
        for word in ("slow", "fast"):
            result = _made(asked("tap", "water", "dripping", word, seconds=4.0, seed=seed))
            yield f"{word} {seed}", len(_onsets(result.audio)), len(result.recipe["parameters"]["times_s"])


def _step_counts() -> Iterator[tuple[str, int, int]]:
    for ground in GROUNDS:
        result = _made(asked("shoes", "leather", f"footsteps on {ground}", seconds=4.0))
        yield ground, _humps(result.audio), len(result.recipe["parameters"]["times_s"])


def _humps(audio: Audio) -> int:
    """Maxima of the level, smoothed over 0.3 s, within 15 dB of the loudest: heel and toe are one step."""
    window = np.hanning(31)
    levels = frame_levels(audio.mono().astype(np.float64), audio.sample_rate).clip(-50)
    smooth = np.convolve(np.pad(levels, 20, constant_values=-50), window / window.sum(), "same")
    places = range(20, len(smooth) - 20)
    return sum(bool(smooth[i] == smooth[i - 20 : i + 21].max() and smooth[i] > smooth.max() - 15) for i in places)


def _counted(name: str, counts: Iterator[tuple[str, int, int]]) -> Figure:
    """What is heard is what was drawn, give or take one."""
    found = list(counts)
    off = {where: abs(heard - drawn) for where, heard, drawn in found}
    worst = max(off, key=lambda where: off[where])
    met = sum(value <= 1 for value in off.values())
    return Figure(name, "+- 1", float(off[worst]), worst, met, len(found), met == len(found))


def _calm() -> Figure:
    """Wind, hum and a bowed rim have no onsets but their own beginning."""
    cases = {"wind": ("air", "air", "wind gusting"), "hum": ("transformer", "metal", "humming")}
    counts = {
        f"{name} {seed}": sum(time > 0.2 for time in _onsets(_made(asked(*phrase, seconds=4.0, seed=seed)).audio))
        for name, phrase in cases.items()
        for seed in range(6)
    }
    worst = max(counts, key=lambda name: counts[name])
    met = sum(count == 0 for count in counts.values())
    return Figure("wind and hum have no onsets", "0", float(counts[worst]), worst, met, len(counts), met == len(counts))
