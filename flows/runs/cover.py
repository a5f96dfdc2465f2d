"""cover.png: a run as a poster for file managers and shells, the picture with its sources and their spectra."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from core.audio import read_audio
from core.manifest import atomic_path, sha256_file
from flows.page.levels import BANDS, COLUMNS, Levels, spectrogram
from flows.runs import lettering
from flows.runs.ledger import Ledger
from schemas.document import Role
from schemas.effect import Effect
from schemas.scene import Scene

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

COVER_FILE = "cover.png"
_VERSION = 2  # raised when a cover comes to look otherwise

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

WIDTH, HEIGHT = 1200, 1600
_MARGIN, _GAP = 64, 20
_PHOTO_HEIGHT = 800
_MOST_STRIPS = 24
_LABEL_HEIGHT = 24
_DOT = 19
_PAPER: Colour = (247, 243, 234)
_INK: Colour = (43, 38, 32)
_QUIET: Colour = (120, 110, 97)
_IDLE: Colour = (112, 104, 94)
ROLE_COLOURS: dict[Role, Colour] = {
    "keyboard": (176, 122, 18),
    "bass": (44, 92, 158),
    "guitar": (184, 75, 44),
    "drums": (62, 122, 82),
}


def cover_stage(ledger: Ledger, effects: Sequence[Effect]) -> None:
    """Draw cover.png, unless it is there and drawn of the same."""
    run, folder = ledger.run, ledger.folder
    roles: dict[int, Role] = {casting.number: casting.role for casting in reversed(run.casting)}
    depends = {
        "version": _VERSION,
        "picture": run.picture.sha256 if run.picture else None,
        "scene": sha256_file(folder / "scene.json"),
        "effects": [effect.sha256 for effect in effects],
        "roles": [[number, role] for number, role in roles.items()],
    }

    def work() -> list[Path]:
        title = Path(run.picture.file).stem if run.picture else folder.name
        draw_cover(folder, title, Scene.read(folder / "scene.json"), effects, roles)
        return [folder / COVER_FILE]

    ledger.stage("cover", depends, work)


def draw_cover(folder: Path, title: str, scene: Scene, effects: Sequence[Effect], roles: dict[int, Role]) -> None:
    """Draw the cover of the run in `folder`; `roles` says which effects play, by their numbers.

    The same run gives the same bytes: the fonts come with photone.
    """
    from PIL import Image, ImageDraw

    poster = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    draw = ImageDraw.Draw(poster)
    place = _paste_photo(poster, folder / "picture.jpg")
    # Of a source's effects the first that plays gives the colour.
    playing = [effect for effect in effects if effect.number in roles]
    _draw_sources(draw, place, scene, {one.source: ROLE_COLOURS[roles[one.number]] for one in reversed(playing)})
    below = _write_title(draw, place[3] + 34, title, scene.mood_description)
    numbers = {source.name: number for number, source in reversed(list(enumerate(scene.sound_sources, 1)))}
    strips = [
        (f"{numbers[effect.source]}. {effect.source}", effect, roles.get(effect.number))
        for effect in _chosen(effects, roles)
    ]
    _draw_strips(poster, draw, below, strips, folder)
    with atomic_path(folder / COVER_FILE) as temporary:
        poster.save(temporary, "PNG", compress_level=3)


def _chosen(effects: Sequence[Effect], roles: dict[int, Role]) -> list[Effect]:
    """As many as there is room for: those that play first, in the scene's order."""
    wanted = sorted(effects, key=lambda effect: effect.number not in roles)[:_MOST_STRIPS]
    return sorted(wanted, key=lambda effect: effect.number)


