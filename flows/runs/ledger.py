"""run.json as a ledger: which stage was done from what, so that a stage is repeated only when something changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.manifest import prepare_folder, sha256_file, sha256_json, sweep
from schemas.document import Document
from schemas.run import Asked, Casting, Engines, Output, PictureRecord, Run, SceneEdit, Stage

RUN_FILE = "run.json"
SCENE_EDIT = "scene-edit"
"""The stage that a scene edited by hand belongs to."""
SCENE_FILES = frozenset({"scene.json", "scene-original.json"})


def photone_version() -> str:
    """The installed version."""
    return version("photone")


class Ledger:
    """The manifest of one run folder, written anew after each stage.

    A stage is known by its name and a key: the hash of all that it depends on. It is passed over when the manifest holds the
    same key and every file that it made is still there with the same hash.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder = folder
        self.run = run
        self._touched: dict[str, bool] = {}

    @classmethod
    def open(cls, folder: Path, seed: int) -> Ledger:
        """Open a run folder, made if missing; leftovers of a killed run are removed.

        Raises:
            OutputError: the folder cannot be written to.
            DocumentError: its run.json is damaged.
        """
        prepare_folder(folder)
        sweep(folder)
        path = folder / RUN_FILE
        old = Run.read(path) if path.is_file() else None
        run = (old or Run(photone_version=photone_version(), seed=seed)).model_copy(
            update={"photone_version": photone_version(), "seed": seed}
        )
        return cls(folder, run)

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """Open a run folder that must exist.

        Raises:
            DocumentError: there is no run.json, or it is damaged.
            OutputError: the folder cannot be written to.
        """
        run = Run.read(folder / RUN_FILE)
        return cls.open(folder, run.seed)

    def stage(self, name: str, depends_on: dict[str, Any], work: Callable[[], Iterable[Path]]) -> bool:
        """Do a stage unless it is done already; `work` returns the files that it made. True when it was passed over.

        Files that the stage had made earlier and did not make again are removed.
        """
        key = self._key(name, depends_on)
        done = self._done(name, key)
        began = time.perf_counter()
        if not done:
            self._record(name, work())
        elapsed = round(time.perf_counter() - began, 3)
        previous = next((stage for stage in self.run.stages if stage.name == name), None)
        stage = Stage(name=name, elapsed_s=previous.elapsed_s if done and previous else elapsed, cached=done, key=key)
        self._touched[name] = done
        self._update(stages=_replaced(self.run.stages, stage))
        return done

    def intact(self, name: str) -> set[str]:
        """Paths of the files that a stage made and that are as it left them."""
        return {output.path for output in self.run.outputs if output.stage == name and _intact(self.folder, output)}

    def knows(self, name: str, depends_on: dict[str, Any]) -> bool:
        """Whether a stage was done from the same, although its files may have changed since."""
        key = self._key(name, depends_on)
        return any(stage.name == name and stage.key == key for stage in self.run.stages)

    def note(
        self,
        *,
        picture: PictureRecord | None = None,
        engines: Engines | None = None,
        asked: Asked | None = None,
        casting: Sequence[Casting] | None = None,
        scene_notes: Sequence[str] | None = None,
        warnings: Sequence[str] | None = None,
    ) -> None:
        """Write facts of the run into the manifest."""
        update: dict[str, Any] = {}
        if picture is not None:
            update["picture"] = picture
        if engines is not None:
            update["engines"] = engines
        if asked is not None:
            update["asked"] = asked
        if casting is not None:
            update["casting"] = list(casting)
        if scene_notes is not None:
            update["scene_notes"] = list(scene_notes)
        if warnings is not None:
            update["warnings"] = list(warnings)
        if update:
            self._update(**update)

    def rewrite(self, name: str, path: Path, document: Document) -> None:
        """Write a document that a stage made anew, where that changes nothing that other stages depend on."""
        document.write(path)
        output = _output(self.folder, path, name)
        self._update(outputs=[output if old.path == output.path else old for old in self.run.outputs])

    def edit_scene(self, edit: SceneEdit | None, owners: Mapping[Path, str], asked: Asked | None = None) -> None:
        """Note that the scene was edited by hand (None: no longer), which stages its files belong to from now on, and what the
        run is asked for then. The files of the scene that belong to none are removed.
        """
        ours = {path.relative_to(self.folder).as_posix(): stage for path, stage in owners.items()}
        outputs = [_output(self.folder, path, stage) for path, stage in owners.items()]
        others = [output for output in self.run.outputs if output.path not in ours and output.path not in SCENE_FILES]
        stages = [stage for stage in self.run.stages if stage.name != SCENE_EDIT or stage.name in ours.values()]
        update: dict[str, Any] = {"scene_edit": edit, "outputs": [*others, *outputs], "stages": stages}
        if edit is not None and self.run.engines is not None:
            vision = edit.marked if edit.stands else edit.engine
            update["engines"] = self.run.engines.model_copy(update={"vision": vision})
        self._update(**update, **({"asked": asked} if asked else {}))
        for path in SCENE_FILES - set(ours):
            (self.folder / path).unlink(missing_ok=True)

    @property
    def passed_over(self) -> dict[str, bool]:
        """The stages that this ledger was asked for, in order, and whether each was passed over."""
        return dict(self._touched)

    def mark_untouched(self) -> None:
        """Mark the stages that this ledger was not asked for as cached."""
        stages = [s if s.name in self._touched else s.model_copy(update={"cached": True}) for s in self.run.stages]
        self._update(stages=stages)

    @staticmethod
    def _key(name: str, depends_on: dict[str, Any]) -> str:
        return sha256_json({"stage": name, "photone": photone_version(), **depends_on})

    def _done(self, name: str, key: str) -> bool:
        if not any(stage.name == name and stage.key == key for stage in self.run.stages):
            return False
        return all(_intact(self.folder, output) for output in self.run.outputs if output.stage == name)

    def _record(self, name: str, files: Iterable[Path]) -> None:
        outputs = [_output(self.folder, path, name) for path in sorted(files)]
        made = {output.path for output in outputs}
        for old in self.run.outputs:
            if old.stage == name and old.path not in made:
                (self.folder / old.path).unlink(missing_ok=True)
        others = [output for output in self.run.outputs if output.stage != name and output.path not in made]
        self.run = self.run.model_copy(update={"outputs": [*others, *outputs]})

    def _update(self, **update: Any) -> None:
        self.run = self.run.model_copy(update=update)
        self.run.write(self.folder / RUN_FILE)


