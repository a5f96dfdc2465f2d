"""What words of timbre do to every recipe of the foley engine, measured against the same sound without the word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.seeds import derive_seed
from phase1_sound.checks import FEATURE_OF_WORD, measure
from phase1_sound.effects.engines.foley.engine import Foley
from phase1_sound.effects.engines.foley.gestures import GESTURES
from phase1_sound.effects.engines.foley.parsing import CHARACTER_WORDS
from phase1_sound.effects.protocol import EffectRequest

SECONDS = 4.0
SEEDS = 2

Report = Callable[[str], None]


@dataclass(frozen=True)
class WordRow:
    """One row of words on one gesture: the feature without and with the first of the words, and whether it moved as it should.

    `words` mean the same to the engine, so one of them stands for all. Values are means over the seeds.
    """

    words: str
    gesture: str
    feature: str
    sign: int
    neutral: float
    worded: float

    @property
    def right(self) -> bool:
        return self.sign * (self.worded - self.neutral) > 0


def words_with_features() -> list[tuple[str, str, int]]:
    """Rows of the engine's words of timbre with the feature that each moves, and its direction.

    Rows without a feature name a tool ("hammer") or a hand, which only a struck body answers: a law of its own.
    """
    rows = []
    for words, _ in CHARACTER_WORDS:
        for first in {FEATURE_OF_WORD[word][:2] for word in words.split() if word in FEATURE_OF_WORD}:
            rows.append((words, *first))
    return rows


def word_rows(gestures: Sequence[str], report: Report = lambda text: None) -> list[WordRow]:
    """Measure every row of words on every gesture's example."""
    made = []
    for gesture in gestures:
        report(f"words on {gesture}")
        neutral = [_features(gesture, "", seed) for seed in range(SEEDS)]
        for words, feature, sign in words_with_features():
            feature, sign = _for_kind(feature, sign, _has_events(gesture))
            worded = [_features(gesture, words.split()[0], seed) for seed in range(SEEDS)]
            before, after = (sum(each[feature] for each in rows) / SEEDS for rows in (neutral, worded))
            made.append(WordRow(words, gesture, feature, sign, round(before, 5), round(after, 5)))
    return made


def _for_kind(feature: str, sign: int, events: bool) -> tuple[str, int]:
    """What has no events can come and go, but not miss its beat; what has events is fast when they come fast."""
    if feature == "regularity" and sign < 0 and not events:
        return "spread_db", 1
    return ("onset_rate_hz", sign) if feature == "unrest_db_s" and events else (feature, sign)


def _has_events(gesture: str) -> bool:
    row = GESTURES[gesture]
    return row.kind == "hits" or row.recipe.beats


def _features(gesture: str, word: str, seed: int) -> dict[str, float]:
    """The figures of a gesture's example in the open, where no room blurs what the word does."""
    timbre = (word,) if word else ()
    source, material, method = GESTURES[gesture].example
    own = derive_seed(seed, "word", gesture)
    (result,) = Foley().make([EffectRequest(source, material, method, timbre, "", "", SECONDS, 1.0, own)])
    values = measure(result.audio).model_dump()
    return {name: value or 0.0 for name, value in values.items()}
