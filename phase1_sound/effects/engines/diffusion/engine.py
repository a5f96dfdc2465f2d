"""The engine around a text-to-audio pipeline: options, what is missing, requests -> batches -> sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from core import weights
from core.audio import SAMPLE_RATE, Audio
from core.engines import EngineInfo, Readiness, read_options
from core.errors import EngineError, UsageError
from phase1_sound.effects.engines.diffusion.batching import Batches, Job, Waves, jobs_of, ranked
from phase1_sound.effects.engines.diffusion.folders import INDEX, missing_files, pipeline_index
from phase1_sound.effects.protocol import EffectRequest, EffectResult, Report
from schemas.effect import Tokens

if TYPE_CHECKING:
    from phase1_sound.effects.engines.diffusion.pipeline import Place

_PACKAGES = ("torch", "transformers", "diffusers", "accelerate")
_CPU_BATCH = 4  # a processor gains nothing from more, and Linux kills what asks for too much instead of refusing it


@dataclass(frozen=True)
class KnownModel:
    """A repository on the hub: about how many gigabytes its weights are, under what licence, and how it wants to be run."""

    repository: str
    gigabytes: float
    licence: str
    steps: int
    guidance: float

    def in_words(self) -> str:
        """What somebody wants to know before fetching it."""
        return f"about {self.gigabytes:g} GB, {self.licence}"


@dataclass(frozen=True)
class DiffusionOptions:
    """Which weights, where and how they run.

    `model` is a short name, a repository of the hub or a folder. `device` is auto (CUDA where there is one), cpu, cuda or
    cuda:N. `dtype` auto is float32 on a processor, bfloat16 on CUDA, float16 on GPUs that lack it. `batch` 0 makes as many
    sounds at once as memory allows (four on a processor). `steps` and `guidance` 0 are the model's own.
    """

    model: str = ""
    revision: str = ""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    batch: Annotated[int, Field(ge=0, le=1024)] = 0
    steps: Annotated[int, Field(ge=0, le=1000)] = 0
    guidance: Annotated[float, Field(ge=0.0, le=50.0)] = 0.0
    candidates: Annotated[int, Field(ge=1, le=16)] = 1


@dataclass(frozen=True)
class Family:
    """The models that one engine runs: its name, the short names of models (the default first), classes of pipelines."""

    name: str
    models: Mapping[str, KnownModel]
    classes: tuple[str, ...]
    parts: tuple[str, ...]
    tokenizers: tuple[str, ...]
    other: KnownModel  # stands for a repository or folder that is none of `models`
    refuse: Callable[[str], str | None] = lambda source: None

    def known(self, options: DiffusionOptions) -> KnownModel:
        """The model that the options name; `other` with its name where it is none of the table."""
        by_name = self.models.get(options.model.lower() or next(iter(self.models)))
        by_repository = next((each for each in self.models.values() if each.repository == options.model), None)
        return by_name or by_repository or replace(self.other, repository=options.model)


class Model(Protocol):
    """A loaded pipeline."""

    sample_rate: int

    def make(self, jobs: Sequence[Job], steps: int, guidance: float, report: Report) -> list[Waves] | None:
        """Make jobs of one duration together, each exactly that long; None when memory does not suffice."""
        ...

    def scores(self, prompt: str, sounds: Sequence[Waves]) -> list[float]:
        """How well each sound fits the prompt."""
        ...

    def tokens(self, text: str) -> list[Tokens]:
        """The tokens of a text, for each text encoder."""
        ...


class DiffusionEngine:
    """Makes effects with a pipeline of diffusers; loaded at the first effect, kept for the next engine alike.

    Raises:
        UsageError: an option cannot be read, or the model is not for effects.
        EngineError: packages or weights are missing; the message says how to get them.
    """

    family: ClassVar[Family]

    def __init__(self, argument: str = "") -> None:
        self.options = self._read(argument)
        self._folder = self._ready_folder(self.options)
        self._known = self._known_in(self._folder, self.options)
        self._place = self._placed(self.options)
        self._batches = Batches(self.options.batch or (_CPU_BATCH if self._place.device_type == "cpu" else 0))
        self._report: Report = lambda text: None
        self.info = EngineInfo(self.family.name, "1", weights.weights_sha256(self._folder), self._recorded())
        self.notes: tuple[str, ...] = (f"weights of {self._known.repository}: {self._known.licence}",)

    @classmethod
    def _known_in(cls, folder: Path, options: DiffusionOptions) -> KnownModel:
        """What is known of the model in a folder."""
        return cls.family.known(options)

    @property
    def steps(self) -> int:
        return self.options.steps or self._known.steps

    @property
    def guidance(self) -> float:
        return self.options.guidance or self._known.guidance

    def _recorded(self) -> dict[str, Any]:
        source = self._known.repository
        return {
            "model": Path(source).name if Path(source).is_dir() else source,
            "revision": self._folder.name if self._folder.parent.name == "snapshots" else None,
            "device": self._place.device_type,
            "dtype": self._place.dtype,
            "steps": self.steps,
            "guidance": self.guidance,
            "candidates": self.options.candidates,
            "licence": self._known.licence,
        }

    def load(self) -> Model:
        """The loaded pipeline."""
        raise NotImplementedError

    def watch(self, report: Report) -> None:
        """Tell `report` of each batch and step from now on."""
        self._report = report

    def tokens(self, text: str) -> Sequence[Tokens]:
        """The tokens of a text by the model's own tokenizers.

        Raises:
            EngineError: the model cannot be loaded.
        """
        return self.load().tokens(text)

    def make(self, requests: Sequence[EffectRequest]) -> Iterator[EffectResult]:
        """Make one effect per request, exactly `duration_s` long, at 44.1 kHz, in as few batches as memory allows.

        An effect gives the same in a batch as alone, but for rounding in the model.

        Raises:
            EngineError: the model cannot be loaded, failed, or memory does not suffice for one effect.
        """
        if not requests:
            return
        model, candidates = self.load(), self.options.candidates
        sounds = self._batches.run(jobs_of(requests, candidates), lambda batch: self._made(model, batch, len(requests)))

        def scores(request: int, own: list[Waves]) -> list[float]:
            return model.scores(requests[request].prompt, own)

        made = ranked(sounds, len(requests), candidates, scores)
        for request, (sound, best, found) in zip(requests, made, strict=True):
            audio = _exactly(Audio(sound, model.sample_rate).resampled(SAMPLE_RATE), request.duration_s)
            yield EffectResult(audio, self._recipe(model, best, found))

    def _made(self, model: Model, batch: Sequence[Job], requests: int) -> list[Waves] | None:
        first, last = batch[0].request + 1, batch[-1].request + 1
        which = f"effect {first}" if first == last else f"effects {first}-{last}"
        return model.make(batch, self.steps, self.guidance, lambda text: self._report(f"{which} of {requests}: {text}"))

    def _recipe(self, model: Model, best: int, scores: Sequence[float]) -> dict[str, Any]:
        recipe: dict[str, Any] = {"made_at_hz": model.sample_rate, "steps": self.steps, "guidance": self.guidance}
        if model.sample_rate != SAMPLE_RATE:
            recipe["resampled"] = f"{model.sample_rate} -> {SAMPLE_RATE} Hz by soxr VHQ"
        if scores:
            recipe |= {"candidate": best, "candidate_scores": [round(score, 4) for score in scores]}
        return recipe

    @classmethod
    def _read(cls, argument: str) -> DiffusionOptions:
        options = read_options(argument, DiffusionOptions, "model", cls.family.name)
        problem = cls.family.refuse(cls.family.known(options).repository)
        if problem:
            raise UsageError(f"{cls.family.name}: {problem}")
        return options

    @classmethod
    def _placed(cls, options: DiffusionOptions) -> Place:
        from phase1_sound.effects.engines.diffusion.pipeline import placed

        return placed(cls.family.name, options.device, options.dtype)

    @classmethod
    def _check_packages(cls) -> None:
        missing = [name for name in _PACKAGES if find_spec(name) is None]
        if missing:
            raise EngineError(f'{cls.family.name} needs {", ".join(missing)}: pip install "photone[models]"')

    @classmethod
    def _ready_folder(cls, options: DiffusionOptions) -> Path:
        """The folder of the weights, after a look at packages and files.

        Raises:
            EngineError: what is missing, and how to get it.
        """
        cls._check_packages()
        known, name = cls.family.known(options), cls.family.name
        folder = weights.find_weights(known.repository, options.revision)
        missing = ["all weights"]
        if folder is not None:
            missing = missing_files(folder, (), ()) or cls._missing(folder)
        if folder is None or missing:
            is_folder = Path(known.repository).is_dir()
            fetch = f"photone engines --fetch {name}" + (f":{options.model}" if options.model else "")
            mend = "choose another folder" if is_folder else fetch
            raise EngineError(f"{name}: {known.repository} lacks {', '.join(missing[:3])} ({known.in_words()}): {mend}")
        return folder

    @classmethod
    def _missing(cls, folder: Path) -> list[str]:
        index = pipeline_index(folder)
        if index["_class_name"] not in cls.family.classes:
            raise EngineError(
                f"{folder / INDEX}: is a {index['_class_name']}, not a {' or '.join(cls.family.classes)}: "
                "choose another model"
            )
        return missing_files(folder, *cls.parts_of(index))

    @classmethod
    def parts_of(cls, index: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The parts of a pipeline that have weights, and those that have a vocabulary."""
        return cls.family.parts, cls.family.tokenizers

    @classmethod
    def readiness(cls, argument: str) -> Readiness:
        """Whether packages, weights and memory are there; loads no model."""
        options = cls._read(argument)
        try:
            folder = cls._ready_folder(options)
            place = cls._placed(options)
        except EngineError as error:
            return Readiness(str(error))
        from phase1_sound.effects.engines.diffusion.pipeline import memory_problem

        size = weights.weights_size(folder)
        detail = (
            f"{folder}: {size / 1e9:.1f} GB of weights, {cls.family.known(options).licence}, "
            f"on {place.device_name} in {place.dtype}"
        )
        return Readiness(memory_problem(cls.family.name, place, size), detail)

    @classmethod
    def fetch(cls, argument: str, progress: bool) -> str:
        """Download and verify the weights: the default model's, or those of a short name or OWNER/NAME.

        Raises:
            EngineError: the download failed; the same call goes on where it stopped.
        """
        options = cls._read(argument)
        cls._check_packages()
        known = cls.family.known(options)
        fetched = weights.fetch(known.repository, options.revision, progress=progress)
        return (
            f"{known.repository}: {fetched.size / 1e9:.1f} GB, verified, SHA-256 {fetched.sha256}, {known.licence}, "
            f"in {fetched.folder}"
        )


def _exactly(audio: Audio, duration_s: float) -> Audio:
    """Cut or lengthened by the sample that resampling may be off by."""
    frames = round(duration_s * audio.sample_rate)
    samples = np.pad(audio.samples[:, :frames], ((0, 0), (0, max(0, frames - audio.frames))))
    return Audio(samples, audio.sample_rate)
