"""What a vision engine is asked and what it answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.engines import EngineInfo
from schemas.scene import Scene


@dataclass(frozen=True)
class VisionRequest:
    """A picture as analysed: an upright RGB JPEG of at most 1024 pixels (see pictures.py)."""

    picture: Path


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
