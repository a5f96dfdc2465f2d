"""The catalogue of runs: what the gallery lists, searches and sorts, out of the runs' own documents.

Nothing is kept on disk: a run's entry is read again when its run.json has changed. Documents are read leniently, since a
damaged one must stop nothing; what may be changed is checked by the stages.
"""

from __future__ import annotations

import json
import threading
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from core.manifest import sha256_file
from flows.page.words import song_title
from flows.runs.ledger import RUN_FILE
from flows.service.app.answers import (
    CastingAnswer,
    Download,
    EffectAnswer,
    EngineNames,
    RunDetail,
    RunSummary,
    SongAnswer,
)
from flows.service.app.folders import MEDIA_TYPES, PAGE_FILE, find_file, finished_runs, run_id, run_url
from schemas.document import Role
from schemas.effect import Effect, Effects
from schemas.run import Run
from schemas.scene import Scene, upgraded
from schemas.song import Song

Sort = Literal["newest", "oldest", "name"]
SORTS: Mapping[Sort, tuple[Callable[[RunSummary], str], bool]] = {
    "newest": (lambda run: run.made_at, True),
    "oldest": (lambda run: run.made_at, False),
    "name": (lambda run: folded(run.title + " " + run.name), False),
}
"""What runs are sorted by, and whether backwards."""

THUMBNAIL = "thumbnail"
_DAMAGED = "run.json is damaged: run `photone make` on it again"


@dataclass(frozen=True)
class Documents:
    """A run's documents as far as they can be read."""

    run: Run
    scene: Scene | None
    effects: Effects | None
    songs: Sequence[tuple[str, Song]]

    def effect(self, number: int) -> Effect | None:
        """An effect by its number."""
        effects = self.effects.effects if self.effects else ()
        return next((effect for effect in effects if effect.number == number), None)


@dataclass(frozen=True)
class _Entry:
    stamp: tuple[int, ...]
    summary: RunSummary
    words: str = field(repr=False)


class Catalogue:
    """The finished runs below a folder. It may be asked from several threads."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._entries: dict[str, _Entry] = {}
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def find(self, search: str = "", sort: Sort = "newest") -> list[RunSummary]:
        """Runs in which every word of `search` is found, in order."""
        wanted = folded(search).split()
        with self._lock:
            found = [entry.summary for entry in self._look() if all(word in entry.words for word in wanted)]
        key, backwards = SORTS[sort]
        return sorted(sorted(found, key=lambda run: run.name), key=key, reverse=backwards)

    def folder(self, identity: str) -> Path | None:
        """The folder of a run by its id, None where there is none (any more)."""
        with self._lock:
            name = self._names.get(identity)
            if name is None or not (self.runs / name / RUN_FILE).is_file():
                self._look()
                name = self._names.get(identity)
        return None if name is None else self.runs / name

    def name(self, folder: Path) -> str:
        """A run folder's name: its path below the runs folder."""
        return folder.relative_to(self.runs).as_posix()

    def detail(self, folder: Path) -> RunDetail:
        """Everything about a run."""
        name = self.name(folder)
        documents = read_documents(folder)
        summary = _summary(self.runs, name, documents).model_dump()
        return RunDetail(**summary, **(_details(folder, name, documents) if documents else {}))

    def _look(self) -> Sequence[_Entry]:
        entries: dict[str, _Entry] = {}
        for folder in finished_runs(self.runs):
            name = self.name(folder)
            try:
                stamp = _stamp(folder)
                known = self._entries.get(name)
                entries[name] = known if known and known.stamp == stamp else self._entry(folder, name, stamp)
            except OSError:  # it went away meanwhile
                continue
        self._entries = entries
        self._names = {entry.summary.id: name for name, entry in entries.items()}
        return list(entries.values())

    def _entry(self, folder: Path, name: str, stamp: tuple[int, ...]) -> _Entry:
        documents = read_documents(folder)
        summary = _summary(self.runs, name, documents)
        return _Entry(stamp, summary, folded(" ".join([name, summary.title, *_said(documents)])))


def _stamp(folder: Path) -> tuple[int, ...]:
    found = (folder / RUN_FILE).stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def folded(text: str) -> str:
    """Text for comparing: no case, no accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def read_documents(folder: Path) -> Documents | None:
    """What a run's documents say, None where run.json is damaged."""
    run = _read(folder / RUN_FILE, Run.model_validate)
    if run is None or not run.stages:
        return None
    songs = [
        (path.parent.name, song)
        for path in sorted((folder / "songs").glob("*/song.json"))
        if (song := _read(path, Song.model_validate)) is not None
    ]
    scene = _read(folder / "scene.json", lambda value: Scene.model_validate(upgraded(value)))
    return Documents(run, scene, _read(folder / "effects" / "effects.json", Effects.model_validate), songs)


def _read(path: Path, parse: Callable[[Any], Any]) -> Any:
    try:
        return parse(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError, RecursionError):
        return None


def _said(documents: Documents | None) -> list[str]:
    """What can be searched for."""
    if documents is None:
        return []
    sources = documents.scene.sound_sources if documents.scene else ()
    said = [text for source in sources for text in (source.name, source.material)]
    said += [effect.play_method for effect in (documents.effects.effects if documents.effects else ())]
    return said + [song_title(song, name) for name, song in documents.songs]


