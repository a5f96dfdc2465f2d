"""What the gallery may ask for, as parameters of the deployments: uploads kept, names chosen, edits checked."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.errors import PhotoneError, UsageError
from core.manifest import sha256_file, to_json
from flows.runs.ledger import RUN_FILE
from flows.service.app.answers import JobAnswer
from flows.service.app.catalogue import Catalogue, Documents, read_documents
from flows.service.app.folders import UPLOADS
from flows.service.app.jobs import Jobs
from flows.service.app.uploads import Form, keep_picture, keep_scene, keep_score, printable, safe_stem
from schemas.scene import Scene

MAKE_TEXTS = ("score", "look", "seed", "compact", "preview_s", "name")
SONG_TEXTS = ("score", "look", "preview_s")
_NO_PREFECT = "this player only shows: it knows no Prefect server; start photone with `photone up`"
_READ_ONLY = "this player only shows: it may not write to the runs folder"
_UNASKED = "an earlier version of photone made it: run `photone make` on it again, which makes nothing new"


class ConflictError(UsageError):
    """What was asked for does not go together with what is there."""


class ForbiddenError(UsageError):
    """This player may not do that."""


class UnknownError(UsageError):
    """There is no such run, effect or job."""


@dataclass(frozen=True)
class Maker:
    """Starts jobs for a runs folder; `jobs` None where no Prefect is known."""

    catalogue: Catalogue
    jobs: Jobs | None

    @property
    def runs(self) -> Path:
        return self.catalogue.runs

    @property
    def why_not(self) -> str | None:
        """Why nothing can be made here, None where it can."""
        if self.jobs is None:
            return _NO_PREFECT
        return None if may_write(self.runs) else _READ_ONLY

    def check(self) -> Jobs:
        """The jobs, where something can be made.

        Raises:
            ForbiddenError: nothing can be made here.
        """
        if self.jobs is None or not may_write(self.runs):
            raise ForbiddenError(self.why_not or _READ_ONLY)
        return self.jobs

    def not_editable(self, documents: Documents | None) -> str | None:
        """Why a run cannot be changed, None where it can."""
        if documents is None or documents.scene is None or documents.effects is None:
            return "its scene or its effects are missing or damaged: run `photone make` on it again"
        return self.why_not or (_UNASKED if documents.run.asked is None else None)

    def make(self, form: Form) -> JobAnswer:
        """A picture becomes a song.

        Raises:
            PhotoneError: a field or a file cannot be used, or Prefect does not answer.
        """
        jobs, picture = self.check(), form.files.get("picture")
        if picture is None:
            raise UsageError("picture: send a picture")
        options = {"seed": _number(form, "seed", int), "compact": _yes(form, "compact"), **_preview(form)}
        look = _look(form)
        path = keep_picture(self.runs, picture)
        score, score_file = self._score(form, None)
        name = _score_stem(score, score_file)
        wanted = safe_stem(form.texts.get("name", ""), "") or f"{path.stem}-{name}"
        asked = _Wanted(picture.sha256, options["seed"], options["compact"])
        out = _free_folder(self.runs, wanted, asked)
        parameters = {"picture": str(path), "score": score, "score_file": score_file, "look": look, "out": str(out)}
        try:
            return jobs.start("picture-to-song", {**parameters, "options": options}, f"{path.stem} -> {name}")
        except PhotoneError:
            with suppress(OSError):  # where it was made for this job: it holds nothing yet
                out.rmdir()
            raise

    def swap(self, folder: Path, form: Form) -> JobAnswer:
        """The band of a run plays another score.

        Raises:
            PhotoneError: a field or a file cannot be used, or Prefect does not answer.
        """
        jobs = self.check()
        if "score" not in form.texts and "midi" not in form.files:
            raise UsageError("score: name a bundled score, or send a MIDI file as midi")
        options, look = _preview(form), _look(form)
        score, score_file = self._score(form, folder)
        parameters = {"run": str(folder), "score": score, "score_file": score_file, "look": look, "options": options}
        return jobs.start("swap-score", parameters, f"{folder.name} -> {_score_stem(score, score_file)}")

    def edit(self, folder: Path, scene: Scene, base_sha256: str) -> JobAnswer:
        """The scene of a run is changed, and what depends on it made again.

        Raises:
            ConflictError: the scene is another meanwhile, or the same. PhotoneError: as above.
        """
        jobs = self._editing(folder)
        now = sha256_file(folder / "scene.json")
        if now != base_sha256:
            raise ConflictError("the scene has changed meanwhile: load the run again")
        path = keep_scene(self.runs, to_json(scene.to_value()))
        if sha256_file(path) == now:
            raise ConflictError("the scene is the same as it is: change something")
        parameters = {"run": str(folder), "scene_file": str(path), "base_sha256": base_sha256}
        return jobs.start("edit-scene", parameters, f"{folder.name}: edited")

    def revert(self, folder: Path) -> JobAnswer:
        """The scene of a run becomes again what the vision engine had made of it.

        Raises:
            ConflictError: it was not edited. PhotoneError: as above.
        """
        jobs = self._editing(folder)
        documents = read_documents(folder)
        edit = documents.run.scene_edit if documents else None
        if edit is None or not edit.stands:
            raise ConflictError("the scene was not edited")
        return jobs.start("edit-scene", {"run": str(folder), "scene_file": ""}, f"{folder.name}: as it was seen")

    def again(self, folder: Path, number: int, seed: int | None) -> JobAnswer:
        """One effect again, and what depends on it.

        Raises:
            UnknownError: there is no such effect. PhotoneError: as above.
        """
        jobs = self._editing(folder)
        documents = read_documents(folder)
        if documents is None or documents.effect(number) is None:
            raise UnknownError(f"this run has no effect {number}")
        chosen = secrets.randbelow(2**31) if seed is None else seed
        parameters = {"run": str(folder), "number": number, "seed": chosen}
        return jobs.start("effect-again", parameters, f"{folder.name}: effect {number} again")

    def _editing(self, folder: Path) -> Jobs:
        jobs = self.check()
        reason = self.not_editable(read_documents(folder))
        if reason:
            raise ConflictError(reason)
        return jobs

    def _score(self, form: Form, folder: Path | None) -> tuple[str, str]:
        """The two fields of the deployment's form: a bundled name, or the own file."""
        from flows.deployed.forms import OWN_SCORE
        from phase2_music.scores import bundled_scores

        file = form.files.get("midi")
        name = form.texts.get("score", "")
        if file is not None and name:
            raise UsageError("score: name a bundled score or send a MIDI file, not both")
        if file is not None:
            return OWN_SCORE, str(keep_score(self.runs, file, lambda stem, sha: _is_taken(stem, sha, folder)))
        if (name or "canon") not in bundled_scores():
            known = ", ".join(bundled_scores())
            raise UsageError(f"score: {printable(name)!r} is no bundled score: choose from {known}")
        return name or "canon", ""


