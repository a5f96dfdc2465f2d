"""Engines are found by name, imported on first use, and say what they miss."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core.engines import EngineEntry, EngineTable
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
