"""Asking a vision-language model until its answer is a scene: cut-off answers get more room, failed ones are explained.

An engine only turns questions into replies; how often is asked and what counts as an answer is decided here for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field

from core.errors import SceneError
from phase1_sound.vision import prompt
from phase1_sound.vision.answers import AnswerShape, BoxUnit, Frame, judge
from phase1_sound.vision.prompt import PromptOptions, Turn
from phase1_sound.vision.protocol import VisionRequest
from schemas.scene import Scene

MAX_AGAIN = 2
"""How many times at most a failed answer is asked for again, with what was wrong with it."""


@dataclass(frozen=True)
class AskingOptions:
    """How any model is asked.

    `boxes` is the unit in which the model states boxes (Qwen2.5-VL: pixels of the picture as it sees it; many others:
    thousandths), or off. `without` names parts of the prompt to leave out, "examples+confidence". An answer that is cut
    off at `max_tokens` is asked for again with twice as many, up to `most_tokens`. At `temperature` 0 the likeliest
    answer is taken; above, one is drawn from `seed`.
    """

    boxes: BoxUnit = "pixels"
    without: str = ""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    max_tokens: Annotated[int, Field(ge=16, le=65536)] = 2048
    most_tokens: Annotated[int, Field(ge=16, le=65536)] = 8192
    shape: AnswerShape = field(default_factory=AnswerShape, repr=False)

    def __post_init__(self) -> None:
        _ = self.prompt  # refuses a part that does not exist

    @property
    def prompt(self) -> PromptOptions:
        return PromptOptions(frozenset(filter(None, self.without.split("+"))), self.shape)

    def frame(self, width: int, height: int) -> Frame:
        """A picture as the model sees it."""
        return Frame(width, height, "off" if "boxes" in self.prompt.without else self.boxes)

    def recorded(self) -> dict[str, Any]:
        """What decides an answer, for the documents."""
        return {
            "prompt": prompt.VERSION,
            "without": sorted(self.prompt.without),
            "boxes": self.boxes,
            "temperature": self.temperature,
            "seed": self.seed,
            "max_tokens": [self.max_tokens, self.most_tokens],
        }


@dataclass(frozen=True)
class Question:
    """One picture, by its place among all, and what was answered so far. `attempt` counts from 0."""

    number: int
    frame: Frame
    max_tokens: int
    turns: tuple[Turn, ...] = ()
    attempt: int = 0


@dataclass(frozen=True)
class Reply:
    """A model's text; `cut_off` says that it ran out of tokens before the end."""

    text: str
    cut_off: bool = False


@dataclass
class _Asked:
    """What came of each picture so far."""

    requests: Sequence[VisionRequest]
    options: AskingOptions
    done: dict[int, Scene | SceneError] = field(default_factory=dict)

    def next_question(self, question: Question, reply: Reply) -> Question | None:
        """Take a reply in; what is to be asked next about that picture, or None when it is done with."""
        if reply.cut_off:
            return self._with_more_room(question)
        judgement = judge(reply.text, question.frame)
        if judgement.scene is not None:
            for warning in judgement.warnings:
                self.requests[question.number].warn(warning)
            self.done[question.number] = judgement.scene
            return None
        if len(question.turns) < MAX_AGAIN:
            # A model may write half a surrogate pair, which could not be sent back to it.
            turn = Turn(reply.text.encode("utf-8", "replace").decode(), judgement.findings)
            return replace(question, turns=(*question.turns, turn), attempt=question.attempt + 1)
        why = f"{len(question.turns) + 1} answers were no scene; the last one: {judgement.findings[0]}"
        self._give_up(question, f"{why}: try another model, or ?temperature=0.7&seed=1")
        return None

    def _with_more_room(self, question: Question) -> Question | None:
        if question.max_tokens >= self.options.most_tokens:
            tokens = question.max_tokens
            self._give_up(question, f"the answer was cut off at {tokens} tokens: try ?most_tokens={2 * tokens}")
            return None
        room = min(2 * question.max_tokens, self.options.most_tokens)
        return replace(question, max_tokens=room, attempt=question.attempt + 1)

    def _give_up(self, question: Question, reason: str) -> None:
        self.done[question.number] = SceneError(f"{self.requests[question.number].picture}: {reason}")


def ask(
    requests: Sequence[VisionRequest],
    frames: Sequence[Frame],
    answer: Callable[[Sequence[Question]], Sequence[Reply]],
    options: AskingOptions,
) -> list[Scene | SceneError]:
    """Ask about each picture until there is a scene; one Scene, or the SceneError that ended it, per request.

    `answer` is given all open questions at once and gives a reply to each. What it raises goes through.
    """
    asked = _Asked(requests, options)
    room = min(options.max_tokens, options.most_tokens)
    questions = [Question(number, frame, room) for number, frame in enumerate(frames)]
    while questions:
        replies = answer(questions)
        following = [asked.next_question(*pair) for pair in zip(questions, replies, strict=True)]
        questions = [question for question in following if question is not None]
    return [asked.done[number] for number in range(len(requests))]
