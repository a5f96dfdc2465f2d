"""Golden sets: pictures with the scenes that a careful listener wrote for them.

The built-in one takes its pictures out of installed packages by name, or draws them; none is kept in this project. A
user's own is a folder: pictures, and beside each a scene of the same name (holiday.jpg, holiday.json).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from core.errors import UsageError
from flows.batch import list_pictures
from flows.evaluation.drawings import draw
from flows.evaluation.similarity import load_words
from schemas.document import Part
from schemas.scene import Scene, read_scene

PROTOCOL_PICTURES = 22
"""So many pictures has the golden set of the student project's protocol."""

_PACKAGES = {
    "sklearn": ("scikit-learn", "datasets/images"),
    "skimage": ("scikit-image", "data"),
    "matplotlib": ("matplotlib", "mpl-data/sample_data"),
}


@dataclass(frozen=True)
class Golden:
    """One picture and its golden scene. `never` are topics that are not in it, `drawing` is drawn, else `file` is read."""

    name: str
    scene: Scene
    file: Path | None = None
    drawing: str = ""
    never: tuple[str, ...] = ()

    def picture(self, folder: Path) -> Path:
        """The picture's file; a drawing is drawn into `folder`."""
        if self.file is not None:
            return self.file
        path = folder / f"{self.name}.png"
        Image.fromarray(draw(self.drawing)).save(path)
        return path


class _Entry(Part):
    picture: str
    never: tuple[str, ...] = ()


@cache
def _entries() -> dict[str, _Entry]:
    text = resources.files("flows.evaluation").joinpath("golden", "pictures.toml").read_text(encoding="utf-8")
    entries = {name: _Entry.model_validate(value) for name, value in tomllib.loads(text).items()}
    unknown = {topic for entry in entries.values() for topic in entry.never} - set(load_words().topics)
    if unknown:
        raise AssertionError(f"pictures.toml: topics that words.toml does not have: {', '.join(sorted(unknown))}")
    return entries


def built_in(names: tuple[str, ...] = ()) -> tuple[list[Golden], dict[str, str]]:
    """The built-in golden set (or some of it), and the reason for each picture that is not at hand.

    Raises:
        UsageError: there is no golden picture of a name.
    """
    found, missing = [], {}
    for name in names or _entries():
        if name not in _entries():
            raise UsageError(f"no golden picture {name!r}: choose from {', '.join(_entries())}")
        entry = _entries()[name]
        source, _, rest = entry.picture.partition(":")
        scene = read_scene(Path(str(resources.files("flows.evaluation").joinpath("golden", f"{name}.json"))))
        if source == "drawn":
            found.append(Golden(name, scene, drawing=rest, never=entry.never))
        elif (path := _in_package(source, rest)) is not None:
            found.append(Golden(name, scene, file=path, never=entry.never))
        else:
            missing[name] = (
                f"{_PACKAGES[source][0]} is not installed or has no {rest}: pip install {_PACKAGES[source][0]}"
            )
    return found, missing


def _in_package(package: str, name: str) -> Path | None:
    """A file that comes with a package, found without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / _PACKAGES[package][1] / name
    return path if path.is_file() else None


def from_folder(folder: Path) -> list[Golden]:
    """A user's golden set, in the order of the names.

    Raises:
        PictureError: there is no such folder, or no picture in it.
        UsageError: a picture has no scene.
        SceneError: a scene cannot be read.
    """
    return [Golden(path.name, _scene_beside(path), file=path) for path in list_pictures(folder)]


def _scene_beside(picture: Path) -> Scene:
    path = picture.with_suffix(".json")
    if not path.is_file():
        raise UsageError(f"{picture}: has no golden scene: write {path.name} beside it, or take the picture away")
    return read_scene(path)
