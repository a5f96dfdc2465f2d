"""How alike two scenes are in words. No model and no download: the same numbers on every machine.

Words lose their endings and become the first word of their line in words.toml (mug -> cup). Two texts are compared in
two ways: by their words, and by the runs of 3 and 4 letters within them (so that "streetlamp" meets "street lamp");
both as vectors of tf * idf, compared by their cosine. idf counts in how many texts of the golden set something stands,
so common words count less. This knows no meaning beyond the table: a good paraphrase in words that the table lacks is
counted as a miss.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from schemas.scene import Scene, SoundSource

SAME_SOURCE = 0.5
"""Similarity from which two sources count as the same thing."""
_NAME_SHARE = 0.7
_WORD = re.compile(r"[a-z]+")
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("ss", "ss"), ("s", ""))
_VERB_ENDINGS = ("ing", "ed")

_PREPOSITION = re.compile(r"\b(?:of|in|on|at|by|with|under|over|from|for|through|to|against|across)\b")

Vector = dict[str, float]


def singular(word: str) -> str:
    """A word without its ending of the plural (rough, but the same for both texts)."""
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    return word


def lemma(word: str) -> str:
    """A word without its ending: plural, -ing, -ed."""
    word = singular(word)
    for ending in _VERB_ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 3:
            return stem[:-1] if stem[-1] == stem[-2] and stem[-1] not in "ls" else stem
    return word


@dataclass(frozen=True)
class Words:
    """words.toml: lemma -> the word that stands for it, topic -> its nouns, lemmas of voices, instruments, stop words."""

    synonyms: dict[str, str]
    topics: dict[str, frozenset[str]]
    voices: frozenset[str]
    instruments: frozenset[str]
    stop: frozenset[str]

    def name_tokens(self, name: str) -> list[str]:
        """The tokens of a source's name; those before the first preposition twice: "waves on the shore" are waves."""
        return self.tokens(_PREPOSITION.split(name.lower(), maxsplit=1)[0]) + self.tokens(name)

    def tokens(self, text: str) -> list[str]:
        """The words that say something, each as the one that stands for it."""
        lemmas = [lemma(word) for word in _WORD.findall(text.lower())]
        return [self.synonyms.get(word, word) for word in lemmas if word not in self.stop]

    def banned_in(self, scene: Scene) -> list[str]:
        """Voices and instruments in the sources and the ways that they are played ("drummed on" is no drum)."""
        texts = [source.name for source in scene.sound_sources]
        texts += [variant.play_method for _, variant in scene.variants]
        return [word for text in texts for word in _WORD.findall(text.lower()) if self._is_banned(word)]

    def _is_banned(self, word: str) -> bool:
        return lemma(word) in self.voices or singular(word) in self.instruments

    def claims(self, scene: Scene, topic: str) -> list[str]:
        """Words of a topic in a scene's description and its sources' names and materials, unless "no" stands before."""
        texts = [scene.scene_description]
        texts += [text for source in scene.sound_sources for text in (source.name, source.material)]
        return [word for text in texts for word in self._stated(text) if singular(word) in self.topics[topic]]

    def _stated(self, text: str) -> list[str]:
        words = _WORD.findall(text.lower())
        return [
            word
            for place, word in enumerate(words)
            if not {"no", "not", "without"} & {*words[max(0, place - 2) : place]}
        ]


@cache
def load_words() -> Words:
    """Read words.toml (a mistake in it is a programming mistake and crashes)."""
    text = resources.files("flows.evaluation").joinpath("golden", "words.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    lines = [[lemma(word) for word in line.split()] for line in table["synonyms"]]
    return Words(
        {word: line[0] for line in lines for word in line},
        {topic: frozenset(map(singular, words.split())) for topic, words in table["topics"].items()},
        _lemmas(table["voices"]),
        frozenset(table["instruments"].split()),
        _lemmas(table["stop"]),
    )


def _lemmas(text: str) -> frozenset[str]:
    return frozenset(lemma(word) for word in text.split())


class Similarity:
    """Similarity of texts (0..1), with the weights that the texts of a golden set give.

    `names` are the golden sources' names, `sentences` the golden descriptions and moods.
    """

    def __init__(self, names: Iterable[str], sentences: Iterable[str], words: Words | None = None) -> None:
        self._words = words or load_words()
        self._names = _Weights(map(self._words.name_tokens, names))
        self._sentences = _Weights(map(self._words.tokens, sentences))

    def sources(self, one: SoundSource, other: SoundSource) -> float:
        """70 % the likeness of the names (words or letters, whichever is more alike), 30 % the same material.

        What a name says beyond the material ("wooden table": the table) counts twice in it.
        """
        materials = [{*self._words.tokens(source.material)} for source in (one, other)]
        full = [self._words.name_tokens(source.name) for source in (one, other)]
        bare = [[t for t in tokens if t not in material] for tokens, material in zip(full, materials, strict=True)]
        names = [full[0] + bare[0], full[1] + bare[1]]
        alike = max(self._names.by_words(*names), self._names.by_letters(*names))
        return _NAME_SHARE * alike + (1 - _NAME_SHARE) * bool(materials[0] & materials[1])

    def sentences(self, one: str, other: str) -> float:
        """Half the likeness of the words, half that of the letters."""
        tokens = [self._words.tokens(text) for text in (one, other)]
        return (self._sentences.by_words(*tokens) + self._sentences.by_letters(*tokens)) / 2


class _Weights:
    """idf of words and of runs of letters over a set of texts, each given by its tokens."""

    def __init__(self, texts: Iterable[list[str]]) -> None:
        known = list(texts)
        self._count = len(known)
        self._in_words = Counter(token for tokens in known for token in {*tokens})
        self._in_letters = Counter(run for tokens in known for run in {*_runs(tokens)})

    def by_words(self, one: list[str], other: list[str]) -> float:
        return _cosine(*(self._vector(tokens, self._in_words) for tokens in (one, other)))

    def by_letters(self, one: list[str], other: list[str]) -> float:
        return _cosine(*(self._vector(_runs(tokens), self._in_letters) for tokens in (one, other)))

    def _vector(self, features: list[str], found: Counter[str]) -> Vector:
        return {
            name: count * (1 + math.log((1 + self._count) / (1 + found[name])))
            for name, count in Counter(features).items()
        }


def _runs(tokens: list[str]) -> list[str]:
    """All runs of 3 and 4 letters, the spaces round a word among them."""
    padded = [f" {token} " for token in tokens]
    return [word[i : i + n] for word in padded for n in (3, 4) for i in range(len(word) - n + 1)]


def _cosine(one: Vector, other: Vector) -> float:
    dot = math.fsum(value * other.get(name, 0.0) for name, value in sorted(one.items()))
    size = math.sqrt(math.fsum(v * v for v in one.values()) * math.fsum(v * v for v in other.values()))
    return dot / size if size else 0.0
