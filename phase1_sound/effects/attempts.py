"""One pass over a plan: made together, checked, what failed made again together with other seeds, written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from core.audio import Audio, write_audio
from core.manifest import sha256_file
from core.seeds import derive_seed
from phase1_sound.checks import measure, verdict
from phase1_sound.effects.planning import Planned, file_name, pan_of
from phase1_sound.effects.protocol import (
    EffectRequest,
    EffectResult,
    EffectsEngine,
    ReadsPrompts,
    Report,
    TellsProgress,
)
from phase1_sound.effects.shaping import shaped
from phase1_sound.prompts import CAPTION, PromptOptions, counted
from schemas.effect import Effect, EngineRecord, Measures

RETRIES = 3

OnProgress = Callable[[int, int], None]
"""Called with the number of effects done and of all."""


@dataclass(frozen=True)
class MakingOptions:
    """How prompts are written, and which engine makes what still fails after the last attempt (None: it is kept)."""

    prompt: PromptOptions = CAPTION
    replacement: EffectsEngine | None = None


@dataclass(frozen=True)
class Told:
    """Whom to tell while effects are made: of each finished effect, and of what a slow engine is doing."""

    progress: OnProgress = lambda done, of: None
    report: Report = lambda text: None


AS_USUAL = MakingOptions()
NOBODY = Told()


@dataclass(frozen=True)
class _Attempt:
    """A planned effect as an engine has made it, for the `number`th time."""

    planned: Planned
    request: EffectRequest
    result: EffectResult
    audio: Audio
    measures: Measures
    findings: list[str]
    number: int


@dataclass(frozen=True)
class Making:
    """Makes plans with one engine and writes the effects into a folder; `notes` gathers what the user should know."""

    engine: EffectsEngine
    out: Path
    options: MakingOptions
    told: Told
    own_seeds: Mapping[int, int]
    seed_numbers: Mapping[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def all(self, plan: Sequence[Planned]) -> list[Effect]:
        """Make a whole plan; the effects come in the order in which they were finished.

        Raises:
            EngineError: the engine failed. OutputError: the folder cannot be written to.
        """
        if isinstance(self.engine, TellsProgress):
            self.engine.watch(self.told.report)
        done: list[Effect] = []
        failed = self._sifted(_attempts(self.engine, [(each, each.request) for each in plan], 1), done, len(plan))
        for attempt in self._tried_again(failed, done, len(plan)):
            self._take(*self._replaced(attempt), done, len(plan))
        return done

    def _tried_again(self, failed: list[_Attempt], done: list[Effect], of: int) -> list[_Attempt]:
        """Make what failed again, all together, up to three times; gives what still fails."""
        hopeless: list[_Attempt] = []
        for again in range(1, RETRIES + 1):
            asked = [(each.planned, _reseeded(each.planned.request, again)) for each in failed]
            pairs = list(zip(failed, _attempts(self.engine, asked, again + 1), strict=True))
            # An engine that gives the same for another seed will not do better the next time.
            hopeless += [old for old, new in pairs if _same_sound(old, new)]
            failed = self._sifted((new for old, new in pairs if not _same_sound(old, new)), done, of)
        return hopeless + failed

    def _sifted(self, attempts: Iterable[_Attempt], done: list[Effect], of: int) -> list[_Attempt]:
        """Finish what is good and give what is not."""
        failed = []
        for attempt in attempts:
            if attempt.findings:
                failed.append(attempt)
            else:
                self._take(attempt, None, done, of)
        return failed

    def _replaced(self, attempt: _Attempt) -> tuple[_Attempt, EngineRecord | None]:
        """A failed attempt as the user wants it: kept, or made by another engine."""
        engine = self.options.replacement
        if engine is None:
            return attempt, None
        (other,) = _attempts(engine, [(attempt.planned, attempt.planned.request)], attempt.number + 1)
        problems = "; ".join(attempt.findings)
        self.notes.append(
            f"effect {attempt.planned.number}: {problems} after {attempt.number} attempts by {self.engine.info.name}: "
            f"made by {engine.info.name} instead"
        )
        return other, EngineRecord.of(engine.info)

    def _take(self, attempt: _Attempt, engine: EngineRecord | None, done: list[Effect], of: int) -> None:
        file = file_name(attempt.planned)
        write_audio(self.out / file, attempt.audio)
        done.append(self._described(attempt, file, engine))
        self.told.progress(len(done), of)

    def _described(self, attempt: _Attempt, file: str, engine: EngineRecord | None) -> Effect:
        planned, prompt = attempt.planned, attempt.planned.prompt
        if isinstance(self.engine, ReadsPrompts):
            prompt = counted(prompt, self.engine.tokens)
        return Effect(
            number=planned.number,
            file=file,
            sha256=sha256_file(self.out / file),
            source=planned.source.name,
            material=planned.source.material,
            play_method=planned.variant.play_method,
            timbre=list(planned.variant.timbre),
            role_hint=planned.variant.mapping_to_music_instrument,
            confidence=planned.variant.confidence,
            pan=pan_of(planned.source),
            seed=attempt.request.seed,
            prompt=prompt,
            recipe=attempt.result.recipe,
            duration_s=attempt.audio.duration_s,
            sample_rate=attempt.audio.sample_rate,
            measures=attempt.measures,
            verdict=attempt.findings,
            attempts=attempt.number,
            own_seed=self.own_seeds.get(planned.number),
            seed_number=self.seed_numbers.get(planned.number),
            engine=engine,
        )


def _attempts(engine: EffectsEngine, asked: Sequence[tuple[Planned, EffectRequest]], number: int) -> Iterator[_Attempt]:
    if not asked:
        return
    results = engine.make([request for _, request in asked])
    for (planned, request), result in zip(asked, results, strict=True):
        # What learnt its sounds from recordings of everything may speak or play a tune.
        checked = _checked(result, request, may_sing=isinstance(engine, ReadsPrompts))
        yield _Attempt(planned, request, result, *checked, number)


def _checked(result: EffectResult, request: EffectRequest, *, may_sing: bool) -> tuple[Audio, Measures, list[str]]:
    audio = shaped(result.audio)
    measures = measure(audio)
    return audio, measures, verdict(audio, measures, timbre=request.timbre, may_sing=may_sing)


def _reseeded(request: EffectRequest, again: int) -> EffectRequest:
    return replace(request, seed=derive_seed(request.seed, "again", again))


def _same_sound(old: _Attempt, new: _Attempt) -> bool:
    return np.array_equal(old.result.audio.samples, new.result.audio.samples)
