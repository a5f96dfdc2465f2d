"""A scene that was edited by hand: where it lies, how long it stands, and how the run says so.

scene.json is then the edited scene, scene-original.json what the vision engine had made of the picture. Both are files of
the run as all others are; a scene.json that is changed behind the run's back is told, not made into something else.
"""

from __future__ import annotations

from pathlib import Path

from core.engines import EngineInfo
from core.errors import DocumentError
from core.manifest import sha256_file, write_bytes
from flows.runs.ledger import SCENE_EDIT, Ledger
from schemas.run import SceneEdit

SCENE = "scene.json"
ORIGINAL = "scene-original.json"
ASIDE = "scene-edited.json"


def standing(ledger: Ledger, engine: EngineInfo) -> SceneEdit | None:
    """The run's edit, if it was made of what this engine sees in the present picture."""
    edit, picture = ledger.run.scene_edit, ledger.folder / "picture.jpg"
    if (
        edit is None
        or not edit.stands
        or edit.engine.name != engine.name
        or dict(edit.engine.options) != dict(engine.options)
    ):
        return None
    return edit if picture.is_file() and sha256_file(picture) == edit.picture_sha256 else None


def edit_stage(ledger: Ledger, edit: SceneEdit) -> None:
    """Hold scene.json to be the edited scene.

    Raises:
        DocumentError: it is gone or another.
    """
    path = ledger.folder / SCENE

    def work() -> list[Path]:
        if not path.is_file() or sha256_file(path) != edit.sha256:
            raise DocumentError(
                f"{path}: was edited with `photone edit` and is gone or changed since: take it as it is with "
                f"`photone edit {ledger.folder} --scene {path}`, or go back with `photone edit {ledger.folder} --revert`"
            )
        return [path]

    ledger.stage(SCENE_EDIT, {"sha256": edit.sha256}, work)


def kept_aside(ledger: Ledger) -> list[str]:
    """Before another picture's or engine's scene takes its place, an edited scene is put aside; gives a note that says so."""
    path, edit = ledger.folder / SCENE, ledger.run.scene_edit
    if edit is None or not edit.stands or not path.is_file():
        return []
    write_bytes(ledger.folder / ASIDE, path.read_bytes())
    return [f"the scene had been edited by hand for another picture or engine: {ASIDE} keeps it"]
