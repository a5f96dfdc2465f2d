"""A stage is repeated when something changed and only then; a run that was stopped goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.errors import DocumentError, OutputError
from flows.runs.ledger import RUN_FILE, Ledger, files_under
from schemas.run import Casting, Output, PictureRecord, Run

SHA = "0" * 64


class Work:
    """A stage's work that writes files and counts how often it was asked for."""

    def __init__(self, folder: Path, **files: str) -> None:
        self.folder, self.files, self.times = folder, files, 0

    def __call__(self) -> list[Path]:
        self.times += 1
        paths = []
        for name, text in self.files.items():
            path = self.folder / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            paths.append(path)
        return paths


def do(folder: Path, work: Callable[[], list[Path]], name: str = "scene", **depends_on: Any) -> bool:
    """Do a stage with a ledger opened anew, as the next command would; True when it was passed over."""
    return Ledger.open(folder, 0).stage(name, depends_on, work)


def stage_names(folder: Path) -> list[str]:
    return [stage.name for stage in Run.read(folder / RUN_FILE).stages]


def output_paths(folder: Path) -> list[str]:
    return sorted(output.path for output in Run.read(folder / RUN_FILE).outputs)


def test_a_stage_that_is_done_is_passed_over(tmp_path: Path) -> None:
    work = Work(tmp_path, a="one", b="two")
    assert not do(tmp_path, work, seed=1)
    first = Run.read(tmp_path / RUN_FILE)
    assert do(tmp_path, work, seed=1)
    again = Run.read(tmp_path / RUN_FILE)
    assert work.times == 1
    assert [stage.cached for stage in first.stages + again.stages] == [False, True]
    assert first.outputs == again.outputs
    assert output_paths(tmp_path) == ["a.txt", "b.txt"]


def test_a_stage_that_is_passed_over_keeps_the_time_that_it_took(tmp_path: Path) -> None:
    do(tmp_path, Work(tmp_path, a="one"))
    run = Run.read(tmp_path / RUN_FILE)
    slow = run.stages[0].model_copy(update={"elapsed_s": 7.5})
    run.model_copy(update={"stages": [slow]}).write(tmp_path / RUN_FILE)
    assert do(tmp_path, Work(tmp_path))
    assert Run.read(tmp_path / RUN_FILE).stages[0].elapsed_s == 7.5


@pytest.mark.parametrize("depends_on", [{"seed": 2}, {"seed": 1, "engine": "foley"}, {"seed": "1"}, {}])
def test_a_stage_is_repeated_when_what_it_depends_on_changes(tmp_path: Path, depends_on: dict[str, Any]) -> None:
    work = Work(tmp_path, a="one")
    do(tmp_path, work, seed=1)
    assert not do(tmp_path, work, **depends_on)
    assert work.times == 2
    assert stage_names(tmp_path) == ["scene"]
    assert do(tmp_path, work, **depends_on)


def test_the_order_of_what_a_stage_depends_on_does_not_matter(tmp_path: Path) -> None:
    work = Work(tmp_path, a="one")
    do(tmp_path, work, seed=1, engine="foley")
    assert do(tmp_path, work, engine="foley", seed=1)


def test_a_new_version_of_photone_repeats_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(tmp_path, a="one")
    do(tmp_path, work)
    monkeypatch.setattr("flows.runs.ledger.photone_version", lambda: "99.0")
    assert not do(tmp_path, work)
    assert Run.read(tmp_path / RUN_FILE).photone_version == "99.0"


