"""Timbre models for tests: tiny networks made by hand, a random RAVE, a corpus of made-up notes, folders with cards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from core.audio import SAMPLE_RATE, Audio, Samples, write_audio
from core.loudness import normalise_loudness
from core.manifest import sha256_bytes, sha256_file
from phase2_music.instruments.pitch import key_to_hz
from schemas.document import Role
from schemas.timbre import Corpus, CorpusNote, Gate, TimbreCard

HOP = 512


@dataclass
class MadeUp:
    """A network that is a function; `heard` are the lengths that it was given."""

    function: Callable[[Samples], Samples]
    sample_rate: int = SAMPLE_RATE
    hop: int | None = HOP
    channels: int = 1

    def __post_init__(self) -> None:
        self.heard: list[int] = []

    def run(self, samples: Samples) -> Samples:
        self.heard.append(samples.shape[1])
        return np.asarray(self.function(samples), dtype=np.float32)


def write_onnx(path: Path, node: Any, weights: dict[str, np.ndarray] | None = None) -> Path:
    """A network of one node from `audio` to `made`, both of shape (1, 1, frames)."""
    audio, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, f"{name}_frames"]) for name in ("audio", "made")
    )
    tensors = [
        helper.make_tensor(name, TensorProto.FLOAT, value.shape, value.astype(np.float32).ravel())
        for name, value in (weights or {}).items()
    ]
    graph = helper.make_graph([node], "graph", [audio], [made], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def filter_onnx(path: Path, kernel: Sequence[float] | np.ndarray, late: int = 0) -> Path:
    """A filter whose output comes `late` frames late."""
    taps = np.concatenate([np.zeros(late), np.asarray(kernel, dtype=np.float64)])[::-1]
    node = helper.make_node("Conv", ["audio", "kernel"], ["made"], pads=[len(taps) - 1, 0])
    return write_onnx(path, node, {"kernel": taps[None, None]})


def identity_onnx(path: Path) -> Path:
    """What comes goes."""
    return write_onnx(path, helper.make_node("Identity", ["audio"], ["made"]))


def silence_onnx(path: Path) -> Path:
    """Whatever comes, nothing goes."""
    return write_onnx(path, helper.make_node("Mul", ["audio", "zero"], ["made"]), {"zero": np.zeros(1)})


def random_rave(onnx_path: Path | None = None, ts_path: Path | None = None, seed: int = 0) -> None:
    """RAVE as small as the preset `smoke`, never trained, through photone's own export."""
    import torch

    from phase2_music.timbre.train import export, options
    from phase2_music.timbre.train.model import build

    torch.manual_seed(seed)
    smoke = options.preset("smoke")
    # Fresh weights answer a hundred decibels down: twice as large in every layer they speak up.
    weights = build(smoke, SAMPLE_RATE).rave.state_dict()
    louder = {name: 2.0 * value if name.endswith("weight_g") else value for name, value in weights.items()}
    model = export.Model(smoke, louder, SAMPLE_RATE)
    # Rounding weights that were never trained to float16 costs 0.25 % of the peak, a little more than an export allows.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "FLOAT16_BOUND", 0.01)
        for path, write in ((onnx_path, export.write_onnx), (ts_path, export.write_script)):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write(model, path)


def piano_note(key: int, velocity: int, program: int, seconds: float = 2.0) -> Audio:
    """A struck string, more or less: partials that decay the faster the higher, brighter with velocity and program."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    f0_hz = key_to_hz(key)
    partials = range(1, min(16, int(12000 / f0_hz)) + 1)
    slope = 1.6 - velocity / 160 - 0.1 * (program % 3)
    rng = np.random.default_rng(key * 128 + program)
    wave = sum(
        n**-slope * np.exp(-(0.8 + 0.35 * n) * t) * np.sin(2 * np.pi * (n * f0_hz * t + rng.random())) for n in partials
    )
    return normalise_loudness(Audio(0.2 * wave * np.minimum(1.0, t / 0.003), SAMPLE_RATE), -20.0)


def piano_corpus(folder: Path, role: Role = "keyboard") -> Corpus:
    """A corpus of made-up notes: every third key by two programs, every fourth of these held out."""
    keys = list(range(36, 97, 3))
    held_out = keys[1::4]
    notes = []
    for key in keys:
        for program in (0, 1):
            name = f"{program:03d}_{key:03d}_090.flac"
            write_audio(folder / name, piano_note(key, 90, program), "PCM_16")
            split = "test" if key in held_out else "valid" if key == keys[2] else "train"
            value = {"file": name, "sha256": sha256_file(folder / name), "key": key, "velocity": 90, "program": program}
            notes.append(CorpusNote.model_validate(value | {"split": split, "duration_s": 2.0, "gain_db": 0.0}))
    corpus = Corpus.model_validate(
        {
            "role": role,
            "source": "gm",
            "origin": "made-up.sf2",
            "origin_sha256": "1" * 64,
            "licence": "Apache-2.0",
            "sample_rate": SAMPLE_RATE,
            "loudness_lufs": -20.0,
            "ceiling_dbtp": -1.0,
            "options_sha256": "2" * 64,
            "programs": [{"program": n, "name": f"piano {n}", "held_out": False} for n in (0, 1)],
            "held_out_keys": held_out,
            "valid_keys": [keys[2]],
            "notes": notes,
        }
    )
    corpus.write(folder / "corpus.json")
    return corpus


def card_of(folder: Path, corpus: Path | None = None, gate: Gate | None = None, role: Role = "keyboard") -> TimbreCard:
    """Write a card for the model.onnx, and the model.ts where there is one, that lie in a folder."""

    def file(name: str) -> dict[str, Any]:
        path = folder / name
        data = path.read_bytes() if path.is_file() else b"none"
        return {"file": name, "sha256": sha256_bytes(data), "bytes": len(data)}

    manifest = sha256_file(corpus / "corpus.json") if corpus else "3" * 64
    card = TimbreCard.model_validate(
        {
            "photone_version": "0.1.0",
            "role": role,
            "sample_rate": SAMPLE_RATE,
            "hop": HOP,
            "latents": 8,
            "parameters": 1000,
            "onnx": file("model.onnx"),
            "onnx_weights": "float16",
            "onnx_error": 0.0,
            "ts": file("model.ts"),
            "licence": "Apache-2.0",
            "corpus": {
                "manifest_sha256": manifest,
                "source": "gm",
                "origin": "made-up.sf2",
                "origin_sha256": "1" * 64,
                "licence": "Apache-2.0",
                "loudness_lufs": -20.0,
                "programs": [{"program": 0, "name": "piano", "held_out": False}],
                "held_out_keys": [],
                "valid_keys": [],
                "notes": {"train": 1, "valid": 1, "test": 1},
                "train_minutes": 1.0,
            },
            "training": {
                "preset": "smoke",
                "options": {},
                "steps": 1,
                "finished": True,
                "first_losses": {},
                "losses": {},
                "validations": [],
                "elapsed_s": 1.0,
                "device": "cpu",
                "versions": {},
            },
            "gate": gate,
        }
    )
    card.write(folder / "card.json")
    return card
