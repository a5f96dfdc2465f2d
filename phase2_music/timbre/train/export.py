"""A trained checkpoint becomes a model: ONNX with weights stored as float16, TorchScript, and a card.

Both take the posterior's mean and all latents. The network's own form is kept: filter bank, encoder, decoder, filter bank back.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import EngineError, UsageError
from core.manifest import atomic_folder, sha256_file
from core.seeds import generator
from phase2_music.timbre.corpus import MANIFEST, read_corpus
from phase2_music.timbre.train import checkpoint
from phase2_music.timbre.train.checkpoint import State
from phase2_music.timbre.train.model import build, quiet, without_weight_norm
from phase2_music.timbre.train.options import TrainingOptions
from schemas.timbre import (
    Corpus,
    CorpusRecord,
    ModelFile,
    NoteCounts,
    TimbreCard,
    TrainingRecord,
)

CARD, ONNX, SCRIPT = "card.json", "model.onnx", "model.ts"
MODEL_LICENCE = "Apache-2.0"
FLOAT32_BOUND, FLOAT16_BOUND = 1e-4, 2e-3
"""Largest differences of the ONNX to torch in parts of the peak, before and after its weights are stored as float16."""

Stored = Literal["float16", "float32"]

# What tells of tracing (the filter bank's constants) and deprecated exporters, which we chose on purpose
_TRACING = logging.WARNING
_OPSET = 17
_SMALLEST_STORED = 256  # elements: biases and the like stay as they are
_PACKAGES = ("torch", "torchaudio", "numpy", "scipy", "acids-rave", "cached-conv", "gin-config", "onnx", "onnxruntime")


class Model(nn.Module):  # type: ignore[misc]  # torch is not looked at by mypy
    """What is exported: sound (B, 1, T) to latents (B, latents, ceil(T / hop)) and back, without chance.

    `get_methods`, `get_attributes`, the `*_params` (channels and ratios of input and output) and the `*_labels` (of inlets and
    outlets) are what nn~ asks a script for.
    """

    def __init__(self, options: TrainingOptions, weights: dict[str, Tensor], sample_rate: int) -> None:
        super().__init__()
        networks = build(options, sample_rate)
        networks.rave.load_state_dict(weights)
        self.pqmf = networks.pqmf
        self.encoder = without_weight_norm(networks.encoder)
        self.decoder = without_weight_norm(networks.decoder)
        self.sr, self.hop = sample_rate, options.model.hop
        self.latent_size = options.model.latents
        sound, latents = ["(signal) sound"], [f"(signal) latent {number + 1}" for number in range(self.latent_size)]
        for method, inlets, outlets in (
            ("forward", sound, sound),
            ("encode", sound, latents),
            ("decode", latents, sound),
        ):
            ratios = [1 if end is sound else self.hop for end in (inlets, outlets)]
            table = torch.tensor([len(inlets), ratios[0], len(outlets), ratios[1]])
            self.register_buffer(f"{method}_params", table)
            setattr(self, f"{method}_input_labels", list(inlets))
            setattr(self, f"{method}_output_labels", list(outlets))
        self.eval().requires_grad_(False)

    def encode(self, x: Tensor) -> Tensor:
        """The posterior's mean; silence fills up the last hop."""
        # A whole hop is added and cut to a multiple: this way the number of frames stays a variable when traced.
        frames = (x.shape[-1] + self.hop - 1) // self.hop * self.hop
        padded = nn.functional.pad(x, (0, self.hop))[..., :frames]
        return self.encoder(self.pqmf(padded))[:, : self.latent_size]

    def decode(self, z: Tensor) -> Tensor:
        """Sound of hop times as many frames."""
        return self.pqmf.inverse(self.decoder(z))

    def forward(self, x: Tensor) -> Tensor:
        """The sound again, as long as it was."""
        return self.decode(self.encode(x))[..., : x.shape[-1]]

    def get_methods(self) -> list[str]:
        return ["forward", "encode", "decode"]

    def get_attributes(self) -> list[str]:
        return ["none"]


for _method in (Model.encode, Model.decode, Model.get_methods, Model.get_attributes):
    torch.jit.export(_method)


def export_model(
    training: Path, corpus_folder: Path, out: Path, options: TrainingOptions, photone_version: str
) -> TimbreCard:
    """Export the last checkpoint of a training into a model's folder, whole or not at all.

    Raises:
        UsageError: there is no checkpoint.
        EngineError: a package is missing, or the ONNX does not give what torch does.
    """
    path = training / checkpoint.FILE
    if not path.is_file():
        raise UsageError(f"{path}: there is no checkpoint: train first")
    corpus, value = read_corpus(corpus_folder), checkpoint.read(path)
    model = Model(options, value["model"], corpus.sample_rate)
    with atomic_folder(out) as folder:
        stored, error = write_onnx(model, folder / ONNX)
        write_script(model, folder / SCRIPT)
        card = TimbreCard(
            photone_version=photone_version,
            role=corpus.role,
            sample_rate=model.sr,
            hop=model.hop,
            latents=model.latent_size,
            parameters=sum(p.numel() for part in (model.encoder, model.decoder) for p in part.parameters()),
            onnx=_file(folder / ONNX),
            onnx_weights=stored,
            onnx_error=error,
            ts=_file(folder / SCRIPT),
            licence=MODEL_LICENCE,
            corpus=corpus_record(corpus, corpus_folder),
            training=_training_record(checkpoint.state_of(value), options, value["device"]),
        )
        card.write(folder / CARD)
    return card


