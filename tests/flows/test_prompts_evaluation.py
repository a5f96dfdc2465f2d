"""`photone eval prompts`: the ablation over a folder of scenes, in words and with an engine in sound."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from core.audio import Audio
from core.engines import EngineInfo
from core.errors import SceneError, UsageError
from flows.cli import app
from flows.evaluation import prompts as evaluation
from flows.evaluation.prompts import PARTS, SWITCHES, PromptsOptions, evaluate
from phase1_sound.effects.protocol import EffectRequest, EffectResult
from phase1_sound.prompts import CAPTION
from schemas.effect import Tokens


def scene(methods: Sequence[str], description: str = "A cup on a table in a small kitchen.") -> str:
    variants = [
        {"play_method": method, "timbre": ["bright"], "mapping_to_music_instrument": "bass", "confidence": 0.8}
        for method in methods
    ]
    source = {"name": "cup", "material": "clay", "variants": variants}
    return json.dumps({"scene_description": description, "mood_description": "calm", "sound_sources": [source]})


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    folder = tmp_path / "scenes"
    (folder / "run").mkdir(parents=True)
    methods = ("tapped", "scraped", "rolled", "dropped", "filled")
    (folder / "kitchen.json").write_text(scene(methods))
    (folder / "run" / "scene.json").write_text(scene((*methods, "rinsed"), "Rain. " * 90))
    return folder


class Reader:
    """An engine whose sounds are brighter the longer the prompt is, and whose tokens are words."""

    info = EngineInfo("reader", "1")

    def __init__(self) -> None:
        self.seeds: dict[int, list[int]] = {}

    def tokens(self, text: str) -> list[Tokens]:
        return [Tokens(encoder="words", count=len(text.split()), limit=60)]

    def make(self, requests: Sequence[EffectRequest]) -> Iterator[EffectResult]:
        self.seeds.setdefault(len(requests), []).append(sum(request.seed for request in requests))
        for request in requests:
            t = np.arange(44100) / 44100
            f_hz = min(15000, 200 * len(request.prompt.split()))
            wave = 0.3 * np.sin(2 * np.pi * f_hz * t) * np.exp(-2 * t)
            yield EffectResult(Audio(wave, 44100))


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    engine = Reader()
    monkeypatch.setattr(evaluation, "load_engine", lambda table, spec: engine)
    return engine


def test_every_row_turns_one_switch() -> None:
    assert next(iter(SWITCHES.values())) == CAPTION
    for name, options in SWITCHES.items():
        base = SWITCHES["legacy"] if name.startswith("legacy") else CAPTION
        changed = [part for part in PARTS if getattr(options, part) != getattr(base, part)]
        if name.startswith(("no ", "with ")) or ", no " in name:
            assert changed == [name.split()[-1]]
    assert len(set(SWITCHES.values())) == len(SWITCHES)


def test_words_and_tokens_of_each_row(scenes: Path) -> None:
    result = evaluate(PromptsOptions(scenes))
    rows = {row.name: row for row in result.rows}
    assert list(rows) == list(SWITCHES)
    assert {row.prompts for row in result.rows} == {11}
    assert rows["caption"].truncated == 0
    assert result.passed
    for name, row in rows.items():
        less = (name.startswith("no ") and name != "no negative") or name == "event only"
        more = name.startswith(("with", "legacy"))
        assert (row.words < rows["caption"].words) == less
        assert (row.words > rows["caption"].words) == more
        assert {each.estimated for each in row.tokens.values()} == {True}
        assert row.sound is None
    # The scene of 90 words of rain is beyond T5 in the legacy style, the other is not.
    assert rows["legacy"].truncated == 6
    assert rows["legacy"].tokens["T5"].largest > 128
    assert "instrument" not in rows["caption"].parts


def test_with_an_engine_its_tokenizers_and_sounds_count(scenes: Path, reader: Reader, tmp_path: Path) -> None:
    result = evaluate(PromptsOptions(scenes, "reader", tmp_path / "out"))
    rows = {row.name: row for row in result.rows}
    assert list(rows["caption"].tokens) == ["words"]
    assert not rows["caption"].tokens["words"].estimated
    for row in result.rows:
        assert row.sound is not None
        assert row.sound.effects == 11
    caption, bare = rows["caption"].sound, rows["event only"].sound
    assert caption is not None
    assert bare is not None
    assert bare.figures["centroid_hz"] < caption.figures["centroid_hz"]  # type: ignore[operator]
    # The same seeds in every row: only the words differ.
    assert {len(set(seeds)) for seeds in reader.seeds.values()} == {1}
    assert len(list((tmp_path / "out").glob("*/*/effects.json"))) == 2 * len(SWITCHES)


def test_the_table_and_the_exit_status(scenes: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "prompts", str(scenes), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.split("  ")[0] for line in lines[1 : len(SWITCHES) + 1]] == list(SWITCHES)
    assert lines[1].split()[:8] == ["caption", "x", "-", "x", "x", "x", "x", "-"]
    assert lines[1].endswith("0 of 11")
    assert "CLAP 512, T5 128 tokens" in done.output
    assert json.loads((tmp_path / "out/prompts.json").read_text())["passed"] is True
    assert (tmp_path / "out/prompts.txt").read_text() == done.output


def test_own_prompts_that_are_cut_off_miss_the_target(
    scenes: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Reader, "tokens", lambda self, text: [Tokens(encoder="words", count=len(text.split()), limit=3)]
    )
    done = CliRunner().invoke(app, ["eval", "prompts", str(scenes), "--effects", "reader"])
    assert done.exit_code == 1
    assert "11 of 11" in done.output
    assert "good at once" in done.output


def test_what_cannot_be_evaluated_is_refused(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="foley: reads no prompts: take audioldm2 or stable-audio"):
        evaluate(PromptsOptions(scenes, "foley"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty: holds no scene: expected \*\.json or \*/scene\.json"):
        evaluate(PromptsOptions(tmp_path / "empty"))
    (scenes / "broken.json").write_text("{}")
    with pytest.raises(SceneError, match=r"broken\.json"):
        evaluate(PromptsOptions(scenes))
