"""`photone effects --only` on a run: what was changed stays changed, and only what hangs on it is made again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.errors import DocumentError, UsageError
from core.manifest import sha256_file
from flows.cli import app
from flows.demo import demo_picture
from flows.runs import stages
from flows.runs.effects import EffectsOptions, make, parse_only, prompt_options
from flows.runs.ledger import Ledger
from flows.runs.songs import Made, SongOptions
from flows.runs.stages import MakeOptions
from phase1_sound.effects import attempts
from phase1_sound.prompts import PromptOptions
from schemas.effect import Effects


@pytest.fixture
def run(demo_run: tuple[Path, Made], tmp_path: Path) -> Path:
    """A copy of the demo's run."""
    return shutil.copytree(demo_run[0], tmp_path / "run")


def options(run: Path, seed: int = 0, cast: dict[str, list[int]] | None = None) -> MakeOptions:
    song = SongOptions("greensleeves")
    return MakeOptions(picture=demo_picture(), out=run, seed=seed, song=song, cast=cast or {})  # type: ignore[arg-type]


def only(run: Path, numbers: Sequence[int], seed: int) -> Effects:
    return make(EffectsOptions(run / "scene.json", run / "effects", seed=seed, only=tuple(numbers)))


def hashes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The play methods that an engine is asked for."""
    methods: list[str] = []
    real = attempts._attempts

    def spy(engine: object, pairs: Sequence[tuple[object, object]], number: int) -> object:
        methods.extend(request.play_method for _, request in pairs)  # type: ignore[attr-defined]
        return real(engine, pairs, number)  # type: ignore[arg-type]

    monkeypatch.setattr(attempts, "_attempts", spy)
    return methods


def test_only_what_hangs_on_the_new_effect_is_made_again(run: Path, asked: list[str]) -> None:
    """The band is pinned, so that only one instrument and the song hang on the effect."""
    casting = json.loads((run / "run.json").read_text())["casting"]
    number = next(one["number"] for one in casting if one["role"] == "bass")
    others = [one for one in casting if one["role"] != "bass"]
    assert number not in {one["number"] for one in others}
    cast: dict[str, list[int]] = {}
    for one in casting:
        cast.setdefault(one["role"], []).append(one["number"])
    before = hashes(run)
    new = only(run, [number], 7)
    asked.clear()
    made = stages.make(options(run, cast=cast))
    assert asked == []
    after = hashes(run)
    changed = {name for name in before if before[name] != after.get(name)}
    effect = next(one for one in new.effects if one.number == number)
    assert f"effects/{effect.file}" in changed
    assert {name.split("/")[1] for name in changed if name.startswith("instruments/")} == {"bass"}
    assert {name for name in changed if name.startswith("timbres/")} == {"timbres/bass.wav"}
    assert "songs/greensleeves/song.wav" in changed
    assert "songs/greensleeves/stems/bass.wav" in changed
    cached = {stage.name for stage in made.run.stages if stage.cached}
    assert {"picture", "scene", "instrument-keyboard", "instrument-guitar", "instrument-drums"} <= cached
    assert "instrument-bass" not in cached
    assert Effects.read(run / "effects/effects.json") == new
    # And once more nothing is to be done.
    again = stages.make(options(run, cast=cast))
    assert [stage.name for stage in again.run.stages if not stage.cached] == []
    assert hashes(run / "effects") == {
        name.removeprefix("effects/"): sha for name, sha in after.items() if name.startswith("effects/")
    }


def effects_stage(run: Path, seed: int = 0) -> Effects:
    stages.effects_stage(Ledger.open(run, seed), options(run, seed))
    return Effects.read(run / "effects/effects.json")


def test_a_new_version_makes_all_again_with_the_own_seed(
    run: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    new = only(run, [2], 7)
    asked.clear()
    monkeypatch.setitem(stages._VERSIONS, "effects", 99)
    assert effects_stage(run) == new
    assert asked[: len(new.effects)] == [effect.play_method for effect in new.effects]


def test_another_seed_undoes_it_with_a_note(run: Path) -> None:
    only(run, [2], 7)
    made = effects_stage(run, seed=5)
    assert [effect.own_seed for effect in made.effects] == [None] * len(made.effects)
    assert "what --only had changed in effect 2" in made.notes[0]


def test_a_lost_effect_is_made_again_alone(run: Path, asked: list[str]) -> None:
    old = Effects.read(run / "effects/effects.json")
    lost = run / "effects" / old.effects[1].file
    lost.unlink()
    assert effects_stage(run) == old
    assert set(asked) == {old.effects[1].play_method}
    assert sha256_file(lost) == old.effects[1].sha256


def test_the_command(run: Path) -> None:
    scene, out = str(run / "scene.json"), str(run / "effects")
    before = hashes(run / "effects")
    done = CliRunner().invoke(app, ["effects", scene, "--out", out, "--only", "3", "--seed", "7"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    assert "/03_" in lines[0]
    changed = {name for name, sha in hashes(run / "effects").items() if before[name] != sha}
    assert sorted(name[:3] for name in changed) == ["03_", "eff"]


def test_what_cannot_be_made_by_itself_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no effect 99: effects are 1 to"):
        only(run, [99], 7)
    with pytest.raises(DocumentError, match=r"effects\.json"):
        make(EffectsOptions(run / "scene.json", tmp_path / "none", only=(1,)))


@pytest.mark.parametrize("text", ["0", "x", "3-5", "-1", "99999", "1.5", "²"])
def test_numbers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected numbers of effects, as 3 or 3,5"):
        parse_only(text)


def test_numbers_and_prompts_are_read() -> None:
    assert parse_only("3, 5,3") == (3, 5)
    assert parse_only("") == ()
    assert prompt_options("") == PromptOptions()
    assert prompt_options("legacy?mood=yes&context=no") == PromptOptions(style="legacy", mood=True, context=False)
    for text in ("poem", "caption?rhyme=yes", "caption?mood=perhaps"):
        with pytest.raises(UsageError, match="--prompt"):
            prompt_options(text)