def test_stages_with_the_same_dependencies_are_told_apart(tmp_path: Path) -> None:
    one, other = Work(tmp_path, a="one"), Work(tmp_path, b="two")
    do(tmp_path, one, "instrument-bass")
    assert not do(tmp_path, other, "instrument-guitar")
    assert do(tmp_path, one, "instrument-bass")
    assert stage_names(tmp_path) == ["instrument-bass", "instrument-guitar"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("six"),  # the same length
        lambda path: path.write_text("one and more"),
        lambda path: path.write_text(""),
    ],
    ids=["deleted", "changed", "longer", "emptied"],
)
def test_a_stage_is_repeated_when_its_file_is_not_as_it_was(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    work, other = Work(tmp_path, a="one", b="two"), Work(tmp_path, c="three")
    do(tmp_path, work)
    do(tmp_path, other, "effects")
    damage(tmp_path / "a.txt")
    assert not do(tmp_path, work)
    assert (tmp_path / "a.txt").read_text() == "one"
    assert do(tmp_path, other, "effects")


def test_files_that_are_no_longer_made_are_removed(tmp_path: Path) -> None:
    do(tmp_path, Work(tmp_path, a="one", b="two"), version=1)
    do(tmp_path, Work(tmp_path, c="three"), "effects")
    (tmp_path / "mine.txt").write_text("the user's own")
    do(tmp_path, Work(tmp_path, b="new"), version=2)
    assert [path.name for path in files_under(tmp_path)] == ["b.txt", "c.txt", "mine.txt", RUN_FILE]
    assert output_paths(tmp_path) == ["b.txt", "c.txt"]


def test_outputs_in_folders_are_known_by_their_path_in_the_run(tmp_path: Path) -> None:
    do(tmp_path / "run", Work(tmp_path / "run" / "instruments" / "bass", a="one"))
    assert output_paths(tmp_path / "run") == ["instruments/bass/a.txt"]
    output = Run.read(tmp_path / "run" / RUN_FILE).outputs[0]
    assert (output.bytes, output.stage) == (3, "scene")
    # A run that was moved is still done.
    (tmp_path / "run").rename(tmp_path / "moved")
    assert do(tmp_path / "moved", Work(tmp_path / "moved"))


def test_a_stage_without_files_is_passed_over_too(tmp_path: Path) -> None:
    work = Work(tmp_path)
    do(tmp_path, work, "casting")
    assert do(tmp_path, work, "casting")
    assert work.times == 1


def test_a_stage_that_fails_records_nothing_and_leaves_the_others(tmp_path: Path) -> None:
    done = Work(tmp_path, a="one")
    do(tmp_path, done)

    def fail() -> list[Path]:
        (tmp_path / "half.txt").write_text("half")
        raise OutputError("disk full")

    with pytest.raises(OutputError, match="disk full"):
        do(tmp_path, fail, "effects")
    assert stage_names(tmp_path) == ["scene"]
    assert output_paths(tmp_path) == ["a.txt"]
    assert do(tmp_path, done)
    assert not do(tmp_path, Work(tmp_path, half="whole"), "effects")
    assert (tmp_path / "half.txt").read_text() == "whole"


def test_a_repeat_that_fails_half_way_is_not_taken_for_the_old_result(tmp_path: Path) -> None:
    work = Work(tmp_path, a="one")
    do(tmp_path, work, seed=1)

    def fail() -> list[Path]:
        (tmp_path / "a.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do(tmp_path, fail, seed=2)
    assert not do(tmp_path, work, seed=1)
    assert (tmp_path / "a.txt").read_text() == "one"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"run\.json: not JSON .*: mend or remove the file"),
        ('{"seed": 0', r"run\.json: not JSON"),
        ("[]", r"run\.json: document: "),
        ('{"photone_version": "0.1.0", "seed": -1}', r"run\.json: seed: -1 is less than the minimum of 0"),
        ('{"photone_version": "0.1.0", "seed": 0, "schema_version": 9}', r"run\.json: schema_version"),
    ],
)
def test_a_damaged_manifest_is_named_and_kept(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / RUN_FILE).write_text(content)
    for open_run in (lambda: Ledger.open(tmp_path, 0), lambda: Ledger.read(tmp_path)):
        with pytest.raises(DocumentError, match=message):
            open_run()
    assert (tmp_path / RUN_FILE).read_text() == content


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"run\.json: no such file: check the path"):
        Ledger.read(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_run_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file: is a file, not a folder: choose another folder with --out"):
        Ledger.open(tmp_path / "file", 0)


def test_opening_takes_the_seed_given_and_reading_the_seed_kept(tmp_path: Path) -> None:
    Ledger.open(tmp_path, 5).stage("scene", {}, Work(tmp_path))
    assert Ledger.read(tmp_path).run.seed == 5
    assert Ledger.open(tmp_path, 6).run.seed == 6


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    do(tmp_path, Work(tmp_path, a="one"))
    (tmp_path / ".photone-tmp-1234-song.wav").write_text("half")
    (tmp_path / "instruments" / ".photone-tmp-5678-bass").mkdir(parents=True)
    (tmp_path / "instruments" / ".photone-tmp-5678-bass" / "sample.wav").write_text("half")
    Ledger.open(tmp_path, 0)
    assert [path.name for path in files_under(tmp_path)] == ["a.txt", RUN_FILE]
    assert not list((tmp_path / "instruments").iterdir())


def test_stages_that_were_not_asked_for_are_marked_as_cached(tmp_path: Path) -> None:
    for name in ("scene", "effects"):
        do(tmp_path, Work(tmp_path, **{name: name}), name)
    ledger = Ledger.read(tmp_path)
    ledger.stage("song-canon", {}, Work(tmp_path, song="song"))
    ledger.mark_untouched()
    stages = Run.read(tmp_path / RUN_FILE).stages
    assert [(stage.name, stage.cached) for stage in stages] == [
        ("scene", True),
        ("effects", True),
        ("song-canon", False),
    ]


def test_notes_are_in_the_manifest_and_leave_the_rest(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path, 0)
    casting = Casting(role="bass", effect="effects/01.wav", number=1, score=0.5, reason="low")
    picture = PictureRecord(file="a.jpg", sha256=SHA, width=4, height=3)
    ledger.note(casting=[casting], warnings=["w"])
    ledger.note(picture=picture)
    ledger.note()
    run = Run.read(tmp_path / RUN_FILE)
    assert (run.casting, run.warnings, run.picture) == ([casting], ["w"], picture)
    ledger.note(casting=[], warnings=[])
    run = Run.read(tmp_path / RUN_FILE)
    assert (run.casting, run.warnings, run.picture) == ([], [], picture)


def test_a_file_that_moves_to_another_stage_belongs_to_that_stage(tmp_path: Path) -> None:
    do(tmp_path, Work(tmp_path, a="one"), "old")
    do(tmp_path, Work(tmp_path, a="two"), "new")
    assert [output.stage for output in Run.read(tmp_path / RUN_FILE).outputs] == ["new"]


@pytest.mark.parametrize("path", ["../precious.wav", "/etc/passwd", "a/../../b", ".hidden", ""])
def test_a_manifest_that_points_outside_its_run_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        Output(path=path, sha256="0" * 64, bytes=1, stage="song")
