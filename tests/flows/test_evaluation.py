"""The evaluation itself: it hears what is wrong, names who is missing, and tells the truth about instruments."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from core.audio import SAMPLE_RATE
from core.errors import EngineError, UsageError
from flows.cli import app
from flows.evaluation import instruments as evaluation
from flows.evaluation.judges import SfizzPlayer, Strike, find_sfizz_render, rounds, write_strikes
from flows.evaluation.measures import centroid_hz, change_click_db, measure_seam, mel_distance, mel_profile
from flows.evaluation.peer import UNPITCHED_HZ, autocorrelation_root_hz
from flows.evaluation.sources import DEFAULT_SOURCES, make_source, source_names
from phase1_sound.effects.engines.foley.gestures import GESTURES
from schemas.instrument import Zone

T = np.arange(SAMPLE_RATE) / SAMPLE_RATE


def wave(f_hz: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * f_hz * T)).astype(np.float32)


def test_there_are_enough_sources_and_all_takes_every_gesture() -> None:
    assert len(DEFAULT_SOURCES) >= 14
    assert set(source_names(["all"])) == {*DEFAULT_SOURCES, *GESTURES}
    with pytest.raises(UsageError, match="no source 'kazoo': choose from all"):
        source_names(["kazoo"])


@pytest.mark.parametrize("name", DEFAULT_SOURCES)
def test_a_source_sounds_and_is_made_again_the_same(name: str) -> None:
    sound = make_source(name).sound
    assert 0.1 < sound.peak <= 1.0
    assert np.array_equal(sound.samples, make_source(name).sound.samples)


def test_a_seam_that_breaks_is_heard_and_a_whole_one_is_not() -> None:
    whole = measure_seam("whole", 0, wave(441.0), 441.0, SAMPLE_RATE)
    assert whole.click_db < -10  # the seam lies at a zero crossing, where a sine bends least
    assert (whole.flux, whole.step_db) == pytest.approx((1.0, 0.0), abs=0.1)
    broken = measure_seam("broken", 0, wave(441.0)[:-30], 441.0, SAMPLE_RATE)
    assert broken.click_db > 20
    assert broken.flux > 2
    louder = wave(441.0) * np.linspace(1.0, 2.0, SAMPLE_RATE, dtype=np.float32)
    assert measure_seam("louder", 0, louder, 441.0, SAMPLE_RATE).step_db == pytest.approx(6.0, abs=0.3)


def test_a_note_that_is_cut_clicks_and_one_that_fades_does_not() -> None:
    held = wave(220.0)
    cut, faded = held.copy(), held.copy()
    cut[20040:] = 0.0
    faded[20000:] *= 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, SAMPLE_RATE - 20000, dtype=np.float32))
    assert change_click_db(cut, held) > 10
    assert change_click_db(faded, held) < -30


def test_colour_and_brightness_follow_the_sound() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(SAMPLE_RATE)
    dark = np.convolve(noise, np.ones(20) / 20, "same")
    assert mel_distance(mel_profile(noise), mel_profile(0.1 * rng.standard_normal(SAMPLE_RATE))) < 0.5
    assert mel_distance(mel_profile(noise), mel_profile(dark)) > 6
    assert centroid_hz(wave(1000.0)) == pytest.approx(1000.0, rel=0.001)
    assert centroid_hz(dark.astype(np.float32)) < centroid_hz(noise.astype(np.float32))


def test_the_peer_finds_a_root_where_there_is_one() -> None:
    assert autocorrelation_root_hz(make_source("tone").sound.mono().astype(float)) == pytest.approx(220.0, rel=0.01)
    assert autocorrelation_root_hz(make_source("noise").sound.mono().astype(float)) == UNPITCHED_HZ


def test_sfizz_plays_notes_apart(noise_band: Path) -> None:
    strikes = [Strike(40, 100), Strike(52, 20), Strike(52, 100)]
    first, soft, loud = SfizzPlayer().play(noise_band / "bass", "bass", strikes, 0.5)
    assert len(first) == len(soft) == len(loud) == round(0.5 * SAMPLE_RATE)
    assert 0 < np.abs(soft).max() < np.abs(loud).max()


def test_round_robins_begin_anew_for_every_strike_that_is_compared() -> None:
    zones = [Zone(sample="a", root_key=k, tune_cents=0, lo_key=k - 1, hi_key=k + 1) for k in (40, 43)]
    assert rounds(zones, [Strike(key, 100) for key in (39, 40, 42, 43, 44)]) == [[0, 2], [1, 3], [4]]


def test_sfizz_that_writes_too_much_is_stopped(noise_band: Path, tmp_path: Path) -> None:
    write_strikes(tmp_path / "long.mid", [Strike(40, 100)], SAMPLE_RATE * 200, SAMPLE_RATE)
    player = SfizzPlayer()
    with pytest.raises(EngineError, match=r"bass\.sfz: sfizz ended with status"):
        player._render(noise_band / "bass" / "bass.sfz", tmp_path / "long.mid", tmp_path / "long.wav", 1)


@pytest.mark.slow
def test_a_missing_judge_is_named_and_misses_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(EngineError, match=r"pysfizz is not installed.*photone\[dev\]"):
        find_sfizz_render()
    result = evaluation.evaluate(evaluation.EvaluationOptions(("click",), ("bass",), step=16, peer=False))
    assert "sfizz" in result.missing
    missed = {figure.name: figure for figure in result.figures if not figure.passed}
    assert missed["in tune in sfizz"].where == "missing: sfizz"
    assert "no sfizz: pysfizz is not installed" in evaluation.as_table(result)


@pytest.mark.slow
def test_the_command_measures_two_sources(tmp_path: Path) -> None:
    arguments = ["eval", "instruments", "--sources", "noise,tone", "--roles", "bass,drums", "--step", "8", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    values = json.loads(done.stdout)
    assert done.exit_code == (0 if values["passed"] else 1), done.output
    assert [(row["source"], row["role"]) for row in values["rows"]] == [
        ("noise", "bass"), ("noise", "drums"), ("tone", "bass"), ("tone", "drums"),
    ]  # fmt: skip
    figures = {figure["name"]: figure for figure in values["figures"]}
    for name in ("built and played", "in tune in fluidsynth", "in tune in sfizz", "same seed, same bytes"):
        assert figures[name]["passed"], figures[name]
    # What is left between the players is far under what is asked: their filters, decays and first frames are the same.
    assert figures["players agree: level"]["value"] < 0.5
    assert figures["players agree: decay"]["value"] < 0.7
    noise, _, tone, _ = values["rows"]
    assert not noise["pitched"]
    assert noise["mel_db"] is not None
    assert tone["pitched"]
    assert tone["mel_db"] is None
    assert noise["peer"]["within_25_cents"] < noise["peer"]["notes"]
    table = (tmp_path / "evaluation.txt").read_text()
    assert all(figure["name"] in table for figure in values["figures"])
    assert (tmp_path / "noise" / "bass" / "instrument.json").is_file()


def test_a_bass_made_of_a_bird_is_in_tune_and_has_the_birds_colour() -> None:
    result = evaluation.evaluate(evaluation.EvaluationOptions(("bird",), ("bass",), step=4, peer=False))
    assert result.passed, evaluation.as_table(result)


def test_a_sound_that_cannot_be_built_is_a_miss_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise EngineError("the engine is broken")

    monkeypatch.setattr(evaluation, "_warm_up", lambda folder: None)
    monkeypatch.setattr(evaluation, "build_instrument", broken)
    result = evaluation.evaluate(evaluation.EvaluationOptions(("click",), ("bass",), peer=False))
    assert result.rows[0].problem == "the engine is broken"
    assert not result.figures[0].passed
    assert not result.passed
    assert "click bass: the engine is broken" in evaluation.as_table(result)
