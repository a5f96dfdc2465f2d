"""`photone eval timbre` proves itself: what is known to be good or bad of a model is what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from timbre_models import HOP, MadeUp, card_of, identity_onnx, piano_corpus, piano_note, random_rave

from core.audio import SAMPLE_RATE, Audio, Samples
from core.errors import EngineError, UsageError
from flows.cli import app
from flows.evaluation import timbre
from flows.evaluation.timbre import uses as timbre_uses
from flows.evaluation.timbre.family import Family, learn_family, strange_effects
from flows.evaluation.timbre.notes import (
    HeldOut,
    NoteRow,
    envelope_correlation,
    hears,
    held_out,
    note_rows,
    spectral_distance_db,
)
from flows.evaluation.timbre.uses import UseRow, better_use
from phase2_music.timbre.corpus import read_corpus
from phase2_music.timbre.engines.rave.engine import Rave
from phase2_music.timbre.engines.rave.model import TimbreModel
from schemas.timbre import Corpus, TimbreCard


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    piano_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def family(corpus: Path) -> Family:
    return learn_family(corpus, read_corpus(corpus))


@pytest.fixture(scope="module")
def notes(corpus: Path) -> list[HeldOut]:
    return held_out(corpus, read_corpus(corpus), 10)


def one_spectrum(x: Samples) -> Samples:
    """The same chord whatever it hears, as loud as that."""
    t = np.arange(x.shape[1]) / SAMPLE_RATE
    level = np.sqrt(np.convolve(x[0].astype(np.float64) ** 2, np.full(HOP, 1 / HOP), "same").clip(0.0))
    return np.asarray(level * sum(np.sin(2 * np.pi * f * t) / f for f in (220.0, 330.0, 550.0, 880.0)))[None] * 200


def octave_up(x: Samples) -> Samples:
    """An octave higher: each note's pitch is another."""
    return np.tile(x[:, ::2], 2)[:, : x.shape[1]]


def judged(function: Callable[[Samples], Samples], notes: list[HeldOut], family: Family) -> timbre.TimbreEvaluation:
    model = TimbreModel(MadeUp(function), known_latency_frames=0)
    subject = timbre.Subject(model.through, lambda: timbre.real_time_factor(model), None, SAMPLE_RATE)
    return timbre.measure(subject, notes, family)


def met(result: timbre.TimbreEvaluation) -> dict[str, bool]:
    return {name: timbre.TARGETS[name].met(value) for name, value in result.figures.items()}


def test_an_identity_keeps_notes_but_brings_nothing_closer(notes: list[HeldOut], family: Family) -> None:
    result = judged(lambda x: x, notes, family)
    good = met(result)
    assert [name for name, reached in good.items() if not reached] == ["effects_closer"]
    assert result.figures["f0_followed"] == 1.0
    assert result.figures["lsd_over_silence"] == pytest.approx(0.0, abs=0.01)
    assert result.figures["envelope_correlation"] == pytest.approx(1.0, abs=0.001)
    assert result.figures["distinct_effects"] == pytest.approx(1.0, abs=0.01)


def test_silence_misses_everything_that_a_model_is_for(notes: list[HeldOut], family: Family) -> None:
    result = judged(lambda x: 0 * x, notes, family)
    assert {name for name, reached in met(result).items() if reached} == {"classifier_accuracy", "rtf"}
    assert result.figures["lsd_over_silence"] == pytest.approx(1.0, abs=0.01)
    assert result.figures["distinct_effects"] == 0.0
    assert all(row.after is None for row in result.effects.rows)


def test_one_spectrum_for_all_is_found_out(notes: list[HeldOut], family: Family) -> None:
    result = judged(one_spectrum, notes, family)
    good = met(result)
    assert not good["f0_followed"]
    assert not good["lsd_over_silence"]
    assert not good["distinct_effects"]
    assert good["envelope_correlation"]  # it has learned the level, and nothing else


