"""cover.png: there after a make, the same twice, cheap, and drawn of whatever a run may hold."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.manifest import sha256_file
from flows.runs import lettering
from flows.runs.cover import _DOT, COVER_FILE, HEIGHT, ROLE_COLOURS, WIDTH, _apart, draw_cover
from flows.runs.songs import Made
from schemas.document import Role
from schemas.effect import Effect, Effects
from schemas.scene import Scene


@pytest.fixture
def drawn_from(demo_run: tuple[Path, Made], tmp_path: Path) -> Path:
    """What a cover is drawn from, in a folder of its own."""
    for name in ("picture.jpg", "scene.json", "effects"):
        (tmp_path / name).symlink_to(demo_run[0] / name)
    return tmp_path


def parts(folder: Path) -> tuple[Scene, list[Effect], dict[int, Role]]:
    effects = Effects.read(folder / "effects" / "effects.json").effects
    roles: dict[int, Role] = {effects[0].number: "bass", effects[2].number: "keyboard", effects[7].number: "drums"}
    return Scene.read(folder / "scene.json"), effects, roles


def test_a_run_has_its_cover_in_the_ledger(demo_run: tuple[Path, Made]) -> None:
    folder, made = demo_run
    (output,) = (output for output in made.run.outputs if output.path == COVER_FILE)
    assert output.stage == "cover"
    assert output.sha256 == sha256_file(folder / COVER_FILE)
    with Image.open(folder / COVER_FILE) as cover:
        assert cover.size == (WIDTH, HEIGHT)


def test_a_cover_is_cheap_and_the_same_twice(drawn_from: Path) -> None:
    scene, effects, roles = parts(drawn_from)
    draw_cover(drawn_from, "china", scene, effects, roles)  # imports, fonts
    first = (drawn_from / COVER_FILE).read_bytes()
    began = time.process_time()
    draw_cover(drawn_from, "china", scene, effects, roles)
    cost_s = time.process_time() - began
    print(f"cover {cost_s:.2f} s CPU, {len(first) / 1e6:.1f} MB")
    assert (drawn_from / COVER_FILE).read_bytes() == first
    assert cost_s < 1.0  # measured 0.3; noisy machines


def test_the_cover_shows_the_picture_and_the_players_colours(drawn_from: Path) -> None:
    scene, effects, roles = parts(drawn_from)
    draw_cover(drawn_from, "china", scene, effects, roles)
    pixels = np.asarray(Image.open(drawn_from / COVER_FILE).convert("RGB")).astype(int)
    for role in ("bass", "keyboard", "drums"):
        off = np.abs(pixels - np.array(ROLE_COLOURS[role])).max(axis=2)  # type: ignore[index]
        assert (off[:800] < 12).sum() > 500, role  # its dot
        assert (off[1000:] < 45).sum() > 50, role  # its spectrum
    with Image.open(drawn_from / "picture.jpg") as picture:
        small = np.asarray(picture.convert("RGB").resize((64, 43))).astype(int)
    shown = np.asarray(Image.fromarray(pixels[64:779, 64:1136].astype(np.uint8)).resize((64, 43))).astype(int)
    assert np.abs(small - shown).mean() < 12


@pytest.mark.parametrize(("size", "count"), [((30, 1000), 1), ((1024, 20), 5), ((640, 640), 14)])
def test_odd_pictures_and_few_effects(drawn_from: Path, size: tuple[int, int], count: int) -> None:
    (drawn_from / "picture.jpg").unlink()
    Image.new("RGB", size, (10, 120, 200)).save(drawn_from / "picture.jpg")
    scene, effects, roles = parts(drawn_from)
    draw_cover(drawn_from, "名前 <b>" + "long " * 60, scene, effects[:count], roles)
    with Image.open(drawn_from / COVER_FILE) as cover:
        assert cover.size == (WIDTH, HEIGHT)


def test_sources_without_a_place_and_many_effects(drawn_from: Path) -> None:
    value = json.loads((drawn_from / "scene.json").read_text())
    for source in value["sound_sources"]:
        source["box"] = None
    _, effects, roles = parts(drawn_from)
    draw_cover(drawn_from, "many", Scene.model_validate(value), [*effects, *effects, *effects], roles)
    assert (drawn_from / COVER_FILE).is_file()


def test_dots_stay_apart_and_within() -> None:
    dots = _apart([(50.0, 50.0)] * 8, (0, 0, 400, 300))
    for index, one in enumerate(dots):
        assert _DOT <= one[0] <= 400 - _DOT
        assert _DOT <= one[1] <= 300 - _DOT
        for other in dots[:index]:
            assert np.hypot(one[0] - other[0], one[1] - other[1]) > 2 * _DOT


def test_text_is_cut_where_it_ends() -> None:
    lines = lettering.lines("word " * 200, "sans", 22, 1000, 2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert all(900 < lettering.width(line, "sans", 22) <= 1000 for line in lines)
    assert 250 < lettering.width(lettering.fitted("x" * 500, "serif", 20, 300), "serif", 20) <= 300
    assert lettering.lines("", "sans", 22, 1000, 2) == [""]
    assert lettering.lines("x" * 200, "sans", 22, 300, 2)[0].endswith("…")


def drawn(text: str) -> bytes:
    """Text on white, as pixels."""
    picture = Image.new("L", (400, 60), 255)
    lettering.write(ImageDraw.Draw(picture), (10, 40), text, 0, "serif", 30)  # type: ignore[arg-type]
    return picture.tobytes()


@pytest.mark.parametrize("word", ["Größe", "façade", "Łódź", "Dvořák", "Şişli", "l’été…"])
def test_names_keep_their_letters(word: str) -> None:
    """Each letter has a form of its own, which neither a box nor a bare letter has."""
    bare = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
    assert drawn(word) != drawn(bare)
    assert drawn(unicodedata.normalize("NFD", word)) == drawn(word)
    for letter in word:
        assert drawn(letter) != drawn("\U0010fffe")


def test_letters_that_no_font_has_stay_out() -> None:
    assert drawn("名前 tower 塔") == drawn("tower")
    assert drawn("ḅ") != drawn("")
    assert drawn("名前") == drawn("")
