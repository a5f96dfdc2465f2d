"""The documents: exported schemas are true, every document comes back as it was, wrong ones are refused in one line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import DocumentError, SceneError
from core.manifest import to_json
from schemas import export
from schemas.band import Band
from schemas.document import Document
from schemas.effect import Effects
from schemas.instrument import Instrument
from schemas.run import Run
from schemas.scene import STUDENT_CONFIDENCE, Scene, read_scene, upgraded
from schemas.song import Song
from schemas.timbre import Corpus, TimbreCard

Json = Any
Place = tuple[str | int, ...]
SHA = "0123456789abcdef" * 4
# Objects whose keys are the engine's or the score's own.
FREE_FORM = ("options", "recipe", "cast", "songs", "instruments", "losses", "first_losses", "versions", "figures")


def variant(**changes: Json) -> Json:
    return {
        "play_method": "tapped with a stick",
        "timbre": ["bright", "ringing"],
        "mapping_to_music_instrument": "keyboard",
        "confidence": 0.8,
        **changes,
    }


def source(**changes: Json) -> Json:
    return {
        "name": "copper kettle",
        "material": "metal",
        "variants": [
            variant(),
            variant(play_method="scraped", mapping_to_music_instrument=None),
            variant(confidence=1.0),
        ],
        "box": [0.1, 0.2, 0.5, 0.9],
        "evidence": "a kettle stands on the left",
        **changes,
    }


def scene(**changes: Json) -> Json:
    return {
        "scene_description": "A kitchen in the morning.",
        "mood_description": "Quiet and warm: Glöckchen, 静か.",
        "sound_sources": [source(), source(name="wooden table", material="wood", box=None, evidence=None)],
        **changes,
    }


ENGINE = {"name": "foley", "version": "1", "weights_sha256": None, "options": {"rooms": [1, 2.5, None]}}
EFFECT = {
    "number": 1,
    "file": "01_kettle_tapped.wav",
    "sha256": SHA,
    "source": "kettle",
    "material": "metal",
    "play_method": "tapped",
    "timbre": ["bright"],
    "role_hint": None,
    "confidence": 0.5,
    "pan": -0.25,
    "seed": 2**62,
    "prompt": {
        "text": "a kettle",
        "negative": "music",
        "words": 2,
        "style": "caption",
        "tokens": [{"encoder": "T5", "count": 5, "limit": 128, "estimated": True}],
        "truncated": False,
    },
    "recipe": {"gesture": "tap", "force": 0.5},
    "duration_s": 1.5,
    "sample_rate": 44100,
    "measures": {
        "loudness_lufs": -23.0,
        "true_peak_dbtp": -3.1,
        "silence_share": 0.0,
        "clipped_share": 0.0,
        "dc": 0.0,
        "centroid_hz": 900.0,
        "rolloff_hz": 2000.0,
        "flatness": 0.1,
        "crest_db": 12.0,
        "onset_rate_hz": 1.0,
        "t30_s": None,
        "speech_share": 0.25,
        "music_share": 0.25,
        "regularity": 0.25,
        "roughness": 0.25,
        "pace_hz": 0.25,
        "ringing_db": -0.25,
        "spread_db": 0.25,
        "unrest_db_s": 0.25,
    },
    "verdict": [],
    "attempts": 2,
    "own_seed": 7,
    "seed_number": 3,
    "engine": ENGINE,
}
INSTRUMENT = {
    "role": "guitar",
    "name": "kettle",
    "source_effect": {
        "file": "effects/01.wav",
        "sha256": SHA,
        "name": "kettle",
        "pitched": True,
        "f0_hz": 440.0,
        "voiced_probability": 0.9,
    },
    "pitched": True,
    "timbre": ENGINE,
    "seed": 3,
    "character": 0.4,
    "method": "resynthesis",
    "sample_rate": 44100,
    "channels": 2,
    "envelope": {"attack_s": 0.01, "decay_s": 2.0, "sustain": 0.0, "release_s": 0.3},
    "lead_frames": 64,
    "velocity_crossfade": 16,
    "pan": 0.5,
    "openness": 0.95,
    "zones": [
        {
            "sample": "samples/A4.wav",
            "root_key": 69,
            "tune_cents": -3.5,
            "lo_key": 60,
            "hi_key": 72,
            "lo_velocity": 1,
            "hi_velocity": 127,
            "seq_position": 1,
            "loop_start": 10,
            "loop_end": None,
            "cutoff_hz": 1200.0,
            "exclusive_class": 0,
            "one_shot": False,
        }
    ],
    "verified": {"notes": 20, "within_25_cents": 19, "median_abs_cents": 1.5, "left_out": [21]},
    "cleaned": ["mains hum at 50 Hz and 7 harmonics"],
    "warnings": ["key 21 is left out"],
}
SONG = {
    "score": {
        "file": "canon.mid",
        "sha256": SHA,
        "duration_s": 60.5,
        "tracks": [{"number": 1, "name": "Violin", "program": 40, "is_drum": False, "role": "guitar", "notes": 99}],
    },
    "file": "song.wav",
    "sha256": SHA,
    "reverb": {"file": "stems/reverb.wav", "sha256": SHA, "room_s": 1.1},
    "options": {"dry": False, "loudness_lufs": -14.0, "file_format": "wav", "nothing": None},
    "key": SHA,
    "sample_rate": 44100,
    "duration_s": 61.0,
    "loudness_lufs": -14.0,
    "true_peak_dbtp": -1.0,
    "stems": [{"role": "guitar", "file": "stems/guitar.wav", "sha256": SHA, "pan": 0.1, "gain_db": -3.0}],
    "instruments": {"guitar": SHA},
    "preview_s": None,
    "rtf": 0.1,
    "warnings": [],
}
RUN = {
    "schema_version": 1,
    "photone_version": "0.1.0",
    "picture": {"file": "kettle.jpg", "sha256": SHA, "width": 640, "height": 480, "notes": ["turned"]},
    "seed": 0,
    "engines": {"vision": ENGINE, "effects": ENGINE, "timbre": ENGINE},
    "stages": [{"name": "scene", "elapsed_s": 0.5, "cached": True, "key": SHA}],
    "casting": [{"role": "bass", "effect": "effects/01.wav", "number": 1, "score": 0.5, "reason": "low"}],
    "outputs": [{"path": "scene.json", "sha256": SHA, "bytes": 10, "stage": "scene"}],
    "scene_edit": {"sha256": "e" * 64, "original_sha256": "f" * 64, "picture_sha256": "0" * 64, "engine": ENGINE},
    "asked": {
        "vision": "embedded",
        "effects": "foley",
        "timbre": "resonator",
        "cast": {"bass": [3]},
        "compact": True,
        "songs": {},
    },
    "scene_notes": ["kettle: its box is empty"],
    "warnings": [],
}
BAND = {
    "name": "kitchen",
    "title": "A kitchen",
    "picture": "kitchen.jpg",
    "photone_version": "0.1.0",
    "seed": 4,
    "engines": {"vision": ENGINE, "effects": ENGINE, "timbre": ENGINE},
    "licence": "Apache-2.0",
    "files": [{"path": "bass/bass.sfz", "sha256": SHA, "bytes": 10}],
}
PROGRAM = {"program": 33, "name": "Electric Bass (finger)", "held_out": False}
CORPUS = {
    "schema_version": 1,
    "role": "bass",
    "source": "gm",
    "origin": "FluidR3_GM.sf2",
    "origin_sha256": SHA,
    "licence": "MIT",
    "sample_rate": 44100,
    "loudness_lufs": -20.0,
    "ceiling_dbtp": -1.0,
    "options_sha256": SHA,
    "programs": [PROGRAM],
    "held_out_keys": [31],
    "valid_keys": [34],
    "notes": [
        {
            "file": "notes/033_031_080.flac",
            "sha256": SHA,
            "key": 31,
            "velocity": 80,
            "program": 33,
            "split": "test",
            "duration_s": 3.5,
            "gain_db": 6.5,
        }
    ],
}
CARD = {
    "schema_version": 1,
    "photone_version": "0.1.0",
    "role": "bass",
    "sample_rate": 44100,
    "hop": 512,
    "latents": 64,
    "parameters": 3440000,
    "padding": "inside",
    "onnx": {"file": "model.onnx", "sha256": SHA, "bytes": 10},
    "onnx_weights": "float16",
    "onnx_error": 0.0008,
    "ts": {"file": "model.ts", "sha256": SHA, "bytes": 10},
    "licence": "Apache-2.0",
    "corpus": {
        "manifest_sha256": SHA,
        "source": "gm",
        "origin": "FluidR3_GM.sf2",
        "origin_sha256": SHA,
        "licence": "MIT",
        "loudness_lufs": -20.0,
        "programs": [PROGRAM],
        "held_out_keys": [31],
        "valid_keys": [34],
        "notes": {"train": 8, "valid": 1, "test": 2},
        "train_minutes": 0.5,
    },
    "training": {
        "preset": "small",
        "options": {"batch": 32, "minutes": None},
        "steps": 100,
        "phase_2_step": 70,
        "finished": False,
        "first_losses": {"fullband": 20.0},
        "losses": {"fullband": 5.0},
        "validations": [{"step": 70, "phase": 1, "distance": 6.0, "latents_95": 12}],
        "elapsed_s": 60.5,
        "device": "cpu",
        "versions": {"torch": "2.12.1"},
    },
    "gate": {"passed": False, "figures": {"f0_share": 0.5, "rtf": None}, "missed": ["f0_share"]},
}
EXAMPLES: dict[type[Document], Json] = {
    Scene: scene(),
    Effects: {
        "scene_sha256": SHA,
        "engine": ENGINE,
        "seed": 1,
        "openness": 0.5,
        "effects": [EFFECT],
        "left_out": ["2: cup, tapped"],
        "notes": ["weights: licence"],
    },
    Instrument: INSTRUMENT,
    Song: SONG,
    Run: RUN,
    Band: BAND,
    Corpus: CORPUS,
    TimbreCard: CARD,
}
every_document = pytest.mark.parametrize("document", EXAMPLES, ids=lambda document: document.schema_name)


def places(value: Json, place: Place = ()) -> Iterator[Place]:
    """The place of every value in a JSON value, itself first, free-form objects left out."""
    yield place
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        if key not in FREE_FORM:
            yield from places(part, (*place, key))


def at(value: Json, place: Place) -> Json:
    for key in place:
        value = value[key]
    return value


def changed(value: Json, place: Place, new: Json) -> Json:
    """A copy with another value in one place."""
    if not place:
        return new
    value = copy.deepcopy(value)
    at(value, place[:-1])[place[-1]] = new
    return value


# The exported schemas


@every_document
def test_the_exported_schema_is_what_export_writes(document: type[Document]) -> None:
    path = export.FOLDER / f"{document.schema_name}.schema.json"
    assert path.read_text(encoding="utf-8") == export.schema_text(document), "run `make schemas`"


def test_there_is_one_schema_for_each_document() -> None:
    assert set(export.DOCUMENTS) == set(EXAMPLES)
    names = {f"{document.schema_name}.schema.json" for document in EXAMPLES}
    assert {path.name for path in export.FOLDER.iterdir()} == names


def test_export_writes_every_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FOLDER", tmp_path / "json")
    export.main()
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "json").iterdir()}
    assert written == {f"{d.schema_name}.schema.json": export.schema_text(d) for d in EXAMPLES}


@every_document
def test_the_exported_schema_keeps_to_the_metaschema(document: type[Document]) -> None:
    schema = json.loads(export.schema_text(document))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(EXAMPLES[document])


# Every document


@every_document
def test_a_document_comes_back_as_it_was(document: type[Document], tmp_path: Path) -> None:
    value, path = EXAMPLES[document], tmp_path / "new" / "a.json"
    first = document.from_value(value, "memory")
    assert first.to_value() == value
    first.write(path)
    assert path.read_text(encoding="utf-8") == to_json(value)
    assert document.read(path) == first


@every_document
def test_extra_keys_are_refused_at_every_level(document: type[Document]) -> None:
    value = EXAMPLES[document]
    objects = [place for place in places(value) if isinstance(at(value, place), dict)]
    assert objects
    for place in objects:
        wrong = changed(value, (*place, "surprise"), 1)
        with pytest.raises(document.error, match=r"^a\.json: .*'surprise' was unexpected"):
            document.from_value(wrong, "a.json")


@every_document
def test_the_models_alone_refuse_what_the_schemas_refuse(document: type[Document]) -> None:
    value = EXAMPLES[document]
    judge = jsonschema.Draft202012Validator(json.loads(export.schema_text(document)))
    for place in places(value):
        for wrong in (changed(value, place, {"surprise": 1}), changed(value, place, [[]])):
            assert not judge.is_valid(wrong), place
            with pytest.raises(ValueError, match="validation error"):
                document.model_validate(wrong)


@every_document
def test_a_document_is_refused_where_its_schema_refuses_it(document: type[Document]) -> None:
    value = EXAMPLES[document]
    judge = jsonschema.Draft202012Validator(json.loads(export.schema_text(document)))
    for place in places(value):
        for part in (None, True, -1, 0.5, 10**6, "", "5", "x" * 5000, [], [1, 1, 1, 1, 1], {}):
            wrong = changed(value, place, part)
            if not judge.is_valid(wrong) and (part is not True or at(value, place) != 1):  # Python's true is 1
                with pytest.raises(document.error, match=r"^a\.json: "):
                    document.from_value(wrong, "a.json")


@every_document
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(document: type[Document], number: float) -> None:
    value = EXAMPLES[document]
    numbers = [place for place in places(value) if isinstance(at(value, place), float)]
    assert numbers or document is Band  # which holds whole numbers only
    for place in numbers:
        with pytest.raises(document.error, match=r"^a\.json: "):
            document.from_value(changed(value, place, number), "a.json")


@every_document
@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_files_with_numbers_that_json_has_not_are_refused(document: type[Document], word: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(EXAMPLES[document])[:-1] + f', "options": {{"level": {word}}}}}')
    with pytest.raises(document.error, match=rf"a\.json: not JSON \({word} .*: mend or remove the file"):
        document.read(path)


@every_document
def test_every_required_key_is_named_when_it_is_missing(document: type[Document]) -> None:
    for key in json.loads(export.schema_text(document))["required"]:
        wrong = {name: value for name, value in EXAMPLES[document].items() if name != key}
        with pytest.raises(document.error, match=rf"^a\.json: document: '{key}' is a required property"):
            document.from_value(wrong, "a.json")


@every_document
def test_a_document_cannot_change(document: type[Document]) -> None:
    made = document.from_value(EXAMPLES[document], "memory")
    with pytest.raises(ValueError, match="frozen"):
        setattr(made, next(iter(EXAMPLES[document])), "x")


BROKEN_FILES = {
    "empty": (b"", "not JSON"),
    "not JSON": (b"{'a': 1}", "not JSON"),
    "two values": (b"{} {}", "not JSON"),
    "UTF-16": ("{}".encode("utf-16"), "cannot be read"),
    "an array": (b"[]", "document: .* is not of type 'object'"),
    "deep": (b"[" * 5000 + b"]" * 5000, "not JSON"),
    "a long number": (b"1" * 5000, "not JSON"),
}


@every_document
@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_is_named(document: type[Document], name: str, tmp_path: Path) -> None:
    content, message = BROKEN_FILES[name]
    (tmp_path / "broken.json").write_bytes(content)
    with pytest.raises(document.error, match=rf"broken\.json: {message}") as caught:
        document.read(tmp_path / "broken.json")
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_status == 2


@every_document
def test_a_missing_file_and_a_folder_are_named(document: type[Document], tmp_path: Path) -> None:
    with pytest.raises(document.error, match=r"none\.json: no such file: check the path"):
        document.read(tmp_path / "none.json")
    with pytest.raises(document.error, match=r"cannot be read .*: check the file"):
        document.read(tmp_path)


def test_nesting_that_only_just_parses_is_refused(tmp_path: Path) -> None:
    # Near the interpreter's limit of 1000 the parser still passes and the validator is what gives up.
    path = tmp_path / "deep.json"
    for depth in range(850, 1001):
        nested = "[" * depth + "]" * depth
        path.write_text(f'{{"scene_description": "a", "mood_description": "b", "sound_sources": [{nested}]}}')
        with pytest.raises(SceneError, match=r"deep\.json: "):
            read_scene(path)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(scene()), encoding="utf-8-sig")
    assert read_scene(tmp_path / "a.json").to_value() == scene()


def test_a_run_of_another_version_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"^run\.json: schema_version: 1 was expected"):
        Run.from_value({**RUN, "schema_version": 2}, "run.json")


@pytest.mark.parametrize(
    ("document", "place", "wrong", "message"),
    [
        (Instrument, ("zones",), [], r"zones: \[\] should be non-empty"),
        (Instrument, ("zones", 0, "root_key"), 128, r"zones\[0\]\.root_key: 128 is greater than the maximum of 127"),
        (Instrument, ("role",), "flute", "role: 'flute' is not one of"),
        (Song, ("stems", 0, "pan"), 1.5, r"stems\[0\]\.pan: 1\.5 is greater than the maximum of 1"),
        (Run, ("outputs", 0, "sha256"), "abc", r"outputs\[0\]\.sha256: 'abc' does not match"),
        (Effects, ("effects", 0, "duration_s"), 0, r"effects\[0\]\.duration_s: 0 is less than or equal to the minimum"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    document: type[Document], place: Place, wrong: Json, message: str
) -> None:
    with pytest.raises(DocumentError, match=rf"^a\.json: {message}"):
        document.from_value(changed(EXAMPLES[document], place, wrong), "a.json")


# Scenes


def read(value: Json, folder: Path) -> Scene:
    path = folder / "scene.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return read_scene(path)


@pytest.mark.parametrize("count", [1, 4, 5, 6])
def test_a_scene_has_at_least_five_variants(count: int, tmp_path: Path) -> None:
    value = scene(
        sound_sources=[source(variants=[variant()] * (count - 1) or [variant()]), source(variants=[variant()])]
    )
    if count == 1:
        value["sound_sources"].pop()
    if count >= 5:
        assert len(read(value, tmp_path).variants) == count
        return
    with pytest.raises(SceneError, match=rf"scene\.json: .*{count} variants in all: at least 5 are needed, add"):
        read(value, tmp_path)


@pytest.mark.parametrize(
    ("name", "play_method", "word"),
    [
        ("woman", "laughing softly", "laughing"),
        ("child", "crying", "crying"),
        ("crowd", "Talking all at once", "Talking"),
        ("human voice", "far away", "voice"),
        ("man on the phone", "speaks", "speaks"),
        ("choir", "singing", "singing"),
        ("fans", "shouting and screaming", "shouting"),
        ("friends", "having a conversation", "conversation"),
        ("widow", "sobbing", "sobbing"),
        ("coach", "yells", "yells"),
        ("people under a singing bowl", "weeping", "weeping"),
    ],
)
def test_human_voices_are_refused(name: str, play_method: str, word: str, tmp_path: Path) -> None:
    value = scene(sound_sources=[source(), source(name=name, variants=[variant(play_method=play_method)] * 2)])
    with pytest.raises(SceneError, match=f"{name!r}, {play_method!r}: {word!r} is a human voice: remove it"):
        read(value, tmp_path)


@pytest.mark.parametrize(
    ("name", "play_method"),
    [
        ("gull", "crying over the harbour"),
        ("bird in the hedge", "singing"),
        ("crows", "a distant cry"),
        ("stone stairs", "walked on"),
        ("sobriety poster", "flapping"),
        ("yellow door", "knocked on"),
        ("speaker on the shelf", "humming"),
        ("weeping willow", "rustling"),
        ("singing bowl", "rubbed along its rim"),
    ],
)
def test_animals_and_things_may_sound(name: str, play_method: str, tmp_path: Path) -> None:
    value = scene(sound_sources=[source(), source(name=name, variants=[variant(play_method=play_method)] * 2)])
    assert read(value, tmp_path).sound_sources[1].name == name


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([0.5, 0.1, 0.5, 0.9], r"box \[.*\] is empty: expected x0 < x1 and y0 < y1"),
        ([0.1, 0.9, 0.5, 0.2], r"box \[.*\] is empty"),
        ([0.9, 0.1, 0.2, 0.5], r"box \[.*\] is empty"),
        ([0.1, 0.2, 0.3], "too short"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], "too long"),
        ([0.1, 0.2, 1.3, 0.4], "greater than the maximum of 1"),
        ([-0.1, 0.2, 0.3, 0.4], "less than the minimum of 0"),
    ],
)
def test_a_box_is_left_top_right_bottom(box: list[float], message: str, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=message):
        read(scene(sound_sources=[source(box=box), source()]), tmp_path)


def test_the_whole_picture_is_a_box(tmp_path: Path) -> None:
    made = read(scene(sound_sources=[source(box=[0, 0, 1, 1]), source()]), tmp_path)
    assert made.sound_sources[0].box == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("confidence", [-0.01, 1.01, "high", None, True])
def test_confidence_is_a_share(confidence: Json, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"sound_sources\[0\]\.variants\[0\]\.confidence"):
        read(scene(sound_sources=[source(variants=[variant(confidence=confidence)] * 5)]), tmp_path)


@pytest.mark.parametrize(
    ("given", "role"),
    [
        ("None", None),
        ("none", None),
        ("", None),
        ("null", None),
        (None, None),
        ("Guitar", "guitar"),
        (" drums ", "drums"),
    ],
)
def test_files_of_the_student_project_are_read(given: str | None, role: str | None, tmp_path: Path) -> None:
    old = {"play_method": "struck", "timbre": ["dull"], "mapping_to_music_instrument": given}
    bare = {"name": "door", "material": "wood", "variants": [old] * 5}
    made = read(scene(sound_sources=[bare]), tmp_path)
    assert {v.mapping_to_music_instrument for _, v in made.variants} == {role}
    assert {v.confidence for _, v in made.variants} == {STUDENT_CONFIDENCE}
    assert (made.sound_sources[0].box, made.sound_sources[0].evidence) == (None, None)


def test_a_given_confidence_is_kept_and_an_unknown_role_is_refused(tmp_path: Path) -> None:
    assert read(scene(), tmp_path).sound_sources[0].variants[0].confidence == 0.8
    with pytest.raises(SceneError, match=r"scene\.json: .*mapping_to_music_instrument: 'flute'"):
        read(scene(sound_sources=[source(variants=[variant(mapping_to_music_instrument="Flute")] * 5)]), tmp_path)


def test_upgrading_leaves_the_given_value_alone() -> None:
    value = scene(sound_sources=[source(variants=[{"mapping_to_music_instrument": "None"}])])
    before = copy.deepcopy(value)
    upgraded(value)
    assert value == before


# Whatever comes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=8), parts, max_size=4),
    max_leaves=12,
)


def drop(value: Json, place: Place) -> Json:
    value = copy.deepcopy(value)
    del at(value, place[:-1])[place[-1]]
    return value


@st.composite
def mutated_scenes(draw: st.DrawFn) -> Json:
    """A valid scene in which up to three places were removed, doubled or given any other value."""
    value = scene()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(places(value))))
        changes: list[Callable[[], Json]] = [lambda value=value, place=place: changed(value, place, draw(json_values))]
        if place:
            changes.append(lambda value=value, place=place: drop(value, place))
        if isinstance(at(value, place), list):
            changes.append(lambda value=value, place=place: changed(value, place, at(value, place) * 2))
        value = draw(st.sampled_from(changes))()
        if not isinstance(value, (dict, list)):
            break
    return value


def check_only_scene_errors(value: Json) -> None:
    """A value is a scene, or is refused in one line that begins with the file's name."""
    made, message = None, ""
    try:
        made = Scene.from_value(upgraded(value), "scene.json")
    except SceneError as error:
        message = str(error)
    if made is None:
        assert message.startswith("scene.json: ")
        assert len(message.splitlines()) == 1
        assert len(message) < 600
        assert "pydantic" not in message
    else:
        assert Scene.from_value(json.loads(to_json(made.to_value())), "again") == made


@given(json_values)
@example({"sound_sources": [None, {"variants": [None, {"mapping_to_music_instrument": 3}]}]})
@example({"a\nb\u2028": 1})
@settings(max_examples=150, deadline=None)
def test_any_json_is_refused_in_one_line(value: Json) -> None:
    check_only_scene_errors(value)


@given(mutated_scenes())
@example(changed(scene(), ("sound_sources", 0, "box"), [0, 0, 1, 10**400]))
@example(changed(scene(), ("mood_description",), "\ud800"))
@example(changed(scene(), ("sound_sources", 0, "box"), [0.5, 0.5, 0.1, 0.1]))
@settings(max_examples=200, deadline=None)
def test_a_mutated_scene_is_read_or_refused_in_one_line(value: Json) -> None:
    check_only_scene_errors(value)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_any_file_is_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(SceneError, match=r"any\.json: ") as caught:
        read_scene(path)
    assert len(str(caught.value).splitlines()) == 1