def test_a_wrong_octave_is_not_followed(notes: list[HeldOut], family: Family) -> None:
    rows = note_rows(notes, TimbreModel(MadeUp(octave_up), known_latency_frames=0).through)
    assert not any(row.followed for row in rows)


@pytest.mark.parametrize(("cents", "share"), [(-80, 0.0), (-30, 1.0), (30, 1.0), (80, 0.0)])
def test_a_note_is_followed_within_50_cents(notes: list[HeldOut], cents: int, share: float) -> None:
    """All else is as good as it can be, so the row of the pitch alone finds a detuned model out."""

    def moved(sound: Audio) -> Audio:
        at = np.arange(sound.frames) * 2 ** (cents / 1200)
        return Audio(np.interp(at, np.arange(sound.frames), sound.mono())[None], SAMPLE_RATE)

    figures = timbre.note_figures(note_rows(notes, moved))
    assert figures["f0_followed"] == share
    assert timbre.TARGETS["envelope_correlation"].met(figures["envelope_correlation"])


def test_a_share_of_few_notes_is_no_share() -> None:
    """Where the trackers hear hardly a note of the corpus itself, nothing is said of the model."""
    rows = [NoteRow("n", 60, True if place < 4 else None, 1.0, 10.0, 10.0, 1.0) for place in range(10)]
    assert timbre.note_figures(rows)["f0_followed"] is None
    assert timbre.note_figures(rows[:8])["f0_followed"] == 1.0


@pytest.mark.parametrize("key", [28, 40, 64])
def test_the_course_of_the_level_knows_no_phases(key: int) -> None:
    note = piano_note(key, 90, 0)
    spectrum, rng = np.fft.rfft(note.mono().astype(np.float64)), np.random.default_rng(key)
    f_hz = np.fft.rfftfreq(note.frames, 1 / SAMPLE_RATE)
    phase = np.interp(f_hz, np.arange(0, 22100, 60.0), rng.uniform(-np.pi, np.pi, 369))
    turned = Audio(np.fft.irfft(spectrum * np.exp(1j * phase), note.frames)[None], SAMPLE_RATE)
    assert envelope_correlation(note, turned) > 0.98
    assert envelope_correlation(note, Audio(note.samples[:, ::-1], SAMPLE_RATE)) < 0.2


def test_the_better_the_model_the_better_its_figures(notes: list[HeldOut]) -> None:
    """More and more noise over the notes: distances grow, fewer are followed."""
    rng = np.random.default_rng(0)

    def figures(noise: float) -> dict[str, float | None]:
        def noisy(sound: Audio) -> Audio:
            return Audio(sound.samples + noise * rng.standard_normal(sound.samples.shape), SAMPLE_RATE)

        return timbre.note_figures(note_rows(notes, noisy))

    found = [figures(noise) for noise in (0.0, 0.003, 0.1, 1.0)]
    distances = [each["lsd_over_silence"] or 0.0 for each in found]
    assert distances == sorted(distances)
    assert found[0]["f0_followed"] == 1.0
    assert found[-1]["f0_followed"] == 0.0


