"""Changing a finished run: what does not depend on a change keeps its bytes and its times, the rest is made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from served import small_picture

from core.errors import DocumentError, SceneError, UsageError
from core.manifest import sha256_file
from flows.cli import app
from flows.runs import remaking, stages
from flows.runs.effects import EffectsOptions
from flows.runs.effects import make as make_effects
from flows.runs.ledger import Ledger
from flows.runs.songs import SongOptions
from flows.runs.stages import MakeOptions
from flows.scene_changes import SceneChange, changed_scene
from phase2_music.rendering.render import RenderOptions
from schemas.effect import Effects
from schemas.instrument import Instrument
from schemas.run import Run
from schemas.scene import Scene, read_scene
from schemas.song import Song

pytestmark = pytest.mark.slow


def options(run: Path, **changes: Any) -> MakeOptions:
    asked = Run.read(run / "run.json").asked
    assert asked is not None
    song = SongOptions("canon", render=RenderOptions(preview_s=2.0))
    given = {"picture": run.parent / "lake.png", "out": run, "song": song, "compact": True, "cast": asked.cast}
    return MakeOptions(**{**given, **changes})


@pytest.fixture(scope="module")
def pinned(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose band was chosen by number: each melodic role and the kit has its own effect."""
    folder = tmp_path_factory.mktemp("pinned")
    small_picture(folder / "lake.png")
    run = shutil.copytree(small_run, folder / "run")
    numbers = [effect.number for effect in Effects.read(run / "effects" / "effects.json").effects]
    band = dict(zip(("keyboard", "bass", "guitar", "drums"), ([number] for number in numbers[1:5]), strict=True))
    stages.make(options(run, cast=band))
    remaking.edit_scene(run, read_scene(run / "scene.json"))  # plays the other song, too
    return run


@pytest.fixture
def run(pinned: Path, tmp_path: Path) -> Path:
    """A copy, with its times."""
    shutil.copy2(pinned.parent / "lake.png", tmp_path / "lake.png")
    return shutil.copytree(pinned, tmp_path / "run")


def marks(run: Path) -> dict[str, tuple[str, int]]:
    """Hash and time of each file."""
    files = (path for path in run.rglob("*") if path.is_file())
    return {path.relative_to(run).as_posix(): (sha256_file(path), path.stat().st_mtime_ns) for path in files}


def hashes(run: Path, pattern: str) -> dict[str, str]:
    return {path.relative_to(run).as_posix(): sha256_file(path) for path in sorted(run.glob(pattern))}


def effects_of(run: Path) -> list[Any]:
    return list(Effects.read(run / "effects" / "effects.json").effects)


def place_of(run: Path, number: int) -> tuple[int, int]:
    """Source and variant, from 1, of an effect."""
    effect = effects_of(run)[number - 1]
    for row, source in enumerate(read_scene(run / "scene.json").sound_sources, 1):
        for column, variant in enumerate(source.variants, 1):
            if (source.name, variant.play_method) == (effect.source, effect.play_method):
                return row, column
    raise AssertionError(number)


def change(run: Path, **changes: Any) -> Any:
    return remaking.edit_scene(run, changed_scene(read_scene(run / "scene.json"), SceneChange(**changes)))


def number_of(run: Path, role: str) -> int:
    return next(casting.number for casting in Run.read(run / "run.json").casting if casting.role == role)


def test_only_what_depends_on_a_changed_variant_is_made_again(run: Path) -> None:
    number = number_of(run, "bass")
    source, variant = place_of(run, number)
    before = marks(run)
    made = change(run, source=source, variant=variant, timbre="dull, deep, long")
    after = marks(run)
    touched = {name for name in after if before.get(name) != after[name]}
    file = effects_of(run)[number - 1].file
    assert {name for name in touched if name.startswith("effects/")} == {f"effects/{file}", "effects/effects.json"}
    assert {name.split("/")[1] for name in touched if name.startswith("instruments/")} == {"bass"}
    assert {name for name in touched if name.startswith("timbres/")} == {"timbres/bass.wav"}
    for song in ("canon-preview", "tune-preview"):
        assert f"songs/{song}/song.wav" in touched
        assert f"songs/{song}/stems/bass.wav" in touched
    assert after["picture.jpg"] == before["picture.jpg"]
    assert set(before) - set(after) <= {name for name in before if name.startswith("page/")}
    assert after["scene-original.json"][0] == before["scene.json"][0]
    cached = {stage.name for stage in made.run.stages if stage.cached}
    assert {"picture", "instrument-keyboard", "instrument-guitar", "instrument-drums"} <= cached
    assert not {"instrument-bass", "effects"} & cached
    present = {path.parent.name: sha256_file(path) for path in run.glob("instruments/*/*.sf2")}
    for song in ("canon-preview", "tune-preview"):
        assert Song.read(run / "songs" / song / "song.json").instruments == present
    assert Song.read(run / "songs/tune-preview/song.json").score.file == "tune.mid"


