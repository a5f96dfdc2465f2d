"""A corpus in memory, and random crops of it, cut and varied on the device: no worker processes, no files while training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.audio import read_audio
from core.errors import UsageError
from core.seeds import derive_seed, generator
from phase2_music.timbre.corpus import damaged_notes, read_corpus
from phase2_music.timbre.train.options import TrainingOptions
from schemas.timbre import Corpus, Split

_FULL_SCALE = 32767.0
_TAPS = 8
_PHASES = 1024
_MANGLE_TAIL = 4096  # frames by which the all-pass's impulse response has fallen by 350 dB
_MANGLE_RADIUS = 0.99  # of its poles; with a frequency of 20 to 2000 Hz this is RAVE's own augmentation
_MANGLE_HZ = (20.0, 2000.0)


@dataclass(frozen=True, eq=False)
class Notes:
    """Notes of one split behind each other: `samples` int16 of shape (frames,) on the device, and where each note lies."""

    samples: Tensor
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Draw:
    """What is drawn for each crop of a batch, all of shape (B,).

    `begin` is the first frame within the note, which may lie before it; `ratio` the speed; `gain` a factor; `angle` the
    all-pass's frequency in radians per frame, 0 for none.
    """

    note: npt.NDArray[np.int64]
    begin: npt.NDArray[np.int64]
    ratio: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    angle: npt.NDArray[np.float64]


def load_corpus(folder: Path) -> Corpus:
    """Read a corpus and make sure that its files are those of its manifest and that it can train and validate.

    Raises:
        UsageError: it is not finished, a file is lost or changed, or it has no note to train or to validate with.
    """
    corpus = read_corpus(folder)
    damaged = damaged_notes(folder, corpus)
    if damaged:
        raise UsageError(
            f"{folder / damaged[0]}: is lost or changed: make the corpus again with `photone train corpus`"
        )
    for split in ("train", "valid"):
        if not any(note.split == split for note in corpus.notes):
            raise UsageError(f"{folder}: has no note in its split {split!r}: make a larger corpus")
    return corpus


def load_notes(folder: Path, corpus: Corpus, split: Split, device: torch.device) -> Notes:
    """Read all notes of a split into the device's memory (two bytes a frame)."""
    sounds = [read_audio(folder / note.file).samples[0] for note in corpus.split(split)]
    lengths = np.array([len(sound) for sound in sounds], dtype=np.int64)
    samples = np.round(np.concatenate(sounds) * _FULL_SCALE).astype(np.int16)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return Notes(torch.from_numpy(samples).to(device), starts, lengths)