def test_spectral_distance_knows_what_it_measures() -> None:
    note = piano_note(60, 90, 0)
    assert spectral_distance_db(note, note) == 0.0
    white = Audio(0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE), SAMPLE_RATE)
    assert spectral_distance_db(white, white.scaled(0.5)) == pytest.approx(6.02, abs=0.01)
    assert spectral_distance_db(note, piano_note(61, 90, 0)) > 5.0
    short = Audio(note.samples[:, : note.frames // 4], SAMPLE_RATE)
    assert spectral_distance_db(note, short) > 5.0


def test_a_note_is_heard_at_its_key_only() -> None:
    note = piano_note(57, 90, 0)
    assert hears(note, 57)
    assert not hears(note, 58)
    assert not hears(note, 69)
    assert not hears(note.scaled(0.0), 57)


def test_the_classifier_tells_notes_from_effects(family: Family) -> None:
    assert family.accuracy >= 0.9
    notes = [family.closeness(piano_note(key, 70, 2)) for key in (41, 55, 69, 83)]
    effects = [family.closeness(sound) for sound in strange_effects(8).values()]
    assert min(notes) > np.median(effects)


def test_a_model_that_makes_notes_of_effects_comes_closer(notes: list[HeldOut], family: Family) -> None:
    """Each effect becomes a note of its own, by its spectral centroid: closer to the family, and still apart."""

    def notes_of(x: Samples) -> Samples:
        power = np.abs(np.fft.rfft(x[0])) ** 2
        centroid = float(np.sum(np.arange(len(power)) * power) / max(power.sum(), 1e-12)) / len(power)
        made = piano_note(40 + int(200 * centroid) % 50, 90, 0, x.shape[1] / SAMPLE_RATE + 0.1)
        return made.samples[:, : x.shape[1]]

    result = judged(notes_of, notes, family)
    assert met(result)["effects_closer"]
    assert met(result)["distinct_effects"]
    assert (result.facts["effects_rise"] or 0) > 1.0


def test_a_good_model_passes(notes: list[HeldOut], family: Family) -> None:
    """Made by hand: notes of the family go through with a little noise, any other sound becomes a note of its own colour."""
    rng = np.random.default_rng(0)

    def good(x: Samples) -> Samples:
        sound = Audio(x, SAMPLE_RATE)
        if family.closeness(sound) > 0:
            return x + 1e-4 * rng.standard_normal(x.shape)
        power = np.abs(np.fft.rfft(x[0])) ** 2
        centroid = float(np.sum(np.arange(len(power)) * power) / max(power.sum(), 1e-12)) / len(power)
        made = piano_note(40 + int(200 * centroid) % 50, 90, 0, x.shape[1] / SAMPLE_RATE + 0.1)
        return made.samples[:, : x.shape[1]]

    def encode(x: Samples) -> Samples:
        bands = np.abs(np.fft.rfft(x[0, : x.shape[1] // 64 * 64].reshape(-1, 64), axis=1)).T[:8]
        return np.asarray(10 * bands)

    model = TimbreModel(MadeUp(good), known_latency_frames=0)
    subject = timbre.Subject(model.through, lambda: 0.02, encode, SAMPLE_RATE)
    result = timbre.measure(subject, notes, family)
    assert result.missed == []
    assert result.passed
    assert set(result.figures) == set(timbre.TARGETS)
    slow = timbre.measure(timbre.Subject(lambda x: x, lambda: 0.2, lambda x: 0 * x, SAMPLE_RATE), notes[:2], family)
    assert {"latents_used", "rtf", "effects_closer"} == {name for name, reached in met(slow).items() if not reached}


def test_targets_say_what_they_want() -> None:
    least, most = timbre.Target("x", 0.9), timbre.Target("x", 0.5, least=False)
    assert (least.met(0.9), least.met(0.89), most.met(0.5), most.met(0.51)) == (True, False, True, False)
    assert not least.met(None)
    assert not most.met(None)
    assert (least.shown, most.shown) == (">= 0.9", "<= 0.5")


def test_the_better_use_keeps_instruments_in_tune_and_comes_closer() -> None:
    plain = UseRow("resonator", 12, 12, 1.0)
    assert better_use([plain, UseRow("notes", 12, 12, 2.0), UseRow("effect", 12, 12, 3.0)]) == "effect"
    assert better_use([plain, UseRow("notes", 12, 12, 2.0), UseRow("effect", 12, 10, 3.0)]) == "notes"
    assert better_use([plain, UseRow("notes", 12, 12, 0.5), UseRow("effect", problem="silence")]) == "neither"


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timbre, "_USE_EFFECTS", 1)
    monkeypatch.setattr(timbre, "_RTF_S", 1.0)
    monkeypatch.setattr(timbre_uses, "KEYS", 1)


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch, family: Family) -> None:
    """The classifier is the same for the same corpus: it need not be taught again."""
    monkeypatch.setattr(timbre, "learn_family", lambda folder, corpus: family)


@pytest.mark.usefixtures("quick", "taught")
def test_a_random_model_misses_the_gate_and_is_then_refused(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    random_rave(folder / "model.onnx", folder / "model.ts")
    before = card_of(folder, corpus)
    done = CliRunner().invoke(
        app, ["eval", "timbre", str(folder), "--corpus", str(corpus), "--out", str(tmp_path / "o"), "--json"]
    )
    assert done.exit_code == 1, done.output
    value = json.loads(done.output)
    assert value["passed"] is False
    assert set(value["figures"]) == set(timbre.TARGETS)
    assert value["figures"]["f0_followed"]["met"] is False
    assert [row["use"] for row in value["uses"]] == ["resonator", "notes", "effect"]
    assert json.loads((tmp_path / "o" / "timbre.json").read_text()) == value
    assert "the gate is missed" in (tmp_path / "o" / "timbre.txt").read_text()

    card = TimbreCard.read(folder / "card.json")
    assert card.gate is not None
    assert card.gate.missed == value["missed"]
    assert card.gate.figures["f0_followed"] == value["figures"]["f0_followed"]["value"]
    assert card.gate.figures["better_use"] == value["facts"]["better_use"]
    assert card.model_copy(update={"gate": None}) == before
    with pytest.raises(EngineError, match=r"missed its gate \(held-out notes whose pitch is followed within 50 cents"):
        Rave(str(folder))


@pytest.mark.usefixtures("quick", "taught")
def test_a_model_that_passes_is_taken(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity_onnx(tmp_path / "model.onnx")
    random_rave(None, tmp_path / "model.ts")
    card_of(tmp_path, corpus)
    targets = {name: each for name, each in timbre.TARGETS.items() if name not in ("effects_closer", "latents_used")}
    command = ["eval", "timbre", str(tmp_path), "--corpus", str(corpus), "--no-uses"]
    assert CliRunner().invoke(app, [*command, "--no-write"]).exit_code == 1
    assert TimbreCard.read(tmp_path / "card.json").gate is None
    for name in set(timbre.TARGETS) - set(targets):
        monkeypatch.setitem(timbre.TARGETS, name, timbre.Target("anything", 0.0))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "the gate is passed" in done.output
    assert all(target.text in done.output for target in targets.values())
    assert Rave(str(tmp_path)).info.options["models"]["melodic"]["gate"] == "passed"
    (tmp_path / "model.ts").unlink()
    with pytest.raises(EngineError, match=r"model\.ts: is not there.*its latents are part of the gate"):
        timbre.evaluate(timbre.TimbreOptions(tmp_path, corpus))
    assert Rave(str(tmp_path)).models, "to play, ONNX and card are enough"


@pytest.mark.usefixtures("quick", "taught")
def test_a_file_without_a_card_is_measured_too(corpus: Path, tmp_path: Path) -> None:
    random_rave(None, tmp_path / "theirs.ts")
    command = ["eval", "timbre", str(tmp_path / "theirs.ts"), "--corpus", str(corpus), "--no-uses", "--json"]
    value = json.loads(CliRunner().invoke(app, command).output)
    assert value["facts"]["latents"] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.ts"]


def test_a_corpus_must_fit(corpus: Path, tmp_path: Path) -> None:
    identity_onnx(tmp_path / "model.onnx")
    card_of(tmp_path, corpus, role="bass")
    with pytest.raises(UsageError, match="is a corpus of keyboard, the model learned bass"):
        timbre.evaluate(timbre.TimbreOptions(tmp_path, corpus))
    card_of(tmp_path)
    with pytest.raises(UsageError, match="give the corpus that it was trained on"):
        timbre.evaluate(timbre.TimbreOptions(tmp_path, corpus))
    with pytest.raises(UsageError, match=r"holds no corpus\.json"):
        timbre.evaluate(timbre.TimbreOptions(tmp_path, tmp_path))
    few = read_corpus(corpus)
    alone = Corpus.model_validate({**few.model_dump(), "notes": few.notes[:1]})
    with pytest.raises(UsageError, match="holds 0 notes of the split test"):
        held_out(corpus, alone, 10)