def test_the_record_says_that_the_scene_was_edited(run: Path) -> None:
    remaking.apply(
        Ledger.read(run), changed_scene(read_scene(run / "scene.json"), SceneChange(source=1, material="wood"))
    )
    record = Run.read(run / "run.json")
    assert record.engines is not None
    assert record.engines.vision.name == "embedded"
    assert record.engines.vision.options["edited_by_hand"] == sha256_file(run / "scene.json")
    assert "edited" in (run / "run.json").read_text()


def test_an_edited_scene_gives_what_it_would_give_from_the_beginning(run: Path, tmp_path: Path) -> None:
    change(run, source=1, material="thick glass")
    fresh = make_effects(EffectsOptions(run / "scene.json", tmp_path / "fresh"))
    assert [(each.file, each.sha256, each.seed) for each in fresh.effects] == [
        (each.file, each.sha256, each.seed) for each in effects_of(run)
    ]


def test_effects_keep_their_bytes_when_their_numbers_change(run: Path) -> None:
    source, variant = place_of(run, 1)  # plays nothing
    old = effects_of(run)
    before = marks(run)
    change(run, source=source, variant=variant, delete=True)
    new, after = effects_of(run), marks(run)
    assert [effect.sha256 for effect in new] == [effect.sha256 for effect in old[1:]]
    assert [effect.seed for effect in new] == [effect.seed for effect in old[1:]]
    assert [effect.number for effect in new] == list(range(1, len(old)))
    assert all(effect.file.startswith(f"{effect.number:02d}_") for effect in new)
    assert {path.name for path in (run / "effects").glob("*.wav")} == {effect.file for effect in new}
    asked = Run.read(run / "run.json").asked
    assert asked is not None
    assert asked.cast == {"keyboard": [1], "bass": [2], "guitar": [3], "drums": [4]}
    for role in asked.cast:
        document = Instrument.read(run / "instruments" / role / "instrument.json")
        assert document.source_effect.file == f"effects/{new[asked.cast[role][0] - 1].file}"
    played = {name for name in before if name.startswith(("instruments/", "timbres/", "songs/"))}
    changed = {name for name in played if before[name] != after[name]}
    assert changed == {f"instruments/{role}/instrument.json" for role in asked.cast}
    made = stages.make(options(run))
    assert [stage.name for stage in made.run.stages if not stage.cached] == []
    lost = run / "effects" / new[2].file
    lost.unlink()
    stages.make(options(run))  # its seed is that of its old number
    assert sha256_file(lost) == new[2].sha256


def test_a_new_variant_leaves_the_others_as_they_are(run: Path) -> None:
    old = {effect.sha256 for effect in effects_of(run)}
    change(run, source=1, add="scraped with a nail", timbre="harsh, dry", role="guitar", confidence=0.9)
    new = effects_of(run)
    assert old < {effect.sha256 for effect in new}
    (added,) = [effect for effect in new if effect.sha256 not in old]
    assert (added.play_method, added.timbre, added.role_hint) == ("scraped with a nail", ["harsh", "dry"], "guitar")


def test_another_role_makes_no_effect_again(run: Path) -> None:
    number = number_of(run, "bass")
    source, variant = place_of(run, number)
    before = hashes(run, "effects/*.wav")
    change(run, source=source, variant=variant, role="drums")
    assert effects_of(run)[number - 1].role_hint == "drums"
    assert hashes(run, "effects/*.wav") == before


def test_back_to_the_scene_as_it_was_seen(run: Path) -> None:
    patterns = ("scene.json", "effects/*.wav", "instruments/*/samples/*", "instruments/*/*.sf2", "songs/*/song.wav")
    before = [hashes(run, pattern) for pattern in patterns]
    source, variant = place_of(run, 1)
    change(run, source=source, variant=variant, delete=True)
    change(run, source=1, material="wet paper")
    remaking.edit_scene(run, None)
    assert [hashes(run, pattern) for pattern in patterns] == before
    assert not (run / "scene-original.json").exists()
    record = Run.read(run / "run.json")
    assert record.engines is not None
    assert "edited_by_hand" not in record.engines.vision.options
    again = stages.make(options(run))
    assert [stage.name for stage in again.run.stages if not stage.cached] == []


def test_an_effect_made_again_by_itself_survives_an_edit(run: Path) -> None:
    remaking.remake_effects(run, [3], 7)
    mine = effects_of(run)[2]
    assert mine.own_seed is not None
    source, variant = place_of(run, 1)
    change(run, source=source, variant=variant, delete=True)
    now = effects_of(run)[1]
    assert (now.sha256, now.own_seed) == (mine.sha256, mine.own_seed)