class UndoneError(Exception):
    """A stage, named by the text, is still to be done."""


class Examination(Ledger):
    """A ledger that does nothing and writes nothing: the first stage that is still to be done ends it."""

    def __init__(self, folder: Path) -> None:
        path = folder / RUN_FILE
        if not path.is_file():
            raise UndoneError("picture")
        super().__init__(folder, Run.read(path))

    def stage(self, name: str, depends_on: dict[str, Any], work: Callable[[], Iterable[Path]]) -> bool:
        """True: the stage is done.

        Raises:
            UndoneError: it is not.
        """
        if not self._done(name, self._key(name, depends_on)):
            raise UndoneError(name)
        self._touched[name] = True
        return True

    def rewrite(self, name: str, path: Path, document: Document) -> None:
        """Raises UndoneError: something is to be written."""
        raise UndoneError(name)

    def edit_scene(self, edit: SceneEdit | None, owners: Mapping[Path, str], asked: Asked | None = None) -> None:
        """Raises UndoneError: the scene is another."""
        raise UndoneError("scene")

    def require(self, name: str) -> None:
        """Hold a stage to be done when its files are as it left them, whatever it was made of.

        Raises:
            UndoneError: they are not, or it never was done.
        """
        files = [output for output in self.run.outputs if output.stage == name]
        if len(self.intact(name)) < max(1, len(files)):
            raise UndoneError(name)


def _replaced(stages: Sequence[Stage], stage: Stage) -> list[Stage]:
    names = [old.name for old in stages]
    if stage.name in names:
        return [stage if old.name == stage.name else old for old in stages]
    return [*stages, stage]


def _output(folder: Path, path: Path, stage: str) -> Output:
    relative = path.relative_to(folder).as_posix()
    return Output(path=relative, sha256=sha256_file(path), bytes=path.stat().st_size, stage=stage)


def _intact(folder: Path, output: Output) -> bool:
    path = folder / output.path
    return path.is_file() and path.stat().st_size == output.bytes and sha256_file(path) == output.sha256


def files_under(folder: Path) -> list[Path]:
    """Every file below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
