"""Instruments + score -> song folder: song.wav, stems/ and song.json."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.audio import SAMPLE_RATE
from core.errors import InstrumentError
from core.manifest import atomic_folder, sha256_file
from phase2_music.instruments.sets import read_band
from phase2_music.rendering.mixing import MixOptions, mix_stems
from phase2_music.rendering.performance import Window, perform, turns_that_fit
from phase2_music.rendering.score import Score
from phase2_music.rendering.stem_cache import StemCache
from phase2_music.rendering.synth import StemRequest, render_stems
from schemas.document import Role
from schemas.song import ScoreRecord, ScoreTrack, Song, Stem


@dataclass(frozen=True)
class Band:
    """The instruments of a run: each role's SF2, its number of round robins, and where its source stands (-1..1)."""

    sf2: dict[Role, Path]
    turns: dict[Role, int]
    pan: dict[Role, float]


@dataclass(frozen=True)
class RenderOptions:
    """How a score is played.

    `preview_s` renders that many seconds from the first note on, None the whole score. `fold_octaves` brings notes beyond an
    instrument's sampled range into it by octaves; without it the outermost samples are played further up or down.
    """

    preview_s: float | None = None
    fold_octaves: bool = False
    mix: MixOptions = field(default_factory=MixOptions)


def find_band(folder: Path) -> Band:
    """The instruments in a folder laid out as a run's instruments/.

    Raises:
        InstrumentError: the folder is missing or holds no instrument.
        DocumentError: an instrument.json is damaged.
    """
    found = read_band(folder)
    return Band(
        sf2={role: folder / role / f"{role}.sf2" for role in found},
        turns={role: max(zone.seq_position for zone in each.zones) for role, each in found.items()},
        pan={role: each.pan for role, each in found.items()},
    )


def render_song(score: Score, band: Band, out: Path, options: RenderOptions, cache: StemCache | None = None) -> Song:
    """Play a score with a band and write `song.wav`, `stems/<role>.wav` and `song.json` into `out`, all or nothing.

    Raises:
        InstrumentError: a role of the score has no instrument, or an SF2 cannot be loaded.
        ScoreError: nothing sounds.
        OutputError: `out` cannot be written to.
    """
    began = time.perf_counter()
    with atomic_folder(out) as folder:
        stems = {role: folder / "stems" / f"{role}.wav" for role in score.roles}
        (folder / "stems").mkdir()
        instruments = {role: sha256_file(band.sf2[role]) for role in score.roles if role in band.sf2}
        raw = raw_stems(score, band, instruments, options, folder, cache)
        mix = mix_stems(raw, band.pan, stems, folder / "song.wav", options.mix)
        for path in raw.values():
            if path.is_relative_to(folder):
                path.unlink()
        duration_s = mix.frames / SAMPLE_RATE
        song = Song(
            score=_score_record(score),
            sample_rate=SAMPLE_RATE,
            duration_s=duration_s,
            loudness_lufs=round(mix.loudness_lufs, 2),
            true_peak_dbtp=round(mix.true_peak_dbtp, 2),
            stems=[
                Stem(
                    role=role,
                    file=f"stems/{role}.wav",
                    sha256=sha256_file(path),
                    pan=mix.levels[role].pan,
                    gain_db=mix.levels[role].gain_db,
                )
                for role, path in stems.items()
            ],
            instruments=instruments,
            preview_s=options.preview_s,
            rtf=round((time.perf_counter() - began) / duration_s, 4),
        )
        song.write(folder / "song.json")
    return song


def _window(score: Score, options: RenderOptions) -> Window:
    if options.preview_s is None:
        return Window(0.0, score.duration_s)
    start_s = score.first_note_s
    return Window(start_s, min(score.duration_s, start_s + options.preview_s))


def raw_stems(
    score: Score,
    band: Band,
    instruments: Mapping[Role, str],
    options: RenderOptions,
    scratch: Path,
    cache: StemCache | None = None,
) -> dict[Role, Path]:
    """A raw stem (32-bit float) for each role of the score, in `cache` or `scratch`; only what the cache lacks is rendered.

    `instruments` are the SHA-256 of the band's SF2 files.

    Raises:
        InstrumentError: a role of the score has no instrument, or an SF2 cannot be loaded.
        EngineError: libfluidsynth is not installed.
    """
    requests = [_request(score, role, band, options, scratch) for role in score.roles]
    if cache is None or not cache.usable():
        render_stems(requests)
        return {request.role: request.out for request in requests}
    keys = {request.role: request.key(instruments[request.role]) for request in requests}
    found = {role: path for role, key in keys.items() if (path := cache.find(key))}
    render_stems([replace(r, out=cache.place(keys[r.role])) for r in requests if r.role not in found])
    found |= {role: cache.keep(key) for role, key in keys.items() if role not in found}
    cache.tidy(list(found.values()))
    return found


def _request(score: Score, role: Role, band: Band, options: RenderOptions, folder: Path) -> StemRequest:
    if role not in band.sf2:
        raise InstrumentError(f"the score needs {role}, and the band has none: build one or use another score")
    tracks = [track for track in score.tracks if track.role == role]
    turns = turns_that_fit(len(tracks), band.turns[role])
    messages = perform(tracks, turns, _window(score, options), options.fold_octaves)
    return StemRequest(role, band.sf2[role], len(tracks), turns, messages, folder / f"{role}.raw.wav")


def _score_record(score: Score) -> ScoreRecord:
    tracks = [
        ScoreTrack(name=t.name, program=t.program, is_drum=t.is_drum, role=t.role, notes=t.notes) for t in score.tracks
    ]
    return ScoreRecord(file=score.path.name, sha256=score.sha256, duration_s=round(score.duration_s, 3), tracks=tracks)
