"""Sound in memory and on disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from core.errors import AudioError
from core.manifest import atomic_path

Samples = npt.NDArray[np.float32]

_LOUDEST = 1e6  # beyond, no scale is meant and squares overflow
_FORMATS = {".wav": "WAV", ".flac": "FLAC"}

SAMPLE_RATE = 44100
"""Sample rate in Hz of everything that photone makes."""


@dataclass(frozen=True, eq=False)
class Audio:
    """A sound: float32 samples of shape (channels, frames), full scale at +-1, and a sample rate in Hz.

    The samples are made contiguous and read-only. A mono sound may be given with shape (frames,).

    Raises:
        AudioError: the shape is wrong, or a sample is not a finite number.
    """

    samples: Samples
    sample_rate: int

    def __post_init__(self) -> None:
        samples = np.array(self.samples, dtype=np.float32, ndmin=2, order="C", copy=True)
        if samples.ndim != 2:
            raise AudioError(f"sound of shape {samples.shape}: expected (channels, frames)")
        if not np.isfinite(samples).all():
            raise AudioError("sound holds a sample that is not a finite number")
        if self.sample_rate <= 0:
            raise AudioError(f"sample rate {self.sample_rate}: expected a positive number of Hz")
        samples.flags.writeable = False
        object.__setattr__(self, "samples", samples)

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def frames(self) -> int:
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate

    @property
    def peak(self) -> float:
        """Largest absolute sample, 0 for an empty sound."""
        return float(np.max(np.abs(self.samples), initial=0.0))

    def mono(self) -> Samples:
        """Mean of the channels, shape (frames,), writable."""
        return np.asarray(self.samples.mean(axis=0, dtype=np.float32))

    def resampled(self, sample_rate: int) -> Audio:
        """The same sound at another sample rate in Hz (soxr, very high quality)."""
        if sample_rate == self.sample_rate:
            return self
        samples = soxr.resample(self.samples.T, self.sample_rate, sample_rate, quality="VHQ")
        return Audio(samples.T, sample_rate)

    def scaled(self, gain: float) -> Audio:
        """The same sound with every sample multiplied by `gain`."""
        return Audio(self.samples * np.float32(gain), self.sample_rate)


def read_audio(path: Path) -> Audio:
    """Read a sound file (WAV, FLAC, Ogg, MP3; any rate, any number of channels).

    Raises:
        AudioError: the file is missing, empty or not a sound that libsndfile can read.
    """
    if not path.is_file():
        what = "is a folder, not a sound file" if path.is_dir() else "no such sound file"
        raise AudioError(f"{path}: {what}: check the path")
    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise AudioError(f"{path}: not a sound that can be read ({error}): convert it to WAV or FLAC") from error
    if not len(samples):
        raise AudioError(f"{path}: holds no sound: record or export it again")
    samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(np.abs(samples).max())
    if peak > _LOUDEST:
        raise AudioError(
            f"{path}: its samples reach {peak:.0e}, where 1 is full scale: lower its gain and export it again"
        )
    return Audio(samples.T, int(sample_rate))


def write_audio(path: Path, audio: Audio, subtype: str = "PCM_24") -> None:
    """Write a WAV (or, by the name's ending, FLAC) file under a temporary name and move it into place.

    The same sound gives the same bytes. Samples beyond full scale are an error, never clipped.

    Raises:
        AudioError: the sound would clip.
        OutputError: the folder cannot be written to.
    """
    if audio.peak > 1.0:
        raise AudioError(f"{path.name}: peak {audio.peak:.3f} is beyond full scale: lower the gain before writing")
    with atomic_path(path) as temporary, sound_file_errors():
        soundfile.write(temporary, audio.samples.T, audio.sample_rate, subtype=subtype, format=_FORMATS[path.suffix])


@contextmanager
def sound_file_errors() -> Iterator[None]:
    """Turn libsndfile's failure to write into the `OSError` that lies behind it (it keeps no errno of its own)."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise OSError(errno.ENOSPC, f"libsndfile: {error}") from error
