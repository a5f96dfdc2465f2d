"""A drum kit out of one effect: the General MIDI percussion map 35-81, each piece cut and shaped from the effect's sound.

A piece is the sum of three parts, all of the effect's own stuff: its *grain* (texture without decay) filtered to a band and
given a decay, its *onset* played faster or slower and filtered, and a *body*: decaying modes whose levels follow the
effect's colour. The body is what a membrane or bar would answer when struck by the effect (Fletcher and Rossing, The
Physics of Musical Instruments, chapters 2, 3 and 18, for the mode ratios).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, signal

from core.audio import Audio
from core.loudness import from_db, loudness_lufs, normalise_loudness
from core.seeds import generator
from phase2_music.instruments.roles import CHOKES, RAMP_FRAMES
from phase2_music.timbre.analysis import BANDS_HZ, Floats, SoundModel

MEMBRANE = (1.0, 1.594, 2.136, 2.296, 2.653, 2.918)
BAR = (1.0, 2.756, 5.404, 8.933)
PLATE = (1.0, 1.48, 2.61, 3.27, 4.19, 5.66)

_BUSY_KEYS = {35, 36, 37, 38, 40, 42, 44, 46, 70}
_EVEN_S = 0.04  # a piece of a kit decays evenly over such stretches
_HIT_S = 0.2  # of a hit: what its loudness is heard in


@dataclass(frozen=True)
class Piece:
    """One piece of the kit.

    `body_hz`, `body_s` (T60), `drop` (octaves by which the body begins higher), `modes`; `lo_hz`, `hi_hz`, `grain_s` (T60) of
    the grain; the three gains; `bursts` repeats the beginning (claps, guiros) `burst_s` apart; `level_db` against the others.
    """

    key: int
    name: str
    body: float = 0.0
    body_hz: float = 100.0
    body_s: float = 0.2
    drop: float = 0.0
    modes: tuple[float, ...] = MEMBRANE
    grain: float = 0.0
    lo_hz: float = 200.0
    hi_hz: float = 8000.0
    grain_s: float = 0.1
    onset: float = 0.0
    onset_ratio: float = 1.0
    bursts: int = 1
    burst_s: float = 0.011
    level_db: float = 0.0

    @property
    def exclusive_class(self) -> int:
        """Number of the group whose pieces cut each other, 0 for none."""
        return next((n for n, (ringing, cut) in enumerate(CHOKES.items(), 1) if self.key in (ringing, *cut)), 0)

    @property
    def alternatives(self) -> int:
        """How many samples take turns: two for what is struck again and again."""
        return 2 if self.key in _BUSY_KEYS else 1


def _drum(key: int, name: str, hz: float, body_s: float, drop: float) -> Piece:
    return Piece(
        key, name, body=1.0, body_hz=hz, body_s=body_s, drop=drop, grain=0.25, lo_hz=hz, hi_hz=hz * 22,
        grain_s=body_s * 0.3, onset=0.5, onset_ratio=0.7,
    )  # fmt: skip


def _bar(key: int, name: str, hz: float, body_s: float) -> Piece:
    return Piece(
        key, name, body=1.0, body_hz=hz, body_s=body_s, modes=BAR, grain=0.15, lo_hz=hz, hi_hz=hz * 5, grain_s=0.03,
        onset=0.5, onset_ratio=1.5, level_db=-6.0,
    )  # fmt: skip


def _cymbal(key: int, name: str, lo_hz: float, grain_s: float, level_db: float, body: float = 0.1) -> Piece:
    return Piece(
        key, name, body=body, body_hz=lo_hz * 0.35, body_s=grain_s * 0.6, modes=PLATE, grain=1.0, lo_hz=lo_hz,
        hi_hz=16000.0, grain_s=grain_s, onset=0.3, onset_ratio=2.0, level_db=level_db,
    )  # fmt: skip


def _shaker(key: int, name: str, lo_hz: float, grain_s: float, bursts: int = 1, burst_s: float = 0.03) -> Piece:
    return Piece(
        key, name, grain=1.0, lo_hz=lo_hz, hi_hz=14000.0, grain_s=grain_s, onset=0.2, onset_ratio=2.0, bursts=bursts,
        burst_s=burst_s, level_db=-8.0,
    )  # fmt: skip


KIT: tuple[Piece, ...] = (
    replace(_drum(35, "Acoustic Bass Drum", 46.0, 0.5, 1.0), hi_hz=700.0),
    replace(_drum(36, "Bass Drum 1", 52.0, 0.38, 1.3), hi_hz=1500.0),
    _bar(37, "Side Stick", 420.0, 0.07),
    replace(_drum(38, "Acoustic Snare", 185.0, 0.16, 0.2), body=0.55, grain=1.0, lo_hz=350.0, hi_hz=9500.0, grain_s=0.24),
    Piece(39, "Hand Clap", grain=1.0, lo_hz=700.0, hi_hz=5200.0, grain_s=0.22, bursts=4, level_db=-3.0),
    replace(_drum(40, "Electric Snare", 215.0, 0.13, 0.3), body=0.5, grain=1.0, lo_hz=500.0, hi_hz=12000.0, grain_s=0.18),
    _drum(41, "Low Floor Tom", 82.0, 0.6, 0.4),
    _cymbal(42, "Closed Hi-Hat", 6500.0, 0.08, -8.0),
    _drum(43, "High Floor Tom", 98.0, 0.55, 0.4),
    _cymbal(44, "Pedal Hi-Hat", 5000.0, 0.06, -10.0),
    _drum(45, "Low Tom", 117.0, 0.5, 0.4),
    _cymbal(46, "Open Hi-Hat", 6000.0, 0.7, -8.0),
    _drum(47, "Low-Mid Tom", 139.0, 0.45, 0.4),
    _drum(48, "Hi-Mid Tom", 165.0, 0.4, 0.4),
    _cymbal(49, "Crash Cymbal 1", 2800.0, 2.0, -5.0),
    _drum(50, "High Tom", 196.0, 0.35, 0.4),
    _cymbal(51, "Ride Cymbal 1", 4200.0, 1.1, -9.0, body=0.35),
    _cymbal(52, "Chinese Cymbal", 1900.0, 1.3, -6.0),
    _cymbal(53, "Ride Bell", 3200.0, 0.9, -8.0, body=0.9),
    _shaker(54, "Tambourine", 5200.0, 0.16, bursts=2, burst_s=0.022),
    _cymbal(55, "Splash Cymbal", 3600.0, 0.7, -6.0),
    _bar(56, "Cowbell", 560.0, 0.28),
    _cymbal(57, "Crash Cymbal 2", 2300.0, 1.7, -5.0),
    _shaker(58, "Vibraslap", 2400.0, 0.1, bursts=10, burst_s=0.045),
    _cymbal(59, "Ride Cymbal 2", 3600.0, 1.2, -9.0, body=0.3),
    _drum(60, "Hi Bongo", 410.0, 0.14, 0.1),
    _drum(61, "Low Bongo", 305.0, 0.18, 0.1),
    _drum(62, "Mute Hi Conga", 255.0, 0.09, 0.1),
    _drum(63, "Open Hi Conga", 250.0, 0.28, 0.1),
    _drum(64, "Low Conga", 185.0, 0.32, 0.1),
    replace(_drum(65, "High Timbale", 340.0, 0.3, 0.1), grain=0.5, hi_hz=9000.0),
    replace(_drum(66, "Low Timbale", 255.0, 0.36, 0.1), grain=0.5, hi_hz=8000.0),
    _bar(67, "High Agogo", 910.0, 0.3),
    _bar(68, "Low Agogo", 680.0, 0.34),
    _shaker(69, "Cabasa", 4200.0, 0.09),
    _shaker(70, "Maracas", 5500.0, 0.05),
    Piece(71, "Short Whistle", body=1.0, body_hz=2350.0, body_s=0.25, modes=(1.0, 1.012), grain=0.3, lo_hz=1800.0,
          hi_hz=5000.0, grain_s=0.2, level_db=-8.0),
    Piece(72, "Long Whistle", body=1.0, body_hz=2350.0, body_s=0.9, modes=(1.0, 1.012), grain=0.3, lo_hz=1800.0,
          hi_hz=5000.0, grain_s=0.8, level_db=-8.0),
    _shaker(73, "Short Guiro", 2200.0, 0.03, bursts=6, burst_s=0.018),
    _shaker(74, "Long Guiro", 2200.0, 0.04, bursts=14, burst_s=0.026),
    _bar(75, "Claves", 2500.0, 0.09),
    _bar(76, "Hi Wood Block", 1150.0, 0.08),
    _bar(77, "Low Wood Block", 860.0, 0.09),
    _drum(78, "Mute Cuica", 480.0, 0.13, -0.5),
    _drum(79, "Open Cuica", 400.0, 0.3, -0.7),
    _bar(80, "Mute Triangle", 4300.0, 0.15),
    _bar(81, "Open Triangle", 4300.0, 1.6),
)  # fmt: skip


def best_model(models: Sequence[SoundModel], piece: Piece) -> SoundModel:
    """The effect that has most to say in a piece's register; the first where several have the same."""
    low, high = (piece.lo_hz, piece.hi_hz) if piece.grain >= 0.5 else (0.7 * piece.body_hz, 8.0 * piece.body_hz)
    inside = (low <= BANDS_HZ) & (high >= BANDS_HZ)
    return max(models, key=lambda model: float(np.mean(10 ** (model.colour_db[inside] / 20))))


