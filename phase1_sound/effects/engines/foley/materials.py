"""The one table of materials: how each rings, how it rubs, and which phrases mean it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Material:
    """How a material sounds when it is set ringing.

    loss_tangent: tan(phi), the share of a mode's energy lost per radian (Klatzky, Pai, Krotkov 2000: the cue
    by which materials are told apart); tilt_db: level of the modes in dB per octave; f0_hz: lowest mode of a
    hand-sized piece; hardness 0..1 sets the contact time; roughness 0..1 the noise of touching it; modes:
    family in modal.MODE_RATIOS; split: relative detuning of mode pairs, the slow beating of thin round
    things. instead: gestures that this material answers differently (water is not struck, it splashes);
    default: the gesture for words that nobody understood.
    """

    name: str
    loss_tangent: float
    tilt_db: float
    f0_hz: float
    hardness: float
    roughness: float
    modes: str
    synonyms: str
    split: float = 0.0
    default: str = "strike"
    instead: Mapping[str, str] = field(default_factory=dict)


_LIQUID = {
    **dict.fromkeys(("strike", "knock", "shake", "flap", "whoosh", "tear", "shatter", "crack"), "splash"),
    **dict.fromkeys(("tap", "bounce", "pluck", "tick", "click"), "drip"),
    **dict.fromkeys(("scrape", "rub", "sweep", "rustle", "creak", "crumple", "sand", "bag"), "stream"),
    "roll": "waves",
}
_GAS = {
    **dict.fromkeys(("strike", "knock", "tap", "bounce", "shake", "flap", "crack", "shatter"), "whoosh"),
    **dict.fromkeys(("scrape", "rub", "sweep", "rustle", "crumple", "creak", "roll", "bag"), "wind"),
}
_PLANTS = {
    **dict.fromkeys(("strike", "knock", "tap", "bounce", "shake", "rub", "scrape", "flap", "pluck"), "rustle"),
}
_SHEET = dict.fromkeys(("bounce", "knock"), "strike") | dict.fromkeys(("shake", "rustle"), "flap")
_PAPER = dict.fromkeys(("strike", "knock", "bounce", "shake", "rustle", "bag", "crack", "shatter"), "crumple")
_LOOSE = {
    **dict.fromkeys(("strike", "tap", "bounce", "knock", "rustle", "crack"), "shake"),
    **dict.fromkeys(("pour", "stream", "drip"), "sand"),
}

_FILM = dict.fromkeys(("crumple", "rustle"), "bag")
_ICE = dict.fromkeys(("crack", "shatter"), "ice")
_BRITTLE = {"crack": "shatter"}
_STRING = {"strike": "pluck"}
_SNOW = dict.fromkeys(("strike", "tap", "knock", "bounce", "rustle", "crumple"), "steps")
_FIRE = dict.fromkeys(_GAS, "fire")

# name, loss tangent, tilt dB/octave, lowest mode Hz, hardness, roughness, mode family
# fmt: off
_ROWS = (
    Material("metal", 0.0008, -1.5, 900, 0.95, 0.35, "plate",
             "metal metallic steel iron aluminium aluminum tin copper brass chrome chromed zinc silver "
             "gold wrought cast stainless alloy lead coin rail pipe", split=0.0012),
    Material("bell", 0.00035, -2.0, 520, 0.93, 0.2, "bell",
             "bell bronze gong chime", split=0.0016),
    Material("glass", 0.0008, -2.5, 1700, 0.97, 0.15, "bowl",
             "glass glassy crystal mirror pane window", split=0.002, instead=_BRITTLE),
    Material("ceramic", 0.002, -3.0, 1300, 0.95, 0.25, "bowl",
             "ceramic porcelain china clay terracotta tile earthenware stoneware pottery bone shell "
             "enamel", split=0.0015, instead=_BRITTLE),
    Material("stone", 0.008, -4.0, 700, 0.95, 0.7, "plate",
             "stone rock granite marble concrete cement brick slate asphalt pavement pebble cobblestone "
             "sandstone limestone masonry plaster"),
    Material("wood", 0.022, -5.0, 280, 0.8, 0.5, "marimba",
             "wood wooden timber oak pine bamboo plywood wicker bark log cork lumber plank twig mahogany "
             "teak rattan cardboard"),
    Material("plastic", 0.035, -5.0, 420, 0.65, 0.35, "plate",
             "plastic vinyl acrylic pvc nylon polyester polymer fiberglass carbon composite synthetic polythene polyethylene "
             "styrofoam resin", instead=_FILM),
    Material("skin", 0.08, -7.0, 140, 0.35, 0.4, "membrane",
             "skin leather hide flesh body human hand fur hair membrane drumhead suede meat fruit food"),
    Material("rubber", 0.12, -9.0, 120, 0.3, 0.5, "plate",
             "rubber silicone latex foam tire tyre gum sponge elastic"),
    Material("cloth", 0.2, -12.0, 90, 0.1, 0.8, "membrane",
             "cloth fabric cotton wool woolen silk linen textile canvas denim velvet felt curtain carpet "
             "fiber fibre lace upholstery upholstered satin knit knitted yarn",
             default="rub", instead=_SHEET),
    Material("string", 0.0006, -4.0, 196, 0.6, 0.3, "string",
             "string wire cable rope cord chord thread spring", instead=_STRING),
    Material("paper", 0.15, -6.0, 240, 0.3, 0.7, "membrane",
             "paper book page newspaper magazine envelope foil cellophane",
             default="crumple", instead=_PAPER),
    Material("leaves", 0.18, -5.0, 300, 0.2, 0.8, "membrane",
             "leaf leaves foliage plant grass vegetation hay straw petal flower bush shrub moss tree "
             "organic", default="rustle", instead=_PLANTS),
    Material("earth", 0.3, -9.0, 110, 0.3, 0.9, "membrane",
             "earth soil dirt ground mud clod turf", default="steps"),
    Material("gravel", 0.05, -4.0, 900, 0.9, 1, "plate",
             "gravel sand sandy grain seed rice bean crumb ash dust salt sugar",
             default="shake", instead=_LOOSE),
    Material("ice", 0.006, -3.0, 1100, 0.95, 0.4, "plate",
             "ice icy icicle glacier frozen iceberg", split=0.001, default="ice", instead=_ICE),
    Material("snow", 0.3, -8.0, 160, 0.2, 0.9, "membrane",
             "snow snowy frost slush", default="steps", instead=_SNOW),
    Material("water", 0.1, -6.0, 300, 0.3, 0.5, "membrane",
             "water liquid watery sea ocean river rain oil wine coffee tea milk juice beer blood wave wet",
             default="stream", instead=_LIQUID),
    Material("air", 0.2, -6.0, 200, 0.1, 0.9, "membrane",
             "air wind gas steam smoke vapor vapour cloud mist fog breeze sky",
             default="wind", instead=_GAS),
    Material("fire", 0.2, -6.0, 200, 0.1, 0.9, "membrane",
             "fire flame ember wax charcoal coal lava", default="fire", instead=_FIRE),
)
# fmt: on

MATERIALS: dict[str, Material] = {row.name: row for row in _ROWS}
SYNONYMS: dict[str, str] = {word: row.name for row in _ROWS for word in row.synonyms.split()}
