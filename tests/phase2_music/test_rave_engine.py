"""The `rave` engine: sounds keep their length, place and level, notes stay in tune, and models are taken as what they are."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import ndimage
from sounds import noise, request, tone
from timbre_models import HOP, MadeUp, card_of, filter_onnx, identity_onnx, random_rave, silence_onnx

from core.audio import SAMPLE_RATE, Audio, Samples, write_audio
from core.errors import AudioError, EngineError, UsageError
from core.loudness import loudness_lufs
from flows.cli import app
from flows.engines import engine_rows
from flows.evaluation.measures import measure_seam
from phase2_music.instruments.build import build_instrument
from phase2_music.instruments.pitch import judge_pitch, key_to_hz
from phase2_music.instruments.roles import ROLE_SPECS
from phase2_music.instruments.samples import Sample
from phase2_music.instruments.tuning import Tuner, _lent_share
from phase2_music.timbre import TIMBRE_ENGINES, shipped, with_blend
from phase2_music.timbre.analysis import SoundModel
from phase2_music.timbre.engines.rave import model as model_module
from phase2_music.timbre.engines.rave.engine import Rave
from phase2_music.timbre.engines.rave.model import TimbreModel
from phase2_music.timbre.engines.rave.network import OnnxNetwork, TorchNetwork
from phase2_music.timbre.engines.rave.voices import coloured, lent
from phase2_music.timbre.engines.resonator import Resonator
from phase2_music.timbre.protocol import Note, VoiceRequest
from phase2_music.timbre.shipped import preferred_engine
from schemas.instrument import Instrument
from schemas.timbre import Gate

PASSED = Gate(passed=True, figures={"f0_followed": 0.95})
MISSED = Gate(
    passed=False, figures={"f0_followed": 0.1}, missed=["held-out notes whose pitch is followed: 0.1 (>= 0.9)"]
)


@pytest.fixture(scope="module")
def rave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx and model.ts: a RAVE that was never trained."""
    folder = tmp_path_factory.mktemp("rave")
    random_rave(folder / "model.onnx", folder / "model.ts")
    return folder


def made_up(function: object, **rest: object) -> TimbreModel:
    return TimbreModel(MadeUp(function, **rest))  # type: ignore[arg-type]


def filtered(kernel: Sequence[float], late: int = 0) -> TimbreModel:
    """A filter whose answer comes late."""
    taps = np.concatenate([np.zeros(late), kernel])
    return made_up(lambda x: np.stack([np.convolve(channel, taps)[: len(channel)] for channel in x]))


def instrument(path: Path) -> Instrument:
    return Instrument.read(path / "instrument.json")


