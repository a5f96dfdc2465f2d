"""AudioLDM2 through the engine's real path: a tiny random pipeline of the same architecture, saved and loaded."""

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
pytest.importorskip("transformers")
pytest.importorskip("diffusers")

from safetensors.torch import load_file, save_file  # noqa: E402  (after the skips)
from tiny_pipelines import save_audioldm2  # noqa: E402

from core.audio import SAMPLE_RATE, Audio  # noqa: E402
from core.errors import EngineError, UsageError  # noqa: E402
from phase1_sound.effects import EFFECTS_ENGINES  # noqa: E402
from phase1_sound.effects.engines.audioldm2 import AudioLDM2  # noqa: E402
from phase1_sound.effects.engines.audioldm2.model import AudioLDM2Model, loaded  # noqa: E402
from phase1_sound.effects.engines.diffusion.batching import Job, jobs_of  # noqa: E402
from phase1_sound.effects.making import make_effects  # noqa: E402
from phase1_sound.effects.protocol import EffectRequest  # noqa: E402
from phase1_sound.prompts import NEGATIVE  # noqa: E402
from schemas.scene import Scene  # noqa: E402

PROMPTS = (
    "rain falling on the roof",
    "tapped with a spoon of cup, made of ceramic, bright, ringing sound, on a table, close-up field recording",
    "water dripping into a bucket",
    "wind",
    "dry, hollow, knocked, high quality",
    "scraped on a table, clear",
)
STEPS = 3


def request(prompt: str, seed: int, duration_s: float = 1.0) -> EffectRequest:
    return EffectRequest("cup", "clay", "tapped", (), prompt, NEGATIVE, duration_s, 0.5, seed)


