"""The scene's sentences and timbre words: what was seen, where, how it feels, and what was not recognised."""

from __future__ import annotations

from collections.abc import Callable

from phase1_sound.vision.engines.embedded.choice import Pick
from phase1_sound.vision.engines.embedded.features import Figures
from phase1_sound.vision.engines.embedded.regions import OUTDOOR, TEXTURES, Region
from phase1_sound.vision.engines.embedded.table import Table, Way

_MOST_TIMBRE_WORDS = 5
_HUES = (
    (20, "pink"), (45, "red"), (70, "orange"), (105, "yellow"), (160, "green"), (215, "teal"), (285, "blue"),
    (330, "violet"), (361, "pink"),
)  # fmt: skip
_Test = Callable[[Region, Figures], bool]
# What a region's pixels say about the sound, in words that the effects engines know, strongest first.
_TIMBRE: tuple[tuple[str, _Test], ...] = (
    ("large", lambda region, _: region.area > 0.35),
    ("small", lambda region, _: region.area < 0.04),
    ("bright", lambda region, _: region.lightness > 78),
    ("dark", lambda region, _: region.lightness < 22),
    ("rough", lambda region, _: region.grain > 8),
    ("smooth", lambda region, _: region.grain < 1.2),
    ("regular", lambda region, _: region.regularity > 0.55),
    ("rich", lambda region, _: region.chroma > 40),
    ("dry", lambda region, figures: region.chroma < 5 and not figures.grey),
    ("busy", lambda _, figures: figures.detail > 0.75),
    ("calm", lambda _, figures: figures.detail < 0.2),
    ("warm", lambda _, figures: figures.warmth > 0.5),
    ("clear", lambda _, figures: figures.contrast > 0.8),
    ("muted", lambda _, figures: figures.contrast < 0.3),
)
_CONTRARY = (
    {"large", "small", "delicate", "thin", "tiny", "light"},
    {"bright", "dark", "warm", "muted", "clear", "dull", "muffled", "low", "deep"},
    {"rough", "smooth", "soft"},
    {"regular", "irregular", "sparse"},
    {"busy", "calm", "slow", "rapid", "lively", "sparse"},
    {"dry", "resonant", "ringing", "long", "sustained", "lingering"},
)


def timbre_words(way: Way, region: Region | None, figures: Figures) -> list[str]:
    """The table's words for a way, and what the region adds without contradicting them; at most 5."""
    words = list(way.timbre)
    if region is not None:
        for word, holds in _TIMBRE:
            if holds(region, figures) and not _contradicts(word, words):
                words.append(word)
    return words[:_MOST_TIMBRE_WORDS]


def _contradicts(word: str, words: list[str]) -> bool:
    return word in words or any(word in group and group & set(words) for group in _CONTRARY)


def evidence(pick: Pick, table: Table) -> str:
    """Why a source is in the scene: what the pixels show, how much of the picture, how clearly."""
    if pick.region is None:
        return "chosen from texture, not recognised: fits the texture of the whole picture"
    kind, region = table.region[pick.region.name], pick.region
    share = f"{_percent(region.area)} of the picture"
    numbers = f"{share}, purity {region.purity:.2f}, lightness {region.lightness:.0f}"
    if kind.texture:
        return f"chosen from texture, not recognised: {kind.seen}, {numbers}"
    return f"region that looks like {kind.label}: {kind.seen}; {numbers}; the thing itself was not recognised"


def describe_scene(regions: tuple[Region, ...], figures: Figures, table: Table) -> str:
    """What the picture shows in two or three sentences, and what was not recognised."""
    parts = [_placed(region, figures, table) for region in regions[:4]]
    shown = ", ".join(parts) if parts else "no surface that could be named"
    left = 1 - sum(region.area for region in regions)
    rest = f" {_percent(left)} of it belongs to no known surface." if left > 0.1 else ""
    grey = " The picture is grey, so nothing is said about colours." if figures.grey else ""
    nothing = "No object was recognised, only surfaces by colour and texture."
    return f"{_setting(regions, figures)}: {shown}.{grey}{rest} {nothing}"


