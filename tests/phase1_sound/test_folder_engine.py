"""One's own recordings as effects: which file serves which variant, and what is said where none does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.audio import Audio, read_audio, write_audio
from core.errors import AudioError, UsageError
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.effects.engines.folder import Folder, Match, Recording, by_names, words_of
from phase1_sound.effects.making import make_effects
from phase1_sound.effects.protocol import EffectRequest
from schemas.scene import Scene

VARIANTS = (
    ("cup", "tapped with a spoon"),
    ("cup", "scraped on the table"),
    ("rain", "falling on the roof"),
    ("rain", "dripping into a bucket"),
    ("café door", "creaking"),
)


def request(source: str, method: str, seed: int = 0) -> EffectRequest:
    return EffectRequest(source, "wood", method, (), "", "", 4.0, 0.5, seed)


REQUESTS = [request(*variant) for variant in VARIANTS]


def record(folder: Path, *names: str, seconds: float = 0.5) -> Path:
    """Files of noise, each another."""
    folder.mkdir(exist_ok=True)
    for name in names:
        noise = np.random.default_rng(sum(name.encode())).standard_normal(round(seconds * 44100))
        write_audio((folder / name).with_suffix(".wav"), Audio(0.1 * noise, 44100))
    return folder


def found(engine: Folder, requests: Sequence[EffectRequest] = REQUESTS) -> list[str | None]:
    return [match.takes[0].name if match.takes else None for match in engine.matches(requests)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("02_Dripping taps (2)", {"drip", "tap"}),
        ("The sound of a CAFÉ door, creaked", {"caf", "door", "creak"}),
        ("waves", {"wav"}),
        ("wave", {"wav"}),
        ("glass hissing", {"glass", "hiss"}),
        ("bell rolled", {"bell", "roll"}),
        ("風", {"風"}),
        ("12345", set()),
    ],
)
def test_words_of_a_name(name: str, words: set[str]) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize("forms", ["tap taps tapped tapping", "scrape scrapes scraped scraping", "drip dripping"])
def test_forms_of_a_word_are_one(forms: str) -> None:
    assert len({words_of(word) for word in forms.split()}) == 1


def test_files_are_found_by_their_names(tmp_path: Path) -> None:
    folder = record(
        tmp_path, "cup tapping", "Cup_scrape-table 3", "rain on roof", "rain, bucket", "CAFE-door_creaks", "dog barking"
    )
    assert found(Folder(str(folder))) == [
        "cup tapping.wav", "Cup_scrape-table 3.wav", "rain on roof.wav", "rain, bucket.wav", "CAFE-door_creaks.wav",
    ]  # fmt: skip


def test_the_names_that_photone_writes_are_found(tmp_path: Path) -> None:
    folder = record(tmp_path, "01_cup_tapped-with-a-spoon", "02_cup_scraped-on-the-table", "03_rain_falling-on-the-roof",
                    "04_rain_dripping-into-a-bucket", "05_caf-door_creaking")  # fmt: skip
    assert [name[:2] if name else None for name in found(Folder(str(folder)))] == ["01", "02", "03", "04", "05"]


def test_a_recording_of_the_thing_serves_all_its_variants_but_never_another_method(tmp_path: Path) -> None:
    folder = record(tmp_path, "rain", "cup tapped", "door")
    assert found(Folder(f"{folder}?missing=skip")) == ["cup tapped.wav", None, "rain.wav", "rain.wav", "door.wav"]


def test_a_method_alone_says_nothing_of_the_source(tmp_path: Path) -> None:
    assert found(Folder(f"{record(tmp_path, 'tapped with a spoon')}?missing=skip")) == [None] * 5


def test_what_is_missing_is_listed(tmp_path: Path) -> None:
    folder = record(tmp_path, "rain", "cup tapped", "cup spoon")
    with pytest.raises(UsageError) as caught:
        Folder(str(folder)).declined(REQUESTS)
    text = str(caught.value)
    assert "no recording for 3 of 5 effects" in text
    assert "cup: tapped with a spoon (cup spoon.wav or cup tapped.wav?)" in text
    assert "cup: scraped on the table (none found)" in text
    assert "café door: creaking (none found)" in text
    assert text.endswith("or take ?missing=skip")
    assert Folder(f"{folder}?missing=skip").declined(REQUESTS) == [True, True, False, False, True]


def test_a_table_has_the_last_word(tmp_path: Path) -> None:
    folder = record(tmp_path, "x1", "x2", "x3", "cup tapped", "rain")
    (folder / "recordings.toml").write_text(
        '"Cup: tapped with a spoon" = "x1.wav"\n"cup" = ["x2.wav", "x3.wav"]\n"café door: creaking" = "x3.wav"\n'
    )
    engine = Folder(str(folder))
    assert found(engine) == ["x1.wav", "x2.wav", "rain.wav", "rain.wav", "x3.wav"]
    assert [match.how for match in engine.matches(REQUESTS)] == ["table", "table", "name", "name", "table"]
    other = tmp_path.parent / "mine.json"
    other.write_text(json.dumps({"cup: tapped with a spoon": "x2.wav"}))
    assert found(Folder(f"{folder}?map={other}&missing=skip"))[0] == "x2.wav"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"cup" = "none.wav"', r"recordings\.toml: cup: .*none\.wav is no file"),
        ('"cup" = 3', r"recordings\.toml: cup: expected the name of a file"),
        ("cup = [", r"recordings\.toml: cannot be read"),
        ('"cup" = []', r"expected the name of a file"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (record(tmp_path, "x") / "recordings.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        Folder(str(tmp_path))


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a folder of recordings"):
        EFFECTS_ENGINES.load("folder")
    with pytest.raises(UsageError, match="no such folder of recordings"):
        EFFECTS_ENGINES.load(f"folder:{tmp_path / 'none'}")
    with pytest.raises(UsageError, match="holds no recordings"):
        EFFECTS_ENGINES.load(f"folder:{tmp_path}")
    with pytest.raises(UsageError, match="missing=foley"):
        EFFECTS_ENGINES.load(f"folder:{record(tmp_path, 'x')}?missing=foley")
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read"):
        EFFECTS_ENGINES.load(f"folder:{tmp_path}?map={tmp_path}/none.toml")


def test_takes_are_chosen_by_the_seed(tmp_path: Path) -> None:
    engine = Folder(str(record(tmp_path, "rain 1", "rain 2", "rain take 3")))
    takes = [next(engine.make([request("rain", "falling", seed)])).recipe["recording"] for seed in range(6)]
    assert set(takes) == {"rain 1.wav", "rain 2.wav", "rain take 3.wav"}
    assert takes[:3] == takes[3:]


def test_a_recording_is_given_as_it_is_but_not_endless(tmp_path: Path) -> None:
    record(tmp_path, "rain", seconds=1.0)
    (whole,) = Folder(str(tmp_path)).make([request("rain", "falling")])
    assert np.array_equal(whole.audio.samples, read_audio(tmp_path / "rain.wav").samples)
    assert "cut" not in whole.recipe
    (cut,) = Folder(f"{tmp_path}?longest=0.25").make([request("rain", "falling")])
    assert cut.audio.frames == 11025
    assert cut.recipe["cut"] == "the first 0.25 of 1.0 s"


def test_a_changed_recording_is_another_engine(tmp_path: Path) -> None:
    record(tmp_path, "rain")
    before = Folder(str(tmp_path)).info
    assert before == Folder(str(tmp_path)).info
    record(tmp_path, "rain", seconds=0.6)
    assert before != Folder(str(tmp_path)).info
    assert str(tmp_path) not in json.dumps(dict(before.options))


def test_a_file_that_is_no_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "rain.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError, match=r"rain\.wav: not a sound"):
        list(Folder(str(tmp_path)).make([request("rain", "falling")]))


def scene() -> Scene:
    sources: dict[str, list[str]] = {}
    for source, method in VARIANTS:
        sources.setdefault(source, []).append(method)
    value = {
        "scene_description": "A kitchen.",
        "mood_description": "calm",
        "sound_sources": [
            {
                "name": source,
                "material": "wood",
                "variants": [
                    {"play_method": m, "timbre": [], "mapping_to_music_instrument": None, "confidence": 0.8}
                    for m in methods
                ],
            }
            for source, methods in sources.items()
        ],
    }
    return Scene.from_value(value, "test")


def test_a_scene_goes_through_it(tmp_path: Path) -> None:
    folder, out = record(tmp_path / "mine", "rain", "cup tapped", "door"), tmp_path / "out"
    with pytest.raises(UsageError, match=r"no recording for 1 of 5 effects: cup: scraped on the table \(none found\)"):
        make_effects(scene(), "0" * 64, EFFECTS_ENGINES.load(f"folder:{folder}"), out, 1)
    assert not list(out.glob("*.wav"))
    made = make_effects(scene(), "0" * 64, EFFECTS_ENGINES.load(f"folder:{folder}?missing=skip"), out, 1)
    assert [effect.number for effect in made.effects] == [1, 3, 4, 5]
    assert made.left_out == ["2: cup, scraped on the table"]
    assert [effect.recipe["recording"] for effect in made.effects] == [
        "cup tapped.wav",
        "rain.wav",
        "rain.wav",
        "door.wav",
    ]
    with pytest.raises(UsageError, match="makes none of the 5 effects"):
        make_effects(scene(), "0" * 64, Folder(f"{record(tmp_path / 'x', 'dog')}?missing=skip"), out, 1)


NAMES = st.frozensets(st.sampled_from(["cup", "tap", "scrap", "rain", "roof", "spoon", "old", "door"]), min_size=1)


@settings(max_examples=100, deadline=None)
@given(names=st.lists(NAMES, max_size=6, unique=True), variants=st.lists(st.tuples(NAMES, NAMES), max_size=5))
def test_what_is_found_is_the_best_and_the_only_best(
    names: list[frozenset[str]], variants: list[tuple[frozenset[str], frozenset[str]]]
) -> None:
    groups = [Recording(name, (Path("-".join(sorted(name))),)) for name in names]
    asked = [(source, source | method) for source, method in variants]
    for (source, words), match in zip(asked, by_names(groups, asked), strict=True):
        assert bool(match.takes) != bool(match.problem)
        if match == Match(problem="none found") or match.problem:
            continue
        name = next(group.words for group in groups if group.takes == match.takes)
        assert name & source
        # No other variant is described better by this name.
        own = len(name & words) - 0.5 * len(name - words)
        assert all(own >= len(name & other) - 0.5 * len(name - other) for start, other in asked if name & start)