def test_making_the_run_again_keeps_the_edit_and_another_picture_puts_it_aside(run: Path) -> None:
    change(run, source=1, material="thick glass")
    edited = sha256_file(run / "scene.json")
    stages.make(options(run))
    assert sha256_file(run / "scene.json") == edited
    small_picture(run.parent / "lake.png", seed=5)
    made = stages.make(options(run, cast={}))
    assert sha256_file(run / "scene.json") != edited
    assert sha256_file(run / "scene-edited.json") == edited
    assert any("edited by hand" in warning for warning in made.run.warnings)
    assert not (run / "scene-original.json").exists()
    assert made.run.scene_edit is None


def test_an_edit_that_was_stopped_is_finished_or_never_was(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = sha256_file(run / "scene.json")
    scene = changed_scene(read_scene(run / "scene.json"), SceneChange(source=1, material="wood"))
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "edit_scene", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            remaking.apply(Ledger.read(run), scene)
    copy = shutil.copytree(run, run.parent / "copy")
    assert remaking.apply(Ledger.read(run), scene, original) is True
    assert sha256_file(run / "scene-original.json") == original
    assert remaking.apply(Ledger.read(run), scene, original) is False  # a job that goes on
    stages.make(options(copy))
    assert sha256_file(copy / "scene.json") == original


def test_an_edit_of_an_older_scene_is_refused(run: Path) -> None:
    base = sha256_file(run / "scene.json")
    scene = read_scene(run / "scene.json")
    remaking.apply(Ledger.read(run), changed_scene(scene, SceneChange(source=1, material="wood")))
    other = changed_scene(scene, SceneChange(source=1, material="tin"))
    with pytest.raises(SceneError, match="has changed meanwhile"):
        remaking.apply(Ledger.read(run), other, base)


def test_a_scene_changed_behind_the_runs_back_is_told(run: Path) -> None:
    remaking.apply(
        Ledger.read(run), changed_scene(read_scene(run / "scene.json"), SceneChange(source=1, material="wood"))
    )
    (run / "scene.json").write_text((run / "scene.json").read_text().replace("wood", "tin"))
    with pytest.raises(DocumentError, match=r"photone edit .* --scene"):
        stages.make(options(run))
    remaking.apply(Ledger.read(run), read_scene(run / "scene.json"))
    assert "tin" in (run / "scene.json").read_text()


def test_a_run_that_does_not_know_how_it_was_asked_for_is_refused(run: Path) -> None:
    record = Run.read(run / "run.json")
    record.model_copy(update={"asked": None}).write(run / "run.json")
    with pytest.raises(UsageError, match="run `photone make` on it again"):
        remaking.edit_scene(run, None)
    record.model_copy(update={"scene_edit": None}).write(run / "run.json")
    with pytest.raises(UsageError, match="nothing to go back to"):
        remaking.edit_scene(run, None)


# The command line


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_edits(run: Path) -> None:
    done = command("edit", run, "--source", 1, "--material", "wood", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["run"] == str(run)
    assert read_scene(run / "scene.json").sound_sources[0].material == "wood"
    assert command("edit", run, "--again", 2, "--seed", 9).exit_code == 0
    assert effects_of(run)[1].own_seed is not None
    assert command("edit", run, "--revert").exit_code == 0
    assert read_scene(run / "scene.json").sound_sources[0].material != "wood"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one change at a time"),
        (["--source", 1, "--name", "x", "--revert"], "one change at a time"),
        (["--material", "wood"], "--source: name the source"),
        (["--source", 99, "--name", "x"], "--source 99: there is none"),
        (["--source", 1, "--variant", 99, "--timbre", "x"], "--variant 99: there is none"),
        (["--source", 1, "--timbre", "x"], "--variant: name the variant"),
        (["--source", 1, "--add", "x", "--method", "y"], "--add: is a new variant"),
        (["--source", 1, "--delete", "--name", "y"], "--delete: takes nothing"),
        (["--source", 1, "--name", "people laughing"], "human voice"),
        (["--source", 1, "--name", "x" * 300], "the edited scene"),
        (["--again", 99], "has no effect 99"),
        (["--seed", 4, "--source", 1, "--name", "x"], "--seed: goes with --again"),
        (["--scene", "nothing.json"], "nothing.json"),
    ],
)
def test_what_cannot_be_edited_is_refused_and_nothing_is_changed(run: Path, arguments: list[Any], said: str) -> None:
    before = marks(run)
    done = command("edit", run, *arguments)
    assert said in str(done.exception or done.output)
    assert getattr(done.exception, "exit_status", 0) == 2
    assert marks(run) == before


def test_the_command_lists_runs_as_the_gallery_does(run: Path) -> None:
    found = json.loads(command("runs", run.parent, "--json").stdout)
    assert [row["folder"] for row in found] == [str(run)]
    assert "Canon" in command("runs", run.parent, "--search", "lake pachelbel").stdout
    assert command("runs", run.parent, "--search", "nothing").stdout == ""
    assert Scene.read(run / "scene.json")
