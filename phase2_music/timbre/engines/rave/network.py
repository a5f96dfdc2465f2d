"""A RAVE model as a function from samples to samples: ONNX through onnxruntime, TorchScript through torch. One thread each."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core.audio import Samples
from core.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROBE_FRAMES = 1 << 16


class Network(Protocol):
    """A loaded model. `hop` is the number of frames that share a column of latents, None where nobody can tell."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def hop(self) -> int | None: ...

    @property
    def channels(self) -> int: ...

    def run(self, samples: Samples) -> Samples:
        """Samples of shape (channels, frames) to (channels', frames'); at least as many frames as came.

        Raises:
            EngineError: the model failed, or gave something that is no sound.
        """
        ...


class OnnxNetwork:
    """model.onnx: input `audio` and output `audio` of shape (1, channels, frames)."""

    def __init__(self, path: Path, sample_rate: int, hop: int | None) -> None:
        """Load a model of a known rate.

        Raises:
            EngineError: onnxruntime is missing, or the file is damaged.
        """
        self._path, self.sample_rate, self.hop = path, sample_rate, hop
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(f'onnxruntime is not installed ({error}): pip install "photone[rave]"') from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # The arena keeps what the longest sound took for as long as the model lives.
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no class of their own
            raise _not_loaded(path, error) from error
        given = self._session.get_inputs()
        if len(given) != 1 or len(given[0].shape) != 3:
            raise EngineError(f"{path}: takes {len(given)} inputs, expected one of shape (1, channels, frames)")
        self._input = given[0].name
        channels = given[0].shape[1]
        self.channels = channels if isinstance(channels, int) else 1

    def run(self, samples: Samples) -> Samples:
        """See `Network.run`."""
        try:
            (made, *_) = self._session.run(None, {self._input: samples[None].astype(np.float32)})
        except Exception as error:
            raise EngineError(f"{self._path}: the model failed ({_first_line(error)}): export it again") from error
        return _checked(made, self._path)


class TorchNetwork:
    """A TorchScript export of RAVE: one's own, or anybody's."""

    def __init__(self, path: Path, sample_rate: int | None = None) -> None:
        """Load a model; its rate comes from `sample_rate` where the file does not tell it.

        Raises:
            EngineError: torch is missing, the file is damaged, or nobody knows the rate.
        """
        self._path = path
        try:
            import torch
        except ImportError as error:
            raise EngineError(f'torch is not installed ({error}): pip install "photone[models]"') from error
        try:
            self._model: Any = torch.jit.load(str(path), map_location="cpu").eval()
        except Exception as error:  # a zip error, a runtime error, a value error ...
            raise _not_loaded(path, error) from error
        self._torch = torch
        self._buffers = {name: value.clone() for name, value in self._model.named_buffers()}
        told = sample_rate or self._told("sr", "sampling_rate", "sample_rate")
        if told is None:
            raise EngineError(f"{path}: does not tell its sample rate: add it, as in rave:{path.name}?rate=48000")
        self.sample_rate = told
        self.channels = self._parameter("forward_params", 0) or self._told("n_channels") or 1

    @cached_property
    def hop(self) -> int | None:
        """Frames of sound for each column of latents."""
        told = self._parameter("encode_params", 3)
        if told is not None or not hasattr(self._model, "encode"):
            return told
        columns = self.encode(np.zeros((self.channels, _PROBE_FRAMES), dtype=np.float32)).shape[1]
        return _PROBE_FRAMES // columns if columns else None

    def run(self, samples: Samples) -> Samples:
        """See `Network.run`."""
        return _checked(self._called("forward", samples), self._path)

    def encode(self, samples: Samples) -> Samples:
        """Latents of samples of shape (channels, frames): shape (latents, columns).

        Raises:
            EngineError: the model failed, or has no encoder.
        """
        latents: Samples = np.asarray(self._called("encode", samples), dtype=np.float32)[0]
        return latents

    def _called(self, method: str, samples: Samples) -> Any:
        """One method of the model, as if nothing had been heard before.

        What a streaming export keeps between calls is put back first, and noise is drawn from one seed.
        """
        with self._quiet(), self._torch.no_grad():
            for name, value in self._model.named_buffers():
                if name in self._buffers and value.shape == self._buffers[name].shape:
                    value.copy_(self._buffers[name])
            try:
                made = getattr(self._model, method)(self._torch.from_numpy(samples[None].astype(np.float32)))
                return made.numpy()
            except Exception as error:
                raise EngineError(
                    f"{self._path}: {method} failed ({_first_line(error)}): is it a RAVE model?"
                ) from error

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """One thread and a seed of our own; the process gets its own settings back."""
        torch, threads = self._torch, self._torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                yield
        finally:
            torch.set_num_threads(threads)

    def _told(self, *names: str) -> int | None:
        for name in names:
            value = getattr(self._model, name, None)
            if value is not None and not callable(value) and float(value) > 0:
                return int(value)
        return None

    def _parameter(self, name: str, place: int) -> int | None:
        """A figure of nn~'s tables: (channels in, ratio in, channels out, ratio out) of a method."""
        table = getattr(self._model, name, None)
        return int(table[place]) if table is not None and len(table) == 4 else None


def load_network(path: Path, sample_rate: int | None, hop: int | None) -> Network:
    """Load a model by its file's ending; the one that was loaded last is kept while its file stays the same.

    Raises:
        EngineError: it cannot be loaded, or an ONNX file has neither a card nor a rate.
    """
    status = path.stat()
    return _loaded(path, sample_rate, hop, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _loaded(path: Path, sample_rate: int | None, hop: int | None, size: int, mtime_ns: int) -> Network:
    if path.suffix == ".ts":
        return TorchNetwork(path, sample_rate)
    if sample_rate is None:
        raise EngineError(f"{path}: has no card.json beside it: say its rate, as in rave:{path.name}?rate=44100")
    return OnnxNetwork(path, sample_rate, hop)


def _checked(made: Any, path: Path) -> Samples:
    samples = np.asarray(made, dtype=np.float32)
    if samples.ndim != 3 or not samples.size:
        raise EngineError(f"{path}: gave an array of shape {samples.shape}, expected (1, channels, frames)")
    if not np.isfinite(samples).all():
        raise EngineError(f"{path}: gave a sample that is not a finite number: train or export it again")
    return np.asarray(samples[0])


def _not_loaded(path: Path, error: Exception) -> EngineError:
    return EngineError(f"{path}: cannot be loaded ({_first_line(error)}): export it again, or check the download")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:160] if lines else type(error).__name__
