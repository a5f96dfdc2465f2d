"""index.html: a run as a page that works from disk, without a server and without a network.

`page.js` and `page.css` are built from web/ by `make web`, and copied into the run's `page/` folder. What plays in the page
lies there, too (`media.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from core.manifest import sha256_file, write_text
from flows.page.markup import Shown, body
from flows.page.media import CHUNK_FRAMES, Media, SongMedia, effects_media, instrument_media, song_media, text_media
from flows.page.words import song_title
from phase2_music.instruments.roles import ROLE_SPECS
from schemas.effect import Effect
from schemas.instrument import Instrument
from schemas.run import Run
from schemas.scene import Scene
from schemas.song import Song

PAGE_FILE = "index.html"


@dataclass(frozen=True)
class PageMedia:
    """All files that a page plays and draws."""

    script: Media
    style: Media
    effects: Media
    instruments: dict[str, Media]
    songs: tuple[SongMedia, ...]

    @property
    def paths(self) -> list[str]:
        """Their paths within the run."""
        return [*(media.path for media in self._single), *(path for song in self.songs for path in song.paths)]

    @property
    def _single(self) -> list[Media]:
        return [self.script, self.style, self.effects, *self.instruments.values()]

    def write(self, folder: Path, whole: set[str]) -> None:
        """Write what is not `whole` already (paths within the run)."""
        for media in self._single:
            if media.path not in whole:
                media.write(folder / media.path)
        for song in self.songs:
            if not whole.issuperset(song.paths):
                song.write(folder)


def shown_of(
    folder: Path, run: Run, effects: Sequence[Effect], instruments: Sequence[Instrument], first: str = ""
) -> Shown:
    """What the page of a finished run shows; of its songs the one in the folder named `first` comes first."""
    songs = sorted(current_songs(folder), key=lambda song: Path(song[0]).name != first)
    archives = sorted(path.name for path in folder.glob("*.zip") if not path.name.startswith("."))
    return Shown(run, Scene.read(folder / "scene.json"), effects, instruments, songs, archives)


def media_of(folder: Path, shown: Shown) -> PageMedia:
    """The files that the page needs in the run's page/."""
    return PageMedia(
        text_media("page", ".js", _built("page.js")),
        text_media("page", ".css", _built("page.css")),
        effects_media(folder, shown.effects),
        {one.role: instrument_media(folder, one, shown.run.outputs) for one in shown.instruments},
        tuple(song_media(folder, path, song) for path, song in shown.songs),
    )


def write_page(folder: Path, shown: Shown, media: PageMedia) -> None:
    """Write index.html of a finished run folder; links are relative."""
    write_text(folder / PAGE_FILE, _document(shown.title, body(shown), media, _data(shown, media)))


def current_songs(folder: Path) -> list[tuple[str, Song]]:
    """Songs of a run that were played by its present instruments, as (path relative to the run, document)."""
    present = {path.parent.name: sha256_file(path) for path in sorted((folder / "instruments").glob("*/*.sf2"))}
    found = []
    for path in sorted((folder / "songs").glob("*/song.json")):
        song = Song.read(path)
        if all(present.get(role) == sha256 for role, sha256 in song.instruments.items()):
            found.append((path.parent.relative_to(folder).as_posix(), song))
    return found


def _data(shown: Shown, media: PageMedia) -> dict[str, Any]:
    """What the page's script needs to know beside what it reads from the page's text."""
    sources = [
        {"name": source.name, "box": source.box, "effects": [effect.number for effect in shown.effects_of(source)]}
        for source in shown.scene.sound_sources
    ]
    band = [
        {
            "role": one.role,
            "name": one.name,
            "media": Path(media.instruments[one.role].path).stem,
            "keys": [ROLE_SPECS[one.role].lo_key, ROLE_SPECS[one.role].hi_key],
            "effects": [casting.number for casting in shown.run.casting if casting.role == one.role],
        }
        for one in shown.instruments
    ]
    songs = [
        {
            "title": song_title(song, path.rpartition("/")[2]),
            "duration_s": round(song.duration_s, 6),
            "sample_rate": song.sample_rate,
            "chunk_frames": CHUNK_FRAMES,
            "score": files.score,
            "chunks": list(files.chunks),
        }
        for (path, song), files in zip(shown.songs, media.songs, strict=True)
    ]
    effects = {effect.number: round(effect.duration_s, 3) for effect in shown.effects}
    return {
        "effects_media": Path(media.effects.path).stem,
        "effects": effects,
        "sources": sources,
        "band": band,
        "songs": songs,
    }


@cache
def _built(name: str) -> str:
    return resources.files("flows.page").joinpath(name).read_text(encoding="utf-8")


# Only files of this place are loaded ('self', or file: where a page on disk has no self), and nothing in line runs.
_HERE = "'self' file:"
_POLICY = (
    f"default-src 'none'; script-src {_HERE}; style-src {_HERE}; img-src {_HERE} data: blob:; media-src {_HERE} blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'"
)


def _document(title: str, content: str, media: PageMedia, data: dict[str, Any]) -> str:
    # JSON's strings may hold "<": escaped, so that none of them ends the element.
    values = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY, quote=True)}">\n'
        f"<title>{escape(title)} · photone</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="picture.jpg">\n'
        f'<link rel="stylesheet" href="{media.style.path}">\n'
        f'<script defer src="{media.script.path}"></script>\n</head>\n<body>\n{content}\n'
        f'<script type="application/json" id="run">{values}</script>\n</body></html>\n'
    )
