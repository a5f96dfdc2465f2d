"""One step of training: RAVE's losses and optimisers, and the ways to run a step faster on a GPU.

The losses are those of the paper and of acids-rave 2.3.1: spectral distances of the sound and of its 16 bands at several
scales; the latents' divergence; in phase 2, hinge losses and feature matching against discriminators at several scales and
periods. The package multiplies feature matching by its weight twice (400 in effect); here the weight counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phase2_music.timbre.train.model import Networks, divergence, posterior
from phase2_music.timbre.train.options import TrainingOptions

Losses = dict[str, Tensor]
Kind = Literal["reproduce", "sharpen", "discriminate"]
"""What a step does: phase 1's step, and the two that take turns in phase 2."""

_MOMENTA = (0.5, 0.9)
_SKIPPED_FEATURES = 1  # the first layer of a discriminator is too close to the waveform to be matched
_WARM_UP_STEPS = 3


class Steps:
    """The networks on a device with their optimisers; `run` does one step."""

    def __init__(self, networks: Networks, options: TrainingOptions, device: torch.device) -> None:
        self.networks, self.options, self.device = networks, options, device
        networks.rave.to(device)
        torch.backends.cudnn.benchmark = device.type == "cuda"  # all steps have the same shapes
        self.graphs = options.cuda_graphs and device.type == "cuda"
        self.generator = self._optimiser(networks.generator_parameters, options.learning_rate)
        self.discriminator = self._optimiser(list(networks.discriminator.parameters()), options.discriminator_rate)
        self._beta = torch.tensor(options.beta_start, device=device)
        compiled = options.compile and device.type == "cuda"
        parts = (networks.encoder, networks.decoder, networks.discriminator)
        self._encode, self._decode, self._judge = (torch.compile(part) if compiled else part for part in parts)
        self._kinds: dict[Kind, Callable[[Tensor], Losses]] = {
            "reproduce": self._reproduce,
            "sharpen": self._sharpen,
            "discriminate": self._discriminate,
        }
        self._graphed = {kind: Graphed(function) for kind, function in self._kinds.items()} if self.graphs else {}

    def kind(self, step: int, phase: int) -> Kind:
        """What the step of this number does."""
        if phase == 1:
            return "reproduce"
        return "discriminate" if step % self.options.discriminator_every == 0 else "sharpen"

    def run(self, kind: Kind, sound: Tensor, rate: float, beta: float) -> Losses:
        """Do one step with sound of shape (B, 1, crop); gives its losses, which the next step may overwrite."""
        self._beta.fill_(beta)
        group = self.generator.param_groups[0]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
        return (self._graphed or self._kinds)[kind](sound)

    def reproduce(self, sound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Validation: the sound again by the posterior's mean, the spectral distance, and the mean (B, latents, frames)."""
        with torch.no_grad():
            mean, _ = posterior(self._encoded(self.networks.pqmf(sound)))
            again = self.networks.pqmf.inverse(self._decoded(mean))
            return again, _sum(self.networks.distance(sound, again)), mean

    def _optimiser(self, parameters: Sequence[nn.Parameter], rate: float) -> torch.optim.Adam:
        # A graph replays with the same number unless the rate is a tensor that it reads.
        lr: Any = torch.tensor(rate, device=self.device) if self.graphs else rate
        fused = self.device.type == "cuda"
        return torch.optim.Adam(parameters, lr=lr, betas=_MOMENTA, capturable=self.graphs, fused=fused or None)

    def _reproduce(self, sound: Tensor) -> Losses:
        self.generator.zero_grad(set_to_none=True)
        bands = self.networks.pqmf(sound)
        mean, deviation = posterior(self._encoded(bands))
        again = self._decoded(mean + deviation * torch.randn_like(mean))
        losses = self._distances(sound, bands, again)[0]
        losses["divergence"] = divergence(mean, deviation) * self._beta
        _sum(losses).backward()
        self.generator.step()
        return _detached(losses)

    def _sharpen(self, sound: Tensor) -> Losses:
        """Phase 2: the encoder is held, so the latents keep their meaning while the decoder learns detail."""
        self.generator.zero_grad(set_to_none=True)
        bands = self.networks.pqmf(sound)
        losses, again = self._distances(sound, bands, self._decoded(self._held_latents(bands)))
        with _frozen(self.networks.discriminator):
            real, fake = self._features(sound, again)
            losses["feature_matching"] = self.options.feature_matching * _feature_distance(real, fake)
            losses["adversarial"] = -torch.stack([features[-1].mean() for features in fake]).sum()
            _sum(losses).backward()
        self.generator.step()
        return _detached(losses)

    def _discriminate(self, sound: Tensor) -> Losses:
        self.discriminator.zero_grad(set_to_none=True)
        with torch.no_grad():
            again = self.networks.pqmf.inverse(self._decoded(self._held_latents(self.networks.pqmf(sound))))
        real, fake = self._features(sound, again)
        loss = torch.stack(
            [torch.relu(1 - r[-1]).mean() + torch.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
        ).sum()
        loss.backward()
        self.discriminator.step()
        return _detached({"discriminator": loss})

    def _distances(self, sound: Tensor, bands: Tensor, again: Tensor) -> tuple[Losses, Tensor]:
        """Spectral distances of all bands and of the whole, and the whole, of what the decoder gave (B, 16, T / 16)."""
        whole = self.networks.pqmf.inverse(again)
        losses = {
            "bands": _sum(self.networks.band_distance(bands, again)),
            "whole": _sum(self.networks.distance(sound, whole)),
        }
        return losses, whole

    def _held_latents(self, bands: Tensor) -> Tensor:
        with torch.no_grad():
            mean, deviation = posterior(self._encoded(bands))
            return mean + deviation * torch.randn_like(mean)

    # Filter bank and distances stay in float32: their ranges are wider than bfloat16's eight bits can tell apart.
    def _encoded(self, bands: Tensor) -> Tensor:
        with self._mixed():
            return self._encode(bands).float()

    def _decoded(self, latents: Tensor) -> Tensor:
        with self._mixed():
            return self._decode(latents).float()

    def _features(self, real: Tensor, fake: Tensor) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """What each layer of each discriminator makes of real and of made sound."""
        with self._mixed():
            scales = self._judge(torch.cat([real, fake]))
        halves = [[layer.float().chunk(2) for layer in scale] for scale in scales]
        return [[half[0] for half in scale] for scale in halves], [[half[1] for half in scale] for scale in halves]

    def _mixed(self) -> torch.autocast:
        mixed = self.options.precision == "bfloat16" and self.device.type == "cuda"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=mixed)


class Graphed:
    """A step as one CUDA graph: its thousand small kernels are launched at once.

    The first calls run as they are, beside the main stream, as capturing asks for; then one is captured and replayed.
    """

    def __init__(self, function: Callable[[Tensor], Losses]) -> None:
        self._function, self._calls = function, 0
        self._graph: Any = None

    def __call__(self, sound: Tensor) -> Losses:
        self._calls += 1
        if self._calls <= _WARM_UP_STEPS:
            return self._beside(sound)
        if self._graph is None:
            self._capture(sound)
        self._sound.copy_(sound)
        self._graph.replay()
        return self._losses

    def _beside(self, sound: Tensor) -> Losses:
        stream: Any = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            losses = self._function(sound)
        torch.cuda.current_stream().wait_stream(stream)
        return losses

    def _capture(self, sound: Tensor) -> None:
        self._sound = sound.clone()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._losses = self._function(self._sound)


def _feature_distance(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Mean over discriminators and layers of |real - fake| relative to |real|."""
    scales = [
        torch.stack(
            [
                (r - f).abs().mean() / r.abs().mean()
                for r, f in zip(scale_real[_SKIPPED_FEATURES:], scale_fake[_SKIPPED_FEATURES:], strict=True)
            ]
        ).mean()
        for scale_real, scale_fake in zip(real, fake, strict=True)
    ]
    return torch.stack(scales).mean()


def _sum(losses: Losses) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def _detached(losses: Losses) -> Losses:
    return {name: loss.detach() for name, loss in losses.items()}


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Gradients flow through the module and none is kept for its weights."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in module.parameters():
            parameter.requires_grad_(True)
