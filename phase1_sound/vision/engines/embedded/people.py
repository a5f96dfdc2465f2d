"""People, believed on two cues only. Both detectors come with OpenCV: no download.

A face alone is not enough: coins and patterns have faces, too. The second cue is a standing figure in the same
place (HOG), or, in a picture that has colour, skin in the face.

Viola and Jones, Rapid object detection using a boosted cascade, 2001; Dalal and Triggs, Histograms of oriented
gradients for human detection, 2005.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from phase1_sound.vision.engines.embedded.features import GREY_CHROMA, Maps, Pixels

FACE_SCORE = 4.0
FIGURE_SCORE = 0.9
SKIN_SHARE = 0.45
_SMALLEST_FACE = 28
_SMALLEST_FIGURE = (64, 128)
_BODY = (1.0, 0.35, 5.0)
"""How far a body reaches beyond its face, in faces: to either side, above, below."""

Box = tuple[int, int, int, int]

_CV2: Any = cv2  # OpenCV's own type stubs leave these out
# The detectors keep buffers of the picture in work: two threads in one would read each other's.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Person:
    """A face at `box` (x, y, width, height in pixels of the working copy) with its cues in words."""

    box: Box
    score: float
    second: str

    def body(self, shape: tuple[int, int]) -> Box:
        """Where the person probably is, as x0, y0, x1, y1 within the picture of shape (height, width)."""
        x, y, wide, high = self.box
        aside, above, below = _BODY
        x0, y0 = max(0, round(x - aside * wide)), max(0, round(y - above * high))
        return x0, y0, min(shape[1], round(x + (1 + aside) * wide)), min(shape[0], round(y + (1 + below) * high))


def find_people(rgb: Pixels, maps: Maps) -> tuple[Person, ...]:
    """People in a working copy, uint8 of shape (height, width, 3), the most certain first."""
    light = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    faces = [(box, score) for box, score in _faces(light) if score > FACE_SCORE]
    if not faces:
        return ()
    figures = [box for box, score in _figures(light) if score > FIGURE_SCORE]
    found = [Person(box, score, second) for box, score in faces if (second := _second_cue(box, figures, maps))]
    return tuple(sorted(found, key=lambda person: (-person.score, person.box)))


def _second_cue(face: Box, figures: list[Box], maps: Maps) -> str:
    if any(_belongs(face, figure) for figure in figures):
        return "a standing figure below it"
    x, y, wide, high = face
    inner = (slice(y + high // 5, y + high - high // 5), slice(x + wide // 5, x + wide - wide // 5))
    skin = (maps.hue[inner] > 20) & (maps.hue[inner] < 80) & (maps.chroma[inner] > 8) & (maps.chroma[inner] < 55)
    colour = float(maps.chroma.mean()) >= GREY_CHROMA
    return "skin colours in it" if colour and float(np.mean(skin)) > SKIN_SHARE else ""


def _belongs(face: Box, figure: Box) -> bool:
    """Whether a face lies in the upper third of a figure."""
    x, y = face[0] + face[2] / 2, face[1] + face[3] / 2
    return figure[0] < x < figure[0] + figure[2] and figure[1] < y < figure[1] + figure[3] / 3


def _faces(light: Pixels) -> list[tuple[Box, float]]:
    if min(light.shape) < _SMALLEST_FACE:
        return []
    with _ONE_AT_A_TIME:
        boxes, _, scores = _cascade().detectMultiScale3(
            light, scaleFactor=1.15, minNeighbors=3, minSize=(_SMALLEST_FACE,) * 2, outputRejectLevels=True
        )
    return [(_box(box), float(score)) for box, score in zip(boxes, scores, strict=True)]


def _figures(light: Pixels) -> list[tuple[Box, float]]:
    if light.shape[1] < _SMALLEST_FIGURE[0] or light.shape[0] < _SMALLEST_FIGURE[1]:
        return []
    with _ONE_AT_A_TIME:
        boxes, scores = _figure_detector().detectMultiScale(light, winStride=(8, 8), padding=(16, 16), scale=1.08)
    return [(_box(box), float(score)) for box, score in zip(boxes, np.ravel(scores), strict=True)]


def _box(values: Any) -> Box:
    x, y, wide, high = (int(value) for value in values)
    return x, y, wide, high


@cache
def _cascade() -> Any:
    cascade = cv2.CascadeClassifier(str(Path(_CV2.data.haarcascades) / "haarcascade_frontalface_default.xml"))
    if cascade.empty():
        raise AssertionError("opencv-python-headless comes without its face cascade: install it again")
    return cascade


@cache
def _figure_detector() -> Any:
    detector = cv2.HOGDescriptor()
    detector.setSVMDetector(_CV2.HOGDescriptor_getDefaultPeopleDetector())
    return detector
