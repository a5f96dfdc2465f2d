"""A saved pipeline on disk: which pipeline it is, and which of its files are missing. Reads no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.errors import EngineError

INDEX = "model_index.json"
_TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "vocab.json", "tokenizer.model")


def pipeline_index(folder: Path) -> dict[str, Any]:
    """What `model_index.json` says: the pipeline's class, and library and class of each part.

    Raises:
        EngineError: it is missing or damaged.
    """
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        index["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path}: cannot be read ({error!r}): fetch the model again, or choose its folder") from error
    return dict(index)


def missing_files(folder: Path, models: tuple[str, ...], tokenizers: tuple[str, ...]) -> list[str]:
    """Which files of a pipeline are not there: its index, and each part's configuration, weights and vocabulary.

    Raises:
        EngineError: the index is damaged.
    """
    if not (folder / INDEX).is_file():
        return [INDEX]
    index, missing = pipeline_index(folder), []
    for part in models:
        library = (index.get(part) or ["diffusers"])[0]
        stem = "model" if library == "transformers" else "diffusion_pytorch_model"
        missing += [f"{part}/{name}" for name in _missing_of_model(folder / part, f"{stem}.safetensors")]
    for part in tokenizers:
        if not any((folder / part / name).is_file() for name in _TOKENIZER_FILES):
            missing.append(f"{part}/tokenizer.json")
    scheduler = "scheduler/scheduler_config.json"
    return missing if (folder / scheduler).is_file() else [*missing, scheduler]


def _missing_of_model(folder: Path, weights: str) -> list[str]:
    index = folder / f"{weights}.index.json"
    parts = [weights]
    if index.is_file():
        try:
            parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return [f"{index.name} (damaged)"]
    return [name for name in ("config.json", *parts) if not (folder / name).is_file()]
