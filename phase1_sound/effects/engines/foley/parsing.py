"""Words -> Brief: which gesture, material, size and character a request asks for. Knows words by their stems
only.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from phase1_sound.effects.engines.foley.brief import Brief, Character
from phase1_sound.effects.engines.foley.gestures import GESTURES
from phase1_sound.effects.engines.foley.materials import MATERIALS, SYNONYMS, Material
from phase1_sound.effects.protocol import EffectRequest

_SUFFIXES = ("ings", "ing", "edly", "ed", "ers", "er", "es", "s", "ly", "y")
THING_WEIGHT = 2.6  # a coin that is dropped is a coin (3 for the verb; the thing adds this to its own vote)
USUAL_WEIGHT = 0.05
_WORD = re.compile(r"[a-z]+")

# fmt: off
CHARACTER_WORDS: tuple[tuple[str, Character], ...] = (
    ("bright brilliant sharp crisp keen tinny piercing sparkling shimmering glittering shrill",
     Character(tilt_db=5, hardness=0.15)),
    ("clear clean", Character(tilt_db=2.5)),
    ("dark dull muffled muted subdued mellow warm round dim", Character(tilt_db=-5, hardness=-0.15)),
    ("rich full lush", Character(tilt_db=-1.5, damping=-0.4)),
    ("deep low boomy booming bassy heavy rumbling thunderous", Character(tilt_db=-4, size=0.5)),
    ("high thin light delicate tiny", Character(tilt_db=3, size=-0.4)),
    ("resonant ringing reverberant echoing echoey sustained lingering long sonorous vibrating singing",
     Character(damping=-1)),
    ("dry short dead damped abrupt staccato choked tight", Character(damping=1.1)),
    ("hollow", Character(tilt_db=-1, damping=-0.4, size=0.3)),
    ("solid dense thick", Character(damping=0.4, size=0.2)),
    ("metallic", Character(tilt_db=3, damping=-0.5, hardness=0.2)),
    ("glassy crystalline", Character(tilt_db=4, damping=-0.5, hardness=0.2)),
    ("woody wooden earthy organic", Character(tilt_db=-2, damping=0.3)),
    ("hard hardness percussive punchy clicky clacking snappy forceful strong sudden",
     Character(tilt_db=1.5, hardness=0.25)),
    ("soft softly gentle gently smooth tender plush", Character(tilt_db=-2.5, hardness=-0.3)),
    ("lightly", Character(hardness=-0.1)),
    ("rough gritty coarse harsh raspy grainy scratchy textured jagged rugged",
     Character(tilt_db=1.5, roughness=0.4)),
    ("hushed airy breathy whispering whispery breezy windy wispy hissing",
     Character(tilt_db=1, hardness=-0.1, air=0.4)),
    ("fast rapid rapidly quick quickly brisk busy hurried frantic lively energetic", Character(rate=0.6)),
    ("slow slowly lazy calm peaceful leisurely sparse relaxed", Character(rate=-0.5)),
    ("rhythmic rhythmically regular regularly repetitive pulsing", Character(regularity=0.6, pulse=0.8)),
    ("steady constant even", Character(regularity=0.6, evenness=0.6)),
    ("irregular random erratic uneven chaotic sporadic", Character(regularity=-0.6, evenness=-0.6)),
    ("large big huge massive giant enormous wide tall", Character(size=0.6, tilt_db=-1)),
    ("small little mini miniature narrow", Character(size=-0.5, tilt_db=1)),
    ("finger fingers fingertip fingertips hand hands palm felt", Character(hardness=-0.3)),
    ("mallet rubber", Character(hardness=-0.15)),
    ("stick drumstick knuckle knuckles", Character(hardness=0.05)),
    ("hammer coin spoon nail knife needle fingernail fingernails key chisel", Character(hardness=0.25)),
)

OBJECT_SIZES: tuple[tuple[float, str], ...] = (
    (0.45, "coin key ring needle pin thimble bead pebble button marble spoon fork pen pencil earring "
           "screw nail"),
    (0.65, "cup mug glass bottle jar goblet wineglass phone cup teacup dice switch shell toy can knife "
           "lock watch camera"),
    (0.85, "bowl plate saucer vase tile book hammer shoe clock lamp kettle bulb"),
    (1.3, "pan pot chair stool helmet bucket box drawer basket window screen suitcase lantern bicycle "
          "bike"),
    (1.8, "door gate wall floor table desk shelf bench barrel cabinet sign fence railing crate log fridge "
          "trunk column"),
    (2.4, "car truck boat house building bridge roof piano wardrobe ship train tower statue tree hull"),
)
# fmt: on


def stem(word: str) -> str:
    """A crude English stem: common endings off, a doubled last letter halved, a final e dropped.

    Both the tables and the requests go through it, so it has to be consistent rather than right.
    """
    while suffix := next((s for s in _SUFFIXES if word.endswith(s) and len(word) - len(s) >= 3), ""):
        word = word[: -len(suffix)]
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def words_of(text: str) -> list[str]:
    """Lower-case words of a phrase."""
    return _WORD.findall(text.lower())


@cache
def _gesture_index() -> dict[str, list[tuple[str, float]]]:
    """Stem -> gestures that it may mean, each with a weight: 3 for a strong word, 1.2 for a weak one."""
    index: dict[str, dict[str, float]] = defaultdict(dict)
    for name, row in GESTURES.items():
        for word in row.weak.split():
            index[stem(word)][name] = 1.2
        for word in row.strong.split():
            index[stem(word)][name] = 3.0
        for word in row.things.split():
            index[stem(word)].setdefault(name, 1.2)
    return {key: list(found.items()) for key, found in index.items()}


@cache
def _thing_index() -> dict[str, str]:
    return {stem(word): name for name, row in GESTURES.items() for word in row.things.split()}


@cache
def _character_index() -> dict[str, Character]:
    index: dict[str, Character] = {}
    for words, character in CHARACTER_WORDS:
        for word in words.split():
            index[word] = index.get(word, Character()) + character
    return index


@cache
def _size_index() -> dict[str, float]:
    return {stem(word): size for size, words in OBJECT_SIZES for word in words.split()}


@cache
def _material_index() -> dict[str, str]:
    return {stem(word): name for word, name in SYNONYMS.items()}


def find_gesture(play_method: str, source: str, usual: str = "") -> str | None:
    """The gesture with the most votes: words of the play method count most, earlier ones a little more.

    Where several are as likely, the one that is `usual` for the material is meant.
    """
    votes: dict[str, float] = defaultdict(float)
    for text, share in ((play_method, 1.0), (source, 0.4)):
        for place, word in enumerate(words_of(text)):
            for gesture, weight in _gesture_index().get(stem(word), []):
                votes[gesture] += share * weight * (1 - 0.03 * min(place, 10))
    for thing in {_thing_index()[stem(word)] for word in words_of(source) if stem(word) in _thing_index()}:
        votes[thing] += THING_WEIGHT
    if usual in votes:
        votes[usual] += USUAL_WEIGHT
    return max(votes, key=lambda name: votes[name]) if votes else None


def nearest_gesture(play_method: str) -> str | None:
    """The gesture whose word is spelt most like one of the play method's, None when none is near."""
    for word in words_of(play_method):
        close = get_close_matches(stem(word), _gesture_index(), n=1, cutoff=0.8) if len(word) > 3 else []
        if close:
            return max(_gesture_index()[close[0]], key=lambda pair: pair[1])[0]
    return None


