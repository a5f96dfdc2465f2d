"""Qwen2.5-VL through transformers: where it runs, loading, and answering a batch of prompts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import llguidance.hf
import torch
import transformers
from PIL import Image
from qwen_vl_utils import fetch_image
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig, LogitsProcessorList

from core.errors import EngineError, PictureError
from phase1_sound.vision.asking import Reply
from phase1_sound.vision.engines.qwen.decoding import RowDecoding, matcher
from phase1_sound.vision.pictures import Pixels

_ROOM = 1.2  # memory over that of the weights, for pictures and attention: an estimate
_BYTES = {"bfloat16": 2.0, "float16": 2.0, "float32": 4.0}
_4BIT_BYTES = 0.7  # most layers at half a byte, the rest and the scales at more: an estimate


@dataclass(frozen=True)
class Place:
    """Where and how a model runs: transformers' device map ("auto" spreads it), and the type of its numbers."""

    device: str
    dtype: str
    quantize: str = "no"

    @property
    def device_type(self) -> str:
        return "cuda" if self.device == "auto" else self.device.partition(":")[0]

    @property
    def device_name(self) -> str:
        """For the user: the GPU's own name, or cpu."""
        return torch.cuda.get_device_name() if self.device_type == "cuda" else self.device

    @property
    def bytes_each(self) -> float:
        """Bytes that one weight takes."""
        return _4BIT_BYTES if self.quantize == "4bit" else _BYTES[self.dtype]


@dataclass(frozen=True)
class Prompt:
    """One chat about one picture. `schema` None lets the model write freely."""

    messages: list[dict[str, Any]]
    image: Image.Image
    schema: dict[str, Any] | None
    max_tokens: int
    seed: int


def placed(device: str, dtype: str, quantize: str) -> Place:
    """Choose where "auto" leaves it open.

    Raises:
        EngineError: CUDA or bitsandbytes is asked for and not there.
    """
    cuda = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if cuda else "cpu"
    if device != "cpu" and not cuda:
        raise EngineError(f"qwen: device={device}, and torch finds no CUDA here: mend the driver, or take ?device=cpu")
    if quantize == "4bit" and (device == "cpu" or find_spec("bitsandbytes") is None):
        raise EngineError("qwen: quantize=4bit needs CUDA and bitsandbytes: pip install bitsandbytes, or leave it out")
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return Place("auto" if device == "spread" else device, dtype, quantize)


def memory_problem(place: Place, weights_bytes: int) -> str | None:
    """Why weights of so many bytes (as stored, two each) will not fit, or None when they should."""
    needed = weights_bytes / 2 * place.bytes_each * _ROOM
    if place.device_type == "cuda":
        gpus = range(torch.cuda.device_count()) if place.device == "auto" else [torch.device(place.device).index or 0]
        there = sum(torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus)
        mend = "take a smaller model, ?quantize=4bit, ?device=spread over several GPUs, or ?device=cpu"
    else:
        there, mend = (
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "take a smaller model or ?dtype=bfloat16",
        )
    if needed <= there:
        return None
    return f"qwen needs about {needed / 1e9:.0f} GB of memory on {place.device_name}, which has {there / 1e9:.0f} GB: {mend}"


def fitted(rgb: Pixels, min_pixels: int, max_pixels: int, origin: str) -> Image.Image:
    """The picture as the model sees it: whole blocks of 28 x 28 pixels within the limits.

    Raises:
        PictureError: it is more than 200 times as long as it is wide.
    """
    wanted = {"image": Image.fromarray(rgb), "min_pixels": min_pixels, "max_pixels": max(min_pixels, max_pixels)}
    try:
        image: Image.Image = fetch_image(wanted)
    except ValueError as error:
        raise PictureError(f"{origin}: too narrow for Qwen2.5-VL ({error}): cut a part out of it") from error
    return image


@lru_cache(maxsize=1)
def loaded(folder: Path, place: Place) -> QwenModel:
    """Load a model, or give the one that was loaded last if it is the same.

    Raises:
        EngineError: the files are damaged, or there is not enough memory.
    """
    return QwenModel(folder, place)


