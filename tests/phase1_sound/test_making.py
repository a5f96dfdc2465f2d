"""From a scene to files: which variants, what shape they are in, what is done when an engine fails to please."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from core.audio import Audio, read_audio
from core.engines import EngineInfo
from core.errors import DocumentError, OutputError, UsageError
from core.loudness import loudness_lufs, true_peak_dbtp
from core.manifest import sha256_file
from phase1_sound.effects.engines.foley.engine import Foley
from phase1_sound.effects.making import (
    MakingOptions,
    Previous,
    kept_variants,
    make_effects,
    openness_of,
    remake_effects,
    slug,
)
from phase1_sound.effects.protocol import EffectRequest, EffectResult
from phase1_sound.prompts import PromptOptions
from schemas.effect import Effects, Tokens
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
        self.batches: list[int] = []

    def make(self, requests: Sequence[EffectRequest]) -> Iterator[EffectResult]:
        self.batches.append(len(requests))
        for request in requests:
            self.requests.append(request)
            yield EffectResult(self.sound(request, len(self.requests)), {})


class Counted(Foley):
    """The foley engine, and what it was asked for."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    def make(self, requests: Sequence[EffectRequest]) -> Iterator[EffectResult]:
        self.methods += [request.play_method for request in requests]
        return super().make(requests)


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
    assert [e.attempts for e in effects.effects] == [1, 2, 1, 1, 1]
    assert [e.verdict for e in effects.effects] == [[]] * 5
    assert len({e.seed for e in effects.effects}) == 5
    retried = engine.requests[5]
    assert retried.play_method == effects.effects[1].play_method
    assert effects.effects[1].seed == retried.seed != engine.requests[1].seed


def test_what_failed_is_made_again_together(tmp_path: Path) -> None:
    """A slow engine is asked once for each round, not once for each effect."""
    engine = Fake(lambda request, call: tone(level=0.2 if call > 9 else 1e-4 * call))
    effects = make_effects(scene_of(), SHA, engine, tmp_path, 1)
    assert engine.batches == [5, 5, 4]
    assert [e.attempts for e in effects.effects] == [3, 3, 3, 3, 2]
    assert [e.number for e in effects.effects] == [1, 2, 3, 4, 5]


def test_hopeless_effect_is_kept_with_its_verdict(tmp_path: Path) -> None:
    engine = Fake(lambda request, call: tone(level=1e-6 * call))
    effects = make_effects(scene_of(), SHA, engine, tmp_path, 1)
    assert engine.batches == [5, 5, 5, 5]
    assert all(e.attempts == 4 for e in effects.effects)
    assert all(e.verdict == ["silent"] for e in effects.effects)
    assert all((tmp_path / e.file).is_file() for e in effects.effects)


def test_an_engine_that_gives_the_same_again_is_not_asked_a_third_time(tmp_path: Path) -> None:
    engine = Fake(lambda request, call: tone(level=0.0))
    effects = make_effects(scene_of(), SHA, engine, tmp_path, 1)
    assert engine.batches == [5, 5]
    assert all(e.verdict == ["silent"] and e.attempts == 1 for e in effects.effects)


def test_what_still_fails_is_replaced_where_the_user_chose_so(tmp_path: Path) -> None:
    engine = Fake(lambda request, call: tone(level=0.0 if request.play_method == "scraped" else 0.2))
    effects = make_effects(scene_of(), SHA, engine, tmp_path, 1, options=MakingOptions(replacement=Foley()))
    assert [e.engine.name if e.engine else None for e in effects.effects] == [None, "foley", None, None, None]
    assert [e.verdict for e in effects.effects] == [[]] * 5
    assert effects.notes == ["effect 2: silent after 1 attempts by fake: made by foley instead"]
    assert effects.engine.name == "fake"


