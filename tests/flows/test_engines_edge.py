"""Keys come out of the environment here and nowhere else; what can run and what can be fetched is told here."""

from __future__ import annotations

import json

import pytest

from core.engines import Readiness
from core.errors import UsageError
from flows.engines import TABLES, engine_rows, fetch_engine, load_engine
from phase1_sound.vision import VISION_ENGINES

SPEC = "openai-http:http://127.0.0.1:9/v1?model=a"


def test_the_key_is_read_when_the_engine_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTONE_API_KEY", "sk-1\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-2")
    engine = load_engine(VISION_ENGINES, SPEC)
    assert engine.options.key == "sk-1"
    assert "sk-1" not in json.dumps(dict(engine.info.options))
    monkeypatch.delenv("PHOTONE_API_KEY")
    assert load_engine(VISION_ENGINES, SPEC).options.key == ""


def test_engines_without_a_key_are_made_as_before() -> None:
    assert load_engine(VISION_ENGINES, "embedded").info.name == "embedded"
    with pytest.raises(UsageError, match="no vision engine is called 'x'"):
        load_engine(VISION_ENGINES, "x")


def test_each_engine_has_a_row_that_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Readiness("the weights are missing", "16.6 GB")
    monkeypatch.setattr("phase1_sound.vision.engines.qwen.QwenVision.readiness", staticmethod(lambda argument: found))
    rows = {row["engine"]: row for row in engine_rows()}
    assert len(rows) == sum(len(table.entries) for table in TABLES)  # no name stands in two tables: --fetch goes by it
    assert [row["engine"] for row in rows.values() if row["default"]] == [table.default for table in TABLES]
    assert (rows["qwen"]["ready"], rows["qwen"]["problem"]) == (False, "the weights are missing")
    assert rows["qwen"]["detail"] == "16.6 GB"
    assert rows["openai-http"]["detail"].startswith("needs a server's address and a model")
    assert rows["openai-http"]["detail"].endswith("key in PHOTONE_API_KEY, if any")
    assert rows["embedded"]["ready"]
    json.dumps(rows)


def test_fetching_goes_to_the_engine_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "phase1_sound.vision.engines.qwen.QwenVision.fetch",
        staticmethod(lambda argument, progress: asked.append((argument, progress)) or "came"),
    )
    assert fetch_engine("qwen:3B", progress=False) == "came"
    assert asked == [("3B", False)]


@pytest.mark.parametrize(
    ("spec", "message"), [("nonesuch", "no engine is called 'nonesuch'"), ("embedded", "nothing to")]
)
def test_what_cannot_be_fetched_is_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fetch_engine(spec, progress=False)
