"""`qwen`: Qwen2.5-VL on this machine, its answers held to the scene's schema while they are written.

Code: transformers and qwen-vl-utils (Apache-2.0), llguidance (MIT). Weights: see `MODELS`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from core import weights
from core.engines import EngineInfo, Readiness, read_options
from core.errors import EngineError, PictureError, SceneError
from core.manifest import sha256_bytes
from core.seeds import derive_seed
from phase1_sound.vision.answers import answer_schema
from phase1_sound.vision.asking import AskingOptions, Question, Reply, ask
from phase1_sound.vision.pictures import load_rgb
from phase1_sound.vision.prompt import conversation
from phase1_sound.vision.protocol import VisionRequest
from schemas.scene import Scene

if TYPE_CHECKING:
    from PIL import Image

    from phase1_sound.vision.engines.qwen.model import Prompt

_BLOCK = 28 * 28  # pixels behind one picture token
_PACKAGES = ("torch", "torchvision", "transformers", "qwen_vl_utils", "accelerate", "llguidance")


@dataclass(frozen=True)
class KnownModel:
    """A model of the family on the hub: about how many gigabytes its weights are (bfloat16), and under what licence."""

    repository: str
    gigabytes: float
    licence: str

    def in_words(self) -> str:
        """What somebody wants to know before fetching it. A fifth more than the weights is an estimate."""
        return f"about {self.gigabytes:g} GB, {self.licence}; wants about {1.2 * self.gigabytes:.0f} GB of GPU memory"


MODELS = {
    "3B": KnownModel("Qwen/Qwen2.5-VL-3B-Instruct", 7.5, "Qwen Research Licence: not for commercial use"),
    "7B": KnownModel("Qwen/Qwen2.5-VL-7B-Instruct", 16.6, "Apache-2.0"),
    "32B": KnownModel("Qwen/Qwen2.5-VL-32B-Instruct", 67.0, "Apache-2.0"),
    "72B": KnownModel("Qwen/Qwen2.5-VL-72B-Instruct", 147.0, "Qwen Licence"),
}


@dataclass(frozen=True)
class QwenOptions(AskingOptions):
    """Which weights, where and how they run.

    `model` is 3B, 7B, 32B, 72B, a repository of the hub or a folder. `device` is auto (CUDA where there is one, else the
    processor), cpu, cuda, cuda:N, or spread (over all GPUs). `dtype` auto is float32 on a processor and bfloat16 on CUDA,
    float16 on GPUs that lack it. `quantize=4bit` needs CUDA and bitsandbytes. Pictures are scaled to between `min_pixels`
    and `max_pixels`; `batch` pictures are looked at together. `constrain=no` lets the model write what it likes, for
    comparison.
    """

    model: str = "7B"
    revision: str = ""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|spread|cuda(:\d+)?)$")] = "auto"
    quantize: Literal["no", "4bit"] = "no"
    min_pixels: Annotated[int, Field(ge=4 * _BLOCK, le=16384 * _BLOCK)] = 64 * _BLOCK
    max_pixels: Annotated[int, Field(ge=4 * _BLOCK, le=16384 * _BLOCK)] = 1024 * _BLOCK
    batch: Annotated[int, Field(ge=1, le=256)] = 4
    repetition_penalty: Annotated[float, Field(ge=1.0, le=2.0)] = 1.05
    constrain: bool = True

    @property
    def source(self) -> str:
        """The repository or folder that `model` means."""
        known = MODELS.get(self.model.upper())
        return known.repository if known else self.model


def qwen_options(argument: str) -> QwenOptions:
    """Read "7B?dtype=bfloat16&max_pixels=602112"; nothing is the default model.

    Raises:
        UsageError: it cannot be read so.
    """
    return read_options(argument, QwenOptions, "model", "qwen")


class QwenVision:
    """Describes pictures with Qwen2.5-VL. The model is loaded at the first picture and kept for the next engine alike.

    Raises:
        UsageError: an option cannot be read.
        EngineError: packages or weights are missing; the message says how to get them.
    """

    def __init__(self, argument: str | QwenOptions = "") -> None:
        self.options = argument if isinstance(argument, QwenOptions) else qwen_options(argument)
        self._folder = _ready_folder(self.options)
        from phase1_sound.vision.engines.qwen.model import placed

        self._place = placed(self.options.device, self.options.dtype, self.options.quantize)
        self.info = EngineInfo("qwen", "1", weights.weights_sha256(self._folder), self._recorded())

    def _recorded(self) -> dict[str, Any]:
        options = self.options
        return {
            "model": options.source if not Path(options.source).is_dir() else Path(options.source).name,
            "revision": self._folder.name if self._folder.parent.name == "snapshots" else None,
            "device": self._place.device_type,
            "dtype": self._place.dtype,
            "quantize": options.quantize,
            "pixels": [options.min_pixels, options.max_pixels],
            "repetition_penalty": options.repetition_penalty,
            "constrain": options.constrain,
            **options.recorded(),
        }

    def describe(self, request: VisionRequest) -> Scene:
        """Describe one picture.

        Raises:
            PictureError: the picture cannot be read.
            SceneError: the model's answers were no scene.
            EngineError: the model cannot be loaded or ran out of memory.
        """
        (scene,) = self.describe_many([request])
        if isinstance(scene, Scene):
            return scene
        raise scene

    def describe_many(self, requests: Sequence[VisionRequest]) -> list[Scene | PictureError | SceneError]:
        """Describe pictures, `batch` at a time: for each, in order, its scene or the error that it met.

        A picture gives the same among others as alone, but for rounding in the model.

        Raises:
            EngineError: the model cannot be loaded or ran out of memory.
        """
        results: dict[int, Scene | PictureError | SceneError] = {}
        shown: dict[int, _Shown] = {}
        for number, request in enumerate(requests):
            try:
                shown[number] = self._shown(request)
            except PictureError as error:
                results[number] = error
        if shown:
            results |= dict(zip(shown, self._asked(list(shown.values())), strict=True))
        return [results[number] for number in range(len(requests))]

    def _shown(self, request: VisionRequest) -> _Shown:
        from phase1_sound.vision.engines.qwen.model import fitted

        rgb = load_rgb(request.picture)
        image = fitted(rgb, self.options.min_pixels, self.options.max_pixels, str(request.picture))
        # The seed hangs on what is seen, so that a picture's answer does not hang on its neighbours.
        return _Shown(request, image, derive_seed(self.options.seed, "qwen", sha256_bytes(rgb.tobytes())))

    def _asked(self, shown: Sequence[_Shown]) -> list[Scene | SceneError]:
        from phase1_sound.vision.engines.qwen.model import loaded

        model = loaded(self._folder, self._place)

        def answer(questions: Sequence[Question]) -> list[Reply]:
            replies: dict[int, Reply] = {}
            for batch in batches(questions, self.options.batch):
                prompts = [self._prompt(question, shown[question.number]) for question in batch]
                answers = model.answer(prompts, self.options.temperature, self.options.repetition_penalty)
                replies |= {question.number: reply for question, reply in zip(batch, answers, strict=True)}
            return [replies[question.number] for question in questions]

        frames = [self.options.frame(*one.image.size) for one in shown]
        return ask([one.request for one in shown], frames, answer, self.options)

    def _prompt(self, question: Question, shown: _Shown) -> Prompt:
        from phase1_sound.vision.engines.qwen.model import Prompt

        options = self.options
        schema = answer_schema(options.shape, question.frame, "evidence" not in options.prompt.without)
        return Prompt(
            messages=conversation(options.prompt, question.frame, {"type": "image"}, question.turns),
            image=shown.image,
            schema=schema if options.constrain else None,
            max_tokens=question.max_tokens,
            seed=derive_seed(shown.seed, question.attempt),
        )

    @staticmethod
    def readiness(argument: str) -> Readiness:
        """Whether packages, weights and memory are there; loads no model."""
        options = qwen_options(argument)
        try:
            folder = _ready_folder(options)
            from phase1_sound.vision.engines.qwen.model import memory_problem, placed

            place = placed(options.device, options.dtype, options.quantize)
            size = weights.weights_size(folder)
        except EngineError as error:
            return Readiness(str(error))
        detail = (
            f"{folder}: {size / 1e9:.1f} GB of weights, {_licence(options)}, on {place.device_name} in {place.dtype}"
        )
        return Readiness(memory_problem(place, size), detail)

    @staticmethod
    def fetch(argument: str, progress: bool) -> str:
        """Download and verify the weights: the default model's, or those of "3B", "32B", "72B" or OWNER/NAME.

        Raises:
            EngineError: the download failed; the same call goes on where it stopped.
        """
        options = qwen_options(argument)
        _check_packages()
        fetched = weights.fetch(options.source, options.revision, progress=progress)
        return (
            f"{options.source}: {fetched.size / 1e9:.1f} GB, verified, SHA-256 {fetched.sha256}, {_licence(options)}, "
            f"in {fetched.folder}"
        )


@dataclass(frozen=True)
class _Shown:
    """A request, its picture as the model sees it, and the seed of its answer."""

    request: VisionRequest
    image: Image.Image
    seed: int


def batches(questions: Sequence[Question], size: int) -> Iterator[list[Question]]:
    """Questions of one token limit together, at most `size` at a time: a batch is cut off where each alone would be."""
    ordered = sorted(questions, key=lambda question: question.max_tokens)
    for _, group in groupby(ordered, key=lambda question: question.max_tokens):
        alike = list(group)
        yield from (alike[start : start + size] for start in range(0, len(alike), size))


def _check_packages() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise EngineError(f'qwen needs {", ".join(missing)}: pip install "photone[models]"')


def _ready_folder(options: QwenOptions) -> Path:
    """The folder of the weights, after a look at packages and files.

    Raises:
        EngineError: what is missing, and how to get it.
    """
    _check_packages()
    folder = weights.find_weights(options.source, options.revision)
    missing = weights.missing_files(folder) if folder else ["all weights"]
    if folder is None or missing:
        known = next((model for model in MODELS.values() if model.repository == options.source), None)
        size = known.in_words() if known else "for size and licence see its page"
        mend = (
            "choose another folder"
            if Path(options.source).is_dir()
            else f"photone engines --fetch qwen:{options.model}"
        )
        raise EngineError(f"qwen: {options.source} lacks {', '.join(missing[:3])} ({size}): {mend}")
    _check_family(folder)
    return folder


def _check_family(folder: Path) -> None:
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{folder / 'config.json'}: cannot be read ({error!r}): fetch the model again") from error
    if kind != "qwen2_5_vl":
        raise EngineError(
            f"{folder}: holds a {kind!r}, not a qwen2_5_vl: choose a Qwen2.5-VL, or serve it for openai-http"
        )


def _licence(options: QwenOptions) -> str:
    known = next((model for model in MODELS.values() if model.repository == options.source), None)
    return known.licence if known else "licence unknown"
