"""RAVE, built from options: its networks and its distances. How they are trained is ours (steps.py)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from phase2_music.timbre.train.compatibility import load_rave
from phase2_music.timbre.train.options import ModelOptions, TrainingOptions


@dataclass(frozen=True, eq=False)
class Networks:
    """The parts of a RAVE model; `rave` is the whole of it, whose state a checkpoint holds.

    Sound x has shape (B, 1, T), its bands (B, 16, T / 16), the encoder's result (B, 2 latents, T / hop): mean and scale of
    the posterior. `distance` and `band_distance` compare two sounds, or two sets of bands, by their spectrograms.
    """

    rave: nn.Module
    pqmf: nn.Module
    encoder: nn.Module
    decoder: nn.Module
    discriminator: nn.Module
    distance: nn.Module
    band_distance: nn.Module
    config: str

    @property
    def generator_parameters(self) -> list[nn.Parameter]:
        """Those of encoder and decoder."""
        return [*self.encoder.parameters(), *self.decoder.parameters()]


def build(options: TrainingOptions, sample_rate: int) -> Networks:
    """Make the networks with fresh weights, on the CPU.

    Raises:
        EngineError: a package is missing.
    """
    rave = load_rave()
    with quiet():
        config = _configure(bindings(options.model, sample_rate))
        import cached_conv

        # Plain convolutions: cached ones keep state from call to call, for live playing.
        cached_conv.use_cached_conv(False)
        made: Any = rave.RAVE(n_channels=1)
    return Networks(
        rave=made,
        pqmf=made.pqmf,
        encoder=made.encoder.encoder,
        decoder=made.decoder,
        discriminator=made.discriminator,
        distance=made.audio_distance,
        band_distance=made.multiband_audio_distance,
        config=config,
    )


def bindings(model: ModelOptions, sample_rate: int) -> list[str]:
    """What is changed of RAVE's configuration v2_small, in gin's words."""
    return [
        f"SAMPLING_RATE = {sample_rate}",
        f"CAPACITY = {model.capacity}",
        f"LATENT_SIZE = {model.latents}",
        f"RATIOS = {list(model.ratios)}",
        f"ConvNet.capacity = {model.discriminator_capacity}",
        f"MultiScaleSTFT.scales = {list(model.spectral_scales)}",
        "GeneratorV2.noise_module = None",
        "RAVE.valid_signal_crop = False",
    ]


def posterior(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the latents, each (B, latents, frames), from the encoder's result."""
    mean, scale = parameters.chunk(2, 1)
    return mean, nn.functional.softplus(scale) + 1e-4


def divergence(mean: Tensor, deviation: Tensor) -> Tensor:
    """Kullback-Leibler divergence to a standard normal, summed over latents, twice (as RAVE's beta expects), a scalar."""
    variance = deviation * deviation
    return (mean * mean + variance - torch.log(variance) - 1).sum(1).mean()


def without_weight_norm(module: nn.Module) -> nn.Module:
    """Fold each weight's norm and direction into one weight, in place: what is exported has plain weights."""
    for part in module.modules():
        if hasattr(part, "weight_g"):
            nn.utils.remove_weight_norm(part)
    return module


def _configure(lines: list[str]) -> str:
    """Set gin, RAVE's configuration, and give it as text."""
    import gin

    gin.clear_config()
    gin.parse_config_files_and_bindings(["v2_small.gin"], lines)
    return str(gin.config_str())


@contextmanager
def quiet(level: int = logging.ERROR) -> Iterator[None]:
    """Without warnings and logs up to a level: that weight_norm's old form is deprecated, the paths that gin tries first."""
    logging.disable(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
