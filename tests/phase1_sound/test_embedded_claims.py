"""What the embedded analysis must not claim, on pictures that tempt it: people, fire, water, night, shade; and its table."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
import sklearn.datasets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from core.errors import PictureError
from flows.evaluation.drawings import DRAWINGS, draw
from phase1_sound.effects.engines.foley.parsing import find_gesture, find_material
from phase1_sound.vision.engines.embedded import EmbeddedVision, people
from phase1_sound.vision.engines.embedded.engine import describe_pixels
from phase1_sound.vision.engines.embedded.features import Maps, Pixels, measure, summarise, working_copy
from phase1_sound.vision.engines.embedded.people import find_people
from phase1_sound.vision.engines.embedded.places import Place, find_place, is_close_view
from phase1_sound.vision.engines.embedded.regions import Region, _distance, find_regions, is_portrait
from phase1_sound.vision.engines.embedded.table import Source, Table, load_table
from phase1_sound.vision.pictures import load_rgb, save_analysed
from phase1_sound.vision.protocol import VisionRequest
from schemas.document import ROLES
from schemas.scene import Scene

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.datasets.__file__).parent / "images"
FILES = {path.stem: path for path in (*SKIMAGE.glob("*.png"), *SKIMAGE.glob("*.jpg"), *SKLEARN.glob("*.jpg"))}
ROOT = Path(__file__).parents[2]


@cache
def pixels(name: str) -> Pixels:
    return draw(name) if name in DRAWINGS else load_rgb(FILES[name])


@cache
def scene(name: str) -> Scene:
    return describe_pixels(pixels(name))


@cache
def maps_of(name: str) -> Maps:
    return measure(working_copy(pixels(name)))


def seen(rgb: Pixels) -> tuple[dict[str, Region], Place]:
    small = working_copy(rgb)
    maps = measure(small)
    figures, found = summarise(maps), find_people(small, maps)
    regions = find_regions(maps, figures, found)
    return {region.name: region for region in regions}, find_place(regions, figures, maps, is_portrait(found, maps))


@cache
def seen_in(name: str) -> tuple[dict[str, Region], Place]:
    return seen(pixels(name))


def regions(name: str) -> dict[str, Region]:
    return seen_in(name)[0]


def place(name: str) -> str:
    return seen_in(name)[1].name


# ------------------------------------------------------------------------------------------------ people


def test_a_face_with_skin_is_a_person_with_footsteps_and_cloth_and_no_voice() -> None:
    found = regions("astronaut")["people"]
    x0, y0, x1, y1 = found.box
    assert x0 < 0.44 < x1
    assert y0 < 0.22 < y1
    assert "skin colours" in found.cue
    told = scene("astronaut")
    assert told.scene_description.startswith("A person close by")
    names = [source.name for source in told.sound_sources]
    assert "shoes on the floor" in names[:2]
    assert {"jacket", "buttons and buckles", "keys in a pocket"} & set(names[:2])
    assert "a face and a second sign" in str(told.sound_sources[0].evidence)


@pytest.mark.parametrize("name", sorted({*FILES, *DRAWINGS} - {"astronaut", "multipage"}))
def test_nobody_is_seen_where_nobody_is_or_one_cue_alone_speaks(name: str) -> None:
    assert "people" not in regions(name)


def test_coins_have_faces_and_a_grey_portrait_has_one_cue_only() -> None:
    light = cv2.cvtColor(working_copy(pixels("coins")), cv2.COLOR_RGB2GRAY)
    assert max(score for _, score in people._faces(light)) > people.FACE_SCORE
    grey = cv2.cvtColor(cv2.cvtColor(pixels("astronaut"), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert "people" not in seen(grey)[0]


def test_a_standing_figure_is_the_second_cue_in_a_grey_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    small = working_copy(pixels("coins"))
    face = next(box for box, score in people._faces(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)) if score > 4)
    x, y, wide, high = face

    def with_figure(box: people.Box, score: float) -> int:
        monkeypatch.setattr(people, "_figures", lambda light: [(box, score)])
        return len(find_people(small, measure(small)))

    below = (x - wide, y - high // 4, 3 * wide, 7 * high)
    assert with_figure(below, 1.2) == 1
    assert with_figure(below, 0.8) == 0
    assert with_figure((x + 3 * wide, y, 3 * wide, 7 * high), 1.2) == 0


def test_the_ground_behind_a_head_is_no_sky() -> None:
    portrait = np.full((512, 512, 3), (86, 140, 222), dtype=np.uint8)
    assert "sky" in seen(portrait)[0]
    portrait[80:360, 110:390] = pixels("astronaut")[0:280, 90:370]
    found, where = seen(portrait)
    assert where.name == "portrait"
    assert "sky" not in found


# ------------------------------------------------------------------------------------------------ fire, lights, water


@pytest.mark.parametrize("name", sorted({*FILES, *DRAWINGS} - {"campfire", "multipage"}))
def test_no_other_picture_has_a_fire(name: str) -> None:
    assert "fire" not in regions(name)


def test_fire_stands_in_the_dark_and_not_among_all_hues() -> None:
    assert "fire" in regions("campfire")
    among_hues = pixels("campfire").copy()
    around = cv2.dilate((among_hues.max(axis=2) > 90).astype(np.uint8), np.ones((61, 61), np.uint8)).astype(bool)
    among_hues[around & (among_hues.max(axis=2) < 70)] = (20, 110, 190)
    assert "fire" not in seen(among_hues)[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("night-street", "lights"), ("rocket", "lights"), ("hubble_deep_field", "stars"), ("forest", ""), ("astronaut", ""),
     ("phantom", ""), ("coins", ""), ("camera", "")],
)  # fmt: skip
def test_points_of_light_are_lamps_or_stars_or_nothing(name: str, kind: str) -> None:
    assert {"lights", "stars"} & set(regions(name)) == ({kind} if kind else set())


def test_stars_are_no_street_lamps() -> None:
    named = {source.name for source in scene("hubble_deep_field").sound_sources}
    assert not named & {"street lamp", "engine in the distance", "paving stones", "crickets at night"}
    assert "street lamp" in {source.name for source in scene("night-street").sound_sources}


@pytest.mark.parametrize(
    "name", ["concrete", "moon", "retina", "grille", "page", "text", "gravel", "grass", "room", "coffee"]
)
def test_no_water_in_paint_paper_and_tissue(name: str) -> None:
    told = scene(name)
    assert not {"water", "sea", "lake"} & set(told.scene_description.split())
    assert "water" not in {source.material for source in told.sound_sources}


def test_water_survives_another_jpeg(tmp_path: Path) -> None:
    """The lake of china.jpg is just wide enough: the picture of the run folder must say the same as the file."""
    assert "water" in regions("china")
    save_analysed(FILES["china"], tmp_path / "picture.jpg")
    assert "water" in seen(load_rgb(tmp_path / "picture.jpg"))[0]


@pytest.mark.parametrize("name", ["chessboard_GRAY", "grille"])
def test_dark_and_light_parts_of_a_pattern_belong_to_it(name: str) -> None:
    found = regions(name)
    assert found["regular"].area > 0.4
    assert "dark" not in found
    assert "bright" not in found


def test_a_wall_that_is_lighter_below_is_no_evening() -> None:
    fade = np.linspace(60, 190, 300, dtype=np.float32)[:, None, None]
    wall = np.broadcast_to(fade * np.array([0.8, 1.0, 0.85]), (300, 400, 3)).astype(np.uint8)
    assert "sky" not in seen(wall)[0]
    assert "sky" not in seen(np.ascontiguousarray(wall[..., ::-1]))[0]


def test_an_evening_sky_and_the_sea_under_it() -> None:
    assert {"sky", "water"} <= set(regions("sunset"))
    assert scene("sunset").scene_description.startswith("Outdoors by the water, in the evening light")
    upside_down = seen(np.ascontiguousarray(pixels("sunset")[::-1]))[0]
    assert not {"sky", "water"} & set(upside_down)
    lit_wall = pixels("sunset").copy()
    lit_wall[:, :200] = (120, 80, 60)
    assert "sky" not in seen(lit_wall)[0]


@pytest.mark.parametrize("name", ["color", "retina", "phantom"])
def test_a_cut_out_ground_suggests_nothing(name: str) -> None:
    assert regions(name)["blank"].area > 0.1
    assert all("blank" not in str(source.evidence) for source in scene(name).sound_sources)


def test_a_fade_from_green_is_no_leaf() -> None:
    assert "vegetation" in regions("meadow")
    assert "vegetation" not in scene("color").scene_description
    assert "leaves" not in {source.material for source in scene("color").sound_sources}


# ------------------------------------------------------------------------------------------------ places


@pytest.mark.parametrize(
    ("name", "expected"),
    [("beach", "outdoors"), ("snowy-hill", "outdoors"), ("forest", "outdoors"), ("china", "outdoors"), ("cliff", "outdoors"),
     ("room", "indoors"), ("motorcycle_left", "indoors"), ("flower", "close"), ("chelsea", "close"), ("page", "page"),
     ("letter", "page"), ("diagram", "page"), ("night-street", "night"), ("campfire", "night"), ("astronaut", "portrait"),
     ("concrete", "unknown"), ("coins", "unknown"), ("retina", "unknown"), ("brick", "unknown"), ("camera", "unknown")],
)  # fmt: skip
def test_place(name: str, expected: str) -> None:
    assert place(name) == expected


def test_shade_says_nothing_that_the_place_does_not_allow() -> None:
    """Shade under trees was a humming transformer once, and the dark ground of a flower a large empty tank."""
    table = load_table()
    for name in ("china", "flower", "coffee", "chelsea"):
        dark = {source.name for source in table.of("dark")}
        named = {source.name for source in scene(name).sound_sources}
        assert all(place(name) in (s.where or (place(name),)) for s in table.source if s.name in named)
        assert not named & (dark & {"low hum in the dark", "large empty tank", "cellar wall", "crickets at night"})
    assert all("not recognised" in str(s.evidence) for s in scene("coffee").sound_sources)


def test_focus_tells_a_close_view() -> None:
    assert is_close_view(maps_of("flower"))
    blurred = cv2.GaussianBlur(pixels("flower"), (0, 0), 6)
    assert not is_close_view(measure(working_copy(blurred)))
    assert not is_close_view(maps_of("gravel"))


def test_what_lies_low_is_near_and_what_is_soft_is_far() -> None:
    found = regions("beach")
    assert found["sky"].distance == 1.0
    assert found["water"].distance > found["sand"].distance
    assert "close by" in scene("beach").scene_description
    soft = pixels("meadow").copy()
    soft[200:300] = cv2.GaussianBlur(soft, (0, 0), 2)[200:300]
    upper = np.zeros(maps_of("meadow").shape, dtype=bool)
    upper[150:210] = True
    assert _distance("any", upper, measure(working_copy(soft))) > _distance("any", upper, maps_of("meadow"))


# ------------------------------------------------------------------------------------------------ words


def test_no_two_pictures_get_the_same_words() -> None:
    names = sorted({*FILES, *DRAWINGS} - {"multipage", "motorcycle_right", "chessboard_RGB"})
    told = [scene(name) for name in names]
    assert len({one.model_dump_json() for one in told}) == len(names)
    assert len({one.scene_description for one in told}) >= 0.9 * len(names)
    assert len({one.mood_description for one in told}) == len(names)
    for one in told:
        assert len(one.scene_description) <= 600
        assert " a a " not in one.scene_description
        assert not one.scene_description.split(":")[0].count("indoors or outdoors") > 1


def test_the_mood_takes_up_what_is_seen() -> None:
    assert "a warm glow in the dark" in scene("campfire").mood_description
    assert "hushed" in scene("snowy-hill").mood_description
    assert "green and alive" in scene("forest").mood_description
    assert "dry and orderly" in scene("letter").mood_description
    assert "with somebody present" in scene("astronaut").mood_description


# ------------------------------------------------------------------------------------------------ the table


WAY = {"play": "struck", "timbre": ["hard"], "role": "drums", "fit": 1.0}
CLASS = {"label": "a", "seen": "b", "cap": 0.5, "texture": False}
THING = {"region": "sky", "name": "kite", "material": "paper", "likelihood": 0.5, "prefers": {}, "variants": [WAY]}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"where": ["moon"]}, "where"), ({"needs": ["lava"]}, "lava"), ({"region": "lava"}, "lava"),
     ({"likelihood": 2}, "likelihood"), ({"prefers": {"loudness": 1}}, "prefers"), ({"variants": []}, "variants")],
)  # fmt: skip
def test_a_mistake_in_the_table_is_named(change: dict[str, object], message: str) -> None:
    Table.model_validate({"region": {"sky": CLASS}, "source": [THING]})
    with pytest.raises(ValidationError, match=message):
        Table.model_validate({"region": {"sky": CLASS}, "source": [THING | change]})


def test_where_and_needs_keep_a_source_to_its_place() -> None:
    kite = Source.model_validate(THING | {"where": ["outdoors"], "needs": ["sand", "snow"]})
    assert kite.suits(Place("outdoors", {"sky": 0.5, "snow": 0.2}))
    assert not kite.suits(Place("outdoors", {"sky": 0.5}))
    assert not kite.suits(Place("night", {"snow": 0.5}))
    assert Source.model_validate(THING).suits(Place("unknown", {}))


def test_the_table_uses_words_that_the_synthesiser_knows() -> None:
    for source in load_table().source:
        assert find_material(source.material), source.material
        for way in source.variants:
            assert find_gesture(way.play, source.name), f"{source.name}: {way.play}"


# ------------------------------------------------------------------------------------------------ time, memory, damage


def test_twelve_megapixels_in_time_and_memory(tmp_path: Path) -> None:
    Image.fromarray(pixels("astronaut")).resize((4000, 3000)).save(tmp_path / "large.jpg", quality=90)
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from phase1_sound.vision.engines.embedded import EmbeddedVision\n"
        "from phase1_sound.vision.protocol import VisionRequest\n"
        "began = time.process_time()\nEmbeddedVision().describe(VisionRequest(Path(sys.argv[1])))\n"
        "spent = time.process_time() - began\n"
        # Not ru_maxrss: that starts at the size of the process that started this one.
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "print(spent, next(int(line.split()[1]) / 1024 for line in lines if line.startswith('VmHWM')))"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "large.jpg")]
    cpu_s, peak_mb = map(
        float, subprocess.run(run, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()
    )
    assert cpu_s < 1.5
    assert peak_mb < 400


def test_many_threads_say_the_same() -> None:
    pictures = [pixels(name) for name in ("astronaut", "coins")] * 6
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(describe_pixels, pictures))
    assert told == [scene("astronaut"), scene("coins")] * 6


@pytest.fixture(scope="module")
def small_jpeg(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "small.jpg"
    Image.fromarray(pixels("coffee")).resize((96, 64)).save(path)
    return path.read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_picture_is_described_or_a_picture_error(
    tmp_path: Path, small_jpeg: bytes, data: st.DataObject
) -> None:
    broken = bytearray(small_jpeg)
    for place in data.draw(st.lists(st.integers(0, len(broken) - 1), max_size=30)):
        broken[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "broken.jpg"
    path.write_bytes(broken[: data.draw(st.integers(0, len(broken)))])
    try:
        told = EmbeddedVision().describe(VisionRequest(path))
    except PictureError:
        return
    assert {variant.mapping_to_music_instrument for _, variant in told.variants} >= set(ROLES)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), size=st.tuples(st.integers(1, 90), st.integers(1, 90)), levels=st.integers(1, 256)
)
def test_any_pixels_give_a_whole_scene(seed: int, size: tuple[int, int], levels: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, levels, (*size, 3)).astype(np.uint8)
    told = describe_pixels(rgb)
    assert told == describe_pixels(rgb)
    assert {variant.mapping_to_music_instrument for _, variant in told.variants} >= set(ROLES)
