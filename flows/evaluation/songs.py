"""`photone eval songs`: scores played by a band, and what a listener and a mastering engineer would say of the songs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from core.audio import SAMPLE_RATE, Samples
from core.loudness import LoudnessMeter, TruePeakMeter, to_db
from flows.runs.songs import SongOptions, render
from phase2_music.rendering.encoding import sum_error_dbfs
from phase2_music.scores import find_score
from schemas.document import MELODIC_ROLES
from schemas.song import Song

Floats = npt.NDArray[np.float64]

OCTAVE_HZ = 1000.0 * 2.0 ** np.arange(-4.0, 4.0)
"""Centres of the octaves from 63 Hz to 8 kHz."""
SLOPE_DB = -4.5

_CHROMA_RATE = 22050
_CHROMA_START_S, _CHROMA_LENGTH_S = 10.0, 60.0
_BLOCK_FRAMES = 1 << 18
_SILENCE_DB = -200.0  # stands for -inf, which JSON has not


@dataclass(frozen=True)
class SongFigures:
    """What was measured of one song.

    `stem_range_lu`: loudest stem over the softest. `line_db`: largest distance of an octave band's level from a line that
    falls by 4.5 dB per octave; `density_line_db`: the same of the octaves' mean density (which falls by 3 dB more than the
    bands do; authors mean either). `residue_db`: peak of the mix less its stems and reverb, in dBFS. `chroma`: correlation
    of the melodic stems' chroma with the score's own; `peer_chroma` that of a General MIDI soundfont, None without one.
    """

    score: str
    duration_s: float
    loudness_lufs: float
    true_peak_dbtp: float
    crest_db: float
    stem_range_lu: float
    line_db: float
    density_line_db: float
    residue_db: float
    chroma: float
    peer_chroma: float | None


TARGETS: dict[str, tuple[float, float]] = {
    "loudness_lufs": (-14.5, -13.5),
    "true_peak_dbtp": (-math.inf, -1.0),
    "crest_db": (8.0, 16.0),
    "stem_range_lu": (0.0, 10.0),
    "line_db": (0.0, 8.0),
    "density_line_db": (0.0, 8.0),
    "residue_db": (-math.inf, -100.0),
    "chroma": (0.75, 1.0),
}
"""What every song is to keep to: least and most."""


def missed(figures: SongFigures) -> list[str]:
    """The names of the targets that a song misses."""
    values = asdict(figures)
    misses = [name for name, (least, most) in TARGETS.items() if not least <= values[name] <= most]
    # Some scores' harmony gives no soundfont the full figure: where a peer was measured, reaching it is enough.
    if figures.peer_chroma is not None and figures.chroma >= figures.peer_chroma:
        misses = [name for name in misses if name != "chroma"]
    return misses


def evaluate_songs(
    instruments: Path,
    scores: Sequence[str],
    out: Path,
    peer: Path | None = None,
    report: Callable[[str], None] = lambda score: None,
) -> list[SongFigures]:
    """Play scores with a band into folders of `out` and measure the songs; `peer` is a General MIDI SF2 for comparison.

    Raises:
        InstrumentError, ScoreError: as `photone render`.
    """
    found = []
    for score in scores:
        report(score)
        folder = out / Path(score).stem
        song = render(instruments, SongOptions(score), folder)
        found.append(measure_song(folder, song, find_score(score), peer))
    return found


def measure_song(folder: Path, song: Song, score: Path, peer: Path | None = None) -> SongFigures:
    """Measure a song in its folder."""
    stems = {stem.role: folder / stem.file for stem in song.stems}
    assert song.file is not None
    mix = folder / song.file
    parts = [*stems.values(), *([folder / song.reverb.file] if song.reverb else [])]
    levels = [_loudness(path) for path in stems.values()]
    audible = [level for level in levels if math.isfinite(level)]
    bands, density = _octave_levels(mix)
    return SongFigures(
        score=score.stem,
        duration_s=round(song.duration_s, 2),
        loudness_lufs=round(_loudness(mix), 2),
        true_peak_dbtp=round(_true_peak(mix), 2),
        crest_db=round(_crest(mix), 2),
        stem_range_lu=round(max(audible) - min(audible), 2),
        line_db=round(_off_the_line(bands), 2),
        density_line_db=round(_off_the_line(density), 2),
        residue_db=round(max(_SILENCE_DB, sum_error_dbfs(parts, mix)), 1),
        chroma=round(chroma_correlation(melodic_mix([stems[r] for r in MELODIC_ROLES if r in stems]), score), 3),
        peer_chroma=None if peer is None else round(chroma_correlation(_peer_mix(score, peer), score), 3),
    )


def _blocks(path: Path) -> Any:
    return soundfile.blocks(path, _BLOCK_FRAMES, dtype="float32", always_2d=True)


def _loudness(path: Path) -> float:
    meter = LoudnessMeter(SAMPLE_RATE, 2)
    for block in _blocks(path):
        meter.add(block)
    return meter.integrated_lufs()


def _true_peak(path: Path) -> float:
    meter = TruePeakMeter(2)
    for block in _blocks(path):
        meter.add(block)
    return meter.true_peak_dbtp()


def _crest(path: Path) -> float:
    peak = power = frames = 0.0
    for block in _blocks(path):
        peak = max(peak, float(np.abs(block).max()))
        power += float(np.sum(block.astype(np.float64) ** 2)) / 2
        frames += len(block)
    return to_db(peak) - to_db(math.sqrt(power / frames))


def _octave_levels(path: Path) -> tuple[Floats, Floats]:
    """Level of each octave band, and mean density in each, in dB, shape (octaves,)."""
    n_fft = 8192
    power = np.zeros(n_fft // 2 + 1)
    for block in _blocks(path):
        mono: Samples = block[: len(block) // n_fft * n_fft].T.reshape(2, -1, n_fft)
        power += np.sum(np.abs(np.fft.rfft(mono * np.hanning(n_fft), axis=2)) ** 2, axis=(0, 1))
    frequency = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)
    inside = [(frequency >= hz / math.sqrt(2)) & (frequency < hz * math.sqrt(2)) for hz in OCTAVE_HZ]
    sums = np.array([power[band].sum() for band in inside])
    means = np.array([power[band].mean() for band in inside])
    return 10 * np.log10(np.maximum(sums, 1e-20)), 10 * np.log10(np.maximum(means, 1e-20))


def _off_the_line(levels_db: Floats) -> float:
    """Largest distance from the line of the given slope that lies best among the levels."""
    away = levels_db - SLOPE_DB * np.arange(len(levels_db))
    return float((away.max() - away.min()) / 2)


def melodic_mix(stems: Sequence[Path]) -> Samples:
    """The sum of stems, mono at 22,050 Hz, shape (frames,)."""
    import librosa

    return np.asarray(np.sum([librosa.load(path, sr=_CHROMA_RATE)[0] for path in stems], axis=0))


def _melodic_score(score: Path) -> Any:
    with redirect_stdout(StringIO()):  # it imports pyfluidsynth, which prints when CI is set
        import pretty_midi

    midi = pretty_midi.PrettyMIDI(str(score))
    midi.instruments = [instrument for instrument in midi.instruments if not instrument.is_drum]
    return midi


def _peer_mix(score: Path, soundfont: Path) -> Samples:
    """The melodic parts played by a General MIDI soundfont, through pretty_midi."""
    return np.asarray(_melodic_score(score).fluidsynth(_CHROMA_RATE, str(soundfont)), dtype=np.float32)


def chroma_correlation(sound: Samples, score: Path) -> float:
    """Mean correlation, over frames with notes, between a sound's CQT chroma and its score's own.

    `sound` is mono at 22,050 Hz, shape (frames,). 60 s from 10 s on are taken (from the beginning where the song is shorter),
    as the figures of other renderers were.
    """
    import librosa

    start_s = _CHROMA_START_S if len(sound) > 2 * _CHROMA_START_S * _CHROMA_RATE else 0.0
    first = round(start_s * _CHROMA_RATE)
    heard_part = sound[first : first + round(_CHROMA_LENGTH_S * _CHROMA_RATE)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a short song has fewer frames than the lowest octave's window
        heard = librosa.feature.chroma_cqt(y=heard_part, sr=_CHROMA_RATE, n_octaves=6)
    heard = heard - heard.min(axis=0)
    written = _melodic_score(score).get_chroma(times=start_s + librosa.times_like(heard, sr=_CHROMA_RATE))
    columns = [
        np.corrcoef(a, b)[0, 1]
        for a, b in zip(heard.T, written.T, strict=False)
        if b.any() and a.std() > 0 and b.std() > 0
    ]
    return float(np.mean(columns)) if columns else 0.0


_COLUMNS = (
    ("LUFS", "loudness_lufs"),
    ("dBTP", "true_peak_dbtp"),
    ("crest dB", "crest_db"),
    ("stems LU", "stem_range_lu"),
    ("line dB", "line_db"),
    ("density dB", "density_line_db"),
    ("residue dBFS", "residue_db"),
    ("chroma", "chroma"),
    ("peer", "peer_chroma"),
)


def as_table(songs: Sequence[SongFigures]) -> str:
    """One line a song; a star marks what misses its target."""
    head = f"{'score':16} {'s':>7} " + " ".join(f"{title:>13}" for title, _ in _COLUMNS)
    rows = [head]
    for song in songs:
        values, misses = asdict(song), missed(song)
        cells = (
            "-" if values[name] is None else f"{values[name]:.2f}{'*' if name in misses else ' '}"
            for _, name in _COLUMNS
        )
        rows.append(f"{song.score:16} {song.duration_s:7.1f} " + " ".join(f"{cell:>13}" for cell in cells))
    limits = (f"{name} {least:g}..{most:g}" for name, (least, most) in TARGETS.items())
    return "\n".join([*rows, "targets: " + ", ".join(limits)])
