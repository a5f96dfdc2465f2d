"""What a vision engine is asked and what it answers."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.engines import EngineInfo
from schemas.scene import Scene


def log_warning(text: str) -> None:
    """Tell the log of "photone.vision"; Python shows it on standard error where nobody has set up logging."""
    logging.getLogger("photone.vision").warning("%s", text)


@dataclass(frozen=True)
class VisionRequest:
    """A picture as analysed: an upright RGB JPEG of at most 1024 pixels (see pictures.py).

    `warn` is told what was left out of the scene (a box that cannot be right, say): a scene has no place for that.
    """

    picture: Path
    warn: Callable[[str], None] = log_warning


class VisionEngine(Protocol):
    """Describes what can be heard in a picture."""

    info: EngineInfo

    def describe(self, request: VisionRequest) -> Scene:
        """Describe one picture.

        Raises:
            PictureError: the picture cannot be read.
            SceneError: the answer is not a valid scene.
            EngineError: the engine failed.
        """
        ...