def _paste_photo(poster: Image, path: Path) -> Box:
    """The picture as large as the space allows, in the middle; gives its place."""
    from PIL import Image

    with Image.open(path) as file:
        photo = file.convert("RGB")
    scale = min((WIDTH - 2 * _MARGIN) / photo.width, _PHOTO_HEIGHT / photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    left = (WIDTH - size[0]) // 2
    poster.paste(photo.resize(size, Image.Resampling.BICUBIC), (left, _MARGIN))
    return (left, _MARGIN, left + size[0], _MARGIN + size[1])


def _draw_sources(draw: ImageDraw, place: Box, scene: Scene, colours: dict[str, Colour]) -> None:
    """A numbered dot where each source lies, in its player's colour; the strips below carry the same numbers."""
    width, height = place[2] - place[0], place[3] - place[1]
    placed = [(number, source) for number, source in enumerate(scene.sound_sources, 1) if source.box]
    wanted = [
        (place[0] + width * (box[0] + box[2]) / 2, place[1] + height * (box[1] + box[3]) / 2)
        for box in (source.box for _, source in placed)
        if box
    ]
    for (number, source), (x, y) in zip(placed, _apart(wanted, place), strict=True):
        draw.circle((x, y), _DOT + 3, (255, 255, 255))
        draw.circle((x, y), _DOT, colours.get(source.name, _IDLE))
        draw.text((x, y), str(number), (255, 255, 255), lettering.font("sans.woff2", 24), anchor="mm")


def _apart(points: Sequence[tuple[float, float]], place: Box) -> list[tuple[float, float]]:
    """Points moved away from each other until no two dots touch, within the picture."""
    moved = [complex(x + index, y + index % 3) for index, (x, y) in enumerate(points)]
    least = 2.0 * _DOT + 12.0
    for _ in range(100):
        for one, two in combinations(range(len(moved)), 2):
            apart = moved[one] - moved[two]
            if abs(apart) < least:
                push = (least - abs(apart)) / 2 * (apart / abs(apart) if apart else 1.0)
                moved[one], moved[two] = moved[one] + push, moved[two] - push
        moved = [
            complex(
                min(max(point.real, place[0] + least / 2), place[2] - least / 2),
                min(max(point.imag, place[1] + least / 2), place[3] - least / 2),
            )
            for point in moved
        ]
    return [(point.real, point.imag) for point in moved]


def _write_title(draw: ImageDraw, top: int, title: str, mood: str) -> int:
    """Title and mood under the picture; gives where the next thing may begin."""
    room = WIDTH - 2 * _MARGIN
    if lettering.width(title, "serif", 84) <= room:
        lettering.write(draw, (_MARGIN, top + 66), title, _INK, "serif", 84)
    else:
        for row, line in enumerate(lettering.lines(title, "serif", 44, room, 2)):
            lettering.write(draw, (_MARGIN, top + 28 + 46 * row), line, _INK, "serif", 44)
    for row, line in enumerate(lettering.lines(mood, "sans", 22, room, 2)):
        lettering.write(draw, (_MARGIN, top + 112 + 31 * row), line, _QUIET, "sans", 22)
    return top + 176


def _draw_strips(
    poster: Image, draw: ImageDraw, top: int, strips: Sequence[tuple[str, Effect, Role | None]], folder: Path
) -> None:
    """Spectrograms of the effects, in rows that fill the poster."""
    across = 4 if len(strips) > 6 else 3
    down = -(-len(strips) // across)
    width = (WIDTH - 2 * _MARGIN - (across - 1) * _GAP) // across
    height = min(200, (HEIGHT - _MARGIN - top - (down - 1) * _GAP) // down)
    for index, (label, effect, role) in enumerate(strips):
        left = _MARGIN + index % across * (width + _GAP)
        upper = top + index // across * (height + _GAP)
        sound = read_audio(folder / "effects" / effect.file)
        picture = _tinted(spectrogram(sound.mono(), sound.sample_rate), ROLE_COLOURS[role] if role else _IDLE)
        named = f"{label}, {role}" if role else label
        _draw_strip(poster, draw, (left, upper, left + width, upper + height), picture, named)


def _draw_strip(poster: Image, draw: ImageDraw, place: Box, picture: Image, named: str) -> None:
    """A spectrogram with its name below."""
    from PIL import Image

    size = (place[2] - place[0], max(8, place[3] - place[1] - _LABEL_HEIGHT))
    poster.paste(picture.resize(size, Image.Resampling.BICUBIC), place[:2])
    text = lettering.fitted(named, "sans", 16, size[0])
    lettering.write(draw, (place[0], place[3] - 5), text, _INK, "sans", 16)


def _tinted(levels: Levels, colour: Colour) -> Image:
    """A spectrogram from paper, where nothing sounds, to a colour."""
    from PIL import Image

    picture = Image.frombytes("P", (COLUMNS, BANDS), levels.tobytes())
    shades = [
        round(paper + (ink - paper) * (level / 63) ** 1.5)
        for level in range(64)
        for paper, ink in zip((238, 232, 220), colour, strict=True)
    ]
    picture.putpalette(shades)
    return picture.convert("RGB")
