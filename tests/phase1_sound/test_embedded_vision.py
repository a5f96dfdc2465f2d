"""The embedded analysis: what it claims, what it must not claim, and what a band needs from it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import sklearn.datasets
from PIL import Image

from phase1_sound.vision import VISION_ENGINES
from phase1_sound.vision.engines.embedded import EmbeddedVision
from phase1_sound.vision.engines.embedded.choice import Pick, confidence
from phase1_sound.vision.engines.embedded.engine import describe_pixels
from phase1_sound.vision.engines.embedded.features import Pixels, measure, summarise, working_copy
from phase1_sound.vision.engines.embedded.people import find_people
from phase1_sound.vision.engines.embedded.places import PLACES, Place, PlaceName
from phase1_sound.vision.engines.embedded.regions import COLOURLESS, TEXTURES, Region, find_regions
from phase1_sound.vision.engines.embedded.scores import is_document
from phase1_sound.vision.engines.embedded.table import load_table
from phase1_sound.vision.pictures import load_rgb
from phase1_sound.vision.protocol import VisionRequest
from schemas.document import MELODIC_ROLES, ROLES
from schemas.scene import MIN_VARIANTS, Scene

HEIGHT, WIDTH = 400, 600


def _noise(seed: int, sigma_x: float, sigma_y: float, amount: float) -> npt.NDArray[np.float32]:
    """Blurred noise of shape (height, width, 1), standard deviation `amount`."""
    noise = np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    return (noise / noise.std() * amount)[..., None]


def _filled(colour: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    return np.full((HEIGHT, WIDTH, 3), colour, dtype=np.float32)


def _done(picture: npt.NDArray[np.float32]) -> Pixels:
    return np.clip(picture, 0, 255).astype(np.uint8)


def blue_sky(picture: npt.NDArray[np.float32], rows: int) -> npt.NDArray[np.float32]:
    """Paint a sky into the top rows."""
    fade = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    picture[:rows] = np.array([110, 165, 235]) * (1 - fade) + np.array([185, 210, 240]) * fade
    return picture


def night() -> Pixels:
    """Small warm and white lamps in the dark."""
    picture = _filled((12, 13, 22)) + _noise(1, 2, 2, 2)
    rng = np.random.default_rng(2)
    for x, y in zip(rng.integers(20, WIDTH - 20, 40), rng.integers(180, HEIGHT - 20, 40), strict=True):
        cv2.circle(picture, (int(x), int(y)), 3, (255, 235, 170), -1)
    return _done(picture)


def water_texture() -> npt.NDArray[np.float32]:
    """Bluish with lying waves."""
    return _filled((60, 110, 150)) + _noise(3, 14, 1.5, 14)


def beach() -> Pixels:
    """Sky, a sea across the whole width, sand below."""
    picture = blue_sky(water_texture(), 150)
    sand = _filled((216, 190, 145)) + _noise(4, 0.8, 0.8, 5)
    picture[270:] = sand[270:]
    return _done(picture)


def forest() -> Pixels:
    """Green leaves and dark trunks, no sky."""
    picture = _filled((60, 110, 40)) + _noise(5, 2, 2, 26)
    for x in range(60, WIDTH, 120):
        cv2.rectangle(picture, (x, 0), (x + 14, HEIGHT), (45, 32, 22), -1)
    return _done(picture)


def concrete() -> Pixels:
    """Grey all over, rough."""
    return _done(_filled((128, 128, 128)) + _noise(6, 1.5, 1.5, 18))


def diagram() -> Pixels:
    """Thin dark boxes and lines on white."""
    picture = _filled((255, 255, 255))
    for row in range(4):
        for column in range(4):
            x, y = 40 + column * 140, 30 + row * 95
            cv2.rectangle(picture, (x, y), (x + 90, y + 50), (20, 20, 20), 2)
            cv2.line(picture, (x + 90, y + 25), (x + 140, y + 25), (20, 20, 20), 2)
            cv2.line(picture, (x + 12, y + 25), (x + 70, y + 25), (40, 40, 40), 3)
    return _done(picture)


def snow_field() -> Pixels:
    """Blue sky over fine white."""
    picture = _filled((240, 243, 247)) + _noise(7, 1, 1, 4)
    return _done(blue_sky(picture, 130))


def campfire() -> Pixels:
    """One compact orange blob with a white core in the dark."""
    picture = _filled((14, 11, 10)) + _noise(8, 2, 2, 2)
    for radius, colour in ((70, (190, 70, 15)), (50, (245, 140, 30)), (26, (255, 250, 215))):
        cv2.ellipse(picture, (300, 260), (radius, int(radius * 1.3)), 0, 0, 360, colour, -1)
    return _done(cv2.GaussianBlur(picture, (0, 0), 3))


def sunlit_orange() -> Pixels:
    """The same blob in broad daylight: no fire."""
    fire = campfire().astype(np.float32)
    blob = fire.max(axis=2, keepdims=True) > 60
    return _done(np.where(blob, fire, _filled((205, 200, 190)) + _noise(9, 2, 2, 4)))


def pavement() -> Pixels:
    """Square tiles in perspective-free rows."""
    picture = _filled((150, 120, 100)) + _noise(10, 1, 1, 4)
    for x in range(0, WIDTH, 24):
        picture[:, x : x + 3] = (70, 55, 45)
    for y in range(0, HEIGHT, 24):
        picture[y : y + 3] = (70, 55, 45)
    return _done(picture)


def meadow() -> Pixels:
    """Sky over a green field with red dots."""
    picture = blue_sky(_filled((80, 135, 50)) + _noise(11, 1.2, 2.5, 20), 160)
    rng = np.random.default_rng(12)
    for x, y in zip(rng.integers(0, WIDTH, 60), rng.integers(200, HEIGHT, 60), strict=True):
        cv2.circle(picture, (int(x), int(y)), 7, (225, 30, 40), -1)
    return _done(picture)


PICTURES: dict[str, Callable[[], Pixels]] = {
    "night": night,
    "beach": beach,
    "forest": forest,
    "concrete": concrete,
    "diagram": diagram,
    "snow_field": snow_field,
    "campfire": campfire,
    "sunlit_orange": sunlit_orange,
    "pavement": pavement,
    "meadow": meadow,
}


PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"
ALL = (*PICTURES, "china", "flower")
ROOT = Path(__file__).parents[2]


@cache
def pixels(name: str) -> Pixels:
    return PICTURES[name]() if name in PICTURES else load_rgb(PHOTOGRAPHS / f"{name}.jpg")


@cache
def scene(name: str) -> Scene:
    return describe_pixels(pixels(name))


def regions(rgb: Pixels) -> dict[str, Region]:
    small = working_copy(rgb)
    maps = measure(small)
    return {region.name: region for region in find_regions(maps, summarise(maps), find_people(small, maps))}


def greyed(rgb: Pixels) -> Pixels:
    return cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


# ------------------------------------------------------------------------------------------------ what is seen


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("night", {"dark", "lights"}),
        ("beach", {"sky", "water", "sand"}),
        ("forest", {"vegetation"}),
        ("concrete", {"rough"}),
        ("diagram", {"document"}),
        ("snow_field", {"sky", "snow"}),
        ("campfire", {"dark", "fire"}),
        ("pavement", {"warm", "regular"}),
        ("meadow", {"sky", "vegetation", "colour"}),
        ("china", {"sky", "vegetation", "water"}),
        ("flower", {"colour", "dark"}),
    ],
)
def test_finds(name: str, expected: set[str]) -> None:
    assert expected <= set(regions(pixels(name)))


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("night", {"fire", "sky", "snow", "document"}),
        ("beach", {"snow", "document", "fire", "vegetation"}),
        ("forest", {"sky", "water", "sand", "document"}),
        ("diagram", {"sky", "snow", "bright"}),
        ("snow_field", {"document", "sand", "water"}),
        ("campfire", {"lights", "sky", "water"}),
        ("sunlit_orange", {"fire", "lights", "sky"}),
        ("meadow", {"water", "sand", "snow", "fire"}),
        ("china", {"fire", "snow", "sand", "document", "lights"}),
        ("flower", {"sky", "water", "fire", "lights", "document"}),
    ],
)
def test_does_not_claim(name: str, absent: set[str]) -> None:
    assert not absent & set(regions(pixels(name)))


@pytest.mark.parametrize("name", ["beach", "meadow", "campfire", "china", "snow_field"])
def test_grey_pictures_get_no_colour_claims(name: str) -> None:
    grey = greyed(pixels(name))
    assert set(regions(grey)) <= set(COLOURLESS)
    told = describe_pixels(grey)
    assert "nothing is said about colours" in told.scene_description
    assert "greys only" in told.mood_description
    colours = {"blue", "green", "red", "orange", "yellow", "violet", "pink", "teal", "brown", "sky", "water", "snow"}
    assert not colours & set(told.scene_description.split())


def test_no_water_without_a_sky() -> None:
    water = np.clip(water_texture(), 0, 255).astype(np.uint8)
    under_sky = np.clip(blue_sky(water_texture(), 150), 0, 255).astype(np.uint8)
    assert "water" in regions(under_sky)
    assert "water" not in regions(water)


def test_narrow_water_is_not_claimed() -> None:
    picture = pixels("meadow").copy()
    pond = np.clip(water_texture(), 0, 255).astype(np.uint8)
    picture[240:340, 200:400] = pond[240:340, 200:400]
    assert "water" not in regions(picture)
    picture[240:340, 20:580] = pond[240:340, 20:580]
    assert "water" in regions(picture)


def test_water_between_masts_is_as_wide_as_it_is() -> None:
    picture = pixels("beach").copy()
    for x in range(30, WIDTH, 110):
        picture[150:270, x : x + 12] = (40, 34, 30)
    assert "water" in regions(picture)


def test_sky_must_touch_the_top() -> None:
    assert "sky" in regions(pixels("snow_field"))
    assert "sky" not in regions(np.ascontiguousarray(pixels("snow_field")[::-1]))


def test_positions_and_sizes() -> None:
    found = regions(pixels("beach"))
    assert found["sky"].y < found["water"].y < found["sand"].y
    assert found["sky"].area == pytest.approx(150 / 400, abs=0.03)
    assert found["sand"].area == pytest.approx(130 / 400, abs=0.03)
    assert found["sky"].box == pytest.approx((0.02, 0.0, 0.98, 0.37), abs=0.03)
    fire = regions(pixels("campfire"))["fire"]
    assert (fire.x, fire.y) == pytest.approx((0.0, 0.65), abs=0.03)
    mirrored = regions(np.ascontiguousarray(pixels("china")[:, ::-1]))["water"]
    assert mirrored.x == pytest.approx(-regions(pixels("china"))["water"].x, abs=0.05)


def test_regularity_rises_with_repetition() -> None:
    def figure(name: str) -> float:
        return summarise(measure(working_copy(pixels(name)))).regularity

    assert figure("pavement") > 0.6
    assert figure("concrete") < 0.35


def test_document_needs_ink_and_paper() -> None:
    assert is_document(measure(working_copy(pixels("diagram"))))
    assert not is_document(measure(working_copy(np.full((300, 300, 3), 250, dtype=np.uint8))))
    assert "A page or a diagram, not a scene" in scene("diagram").scene_description


# ------------------------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize("name", ALL)
def test_scene_is_complete(name: str) -> None:
    told = scene(name)
    Scene.from_value(told.to_value(), name)
    assert 4 <= len(told.sound_sources) <= 7
    assert MIN_VARIANTS <= 8 <= len(told.variants) <= 14
    assert {variant.mapping_to_music_instrument for _, variant in told.variants} >= set(ROLES)
    assert len({source.name for source in told.sound_sources}) == len(told.sound_sources)
    assert len({source.material for source in told.sound_sources}) >= 3
    assert len({(source.name, variant.play_method) for source, variant in told.variants}) == len(told.variants)
    assert all(0.3 < variant.confidence <= 0.95 for _, variant in told.variants)
    assert "No object was recognised" in told.scene_description
    assert all(source.evidence for source in told.sound_sources)
    assert all(1 <= len(variant.timbre) <= 5 for _, variant in told.variants)


@pytest.mark.parametrize("name", ALL)
def test_what_comes_from_texture_says_so_and_stays_low(name: str) -> None:
    table = load_table()
    textures = {source.name for source in table.source if table.region[source.region].texture}
    for source in scene(name).sound_sources:
        said = "chosen from texture, not recognised" in str(source.evidence)
        assert said == (source.name in textures)
        if said:
            assert max(variant.confidence for variant in source.variants) < 0.7


@pytest.mark.parametrize("name", ALL)
def test_every_melodic_role_has_something_with_a_tone(name: str) -> None:
    pitched = {(s.name, way.play) for s in load_table().source for way in s.variants if way.pitched}
    found = {v.mapping_to_music_instrument for s, v in scene(name).variants if (s.name, v.play_method) in pitched}
    assert found >= set(MELODIC_ROLES)


def test_ten_pictures_ten_scenes() -> None:
    told = [scene(name) for name in ALL]
    assert len({one.scene_description for one in told}) == len(ALL)
    assert len({one.mood_description for one in told}) == len(ALL)
    for one, other in combinations(told, 2):
        first = {(source.name, variant.play_method) for source, variant in one.variants}
        second = {(source.name, variant.play_method) for source, variant in other.variants}
        assert len(first & second) < 0.7 * min(len(first), len(second))


def test_like_pictures_still_differ() -> None:
    meadow = pixels("meadow")
    darker = (meadow * 0.8).astype(np.uint8)
    assert describe_pixels(meadow) != describe_pixels(darker)
    assert describe_pixels(meadow) != describe_pixels(np.ascontiguousarray(meadow[:, :400]))


def test_light_in_the_dark_comes_first() -> None:
    assert "compact orange blob" in str(scene("campfire").sound_sources[0].evidence)
    assert any("small bright points" in str(source.evidence) for source in scene("night").sound_sources)


def test_mood_follows_light_and_detail() -> None:
    assert "slow and sparse" in scene("night").mood_description
    assert "quick and dense" in scene("china").mood_description
    assert scene("night").mood_description.startswith("Still and sombre")
    assert scene("meadow").mood_description.startswith(("Cheerful", "Exuberant", "Calm and friendly"))


def test_setting() -> None:
    for name in ("beach", "meadow", "china", "forest", "snow_field"):
        assert scene(name).scene_description.startswith("Outdoors"), name
    assert scene("concrete").scene_description.startswith("One rough surface, indoors or outdoors")
    assert scene("pavement").scene_description.startswith("A pattern that repeats itself, indoors or outdoors")
    assert scene("campfire").scene_description.startswith("In the dark, by a fire")
    assert scene("night").scene_description.startswith("In the dark, with small lights")


def test_confidence_formula() -> None:
    table = load_table()
    source = table.of("vegetation")[0]
    way = source.variants[0].model_copy(update={"fit": 1.0})

    def of(name: str, area: float, purity: float) -> float:
        region = Region(name, area, purity, 0, 0, (0, 0, 1, 1), 50, 20, 120, 4, 0)
        return confidence(Pick(source, region), way, table)

    assert of("vegetation", 0.15, 0.8) == pytest.approx(0.45 + 0.5 * 0.5 * 0.8)
    assert of("vegetation", 0.9, 0.8) == pytest.approx(0.85)
    assert of("warm", 1.0, 1.0) == 0.6
    assert confidence(Pick(source, None), way, table) == 0.5


# ------------------------------------------------------------------------------------------------ the table


def test_every_region_class_has_sources_unless_it_is_silent() -> None:
    table = load_table()
    for name in table.region:
        assert (len(table.of(name)) >= 2) != table.region[name].silent, name


@pytest.mark.parametrize("place", PLACES)
def test_textures_cover_the_band_in_every_place(place: PlaceName) -> None:
    table = load_table()
    here = Place(place, {})
    ways = [way for name in TEXTURES for s in table.of(name) if s.suits(here) for way in s.variants]
    assert all(table.region[name].texture for name in TEXTURES)
    for role in ROLES:
        assert any(way.role == role and (way.pitched or role == "drums") for way in ways)


def test_nothing_in_the_table_asks_for_voices_or_instruments() -> None:
    table = load_table()
    instruments = {"guitar", "piano", "drum", "drums", "violin", "bass", "flute", "organ", "synth", "marimba"}
    for start in range(0, len(table.source), 4):
        part = table.source[min(start, len(table.source) - 4) : start + 4]
        value = [
            {
                "name": source.name,
                "material": source.material,
                "variants": [
                    {
                        "play_method": way.play,
                        "timbre": way.timbre,
                        "mapping_to_music_instrument": way.instrument,
                        "confidence": way.fit,
                    }
                    for way in source.variants
                ],
            }
            for source in part
        ]
        Scene.from_value({"scene_description": "a", "mood_description": "b", "sound_sources": value}, "table")
        words = {word for source in part for word in source.name.split()}
        words |= {word for source in part for way in source.variants for word in way.play.split()}
        assert not words & instruments


# ------------------------------------------------------------------------------------------------ running it


def test_engine_from_the_table_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(pixels("beach")).save(path, quality=90)
    engine = VISION_ENGINES.load("embedded")
    assert isinstance(engine, EmbeddedVision)
    assert (engine.info.name, engine.info.version, engine.info.weights_sha256) == ("embedded", "2", None)
    told = engine.describe(VisionRequest(path))
    assert told == engine.describe(VisionRequest(path))
    assert "water" in told.scene_description


def test_same_scene_in_another_process() -> None:
    code = (
        "from pathlib import Path; import sys\n"
        "from phase1_sound.vision.engines.embedded import EmbeddedVision\n"
        "from phase1_sound.vision.protocol import VisionRequest\n"
        "print(EmbeddedVision().describe(VisionRequest(Path(sys.argv[1]))).model_dump_json())"
    )
    run = [sys.executable, "-c", code, str(PHOTOGRAPHS / "china.jpg")]
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    done = subprocess.run(run, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.stdout.strip() == scene("china").model_dump_json()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(1, 1), (1, 1024), (1024, 1), (5, 300), (17, 17), (64, 65), (1024, 1024)])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (70, 130, 220), (200, 80, 10)])
def test_odd_sizes_and_flat_pictures(shape: tuple[int, int], colour: tuple[int, int, int]) -> None:
    told = describe_pixels(np.full((*shape, 3), colour, dtype=np.uint8))
    assert len(told.variants) >= 8
    assert {variant.mapping_to_music_instrument for _, variant in told.variants} >= set(ROLES)


def test_any_noise_gives_a_full_scene() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        small = rng.integers(0, 256, (rng.integers(1, 9), rng.integers(1, 9), 3), dtype=np.uint8)
        told = describe_pixels(cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC))
        assert {variant.mapping_to_music_instrument for _, variant in told.variants} >= set(ROLES)
        assert len(told.scene_description) <= 600


def test_fast_enough() -> None:
    rgb = cv2.resize(pixels("china"), (1024, 683))
    start = time.process_time()
    describe_pixels(rgb)
    assert time.process_time() - start < 1.5