def draw(notes: Notes, options: TrainingOptions, sample_rate: int, step: int) -> Draw:
    """Draw one step's crops: always the same for a seed and a step, so a training that is taken up again goes on alike.

    A crop may begin an eighth of its length before the note and end half of it behind: onsets and endings belong to a note.
    """
    rng = generator(options.seed, "crops", step)
    note = rng.integers(len(notes.lengths), size=options.batch)
    early, late = -(options.crop // 8), np.maximum(notes.lengths[note] - options.crop // 2, 1)
    cents = rng.uniform(-1.0, 1.0, options.batch) * options.detune_cents
    low, high = (math.log(hz) for hz in _MANGLE_HZ)
    angle = 2 * np.pi * np.exp(rng.uniform(low, high, options.batch)) / sample_rate
    return Draw(
        note=note,
        begin=rng.integers(early, late),
        ratio=2.0 ** (cents / 1200.0),
        gain=10.0 ** (-rng.uniform(0.0, 1.0, options.batch) * options.quieter_db / 20.0),
        angle=np.where(rng.random(options.batch) < options.mangle_share, angle, 0.0),
    )


def batch(notes: Notes, options: TrainingOptions, sample_rate: int, step: int) -> Tensor:
    """One step's crops, float32 of shape (B, 1, crop), on the device."""
    drawn = draw(notes, options, sample_rate, step)
    device = notes.samples.device
    sound = _crops(notes, drawn, options.crop)
    angle = torch.from_numpy(drawn.angle).to(device, torch.float32)
    sound = _mangled(sound, angle) * torch.from_numpy(drawn.gain).to(device, torch.float32)[:, None]
    # Silence would divide the relative spectral distance by zero; half a step of 16 bits is not heard.
    noise = torch.Generator(device).manual_seed(derive_seed(options.seed, "dither", step))
    return (sound + (torch.rand(sound.shape, generator=noise, device=device) - 0.5) / _FULL_SCALE)[:, None]


def validation_batch(notes: Notes, options: TrainingOptions) -> Tensor:
    """The beginnings of some notes, evenly chosen, as they are: float32 of shape (notes, 1, crop)."""
    count = min(options.validation_notes, len(notes.lengths))
    note = np.linspace(0, len(notes.lengths) - 1, count).round().astype(np.int64)
    drawn = Draw(note, np.zeros(count, dtype=np.int64), np.ones(count), np.ones(count), np.zeros(count))
    return _crops(notes, drawn, options.crop)[:, None]


def _crops(notes: Notes, drawn: Draw, frames: int) -> Tensor:
    """Crops read at their speed, shape (B, frames), zero outside the note.

    Between samples a windowed sinc of eight points interpolates. The position is split into a whole number and the drift
    that the speed adds, because float32 could not hold their sum precisely.
    """
    device = notes.samples.device
    begin, start, length = (
        torch.from_numpy(values).to(device)[:, None, None]
        for values in (drawn.begin, notes.starts[drawn.note], notes.lengths[drawn.note])
    )
    frame = torch.arange(frames, device=device)
    drift = frame[None] * (torch.from_numpy(drawn.ratio).to(device)[:, None] - 1.0)
    whole = torch.floor(drift)
    phase = ((drift - whole) * _PHASES).long().clamp(max=_PHASES - 1)
    taps = torch.arange(_TAPS, device=device) - (_TAPS // 2 - 1)
    at = begin + (frame[None] + whole.long())[:, :, None] + taps
    inside = (at >= 0) & (at < length)
    values = notes.samples[(start + at).clamp(0, len(notes.samples) - 1)] * inside
    return (values * _kernels(device)[phase]).sum(-1) / _FULL_SCALE


def _kernels(device: torch.device) -> Tensor:
    """Windowed sincs for fractions of a frame, shape (_PHASES, _TAPS); the one for 0 takes the sample itself."""
    fraction = torch.arange(_PHASES, dtype=torch.float64)[:, None] / _PHASES
    distance = torch.arange(_TAPS, dtype=torch.float64) - (_TAPS // 2 - 1) - fraction
    window = torch.cos(math.pi * distance / (_TAPS + 1)) ** 2
    kernels = torch.sinc(distance) * window
    return (kernels / kernels.sum(1, keepdim=True)).to(device, torch.float32)


def _mangled(sound: Tensor, angle: Tensor) -> Tensor:
    """Sound of shape (B, T) through an all-pass of second order with its poles at `angle` (B,); 0 leaves a crop alone.

    H(z) = (r^2 - 2 r cos(w) / z + 1 / z^2) / (1 - 2 r cos(w) / z + r^2 / z^2): what was flat stays flat, and the phase around
    w is turned, so a model cannot learn waveforms by heart. By multiplication of spectra, long enough not to wrap.
    """
    length = sound.shape[-1] + _MANGLE_TAIL
    turn = torch.exp(-2j * math.pi * torch.arange(length // 2 + 1, device=sound.device) / length)
    middle = (-2 * _MANGLE_RADIUS * torch.cos(angle))[:, None]
    square = _MANGLE_RADIUS**2
    response = (square + middle * turn + turn**2) / (1 + middle * turn + square * turn**2)
    turned = torch.fft.irfft(torch.fft.rfft(sound, length) * response, length)[:, : sound.shape[-1]]
    return torch.where(angle[:, None] > 0, turned, sound)
