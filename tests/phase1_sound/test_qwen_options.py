"""What `qwen` says where its packages are missing, and which options it reads: nothing here needs them."""

from __future__ import annotations

import re

import pytest

from core.errors import EngineError, UsageError
from phase1_sound.vision import VISION_ENGINES
from phase1_sound.vision.engines.qwen import engine
from phase1_sound.vision.engines.qwen.engine import MODELS, qwen_options


@pytest.mark.parametrize(
    ("argument", "source"),
    [
        ("", "Qwen/Qwen2.5-VL-7B-Instruct"),
        ("?dtype=float16", "Qwen/Qwen2.5-VL-7B-Instruct"),
        ("3b", "Qwen/Qwen2.5-VL-3B-Instruct"),
        ("72B?quantize=4bit", "Qwen/Qwen2.5-VL-72B-Instruct"),
        ("Someone/Qwen2.5-VL-mine", "Someone/Qwen2.5-VL-mine"),
        ("/models/qwen:2?device=cuda:1", "/models/qwen:2"),
    ],
)
def test_which_model_is_meant(argument: str, source: str) -> None:
    assert qwen_options(argument).source == source


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("?dtype=int8", "dtype=int8: Input should be 'auto'"),
        ("?device=tpu", "device=tpu: String should match"),
        ("?quantize=8bit", "quantize=8bit: Input should be 'no' or '4bit'"),
        ("?max_pixels=1", "max_pixels=1: Input should be greater"),
        ("?model=3B", "cannot read 'model=3B'"),
    ],
)
def test_what_cannot_be_read_is_refused(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        qwen_options(argument)


def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_PACKAGES", ("json", "a_package_that_nobody_has"))
    message = re.escape('qwen needs a_package_that_nobody_has: pip install "photone[models]"')
    with pytest.raises(EngineError, match=message):
        VISION_ENGINES.load("qwen")
    with pytest.raises(EngineError, match=message):
        VISION_ENGINES.fetch("qwen")
    assert re.search(message, VISION_ENGINES.problem("qwen") or "")


def test_every_known_model_says_its_size_and_licence() -> None:
    assert list(MODELS) == ["3B", "7B", "32B", "72B"]
    for size, model in MODELS.items():
        assert f"-{size}-" in model.repository
        assert (
            1.8 < model.gigabytes / float(size.removesuffix("B")) < 2.6
        )  # two bytes for each parameter, and a picture part
        assert model.licence
