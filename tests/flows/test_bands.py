"""The ready-made bands of soundfonts/: small, whole, in tune, and playable at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.audio import read_audio
from core.loudness import loudness_lufs
from core.manifest import sha256_file
from flows.bands import FOLDER, READY
from flows.evaluation.songs import evaluate_songs, missed
from flows.runs.songs import SongOptions, render
from phase2_music.instruments.sets import export_set, read_band
from phase2_music.rendering.render import RenderOptions
from phase2_music.scores import bundled_scores
from schemas.band import Band
from schemas.document import MELODIC_ROLES, ROLES

every_band = pytest.mark.parametrize("name", [ready.name for ready in READY])


def test_there_are_at_least_two_and_nothing_else() -> None:
    assert len(READY) >= 2
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} >= {ready.name for ready in READY}


@every_band
def test_a_band_is_small_and_as_its_manifest_says(name: str) -> None:
    folder = FOLDER / name
    manifest = Band.read(folder / "band.json")
    assert manifest.name == name
    assert {file.path: file.sha256 for file in manifest.files} == {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "band.json"
    }
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 6_000_000


@every_band
def test_a_band_is_whole_and_in_tune(name: str) -> None:
    band = read_band(FOLDER / name)
    assert set(band) == set(ROLES)
    for role in MELODIC_ROLES:
        verified = band[role].verified
        assert verified.notes >= 5
        assert verified.within_25_cents == verified.notes


@every_band
def test_a_band_plays_at_once_and_goes_into_one_file(name: str, tmp_path: Path) -> None:
    song = render(FOLDER / name, SongOptions("entertainer", render=RenderOptions(preview_s=15.0)), tmp_path / "song")
    assert len(song.stems) == 4
    assert loudness_lufs(read_audio(tmp_path / "song" / "song.wav")) == pytest.approx(-14.0, abs=0.5)
    export_set(FOLDER / name, tmp_path / "band.sf2")
    assert (tmp_path / "band.sf2").stat().st_size > 1_000_000


@pytest.mark.slow
@every_band
def test_a_band_plays_every_bundled_score_well(name: str, tmp_path: Path) -> None:
    songs = evaluate_songs(FOLDER / name, list(bundled_scores()), tmp_path)
    assert {song.score: missed(song) for song in songs if missed(song)} == {}