def write_script(model: Model, path: Path) -> None:
    """Write TorchScript that plain `torch.jit.load` reads."""
    with quiet(_TRACING):
        torch.jit.script(model).save(str(path))


def write_onnx(model: Model, path: Path) -> tuple[Stored, float]:
    """Write ONNX; gives how its larger weights are stored, and its largest difference to torch in parts of the peak.

    They are stored as float16, unless that would change the sound by more than `FLOAT16_BOUND`, as it can where a model has
    learnt next to nothing and its sound is what is left of large numbers: then as float32, which takes twice the space.

    Raises:
        EngineError: a package is missing, or what was written does not give what torch does.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineError(f"export needs the package {error.name}: install photone[train]") from error
    _trace(model, path)
    whole_error = onnx_difference(model, path, _lengths(model.hop))
    if not whole_error <= FLOAT32_BOUND:
        raise EngineError(
            f"{path.name}: differs from torch by {whole_error:.1e} of the peak: report it with the versions"
        )
    half = path.with_suffix(".float16.onnx")
    onnx.save(with_half_weights(onnx.load(str(path))), str(half))
    half_error = onnx_difference(model, half, _lengths(model.hop))
    if not half_error <= FLOAT16_BOUND:
        half.unlink()
        return "float32", whole_error
    half.replace(path)
    return "float16", half_error


def _lengths(hop: int) -> tuple[int, ...]:
    """Frames to compare at: what is no multiple of the hop is what goes wrong first."""
    return (hop, 1, 7 * hop + 1, 20 * hop - 1, 86 * hop)


def _trace(model: Model, path: Path) -> None:
    with quiet(_TRACING), torch.no_grad():
        torch.onnx.export(
            model,
            (torch.zeros(1, 1, 4 * model.hop),),
            str(path),
            input_names=["audio"],
            output_names=["audio_out"],
            dynamic_axes={"audio": {2: "frames"}, "audio_out": {2: "frames"}},
            opset_version=_OPSET,
            dynamo=False,  # the exporter by torch.export is not what was measured; see compatibility.py
        )


def with_half_weights(model: Any) -> Any:
    """An ONNX model whose larger float32 weights are stored as float16, each with a cast behind it; computes in float32.

    The filter bank (`pqmf`) stays: its stop bands lie 100 dB down, deeper than float16 reaches.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _SMALLEST_STORED or "pqmf" in weight.name:
            continue
        name, stored = weight.name, f"{weight.name}.float16"
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def onnx_difference(model: Model, path: Path, lengths: Sequence[int]) -> float:
    """Largest difference of an ONNX file to torch over sounds of these lengths in frames, in parts of torch's peak.

    The peak is that of all of them together: of a sound of one frame hardly anything comes out.
    """
    import onnxruntime

    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    quiet.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), quiet, providers=["CPUExecutionProvider"])
    worst, peak = 0.0, 1e-9
    for length in lengths:
        sound = 0.2 * generator(0, "export", length).standard_normal((1, 1, length)).astype(np.float32)
        with torch.no_grad():
            wanted = model(torch.from_numpy(sound)).numpy()
        (given,) = session.run(None, {"audio": sound})
        if given.shape != wanted.shape:
            raise EngineError(f"{path.name}: gives {given.shape[-1]} frames for {length}: export again")
        worst, peak = max(worst, float(np.abs(given - wanted).max())), max(peak, float(np.abs(wanted).max()))
    return worst / peak


def corpus_record(corpus: Corpus, folder: Path) -> CorpusRecord:
    """What a card says of the corpus."""
    return CorpusRecord(
        manifest_sha256=sha256_file(folder / MANIFEST),
        source=corpus.source,
        origin=corpus.origin,
        origin_sha256=corpus.origin_sha256,
        licence=corpus.licence,
        loudness_lufs=corpus.loudness_lufs,
        programs=corpus.programs,
        held_out_keys=corpus.held_out_keys,
        valid_keys=corpus.valid_keys,
        notes=NoteCounts(
            train=len(corpus.split("train")), valid=len(corpus.split("valid")), test=len(corpus.split("test"))
        ),
        train_minutes=round(sum(note.duration_s for note in corpus.split("train")) / 60, 3),
    )


def _training_record(state: State, options: TrainingOptions, device: str) -> TrainingRecord:
    return TrainingRecord(
        preset=options.preset,
        options=options.as_json(),
        steps=state.step,
        phase_2_step=state.phase_2_step,
        finished=options.used(state.step, state.elapsed_s) >= 1.0,
        first_losses=state.first_losses,
        losses=state.losses,
        validations=list(state.validations),
        elapsed_s=round(state.elapsed_s, 1),
        device=device,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that training rests on, as far as they are here."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _file(path: Path) -> ModelFile:
    return ModelFile(file=path.name, sha256=sha256_file(path), bytes=path.stat().st_size)
