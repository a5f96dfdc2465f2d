"""Writing one answer per row token by token: only what the schema allows, drawn from the row's own random numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import llguidance
import numpy as np
import torch
from transformers import LogitsProcessor

from core.errors import EngineError


def matcher(tokenizer: llguidance.LLTokenizer, schema: dict[str, Any]) -> llguidance.LLMatcher:
    """What follows an answer and knows which tokens may come next. White space between tokens is not left to the model.

    Raises:
        EngineError: the schema holds something that cannot be constrained.
    """
    grammar = llguidance.LLMatcher.grammar_from_json_schema(
        json.dumps(schema), overrides={"whitespace_flexible": False}
    )
    made = llguidance.LLMatcher(tokenizer, grammar)
    if made.is_error():
        raise EngineError(f"qwen: the scene's schema cannot be used for decoding: {made.get_error()}")
    return made


class RowDecoding(LogitsProcessor):  # type: ignore[misc]  # transformers is not followed
    """Masks each row by its matcher (None leaves it free), then draws from it at a temperature.

    Drawing is done here and not by `generate`, which has one random generator for the whole batch: adding Gumbel noise
    to log-probabilities and taking the largest is a draw from them (Gumbel, 1954), and with a generator per row a
    picture's answer does not hang on its neighbours. At temperature 0 nothing is added.
    """

    def __init__(
        self,
        matchers: Sequence[llguidance.LLMatcher | None],
        ends: Sequence[int],
        temperature: float,
        seeds: Sequence[int],
    ) -> None:
        self._matchers = matchers
        self._ends = list(ends)
        self._temperature = temperature
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._began = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Give the scores of the next token, shape (rows, vocabulary)."""
        if self._began:
            self._follow(input_ids[:, -1].tolist())
        self._began = True
        allowed = torch.from_numpy(np.stack([self._allowed(row, scores.shape[1]) for row in range(len(scores))]))
        scores = scores.masked_fill(~allowed.to(scores.device), -torch.inf)
        if self._temperature > 0:
            scores = scores / self._temperature + self._noise(scores)
        return scores

    def _follow(self, tokens: Sequence[int]) -> None:
        for found, token in zip(self._matchers, tokens, strict=True):
            if found is not None and not found.is_stopped():
                found.consume_token(token)
                if found.is_error():
                    raise EngineError(f"qwen: decoding lost its way: {found.get_error()}")

    def _allowed(self, row: int, vocabulary: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        found = self._matchers[row]
        if found is None:
            return np.ones(vocabulary, dtype=bool)
        if found.is_stopped():  # the object is closed: only the end may follow (and `generate` pads what has ended)
            only_end = np.zeros(vocabulary, dtype=bool)
            only_end[self._ends] = True
            return only_end
        bits = np.unpackbits(np.frombuffer(found.compute_bitmask(), dtype=np.uint8), bitorder="little")
        return bits[:vocabulary].astype(bool)

    def _noise(self, scores: torch.Tensor) -> torch.Tensor:
        # -log(Exponential(1)) is Gumbel(0, 1); drawn on the processor, so that every device draws the same.
        rows = [-torch.empty(scores.shape[1]).exponential_(generator=each).log() for each in self._generators]
        return torch.stack(rows).to(scores)
