"""`stable-audio`: text to sound by latent diffusion with transformers (Evans et al., "Stable Audio Open", 2024).

Code: diffusers and transformers (Apache-2.0). Weights: Stability AI's licences; the hub wants a login for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from core.errors import EngineError, UsageError
from phase1_sound.effects.engines.diffusion.engine import DiffusionEngine, DiffusionOptions, Family, KnownModel, Model
from phase1_sound.effects.engines.diffusion.folders import pipeline_index

LICENCE = "Stability AI Community License: commercial use only for small businesses"

MODELS = {
    "open": KnownModel("stabilityai/stable-audio-open-1.0", 5.3, LICENCE, 100, 7.0),
    "3": KnownModel("stabilityai/stable-audio-3-medium", 10.0, "Stability AI's licence: see its page", 8, 1.0),
}
_PARTS = {
    "StableAudioPipeline": ("vae", "text_encoder", "projection_model", "transformer"),
    "StableAudio3Pipeline": ("vae", "text_encoder", "duration_embedder", "transformer"),
}


class StableAudio(DiffusionEngine):
    """Makes effects out of prompts, at 44.1 kHz in stereo. Version 3 is distilled: 8 steps, and no negative prompt."""

    family: ClassVar[Family] = Family(
        name="stable-audio",
        models=MODELS,
        classes=tuple(_PARTS),
        parts=(),
        tokenizers=("tokenizer",),
        other=KnownModel("", 0.0, "licence unknown: see its page", 100, 7.0),
    )

    @classmethod
    def _known_in(cls, folder: Path, options: DiffusionOptions) -> KnownModel:
        known = super()._known_in(folder, options)
        if known.repository not in (model.repository for model in MODELS.values()):
            like = MODELS["3" if pipeline_index(folder)["_class_name"] == "StableAudio3Pipeline" else "open"]
            return replace(known, steps=like.steps, guidance=like.guidance)
        return known

    def load(self) -> Model:
        """The loaded pipeline."""
        from phase1_sound.effects.engines.stable_audio.model import loaded

        return loaded(self._folder, self._place)

    @classmethod
    def _read(cls, argument: str) -> DiffusionOptions:
        options = super()._read(argument)
        if options.candidates > 1:
            raise UsageError("stable-audio: has nothing to judge candidates with: leave ?candidates out")
        return options

    @classmethod
    def _missing(cls, folder: Path) -> list[str]:
        missing = super()._missing(folder)
        scheduler = pipeline_index(folder).get("scheduler")
        if (
            isinstance(scheduler, list)
            and "CosineDPMSolverMultistepScheduler" in scheduler
            and not find_spec("torchsde")
        ):
            raise EngineError("stable-audio: this model's scheduler needs torchsde: pip install torchsde")
        return missing

    @classmethod
    def parts_of(cls, index: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The parts of a pipeline that have weights, and those that have a vocabulary."""
        return _PARTS[index["_class_name"]], cls.family.tokenizers