def render_turns(model: SoundModel, piece: Piece, seed: int, turns: int, loudness: float) -> list[Audio]:
    """Hits of a piece that take turns, struck equally loud: all as the softest, which its peaks may hold back.

    Each as `render_piece` makes it. What rings on is drawn at random and would else be weighed against the stroke.
    """
    hits = [render_piece(model, piece, seed, turn, loudness) for turn in range(1, turns + 1)]
    if turns == 1:
        return hits
    strokes = [loudness_lufs(Audio(hit.samples[:, : round(_HIT_S * hit.sample_rate)], hit.sample_rate)) for hit in hits]
    return [hit.scaled(from_db(min(strokes) - stroke)) for hit, stroke in zip(hits, strokes, strict=True)]


def render_piece(model: SoundModel, piece: Piece, seed: int, turn: int, loudness_lufs: float) -> Audio:
    """One hit of a piece (another for each turn), mono, at a loudness in LUFS (plus its own level), peaks under -1 dBTP."""
    rng = generator(seed, "drum", piece.key, turn)
    rate = model.sample_rate
    longest = max(piece.body_s * (piece.body > 0), piece.grain_s * (piece.grain > 0), 0.06)
    spread = (piece.bursts - 1) * piece.burst_s
    frames = round((1.1 * longest + spread + 0.03) * rate)
    parts = [
        piece.body * _unit(_body(model, piece, frames)),
        piece.grain * _unit(_grain(model, piece, frames, rng)),
        piece.onset * _unit(_onset(model, piece, frames)),
    ]
    hit = np.sum(parts, axis=0)
    fade, rise = round(0.01 * rate), round(0.001 * rate)
    hit[-fade:] *= np.linspace(1.0, 0.0, fade)
    # Some players ramp a fresh voice over their first 64 frames, and none a re-struck one: the sample lets these pass in
    # silence and brings its own millisecond of rise, gentle enough for the sharpest grain.
    hit[:rise] *= np.sin(0.5 * np.pi * np.arange(rise) / rise) ** 4
    hit = np.concatenate([np.zeros(RAMP_FRAMES), hit])
    return normalise_loudness(Audio(hit.astype(np.float32), rate), loudness_lufs + piece.level_db, -1.0)


