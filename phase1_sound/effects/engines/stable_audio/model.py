"""Stable Audio 1 and 3 through diffusers: loading, denoising in batches, decoding no more than is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers

from core.errors import EngineError
from phase1_sound.effects.engines.diffusion.batching import Job, Waves
from phase1_sound.effects.engines.diffusion.folders import pipeline_index
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

_CLASSES = {
    "StableAudioPipeline": {
        "vae": "AutoencoderOobleck",
        "text_encoder": "T5EncoderModel",
        "projection_model": "StableAudioProjectionModel",
        "transformer": "StableAudioDiTModel",
    },
    "StableAudio3Pipeline": {
        "vae": "AutoencoderSAME",
        "text_encoder": "T5GemmaEncoderModel",
        "duration_embedder": "StableAudio3DurationEmbedder",
        "transformer": "StableAudio3DiTModel",
    },
}
# The decoder of version 1 is convolutional: a latent hears some 12 neighbours on each side.
_HEARD_LATENTS = 32
_MOST_TOKENS_3 = 256  # version 3 reads no more, whatever its tokenizer says


@lru_cache(maxsize=1)
def loaded(folder: Path, place: Place) -> StableAudioModel:
    """Load a pipeline, or give the one that was loaded last if it is the same.

    Raises:
        EngineError: the files are damaged, diffusers has no such pipeline, or there is not enough memory.
    """
    return StableAudioModel(folder, place)


class StableAudioModel:
    """A loaded pipeline, with the scheduler that it was saved with."""

    def __init__(self, folder: Path, place: Place) -> None:
        self._folder, self._place = folder, place
        self._class = str(pipeline_index(folder)["_class_name"])
        with _ours(folder):
            made = _of_library(diffusers, self._class)
            parts = {
                name: load_part(_of_library(_home(kind), kind), folder / name, _dtype(name, place))
                for name, kind in _CLASSES[self._class].items()
            }
            self._pipe = made.from_pretrained(folder, local_files_only=True, **parts)
            self._pipe.set_progress_bar_config(disable=True)
            self._pipe.to(place.device)
        self.sample_rate = int(self._pipe.vae.config.sampling_rate)

    @property
    def _is_3(self) -> bool:
        return self._class == "StableAudio3Pipeline"

    def make(self, jobs: Sequence[Job], steps: int, guidance: float, report: Report) -> list[Waves] | None:
        """Make jobs of one duration together; each sound has shape (2, frames). None when memory does not suffice.

        Raises:
            EngineError: the model failed, or cannot make so long a sound.
        """
        with _ours(self._folder):
            work = partial(self._denoised_and_decoded, jobs, steps, guidance, report)
            return within_memory(work, self._place.device_type)

    def _denoised_and_decoded(self, jobs: Sequence[Job], steps: int, guidance: float, report: Report) -> list[Waves]:
        frames = round(jobs[0].duration_s * self.sample_rate)
        made = self._pipe(
            prompt=[job.prompt for job in jobs],
            negative_prompt=[job.negative for job in jobs],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators(jobs),
            output_type="latent",
            **{"duration" if self._is_3 else "audio_end_in_s": jobs[0].duration_s},
            **self._told(steps, report),
        )
        report("decoding")
        return [self._decoded(one, frames) for one in made.audios.split(1)]

    def _told(self, steps: int, report: Report) -> dict[str, Any]:
        if not self._is_3:
            return {"callback": lambda step, t, latents: report(f"step {step + 1} of {steps}")}

        def after_step(pipe: Any, step: int, t: Any, values: dict[str, Any]) -> dict[str, Any]:
            report(f"step {step + 1} of {steps}")
            return values

        return {"callback_on_step_end": after_step}

    def _decoded(self, latents: Any, frames: int) -> Waves:
        """One sound out of its latents. Version 1 always makes 47 s of them: what nobody hears is not decoded."""
        if not self._is_3:
            wanted = math.ceil(frames / self._pipe.vae.hop_length) + _HEARD_LATENTS
            latents = latents[:, :, :wanted]
        with torch.inference_mode():
            sample = self._pipe.vae.decode(latents.float()).sample
        wave: Waves = sample[0, :, :frames].cpu().float().numpy()
        if wave.shape[1] != frames or not np.isfinite(wave).all():
            raise EngineError(
                f"{self._folder}: gave {wave.shape[1]} frames of {frames}, or no numbers: try ?dtype=float32"
            )
        return wave

    def scores(self, prompt: str, sounds: Sequence[Waves]) -> list[float]:
        """Nothing here can judge candidates.

        Raises:
            EngineError: always.
        """
        raise EngineError("stable-audio: has nothing to judge candidates with: leave ?candidates out")

    def tokens(self, text: str) -> list[Tokens]:
        """The tokens of a text for the text encoder, its mark of the end counted."""
        with _ours(self._folder):
            count, limit = len(self._pipe.tokenizer(text).input_ids), int(self._pipe.tokenizer.model_max_length)
        if self._is_3:
            return [Tokens(encoder="T5Gemma", count=count, limit=min(limit, _MOST_TOKENS_3))]
        return [Tokens(encoder="T5", count=count, limit=limit)]


def _home(kind: str) -> Any:
    return transformers if kind.startswith("T5") else diffusers


def _of_library(library: Any, name: str) -> Any:
    found = getattr(library, name, None)
    if found is None:
        raise EngineError(
            f"stable-audio: {library.__name__} {library.__version__} has no {name}: pip install --upgrade {library.__name__}"
        )
    return found


def _dtype(part: str, place: Place) -> Any:
    # The decoder's rounding would be heard in bfloat16.
    return torch.float32 if part == "vae" else place.torch_dtype


@contextmanager
def _ours(folder: Path) -> Iterator[None]:
    """Quiet libraries and our errors, around each use of the pipeline."""
    with translated("stable-audio", folder), quiet():
        yield
