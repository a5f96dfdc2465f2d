"""What a training is asked for: one frozen object, and the presets."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from core.errors import UsageError
from core.manifest import sha256_json

Precision = Literal["float32", "bfloat16"]

# A training may go on with other values of these: they decide how long and how fast, not what is trained.
_MAY_CHANGE = frozenset(
    {"preset", "steps", "minutes", "validate_every", "checkpoint_every_s", "log_every", "device", "precision"}
    | {"cuda_graphs", "compile", "threads", "session_minutes", "session_steps"}
)


@dataclass(frozen=True)
class ModelOptions:
    """The network: RAVE's configuration `v2_small` with these changes.

    `capacity` is the width of the first layer, `latents` the size of the latent space; `ratios` times 16 bands is the hop.
    The noise generator is left out, because its complex FFT has no ONNX form. `spectral_scales` are the FFT sizes of the
    spectral distance; the largest must be below twice `crop` / 16, since it is also applied to the 16 bands.
    """

    capacity: int = 32
    latents: int = 64
    ratios: tuple[int, ...] = (4, 2, 2, 2)
    discriminator_capacity: int = 32
    spectral_scales: tuple[int, ...] = (2048, 1024, 512, 256, 128)

    @property
    def hop(self) -> int:
        """Samples per latent frame."""
        return BANDS * math.prod(self.ratios)


BANDS = 16


@dataclass(frozen=True)
class TrainingOptions:
    """A whole training, the same for every family.

    The budget is `steps` or, if given, `minutes` of training, whichever is reached first; the share of the budget that is
    used decides on the schedule: phase 1 (encoder and decoder) takes `phase_1_share` of it, the learning rate falls from
    `learning_rate` to a tenth over it, and the weight of the latents' divergence rises on a logarithmic scale from
    `beta_start` to `beta_end` over `beta_share`. In phase 2 every `discriminator_every`-th step trains the discriminator.

    Each crop of `crop` frames is taken from a random place of a random note, shifted by up to `detune_cents`, turned in
    phase by a random all-pass (with probability `mangle_share`) and lowered by up to `quieter_db`, all drawn from `seed` and
    the number of the step. `session_minutes` and `session_steps` end one session in order, before the budget is used up.
    `cuda_graphs` and `compile` are for CUDA devices; `threads` is how many processor cores PyTorch uses (0: its own choice).
    """

    preset: str
    model: ModelOptions = ModelOptions()
    steps: int = 100_000
    minutes: float | None = None
    batch: int = 32
    crop: int = 65536
    phase_1_share: float = 0.7
    learning_rate: float = 1e-3
    discriminator_rate: float = 1e-4
    discriminator_every: int = 2
    beta_start: float = 1e-4
    beta_end: float = 1e-3
    beta_share: float = 0.35
    feature_matching: float = 20.0
    detune_cents: float = 50.0
    mangle_share: float = 0.8
    quieter_db: float = 12.0
    validate_every: int = 2000
    validation_notes: int = 32
    checkpoint_every_s: float = 60.0
    log_every: int = 20
    device: str = "auto"
    precision: Precision = "float32"
    cuda_graphs: bool = False
    compile: bool = False
    threads: int = 0
    seed: int = 0
    session_minutes: float | None = None
    session_steps: int | None = None

    def __post_init__(self) -> None:
        if self.crop % self.model.hop:
            raise UsageError(f"crop {self.crop}: choose a multiple of the hop, {self.model.hop} frames")
        if max(self.model.spectral_scales) >= 2 * self.crop // BANDS:
            raise UsageError(
                f"crop {self.crop}: too short for an FFT of {max(self.model.spectral_scales)} in each band"
            )
        if self.steps < 1 or (self.minutes is not None and self.minutes <= 0) or self.batch < 1:
            raise UsageError("steps, minutes and batch: choose numbers above 0")
        if not 0 < self.phase_1_share <= 1:
            raise UsageError(f"phase 1 share {self.phase_1_share}: choose one above 0 and up to 1")

    def as_json(self) -> dict[str, Any]:
        """All options as JSON values."""
        value = asdict(self)
        value["model"] = {name: list(v) if isinstance(v, tuple) else v for name, v in value["model"].items()}
        return value

    def identity(self) -> str:
        """Hash of what must stay the same when a training is taken up again."""
        return sha256_json({name: value for name, value in self.as_json().items() if name not in _MAY_CHANGE})

    def used(self, step: int, elapsed_s: float) -> float:
        """Share of the budget that is used, 0 to 1."""
        by_time = elapsed_s / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(step / self.steps, by_time))

    def rate(self, used: float) -> float:
        """The learning rate of encoder and decoder at a share of the budget."""
        return self.learning_rate * (1.0 - 0.9 * min(1.0, used / self.phase_1_share))

    def beta(self, used: float) -> float:
        """The weight of the latents' divergence at a share of the budget."""
        risen = min(1.0, used / self.beta_share)
        return float(math.exp((1 - risen) * math.log(self.beta_start) + risen * math.log(self.beta_end)))


# `smoke` proves the whole way on a CPU in a minute and is no model that anybody would want to hear.
_SMOKE = TrainingOptions(
    preset="smoke",
    model=ModelOptions(capacity=4, latents=8, discriminator_capacity=4, spectral_scales=(512, 256, 128)),
    steps=120,
    batch=4,
    crop=8192,
    phase_1_share=0.7,
    learning_rate=3e-3,
    validate_every=40,
    validation_notes=4,
    log_every=10,
    threads=1,  # the layers are so small that a second thread costs more than it brings
)
# The sizes are those of facts that were measured on a CPU; steps and precision on a GPU are estimates, see docs/timbres.md.
_SMALL = TrainingOptions(preset="small", precision="bfloat16")
_FULL = TrainingOptions(
    preset="full",
    model=ModelOptions(capacity=44, latents=128, discriminator_capacity=48),
    steps=400_000,
    precision="bfloat16",
)
PRESETS: dict[str, TrainingOptions] = {options.preset: options for options in (_SMOKE, _SMALL, _FULL)}


def preset(name: str, **changes: Any) -> TrainingOptions:
    """A preset with changes; those that are None are left out.

    Raises:
        UsageError: there is no such preset, or the changes do not go together.
    """
    if name not in PRESETS:
        raise UsageError(f"no preset {name!r}: choose from {', '.join(PRESETS)}")
    return replace(PRESETS[name], **{key: value for key, value in changes.items() if value is not None})