REQUESTS = [request(prompt, seed) for seed, prompt in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # nothing here is worth a second one
    path = tmp_path_factory.mktemp("weights")
    save_audioldm2(path)
    yield path
    torch.set_num_threads(threads)
    loaded.cache_clear()


def engine(folder: Path, **rest: Any) -> AudioLDM2:
    query = "&".join(f"{key}={value}" for key, value in ({"steps": STEPS} | rest).items())
    return AudioLDM2(f"{folder}?{query}")


def sounds(made: AudioLDM2, requests: Sequence[EffectRequest]) -> list[Audio]:
    return [result.audio for result in made.make(requests)]


def difference(ours: Sequence[Audio], theirs: Sequence[Audio]) -> float:
    return max(float(np.abs(a.samples - b.samples).max()) for a, b in zip(ours, theirs, strict=True))


def test_six_prompts_in_one_batch_equal_six_single_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = engine(folder, batch=6)
    together = sounds(made, REQUESTS)
    alone = [sounds(made, [one])[0] for one in REQUESTS]
    with capsys.disabled():
        print(
            f"\naudioldm2: six in a batch and alone differ by at most {difference(together, alone):.1e} of full scale"
        )
    assert difference(together, alone) < 1e-5
    # The comparison means something: the sounds are loud, and hang on prompt and seed.
    assert min(audio.peak for audio in together) > 0.01
    first = sounds(made, [replace(REQUESTS[0], prompt=PROMPTS[1]), replace(REQUESTS[0], seed=99)])
    assert difference(first, [together[0], together[0]]) > 0.05


def test_the_pipeline_itself_mixes_a_batch(folder: Path) -> None:
    """Why texts are read one by one: with prompts of different lengths the pipeline's own batch differs from single runs."""
    pipe = loaded(folder, engine(folder)._place)._pipe

    def theirs(requests: Sequence[EffectRequest]) -> Any:
        return pipe(
            [one.prompt for one in requests],
            negative_prompt=[NEGATIVE] * len(requests),
            num_inference_steps=STEPS,
            audio_length_in_s=1.0,
            generator=[torch.Generator().manual_seed(one.seed) for one in requests],
        ).audios

    assert np.abs(theirs(REQUESTS[:2])[0] - theirs(REQUESTS[:1])[0]).max() > 1e-3


def test_one_prompt_is_what_the_pipeline_makes_of_it(folder: Path) -> None:
    """Prompt and negative prompt of equal length, so that the pipeline pads and cuts nothing."""
    asked = replace(REQUESTS[0], negative_prompt="rain falling on the roof"[::-1])
    model = loaded(folder, engine(folder)._place)
    lengths = [len(model._pipe.tokenizer_2(text).input_ids) for text in (asked.prompt, asked.negative_prompt)]
    asked = replace(asked, negative_prompt=asked.prompt) if lengths[0] != lengths[1] else asked
    ours = model.make(jobs_of([asked], 1), STEPS, 3.5, lambda text: None)
    theirs = model._pipe(
        [asked.prompt],
        negative_prompt=[asked.negative_prompt],
        num_inference_steps=STEPS,
        guidance_scale=3.5,
        audio_length_in_s=1.0,
        generator=[torch.Generator().manual_seed(asked.seed)],
    ).audios
    assert ours is not None
    assert np.abs(ours[0] - theirs).max() < 1e-5


@pytest.mark.parametrize("duration_s", [4.0, 0.29, 2.305, 0.5])
def test_the_length_is_exact(folder: Path, duration_s: float) -> None:
    made = engine(folder, steps=1)
    (audio,) = sounds(made, [request("rain", 1, duration_s)])
    assert (audio.frames, audio.sample_rate) == (round(duration_s * SAMPLE_RATE), SAMPLE_RATE)
    raw = loaded(folder, made._place).make([Job(0, 0, "rain", "", 1, duration_s)], 1, 3.5, lambda text: None)
    assert raw is not None
    assert raw[0].shape == (1, round(duration_s * 16000))


def test_durations_may_differ_in_one_call(folder: Path) -> None:
    asked = [replace(one, duration_s=seconds) for one, seconds in zip(REQUESTS, (1, 1, 0.5, 1, 0.5, 0.5), strict=True)]
    made = engine(folder)
    together = sounds(made, asked)
    assert [round(audio.duration_s, 3) for audio in together] == [1, 1, 0.5, 1, 0.5, 0.5]
    assert difference(together[2:3], sounds(made, asked[2:3])) < 1e-5


def refuse_large_batches(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> list[int]:
    """Let memory suffice for `most` sounds; gives the sizes that were tried."""
    tried: list[int] = []
    real = AudioLDM2Model._denoised_and_decoded

    def short_of_memory(model: AudioLDM2Model, jobs: Sequence[Job], *rest: Any) -> Any:
        tried.append(len(jobs))
        if len(jobs) > most:
            raise error
        return real(model, jobs, *rest)

    monkeypatch.setattr(AudioLDM2Model, "_denoised_and_decoded", short_of_memory)
    return tried


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["gpu", "host", "cpu"],
)
def test_batches_are_halved_until_memory_suffices(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    expected = sounds(engine(folder, batch=6), REQUESTS)
    tried = refuse_large_batches(monkeypatch, 2, error)
    made = engine(folder, batch=6)
    assert difference(sounds(made, REQUESTS), expected) < 1e-5
    assert tried == [6, 3, 2, 2, 2]
    tried.clear()
    sounds(made, REQUESTS[:4])
    assert tried == [2, 2]  # what was found holds for the next call


def test_without_memory_for_one_sound_it_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_large_batches(monkeypatch, 0, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(EngineError, match="not enough memory for one effect alone: take a smaller model"):
        sounds(engine(folder), REQUESTS)


def test_another_failure_is_not_taken_for_want_of_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = refuse_large_batches(monkeypatch, 0, RuntimeError("shapes do not fit"))
    with pytest.raises(EngineError, match="RuntimeError: shapes do not fit"):
        sounds(engine(folder), REQUESTS[:2])
    assert tried == [2]


def test_candidates_are_ranked_within_their_prompt(folder: Path) -> None:
    made, count = engine(folder, candidates=3, batch=4), 3
    model = loaded(folder, made._place)
    jobs = jobs_of(REQUESTS[:3], count)
    raw = model.make(jobs, STEPS, 3.5, lambda text: None)
    assert raw is not None
    crossed = 0
    for place, result in enumerate(made.make(REQUESTS[:3])):
        own = raw[place * count : place * count + count]
        scores = model.scores(PROMPTS[place], own)
        best = int(np.argmax(scores))
        assert result.recipe["candidate"] == best
        assert result.recipe["candidate_scores"] == pytest.approx(scores, abs=1e-3)
        assert difference([result.audio], [Audio(own[best], 16000).resampled(SAMPLE_RATE)]) < 1e-5
        # What diffusers does: the best of all prompts' sounds, whosesoever they are.
        crossed += int(np.argmax(model.scores(PROMPTS[place], raw))) // count != place
    assert crossed > 0


def test_the_first_candidate_is_the_sound_without_candidates(folder: Path) -> None:
    jobs = jobs_of(REQUESTS[:2], 3)
    assert [job.seed for job in jobs if job.candidate == 0] == [one.seed for one in REQUESTS[:2]]
    assert len({job.seed for job in jobs}) == 6


def test_progress_tells_batches_and_steps(folder: Path) -> None:
    told: list[str] = []
    made = engine(folder, batch=2)
    made.watch(told.append)
    sounds(made, REQUESTS[:3])
    assert told[0] == "effects 1-2 of 3: step 1 of 3"
    assert told[-2:] == ["effect 3 of 3: step 3 of 3", "effect 3 of 3: decoding"]
    assert len(told) == 8


def test_what_decides_the_sound_is_recorded(folder: Path) -> None:
    info = engine(folder).info
    assert (info.name, len(info.weights_sha256 or "")) == ("audioldm2", 64)
    assert info.options["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert str(folder.parent) not in json.dumps(dict(info.options))
    assert info == engine(folder, batch=1).info
    for other in ({"steps": 9}, {"guidance": 1.5}, {"candidates": 2}, {"dtype": "bfloat16"}):
        assert info != engine(folder, **other).info
    recipe = next(engine(folder).make(REQUESTS[:1])).recipe
    assert recipe["resampled"] == "16000 -> 44100 Hz by soxr VHQ"
    assert (recipe["steps"], recipe["guidance"]) == (STEPS, 3.5)


def test_bfloat16_keeps_decoder_and_vocoder_in_float32(folder: Path) -> None:
    made = engine(folder, dtype="bfloat16")
    (audio,) = sounds(made, REQUESTS[:1])
    pipe = loaded(folder, made._place)._pipe
    types = {name: part.dtype for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    assert types.pop("vae") == types.pop("vocoder") == torch.float32
    assert set(types.values()) == {torch.bfloat16}
    assert audio.peak > 0.01


def test_the_scheduler_is_dpm_solver(folder: Path) -> None:
    scheduler = loaded(folder, engine(folder)._place)._pipe.scheduler
    assert type(scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert scheduler.config.algorithm_type == "dpmsolver++"
    assert scheduler.config.beta_schedule == "scaled_linear"  # the rest is the model's own


def test_tokens_are_counted_by_the_models_tokenizers(folder: Path) -> None:
    made = engine(folder)
    short, long = made.tokens("rain falling"), made.tokens("rain falling on the roof " * 60)
    assert [(each.encoder, each.limit, each.estimated) for each in short] == [("CLAP", 512, False), ("T5", 128, False)]
    assert all(each.count <= each.limit for each in short)
    assert long[1].count > 128
    assert sounds(made, [request("rain falling on the roof " * 60, 1, 0.2)])[0].frames > 0


def test_a_missing_tensor_is_refused(folder: Path, tmp_path: Path) -> None:
    for part, file in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model"), ("vocoder", "model")):
        copy = shutil.copytree(folder, tmp_path / part)
        path = copy / part / f"{file}.safetensors"
        tensors = load_file(path)
        lost = sorted(name for name in tensors if name.endswith("weight"))[0]
        del tensors[lost]
        save_file(tensors, path, {"format": "pt"})
        with pytest.raises(EngineError, match=rf"{part}: \d+ weights are missing or of another shape .*fetch it again"):
            sounds(engine(copy), REQUESTS[:1])


def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(EngineError, match="audioldm2"):
        sounds(engine(copy), REQUESTS[:1])


@pytest.mark.parametrize(
    "gone", ["unet/diffusion_pytorch_model.safetensors", "vocoder/config.json", "tokenizer_2/tokenizer.json",
             "scheduler/scheduler_config.json", "model_index.json"],
)  # fmt: skip
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, gone: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / gone).unlink()
    with pytest.raises(EngineError, match=rf"lacks {gone}.*choose another folder"):
        engine(copy)
    problem = EFFECTS_ENGINES.readiness(f"audioldm2:{copy}").problem
    assert problem is not None
    assert gone in problem


def test_models_for_music_and_speech_are_refused(folder: Path, tmp_path: Path) -> None:
    for model in ("music", "cvssp/audioldm2-music"):
        with pytest.raises(UsageError, match=r"trained on music .* take audioldm2 or audioldm2:large"):
            EFFECTS_ENGINES.load(f"audioldm2:{model}")
    for changes, message in (
        ({"_class_name": "StableDiffusionPipeline"}, "is a StableDiffusionPipeline, not a AudioLDM2Pipeline"),
        ({"text_encoder_2": ["transformers", "VitsModel"]}, "VitsModel: this one speaks"),
    ):
        copy = shutil.copytree(folder, tmp_path / str(len(message)))
        index = json.loads((copy / "model_index.json").read_text())
        (copy / "model_index.json").write_text(json.dumps(index | changes))
        with pytest.raises(EngineError, match=message):
            engine(copy)


def test_the_default_is_cvssp_audioldm2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for spec, repository in (("audioldm2", "cvssp/audioldm2"), ("audioldm2:large", "cvssp/audioldm2-large")):
        problem = EFFECTS_ENGINES.readiness(spec).problem
        assert problem is not None
        assert f"{repository} lacks all weights" in problem
        assert "CC BY-NC-SA 4.0" in problem
        assert problem.endswith(f"photone engines --fetch {spec}")


def test_options_are_refused_in_words() -> None:
    for option in ("batch=-1", "candidates=0", "device=tpu", "sampler=ddim"):
        with pytest.raises(UsageError, match=option.partition("=")[0]):
            AudioLDM2(f"?{option}")


def test_a_scene_goes_through_it(folder: Path, tmp_path: Path) -> None:
    variants = [
        {"play_method": method, "timbre": ["bright"], "mapping_to_music_instrument": None, "confidence": 0.8}
        for method in ("tapped", "scraped", "rain falling", "dripping", "knocked")
    ]
    value = {
        "scene_description": "A cup on a table.",
        "mood_description": "calm",
        "sound_sources": [{"name": "cup", "material": "ceramic", "variants": variants}],
    }
    made = EFFECTS_ENGINES.load(f"audioldm2:{folder}?steps=1")
    effects = make_effects(Scene.from_value(value, "test"), "0" * 64, made, tmp_path, 1)
    assert len(list(tmp_path.glob("*.wav"))) == 5
    assert all(effect.sample_rate == SAMPLE_RATE for effect in effects.effects)
    assert [each.estimated for each in effects.effects[0].prompt.tokens] == [False, False]
    assert any("16 kHz: resampled to 44.1 kHz" in note for note in effects.notes)
    assert any(note.startswith("weights of ") for note in effects.notes)