def _placed(region: Region, figures: Figures, table: Table) -> str:
    label = table.region[region.name].label
    if region.name in ("colour", "bright", "smooth") and not figures.grey and region.chroma > 12:
        label += f" ({hue_word(region.hue)})"
    return f"{label} {_place(region)} ({_percent(region.area)})"


def hue_word(hue: float) -> str:
    """Name of a Lab hue angle in degrees."""
    return next(name for limit, name in _HUES if hue < limit)


def _place(region: Region) -> str:
    x0, y0, x1, y1 = region.box
    if x1 - x0 > 0.8 and y1 - y0 > 0.8:
        return "in many places"
    side = "on the left" if region.x < -0.3 else "on the right" if region.x > 0.3 else "in the middle"
    level = "at the top" if region.y < 0.35 else "at the bottom" if region.y > 0.65 else "half-way up"
    return f"{level}, {'across the width' if x1 - x0 > 0.8 else side}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _setting(regions: tuple[Region, ...], figures: Figures) -> str:
    names = {region.name for region in regions}
    outdoor = sum(region.area for region in regions if region.name in OUTDOOR)
    if "document" in names:
        return "A page or a diagram, not a scene"
    time = ("at night", "in subdued light", "by day")[_third(figures.brightness, 0.3, 0.5)]
    if "fire" in names or "lights" in names:
        return f"{'Outdoors' if outdoor > 0.1 else 'In the dark'}, with light of its own"
    if outdoor > 0.15 and names & {"sky", "vegetation"}:
        return f"Outdoors, {time}"
    if names <= {*TEXTURES, "dark", "bright"}:
        return f"A place that cannot be told, indoors or outdoors, {_light(figures)}"
    return f"Indoors or a close view, {_light(figures)}"


def _light(figures: Figures) -> str:
    return ("dark", "evenly lit", "brightly lit")[_third(figures.brightness, 0.33, 0.66)]


def describe_mood(figures: Figures) -> str:
    """Valence from brightness, saturation and warmth, arousal from detail and contrast, put into words."""
    valence = 0.45 * figures.brightness + 0.35 * figures.saturation + 0.2 * (figures.warmth + 1) / 2
    arousal = 0.6 * figures.detail + 0.4 * figures.contrast
    mood = _MOODS[_third(valence, 0.33, 0.5)][_third(arousal, 0.4, 0.7)]
    pace = ("slow and sparse", "at a walking pace", "quick and dense")[_third(arousal, 0.4, 0.7)]
    return (
        f"{mood}: {_palette(figures)}, {_contrast(figures)}, {_detail(figures)}. The sounds could be {pace}, "
        f"{_weight(figures)} (valence {valence:.2f}, arousal {arousal:.2f})."
    )


_MOODS = (
    ("Still and sombre", "Brooding", "Tense and dark"),
    ("Quiet and reserved", "Thoughtful, evenly balanced", "Restless"),
    ("Calm and friendly", "Cheerful and open", "Exuberant"),
)


def _third(value: float, low: float, high: float) -> int:
    return int(value >= low) + int(value >= high)


def _palette(figures: Figures) -> str:
    if figures.grey:
        return "greys only"
    strength = ("faint", "moderate", "strong")[_third(figures.saturation, 0.2, 0.55)]
    warmth = ("cool", "neutral", "warm")[_third(figures.warmth, -0.12, 0.2)]
    return f"{strength} {warmth} colours"


def _contrast(figures: Figures) -> str:
    return ("little contrast", "moderate contrast", "hard contrast")[_third(figures.contrast, 0.35, 0.7)]


def _detail(figures: Figures) -> str:
    texture = ("hardly any texture", "some texture", "much fine detail")[_third(figures.detail, 0.25, 0.6)]
    direction = max(figures.horizontal, figures.upright)
    if direction < 0.42:
        return texture
    return f"{texture}, mostly {'lying' if figures.horizontal > figures.upright else 'upright'} lines"


def _weight(figures: Figures) -> str:
    words = ("deep and covered", "in a middle range", "light and bright")
    return words[_third(figures.brightness, 0.35, 0.6)]
