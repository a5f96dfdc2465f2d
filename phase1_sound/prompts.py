"""Scene -> prompts: what a text-to-audio engine is asked. Pure text.

The caption style is the one that such models were trained on: general nouns, at most some 45 words (their
text encoders cut what is longer), what must not be heard goes into the negative prompt, and no instrument is
named: naming a guitar makes a model play a tune on it. The legacy style writes whole sentences of instruction, as the
student project did, for comparison.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.effect import Prompt, Tokens
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


# Text encoders of AudioLDM2, and how many tokens of a text they read.
LIMITS = {"CLAP": 512, "T5": 128}
_LETTERS_A_TOKEN = 7  # longer words are cut in pieces: an estimate
_MARKS = {"CLAP": 2, "T5": 1}  # at a text's beginning and end
_LEGACY_TIMBRES = 6

CountTokens = Callable[[str], Sequence[Tokens]]


@dataclass(frozen=True)
class PromptOptions:
    """Which parts a prompt has: the switches of an ablation. The defaults are what `photone make` uses.

    `instrument` names the instrument that the variant is meant for.
    """

    style: Literal["caption", "legacy"] = "caption"
    context: bool = True
    mood: bool = False
    material: bool = True
    timbre: bool = True
    quality: bool = True
    negative: bool = True
    instrument: bool = False


CAPTION = PromptOptions()


def effect_prompt(
    scene: Scene,
    source: SoundSource,
    variant: Variant,
    options: PromptOptions = CAPTION,
) -> Prompt:
    """Write the prompt of one variant. As a caption it has at most 44 words in its positive part (48 with the mood):

    "{play_method} of {name}, made of {material}, {timbre} sound, {context}, close-up field recording, clear,
    high quality"

    Token counts are estimated; an engine with tokenizers counts them (`counted`).
    """
    write = _caption if options.style == "caption" else _instruction
    text = write(scene, source, variant, options)
    negative = NEGATIVE if options.negative else ""
    prompt = Prompt(text=text, negative=negative, words=len(text.split()), style=options.style)
    return counted(prompt, estimated_tokens)


def counted(prompt: Prompt, count: CountTokens) -> Prompt:
    """The prompt with its token counts, and whether an encoder leaves off the end of either text."""
    tokens = list(count(prompt.text))
    beyond = any(each.count > each.limit for each in (*tokens, *count(prompt.negative)))
    return prompt.model_copy(update={"tokens": tokens, "truncated": beyond})


def estimated_tokens(text: str) -> list[Tokens]:
    """About how many tokens a text has, where no tokenizer is at hand.

    A rule of thumb: a token for each seven letters of a word, one for each mark of punctuation, and the encoder's own.
    """
    pieces = sum(math.ceil(len(word) / _LETTERS_A_TOKEN) for word in re.findall(r"\w+", text))
    pieces += len(re.findall(r"[^\w\s]", text))
    return [
        Tokens(encoder=name, count=pieces + _MARKS[name], limit=limit, estimated=True) for name, limit in LIMITS.items()
    ]


def _caption(scene: Scene, source: SoundSource, variant: Variant, options: PromptOptions) -> str:
    parts = [
        _event(source, variant),
        _prefixed("made of ", source.material, _MAX_MATERIAL) if options.material else "",
        _timbre(variant) if options.timbre else "",
        context_of(scene) if options.context else "",
        _prefixed("", scene.mood_description, 3, " mood") if options.mood else "",
        f"like a {_role(variant)}" if options.instrument and _role(variant) else "",
        QUALITY if options.quality else "",
    ]
    return ", ".join(part for part in parts if part)


def _instruction(scene: Scene, source: SoundSource, variant: Variant, options: PromptOptions) -> str:
    """Sentences that tell the model what to do, nothing shortened, with what must not be heard among them."""
    timbre = ", ".join(variant.timbre[:_LEGACY_TIMBRES])
    made_of = f", which is made of {source.material}" if options.material and source.material else ""
    role = _role(variant) if options.instrument else ""
    sentences = [
        f"Create a realistic sound effect of {source.name}{made_of}. What happens to it: {variant.play_method}.",
        f"Its timbre should be {timbre}, and it should stay so from beginning to end."
        if options.timbre and timbre
        else "",
        f"It is heard in this scene: {scene.scene_description}" if options.context else "",
        f"The mood of the whole is: {scene.mood_description}" if options.mood else "",
        f"Somebody should be able to play it like a {role} later, so let each event stand out clearly." if role else "",
        "Record it closely and cleanly, in high quality, with a natural attack and a natural end."
        if options.quality
        else "",
        "There must be no speech, no singing, no melody and no background music in it." if options.negative else "",
    ]
    return " ".join(sentence.strip() for sentence in sentences if sentence)


def _role(variant: Variant) -> str:
    return variant.mapping_to_music_instrument or ""


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
