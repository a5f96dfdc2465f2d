"""Score + band -> song: the last stage of a run, and swap and render, which need nothing of the stages before.

Nothing here imports the engines or the instrument builder, so that another score answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import TypeAdapter

from core.errors import DocumentError, ScoreError
from core.manifest import check_replaceable, sha256_file, write_bytes
from flows.page import media_of, shown_of, write_page
from flows.page.media import SCORE_FILE
from flows.runs.archive import archive_stage
from flows.runs.cover import cover_stage
from flows.runs.ledger import RUN_FILE, Ledger, files_under
from flows.runs.locks import run_lock
from phase2_music.rendering.render import OWN_FILES, Band, RenderOptions, find_band, render_song
from phase2_music.rendering.score import Score, map_roles, read_score
from phase2_music.rendering.stem_cache import StemCache
from phase2_music.scores import bundled_scores, find_score
from schemas.document import ROLES, Role
from schemas.effect import Effect, Effects
from schemas.instrument import Instrument
from schemas.run import Run
from schemas.song import Song

Report = Callable[[str], None]
"""Told the name of each stage as it begins."""

ShowScore = Callable[[Score], None]
"""Told which role plays which track, before a song is rendered."""

_VERSION = 4  # raised when a song changes without its inputs changing


@dataclass(frozen=True)
class SongOptions:
    """What is played and how.

    `score` is a bundled name or a path; `roles` gives roles to its tracks by name or number, over General MIDI's. Roles that
    are not among the `players` stay silent.
    """

    score: str = "canon"
    roles: Mapping[str, Role] = field(default_factory=dict)
    render: RenderOptions = field(default_factory=RenderOptions)
    players: tuple[Role, ...] = ROLES

    def read(self) -> Score:
        """The score with its roles.

        Raises:
            ScoreError: an unknown or unreadable score, or the players have nothing to play in it.
            UsageError: `roles` names a track that the score does not have.
        """
        score = map_roles(read_score(find_score(self.score)), self.roles)
        heard = tuple(track for track in score.tracks if track.role in self.players)
        if not heard:
            raise ScoreError(f"{self.score}: has nothing for {', '.join(self.players)}: add {', '.join(score.roles)}")
        return dataclasses.replace(score, tracks=heard)


@dataclass(frozen=True)
class Made:
    """A finished run: its manifest, the song that was asked for and that song's folder."""

    run: Run
    song: Song
    song_folder: Path

    @property
    def song_path(self) -> Path:
        """The song's file; its folder where only stems were asked for."""
        return self.song_folder / (self.song.file or "stems")


def score_name(score: str) -> str:
    """The name of a score's folder under songs/: of letters, digits, dots and dashes."""
    stem = Path(score).stem if score not in bundled_scores() else score
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "score"


def cache_folder() -> Path:
    """Where what can be made again is kept: photone in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photone"


def stem_cache() -> StemCache:
    """Where raw stems are kept."""
    return StemCache(cache_folder() / "stems")


def band_of(instruments: Path) -> Band:
    """The band in a folder laid out as a run's instruments/.

    Raises:
        InstrumentError: the folder is missing or holds no instrument.
    """
    return find_band(instruments, cache_folder() / "sf2")


def song_folder_name(options: SongOptions) -> str:
    """The song's folder under songs/; a preview has its own, as it must not take the place of a whole song."""
    return score_name(options.score) + ("-preview" if options.render.preview_s else "")


def song_stage(ledger: Ledger, options: SongOptions, show: ShowScore = lambda score: None) -> Path:
    """songs/<score>/: the score played by the band; gives that folder."""
    name = song_folder_name(options)
    out = ledger.folder / "songs" / name
    band = band_of(ledger.folder / "instruments")

    def work() -> list[Path]:
        score = options.read()
        show(score)
        render_song(score, band, out, options.render, stem_cache())
        write_bytes(out / SCORE_FILE, score.path.read_bytes())  # for the page, and for whoever wants to play on
        return files_under(out)

    ledger.stage(f"song-{name}", _depends(options, band), work)
    _note_asked(ledger, name, options)
    return out


def _note_asked(ledger: Ledger, name: str, options: SongOptions) -> None:
    """Keep how a song was asked for: when the band changes it is played again."""
    values = json.loads(json.dumps(dataclasses.asdict(options)))
    asked = ledger.run.asked
    if asked is not None and asked.songs.get(name) != values:
        ledger.note(asked=asked.model_copy(update={"songs": {**asked.songs, name: values}}))


def songs_stage(ledger: Ledger, report: Report = lambda stage: None) -> Path:
    """Every song of a run once more, as it was asked for, played by the present band; gives the last one's folder.

    Raises:
        ScoreError: there is no song, or the score of one is gone.
    """
    asked = ledger.run.asked.songs if ledger.run.asked else {}
    there = {name: values for name, values in asked.items() if (ledger.folder / "songs" / name / "song.json").is_file()}
    if not there:
        raise ScoreError(f"{ledger.folder}: has no song to play again: choose a score with `photone swap`")
    for number, (name, values) in enumerate(there.items()):
        report(f"songs: {number} of {len(there)}")
        out = _again(ledger, name, parse_song(values))
    return out


