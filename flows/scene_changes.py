"""Changes to a scene as `photone edit` is asked for them; the gallery sends whole scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import UsageError
from schemas.scene import STUDENT_CONFIDENCE, Scene

NO_ROLE = "none"


@dataclass(frozen=True)
class SceneChange:
    """What is changed. `source` and `variant` count from 1 as the scene has them; None leaves a thing as it is.

    `add` is the play method of a new variant, `role` one of the four or "none"; `delete` takes away the variant, or the whole
    source where none is named.
    """

    source: int | None = None
    variant: int | None = None
    name: str | None = None
    material: str | None = None
    method: str | None = None
    timbre: str | None = None
    role: str | None = None
    confidence: float | None = None
    add: str | None = None
    delete: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing is to be changed."""
        return self == SceneChange()


def changed_scene(scene: Scene, change: SceneChange) -> Scene:
    """The scene with a change.

    Raises:
        UsageError: there is no such source or variant, or the change does not say what of. SceneError: what comes out breaks
            the rules of scenes.
    """
    value = scene.to_value()
    sources = value["sound_sources"]
    if change.source is None:
        raise UsageError(f"--source: name the source to change by its number, 1 to {len(sources)}")
    source = _one(sources, change.source, "source", lambda each: str(each["name"]))
    _check(change)
    if change.delete:
        _delete(sources, source, change)
    else:
        _set(source, {"name": change.name, "material": change.material})
        _change_variants(source, change)
    return Scene.from_value(value, "the edited scene")


def _check(change: SceneChange) -> None:
    of_variant = (change.method, change.timbre, change.role, change.confidence)
    others = (change.name, change.material, *of_variant, change.add)
    if change.delete and any(each is not None for each in others):
        raise UsageError("--delete: takes nothing but --source and --variant beside it")
    if change.add is not None and (change.variant is not None or change.method is not None):
        raise UsageError(
            "--add: is a new variant and takes --timbre, --role and --confidence, not --variant or --method"
        )
    if any(each is not None for each in of_variant) and change.variant is None and change.add is None:
        raise UsageError("--variant: name the variant to change by its number, or add one with --add")


def _one(rows: list[dict[str, Any]], number: int, what: str, name: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    if not 1 <= number <= len(rows):
        known = ", ".join(f"{each} {name(row)}" for each, row in enumerate(rows, 1))
        raise UsageError(f"--{what} {number}: there is none: choose from {known}")
    return rows[number - 1]


def _variant(source: dict[str, Any], number: int) -> dict[str, Any]:
    return _one(source["variants"], number, "variant", lambda each: str(each["play_method"]))


def _delete(sources: list[dict[str, Any]], source: dict[str, Any], change: SceneChange) -> None:
    if change.variant is not None:
        source["variants"].remove(_variant(source, change.variant))
    if change.variant is None or not source["variants"]:
        sources.remove(source)


def _change_variants(source: dict[str, Any], change: SceneChange) -> None:
    if change.add is not None:
        new: dict[str, Any] = {"timbre": [], "mapping_to_music_instrument": None, "confidence": STUDENT_CONFIDENCE}
        variant = {"play_method": change.add, **new}
        source["variants"].append(variant)
    elif change.variant is not None:
        variant = _variant(source, change.variant)
    else:
        return
    words = None if change.timbre is None else [word.strip() for word in change.timbre.split(",") if word.strip()]
    _set(variant, {"play_method": change.method, "timbre": words, "confidence": change.confidence})
    if change.role is not None:
        variant["mapping_to_music_instrument"] = None if change.role == NO_ROLE else change.role


def _set(value: dict[str, Any], new: dict[str, Any]) -> None:
    value.update({key: each for key, each in new.items() if each is not None})
