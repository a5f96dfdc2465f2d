"""A scene written by hand stands in for an analysis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import SceneError, UsageError
from core.manifest import sha256_file
from phase1_sound.vision import VISION_ENGINES
from phase1_sound.vision.protocol import VisionRequest

VARIANT = {
    "play_method": "struck with a stick",
    "timbre": ["bright"],
    "mapping_to_music_instrument": "drums",
    "confidence": 0.9,
}
SCENE = {
    "scene_description": "A gate.",
    "mood_description": "Calm.",
    "sound_sources": [{"name": "gate", "material": "iron", "variants": [VARIANT] * 5}],
}
ANY_PICTURE = VisionRequest(Path("never-opened.jpg"))


def written(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_returns_the_files_scene_and_never_opens_the_picture(tmp_path: Path) -> None:
    path = written(tmp_path / "scene.json", SCENE)
    engine = VISION_ENGINES.load(f"sidecar:{path}")
    scene = engine.describe(ANY_PICTURE)
    assert scene.scene_description == "A gate."
    assert [variant.confidence for _, variant in scene.variants] == [0.9] * 5
    assert engine.info.name == "sidecar"
    assert engine.info.options == {"sha256": sha256_file(path)}


def test_reads_the_student_projects_files(tmp_path: Path) -> None:
    old = {key: value for key, value in VARIANT.items() if key != "confidence"}
    old["mapping_to_music_instrument"] = "None"
    source = {"name": "gate", "material": "iron", "variants": [old] * 5}
    path = written(tmp_path / "old.json", {**SCENE, "sound_sources": [source]})
    scene = VISION_ENGINES.load(f"sidecar:{path}").describe(ANY_PICTURE)
    assert {variant.mapping_to_music_instrument for _, variant in scene.variants} == {None}


def test_a_path_may_hold_colons(tmp_path: Path) -> None:
    path = written(tmp_path / "scene:2.json", SCENE)
    assert VISION_ENGINES.load(f"sidecar:{path}").describe(ANY_PICTURE).mood_description == "Calm."


def test_bad_files_fail_before_the_picture_is_analysed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs the path of a scene\.json"):
        VISION_ENGINES.load("sidecar")
    with pytest.raises(SceneError, match=r"gone\.json: no such file"):
        VISION_ENGINES.load(f"sidecar:{tmp_path / 'gone.json'}")
    few = {**SCENE, "sound_sources": [{"name": "gate", "material": "iron", "variants": [VARIANT] * 4}]}
    with pytest.raises(SceneError, match="4 variants in all: at least 5"):
        VISION_ENGINES.load(f"sidecar:{written(tmp_path / 'few.json', few)}")
