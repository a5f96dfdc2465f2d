"""`photone eval vision`: the golden set is whole, the measures tell good scenes from bad, the command compares engines."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from core.errors import EngineError, PictureError, SceneError, UsageError
from flows.cli import app
from flows.evaluation import golden as golden_set
from flows.evaluation import vision as evaluation
from flows.evaluation.drawings import DRAWINGS, draw
from flows.evaluation.golden import Golden, built_in, from_folder
from flows.evaluation.similarity import SAME_SOURCE, Similarity, lemma, load_words
from flows.evaluation.vision import Judge, VisionOptions, VisionRow, box_iou, evaluate
from schemas.document import ROLES
from schemas.scene import Scene, SoundSource

GOLDEN, MISSING = built_in()


def golden(name: str) -> Golden:
    return next(one for one in GOLDEN if one.name == name)


def source(name: str, material: str, box: list[float] | None = None) -> SoundSource:
    way = {"play_method": "struck", "timbre": ["hard"], "mapping_to_music_instrument": "drums", "confidence": 0.8}
    return SoundSource.model_validate({"name": name, "material": material, "variants": [way] * 3, "box": box})


def scene_of(*sources: SoundSource, text: str = "A test.") -> Scene:
    return Scene(
        scene_description=text, mood_description="Plain.", sound_sources=[*sources, *sources][: max(2, len(sources))]
    )


# ------------------------------------------------------------------------------------------------ the golden set


def test_the_golden_set_is_large_and_every_scene_is_whole() -> None:
    assert len(GOLDEN) >= 16
    assert set(MISSING) <= {"grace-hopper"}
    folder = resources.files("flows.evaluation").joinpath("golden")
    files = {path.name.removesuffix(".json") for path in folder.iterdir() if path.name.endswith(".json")}
    assert files == {one.name for one in GOLDEN} | set(MISSING)
    for one in GOLDEN:
        assert {variant.mapping_to_music_instrument for _, variant in one.scene.variants} >= set(ROLES) or one.name in (
            "brick", "concrete", "retina", "page", "gravel", "chelsea", "color",
        ), one.name  # fmt: skip
        assert not load_words().banned_in(one.scene), one.name
        assert not [word for topic in one.never for word in load_words().claims(one.scene, topic)], one.name


def test_golden_pictures_are_there_and_differ(tmp_path: Path) -> None:
    pictures = [one.picture(tmp_path).read_bytes() for one in GOLDEN]
    assert len(set(pictures)) == len(GOLDEN)


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_the_same_every_time(name: str) -> None:
    assert np.array_equal(draw(name), draw(name))
    assert draw(name).shape == (480, 720, 3)


def test_a_package_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden_set, "find_spec", lambda name: None)
    found, missing = built_in(("coffee", "beach"))
    assert [one.name for one in found] == ["beach"]
    assert "scikit-image is not installed" in missing["coffee"]
    result = evaluate(VisionOptions(pictures=("coffee", "beach")))
    assert "left out coffee: scikit-image is not installed" in evaluation.as_table(result)


def test_names_that_nobody_knows() -> None:
    with pytest.raises(UsageError, match=r"no golden picture 'kazoo': choose from china, flower"):
        built_in(("kazoo",))
    with pytest.raises(UsageError, match="no drawing is called 'kazoo'"):
        draw("kazoo")


# ------------------------------------------------------------------------------------------------ similarity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("stones", "stone"),
        ("dropped", "drop"),
        ("boxes", "box"),
        ("branches", "branch"),
        ("glasses", "glass"),
        ("rolling", "roll"),
    ],
)
def test_lemma(one: str, other: str) -> None:
    assert lemma(one) == lemma(other)


def test_words_that_say_nothing_go_and_synonyms_become_one() -> None:
    words = load_words()
    assert words.tokens("The leaves of a large tree") == words.tokens("foliage, trees")
    assert words.tokens("mugs") == ["cup"]
    assert words.name_tokens("keys in a pocket") == ["key", "key", "pocket"]


@pytest.fixture(scope="module")
def alike() -> Similarity:
    scenes = [one.scene for one in GOLDEN]
    names = [source.name for scene in scenes for source in scene.sound_sources]
    return Similarity(names, [text for scene in scenes for text in (scene.scene_description, scene.mood_description)])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("coffee cup", "ceramic"), ("mug of coffee", "porcelain"), True),
        (("street lamps", "metal"), ("streetlamp", "steel"), True),
        (("waves", "water"), ("waves on the shore", "water"), True),
        (("small birds", "air"), ("gull", "air"), True),
        (("wooden table", "wood"), ("table", "oak"), True),
        (("wooden table", "wood"), ("wooden floor", "wood"), False),
        (("coins", "metal"), ("large empty tank", "metal"), False),
        (("lake", "water"), ("drops of water", "water"), False),
        (("saucer", "ceramic"), ("roof", "ceramic"), False),
        (("fire", "fire"), ("water", "water"), False),
    ],
)
def test_sources_that_are_the_same_thing(
    alike: Similarity, one: tuple[str, str], other: tuple[str, str], same: bool
) -> None:
    value = alike.sources(source(*one), source(*other))
    assert (value >= SAME_SOURCE) == same
    assert 0 <= value <= 1 + 1e-9
    assert value == pytest.approx(alike.sources(source(*other), source(*one)))


def test_sentences_are_most_like_themselves(alike: Similarity) -> None:
    texts = [one.scene.scene_description for one in GOLDEN]
    for text in texts:
        values = [alike.sentences(text, other) for other in texts]
        assert values[texts.index(text)] == pytest.approx(1.0)
        assert sorted(values)[-2] < 0.75
    assert alike.sentences("", texts[0]) == 0.0


def test_boxes() -> None:
    assert box_iou([0, 0, 0.5, 1], [0, 0, 0.5, 1]) == 1
    assert box_iou([0, 0, 0.5, 1], [0.25, 0, 0.75, 1]) == pytest.approx(1 / 3, abs=1e-4)
    assert box_iou([0, 0, 0.2, 0.2], [0.5, 0.5, 1, 1]) == 0
    assert box_iou(None, [0, 0, 1, 1]) is None


# ------------------------------------------------------------------------------------------------ judging


def judged(name: str, scene: Scene) -> VisionRow:
    return Judge(GOLDEN).judged(VisionRow(name, "test"), golden(name), scene)


@pytest.mark.parametrize("name", [one.name for one in GOLDEN])
def test_the_golden_scene_itself_is_perfect(name: str) -> None:
    row = judged(name, golden(name).scene)
    assert (row.recall, row.hallucination, row.sources) == (1.0, 0.0, 1.0)
    assert (row.scene_text, row.mood_text) == (1.0, 1.0)
    assert all(pair.golden == pair.found for pair in row.pairs)
    assert all(iou == 1 for iou in row.ious)
    assert not row.missed
    assert not row.invented


def test_another_scene_is_worse_in_everything() -> None:
    row = judged("coffee", golden("beach").scene)
    assert (row.recall, row.hallucination) == (0.0, 1.0)
    assert row.sources is not None
    assert row.sources < 0.4
    assert "waves" in row.invented
    assert "coffee cup" in row.missed


def test_a_part_found_and_a_part_invented() -> None:
    cup, spoon, dragon = (
        source("cup", "ceramic", [0.3, 0.1, 0.7, 0.7]),
        source("teaspoon", "metal"),
        source("dragon", "scales"),
    )
    row = judged("coffee", scene_of(cup, spoon, dragon))
    assert [(pair.golden, pair.found) for pair in row.pairs] == [("coffee cup", "cup"), ("spoon", "teaspoon")]
    assert row.invented == ("dragon",)
    assert row.recall == pytest.approx(0.5)
    assert row.hallucination == pytest.approx(1 / 3, abs=1e-4)
    assert len(row.ious) == 1
    assert row.ious[0] > 0.7


def test_one_source_is_not_found_twice() -> None:
    row = judged("coffee", scene_of(source("cup", "ceramic"), source("mug", "ceramic")))
    assert len(row.pairs) == 1
    assert row.hallucination == 0.5


def test_false_claims_and_what_is_denied() -> None:
    tray = source("tray", "wood")
    assert judged("coins", scene_of(tray, text="A crowd of people by the sea.")).false_claims == (
        "sea",
        "crowd",
        "people",
    )
    assert judged("coins", scene_of(tray, text="Rows of coins, no people, without water.")).false_claims == ()
    assert judged("retina", scene_of(source("campfire", "fire"))).false_claims.count("campfire") == 2
    assert judged("beach", scene_of(source("waves", "water"))).false_claims == ()


def test_banned_words_are_counted() -> None:
    assert judged("coins", scene_of(source("old guitar", "wood"))).banned == ("guitar", "guitar")
    assert judged("coins", scene_of(source("sighs and whispers", "air"))).banned == ("whispers", "whispers")
    assert judged("coins", scene_of(source("wooden box", "wood"))).banned == ()
    assert judged("coffee", scene_of(source("table drummed on", "wood"))).banned == ()  # no drum


# ------------------------------------------------------------------------------------------------ the embedded engine


def test_embedded_meets_every_target_on_the_whole_golden_set() -> None:
    result = evaluate(VisionOptions())
    figures = {figure.name: figure.values["embedded"] for figure in result.figures}
    assert result.passed, evaluation.as_table(result)
    assert figures["false claims"] == 0
    assert figures["distinct scenes"] == len(GOLDEN)
    assert figures["same scene again (1 = yes)"] == 1
    recall, hallucination = figures["source recall"], figures["source hallucination"]
    assert recall is not None
    assert hallucination is not None
    # What is measured today, with a little room: it names surfaces, not things.
    assert recall >= 0.28
    assert hallucination <= 0.80


# ------------------------------------------------------------------------------------------------ engines and folders


class Broken:
    """Fails on every picture but the first."""

    def __init__(self) -> None:
        self.calls = 0

    def describe(self, request: object) -> Scene:
        self.calls += 1
        if self.calls > 2:
            raise SceneError("the answer is no scene")
        return golden("beach").scene


def test_an_engine_that_fails_is_a_miss_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = evaluation.load_engine
    monkeypatch.setattr(
        evaluation, "load_engine", lambda table, spec: Broken() if spec == "broken" else real(table, spec)
    )
    result = evaluate(VisionOptions(engines=("embedded", "broken"), pictures=("beach", "room")))
    assert [row.problem for row in result.rows] == [None, None, None, "the answer is no scene"]
    figures = {figure.name: figure for figure in result.figures}
    valid = figures["schema-valid scenes, %"]
    assert valid.values == {"embedded": 100.0, "broken": 50.0}
    assert valid.passed == {"embedded": True, "broken": False}
    assert not result.passed
    table = evaluation.as_table(result)
    assert re.search(r"room +broken +FAILED", table)
    assert "room by broken: the answer is no scene" in table
    assert re.search(r"schema-valid scenes, % +100 +100 PASS +50 MISS", table)


def test_an_engine_that_is_not_steady_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fickle:
        scenes = iter([golden("beach").scene, golden("room").scene])

        def describe(self, request: object) -> Scene:
            return next(self.scenes)

    monkeypatch.setattr(evaluation, "load_engine", lambda table, spec: Fickle())
    result = evaluate(VisionOptions(engines=("fickle",), pictures=("beach",)))
    assert result.figures[-1].values == {"fickle": 0.0}


def test_an_engine_that_cannot_run_ends_the_evaluation() -> None:
    with pytest.raises(UsageError, match="no vision engine is called 'clairvoyance'"):
        evaluate(VisionOptions(engines=("clairvoyance",)))
    with pytest.raises((SceneError, EngineError), match=r"nowhere\.json"):
        evaluate(VisionOptions(engines=("sidecar:nowhere.json",)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's golden set: two pictures, one with a scene in the student project's own form."""
    own = tmp_path / "own"
    own.mkdir()
    for name in ("beach", "room"):
        Image.fromarray(draw(name)).resize((180, 120)).save(own / f"{name}.png")
    golden("beach").scene.write(own / "beach.json")
    student = golden("room").scene.to_value()
    for each in student["sound_sources"]:
        del each["box"], each["evidence"]
        for variant in each["variants"]:
            del variant["confidence"]
            variant["mapping_to_music_instrument"] = variant["mapping_to_music_instrument"] or "None"
    (own / "room.json").write_text(json.dumps(student))
    return own


