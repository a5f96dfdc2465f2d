"""`audioldm2`: text to sound by latent diffusion (Liu et al., "AudioLDM 2", 2023), through diffusers.

Code: diffusers and transformers (Apache-2.0). Weights: CC BY-NC-SA 4.0, not for commercial use.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from core.errors import EngineError
from phase1_sound.effects.engines.diffusion.engine import DiffusionEngine, Family, KnownModel, Model
from phase1_sound.effects.engines.diffusion.folders import pipeline_index

LICENCE = "CC BY-NC-SA 4.0: not for commercial use"
STEPS, GUIDANCE = 25, 3.5

MODELS = {
    "base": KnownModel("cvssp/audioldm2", 4.5, LICENCE, STEPS, GUIDANCE),
    "large": KnownModel("cvssp/audioldm2-large", 6.0, LICENCE, STEPS, GUIDANCE),
    "music": KnownModel("cvssp/audioldm2-music", 4.5, LICENCE, STEPS, GUIDANCE),
}


def _for_music(source: str) -> str | None:
    if re.search(r"audioldm2-music\b", source):
        return f"{source} was trained on music and makes tunes of everything: take audioldm2 or audioldm2:large"
    return None


class AudioLDM2(DiffusionEngine):
    """Makes effects out of prompts, at 16 kHz: nothing above 8 kHz is in them. Candidates are judged by CLAP."""

    family: ClassVar[Family] = Family(
        name="audioldm2",
        models=MODELS,
        classes=("AudioLDM2Pipeline",),
        parts=("vae", "text_encoder", "text_encoder_2", "projection_model", "language_model", "unet", "vocoder"),
        tokenizers=("tokenizer", "tokenizer_2"),
        other=KnownModel("", 4.5, "licence unknown: see its page", STEPS, GUIDANCE),
        refuse=_for_music,
    )

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.notes = (*self.notes, "audioldm2 works at 16 kHz: resampled to 44.1 kHz, with nothing above 8 kHz")

    def load(self) -> Model:
        """The loaded pipeline."""
        from phase1_sound.effects.engines.audioldm2.model import loaded

        return loaded(self._folder, self._place)

    @classmethod
    def _missing(cls, folder: Path) -> list[str]:
        missing = super()._missing(folder)
        kind = pipeline_index(folder).get("text_encoder_2")
        if isinstance(kind, list) and "T5EncoderModel" not in kind:
            raise EngineError(
                f"{folder}: its second text encoder is {kind[-1]}: this one speaks; choose cvssp/audioldm2"
            )
        return missing