def _summary(runs: Path, name: str, documents: Documents | None) -> RunSummary:
    folder = runs / name
    picture = find_file(runs, f"{name}/picture.jpg")
    stamp = picture.stat().st_mtime_ns if picture else 0
    identity = run_id(name)
    made = datetime.fromtimestamp((folder / RUN_FILE).stat().st_mtime, UTC)
    head = {
        "id": identity,
        "name": shown(name),
        "title": shown(Path(name).name),
        "url": run_url(name, PAGE_FILE),
        "thumbnail": f"/api/v1/runs/{identity}/{THUMBNAIL}?v={stamp:x}" if picture else None,
        "picture": run_url(name, "picture.jpg") if picture else None,
        "made_at": made.isoformat(timespec="milliseconds"),
    }
    if documents is None:
        return RunSummary(**head, problem=_DAMAGED)
    if documents.run.picture:
        head["title"] = shown(Path(documents.run.picture.file).stem)
    sources = [source.name for source in documents.scene.sound_sources] if documents.scene else []
    return RunSummary(**head, sources=sources, roles=_roles(documents), songs=_songs(name, documents))


def shown(text: str) -> str:
    """A file's name as text, whatever bytes it is made of."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _roles(documents: Documents) -> dict[Role, str]:
    roles: dict[Role, list[str]] = {}
    for casting in documents.run.casting:
        effect = documents.effect(casting.number)
        roles.setdefault(casting.role, []).append(effect.source if effect else casting.effect)
    return {role: ", ".join(dict.fromkeys(sources)) for role, sources in roles.items()}


def _songs(name: str, documents: Documents) -> list[SongAnswer]:
    band = {output.path: output.sha256 for output in documents.run.outputs}
    return [_song(name, folder, song, band) for folder, song in documents.songs]


def _song(name: str, folder: str, song: Song, band: Mapping[str, str]) -> SongAnswer:
    # A song's document names a file; it is followed only within its own folder.
    file = song.file if song.file and "/" not in song.file else None
    return SongAnswer(
        name=folder,
        title=song_title(song, folder),
        url=run_url(name, "songs", folder, file) if file else None,
        page_url=None,
        duration_s=song.duration_s,
        loudness_lufs=song.loudness_lufs,
        preview=song.preview_s is not None,
        current=all(band.get(f"instruments/{role}/{role}.sf2") == sha for role, sha in song.instruments.items()),
    )


def _details(folder: Path, name: str, documents: Documents) -> dict[str, Any]:
    run, scene_file = documents.run, folder / "scene.json"
    return {
        "scene": documents.scene,
        "scene_sha256": sha256_file(scene_file) if documents.scene else None,
        "scene_edited": run.scene_edit is not None and run.scene_edit.stands,
        "effects": _effects(name, documents),
        "casting": [CastingAnswer(**casting.model_dump(exclude={"score"})) for casting in run.casting],
        "seed": run.seed,
        "engines": _engines(run),
        "downloads": _downloads(folder, name, documents),
        "warnings": run.warnings,
    }


def _engines(run: Run) -> EngineNames | None:
    made = run.engines
    return EngineNames(vision=made.vision.name, effects=made.effects.name, timbre=made.timbre.name) if made else None


def _effects(name: str, documents: Documents) -> list[EffectAnswer]:
    if documents.effects is None:
        return []
    places = _places(documents.scene, len(documents.effects.effects) + len(documents.effects.left_out))
    return [_effect(name, documents, effect, places.get(effect.number)) for effect in documents.effects.effects]


def _places(scene: Scene | None, count: int) -> dict[int, tuple[int, int]]:
    """Where each effect's variant stands in the scene: source and variant, from 0."""
    from phase1_sound.effects.planning import kept_variants

    if scene is None:
        return {}
    kept = {id(variant) for _, variant in kept_variants(scene)}
    places = [
        (row, column)
        for row, source in enumerate(scene.sound_sources)
        for column, variant in enumerate(source.variants)
        if id(variant) in kept
    ]
    return dict(enumerate(places, 1)) if len(places) == count else {}  # else it was made of another scene


def _effect(name: str, documents: Documents, effect: Effect, place: tuple[int, int] | None) -> EffectAnswer:
    return EffectAnswer(
        number=effect.number,
        name=f"{effect.source}: {effect.play_method}",
        source=effect.source,
        material=effect.material,
        play_method=effect.play_method,
        timbre=effect.timbre,
        role_hint=effect.role_hint,
        confidence=effect.confidence,
        roles=[casting.role for casting in documents.run.casting if casting.number == effect.number],
        url=run_url(name, "effects", effect.file),
        seed=effect.seed,
        made_again=effect.own_seed is not None,
        verdict=effect.verdict,
        duration_s=effect.duration_s,
        loudness_lufs=effect.measures.loudness_lufs,
        source_index=place[0] if place else None,
        variant_index=place[1] if place else None,
    )


_TAKEN_ALONG = (".sf2", ".sfz", ".dspreset")


def _downloads(folder: Path, name: str, documents: Documents) -> list[Download]:
    """Songs, the band's instruments, the scene, and zips that lie there."""
    outputs = {output.path: output.bytes for output in documents.run.outputs}
    songs = {f"songs/{song_folder}/{song.file}" for song_folder, song in documents.songs if song.file}
    chosen = [path for path in outputs if path in songs or path == "scene.json" or path.endswith(_TAKEN_ALONG)]
    zips = [path for path in sorted(folder.glob("*.zip")) if not path.name.startswith(".") and not path.is_symlink()]
    sizes = {path: outputs[path] for path in chosen} | {path.name: path.stat().st_size for path in zips}
    return [
        Download(name=path, url=run_url(name, path), bytes=size)
        for path, size in sizes.items()
        if Path(path).suffix in MEDIA_TYPES
    ]