def find_material(text: str) -> Material | None:
    """The material that a phrase names: the head word of its first part ("glass of water" is glass, "oak
    table" wood).
    """
    parts = re.split(r"[,/;(]|\b(?:and|with|or|on|over|of|against)\b", text.lower())
    for part in (*parts[:1], text):
        known = [_material_index()[stem(word)] for word in words_of(part) if stem(word) in _material_index()]
        if known:
            return MATERIALS[known[-1] if part is parts[0] else known[0]]
    return None


def character_of(texts: Iterable[str]) -> Character:
    """Sum of what the words add, within limits."""
    total = Character()
    for text in texts:
        for word in words_of(text):
            total += _character_index().get(word, Character())
    return total.clipped()


def without_names(play_method: str, gesture: str) -> str:
    """The play method less the words that name the gesture itself: a bird's "singing" is no word of timbre.

    Where a body rings they are kept: a bell that is "ringing" rings long.
    """
    if GESTURES[gesture].recipe.rings:
        return play_method
    named = {found for found, gestures in _gesture_index().items() if gesture in dict(gestures)}
    return " ".join(word for word in words_of(play_method) if stem(word) not in named)


def size_of(source: str) -> float:
    """Size of a source by its name, 1 = a hand's width; unknown things are of size 1."""
    sizes = [_size_index()[stem(word)] for word in words_of(source) if stem(word) in _size_index()]
    return sizes[-1] if sizes else 1.0


@dataclass(frozen=True)
class Understanding:
    """What was made of a request, and which of its fields ("play_method", "material") nobody understood."""

    brief: Brief
    not_understood: tuple[str, ...]


def understand(request: EffectRequest) -> Understanding:
    """Find gesture, material, size and character of a request. Never fails: what is unknown takes the nearest
    default.
    """
    material = find_material(request.material)
    gesture = find_gesture(request.play_method, request.source, material.default if material else "")
    unknown = [name for name, found in (("play_method", gesture), ("material", material)) if found is None]
    material = material or find_material(request.source) or find_material(request.play_method) or MATERIALS["wood"]
    gesture = gesture or nearest_gesture(request.play_method) or material.default
    gesture = material.instead.get(gesture, gesture)
    words = words_of(" ".join((request.source, request.material, request.play_method, *request.timbre)))
    brief = Brief(
        gesture=gesture,
        variant=GESTURES[gesture].variant,
        material=material,
        size=size_of(request.source),
        character=character_of((without_names(request.play_method, gesture), request.source, *request.timbre)),
        words=frozenset(words) | {word.removesuffix("s") for word in words},
        duration_s=request.duration_s,
    )
    return Understanding(brief, tuple(unknown))
