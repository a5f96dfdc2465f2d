"""What TensorBoard shows of a training: losses, rates, speed, and validation sounds beside what the model makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import EngineError
from phase2_music.timbre.train.loop import Progress


class Board:
    """A TensorBoard log in a folder; a training that is taken up again replaces what it does again.

    Raises:
        EngineError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, step: int, sample_rate: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise EngineError(f"training needs the package {error.name}: install photone[train]") from error
        self._sample_rate = sample_rate
        self._writer: Any = SummaryWriter(str(folder), purge_step=step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def add(self, progress: Progress) -> None:
        """Show the latest."""
        step = progress.step
        for name, loss in progress.losses.items():
            self._writer.add_scalar(f"loss/{name}", loss, step)
        if progress.losses:
            self._writer.add_scalar("training/steps_per_s", progress.steps_per_s, step)
            self._writer.add_scalar("training/learning_rate", progress.rate, step)
            self._writer.add_scalar("training/beta", progress.beta, step)
        if progress.validation is not None:
            self._writer.add_scalar("validation/distance", progress.validation.distance, step)
            self._writer.add_scalar("validation/latents_95", progress.validation.latents_95, step)
            for number, pair in enumerate(progress.sounds):
                # The crop and behind it what the model makes of it.
                sound = pair.reshape(1, -1).clip(-1.0, 1.0)
                self._writer.add_audio(f"validation/{number}", sound, step, sample_rate=self._sample_rate)
