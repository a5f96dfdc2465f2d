"""Instruments + score -> song folder: song.wav, stems/ and song.json."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from core.audio import SAMPLE_RATE
from core.errors import InstrumentError
from core.manifest import atomic_folder, sha256_file
from phase2_music.instruments.sets import read_band
from phase2_music.rendering.mixing import MixOptions, mix_stems
from phase2_music.rendering.performance import Window
from phase2_music.rendering.score import Score
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


def render_song(score: Score, band: Band, out: Path, options: RenderOptions) -> Song:
    """Play a score with a band and write `song.wav`, `stems/<role>.wav` and `song.json` into `out`, all or nothing.

    Raises:
        InstrumentError: a role of the score has no instrument, or an SF2 cannot be loaded.
        ScoreError: nothing sounds.
        OutputError: `out` cannot be written to.
    """
    began = time.perf_counter()
    with atomic_folder(out) as folder:
        stems = {role: folder / "stems" / f"{role}.wav" for role in score.roles}
        raw_folder = folder / "raw"
        raw_folder.mkdir()
        (folder / "stems").mkdir()
        requests = _requests(score, band, options, raw_folder)
        render_stems(requests)
        raw = {request.role: request.out for request in requests}
        mix = mix_stems(raw, band.pan, stems, folder / "song.wav", options.mix)
        for path in raw.values():
            path.unlink()
        raw_folder.rmdir()
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
            instruments={role: sha256_file(band.sf2[role]) for role in stems},
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


def _requests(score: Score, band: Band, options: RenderOptions, folder: Path) -> list[StemRequest]:
    window = _window(score, options)
    requests = []
    for role in score.roles:
        if role not in band.sf2:
            raise InstrumentError(f"the score needs {role}, and the band has none: build one or use another score")
        tracks = tuple(track for track in score.tracks if track.role == role)
        sf2, turns, out = band.sf2[role], band.turns[role], folder / f"{role}.wav"
        requests.append(StemRequest(role, sf2, turns, tracks, window, options.fold_octaves, out))
    return requests


def _score_record(score: Score) -> ScoreRecord:
    tracks = [
        ScoreTrack(name=t.name, program=t.program, is_drum=t.is_drum, role=t.role, notes=t.notes) for t in score.tracks
    ]
    return ScoreRecord(file=score.path.name, sha256=score.sha256, duration_s=round(score.duration_s, 3), tracks=tracks)
