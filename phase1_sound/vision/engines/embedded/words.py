"""The scene's sentences and timbre words: what was seen, where, how it feels, and what was not recognised."""

from __future__ import annotations

from collections.abc import Callable

from phase1_sound.vision.engines.embedded.choice import Pick, is_small, rank
from phase1_sound.vision.engines.embedded.features import Figures
from phase1_sound.vision.engines.embedded.places import Place
from phase1_sound.vision.engines.embedded.regions import SMALL_BY_NATURE, Region
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
    numbers = f"{_percent(region.area)} of the picture, purity {region.purity:.2f}, lightness {region.lightness:.0f}"
    if kind.texture:
        return f"chosen from texture, not recognised: {kind.seen}, {numbers}"
    cue = f" ({region.cue})" if region.cue else ""
    return f"region that looks like {kind.label}: {kind.seen}{cue}; {numbers}; the thing itself was not recognised"


def describe_scene(regions: tuple[Region, ...], figures: Figures, place: Place, table: Table) -> str:
    """Where this is, what the picture shows and what was not recognised, in three or four sentences."""
    told = sorted((region for region in regions if not is_small(region)), key=rank)[:4]
    parts = [_placed(region, figures, place, table) for region in told]
    shown = "; ".join(parts) if parts else "no surface that could be named"
    left = 1 - sum(region.area for region in regions if region.name != "people")
    rest = f" {_percent(left)} of it belongs to no known surface." if left > 0.1 else ""
    grey = " The picture is grey, so nothing is said about colours." if figures.grey else ""
    apart = "Apart from a face, no" if place.has("people") else "No"
    nothing = f"{apart} object was recognised, only surfaces by colour and texture."
    return f"{_setting(regions, figures, place)}: {shown}.{_side_of_light(figures)}{grey}{rest} {nothing}"


def _placed(region: Region, figures: Figures, place: Place, table: Table) -> str:
    look, label = _look(region, figures), table.region[region.name].label
    named = f"a {look}{label[2:]}" if label.startswith("a ") else f"{look}{label}"
    far = ""
    if place.name in ("outdoors", "night") and region.name != "sky":
        far = ", far away" if region.distance > 0.55 else ", close by" if region.distance < 0.15 else ""
    return f"{named} {_place(region)}{far} ({_share(region.area)})"


def _look(region: Region, figures: Figures) -> str:
    """A word for how a region looks that its label does not say; none for colours that could mislead."""
    if figures.grey or region.name not in ("sky", "vegetation", "water", "colour", "smooth", "bright"):
        return ""
    if region.chroma < 9:
        return "pale " if region.lightness > 60 and region.name != "bright" else ""
    depth = "dark " if region.lightness < 32 else "light " if region.lightness > 80 else ""
    return depth if region.name == "vegetation" else f"{depth}{hue_word(region.hue)} "


def _share(area: float) -> str:
    """A share of the picture as one would say it."""
    return next(word for limit, word in _SHARES if area < limit)


_SHARES = (
    (0.05, "a little"), (0.14, "a tenth"), (0.22, "a fifth"), (0.29, "a quarter"), (0.38, "a third"), (0.45, "two fifths"),
    (0.56, "half"), (0.72, "two thirds"), (0.92, "most of it"), (2.0, "all of it"),
)  # fmt: skip


def hue_word(hue: float) -> str:
    """Name of a Lab hue angle in degrees."""
    return next(name for limit, name in _HUES if hue < limit)


def _place(region: Region) -> str:
    x0, y0, x1, y1 = region.box
    if x1 - x0 > 0.8 and y1 - y0 > 0.8:
        return "all over" if region.area > 0.55 else "in many places"
    side = "on the left" if region.x < -0.3 else "on the right" if region.x > 0.3 else "in the middle"
    level = "at the top" if region.y < 0.35 else "at the bottom" if region.y > 0.65 else "half-way up"
    return f"{level}, {'across the width' if x1 - x0 > 0.8 else side}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _side_of_light(figures: Figures) -> str:
    if abs(figures.balance) < 0.35:
        return ""
    return f" The light is on the {'left' if figures.balance < 0 else 'right'}."