def may_write(runs: Path) -> bool:
    """Whether uploads can be kept in a runs folder."""
    folder = runs / UPLOADS
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK) and not os.statvfs(folder).f_flag & os.ST_RDONLY


def _score_stem(score: str, score_file: str) -> str:
    return Path(score_file).stem if score_file else score


def _is_taken(stem: str, sha256: str, folder: Path | None) -> bool:
    """Whether a song of that name is of another score: a swap must not take its place."""
    from phase2_music.scores import bundled_scores

    if stem.lower() in bundled_scores():
        return True
    documents = read_documents(folder) if folder else None
    songs = dict(documents.songs) if documents else {}
    there = [songs[name] for name in (stem, f"{stem}-preview") if name in songs]
    return any(song.score.sha256 != sha256 for song in there)


@dataclass(frozen=True)
class _Wanted:
    """What tells one run of a picture from another."""

    picture_sha256: str
    seed: int
    compact: bool


def _free_folder(runs: Path, name: str, wanted: _Wanted) -> Path:
    """A folder for a run: the one that it has already, or a new one; another run's is never taken.

    It is made here, so that two who ask at the same time do not get the same one.
    """
    number = 1
    while True:
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if folder.name != UPLOADS and _is_of(folder, wanted):
                return folder
        number += 1


def _is_of(folder: Path, wanted: _Wanted) -> bool:
    documents = read_documents(folder) if (folder / RUN_FILE).is_file() else None
    if documents is None or documents.run.picture is None:
        return False
    run = documents.run
    compact = run.asked.compact if run.asked else None
    return (documents.run.picture.sha256, run.seed, compact) == (wanted.picture_sha256, wanted.seed, wanted.compact)


def _number(form: Form, name: str, kind: type[int] | type[float]) -> Any:
    text = form.texts.get(name, "").strip() or "0"
    limits = {"seed": (0, 2**53), "preview_s": (0, 36000)}
    low, high = limits[name]
    try:
        value = TypeAdapter(kind).validate_python(text)
        if not low <= value <= high:
            raise ValueError
    except (ValidationError, ValueError) as error:
        raise UsageError(f"{name}: {printable(text)!r}: expected a number from {low} to {high}") from error
    return value


def _preview(form: Form) -> dict[str, Any]:
    return {"preview_s": _number(form, "preview_s", float)}


def _yes(form: Form, name: str) -> bool:
    text = form.texts.get(name, "").strip().lower() or "false"
    known: Mapping[str, bool] = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
    if text not in known:
        raise UsageError(f"{name}: {printable(text)!r}: expected true or false")
    return known[text]


def _look(form: Form) -> str:
    from flows.deployed.forms import LOOKS

    name = form.texts.get("look", "") or "natural"
    if name not in LOOKS:
        raise UsageError(f"look: {printable(name)!r}: choose from {', '.join(LOOKS)}")
    return name
