"""Whole songs, bundled scores and made-up ones: each keeps to its loudness and peak, and its parts add up to it."""

from __future__ import annotations

from pathlib import Path

import mido
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from core.audio import Audio, read_audio
from core.loudness import loudness_lufs, true_peak_dbtp
from phase2_music.rendering.encoding import sum_error_dbfs
from phase2_music.rendering.render import RenderOptions, find_band, render_song
from phase2_music.rendering.score import read_score
from phase2_music.scores import bundled_scores
from schemas.song import Song

FULL_SCALE_24_DB = -138.0


def check(folder: Path, song: Song) -> None:
    mix: Audio = read_audio(folder / "song.wav")
    assert loudness_lufs(mix) == pytest.approx(-14.0, abs=0.5), song.warnings
    assert true_peak_dbtp(mix) <= -1.0
    assert song.reverb is not None
    parts = [folder / stem.file for stem in song.stems] + [folder / song.reverb.file]
    assert sum_error_dbfs(parts, folder / "song.wav") < FULL_SCALE_24_DB


@pytest.mark.parametrize("name", ["canon", "greensleeves", "mountain-king", "ode-to-joy"])
def test_bundled_scores_keep_to_loudness_and_peak(tmp_path: Path, noise_band: Path, name: str) -> None:
    score = read_score(bundled_scores()[name].path)
    check(tmp_path / "song", render_song(score, find_band(noise_band), tmp_path / "song", RenderOptions()))


@st.composite
def scores(draw: st.DrawFn) -> mido.MidiFile:
    """Music of 8 to 16 seconds: one to four parts, each in its register, with rests, chords and changes of tempo."""
    midi = mido.MidiFile(ticks_per_beat=480)
    tempi = draw(st.lists(st.integers(70, 180), min_size=1, max_size=3))
    midi.tracks.append(
        mido.MidiTrack(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm), time=1920) for bpm in tempi)
    )
    registers = {0: (40, 90), 33: (30, 55), 25: (45, 84), None: (36, 60)}
    for channel, program in enumerate(
        draw(st.lists(st.sampled_from(list(registers)), min_size=1, max_size=4, unique=True))
    ):
        where = 9 if program is None else channel
        track = mido.MidiTrack(
            [] if program is None else [mido.Message("program_change", channel=where, program=program)]
        )
        for _ in range(draw(st.integers(16, 32))):
            key = draw(st.integers(*registers[program]))
            velocity, gap = draw(st.integers(40, 127)), draw(st.sampled_from([0, 120, 240, 480]))
            track.append(mido.Message("note_on", channel=where, note=key, velocity=velocity, time=gap))
            track.append(mido.Message("note_off", channel=where, note=key, time=draw(st.sampled_from([120, 240, 480]))))
        midi.tracks.append(track)
    return midi


@seed(1)
@settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate]
)
@given(midi=scores())
def test_made_up_scores_keep_to_loudness_and_peak(
    midi: mido.MidiFile, tmp_path_factory: pytest.TempPathFactory, noise_band: Path
) -> None:
    folder = tmp_path_factory.mktemp("made-up")
    midi.save(folder / "score.mid")
    score = read_score(folder / "score.mid")
    song = render_song(score, find_band(noise_band), folder / "song", RenderOptions())
    if score.roles == ("drums",) and song.warnings:  # single hits far apart: they are not crushed, and the song says so
        assert "its peaks stand so far out" in song.warnings[0]
        assert song.true_peak_dbtp <= -1.0
    else:
        check(folder / "song", song)
