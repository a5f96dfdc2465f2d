"""Scene -> prompts: what a text-to-audio engine is asked. Pure text.

The caption style is the one that such models were trained on: general nouns, at most some 45 words (their
text encoders cut what is longer), what must not be heard goes into the negative prompt, and no instrument is
named: naming a guitar makes a model play a tune on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.effect import Prompt
from schemas.scene import Scene, SoundSource, Variant

QUALITY = "close-up field recording, clear, high quality"
NEGATIVE = "low quality, average quality, distortion, music, melody, musical instrument, speech, voice, singing"
MAX_CONTEXT_WORDS = 6
_MAX_METHOD, _MAX_NAME, _MAX_MATERIAL, _MAX_TIMBRES, _MAX_TIMBRE = 10, 6, 4, 4, 2

# What the thing is when it is not played; the plural and the singular share one description.
_INSTRUMENTS = {
    "hollow wooden box": "guitar ukulele banjo mandolin lute violin viola cello fiddle contrabass sitar "
    "zither harp lyre dulcimer balalaika",
    "wooden cabinet": "piano harpsichord clavichord organ accordion harmonium celesta synthesizer",
    "barrel": "drum drumkit snare timpani tom-tom bongo conga djembe tabla tambourine taiko",
    "thin metal disc": "cymbal hi-hat",
    "row of bars": "xylophone marimba vibraphone glockenspiel metallophone",
    "hollow tube": "flute clarinet oboe bassoon saxophone trumpet trombone tuba bagpipe cornet bugle "
    "didgeridoo harmonica kazoo ocarina piccolo",
    "key panel": "keyboard",
    "object": "instrument",
    "": "music musical melody melodic melodious tune song orchestra orchestral",
    "deep": "bass",
}
_PLAIN = {word: plain for plain, words in _INSTRUMENTS.items() for word in words.split()}
_INSTRUMENT = re.compile(rf"\b({'|'.join(sorted(_PLAIN, key=len, reverse=True))})(?:s|ists?)?\b", re.IGNORECASE)
_PLACE = re.compile(
    r"\b(?:in|on|at|by|near|under|inside|along|beside|around|through|against)\s+"
    r"(?:(?!\b(?:in|on|at|by|near|under|with)\b)[^.;,:])+",
    re.IGNORECASE,
)
_NO_PLACE = re.compile(
    r"\b(?:morning|evening|night|day|daylight|afternoon|dawn|dusk|front|back|background|foreground|middle|cent(?:er|re)|"
    r"left|right|black|colou?r|focus|motion|detail|style)\b",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^\s*(?:(?:this|the|an?)\s+)?"
    r"(?:(?:photo(?:graph)?|picture|image|scene|view|painting|drawing)\s+"
    r"(?:of|shows?|showing|depicts?|depicting|with)\s+)?(?:an?\s+|the\s+)?",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\b(?:with|where|while|as|and)\b.*", re.IGNORECASE)
_LOOSE_END = re.compile(
    r"(?:\s*\b(?:an?|the|of|in|on|at|by|near|with|and|or|to|from|for|under|its|his|her|their|is|are|that))+$"
)


@dataclass(frozen=True)
class PromptOptions:
    """Which parts a prompt has: the switches of an ablation. The defaults are what `photone make` uses."""

    context: bool = True
    mood: bool = False
    material: bool = True
    timbre: bool = True
    quality: bool = True
    negative: bool = True


def effect_prompt(
    scene: Scene,
    source: SoundSource,
    variant: Variant,
    options: PromptOptions = PromptOptions(),
) -> Prompt:
    """Write the prompt of one variant, at most 44 words in the positive part (48 with the mood).

    "{play_method} of {name}, made of {material}, {timbre} sound, {context}, close-up field recording, clear,
    high quality"
    """
    parts = [
        _event(source, variant),
        _prefixed("made of ", source.material, _MAX_MATERIAL) if options.material else "",
        _timbre(variant) if options.timbre else "",
        context_of(scene) if options.context else "",
        _prefixed("", scene.mood_description, 3, " mood") if options.mood else "",
        QUALITY if options.quality else "",
    ]
    text = ", ".join(part for part in parts if part)
    return Prompt(text=text, negative=NEGATIVE if options.negative else "", words=len(text.split()))


def without_instruments(text: str) -> str:
    """The text with every instrument described as the plain object it is, and talk of music left out."""
    return " ".join(_INSTRUMENT.sub(lambda match: _PLAIN[match[1].lower()], text).split())


def context_of(scene: Scene) -> str:
    """Where it happens, in at most six words: the first phrase of place in the description, else how it begins."""
    clause = re.split(r"[.;,:]", scene.scene_description.strip(), maxsplit=1)[0]
    place = next((found[0] for found in _PLACE.finditer(clause) if not _NO_PLACE.search(found[0])), "")
    return _cut(place or _ASIDE.sub("", _OPENING.sub("", clause)) or clause, MAX_CONTEXT_WORDS)


def _event(source: SoundSource, variant: Variant) -> str:
    method, name = _cut(variant.play_method, _MAX_METHOD), _cut(source.name, _MAX_NAME)
    # "wind blowing through leaves of leaves" helps nobody.
    if not name or name.lower() in method.lower():
        return method or name or "sound"
    return f"{method} of {name}" if method else name


def _timbre(variant: Variant) -> str:
    words = [cut for timbre in variant.timbre[:_MAX_TIMBRES] if (cut := _cut(timbre, _MAX_TIMBRE))]
    return ", ".join(words) + " sound" if words else ""


def _prefixed(prefix: str, text: str, limit: int, suffix: str = "") -> str:
    cut = _cut(text, limit)
    return f"{prefix}{cut}{suffix}" if cut else ""


def _cut(text: str, limit: int) -> str:
    """The first words of a text without instruments, in lower case, not ending on "in the"."""
    words = without_instruments(text).lower().strip(" .,;:").split()[:limit]
    return _LOOSE_END.sub("", " ".join(words).strip(" .,;:")).strip(" .,;:")
