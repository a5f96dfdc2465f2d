"""Engines are found by name, imported on first use, and say what they miss."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from core.engines import EngineEntry, EngineTable, Readiness, read_options
from core.errors import EngineError, UsageError

MODULE = """
class Plain:
    pass

class Named:
    def __init__(self, argument=""):
        self.argument = argument
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineTable:
    (tmp_path / "engines_for_test.py").write_text(MODULE)
    (tmp_path / "engine_without_package.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("engines_for_test", "engine_without_package"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return EngineTable(
        "vision",
        {
            "plain": EngineEntry("engines_for_test:Plain", "takes nothing"),
            "named": EngineEntry("engines_for_test:Named", "takes a name"),
            "file": EngineEntry("engines_for_test:Named", "needs a file", needs_argument="the path of a file"),
            "model": EngineEntry("engine_without_package:Model", "a big model", extra="models"),
            "broken": EngineEntry("engine_without_package:Model", "a part of ours"),
        },
    )


def test_the_first_engine_is_the_default(table: EngineTable) -> None:
    assert table.default == "plain"


def test_an_engine_is_imported_on_first_use(table: EngineTable) -> None:
    assert table.check("plain") == ("plain", "")
    assert "engines_for_test" not in sys.modules
    assert type(table.load("plain")).__name__ == "Plain"
    assert "engines_for_test" in sys.modules


@pytest.mark.parametrize(
    ("spec", "argument"), [("named", ""), ("named:x", "x"), ("file:C:/scene.json", "C:/scene.json")]
)
def test_the_argument_is_what_follows_the_first_colon(table: EngineTable, spec: str, argument: str) -> None:
    assert table.load(spec).argument == argument


@pytest.mark.parametrize("spec", ["nonesuch", "nonesuch:x", "", "Plain", ":x"])
def test_an_unknown_name_lists_the_choices(table: EngineTable, spec: str) -> None:
    message = r"no vision engine is called '.*': choose one of plain, named, file, model, broken$"
    with pytest.raises(UsageError, match=message):
        table.check(spec)
    with pytest.raises(UsageError, match=message):
        table.load(spec)


@pytest.mark.parametrize("spec", ["file", "file:"])
def test_a_missing_argument_says_what_is_missing(table: EngineTable, spec: str) -> None:
    with pytest.raises(UsageError, match=r"vision engine 'file' needs the path of a file: write file:\.\.\."):
        table.load(spec)


def test_an_argument_for_an_engine_that_takes_none_is_refused(table: EngineTable) -> None:
    with pytest.raises(UsageError, match="vision engine 'plain' takes no argument: write plain"):
        table.load("plain:x")


def test_a_missing_package_names_the_extra(table: EngineTable) -> None:
    message = (
        r"vision engine 'model' cannot run here \(.*a_package_that_nobody_has.*\): pip install \"photone\[models\]\""
    )
    with pytest.raises(EngineError, match=message) as caught:
        table.load("model")
    assert isinstance(caught.value.__cause__, ImportError)
    assert caught.value.exit_status == 1
    assert table.problem("model") == str(caught.value)


def test_a_missing_part_of_ours_asks_for_a_new_install(table: EngineTable) -> None:
    with pytest.raises(EngineError, match=r"'broken' cannot run here .*: install photone again"):
        table.load("broken")


def test_a_ready_engine_has_no_problem(table: EngineTable) -> None:
    assert table.problem("plain") is None


READY_MODULE = """
from core.engines import Readiness

class Keyed:
    def __init__(self, argument, key):
        self.argument, self.key = argument, key

class Big:
    @staticmethod
    def readiness(argument):
        return Readiness(None if argument == "small" else "weights are missing", f"looked at {argument}")

    @staticmethod
    def fetch(argument, progress):
        return f"fetched {argument} {progress}"
"""


@pytest.fixture
def big_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineTable:
    (tmp_path / "big_engines_for_test.py").write_text(READY_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "big_engines_for_test", raising=False)
    return EngineTable(
        "vision",
        {
            "big": EngineEntry("big_engines_for_test:Big", "needs weights"),
            "keyed": EngineEntry("big_engines_for_test:Keyed", "needs a key", key_variable="A_KEY"),
        },
    )


def test_an_engine_says_what_it_still_needs(big_table: EngineTable) -> None:
    assert big_table.readiness("big") == Readiness("weights are missing", "looked at ")
    assert big_table.readiness("big:small") == Readiness(None, "looked at small")
    assert big_table.problem("big") == "weights are missing"
    assert big_table.readiness("keyed") == Readiness()
    with pytest.raises(UsageError, match="no vision engine is called 'nonesuch'"):
        big_table.readiness("nonesuch")


def test_an_engine_fetches_what_it_needs(big_table: EngineTable) -> None:
    assert big_table.fetch("big:small", progress=True) == "fetched small True"
    with pytest.raises(UsageError, match="vision engine 'keyed' has nothing to download"):
        big_table.fetch("keyed")
    with pytest.raises(UsageError, match="no vision engine is called 'nonesuch'"):
        big_table.fetch("nonesuch")


def test_a_key_goes_only_to_the_engine_that_asks_for_it(big_table: EngineTable, table: EngineTable) -> None:
    engine = big_table.load("keyed:x", key="secret")
    assert (engine.argument, engine.key) == ("x", "secret")
    assert big_table.load("keyed").key == ""
    assert table.load("named:x", key="secret").argument == "x"


@dataclass(frozen=True)
class Options:
    name: str = "default"
    size: int = 1
    mode: Literal["fast", "good"] = "fast"
    exact: bool = False
    key: str = field(default="", repr=False)


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("", Options()),
        ("a/b:c", Options("a/b:c")),
        ("a?size=3&mode=good&exact=yes", Options("a", 3, "good", True)),
        ("?size=3&", Options(size=3)),
        ("http://host/%41?mode=g%6fod", Options("http://host/%41", mode="good")),
    ],
)
def test_options_are_read_by_their_types(argument: str, options: Options) -> None:
    assert read_options(argument, Options, "name", "test") == options


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("a?size=big", "engine test: size=big: Input should be a valid integer"),
        ("a?mode=slow", "engine test: mode=slow: Input should be 'fast' or 'good'"),
        ("a?colour=red", "engine test: cannot read 'colour=red': write key=value, keys are exact, mode, size"),
        ("a?exact", "engine test: cannot read 'exact'"),
        ("a?name=b", "engine test: cannot read 'name=b'"),
        ("a?key=b", "engine test: cannot read 'key=b'"),
    ],
)
def test_options_that_cannot_be_read_are_refused(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        read_options(argument, Options, "name", "test")


def test_what_does_not_come_from_the_command_line_is_given_beside() -> None:
    assert read_options("a", Options, "name", "test", key="secret") == Options("a", key="secret")
