"""How often a model is asked: more room for cut-off answers, findings for failed ones, an end after three."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.engines import read_options
from core.errors import SceneError, UsageError
from phase1_sound.vision.answers import Frame
from phase1_sound.vision.asking import AskingOptions, Question, Reply, ask
from phase1_sound.vision.prompt import PromptOptions, example
from phase1_sound.vision.protocol import VisionRequest
from schemas.scene import Scene

FRAME = Frame(840, 560)
PATIENT = AskingOptions()
GOOD = Reply(json.dumps(example(PromptOptions(), FRAME)))
CUT_OFF = Reply('{"scene_description": "A', cut_off=True)
WRONG = Reply('{"scene_description": "A"}')


@dataclass(frozen=True)
class Named(AskingOptions):
    name: str = ""


class Script:
    """Answers each picture from its own list, and remembers the questions."""

    def __init__(self, *replies: list[Reply]) -> None:
        self.replies, self.rounds = [list(each) for each in replies], []

    def __call__(self, questions: Sequence[Question]) -> list[Reply]:
        self.rounds.append(list(questions))
        return [self.replies[question.number].pop(0) for question in questions]


def asked(script: Script, options: AskingOptions = PATIENT, warn: list[str] | None = None) -> list[object]:
    told = [] if warn is None else warn
    count = len(script.replies)
    requests = [VisionRequest(Path(f"{number}.jpg"), told.append) for number in range(count)]
    return list(ask(requests, [FRAME] * count, script, options))


def test_a_good_answer_is_asked_for_once() -> None:
    script = Script([GOOD])
    (scene,) = asked(script)
    assert isinstance(scene, Scene)
    assert [len(each) for each in script.rounds] == [1]


def test_a_cut_off_answer_gets_twice_the_room() -> None:
    script = Script([CUT_OFF, CUT_OFF, GOOD])
    (scene,) = asked(script, AskingOptions(max_tokens=100, most_tokens=300))
    assert isinstance(scene, Scene)
    assert [each[0].max_tokens for each in script.rounds] == [100, 200, 300]
    assert [each[0].turns for each in script.rounds] == [()] * 3


def test_an_answer_cut_off_at_the_limit_is_an_error() -> None:
    (error,) = asked(Script([CUT_OFF] * 9), AskingOptions(max_tokens=100, most_tokens=250))
    assert isinstance(error, SceneError)
    assert str(error) == "0.jpg: the answer was cut off at 250 tokens: try ?most_tokens=500"


def test_a_complete_but_cut_off_text_is_not_taken() -> None:
    (error,) = asked(Script([Reply(GOOD.text, cut_off=True)] * 9))
    assert isinstance(error, SceneError)


def test_a_failed_answer_is_asked_for_again_with_what_is_wrong() -> None:
    script = Script([WRONG, Reply("nonsense"), GOOD])
    (scene,) = asked(script)
    assert isinstance(scene, Scene)
    last = script.rounds[2][0]
    assert [turn.answer for turn in last.turns] == [WRONG.text, "nonsense"]
    assert "'mood_description' is a required property" in last.turns[0].findings[0]
    assert [each[0].attempt for each in script.rounds] == [0, 1, 2]


def test_three_failed_answers_are_the_end() -> None:
    script = Script([WRONG] * 9)
    (error,) = asked(script)
    assert isinstance(error, SceneError)
    assert str(error).startswith(
        "0.jpg: 3 answers were no scene; the last one: document: 'mood_description' is a required"
    )
    assert len(script.rounds) == 3


def test_pictures_are_independent() -> None:
    script = Script([GOOD], [WRONG] * 3, [WRONG, CUT_OFF, GOOD], [GOOD])
    results = asked(script)
    assert [type(result) for result in results] == [Scene, SceneError, Scene, Scene]
    assert [[question.number for question in each] for each in script.rounds] == [[0, 1, 2, 3], [1, 2], [1, 2]]


def test_half_a_surrogate_pair_is_not_sent_back() -> None:
    script = Script([Reply("\ud800"), GOOD])
    asked(script)
    script.rounds[1][0].turns[0].answer.encode("utf-8")


def test_warnings_reach_the_one_who_asked() -> None:
    value = example(PromptOptions(), FRAME)
    value["sound_sources"][0]["bbox_2d"] = [0, 0, 5000, 5000]
    told: list[str] = []
    (scene,) = asked(Script([Reply(json.dumps(value))]), warn=told)
    assert isinstance(scene, Scene)
    assert told == ["box of 'wooden boat' dropped: [0, 0, 5000, 5000] reaches out of the picture (840 x 560)"]


def test_without_a_listener_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    VisionRequest(Path("a.jpg")).warn("box of 'x' dropped")
    assert [(record.name, record.levelname) for record in caplog.records] == [("photone.vision", "WARNING")]


def test_options_are_read_from_the_command_line() -> None:
    options = read_options("main?temperature=0.5&without=example%2Bboxes&seed=7", Named, "name", "test")
    assert (options.name, options.temperature, options.seed) == ("main", 0.5, 7)
    assert options.prompt.without == {"example", "boxes"}
    assert options.frame(10, 20) == Frame(10, 20, "off")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("?temperature=hot", "temperature=hot: Input should be a valid number"),
        ("?temperature=3", "temperature=3: Input should be less than or equal to 2"),
        ("?boxes=inches", "boxes=inches: Input should be 'pixels', 'thousandths' or 'off'"),
        ("?heat=1", "cannot read 'heat=1': write key=value, keys are boxes, max_tokens"),
        ("?seed", "cannot read 'seed'"),
        ("?shape=1", "cannot read 'shape=1'"),
        ("?without=nothing", "the prompt has no part 'nothing'"),
    ],
)
def test_options_that_cannot_be_read_are_refused(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?").replace("(", r"\(")):
        read_options(argument, Named, "name", "test")
