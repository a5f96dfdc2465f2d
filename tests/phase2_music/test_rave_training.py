"""RAVE training on a CPU: the loss falls, nothing is lost by an interruption, what is exported gives what was trained."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.audio import Audio, write_audio
from core.errors import EngineError, UsageError
from core.manifest import sha256_file
from phase2_music.timbre.corpus import make_corpus
from phase2_music.timbre.corpus_source import CorpusOptions
from phase2_music.timbre.train.options import PRESETS, ModelOptions, TrainingOptions, preset
from schemas.timbre import Corpus, TimbreCard

torch = pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("rave", reason="needs the extra train")
scipy_signal = pytest.importorskip("scipy.signal")

from phase2_music.timbre.train import checkpoint, compatibility, data, export, loop, steps  # noqa: E402 - may skip
from phase2_music.timbre.train.model import build, divergence, posterior, without_weight_norm  # noqa: E402

RATE = 16000
OPTIONS = preset("smoke", steps=24, validate_every=10, log_every=4)
CPU = torch.device("cpu")


def write_nsynth(folder: Path) -> Path:
    """Decaying tones of some harmonics as a small NSynth."""
    for split, pitches in {"train": range(40, 76, 5), "valid": (47, 62), "test": (52,)}.items():
        examples = {}
        for pitch in pitches:
            note, t = f"bass_synthetic_{split}-{pitch:03d}-100", np.arange(RATE) / RATE
            f0 = 440 * 2 ** ((pitch - 69) / 12)
            tone = sum(np.sin(2 * np.pi * f0 * k * t) / k for k in range(1, 8)) * np.exp(-2 * t)
            write_audio(folder / f"nsynth-{split}" / "audio" / f"{note}.wav", Audio(0.2 * tone, RATE))
            examples[note] = {"pitch": pitch, "velocity": 100, "instrument": 1, "instrument_str": "synth"}
            examples[note] |= {"instrument_family_str": "bass"}
        (folder / f"nsynth-{split}" / "examples.json").write_text(json.dumps(examples))
    return folder


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    nsynth = write_nsynth(folder / "nsynth")
    make_corpus(CorpusOptions("bass", folder / "bass", source="nsynth", nsynth=nsynth, sample_rate=RATE))
    return folder / "bass"


@pytest.fixture(scope="session")
def notes(corpus_folder: Path) -> data.Notes:
    return data.load_notes(corpus_folder, Corpus.read(corpus_folder / "corpus.json"), "train", CPU)


@pytest.fixture(scope="session")
def trained(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[loop.Progress]]:
    """An uninterrupted training, and what it told."""
    out, told = tmp_path_factory.mktemp("trained"), []
    loop.train(corpus_folder, out, OPTIONS, told.append)
    return out, told


@pytest.fixture(scope="session")
def model(trained: tuple[Path, Any], corpus_folder: Path) -> Path:
    folder = trained[0] / "model"
    export.export_model(trained[0], corpus_folder, folder, OPTIONS, "0.1.0")
    return folder


def weights(out: Path) -> dict[str, Any]:
    return checkpoint.read(out / checkpoint.FILE)["model"]


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# Newer stacks


def test_our_kaiser_filter_gives_raves_own_filter_bank() -> None:
    if not hasattr(scipy_signal, "kaiser"):
        pytest.skip("this SciPy cannot run RAVE's own")
    rave = compatibility.load_rave()
    spec = importlib.util.spec_from_file_location("own_pqmf", rave.pqmf.__file__)
    assert spec is not None
    assert spec.loader is not None
    own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(own)
    assert own.kaiser_filter is not compatibility.kaiser_filter
    assert rave.pqmf.kaiser_filter is compatibility.kaiser_filter
    for attenuation, bands in ((100, 16), (80, 8)):
        assert np.array_equal(own.get_prototype(attenuation, bands), rave.pqmf.get_prototype(attenuation, bands))
    assert np.array_equal(own.kaiser_filter(0.3, 140), compatibility.kaiser_filter(0.3, 140))


NEWER_STACK = """
import importlib.machinery
import sys
class WithoutDistutils(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "distutils" else super().find_spec(name, path, target)
assert "distutils" not in sys.modules
finders = [f for f in sys.meta_path if "Distutils" not in type(f).__name__]
sys.meta_path[:] = [WithoutDistutils if f is importlib.machinery.PathFinder else f for f in finders]
import importlib.util
assert importlib.util.find_spec("distutils") is None, "Python 3.12 has none"
import scipy.signal
import scipy.signal._fir_filter_design as design
del scipy.signal.kaiser
real = scipy.signal.firwin
def firwin(*args, **named):
    assert "nyq" not in named, "SciPy 1.14 took nyq away"
    return real(*args, **named)
scipy.signal.firwin = firwin
kaiserord = scipy.signal.kaiserord
def strict(ripple, width):
    assert not hasattr(width, "shape") or width.shape == (), "NumPy 2.4 takes no array for a number"
    return kaiserord(ripple, width)
scipy.signal.kaiserord = strict
import hashlib
from phase2_music.timbre.train.model import build
from phase2_music.timbre.train.options import preset
networks = build(preset("smoke"), 44100)
assert "setuptools" in sys.modules["distutils"].__file__
print(hashlib.sha256(networks.pqmf.hk.numpy().tobytes()).hexdigest())
"""


def test_the_network_is_built_where_scipy_and_numpy_are_newer() -> None:
    done = subprocess.run([sys.executable, "-c", NEWER_STACK], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    import hashlib

    here = build(preset("smoke"), 44100).pqmf.hk
    assert done.stdout.strip() == hashlib.sha256(here.numpy().tobytes()).hexdigest()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rave", None)
    with pytest.raises(EngineError, match=r"needs the package rave.*photone\[train\].*docs/timbres\.md"):
        compatibility.load_rave.__wrapped__()


def test_the_wheels_for_another_machine_are_pinned() -> None:
    """docs/timbres.md downloads them with constraints.txt: a package that is not pinned there would come in any version."""
    root = Path(__file__).parents[2]
    listed = (root / "phase2_music" / "timbre" / "train" / "wheels.txt").read_text().splitlines()
    wanted = {line.lower().replace("_", "-") for line in listed if not line.startswith("#")}
    pins = (line.partition("==") for line in (root / "constraints.txt").read_text().splitlines())
    assert wanted <= {name.lower().replace("_", "-") for name, _, _ in pins}
    assert {"acids-rave", "cached-conv", "gin-config", "udls"} <= wanted


# The network


@pytest.mark.parametrize("name", PRESETS)
def test_the_filter_bank_and_the_hop_are_as_stated(name: str) -> None:
    options = preset(name)
    networks = build(options, 44100)
    sound = torch.zeros(1, 1, 4 * options.model.hop)
    with torch.no_grad():
        latents = networks.encoder(networks.pqmf(sound))
        again = networks.pqmf.inverse(networks.decoder(posterior(latents)[0]))
    assert latents.shape == (1, 2 * options.model.latents, 4)
    assert again.shape == sound.shape


def test_posterior_and_divergence_are_raves() -> None:
    rave = build(OPTIONS, RATE).rave
    parameters = torch.randn(3, 16, 20, generator=torch.Generator().manual_seed(1))
    mean, deviation = posterior(parameters)
    assert float(divergence(mean, deviation)) == pytest.approx(
        float(rave.encoder.reparametrize(parameters)[1]), rel=1e-6
    )
    torch.manual_seed(0)
    theirs = rave.encoder.reparametrize(parameters)[0]
    torch.manual_seed(0)
    assert torch.allclose(theirs, mean + deviation * torch.randn_like(mean))


# Crops


def test_a_steps_crops_are_always_the_same_and_each_steps_are_others(notes: data.Notes) -> None:
    one, again, other = (data.batch(notes, OPTIONS, RATE, step) for step in (7, 7, 8))
    assert one.shape == (OPTIONS.batch, 1, OPTIONS.crop)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, data.batch(notes, replace(OPTIONS, seed=1), RATE, 7))


def plain_crop(notes: data.Notes, begin: int, frames: int, **changes: Any) -> Any:
    values = {"ratio": np.ones(1), "gain": np.ones(1), "angle": np.zeros(1)} | changes
    return data._crops(notes, data.Draw(np.array([2]), np.array([begin]), **values), frames)[0]


def test_a_plain_crop_is_the_note_with_silence_around_it(notes: data.Notes) -> None:
    start, length = notes.starts[2], notes.lengths[2]
    note = notes.samples[start : start + length].float() / 32767
    crop = plain_crop(notes, -100, int(length) + 300)
    assert torch.allclose(crop[100 : 100 + length], note, atol=1e-7)
    assert crop[:100].abs().max() < 1e-12
    assert crop[100 + length :].abs().max() < 1e-12


def test_a_detuned_crop_sounds_so_many_cents_higher() -> None:
    time_s = np.arange(40000) / RATE
    sine = np.round(20000 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.int16)
    note = data.Notes(torch.from_numpy(np.tile(sine, 3)), np.array([0, 0, 0]), np.array([40000] * 3))
    crop = plain_crop(note, 50, 32000, ratio=np.array([2 ** (50 / 1200)])).double().numpy()
    wanted = 1000 * 2 ** (50 / 1200)
    spectrum = np.abs(np.fft.rfft(crop * np.hanning(len(crop)), 1 << 20))
    assert 1200 * abs(np.log2(np.argmax(spectrum) * RATE / (1 << 20) / wanted)) < 0.5
    # What the interpolation adds lies 54 dB below the tone, so no model learns it.
    angle = 2 * np.pi * wanted / RATE * np.arange(len(crop))
    basis = np.stack([np.sin(angle), np.cos(angle)])
    rest = crop - (basis @ crop * 2 / len(crop)) @ basis
    assert np.sqrt(np.mean(rest**2)) < 2e-3 * np.sqrt(np.mean(crop**2))


def test_the_phase_is_turned_as_raves_augmentation_turns_it() -> None:
    rave = compatibility.load_rave()
    sound = np.random.default_rng(0).standard_normal(8192)
    angle = 2 * np.pi * 300 / RATE
    b, a = rave.core.pole_to_z_filter(angle, 0.99)
    wanted = scipy_signal.lfilter(b, a, sound)
    given = data._mangled(torch.from_numpy(np.stack([sound, sound])).float(), torch.tensor([angle, 0.0]))
    assert np.abs(given[0].numpy() - wanted).max() < 1e-4
    assert np.array_equal(given[1].numpy(), sound.astype(np.float32))


def test_a_corpus_that_was_changed_is_refused(corpus_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "corpus"
    shutil.copytree(corpus_folder, folder)
    first = Corpus.read(folder / "corpus.json").notes[0].file
    (folder / first).write_bytes(b"")
    with pytest.raises(UsageError, match="is lost or changed"):
        data.load_corpus(folder)
    with pytest.raises(UsageError, match=r"holds no corpus\.json"):
        data.load_corpus(tmp_path)


# The schedule


def test_the_schedule_follows_steps_or_minutes_whichever_is_further() -> None:
    options = preset("small", steps=1000, minutes=10)
    assert options.used(100, 0.0) == pytest.approx(0.1)
    assert options.used(100, 300.0) == pytest.approx(0.5)
    assert options.used(1, 700.0) == 1.0
    assert preset("small", steps=1000).used(100, 1e9) == pytest.approx(0.1)
    assert options.rate(0.0) == pytest.approx(1e-3)
    assert options.rate(0.7) == options.rate(1.0) == pytest.approx(1e-4)
    assert options.beta(0.0) == pytest.approx(1e-4)
    assert options.beta(0.175) == pytest.approx(10**-3.5)
    assert options.beta(0.35) == options.beta(1.0) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 8000}, "crop 8000: choose a multiple of the hop"),
        ({"crop": 2048}, "too short for an FFT"),
        ({"steps": 0}, "choose numbers above 0"),
        ({"minutes": -1.0}, "choose numbers above 0"),
        ({"phase_1_share": 0.0}, "phase 1 share"),
    ],
)
def test_options_that_do_not_go_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(PRESETS["smoke"], **changes)


def test_an_unknown_preset_lists_the_choices() -> None:
    with pytest.raises(UsageError, match="choose from smoke, small, full"):
        preset("huge")


# Training


def test_the_loss_falls_and_both_phases_come(trained: tuple[Path, list[loop.Progress]]) -> None:
    out, told = trained
    state = checkpoint.state_of(checkpoint.read(out / checkpoint.FILE))
    assert state.step == OPTIONS.steps
    for name in ("bands", "whole"):
        assert state.losses[name] < 0.8 * state.first_losses[name]
    assert {"feature_matching", "adversarial", "discriminator", "divergence"} <= state.losses.keys()
    assert [p.phase for p in told] == sorted(p.phase for p in told)
    assert told[-1].used == 1.0
    assert all(p.steps_per_s > 0 and p.eta_s >= 0 for p in told if p.losses)
    assert (out / "config.gin").read_text().count("CAPACITY = 4")
    assert json.loads((out / "options.json").read_text())["preset"] == "smoke"


def test_a_validation_is_completed_before_phase_2(trained: tuple[Path, list[loop.Progress]]) -> None:
    state = checkpoint.state_of(checkpoint.read(trained[0] / checkpoint.FILE))
    assert state.phase_2_step == 17  # the first step behind 70 % of 24
    before = [point for point in state.validations if point.step == state.phase_2_step]
    assert [point.phase for point in before] == [1]
    assert state.validations[-1].step == OPTIONS.steps
    assert state.validations[-1].distance < state.validations[0].distance
    assert all(1 <= point.latents_95 <= OPTIONS.model.latents for point in state.validations)


def test_phase_1_leaves_the_discriminator_and_phase_2_the_encoder(corpus_folder: Path, tmp_path: Path) -> None:
    seen = []
    for session_steps in (1, 16, 7):
        loop.train(corpus_folder, tmp_path, replace(OPTIONS, session_steps=session_steps))
        seen.append(weights(tmp_path))
    first, switch, last = seen

    def moved(one: Any, other: Any, part: str) -> bool:
        names = [name for name in one if name.startswith(f"{part}.") and "weight" in name]
        assert names
        return any(not torch.equal(one[name], other[name]) for name in names)

    assert moved(first, switch, "encoder")
    assert moved(first, switch, "decoder")
    assert not moved(first, switch, "discriminator")
    assert not moved(switch, last, "encoder")
    assert moved(switch, last, "decoder")
    assert moved(switch, last, "discriminator")


def test_a_training_in_pieces_ends_with_the_same_weights(
    trained: tuple[Path, Any], corpus_folder: Path, tmp_path: Path
) -> None:
    first_steps = []
    for session_steps in (5, 12, 2, None):
        told: list[loop.Progress] = []
        state = loop.train(
            corpus_folder, tmp_path, replace(OPTIONS, session_steps=session_steps, log_every=1), told.append
        )
        first_steps.append(told[0].step)
    assert first_steps == [1, 6, 18, 20]
    assert state.step == OPTIONS.steps
    assert same_weights(trained[0], tmp_path)
    before = (tmp_path / checkpoint.FILE).read_bytes()
    loop.train(corpus_folder, tmp_path, OPTIONS, lambda progress: pytest.fail("there was nothing to train"))
    assert (tmp_path / checkpoint.FILE).read_bytes() == before


ALONE = """
import json, sys
from pathlib import Path
from dataclasses import replace
from phase2_music.timbre.train import loop
from phase2_music.timbre.train.options import preset
options = preset("smoke", **json.loads(sys.argv[3]))
loop.train(Path(sys.argv[1]), Path(sys.argv[2]), options, lambda p: print(p.step, flush=True))
"""


def start(corpus: Path, out: Path, **changes: Any) -> subprocess.Popen[str]:
    options = {"steps": 24, "validate_every": 10, "log_every": 1, **changes}
    command = [sys.executable, "-c", ALONE, str(corpus), str(out), json.dumps(options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    assert any(int(line) >= step for line in process.stdout), "it ended before"


@pytest.mark.slow
def test_a_killed_training_goes_on_at_its_checkpoint(
    trained: tuple[Path, Any], corpus_folder: Path, tmp_path: Path
) -> None:
    killed = start(corpus_folder, tmp_path, checkpoint_every_s=0.0)
    until(killed, 9)
    killed.kill()
    killed.communicate()
    at = checkpoint.state_of(checkpoint.read(tmp_path / checkpoint.FILE)).step
    assert at >= 8
    told: list[loop.Progress] = []
    loop.train(corpus_folder, tmp_path, replace(OPTIONS, log_every=1), told.append)
    assert told[0].step == at + 1
    assert same_weights(trained[0], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_end_loses_no_step(
    number: signal.Signals, trained: tuple[Path, Any], corpus_folder: Path, tmp_path: Path
) -> None:
    ended = start(corpus_folder, tmp_path, checkpoint_every_s=1e9)
    until(ended, 6)
    os.kill(ended.pid, number)
    out, _ = ended.communicate(timeout=200)
    assert ended.returncode != 0
    at = checkpoint.state_of(checkpoint.read(tmp_path / checkpoint.FILE)).step
    assert at == max([6, *map(int, out.split())])
    loop.train(corpus_folder, tmp_path, OPTIONS)
    assert same_weights(trained[0], tmp_path)


def test_minutes_end_a_training_in_order(corpus_folder: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, steps=1_000_000, minutes=0.03)
    began = time.monotonic()
    state = loop.train(corpus_folder, tmp_path, options)
    assert 1.5 < time.monotonic() - began < 30
    assert 0 < state.step < 1_000_000
    assert state.phase == 2, "phase 2 comes by the clock"
    assert state.elapsed_s >= 1.8
    assert loop.train(corpus_folder, tmp_path, options).step == state.step


def test_a_sessions_minutes_do_not_touch_the_schedule(corpus_folder: Path, tmp_path: Path) -> None:
    state = loop.train(corpus_folder, tmp_path, replace(OPTIONS, steps=1_000_000, session_minutes=0.01))
    assert state.phase == 1
    assert state.validations[-1].step == state.step


def test_other_options_or_another_corpus_do_not_go_on_from_a_checkpoint(corpus_folder: Path, tmp_path: Path) -> None:
    loop.train(corpus_folder, tmp_path, replace(OPTIONS, session_steps=1))
    for changes in ({"batch": 2}, {"seed": 5}, {"model": replace(OPTIONS.model, latents=4)}):
        with pytest.raises(UsageError, match=r"checkpoint\.pt: is of a training with other options or another corpus"):
            loop.train(corpus_folder, tmp_path, replace(OPTIONS, **changes))
    assert replace(OPTIONS, steps=9, minutes=1.0, cuda_graphs=True).identity() == OPTIONS.identity()


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: b"", lambda data: b"x" * 500])
def test_a_damaged_checkpoint_is_said(damage: Callable[[bytes], bytes], corpus_folder: Path, tmp_path: Path) -> None:
    loop.train(corpus_folder, tmp_path, replace(OPTIONS, session_steps=1))
    path = tmp_path / checkpoint.FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=r"checkpoint\.pt: is no whole checkpoint: remove it"):
        loop.train(corpus_folder, tmp_path, OPTIONS)


def test_losses_that_are_no_numbers_leave_the_last_good_checkpoint(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.train(corpus_folder, tmp_path, replace(OPTIONS, session_steps=3))
    real = steps.Steps.run

    def run(self: steps.Steps, kind: Any, sound: Any, rate: float, beta: float) -> Any:
        return {name: loss * float("nan") for name, loss in real(self, kind, sound, rate, beta).items()}

    monkeypatch.setattr(steps.Steps, "run", run)
    with pytest.raises(EngineError, match="is no number any more at step 4"):
        loop.train(corpus_folder, tmp_path, OPTIONS)
    assert checkpoint.state_of(checkpoint.read(tmp_path / checkpoint.FILE)).step == 3


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(UsageError, match="no device 'moon'"):
        loop.choose_device("moon")
    if not torch.cuda.is_available():
        assert loop.choose_device("auto") == CPU
        with pytest.raises(UsageError, match="device 'cuda' is not here"):
            loop.choose_device("cuda")


def test_tensorboard_shows_losses_and_sounds(trained: tuple[Path, list[loop.Progress]], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from phase2_music.timbre.train.board import Board

    board = Board(tmp_path, 0, RATE)
    for progress in trained[1]:
        board.add(progress)
    board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    shown = events.Scalars("loss/whole")
    assert shown[0].value == pytest.approx(trained[1][0].losses["whole"], rel=1e-5)
    assert {"validation/distance", "training/steps_per_s"} <= set(events.Tags()["scalars"])
    assert "validation/0" in events.Tags()["audio"]


# Export

LENGTHS = (1, 511, 512, 513, 5000, 20 * 512)


def sounds(length: int) -> Any:
    return (0.3 * np.random.default_rng(length).standard_normal((1, 1, length))).astype(np.float32)


def reference(trained: Path, corpus_folder: Path) -> export.Model:
    return export.Model(OPTIONS, weights(trained), RATE)


def test_the_exported_network_is_the_trained_one(trained: tuple[Path, Any], corpus_folder: Path) -> None:
    networks = build(OPTIONS, RATE)
    networks.rave.load_state_dict(weights(trained[0]))
    sound = torch.from_numpy(sounds(4 * 512))
    with torch.no_grad():
        mean = posterior(networks.encoder(networks.pqmf(sound)))[0]
        wanted = networks.pqmf.inverse(networks.decoder(mean))
        given = reference(trained[0], corpus_folder)(sound)
    assert torch.allclose(given, wanted, atol=1e-6)
    assert mean.shape[1] == OPTIONS.model.latents, "all latents"


def test_onnx_gives_what_torch_gives_at_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    options = replace(OPTIONS, model=replace(OPTIONS.model, capacity=8))
    whole = export.Model(options, build(options, RATE).rave.state_dict(), RATE)
    stored, half_error = export.write_onnx(whole, tmp_path / "half.onnx")
    monkeypatch.setattr(export, "FLOAT16_BOUND", 1e-9)
    assert export.write_onnx(whole, tmp_path / "whole.onnx")[0] == "float32", "no sound is changed for the size"
    peak = max(float(whole(torch.from_numpy(sounds(length))).abs().max()) for length in LENGTHS)
    for name, bound in (("whole", 1e-4), ("half", 2e-3)):
        session = onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx"))
        assert [each.name for each in session.get_inputs()] == ["audio"]
        for length in LENGTHS:
            (given,) = session.run(None, {"audio": sounds(length)})
            wanted = whole(torch.from_numpy(sounds(length))).numpy()
            assert given.shape == (1, 1, length)
            assert given.dtype == np.float32
            assert np.abs(given - wanted).max() < bound * peak, (name, length)
    assert stored == "float16"
    assert 0 < half_error < 2e-3
    assert (tmp_path / "half.onnx").stat().st_size < 0.9 * (tmp_path / "whole.onnx").stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half.onnx", "whole.onnx"]


ONNX_ALONE = """
import sys
sys.modules["torch"] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
np.save(sys.argv[3], session.run(None, {"audio": np.load(sys.argv[2])})[0])
"""
SCRIPT_ALONE = """
import sys
for name in ("rave", "cached_conv", "gin", "pytorch_lightning"):
    sys.modules[name] = None
import numpy as np, torch
model = torch.jit.load(sys.argv[1])
x = torch.from_numpy(np.load(sys.argv[2]))
z = model.encode(x)
assert z.shape == (1, model.latent_size, 10), z.shape
assert model.decode(z).shape == (1, 1, 5120)
assert torch.equal(model.decode(z)[..., :5000], model(x)) and torch.equal(model(x), model(x))
assert model.encode(torch.cat([x, 0 * x])).shape[0] == 2
assert model.sr == 16000 and list(model.encode_params) == [1, 1, 8, 512] and list(model.decode_params) == [8, 512, 1, 1]
assert list(model.forward_params) == [1, 1, 1, 1]
assert model.get_methods() == ["forward", "encode", "decode"] and model.get_attributes() == ["none"]
for method in model.get_methods():
    channels, _, made, _ = getattr(model, method + "_params").tolist()
    assert len(getattr(model, method + "_input_labels")) == channels
    assert len(getattr(model, method + "_output_labels")) == made
np.save(sys.argv[3], model(x).numpy())
"""


@pytest.mark.parametrize(
    ("file", "code", "bound"), [("model.onnx", ONNX_ALONE, 2e-3), ("model.ts", SCRIPT_ALONE, 1e-6)]
)
def test_a_model_needs_its_own_runtime_alone(
    file: str, code: str, bound: float, model: Path, trained: tuple[Path, Any], corpus_folder: Path, tmp_path: Path
) -> None:
    sound = sounds(5000)
    np.save(tmp_path / "in.npy", sound)
    command = [sys.executable, "-c", code, str(model / file), str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with torch.no_grad():
        wanted = reference(trained[0], corpus_folder)(torch.from_numpy(sound)).numpy()
    assert np.abs(np.load(tmp_path / "out.npy") - wanted).max() < bound * np.abs(wanted).max()


def test_the_card_tells_the_truth(model: Path, trained: tuple[Path, Any], corpus_folder: Path) -> None:
    card, corpus = TimbreCard.read(model / "card.json"), Corpus.read(corpus_folder / "corpus.json")
    state = checkpoint.state_of(checkpoint.read(trained[0] / checkpoint.FILE))
    assert sorted(path.name for path in model.iterdir()) == ["card.json", "model.onnx", "model.ts"]
    for file in (card.onnx, card.ts):
        assert file.sha256 == sha256_file(model / file.file)
        assert file.bytes == (model / file.file).stat().st_size
    assert (card.role, card.sample_rate, card.hop, card.latents) == ("bass", RATE, 512, 8)
    assert card.corpus.manifest_sha256 == sha256_file(corpus_folder / "corpus.json")
    assert card.corpus.notes.train == len(corpus.split("train"))
    assert card.corpus.licence == corpus.licence
    assert card.training.steps == OPTIONS.steps
    assert card.training.finished
    assert card.training.phase_2_step == state.phase_2_step
    assert card.training.losses == state.losses
    assert card.training.options["learning_rate"] == OPTIONS.learning_rate
    assert card.training.device == "cpu"
    assert card.training.versions["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert card.onnx_error < (2e-3 if card.onnx_weights == "float16" else 1e-4)
    assert card.gate is None
    judged = card.with_gate(False, {"f0_share": 0.1, "why": "smoke"}, ["f0_share"])
    assert judged.gate is not None
    assert (judged.gate.passed, judged.gate.missed) == (False, ["f0_share"])
    assert judged.to_value()["gate"]["figures"] == {"f0_share": 0.1, "why": "smoke"}


def test_without_a_checkpoint_there_is_nothing_to_export(corpus_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no checkpoint: train first"):
        export.export_model(tmp_path, corpus_folder, tmp_path / "model", OPTIONS, "0.1.0")
    assert not (tmp_path / "model").exists()


def test_an_onnx_that_differs_is_not_shipped(
    trained: tuple[Path, Any], corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "FLOAT32_BOUND", 1e-12)
    with pytest.raises(EngineError, match=r"model\.onnx: differs from torch by"):
        export.export_model(trained[0], corpus_folder, tmp_path / "model", OPTIONS, "0.1.0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["small", "full"])
def test_shipped_sizes_stay_below_15_mb(name: str) -> None:
    networks = build(preset(name), 44100)
    for part in (networks.encoder, networks.decoder):
        without_weight_norm(part)
    assert 2 * sum(parameter.numel() for parameter in networks.generator_parameters) < 14e6


def test_options_are_frozen_and_hops_follow_the_ratios() -> None:
    assert ModelOptions().hop == 512
    assert TrainingOptions("x").as_json()["model"]["ratios"] == [4, 2, 2, 2]
    with pytest.raises(AttributeError):
        OPTIONS.steps = 3  # type: ignore[misc]