class QwenModel:
    """A loaded model with its processor and the tokenizer of its constraint."""

    def __init__(self, folder: Path, place: Place) -> None:
        with _translated(folder), _quiet():
            self._processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
            self._model = _model(folder, place)
            self._vocabulary = int(self._model.config.get_text_config().vocab_size)
            self._ends = _end_tokens(self._model, self._processor.tokenizer)
            self._grammar_tokenizer = llguidance.hf.from_tokenizer(
                self._processor.tokenizer, n_vocab=self._vocabulary, eos_token=self._ends
            )

    def answer(self, prompts: Sequence[Prompt], temperature: float, repetition_penalty: float) -> list[Reply]:
        """Answer all prompts together, with up to the largest `max_tokens` among them.

        Raises:
            EngineError: not enough memory, or the model failed.
        """
        matchers = [matcher(self._grammar_tokenizer, each.schema) if each.schema else None for each in prompts]
        decoding = RowDecoding(matchers, self._ends, temperature, [each.seed for each in prompts])
        with _translated(Path(str(self._model.name_or_path))), _quiet(), torch.inference_mode():
            inputs = self._inputs(prompts)
            made = self._model.generate(
                **inputs,
                generation_config=self._config(max(each.max_tokens for each in prompts), repetition_penalty),
                logits_processor=LogitsProcessorList([decoding]),
            )
        return [self._reply(row) for row in made[:, inputs["input_ids"].shape[1] :].tolist()]

    def _inputs(self, prompts: Sequence[Prompt]) -> Any:
        texts = [
            self._processor.apply_chat_template(each.messages, tokenize=False, add_generation_prompt=True)
            for each in prompts
        ]
        # Left padding: all answers begin in the same column. The pictures have the right size already.
        return self._processor(
            text=texts,
            images=[each.image for each in prompts],
            padding=True,
            padding_side="left",
            do_resize=False,
            return_tensors="pt",
        ).to(self._model.device)

    def _config(self, max_tokens: int, repetition_penalty: float) -> GenerationConfig:
        return GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,  # see RowDecoding
            repetition_penalty=repetition_penalty,
            eos_token_id=self._ends,
            pad_token_id=self._processor.tokenizer.pad_token_id,
        )

    def _reply(self, tokens: list[int]) -> Reply:
        end = next((place for place, token in enumerate(tokens) if token in self._ends), None)
        text = self._processor.tokenizer.decode(tokens[:end], skip_special_tokens=True)
        return Reply(text, cut_off=end is None)


def _model(folder: Path, place: Place) -> Any:
    quantized: dict[str, Any] = {}
    if place.quantize == "4bit":
        quantized["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, place.dtype)
        )
    model, report = AutoModelForImageTextToText.from_pretrained(
        folder,
        dtype=getattr(torch, place.dtype),
        device_map="auto" if place.device == "auto" else {"": place.device},
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
        **quantized,
    )
    # transformers would go on with random numbers in place of what is missing.
    lost = [*report["missing_keys"], *report["mismatched_keys"]]
    if lost:
        raise EngineError(f"{folder}: {len(lost)} weights are missing or of another shape ({lost[0]}): fetch it again")
    return model.eval()


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return sorted({token for token in [*listed, tokenizer.eos_token_id] if token is not None})


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Errors of torch and transformers as ours."""
    smaller = "take a smaller model, ?quantize=4bit, fewer ?max_pixels or a smaller ?batch"
    try:
        yield
    except EngineError:
        raise
    except torch.OutOfMemoryError as error:
        raise EngineError(f"{folder}: not enough GPU memory: {smaller}") from error
    except MemoryError as error:
        raise EngineError(f"{folder}: not enough memory: {smaller}") from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if "alloc" in str(error).lower():
            raise EngineError(f"{folder}: not enough memory: {smaller}") from error
        raise EngineError(f"{folder}: the model failed ({type(error).__name__}: {str(error)[:200]})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' notes off standard error, and its bars where that is no terminal."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
