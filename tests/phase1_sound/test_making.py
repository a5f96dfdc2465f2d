"""From a scene to files: which variants, what shape they are in, what is done when an engine fails to please."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from core.audio import Audio, read_audio
from core.engines import EngineInfo
from core.errors import OutputError
from core.loudness import loudness_lufs, true_peak_dbtp
from core.manifest import sha256_file
from phase1_sound.effects.engines.foley.engine import Foley
from phase1_sound.effects.making import kept_variants, make_effects, openness_of, slug
from phase1_sound.effects.protocol import EffectRequest, EffectResult
from schemas.effect import Effects
from schemas.scene import Scene

SHA = "0" * 64
METHODS = [
    "tapped with a spoon",
    "scraped",
    "dripping",
    "knocked",
    "wind blowing",
    "plucked",
    "rustling",
    "rain falling",
]


def scene_of(confidences: Sequence[float] = (0.8,) * 5, description: str = "A kitchen.", **source: Any) -> Scene:
    variants = [
        {
            "play_method": METHODS[i % 8],
            "timbre": ["bright"],
            "mapping_to_music_instrument": None,
            "confidence": c,
        }
        for i, c in enumerate(confidences)
    ]
    return Scene.from_value(
        {
            "scene_description": description,
            "mood_description": "calm",
            "sound_sources": [{"name": "Old Café cup", "material": "wood", "variants": variants, **source}],
        },
        "test",
    )


class Fake:
    """An engine that gives what a function of (request, call number) gives."""

    info = EngineInfo(name="fake", version="1", options={"steps": 3})

    def __init__(self, sound: Callable[[EffectRequest, int], Audio]) -> None:
        self.sound = sound
        self.requests: list[EffectRequest] = []

    def make(self, requests: Sequence[EffectRequest]) -> Iterator[EffectResult]:
        for request in requests:
            self.requests.append(request)
            yield EffectResult(self.sound(request, len(self.requests)), {})


def tone(rate: int = 44100, lead_s: float = 0.0, dc: float = 0.0, level: float = 0.2) -> Audio:
    t = np.arange(rate) / rate
    sound = np.concatenate([np.zeros(round(lead_s * rate)), level * np.sin(2 * np.pi * 440 * t)])
    return Audio(sound + dc, rate)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Effects]:
    out = tmp_path_factory.mktemp("effects")
    return out, make_effects(scene_of(), SHA, Foley(), out, 7)


def test_files_are_loud_safe_and_described(made: tuple[Path, Effects]) -> None:
    out, effects = made
    assert Effects.read(out / "effects.json") == effects
    for effect in effects.effects:
        audio = read_audio(out / effect.file)
        assert loudness_lufs(audio) == pytest.approx(-20, abs=0.1)
        assert true_peak_dbtp(audio) <= -0.99
        assert abs(audio.samples[:, -1]).max() < 1e-4
        assert abs(audio.samples.mean()) < 1e-3
        assert effect.sha256 == sha256_file(out / effect.file)
        assert effect.measures.loudness_lufs == pytest.approx(loudness_lufs(audio), abs=0.05)
        assert effect.verdict == []
        info = soundfile.info(out / effect.file)
        assert (info.subtype, info.samplerate) == ("PCM_24", 44100)


def test_names(made: tuple[Path, Effects]) -> None:
    files = [effect.file for effect in made[1].effects]
    assert files[0] == "01_old-caf-cup_tapped-with-a-spoon.wav"
    assert [file[:3] for file in files] == ["01_", "02_", "03_", "04_", "05_"]


def test_slug_is_short_and_plain() -> None:
    assert slug("Wind blowing through the very tall grass") == "wind-blowing-through-the"
    assert slug("x" * 100) == "x" * 24
    assert slug("уличный шум") == "sound"


def test_same_seed_same_bytes_other_seed_other_sounds(made: tuple[Path, Effects], tmp_path: Path) -> None:
    again = make_effects(scene_of(), SHA, Foley(), tmp_path / "a", 7)
    other = make_effects(scene_of(), SHA, Foley(), tmp_path / "b", 8)
    assert [e.sha256 for e in again.effects] == [e.sha256 for e in made[1].effects]
    assert (tmp_path / "a/effects.json").read_bytes() == (made[0] / "effects.json").read_bytes()
    assert not {e.sha256 for e in other.effects} & {e.sha256 for e in again.effects}


@pytest.mark.parametrize(
    ("confidences", "kept"),
    [
        ((0.9, 0.6, 0.7, 0.8, 0.9, 0.75), [0, 2, 3, 4, 5]),
        ((0.9, 0.1, 0.3, 0.2, 0.9, 0.5, 0.4), list(range(7))),
        ((0.8,) * 8, list(range(8))),
        ((0.1,) * 6, list(range(6))),
    ],
)
def test_confidence_rule(confidences: tuple[float, ...], kept: list[int]) -> None:
    assert [v.play_method for _, v in kept_variants(scene_of(confidences))] == [METHODS[i] for i in kept]


def test_dull_engine_output_is_brought_into_shape(tmp_path: Path) -> None:
    effects = make_effects(scene_of(), SHA, Fake(lambda r, n: tone(16000, lead_s=0.5, dc=0.05)), tmp_path, 1)
    audio = read_audio(tmp_path / effects.effects[0].file)
    assert audio.sample_rate == 44100
    assert audio.duration_s == pytest.approx(1.0, abs=0.05)
    assert abs(audio.samples.mean()) < 0.005
    assert effects.engine.options == {"steps": 3}


def test_a_failed_effect_is_made_again_with_another_seed(tmp_path: Path) -> None:
    engine = Fake(lambda request, call: tone(level=0.0 if call == 2 else 0.2))
    effects = make_effects(scene_of(), SHA, engine, tmp_path, 1)
    assert len(engine.requests) == 6
    assert [e.verdict for e in effects.effects] == [[]] * 5
    assert len({e.seed for e in effects.effects}) == 5
    retried = engine.requests[2]
    assert retried.play_method == effects.effects[1].play_method
    assert effects.effects[1].seed == retried.seed != engine.requests[1].seed


def test_hopeless_effect_is_kept_with_its_verdict(tmp_path: Path) -> None:
    engine = Fake(lambda request, call: tone(level=0.0))
    effects = make_effects(scene_of(), SHA, engine, tmp_path, 1)
    assert len(engine.requests) == 20
    assert all(e.verdict == ["silent"] for e in effects.effects)
    assert all((tmp_path / e.file).is_file() for e in effects.effects)


def test_stale_files_go_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "09_old_thing.wav").write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("mine")
    effects = make_effects(scene_of(), SHA, Fake(lambda r, n: tone()), tmp_path, 1)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {e.file for e in effects.effects} | {"effects.json", "notes.txt"}


def test_pan_follows_the_picture(tmp_path: Path) -> None:
    engine = Fake(lambda r, n: tone())
    right = make_effects(scene_of(box=[0.8, 0.1, 1.0, 0.5]), SHA, engine, tmp_path, 1)
    assert right.effects[0].pan == pytest.approx(0.8)
    assert make_effects(scene_of(), SHA, engine, tmp_path, 1).effects[0].pan == 0.0


def test_openness_by_the_words_of_the_scene() -> None:
    kitchen, street, field, thing = (
        openness_of(scene_of(description=text))
        for text in ("A small kitchen.", "A street with cars.", "An open field under the sky.", "A thing.")
    )
    assert kitchen < street == thing < field
    assert kitchen < openness_of(scene_of(description="A room with a view of the sea.")) < field


def test_progress_and_seeds_are_stable(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    engine = Fake(lambda r, n: tone())
    make_effects(scene_of(), SHA, engine, tmp_path, 1, lambda done, of: seen.append((done, of)))
    assert seen == [(n, 5) for n in range(1, 6)]
    more = Fake(lambda r, n: tone())
    make_effects(scene_of((0.8,) * 6), SHA, more, tmp_path, 1)
    assert [r.seed for r in more.requests[:5]] == [r.seed for r in engine.requests]


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        make_effects(scene_of(), SHA, Fake(lambda r, n: tone()), tmp_path / "file", 1)


def test_ten_effects_are_quick(tmp_path: Path) -> None:
    start = time.process_time()
    make_effects(scene_of((0.8,) * 10), SHA, Foley(), tmp_path, 1)
    assert time.process_time() - start < 6