def _setting(regions: tuple[Region, ...], figures: Figures, place: Place) -> str:
    """The beginning of the description: prompts take the place out of it."""
    light = ("dark", "evenly lit", "brightly lit")[_third(figures.brightness, 0.33, 0.66)]
    if place.name == "outdoors":
        return f"Outdoors {_country(place)}, {_time(regions, figures)}"
    if place.name == "night":
        where = f"Outdoors {_country(place)}, " if place.has("sky", "vegetation", "snow") else "In the dark, "
        return f"{where}{_own_light(place)}"
    return {
        "page": "A page or a diagram, not a scene",
        "portrait": f"A person close by, {light}",
        "close": f"A close view, sharp in the middle before a soft ground, {light}",
        "indoors": f"Probably indoors, among straight lines, {light}",
    }.get(place.name, f"{_surface(figures, place)}, indoors or outdoors, {light}")


def _time(regions: tuple[Region, ...], figures: Figures) -> str:
    # A sky is blue or pale, but for the evening's: any hue from violet over red to yellow.
    if any(region.name == "sky" and region.chroma > 15 and not 100 < region.hue < 330 for region in regions):
        return "in the evening light"
    return ("at dusk", "in subdued light", "by day")[_third(figures.brightness, 0.25, 0.4)]


def _country(place: Place) -> str:
    """What kind of country the surfaces make: the first that fits."""
    kinds = (
        (("water", "sand"), "on a shore"), (("snow",), "in the snow"),
        (("water", "vegetation"), "in green country by the water"),
        (("water",), "by the water"), (("sand",), "on open sand"), (("vegetation", "sky"), "in green country under the sky"),
        (("vegetation",), "among green plants"), (("stone", "sky"), "by grey stone under the sky"),
    )  # fmt: skip
    large = {name for name, area in place.area.items() if area > (0.15 if name == "stone" else 0.05)}
    return next((text for names, text in kinds if set(names) <= large), "under an open sky")


def _own_light(place: Place) -> str:
    if place.has("fire"):
        return "by a fire"
    return "points of light all over" if place.has("stars") else "with small lights"


def _surface(figures: Figures, place: Place) -> str:
    """What is said of a picture whose place cannot be told: whether one surface is all there is."""
    name, area = max(place.area.items(), key=lambda pair: pair[1], default=("", 0.0))
    if place.area.get("regular", 0.0) > 0.3 or figures.regularity > 0.62:
        return "A pattern that repeats itself"
    if area < 0.7 or name == "blank":
        return "A place that cannot be told"
    if name == "dark":
        return "A dark place that cannot be told"
    return {"rough": "One rough surface", "smooth": "One smooth surface", "stone": "One surface of grey stone"}.get(
        name, "One surface"
    )


def describe_mood(figures: Figures, place: Place, table: Table) -> str:
    """Valence from brightness, saturation and warmth, arousal from detail and contrast, put into words."""
    valence = 0.45 * figures.brightness + 0.35 * figures.saturation + 0.2 * (figures.warmth + 1) / 2
    arousal = 0.6 * figures.detail + 0.4 * figures.contrast
    mood = _MOODS[_third(valence, 0.33, 0.5)][_third(arousal, 0.4, 0.7)]
    pace = ("slow and sparse", "at a walking pace", "quick and dense")[_third(arousal, 0.4, 0.7)]
    return (
        f"{mood}{_added(place, table)}: {_palette(figures)}, {_contrast(figures)}, {_detail(figures)}. "
        f"The sounds could be {pace}, {_weight(figures)} (valence {valence:.2f}, arousal {arousal:.2f})."
    )


def _added(place: Place, table: Table) -> str:
    """What the two classes that say most of a place add to its mood."""
    large = [name for name, area in place.area.items() if area > 0.15 or name in SMALL_BY_NATURE]
    named = sorted(large, key=lambda name: (name not in SMALL_BY_NATURE, -place.area[name], name))
    words = [table.region[name].mood for name in named if table.region[name].mood]
    return "".join(f", {word}" for word in words[:2])


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
