"""Stable Audio 1 and 3 through the engine's real path: tiny random pipelines of the same architectures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs pip install "photone[models]"')
diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402  (after the skips)
from tiny_pipelines import save_stable_audio, save_stable_audio_3  # noqa: E402

from core.audio import SAMPLE_RATE, Audio  # noqa: E402
from core.errors import EngineError, UsageError  # noqa: E402
from phase1_sound.effects import EFFECTS_ENGINES  # noqa: E402
from phase1_sound.effects.engines.stable_audio import StableAudio  # noqa: E402
from phase1_sound.effects.engines.stable_audio import engine as engine_module  # noqa: E402
from phase1_sound.effects.engines.stable_audio import model as model_module  # noqa: E402
from phase1_sound.effects.engines.stable_audio.model import StableAudioModel, loaded  # noqa: E402
from phase1_sound.effects.protocol import EffectRequest  # noqa: E402
from phase1_sound.prompts import NEGATIVE  # noqa: E402

PROMPTS = ("rain falling on the roof", "tapped with a spoon of cup, bright", "wind", "scraped", "dry", "knocked, clear")


def request(prompt: str, seed: int, duration_s: float = 0.5) -> EffectRequest:
    return EffectRequest("cup", "clay", "tapped", (), prompt, NEGATIVE, duration_s, 0.5, seed)


REQUESTS = [request(prompt, seed) for seed, prompt in enumerate(PROMPTS)]


@pytest.fixture(scope="module", params=["1", "3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # nothing here is worth a second one
    path = tmp_path_factory.mktemp(f"stable-audio-{request.param}")
    (save_stable_audio if request.param == "1" else save_stable_audio_3)(path)
    yield path
    torch.set_num_threads(threads)
    loaded.cache_clear()


def engine(folder: Path, **rest: Any) -> StableAudio:
    query = "&".join(f"{key}={value}" for key, value in ({"steps": 3, "guidance": 2} | rest).items())
    return StableAudio(f"{folder}?{query}")


def sounds(made: StableAudio, requests: Sequence[EffectRequest]) -> list[Audio]:
    return [result.audio for result in made.make(requests)]


def difference(ours: Sequence[Audio], theirs: Sequence[Audio]) -> float:
    """The largest difference between samples, as a share of the peak."""
    return max(
        float(np.abs(a.samples - b.samples).max()) / max(a.peak, b.peak) for a, b in zip(ours, theirs, strict=True)
    )


def test_six_prompts_in_one_batch_equal_six_single_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = engine(folder, batch=6)
    together = sounds(made, REQUESTS)
    alone = [sounds(made, [one])[0] for one in REQUESTS]
    with capsys.disabled():
        print(
            f"\n{folder.name}: six in a batch and alone differ by at most {difference(together, alone):.1e} of the peak"
        )
    assert difference(together, alone) < 1e-4
    assert min(audio.peak for audio in together) > 1e-6
    for other in (replace(REQUESTS[0], prompt=PROMPTS[1]), replace(REQUESTS[0], seed=99)):
        assert difference(sounds(made, [other]), together[:1]) > 1e-3


@pytest.mark.parametrize("duration_s", [0.5, 0.2905, 1.0])
def test_length_rate_and_channels_are_exact(folder: Path, duration_s: float) -> None:
    (audio,) = sounds(engine(folder, steps=1), [request("rain", 1, duration_s)])
    assert (audio.channels, audio.frames, audio.sample_rate) == (2, round(duration_s * SAMPLE_RATE), SAMPLE_RATE)


def test_it_is_what_the_pipeline_makes(folder: Path) -> None:
    """Decoding only what is heard gives what decoding all of it does."""
    made = engine(folder)
    (ours,) = sounds(made, REQUESTS[:1])
    pipe = loaded(folder, made._place)._pipe
    length = {"duration": 0.5} if "3" in folder.name else {"audio_end_in_s": 0.5}
    theirs = pipe(
        prompt=[PROMPTS[0]],
        negative_prompt=[NEGATIVE],
        num_inference_steps=3,
        guidance_scale=2.0,
        generator=[torch.Generator().manual_seed(0)],
        output_type="np",
        **length,
    ).audios[0]
    assert ours.samples.shape == theirs.shape
    assert np.abs(np.clip(ours.samples, -1, 1) - np.clip(theirs, -1, 1)).max() < 1e-4 * ours.peak


def test_batches_are_halved_until_memory_suffices(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sounds(engine(folder, batch=6), REQUESTS)
    tried: list[int] = []
    real = StableAudioModel._denoised_and_decoded

    def short_of_memory(model: StableAudioModel, jobs: Sequence[Any], *rest: Any) -> Any:
        tried.append(len(jobs))
        if len(jobs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, jobs, *rest)

    monkeypatch.setattr(StableAudioModel, "_denoised_and_decoded", short_of_memory)
    assert difference(sounds(engine(folder, batch=6), REQUESTS), expected) < 1e-4
    assert tried == [6, 3, 2, 2, 2]


def test_steps_are_told_and_tokens_counted(folder: Path) -> None:
    made, told = engine(folder), list[str]()
    made.watch(told.append)
    sounds(made, REQUESTS[:2])
    assert told == [f"effects 1-2 of 2: {text}" for text in ("step 1 of 3", "step 2 of 3", "step 3 of 3", "decoding")]
    (tokens,) = made.tokens("rain falling")
    assert (tokens.encoder, tokens.limit) == (("T5Gemma", 256) if "3" in folder.name else ("T5", 128))
    assert 2 < tokens.count < 20


def test_bfloat16_keeps_the_decoder_in_float32(folder: Path) -> None:
    made = engine(folder, dtype="bfloat16")
    assert sounds(made, REQUESTS[:1])[0].peak > 1e-6
    pipe = loaded(folder, made._place)._pipe
    assert (pipe.vae.dtype, pipe.transformer.dtype) == (torch.float32, torch.bfloat16)


def test_the_models_own_steps_and_guidance(folder: Path) -> None:
    info = EFFECTS_ENGINES.load(f"stable-audio:{folder}").info
    assert (info.options["steps"], info.options["guidance"]) == ((8, 1.0) if "3" in folder.name else (100, 7.0))


def test_a_missing_tensor_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "transformer/diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    del tensors[sorted(name for name in tensors if name.endswith("weight"))[0]]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(EngineError, match=r"transformer: \d+ weights are missing or of another shape"):
        sounds(engine(copy), REQUESTS[:1])


def test_a_missing_part_is_named(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    part = "duration_embedder" if "3" in folder.name else "projection_model"
    shutil.rmtree(copy / part)
    with pytest.raises(EngineError, match=rf"lacks {part}/config\.json"):
        engine(copy)


def test_a_version_without_the_pipeline_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = json.loads((folder / "model_index.json").read_text())["_class_name"]
    loaded.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(model_module, "diffusers", type("Old", (), {"__name__": "diffusers", "__version__": "0.1"})())
        with pytest.raises(EngineError, match=f"diffusers 0.1 has no {name}: pip install --upgrade diffusers"):
            sounds(engine(folder), REQUESTS[:1])


def test_options_and_other_pipelines_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to judge candidates with"):
        engine(folder, candidates=2)
    copy = shutil.copytree(folder, tmp_path / "copy")
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": "AudioLDM2Pipeline"}))
    with pytest.raises(EngineError, match="is a AudioLDM2Pipeline, not a StableAudioPipeline or StableAudio3Pipeline"):
        engine(copy)


def test_the_scheduler_of_the_open_model_wants_its_package(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    index = json.loads((copy / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "CosineDPMSolverMultistepScheduler"]
    (copy / "model_index.json").write_text(json.dumps(index))
    monkeypatch.setattr(engine_module, "find_spec", lambda name: None)
    problem = EFFECTS_ENGINES.readiness(f"stable-audio:{copy}").problem
    assert problem == "stable-audio: this model's scheduler needs torchsde: pip install torchsde"


def test_too_long_a_sound_is_an_error(folder: Path) -> None:
    if "3" in folder.name:
        pytest.skip("version 3 makes any length")
    with pytest.raises(EngineError, match="longer than the model maximum"):
        sounds(engine(folder), [request("rain", 1, 5.0)])