def _unit(samples: Floats) -> Floats:
    """Scale to a peak of one; silence stays silence."""
    peak = np.max(np.abs(samples), initial=0.0)
    return samples / peak if peak > 0 else samples


def _body(model: SoundModel, piece: Piece, frames: int) -> Floats:
    t = np.arange(frames) / model.sample_rate
    # The pitch falls back within a tenth of the decay: a struck membrane is stretched at first.
    octaves = piece.drop * np.exp(-t / (0.1 * piece.body_s))
    phase = 2 * np.pi * np.cumsum(2.0**octaves) / model.sample_rate * piece.body_hz
    ratios = np.array(piece.modes)
    level = 10 ** (0.35 * model.colour_at(ratios * piece.body_hz) / 20) / ratios
    decay = 6.91 / piece.body_s * ratios**0.7
    wave = np.sin(np.outer(ratios, phase)) * np.exp(-np.outer(decay, t))
    return np.asarray(level / level.max() @ wave * _ramp(t, 0.0008))


def _grain(model: SoundModel, piece: Piece, frames: int, rng: np.random.Generator) -> Floats:
    rate = model.sample_rate
    ring = model.texture(max(frames, rate // 2), rng)[:frames]
    hi_hz = min(piece.hi_hz, 0.45 * rate)
    band = signal.butter(2, [piece.lo_hz, hi_hz], "band", fs=rate, output="sos")
    # The texture may have nothing in the band: lean on white noise shaped by the grain's own envelope.
    envelope = np.abs(ring) + 0.1
    carrier = ring + 0.35 * rng.standard_normal(frames) * envelope
    noise = _even(signal.sosfilt(band, carrier), rate)
    t = np.arange(frames) / rate
    shape = np.zeros(frames)
    for burst in range(piece.bursts):
        since = t - burst * piece.burst_s
        last = burst == piece.bursts - 1
        fall = 6.91 / (piece.grain_s if last else min(piece.grain_s, 3 * piece.burst_s))
        shape = np.where(since >= 0, np.exp(-fall * np.maximum(since, 0.0)), shape)
    return np.asarray(noise * shape * _ramp(t, 0.0005))


def _even(noise: Floats, rate: int) -> Floats:
    """Noise of the same level all along: a knock within the texture would be heard as a second stroke. Grain finer than
    `_EVEN_S` stays."""
    power = ndimage.uniform_filter1d(noise**2, round(_EVEN_S * rate))
    return np.asarray(noise / np.sqrt(power + 0.003 * np.mean(power) + 1e-20))


def _onset(model: SoundModel, piece: Piece, frames: int) -> Floats:
    length = min(len(model.samples), round(0.06 * model.sample_rate * piece.onset_ratio))
    places = np.arange(0, length - 1, piece.onset_ratio)
    click = np.interp(places, np.arange(length), model.samples[:length])[:frames]
    click = click * np.linspace(1.0, 0.0, len(click)) ** 3
    if piece.lo_hz > 300.0:
        click = signal.sosfilt(signal.butter(1, piece.lo_hz * 0.5, "high", fs=model.sample_rate, output="sos"), click)
    return np.pad(np.asarray(click), (0, frames - len(click)))


def _ramp(t: Floats, attack_s: float) -> Floats:
    return np.minimum(1.0, t / attack_s)
