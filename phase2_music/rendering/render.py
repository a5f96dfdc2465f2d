"""Instruments + score -> song folder: song.wav, stems/ and song.json."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from core.audio import SAMPLE_RATE
from core.errors import DocumentError, InstrumentError
from core.manifest import atomic_folder, sha256_file, sha256_json
from phase2_music.instruments.sets import read_band, role_soundfont
from phase2_music.rendering.encoding import FILE_FORMATS, RAW_SUFFIX, stem_suffix
from phase2_music.rendering.metering import StemMeasure
from phase2_music.rendering.mixing import Mix, MixOptions, mix_stems
from phase2_music.rendering.performance import Window, kits, on_grid, perform, turns_that_fit
from phase2_music.rendering.score import Score
from phase2_music.rendering.stem_cache import StemCache
from phase2_music.rendering.synth import StemRequest, library_version, render_stems
from schemas.document import ROLES, Role
from schemas.song import Reverb, ScoreRecord, ScoreTrack, Song, Stem

DOCUMENT = "song.json"
OWN_FILES = (
    DOCUMENT,
    *(f"song.{kind}" for kind in FILE_FORMATS),
    "stems",
    *(f"stems/{part}{suffix}" for part in (*ROLES, "reverb") for suffix in (".wav", ".flac")),
)
"""Patterns of what a song's folder holds."""
# Of mallopt(3): M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
_MALLOC_OPTIONS = {-8: 1, -3: 32 << 20, -1: 64 << 20}
_SONG_VERSION = 5  # raised when the same score, band and options come to sound otherwise


@dataclass(frozen=True)
class Band:
    """The instruments of a run: each role's SF2, its number of round robins, the silence before its samples, its release in
    seconds (-60 dB), where its source stands in the picture (-1..1), and how open the scene is (0..1).
    """

    sf2: dict[Role, Path]
    turns: dict[Role, int]
    lead_frames: dict[Role, int]
    release_s: dict[Role, float]
    pan: dict[Role, float]
    openness: float


@dataclass(frozen=True)
class RenderOptions:
    """How a score is played.

    `preview_s` renders that many seconds from the first note on, None the whole score. `fold_octaves` brings notes beyond an
    instrument's sampled range into it by octaves; without it the outermost samples are played further up or down.
    """

    preview_s: float | None = None
    fold_octaves: bool = False
    mix: MixOptions = field(default_factory=MixOptions)


def find_band(folder: Path, kept: Path | None = None) -> Band:
    """The instruments in a folder laid out as a run's instruments/; an SF2 that is not there is made in `kept`.

    Raises:
        InstrumentError: the folder is missing or holds no instrument.
        DocumentError: an instrument.json is damaged.
    """
    found = read_band(folder)
    return Band(
        sf2={role: role_soundfont(folder / role, each, kept) for role, each in found.items()},
        turns={role: max(zone.seq_position for zone in each.zones) for role, each in found.items()},
        lead_frames={role: each.lead_frames for role, each in found.items()},
        release_s={role: each.envelope.release_s for role, each in found.items()},
        pan={role: each.pan for role, each in found.items()},
        openness=sum(each.openness for each in found.values()) / len(found),
    )


def render_song(score: Score, band: Band, out: Path, options: RenderOptions, cache: StemCache | None = None) -> Song:
    """Play a score with a band: `song.wav` (or as `options.mix` says), `stems/<role>.wav`, `stems/reverb.wav` and `song.json`.

    All or nothing of it is written into `out`. A song that is there already and was made of the same stays as it is.

    Raises:
        InstrumentError: a role of the score has no instrument, or an SF2 cannot be loaded.
        ScoreError: nothing sounds.
        OutputError: `out` cannot be written to.
    """
    began = time.perf_counter()
    _keep_freed_pages()
    instruments = {role: sha256_file(band.sf2[role]) for role in score.roles if role in band.sf2}
    key = _song_key(score, band, instruments, options)
    done = _same_song(out, key)
    if done is not None:
        return done
    with atomic_folder(out) as folder:
        (folder / "stems").mkdir()
        raw, measures = raw_stems(score, band, instruments, options, folder, cache)
        mix_options = replace(options.mix, openness=band.openness)
        files = _Files.of(folder, score.roles, mix_options)
        mix = mix_stems(raw, band.pan, files.stems, files.song, mix_options, files.reverb, measures)
        for path in raw.values():
            if path.is_relative_to(folder):
                path.unlink()
        song = _document(score, options, mix, files.hashed(folder), instruments, key, began)
        song.write(folder / DOCUMENT)
    return song


