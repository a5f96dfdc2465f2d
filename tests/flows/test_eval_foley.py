"""`photone eval foley`: its rows, figures and verdict, on a small part of the table."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from click.testing import CliRunner

from core.audio import Audio
from flows.cli import app
from flows.evaluation import foley, foley_laws, foley_words
from flows.evaluation.foley_laws import laws, t60_s
from phase1_sound.effects.engines.foley.gestures import GESTURES
from phase1_sound.effects.engines.foley.modal import Body
from phase1_sound.effects.engines.foley.parsing import CHARACTER_WORDS

SMALL = ("--materials", "glass,water", "--gestures", "strike,drip", "--seconds", "1", "--seeds", "2", "--no-words")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foley, "PHRASES", foley.PHRASES[:3])
    monkeypatch.setattr(foley, "laws", lambda: iter(()))


@pytest.mark.usefixtures("quick")
def test_rows_and_figures_as_json() -> None:
    result = CliRunner().invoke(app, ["eval", "foley", *SMALL, "--json"])
    assert result.exit_code == 0, result.output
    value = json.loads(result.output)
    assert [(row["material"], row["gesture"], row["made"]) for row in value["rows"]] == [
        ("glass", "strike", "strike"),
        ("water", "strike", "splash"),
        ("glass", "drip", "drip"),
        ("water", "drip", "drip"),
    ]
    assert all(abs(row["loudness_lufs"] + 20) < 3 for row in value["rows"])
    assert value["rows"][0]["centroid_hz"] > value["rows"][1]["centroid_hz"] / 4
    assert {figure["name"] for figure in value["figures"]} >= {"usable effects", "phrases that sound"}


@pytest.mark.usefixtures("quick")
def test_a_missed_target_is_exit_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foley, "LONGEST_CPU_S", 1e-9)
    result = CliRunner().invoke(app, ["eval", "foley", *SMALL])
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if "longest" in line]
    assert "MISS" in line
    assert "heard as" in result.output


def test_unknown_names_are_usage_errors() -> None:
    result = CliRunner().invoke(app, ["eval", "foley", "--materials", "cheese"])
    assert result.exit_code != 0
    assert "cheese" in str(result.exception or result.output)


def test_all_laws_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foley_laws, "SOLIDS", ("metal", "wood", "skin", "cloth"))
    monkeypatch.setattr(foley_laws, "GROUNDS", foley_laws.GROUNDS[:6])
    found = list(laws())
    assert not [figure for figure in found if not figure.passed]
    assert json.loads(json.dumps([asdict(figure) for figure in found])) == [asdict(figure) for figure in found]


def test_a_law_that_is_broken_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Body, "decays", lambda self: np.full(len(self.frequencies()), 20.0))
    assert not foley_laws._ringing().passed
    assert t60_s("bell") == pytest.approx(t60_s("wood"), rel=0.5)


def test_every_row_of_words_has_a_law_or_names_a_tool() -> None:
    covered = {words for words, _, _ in foley_words.words_with_features()}
    left = [words for words, _ in CHARACTER_WORDS if words not in covered]
    tools = "lightly finger mallet stick hammer"
    assert [words.split()[0] for words in left] == tools.split()


def test_words_of_one_row_have_one_direction() -> None:
    rows = [words for words, _, _ in foley_words.words_with_features()]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("word", ["bright", "dark", "resonant", "dry", "rough", "hushed"])
def test_words_move_their_feature(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foley_words, "SECONDS", 1.5)
    monkeypatch.setattr(foley_words, "SEEDS", 1)
    rows = [row for row in foley_words.words_with_features() if word in row[0].split()]
    monkeypatch.setattr(foley_words, "words_with_features", lambda: rows)
    found = foley_words.word_rows(("strike", "scrape", "stream", "bird", "engine"))
    assert sum(row.right for row in found) >= 4, found


def test_gestures_that_are_one_are_not_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    same = GESTURES["wind"]
    monkeypatch.setattr(foley, "GESTURES", {"wind": same, "breeze": same})
    _, share = foley.told_apart(("wind", "breeze"), 4, 0.5)
    assert share < 0.9


def test_log_mel_statistics_know_no_level() -> None:
    sound = np.random.default_rng(0).standard_normal(44100)
    loud, soft = (foley.log_mel_statistics(Audio(level * sound, 44100)) for level in (0.3, 0.003))
    assert np.abs(loud - soft).max() < 0.01
