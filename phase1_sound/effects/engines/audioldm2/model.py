"""AudioLDM2 through diffusers: loading, text to embeddings one prompt at a time, denoising and decoding in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers

from core.audio import Audio
from core.errors import EngineError
from phase1_sound.effects.engines.diffusion.batching import Job, Waves
from phase1_sound.effects.engines.diffusion.pipeline import (
    Place,
    generators,
    load_part,
    quiet,
    translated,
    within_memory,
)
from phase1_sound.effects.protocol import Report
from schemas.effect import Tokens

_PARTS: dict[str, Any] = {
    "vae": diffusers.AutoencoderKL,
    "text_encoder": transformers.ClapModel,
    "text_encoder_2": transformers.T5EncoderModel,
    "projection_model": diffusers.AudioLDM2ProjectionModel,
    # The repositories' index names GPT2Model, which transformers 5 no longer lets generate.
    "language_model": transformers.GPT2LMHeadModel,
    "unet": diffusers.AudioLDM2UNet2DConditionModel,
    "vocoder": transformers.SpeechT5HifiGan,
}
# 8 bits of bfloat16 would be heard as noise at some -50 dB; these two are small.
_ALWAYS_FLOAT32 = ("vae", "vocoder")
_NAMES = {"tokenizer": "CLAP", "tokenizer_2": "T5"}
_KEPT_TEXTS = 256
# Texts are padded to whole blocks: sums over the same number of terms round alike in a batch and alone.
_BLOCK = 64


@dataclass(frozen=True)
class _Text:
    """A text as the denoiser reads it: T5's states (1, tokens, dim), their mask (1, tokens), GPT-2's states (1, 8, dim)."""

    states: Any
    mask: Any
    generated: Any


@lru_cache(maxsize=1)
def loaded(folder: Path, place: Place) -> AudioLDM2Model:
    """Load a pipeline, or give the one that was loaded last if it is the same.

    Raises:
        EngineError: the files are damaged, or there is not enough memory.
    """
    return AudioLDM2Model(folder, place)


class AudioLDM2Model:
    """A loaded pipeline with DPM-Solver++ (Lu et al. 2022) as its scheduler."""

    def __init__(self, folder: Path, place: Place) -> None:
        self._folder, self._place = folder, place
        with _ours(self._folder):
            types = {name: torch.float32 if name in _ALWAYS_FLOAT32 else place.torch_dtype for name in _PARTS}
            parts = {name: load_part(made, folder / name, types[name]) for name, made in _PARTS.items()}
            self._pipe = diffusers.AudioLDM2Pipeline.from_pretrained(folder, local_files_only=True, **parts)
            config = self._pipe.scheduler.config
            self._pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(config)
            self._pipe.set_progress_bar_config(disable=True)
            self._pipe.to(place.device)
        self.sample_rate = int(self._pipe.vocoder.config.sampling_rate)
        self._text = lru_cache(maxsize=_KEPT_TEXTS)(self._read)

    def make(self, jobs: Sequence[Job], steps: int, guidance: float, report: Report) -> list[Waves] | None:
        """Make jobs of one duration together; each sound has shape (1, frames). None when memory does not suffice.

        Raises:
            EngineError: the model failed.
        """
        with _ours(self._folder):
            work = partial(self._denoised_and_decoded, jobs, steps, guidance, report)
            return within_memory(work, self._place.device_type)

    def _denoised_and_decoded(self, jobs: Sequence[Job], steps: int, guidance: float, report: Report) -> list[Waves]:
        frames = round(jobs[0].duration_s * self.sample_rate)
        latents = self._pipe(
            **self._conditions(jobs),
            # Half a frame of 10 ms more: the pipeline rounds down, and what is over is cut off below.
            audio_length_in_s=jobs[0].duration_s + 0.005,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators(jobs),
            output_type="latent",
            callback=lambda step, t, latents: report(f"step {step + 1} of {steps}"),
        ).audios
        report("decoding")
        return [self._decoded(one, frames) for one in latents.split(1)]

    def _decoded(self, latents: Any, frames: int) -> Waves:
        """One sound out of its latents, alone: the decoder needs more memory than the denoiser, and gains nothing."""
        with torch.inference_mode():
            mel = self._pipe.vae.decode(latents.float() / self._pipe.vae.config.scaling_factor).sample
            wave: Waves = self._pipe.mel_spectrogram_to_waveform(mel).numpy()[:, :frames]
        if wave.shape[1] != frames or not np.isfinite(wave).all():
            raise EngineError(
                f"{self._folder}: gave {wave.shape[1]} frames of {frames}, or no numbers: try ?dtype=float32"
            )
        return wave

    def _conditions(self, jobs: Sequence[Job]) -> dict[str, Any]:
        """What the pipeline is told instead of prompts.

        The pipeline itself pads prompts to the longest of the batch before GPT-2 counts positions, and cuts the negative
        prompt to that length: a sound would hang on its neighbours. Here every text is read alone, and only what is masked
        away is padded.
        """
        prompts, negatives = ([self._text(text) for text in texts] for texts in _texts_of(jobs))
        longest = max(text.mask.shape[1] for text in (*prompts, *negatives))
        longest = -(-longest // _BLOCK) * _BLOCK
        states, mask, generated = _stacked(prompts, longest)
        no_states, no_mask, no_generated = _stacked(negatives, longest)
        return {
            "prompt_embeds": states,
            "attention_mask": mask,
            "generated_prompt_embeds": generated,
            "negative_prompt_embeds": no_states,
            "negative_attention_mask": no_mask,
            "negative_generated_prompt_embeds": no_generated,
        }

    def _read(self, text: str) -> _Text:
        with torch.inference_mode():
            return _Text(*self._pipe.encode_prompt([text], self._pipe.device, 1, False))

    def scores(self, prompt: str, sounds: Sequence[Waves]) -> list[float]:
        """CLAP's similarity of each sound to one prompt (logits).

        Raises:
            EngineError: the model failed.
        """
        with _ours(self._folder), torch.inference_mode():
            return self._scored(prompt, sounds)

    def _scored(self, prompt: str, sounds: Sequence[Waves]) -> list[float]:
        clap, extractor = self._pipe.text_encoder, self._pipe.feature_extractor
        rate = int(extractor.sampling_rate)
        # What is longer than CLAP hears it would cut at random.
        heard = [Audio(one, self.sample_rate).resampled(rate).mono()[: extractor.nb_max_samples] for one in sounds]
        inputs = self._pipe.tokenizer(
            [prompt], return_tensors="pt", truncation=True, max_length=self._limit("tokenizer")
        )
        features = extractor(heard, return_tensors="pt", sampling_rate=rate).input_features.to(clap.dtype)
        answer = clap(**inputs.to(clap.device), input_features=features.to(clap.device))
        return [float(score) for score in answer.logits_per_text[0].float()]

    def tokens(self, text: str) -> list[Tokens]:
        """The tokens of a text for CLAP and T5, their marks of beginning and end counted."""
        with _ours(self._folder):  # the tokenizers' warning of a long text is what `Tokens` says
            return [
                Tokens(encoder=name, count=len(getattr(self._pipe, part)(text).input_ids), limit=self._limit(part))
                for part, name in _NAMES.items()
            ]

    def _limit(self, part: str) -> int:
        return int(getattr(self._pipe, part).model_max_length)


def _texts_of(jobs: Sequence[Job]) -> tuple[list[str], list[str]]:
    return [job.prompt for job in jobs], [job.negative for job in jobs]


def _stacked(texts: Sequence[_Text], longest: int) -> tuple[Any, Any, Any]:
    """States (batch, longest, dim), mask (batch, longest) and generated states (batch, 8, dim); zeros behind each end."""

    def padded(value: Any) -> Any:
        sides = [0, 0] * (value.dim() - 2) + [0, longest - value.shape[1]]
        return torch.nn.functional.pad(value, sides)

    states = torch.cat([padded(text.states) for text in texts])
    mask = torch.cat([padded(text.mask) for text in texts])
    return states, mask, torch.cat([text.generated for text in texts])


@contextmanager
def _ours(folder: Path) -> Iterator[None]:
    """Quiet libraries and our errors, around each use of the pipeline."""
    with translated("audioldm2", folder), quiet():
        yield