def test_one_effect_again_leaves_the_others_alone(made: tuple[Path, Effects], tmp_path: Path) -> None:
    out = shutil.copytree(made[0], tmp_path / "effects")
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    again = remake_effects(scene_of(), SHA, Foley(), out, 8, [3])
    after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    changed = again.effects[2]
    assert {name for name in after if after[name] != before.get(name)} == {changed.file, "effects.json"}
    assert again == Effects.read(out / "effects.json")
    old = made[1].effects
    assert [e for e in again.effects if e.number != 3] == [e for e in old if e.number != 3]
    assert (changed.own_seed, changed.engine, changed.verdict) == (8, None, [])
    # It is the third effect of that seed, and the old seed brings the old one back.
    assert changed.sha256 == make_effects(scene_of(), SHA, Foley(), tmp_path / "b", 8).effects[2].sha256
    assert remake_effects(scene_of(), SHA, Foley(), out, 7, [3]) == made[1]
    assert (out / "effects.json").read_bytes() == before["effects.json"][0]


def test_one_effect_by_another_engine(made: tuple[Path, Effects], tmp_path: Path) -> None:
    out = shutil.copytree(made[0], tmp_path / "effects")
    again = remake_effects(scene_of(), SHA, Fake(lambda r, n: tone()), out, 7, [2, 5])
    assert [e.engine.name if e.engine else None for e in again.effects] == [None, "fake", None, None, "fake"]
    assert again.engine.name == "foley"


def test_one_effect_again_of_what_is_not_there(made: tuple[Path, Effects], tmp_path: Path) -> None:
    out = shutil.copytree(made[0], tmp_path / "effects")
    with pytest.raises(UsageError, match=r"effects\.json: has no effect 6: effects are 1 to 5"):
        remake_effects(scene_of(), SHA, Foley(), out, 8, [3, 6])
    with pytest.raises(UsageError, match="was made of another scene"):
        remake_effects(scene_of(), "1" * 64, Foley(), out, 8, [3])
    with pytest.raises(DocumentError, match=r"nowhere/effects\.json"):
        remake_effects(scene_of(), SHA, Foley(), tmp_path / "nowhere", 8, [3])
    assert Effects.read(out / "effects.json") == made[1]


def earlier(document: Effects, seed: int = 7, *, same: bool = True) -> Previous:
    return Previous.of(document, scene_of(), SHA, seed, same=same)


def test_only_what_is_gone_is_made_again(made: tuple[Path, Effects], tmp_path: Path) -> None:
    out = shutil.copytree(made[0], tmp_path / "effects")
    old = remake_effects(scene_of(), SHA, Foley(), out, 8, [3])
    (out / old.effects[1].file).unlink()
    (out / old.effects[2].file).write_bytes(b"damaged")
    engine = Counted()
    assert make_effects(scene_of(), SHA, engine, out, 7, previous=earlier(old)) == old
    assert engine.methods == [METHODS[1], METHODS[2]]
    assert {e.file: sha256_file(out / e.file) for e in old.effects} == {e.file: e.sha256 for e in old.effects}


def test_an_own_seed_outlives_a_new_version(made: tuple[Path, Effects], tmp_path: Path) -> None:
    out = shutil.copytree(made[0], tmp_path / "effects")
    old = remake_effects(scene_of(), SHA, Foley(), out, 8, [3])
    engine = Counted()
    assert make_effects(scene_of(), SHA, engine, out, 7, previous=earlier(old, same=False)) == old
    assert len(engine.methods) == 5


def test_another_seed_undoes_what_was_made_by_itself_and_says_so(made: tuple[Path, Effects], tmp_path: Path) -> None:
    out = shutil.copytree(made[0], tmp_path / "effects")
    old = remake_effects(scene_of(), SHA, Foley(), out, 8, [3])
    new = make_effects(scene_of(), SHA, Foley(), out, 9, previous=earlier(old, 9, same=False))
    assert [e.own_seed for e in new.effects] == [None] * 5
    assert len(new.notes) == 1
    assert "what --only had changed in effect 3" in new.notes[0]
    assert make_effects(scene_of(), SHA, Foley(), out, 9, previous=earlier(made[1], 9, same=False)).notes == []