def test_the_command_compares_engines_on_a_folder(folder: Path, tmp_path: Path) -> None:
    engines = ["--engine", "embedded", "--engine", f"sidecar:{folder / 'beach.json'}"]
    done = CliRunner().invoke(
        app, ["eval", "vision", "--golden", str(folder), *engines, "--json", "--out", str(tmp_path)]
    )
    values = json.loads(done.stdout)
    assert done.exit_code == 1, done.output  # a sidecar says the same of both pictures
    assert values["engines"] == ["embedded", f"sidecar:{folder / 'beach.json'}"]
    assert [(row["picture"], row["engine"].split(":")[0]) for row in values["rows"]] == [
        ("beach.png", "embedded"), ("beach.png", "sidecar"), ("room.png", "embedded"), ("room.png", "sidecar"),
    ]  # fmt: skip
    figures = {figure["name"]: figure for figure in values["figures"]}
    assert list(figures["distinct scenes"]["values"].values()) == [2, 1]
    assert list(figures["distinct scenes"]["passed"].values()) == [True, False]
    assert values["rows"][1]["recall"] == 1
    Scene.from_value(values["rows"][0]["scene"], "row")
    table = (tmp_path / "vision.txt").read_text()
    assert all(name in table for name in figures)
    assert "2 pictures: the student project's protocol has 22" in table
    assert json.loads((tmp_path / "vision.json").read_text()) == values


def test_the_command_on_one_golden_picture_passes() -> None:
    done = CliRunner().invoke(app, ["eval", "vision", "--pictures", "beach"])
    assert done.exit_code == 0, done.output
    assert re.search(r"beach +embedded +\d of 5", done.stdout)
    assert "not of meaning" in done.stdout


def test_folders_that_are_no_golden_set(folder: Path, tmp_path: Path) -> None:
    assert [one.name for one in from_folder(folder)] == ["beach.png", "room.png"]
    (folder / "room.json").unlink()
    with pytest.raises(UsageError, match=r"room\.png: has no golden scene: write room\.json beside it"):
        from_folder(folder)
    (folder / "room.json").write_text("{}")
    with pytest.raises(SceneError, match=r"room\.json"):
        from_folder(folder)
    with pytest.raises(PictureError, match="no such folder"):
        from_folder(tmp_path / "nowhere")
    done = CliRunner().invoke(app, ["eval", "vision", "--golden", str(folder), "--pictures", "beach"])
    assert isinstance(done.exception, UsageError)
