"""Jobs for a model in as few batches as memory allows, and the rule that keeps candidates with their prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import numpy.typing as npt

from core.errors import EngineError
from core.seeds import derive_seed
from phase1_sound.effects.protocol import EffectRequest

Waves = npt.NDArray[Any]
"""Samples of one sound, float32, shape (channels, frames)."""


@dataclass(frozen=True)
class Job:
    """One sound to be made: `request` is the place of its request, `candidate` counts from 0."""

    request: int
    candidate: int
    prompt: str
    negative: str
    seed: int
    duration_s: float


def jobs_of(requests: Sequence[EffectRequest], candidates: int) -> list[Job]:
    """The jobs of all requests, those of one request together; the first candidate has the request's own seed."""
    return [
        Job(
            place,
            candidate,
            request.prompt,
            request.negative_prompt,
            derive_seed(request.seed, "candidate", candidate) if candidate else request.seed,
            request.duration_s,
        )
        for place, request in enumerate(requests)
        for candidate in range(candidates)
    ]


class Batches:
    """Batches of at most `size` jobs (0: no limit); half as many from the first that memory does not suffice for."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, jobs: Sequence[Job], work: Callable[[Sequence[Job]], list[Waves] | None]) -> Iterator[Waves]:
        """Give the sound of each job, in order. `work` makes a batch of one duration, or gives None for want of memory.

        Raises:
            EngineError: memory does not suffice for one job alone.
        """
        for _, group in groupby(jobs, key=lambda job: job.duration_s):
            rest = list(group)
            while rest:
                batch = rest[: self.size or len(rest)]
                made = work(batch)
                if made is None:
                    self._halve(len(batch))
                    continue
                rest = rest[len(batch) :]
                yield from made

    def _halve(self, tried: int) -> None:
        if tried == 1:
            raise EngineError(
                "not enough memory for one effect alone: take a smaller model, ?dtype=float16, or ?device=cpu"
            )
        self.size = (tried + 1) // 2


def ranked(
    sounds: Iterator[Waves], requests: int, candidates: int, scores: Callable[[int, list[Waves]], list[float]]
) -> Iterator[tuple[Waves, int, list[float]]]:
    """For each request its best candidate, that one's number, and all of its candidates' scores.

    `scores` judges the candidates of one request against its own prompt. (diffusers ranks candidates of several prompts
    together and gives a prompt another one's sounds: issue 13602.)
    """
    for request in range(requests):
        own = list(islice(sounds, candidates))
        found = scores(request, own) if candidates > 1 else []
        best = max(range(candidates), key=lambda place: found[place]) if found else 0
        yield own[best], best, found