def _again(ledger: Ledger, name: str, options: SongOptions) -> Path:
    """A song once more; its own score lies beside it, under a name that is not its own."""
    if options.score in bundled_scores():
        return song_stage(ledger, options)
    folder = ledger.folder / "songs" / name
    with TemporaryDirectory() as scratch:
        score = Path(scratch) / Path(Song.read(folder / "song.json").score.file).name
        score.write_bytes((folder / SCORE_FILE).read_bytes() if (folder / SCORE_FILE).is_file() else b"")
        out = song_stage(ledger, dataclasses.replace(options, score=str(score)))
    _note_asked(ledger, name, options)
    return out


def parse_song(values: Any) -> SongOptions:
    """What is played, out of small values."""
    return TypeAdapter(SongOptions).validate_python(values)


def _depends(options: SongOptions, band: Band) -> dict[str, object]:
    # Only where it says something, so that songs of earlier versions stay as they are.
    players = {} if options.players == ROLES else {"players": list(options.players)}
    return {
        **players,
        "version": _VERSION,
        "score": sha256_file(find_score(options.score)),
        "roles": dict(options.roles),
        "instruments": {role: sha256_file(sf2) for role, sf2 in band.sf2.items()},
        "pans": band.pan,
        "openness": band.openness,
        "options": dataclasses.asdict(options.render),
    }


def finish(ledger: Ledger, song_folder: Path) -> Made:
    """Gather the warnings of all documents into the manifest, write the page and say what came out."""
    folder = ledger.folder
    document = Effects.read(folder / "effects" / "effects.json")
    instruments = [Instrument.read(folder / "instruments" / role / "instrument.json") for role in ROLES]
    song = Song.read(song_folder / "song.json")
    warnings = list(ledger.run.picture.notes) if ledger.run.picture else []
    warnings += ledger.run.scene_notes
    warnings += [f"{effect.file}: {problem}" for effect in document.effects for problem in effect.verdict]
    warnings += [*document.notes, *(f"no effect of {variant}" for variant in document.left_out)]
    warnings += [f"{instrument.role}: {warning}" for instrument in instruments for warning in instrument.warnings]
    ledger.note(warnings=[*warnings, *song.warnings])
    cover_stage(ledger, document.effects)
    archive_stage(ledger)
    _page_stage(ledger, document.effects, instruments, song_folder)
    return Made(ledger.run, song, song_folder)


def _page_stage(
    ledger: Ledger, effects: Sequence[Effect], instruments: Sequence[Instrument], song_folder: Path
) -> None:
    """page/, of which only what is new is made, and index.html, which opens with the song in `song_folder`."""
    shown = shown_of(ledger.folder, ledger.run, effects, instruments, song_folder.name)
    media = media_of(ledger.folder, shown)

    def work() -> list[Path]:
        media.write(ledger.folder, ledger.intact("page"))
        return [ledger.folder / path for path in media.paths]

    ledger.stage("page", {"files": sorted(media.paths)}, work)
    write_page(ledger.folder, shown, media)


def swap(
    folder: Path,
    options: SongOptions,
    report: Report = lambda stage: None,
    show: ShowScore = lambda score: None,
) -> Made:
    """Play another score with the band of a finished run, into its songs/.

    Raises:
        DocumentError: the folder is not a run.
        ScoreError: the score cannot be read.
    """
    check_swap(folder, options)
    with run_lock(folder):
        ledger = Ledger.read(folder)
        report("song")
        song_folder = song_stage(ledger, options, show)
        ledger.mark_untouched()
        return finish(ledger, song_folder)


def check_swap(folder: Path, options: SongOptions) -> None:
    """Refuse a score that cannot be read and a run whose instruments are not finished.

    Raises:
        ScoreError: the score cannot be read.
        UsageError: a role is given to a track that the score does not have.
        DocumentError: a role has no instrument.
    """
    options.read()
    check_band(folder)


def check_band(folder: Path) -> None:
    """Refuse a run whose instruments are not finished.

    Raises:
        DocumentError: a role has no instrument.
    """
    Run.read(folder / RUN_FILE)
    for role in ROLES:
        if not (folder / "instruments" / role / "instrument.json").is_file():
            raise DocumentError(f"{folder}: has no finished {role}: run `photone make` on it again")


def render(instruments: Path, options: SongOptions, out: Path, show: ShowScore = lambda score: None) -> Song:
    """Play a score with a folder of instruments into `out`; a song that is there already, made of the same, stays.

    Raises:
        InstrumentError: no instruments there.
        OutputError: `out` is a file or holds something other than a song.
    """
    score = options.read()
    band = band_of(instruments)
    check_replaceable(out, OWN_FILES, "part of a song")
    show(score)
    return render_song(score, band, out, options.render, stem_cache())