def test_an_effect_by_another_engine_stays_or_is_asked_for(made: tuple[Path, Effects], tmp_path: Path) -> None:
    out = shutil.copytree(made[0], tmp_path / "effects")
    old = remake_effects(scene_of(), SHA, Fake(lambda r, n: tone()), out, 8, [2])
    engine = Counted()
    assert make_effects(scene_of(), SHA, engine, out, 7, previous=earlier(old, same=False)) == old
    assert METHODS[1] not in engine.methods
    (out / old.effects[1].file).unlink()
    with pytest.raises(UsageError, match=r"02_.*: is gone or changed, and was made by itself with another .* --only 2"):
        make_effects(scene_of(), SHA, engine, out, 7, previous=earlier(old))


def test_an_effect_by_another_prompt_stays(made: tuple[Path, Effects], tmp_path: Path) -> None:
    out = shutil.copytree(made[0], tmp_path / "effects")
    legacy = MakingOptions(PromptOptions(style="legacy"))
    old = remake_effects(scene_of(), SHA, Foley(), out, 8, [2], options=legacy)
    engine = Counted()
    assert make_effects(scene_of(), SHA, engine, out, 7, previous=earlier(old, same=False)) == old
    assert METHODS[1] not in engine.methods


def test_effects_of_another_engine_or_prompt_are_not_taken_for_ones_own(tmp_path: Path) -> None:
    """`photone effects` without --only has changed the whole folder: `photone make` makes what it was asked for."""
    expected = make_effects(scene_of(), SHA, Foley(), tmp_path / "a", 7)
    other = make_effects(scene_of(), SHA, Fake(lambda r, n: tone()), tmp_path / "b", 7)
    assert make_effects(scene_of(), SHA, Foley(), tmp_path / "b", 7, previous=earlier(other)) == expected
    legacy = MakingOptions(PromptOptions(style="legacy"))
    other = make_effects(scene_of(), SHA, Foley(), tmp_path / "c", 7, options=legacy)
    assert make_effects(scene_of(), SHA, Foley(), tmp_path / "c", 7, previous=earlier(other)) == expected


def test_what_is_left_out_and_said_outlives_a_lost_file(tmp_path: Path) -> None:
    class Picky(Fake):
        notes = ("recordings are your own",)

        def declined(self, requests: Sequence[EffectRequest]) -> list[bool]:
            return [request.play_method == "scraped" for request in requests]

    engine = Picky(lambda r, n: tone())
    old = make_effects(scene_of(), SHA, engine, tmp_path, 7)
    assert make_effects(scene_of(), SHA, engine, tmp_path, 7, previous=earlier(old)) == old
    assert engine.batches == [4]
    remade = remake_effects(scene_of(), SHA, Foley(), tmp_path, 7, [2])
    assert remade.left_out == []
    assert remade.notes == old.notes
    with pytest.raises(UsageError, match="fake: makes none of the 1 effects"):
        remake_effects(scene_of(), SHA, engine, tmp_path, 7, [2])


def test_what_an_engine_leaves_out_is_told_and_keeps_its_number(tmp_path: Path) -> None:
    class Picky(Fake):
        notes = ("recordings are your own",)

        def declined(self, requests: Sequence[EffectRequest]) -> list[bool]:
            return [request.play_method == "scraped" for request in requests]

    effects = make_effects(scene_of(), SHA, Picky(lambda r, n: tone()), tmp_path, 1)
    assert [e.number for e in effects.effects] == [1, 3, 4, 5]
    assert effects.left_out == ["2: Old Café cup, scraped"]
    assert effects.notes == ["recordings are your own"]


@pytest.mark.parametrize(("limit", "truncated"), [(20, False), (19, True)])
def test_prompts_are_counted_by_an_engine_that_reads_them(limit: int, truncated: bool, tmp_path: Path) -> None:
    class Reader(Fake):
        def tokens(self, text: str) -> list[Tokens]:
            return [Tokens(encoder="words", count=len(text.split()), limit=limit)]

    (first, *_) = make_effects(scene_of(), SHA, Reader(lambda r, n: tone()), tmp_path, 1).effects
    assert first.prompt.tokens == [Tokens(encoder="words", count=20, limit=limit)]
    assert first.prompt.truncated == truncated


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
