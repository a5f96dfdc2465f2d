"""A scene written by hand (or by another program) in place of an analysis."""

from __future__ import annotations

from pathlib import Path

from core.engines import EngineInfo
from core.errors import EngineError
from core.manifest import sha256_file
from phase1_sound.vision.protocol import VisionRequest
from schemas.scene import Scene, read_scene


class SidecarVision:
    """Returns the scene of a file, whatever the picture; the student project's files are read too.

    The file's SHA-256 stands in `info.options`, so that a run made from another file is another run.

    Raises:
        SceneError: there is no such file, or it cannot be read.
    """

    def __init__(self, argument: str) -> None:
        self._path = Path(argument)
        read_scene(self._path)
        self.info = EngineInfo(name="sidecar", version="1", options={"sha256": _digest(self._path)})

    def describe(self, request: VisionRequest) -> Scene:
        """Read the scene.

        Raises:
            SceneError: the file is not a valid scene.
        """
        return read_scene(self._path)


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror}): check the file") from error