# --- any sound through a model ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_channels_come_back_as_they_were(rate: int, channels: int) -> None:
    rng = np.random.default_rng(1)
    sound = Audio(0.1 * rng.standard_normal((channels, rate)), rate)
    sound = sound.resampled(7000).resampled(rate)  # nothing that a filter below 4 kHz would take
    made = made_up(lambda x: x).through(sound)
    assert made.samples.shape[0] == channels
    assert made.frames == sound.frames
    assert made.sample_rate == rate
    inside = slice(rate // 20, -rate // 20)
    assert np.abs(made.samples - sound.samples)[:, inside].max() < 0.02 * sound.peak


@pytest.mark.parametrize("late", [0, 37, 1000, 9000])
def test_what_comes_late_is_brought_back(late: int) -> None:
    model = filtered([1.0], late)
    assert model.latency_frames == late
    assert np.abs(model.through(noise(1.0)).samples - noise(1.0).samples)[:, :-1000].max() < 1e-3


def test_what_comes_early_is_held_back() -> None:
    model = made_up(lambda x: np.pad(x, ((0, 0), (0, 500)))[:, 500:])
    assert model.latency_frames == -500
    assert np.abs(model.through(noise(1.0)).samples - noise(1.0).samples)[:, 600:].max() < 2e-3


def test_a_model_that_follows_no_rhythm_is_not_moved() -> None:
    drone = 0.1 * np.sin(np.arange(10 * SAMPLE_RATE) * 0.05)
    assert made_up(lambda x: drone[None, : x.shape[1]]).latency_frames == 0


@pytest.mark.parametrize("gain", [0.001, 0.1, 5.0])
def test_the_answer_is_as_loud_as_the_sound(gain: float) -> None:
    sound = noise(1.0)
    assert loudness_lufs(made_up(lambda x: gain * x).through(sound)) == pytest.approx(loudness_lufs(sound), abs=0.1)


def test_a_model_is_fed_as_loud_as_its_corpus() -> None:
    fed: list[float] = []

    def listen(x: Samples) -> Samples:
        fed.append(loudness_lufs(Audio(x[:, : 2 * SAMPLE_RATE], SAMPLE_RATE)))
        return x

    model = made_up(listen)
    for gain in (0.01, 1.0):
        model.through(noise().scaled(gain))
    assert fed[-2:] == pytest.approx([-20.0, -20.0], abs=0.3)


@pytest.mark.parametrize("frames", [0, 1, 7, 300, 5000])
def test_short_sounds_come_back_whole(rave: Path, frames: int) -> None:
    engine = Rave(str(rave / "model.onnx") + "?rate=44100")
    sound = Audio(noise(1.0).samples[:, :frames], SAMPLE_RATE)
    assert engine.loaded["melodic"].through(sound).frames == frames


def test_silence_stays_silent() -> None:
    assert made_up(lambda x: x + 0.1).through(Audio(np.zeros((1, 9000)), SAMPLE_RATE)).peak == 0.0
    assert made_up(lambda x: 0 * x).through(noise(0.5)).peak == 0.0


def test_long_sounds_go_in_pieces_that_do_not_show() -> None:
    sound = Audio(np.tile(noise(30.0).samples, 2), SAMPLE_RATE)
    network = MadeUp(lambda x: ndimage.uniform_filter1d(x, 5, axis=1))
    made = TimbreModel(network, known_latency_frames=0).through(sound)
    assert max(network.heard) <= 14 * SAMPLE_RATE
    assert made.frames == sound.frames
    whole = ndimage.uniform_filter1d(sound.samples[0], 5)[: 55 * SAMPLE_RATE]
    heard = made.samples[0, : len(whole)]
    gain = float(heard @ whole / (whole @ whole))
    assert np.abs(heard - gain * whole).max() < 2e-3 * np.abs(heard).max()


def test_whine_at_multiples_of_the_latent_rate_is_taken_out() -> None:
    def whine(x: Samples) -> Samples:
        made = x.copy()
        made[:, ::HOP] += 1.0
        return made

    sound = Audio(noise(3.0).samples * np.linspace(1, 0.01, 3 * SAMPLE_RATE), SAMPLE_RATE)
    raw, made = whine(sound.samples), made_up(whine).through(sound)

    def lines_db(samples: Samples) -> float:
        spectrum = np.abs(np.fft.rfft(samples[0] * np.hanning(samples.shape[1]))) ** 2
        places = np.arange(10, 200) * (SAMPLE_RATE / HOP) * samples.shape[1] / SAMPLE_RATE
        peaks = np.array([spectrum[round(place) - 1 : round(place) + 2].max() for place in places])
        around = np.array([np.median(spectrum[round(place) - 60 : round(place) + 60]) for place in places])
        return float(10 * np.log10(np.median(peaks / around)))

    assert lines_db(raw) > 20
    assert lines_db(made.samples) < 10


def test_lines_of_the_sound_itself_stay() -> None:
    rate_hz = SAMPLE_RATE / HOP
    t = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    chord = sum(np.sin(2 * np.pi * rate_hz * number * t) for number in (4, 5, 6, 8, 10, 12))
    sound = Audio(0.02 * chord[None] + 0.001 * np.random.default_rng(0).standard_normal((1, len(t))), SAMPLE_RATE)
    made = made_up(lambda x: x).through(sound)
    assert np.abs(made.samples - sound.samples).max() < 1e-3


@pytest.mark.parametrize(("given", "message"), [(np.nan, "not a finite"), (np.inf, "not a finite")])
def test_what_is_no_sound_is_refused(tmp_path: Path, given: float, message: str) -> None:
    engine = Rave(f"{filter_onnx(tmp_path / 'x.onnx', [given])}?rate=44100")
    with pytest.raises(EngineError, match=message):
        engine.voice(VoiceRequest(noise(1.0), "keyboard", 1)).lend(Resonator().voice(
            VoiceRequest(noise(1.0), "keyboard", 1)).note(220.0, 0.5))  # fmt: skip


# --- lending to notes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f0_hz", [41.2, 220.0, 1318.5])
def test_a_note_through_an_identity_is_the_note(f0_hz: float) -> None:
    note = Resonator().voice(VoiceRequest(noise(), "keyboard", 1)).note(f0_hz, 0.6)
    made = lent(made_up(lambda x: x), note)
    assert made is not None
    assert (made.loop_start, made.loop_end, made.samples.shape[1]) == (
        note.loop_start,
        note.loop_end,
        note.samples.shape[1],
    )
    middle = note.samples.mean(axis=0)
    assert np.corrcoef(made.samples[0], middle)[0, 1] > 0.999


@pytest.mark.parametrize("late", [0, 61])
def test_dry_and_wet_do_not_cancel_each_other(late: int) -> None:
    """A network that turns the harmonics' phases at random: half of each is louder than either with wrong phases would be."""
    rng = np.random.default_rng(3)
    scatter = rng.standard_normal(600) * np.exp(-np.arange(600) / 80)
    note = Resonator().voice(VoiceRequest(noise(), "keyboard", 1)).note(220.0, 0.0)
    made = lent(filtered(scatter, late), note)
    assert made is not None
    loop = slice(note.loop_start, note.loop_end + 1)
    dry, wet = note.samples.mean(axis=0)[loop], made.samples[0, loop]
    bins = np.arange(1, 30) * round(220.0 * len(dry) / SAMPLE_RATE)
    levels = [np.abs(np.fft.rfft(x))[bins] for x in (dry, wet, 0.5 * (dry + wet))]
    assert np.allclose(levels[2], 0.5 * (levels[0] + levels[1]), rtol=0.02)


def breath(x: Samples) -> Samples:
    """A network that breathes with the level and pulses with its latents."""
    hiss = np.random.default_rng(5).standard_normal(x.shape[1])
    level = np.sqrt(np.convolve(x[0].astype(np.float64) ** 2, np.full(HOP, 1 / HOP), "same"))
    return (x[0] + 0.1 * hiss * level)[None] * (1 + 0.3 * np.sin(2 * np.pi * np.arange(x.shape[1]) / HOP))


@pytest.mark.parametrize("f0_hz", [82.4, 196.0, 523.3, 1046.5])
def test_loops_of_lent_notes_have_no_seam(f0_hz: float) -> None:
    note = Resonator().voice(VoiceRequest(noise(), "guitar", 1)).note(f0_hz, 0.5)
    made = lent(made_up(breath), note)
    assert made is not None
    seam = measure_seam("x", 0, made.samples[0, made.loop_start : made.loop_end + 1], f0_hz, SAMPLE_RATE)
    assert (seam.click_db < -3.0, seam.flux < 1.2, seam.step_db < 1.0) == (True, True, True), seam
    guard = made.samples[0, made.loop_end + 1 :]
    assert np.array_equal(guard, made.samples[0, made.loop_start : made.loop_start + len(guard)])
    into_the_loop = np.abs(np.diff(made.samples[0, made.loop_start - 8 : made.loop_start + 8], 2)).max()
    assert into_the_loop < 1.5 * np.percentile(np.abs(np.diff(made.samples[0], 2)), 99.9)


def test_a_silent_model_lends_nothing(tmp_path: Path) -> None:
    engine = Rave(f"{silence_onnx(tmp_path / 'x.onnx')}?rate=44100")
    built = build_instrument(request(noise(1.0), "bass"), engine, tmp_path / "out").instrument
    assert set(built.blends.values()) == {0.0}
    assert any("out of tune or silent with the lent timbre" in text for text in built.warnings)
    with pytest.raises(EngineError, match="answered with silence"):
        Rave(f"{tmp_path / 'x.onnx'}?rate=44100&use=effect").voice(VoiceRequest(noise(1.0), "bass", 1))


# --- whole instruments ------------------------------------------------------------------------------------------------


def samples_of(engine: Rave, role: str, sound: Audio, keys: Sequence[int]) -> list[Sample]:
    """Some samples of an instrument: a whole one takes its time."""
    spec = ROLE_SPECS[role]  # type: ignore[index]
    voice = engine.voice(VoiceRequest(sound, role, 1))  # type: ignore[arg-type]
    pitch = judge_pitch(SoundModel.of(voice.colour).samples[: 2 * SAMPLE_RATE], SAMPLE_RATE)
    return Tuner(voice, pitch, spec.character, spec.loudness_lufs).samples(keys, str)


def test_an_instrument_tells_of_its_model(rave: Path, tmp_path: Path) -> None:
    engine = Rave(f"{rave / 'model.ts'}?use=effect")
    built = build_instrument(request(tone(330.0), "guitar", compact=True), engine, tmp_path / "out").instrument
    assert built.verified.within_25_cents >= 0.98 * (built.verified.notes + len(built.verified.left_out))
    assert built.blends == {}, "the effect was coloured, notes take nothing"
    assert built.timbre.options["models"]["melodic"]["gate"] == "no card"
    assert any("model.ts comes from elsewhere: no gate was run on it" in text for text in built.warnings)


@pytest.mark.parametrize(("sound", "role"), [(noise(), "bass"), (tone(330.0), "guitar")], ids=["noise", "tone"])
def test_samples_stay_in_tune_with_a_model_that_knows_nothing(rave: Path, sound: Audio, role: str) -> None:
    made = samples_of(Rave(str(rave / "model.ts")), role, sound, (42, 50))
    assert all(sample.in_tune for sample in made)
    assert all(0.0 <= (sample.blend or 0.0) <= 0.6 for sample in made)


def test_a_model_is_heard_in_the_samples(tmp_path: Path) -> None:
    """A network that lets the lows through: notes lose their highs, the more the higher the blend, and none at 0."""
    path = filter_onnx(tmp_path / "x.onnx", np.hanning(40) / 20)

    def highs(blend: float) -> float:
        (sample,) = samples_of(Rave(f"{path}?rate=44100&blend={blend}"), "keyboard", noise(1.0), (40,))
        assert (sample.blend or 0.0) >= 0.8 * blend
        power = np.abs(np.fft.rfft(sample.mono)) ** 2
        return float(power[round(3000 * len(sample.mono) / SAMPLE_RATE) :].sum() / power.sum())

    dry, half, wet = highs(0.0), highs(0.5), highs(1.0)
    assert wet < 0.05 * dry
    assert wet < half < 0.5 * dry


@pytest.mark.slow
def test_blend_falls_where_the_model_sings_its_own_tune(tmp_path: Path) -> None:
    """A resonance that rings at 1 kHz whatever it hears: samples take less of it, and say so, and stay in tune."""
    ring = np.sin(2 * np.pi * 1000.0 * np.arange(8000) / SAMPLE_RATE) * np.exp(-np.arange(8000) / 4000)
    engine = Rave(f"{filter_onnx(tmp_path / 'x.onnx', ring)}?rate=44100&blend=1")
    made = samples_of(engine, "bass", noise(1.0), (34, 46))
    assert all(sample.in_tune for sample in made)
    assert min(sample.blend for sample in made if sample.blend is not None) < 1.0
    with_all = _lent_share(made[0], lent(engine.loaded["melodic"], _note_of(made[0])), 1.0)  # type: ignore[arg-type]
    assert not with_all.in_tune, "or there was no need to take less"


def _note_of(sample: Sample) -> Note:
    assert sample.loop is not None
    return Note(sample.samples, *sample.loop, key_to_hz(sample.key))


@pytest.mark.parametrize("file", ["model.onnx?rate=44100", "model.ts"])
def test_the_same_request_gives_the_same_samples(rave: Path, file: str) -> None:
    first, second = (samples_of(Rave(f"{rave}/{file}"), "bass", noise(0.5), (40,))[0] for _ in range(2))
    assert np.array_equal(first.samples, second.samples)
    assert first.blend == second.blend


def test_drums_are_the_effect_and_say_so(rave: Path, tmp_path: Path) -> None:
    plain = build_instrument(request(noise(0.5), "drums", compact=True), Resonator(), tmp_path / "plain").instrument
    built = build_instrument(request(noise(0.5), "drums", compact=True), Rave(f"{rave}/model.ts"), tmp_path / "out")
    assert built.instrument.zones == plain.zones
    name = plain.zones[0].sample
    assert (tmp_path / "out" / "samples" / name).read_bytes() == (tmp_path / "plain" / "samples" / name).read_bytes()
    assert any("no timbre model for drums" in text for text in built.instrument.warnings)


def test_roles_have_models_of_their_own(tmp_path: Path) -> None:
    for role in ("keyboard", "drums"):
        identity_onnx(tmp_path / role / "model.onnx")
        card_of(tmp_path / role, gate=PASSED, role=role)
    engine = Rave(str(tmp_path))
    assert set(engine.models) == {"keyboard", "drums"}
    assert engine.voice(VoiceRequest(noise(0.5), "keyboard", 1)).blend == 0.6
    assert engine.voice(VoiceRequest(noise(0.5), "keyboard", 1)).remarks == ()
    bass = engine.voice(VoiceRequest(noise(0.5), "bass", 1))
    assert bass.blend == 0.0
    assert "no timbre model for the bass" in bass.remarks[0]
    assert engine.voice(VoiceRequest(noise(0.5), "drums", 1)).remarks == ()


def test_the_effect_takes_the_colour_at_its_own_pitch_and_level() -> None:
    sound = tone(220.0)
    lows = coloured(filtered(np.hanning(64) / 32), sound, 1.0)
    assert loudness_lufs(lows) == pytest.approx(loudness_lufs(sound), abs=0.2)
    same = coloured(made_up(lambda x: -x), sound, 0.5)
    assert np.abs(same.samples - sound.samples).max() < 1e-3


# --- which model, and whether it may ----------------------------------------------------------------------------------


def test_none_ships_today_and_the_error_says_what_to_do() -> None:
    with pytest.raises(
        EngineError, match=r"no timbre model comes with photone yet.*photone train keyboard.*rave:FILE\.ts"
    ):
        TIMBRE_ENGINES.load("rave")
    assert TIMBRE_ENGINES.default == "resonator"
    assert "no timbre model comes" in (TIMBRE_ENGINES.problem("rave") or "")


def shipped_models(folder: Path, **gates: Gate | None) -> None:
    """A folder as soundfonts/timbres: a model that is an identity for each role, with its gate."""
    for role, gate in gates.items():
        identity_onnx(folder / role / "model.onnx")
        card_of(folder / role, gate=gate, role=role)  # type: ignore[arg-type]


def test_rave_is_the_default_as_soon_as_a_shipped_model_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    assert TIMBRE_ENGINES.default == "resonator"
    shipped_models(tmp_path, keyboard=MISSED, bass=None)
    assert TIMBRE_ENGINES.default == "resonator"
    with pytest.raises(EngineError, match="keyboard: the model missed its gate"):
        Rave()
    shipped_models(tmp_path, guitar=PASSED)
    assert TIMBRE_ENGINES.default == "rave"
    assert with_blend(None, 0.25) == "rave:?blend=0.25"
    engine = TIMBRE_ENGINES.load(TIMBRE_ENGINES.default)
    assert list(engine.models) == ["guitar"], "a model that did not pass is not there"
    assert engine.voice(VoiceRequest(noise(0.5), "guitar", 1)).blend > 0
    assert engine.voice(VoiceRequest(noise(0.5), "guitar", 1)).remarks == ()
    assert (
        "no timbre model for the bass in the shipped models"
        in engine.voice(VoiceRequest(noise(0.5), "bass", 1)).remarks[0]
    )
    assert engine.voice(VoiceRequest(noise(0.5), "drums", 1)).remarks == (), "there never is one for drums"
    assert set(Rave("?force=yes").models) == {"keyboard", "bass", "guitar"}
    (tmp_path / "guitar" / "card.json").write_text("[")
    assert TIMBRE_ENGINES.default == "resonator"


def test_commands_take_the_default_that_the_models_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    shipped_models(tmp_path, bass=PASSED)
    write_audio(tmp_path / "sound.wav", tone(110.0, 0.6))
    command = ["instrument", str(tmp_path / "sound.wav"), "--role", "bass", "--compact", "--out", str(tmp_path / "o")]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    made = instrument(tmp_path / "o")
    assert made.timbre.name == "rave"
    assert made.timbre.options["models"]["bass"]["gate"] == "passed"
    assert made.verified.within_25_cents == made.verified.notes
    assert min(made.blends.values()) > 0
    (row,) = (row for row in engine_rows() if row["stage"] == "timbre" and row["default"])
    assert (row["engine"], row["detail"]) == ("rave", "bass: model.onnx, gate passed")


def test_models_that_ship_bring_what_they_need() -> None:
    """onnxruntime is an extra while nothing ships; a default that asks for an extra would greet people with an error."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    needs = [line.partition(">")[0] for line in project["dependencies"]]
    assert preferred_engine() is None or "onnxruntime" in needs


def test_a_gate_decides(rave: Path, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    identity_onnx(folder / "model.onnx")
    card_of(folder)
    with pytest.raises(EngineError, match=r"gate was not run: run `photone eval timbre`.*\?force=yes"):
        Rave(str(folder))
    card_of(folder, gate=MISSED)
    with pytest.raises(
        EngineError, match=r"missed its gate \(held-out notes whose pitch is followed: 0\.1 \(>= 0\.9\)\)"
    ):
        Rave(f"{folder}/model.onnx")
    assert "missed its gate" in (TIMBRE_ENGINES.problem(f"rave:{folder}") or "")
    forced = Rave(f"{folder}?force=yes")
    assert forced.info.options["force"] is True
    assert forced.info.options["models"]["melodic"]["missed"] == MISSED.missed
    assert "it missed its gate" in forced.voice(VoiceRequest(noise(0.5), "keyboard", 1)).remarks[0]
    card_of(folder, gate=PASSED)
    passed = Rave(str(folder))
    assert passed.voice(VoiceRequest(noise(0.5), "keyboard", 1)).remarks == ()
    assert "learned the keyboard, not the bass" in passed.voice(VoiceRequest(noise(0.5), "bass", 1)).remarks[0]
    assert TIMBRE_ENGINES.readiness(f"rave:{folder}").detail == "melodic: model.onnx, gate passed"
    assert len(passed.info.weights_sha256 or "") == 64


def test_a_file_that_its_card_does_not_know_is_refused(tmp_path: Path) -> None:
    identity_onnx(tmp_path / "model.onnx")
    card_of(tmp_path, gate=PASSED)
    silence_onnx(tmp_path / "model.onnx")
    with pytest.raises(EngineError, match=r"model\.onnx: is not the file that card\.json describes"):
        Rave(str(tmp_path))
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(EngineError, match=r"model\.onnx: is missing"):
        Rave(str(tmp_path))
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(EngineError, match=r"card\.json: not JSON"):
        Rave(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "data"), [("x.onnx", b"no model"), ("x.ts", b"no model"), ("x.onnx", b""), ("x.ts", b"PK\x03\x04")]
)
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    sound = tmp_path / "sound.wav"
    write_audio(sound, noise(0.5))
    command = ["instrument", str(sound), "--role", "bass", "--out", str(tmp_path / "o")]
    done = CliRunner().invoke(app, [*command, "--timbre", f"rave:{tmp_path / name}?rate=44100"])
    assert isinstance(done.exception, EngineError)
    assert str(done.exception).startswith(f"{tmp_path / name}: cannot be loaded")
    assert "\n" not in str(done.exception)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("{}/none", "no such file or folder"),
        ("{}/x.wav", r"not a model that can be read: expected \.onnx or \.ts"),
        ("{}/x.onnx", r"has no card\.json beside it: say its rate"),
        ("{}/x.onnx?blend=2", "less than or equal to 1"),
        ("{}/x.onnx?use=both", "notes"),
        ("{}/two", "holds 2 models"),
        ("{}/empty", "holds no timbre model"),
    ],
)
def test_arguments_that_cannot_be(tmp_path: Path, argument: str, message: str) -> None:
    (tmp_path / "x.wav").touch()
    identity_onnx(tmp_path / "x.onnx")
    for name in ("a.onnx", "b.onnx"):
        identity_onnx(tmp_path / "two" / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises((UsageError, EngineError), match=message):
        Rave(argument.format(tmp_path))


def test_a_silent_effect_is_the_users(rave: Path) -> None:
    for use in ("notes", "effect"):
        with pytest.raises(AudioError, match="silent"):
            Rave(f"{rave}/model.ts?use={use}").voice(VoiceRequest(Audio(np.zeros((1, 4000)), SAMPLE_RATE), "bass", 1))


# --- anybody's TorchScript --------------------------------------------------------------------------------------------


def scripted(path: Path, body: str, **attributes: object) -> Path:
    """A TorchScript module whose forward is `body`."""
    import importlib.util

    import torch

    source = path.with_suffix(".py")
    lines = "\n".join(f"        self.{name} = {value!r}" for name, value in attributes.items())
    source.write_text(
        "import torch\nclass Made(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        '        self.register_buffer("memory", torch.zeros(1))\n'
        f"{lines}\n    def forward(self, x: torch.Tensor) -> torch.Tensor:\n{body}\n"
    )
    spec = importlib.util.spec_from_file_location(path.stem, source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.jit.script(module.Made()).save(str(path))
    return path


def test_any_rate_of_a_script(tmp_path: Path) -> None:
    path = scripted(tmp_path / "m48.ts", "        return x", sr=48000)
    model = TimbreModel.load(next(iter(Rave(str(path)).models.values())))
    assert model.network.sample_rate == 48000
    assert np.abs(model.through(tone(440.0)).samples - tone(440.0).samples)[:, 500:-500].max() < 2e-3
    path = scripted(tmp_path / "untold.ts", "        return x")
    with pytest.raises(EngineError, match=r"does not tell its sample rate.*\?rate=48000"):
        Rave(str(path))
    assert Rave(f"{path}?rate=32000").loaded["melodic"].network.sample_rate == 32000


THEIRS = """
import torch

class Theirs(torch.nn.Module):
    # As RAVE exports for live playing: 48 kHz, 2048 frames a column, whole columns only, 3 of them late, a whine, a memory.
    def __init__(self):
        super().__init__()
        self.sr, self.hop, self.latent_size = 48000, 2048, 4
        self.register_buffer("cache", torch.zeros(1, 1, 3 * 2048))
        self.register_buffer("forward_params", torch.tensor([1, 1, 1, 1]))
        self.register_buffer("encode_params", torch.tensor([1, 1, 4, 2048]))
        self.register_buffer("decode_params", torch.tensor([4, 2048, 1, 1]))

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        columns = x.reshape(1, -1, 2048)
        return torch.stack([columns.mean(2), columns.std(2), columns.amax(2), columns.amin(2)], 1)

    @torch.jit.export
    def get_methods(self) -> list[str]:
        return ["forward", "encode"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.pad(x, (0, -x.shape[-1] % 2048))
        heard = torch.cat([self.cache, x], -1)
        self.cache.copy_(heard[..., -self.cache.shape[-1] :])
        made = heard[..., : x.shape[-1]].clone()
        made[..., ::2048] += 0.02
        return made
"""


def test_anybodys_rave_is_heard_as_its_own(tmp_path: Path) -> None:
    import importlib.util

    import torch

    (tmp_path / "theirs.py").write_text(THEIRS)
    spec = importlib.util.spec_from_file_location("theirs", tmp_path / "theirs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.jit.script(module.Theirs()).save(str(tmp_path / "theirs.ts"))
    model = Rave(str(tmp_path / "theirs.ts")).loaded["melodic"]
    assert (model.network.sample_rate, model.network.hop) == (48000, 2048)
    assert model.latency_frames == pytest.approx(3 * 2048, abs=2)
    assert isinstance(model.network, TorchNetwork)
    assert model.network.encode(np.zeros((1, 4 * 2048), dtype=np.float32)).shape == (4, 4)
    for frames in (3 * SAMPLE_RATE + 17, 40001):  # no multiple of anything
        sound = Audio(tone(220.0, 4.0).samples[:, :frames], SAMPLE_RATE)
        made = model.through(sound)
        assert made.frames == frames
        inside = slice(2000, frames - 2000)
        error = made.samples[0, inside] - sound.samples[0, inside]
        assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(sound.samples**2))
    assert np.array_equal(model.through(sound).samples, made.samples), "the same again: nothing is remembered"


def test_a_script_for_two_channels(tmp_path: Path) -> None:
    path = scripted(tmp_path / "two.ts", "        assert x.shape[1] == 2\n        return x", sr=44100, n_channels=2)
    model = Rave(str(path)).loaded["melodic"]
    for channels in (1, 2):
        sound = Audio(0.1 * np.random.default_rng(0).standard_normal((channels, SAMPLE_RATE)), SAMPLE_RATE)
        assert np.abs(model.through(sound).samples - sound.samples).max() < 1e-3


def test_what_a_streaming_script_remembers_is_forgotten(tmp_path: Path) -> None:
    """It adds up what it has heard, and noise: each call must find it as it was loaded, and leave torch's own chance alone."""
    import torch

    body = "        self.memory += 1\n        return x * self.memory + 0.01 * torch.randn_like(x)"
    network = TorchNetwork(scripted(tmp_path / "stream.ts", body, sr=44100))
    sound = noise(0.5).samples
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    first, second = network.run(sound), network.run(sound)
    assert np.array_equal(first, second)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.get_num_threads() == threads


def test_a_script_that_fails_is_one_line(tmp_path: Path) -> None:
    path = scripted(tmp_path / "fails.ts", "        return x.reshape(7)", sr=44100)
    with pytest.raises(EngineError, match=r"fails\.ts: forward failed.*is it a RAVE model\?"):
        Rave(str(path)).loaded["melodic"].through(noise(0.5))


def test_script_and_onnx_of_a_rave_say_the_same(rave: Path) -> None:
    networks = [OnnxNetwork(rave / "model.onnx", SAMPLE_RATE, HOP), TorchNetwork(rave / "model.ts")]
    sounds = [TimbreModel(network, known_latency_frames=0).through(tone(220.0)) for network in networks]
    assert np.abs(sounds[0].samples - sounds[1].samples).max() < 0.02 * sounds[1].peak
    assert Rave(f"{rave}/model.ts").loaded["melodic"].latent_rate_hz == pytest.approx(SAMPLE_RATE / HOP)


# --- the command line -------------------------------------------------------------------------------------------------


def test_onnx_needs_no_torch(rave: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "sound.wav", noise(0.5))
    code = (
        "import sys; sys.modules['torch'] = None\nfrom flows.cli import app\n"
        f"app(['instrument', {str(tmp_path / 'sound.wav')!r}, '--role', 'bass', '--compact', '--json', '--out',"
        f"{str(tmp_path / 'out')!r}, '--timbre', 'rave:{rave}/model.onnx?rate=44100', '--blend', '0.3'],"
        "standalone_mode=False)\n"
        "assert 'onnxruntime' in sys.modules\nassert not {'rave', 'torchaudio', 'pytorch_lightning'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    value = json.loads(done.stdout)
    assert value["timbre"]["options"]["blend"] == 0.3
    assert set(value["blends"].values()) <= {
        round(0.3 * step, 4) for step in (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1, 0.05, 0.0)
    }
    assert "no gate was run on it" in " ".join(value["warnings"])


def test_blend_on_the_command_line_is_an_option_of_the_engine() -> None:
    assert with_blend("rave", 0.5) == "rave:?blend=0.5"
    assert with_blend("rave:keys?use=effect", 0.25) == "rave:keys?use=effect&blend=0.25"
    assert with_blend(None, None) is None
    with pytest.raises(UsageError, match="set twice"):
        with_blend("rave:keys?blend=0.1", 0.5)
    for spec in (None, "resonator"):
        with pytest.raises(UsageError, match="a dial of the timbre engine rave, not of resonator"):
            with_blend(spec, 0.5)


def test_chunks_are_no_longer_than_they_say() -> None:
    assert model_module.CHUNK_S + 2 * model_module.CONTEXT_S <= 14
