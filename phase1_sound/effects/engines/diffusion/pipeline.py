"""The edge to torch, transformers and diffusers: where a pipeline runs, loading its parts, memory, errors."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from core.errors import EngineError
from phase1_sound.effects.engines.diffusion.batching import Job

T = TypeVar("T")
_ROOM = 1.3  # memory over that of the weights, for one sound: an estimate
_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class Place:
    """Where a pipeline runs ("cpu", "cuda", "cuda:1"), and the type of its numbers."""

    device: str
    dtype: str

    @property
    def device_type(self) -> str:
        return self.device.partition(":")[0]

    @property
    def device_name(self) -> str:
        """For the user: the GPU's own name, or cpu."""
        return torch.cuda.get_device_name(self.device) if self.device_type == "cuda" else self.device

    @property
    def torch_dtype(self) -> Any:
        return getattr(torch, self.dtype)


def placed(engine: str, device: str, dtype: str) -> Place:
    """Choose where "auto" leaves it open: CUDA where there is one; bfloat16 there, float16 on GPUs that lack it.

    Raises:
        EngineError: CUDA is asked for and not there.
    """
    cuda = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if cuda else "cpu"
    if device != "cpu" and not cuda:
        raise EngineError(
            f"{engine}: device={device}, and torch finds no CUDA here: mend the driver, or take ?device=cpu"
        )
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return Place(device, dtype)


def memory_problem(engine: str, place: Place, weights_bytes: int) -> str | None:
    """Why weights of so many bytes (float32 as stored) will not fit, or None when they should."""
    needed = weights_bytes / 4 * _BYTES[place.dtype] * _ROOM
    if place.device_type == "cuda":
        there = torch.cuda.get_device_properties(torch.device(place.device)).total_memory
    else:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed <= there:
        return None
    return (
        f"{engine} needs about {needed / 1e9:.0f} GB of memory on {place.device_name}, which has {there / 1e9:.0f} GB: "
        "take a smaller model, ?dtype=float16 or ?device=cpu"
    )


def load_part(made: Any, folder: Path, dtype: Any) -> Any:
    """Load a model of diffusers or transformers, ready to be run.

    Raises:
        EngineError: a tensor is missing or of another shape; the libraries would go on with random numbers in its place.
    """
    named = "torch_dtype" if issubclass(made, diffusers.ModelMixin) else "dtype"
    model, report = made.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **{named: dtype}
    )
    lost = [name for name in [*report["missing_keys"], *report["mismatched_keys"]] if _learnt(model, str(name))]
    if lost:
        raise EngineError(f"{folder}: {len(lost)} weights are missing or of another shape ({lost[0]}): fetch it again")
    return model.eval()


def _learnt(model: Any, name: str) -> bool:
    """Whether a tensor is learnt; tables of whole numbers (positions) are made by the model itself."""
    table = dict(model.named_buffers()).get(name)
    return table is None or table.is_floating_point()


def generators(jobs: Sequence[Job]) -> list[Any]:
    """One source of noise for each job, drawn on the processor, so that every device begins with the same noise."""
    return [torch.Generator("cpu").manual_seed(job.seed) for job in jobs]


def within_memory(work: Callable[[], T], device_type: str) -> T | None:
    """Do the work, or give None when memory does not suffice; what the attempt held is freed then."""
    try:
        return work()
    except (torch.OutOfMemoryError, MemoryError):
        pass
    except RuntimeError as error:
        if "alloc" not in str(error).lower():
            raise
    # Behind the `except`: before, the error's traceback still holds the tensors.
    gc.collect()
    if device_type == "cuda":
        torch.cuda.empty_cache()
    return None


@contextmanager
def translated(engine: str, folder: Path) -> Iterator[None]:
    """Errors of torch, transformers and diffusers as ours."""
    try:
        yield
    except EngineError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise EngineError(f"{engine}: {folder}: not enough memory: take a smaller model, or ?device=cpu") from error
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ImportError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise EngineError(f"{engine}: {folder}: {type(error).__name__}: {str(error)[:300]}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' notes off standard error, and their bars."""
    logs = (transformers.utils.logging, diffusers.utils.logging)
    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs]
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, (verbosity, bars) in zip(logs, before, strict=True):
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()