def _keep_freed_pages() -> None:
    """Let the C library keep what stems and mix free and ask for again, some 2 MB at a time, in one place for all threads.

    Left alone, glibc gives it back to the system and keeps as much again for each thread: a sixth of the time goes into
    clearing pages. Other C libraries are left as they are.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for option, value in _MALLOC_OPTIONS.items():
            library.mallopt(option, value)


@dataclass(frozen=True)
class _Files:
    """Where the parts of a song go."""

    song: Path
    stems: dict[Role, Path]
    reverb: Path

    @classmethod
    def of(cls, folder: Path, roles: Sequence[Role], options: MixOptions) -> _Files:
        suffix = stem_suffix(options.file_format)
        stems = {role: folder / "stems" / f"{role}{suffix}" for role in roles}
        return cls(folder / f"song.{options.file_format}", stems, folder / "stems" / f"reverb{suffix}")

    def hashed(self, folder: Path) -> dict[str, tuple[str, str]]:
        """Of each part that was written, by "song", "reverb" or role: its path in the folder and its SHA-256."""
        parts: list[tuple[str, Path]] = [("song", self.song), ("reverb", self.reverb), *self.stems.items()]
        present = {name: path for name, path in parts if path.is_file()}
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            hashes = list(pool.map(sha256_file, present.values()))
        paths = (path.relative_to(folder).as_posix() for path in present.values())
        return dict(zip(present, zip(paths, hashes, strict=True), strict=True))


def _song_key(score: Score, band: Band, instruments: Mapping[Role, str], options: RenderOptions) -> str:
    """Hash of all that a song depends on."""
    roles = [track.role for track in score.tracks]
    pans = {role: band.pan[role] for role in instruments}
    choices = [asdict(options), band.openness, library_version()]
    return sha256_json([_SONG_VERSION, score.sha256, roles, dict(instruments), pans, *choices])


def _same_song(folder: Path, key: str) -> Song | None:
    """The song in a folder if it has this key and all its files are as they were written."""
    try:
        song = Song.read(folder / DOCUMENT)
    except (DocumentError, OSError):
        return None
    if song.key != key:
        return None
    files = [(song.file, song.sha256), *((stem.file, stem.sha256) for stem in song.stems)]
    files += [(song.reverb.file, song.reverb.sha256)] if song.reverb else []
    whole = all(not file or ((folder / file).is_file() and sha256_file(folder / file) == sha) for file, sha in files)
    return song if whole else None


def _document(
    score: Score,
    options: RenderOptions,
    mix: Mix,
    files: Mapping[str, tuple[str, str]],
    instruments: dict[Role, str],
    key: str,
    began: float,
) -> Song:
    duration_s = mix.frames / SAMPLE_RATE
    file, sha256 = files.get("song", (None, None))
    reverb = files.get("reverb")
    return Song(
        score=_score_record(score),
        file=file,
        sha256=sha256,
        sample_rate=SAMPLE_RATE,
        duration_s=duration_s,
        loudness_lufs=round(mix.loudness_lufs, 2),
        true_peak_dbtp=round(mix.true_peak_dbtp, 2),
        stems=[
            Stem(role=role, file=files[role][0], sha256=files[role][1], pan=level.pan, gain_db=level.gain_db)
            for role, level in mix.levels.items()
        ],
        reverb=Reverb(file=reverb[0], sha256=reverb[1], room_s=mix.room_s) if reverb and mix.room_s else None,
        instruments=dict(instruments),
        options=_choices(options),
        key=key,
        preview_s=options.preview_s,
        rtf=round((time.perf_counter() - began) / duration_s, 4),
        warnings=list(mix.warnings),
    )


def _choices(options: RenderOptions) -> dict[str, bool | int | float | str | None]:
    """The options as one flat table."""
    return {**asdict(options.mix), "fold_octaves": options.fold_octaves}


def _window(score: Score, options: RenderOptions) -> Window:
    if options.preview_s is None:
        return Window(0.0, score.duration_s, cut=False)
    start_s = score.first_note_s
    end_s = start_s + options.preview_s
    return Window(start_s, min(score.duration_s, end_s), cut=end_s < score.duration_s)


def raw_stems(
    score: Score,
    band: Band,
    instruments: Mapping[Role, str],
    options: RenderOptions,
    scratch: Path,
    cache: StemCache | None = None,
) -> tuple[dict[Role, Path], dict[Role, StemMeasure]]:
    """A raw stem for each role of the score, in `cache` or `scratch`; only what the cache lacks is rendered.

    Gives their paths, and what was measured of them (of a kept one, unless that was lost). `instruments` are the SHA-256 of
    the band's SF2 files.

    Raises:
        InstrumentError: a role of the score has no instrument, or an SF2 cannot be loaded.
        EngineError: libfluidsynth is not installed.
    """
    requests = [_request(score, role, band, options, scratch) for role in score.roles]
    if cache is None or not cache.usable():
        return {request.role: request.out for request in requests}, render_stems(requests)
    keys = {request.role: request.key(instruments[request.role]) for request in requests}
    found = {role: path for role, key in keys.items() if (path := cache.find(key))}
    measures = render_stems([replace(r, out=cache.place(keys[r.role])) for r in requests if r.role not in found])
    # In the score's order, whatever was kept: stems are added up in it, and another order rounds otherwise.
    raw = {role: found.get(role) or cache.keep(key, measures[role]) for role, key in keys.items()}
    cache.tidy(list(raw.values()))
    return raw, measures | {role: kept for role, path in found.items() if (kept := cache.measure(path))}


def _request(score: Score, role: Role, band: Band, options: RenderOptions, folder: Path) -> StemRequest:
    if role not in band.sf2:
        raise InstrumentError(f"the score needs {role}, and the band has none: build one or use another score")
    tracks = [track for track in score.tracks if track.role == role]
    tracks = kits(tracks) if role == "drums" else tracks
    turns = turns_that_fit(len(tracks), band.turns[role])
    lead = band.lead_frames[role]
    messages = perform(tracks, turns, _window(score, options), options.fold_octaves, lead)
    return StemRequest(
        role,
        band.sf2[role],
        len(tracks),
        turns,
        messages,
        folder / f"{role}{RAW_SUFFIX}",
        on_grid(lead),
        band.release_s[role],
    )


def _score_record(score: Score) -> ScoreRecord:
    tracks = [
        ScoreTrack(
            number=track.number,
            name=track.name,
            program=track.program,
            is_drum=track.is_drum,
            role=track.role,
            notes=track.notes,
        )
        for track in score.tracks
    ]
    return ScoreRecord(file=score.path.name, sha256=score.sha256, duration_s=round(score.duration_s, 3), tracks=tracks)
