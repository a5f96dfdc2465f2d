"""The few building blocks that the recipes share: noise, envelopes, grains, resonators, placing in the stereo
field.

Signals are float64 arrays of shape (frames,) or (2, frames) at `RATE`. Random ones take the generator they
draw from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

from core.audio import SAMPLE_RATE

RATE = SAMPLE_RATE
Signal = npt.NDArray[np.float64]
DB_PER_DOUBLING = 6.0206


def frames_of(seconds: float) -> int:
    """Number of frames in a duration in seconds, at least 1."""
    return max(1, round(seconds * RATE))


def clock(frames: int) -> Signal:
    """Time in seconds of each frame, shape (frames,)."""
    return np.arange(frames) / RATE


def noise(rng: np.random.Generator, frames: int, low_hz: float, high_hz: float, slope_db: float = 0.0) -> Signal:
    """Gaussian noise of RMS 1 between two soft edges (12 dB/octave), `slope_db` dB per octave in between.

    Drawn in the frequency domain, where a power law is exact: pink is -3, brown is -6.
    """
    length = fft.next_fast_len(frames, real=True)
    freqs = np.maximum(fft.rfftfreq(length, 1 / RATE), 1.0)
    gain = freqs ** (slope_db / DB_PER_DOUBLING) if slope_db else np.ones_like(freqs)
    gain /= np.sqrt((1 + (low_hz / freqs) ** 4) * (1 + (freqs / high_hz) ** 4))
    gain[0] = 0.0
    parts = rng.standard_normal((2, len(freqs)), dtype=np.float32)
    spectrum = (gain * (parts[0] + 1j * parts[1])).astype(np.complex64)
    result = fft.irfft(spectrum, length)[:frames].astype(np.float64)
    return np.asarray(result / max(float(np.sqrt(np.mean(result**2))), 1e-12))


def stereo_noise(
    rng: np.random.Generator,
    frames: int,
    low_hz: float,
    high_hz: float,
    slope_db: float = 0.0,
    width: float = 0.7,
) -> Signal:
    """Two channels of noise, shape (2, frames), whose correlation is 1 - `width`: never negative, so mono
    keeps it.
    """
    shared, left, right = (noise(rng, frames, low_hz, high_hz, slope_db) for _ in range(3))
    return np.asarray(np.sqrt(1 - width) * shared + np.sqrt(width) * np.stack([left, right]))


def narrow_noise(rng: np.random.Generator, centre_hz: Signal, bandwidth_hz: float) -> Signal:
    """Noise in a band that moves: low-pass noise carried by an oscillator. `centre_hz` has shape (frames,),
    RMS is 1.
    """
    phase = 2 * np.pi * np.cumsum(centre_hz) / RATE
    in_phase, quadrature = (noise(rng, len(phase), 1.0, bandwidth_hz / 2) for _ in range(2))
    return np.asarray(in_phase * np.cos(phase) - quadrature * np.sin(phase))


def wander(rng: np.random.Generator, frames: int, rate_hz: float) -> Signal:
    """A slow smooth random curve in 0..1 that takes a new direction about `rate_hz` times a second."""
    points = rng.random(int(frames / RATE * rate_hz) + 3)
    position = np.arange(frames) * (rate_hz / RATE) + rng.random()
    whole = position.astype(np.int64)
    blend = 0.5 - 0.5 * np.cos(np.pi * (position - whole))
    return np.asarray(points[whole] * (1 - blend) + points[whole + 1] * blend)


def breakpoints(frames: int, times_s: Sequence[float], values: Sequence[float]) -> Signal:
    """A curve through (time in seconds, value) points, straight between them, shape (frames,)."""
    return np.interp(clock(frames), times_s, values)


def bump(frames: int, centre_s: float, width_s: float) -> Signal:
    """A Gaussian hump of height 1; `width_s` is its standard deviation."""
    return np.asarray(np.exp(-0.5 * ((clock(frames) - centre_s) / width_s) ** 2))


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> Signal:
    """Numbers between two bounds, every octave as likely as any other, shape (count,)."""
    return np.asarray(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), count)))


def sampled(curve: Signal, times_s: Signal) -> Signal:
    """Values of a curve of shape (frames,) at given times in seconds."""
    return np.asarray(curve[np.minimum((times_s * RATE).astype(np.int64), len(curve) - 1)])


def poisson_times(rng: np.random.Generator, rate_hz: float, duration_s: float) -> Signal:
    """Sorted times in seconds of independent events, about `rate_hz` a second."""
    return np.sort(rng.random(rng.poisson(rate_hz * duration_s)) * duration_s)


def beat_times(
    rng: np.random.Generator, rate_hz: float, duration_s: float, irregularity: float, start_s: float = 0.02
) -> tuple[float, ...]:
    """Times in seconds of beats: even ones, each moved by a normal error of `irregularity` periods."""
    count = max(1, int((duration_s - start_s) * rate_hz))
    times = start_s + (np.arange(count) + irregularity * rng.standard_normal(count).clip(-2, 2)) / rate_hz
    return tuple(float(t) for t in np.sort(times.clip(start_s, max(start_s, duration_s - 0.05))))


def uneven(rng: np.random.Generator, times_s: Signal, error_s: float) -> Signal:
    """Sorted times in seconds, each but the first moved by a normal error of `error_s`, none before the first."""
    if error_s == 0 or not len(times_s):
        return times_s
    errors = error_s * rng.standard_normal(len(times_s)).clip(-1.5, 1.5)
    errors[:1] = 0.0
    return np.sort((times_s + errors).clip(times_s[0], None))


def impulses(frames: int, times_s: Sequence[float] | Signal, gains: Sequence[float] | Signal) -> Signal:
    """Single samples of the given gains at the given times; those past the end are left out."""
    places = np.round(np.asarray(times_s, dtype=np.float64) * RATE).astype(np.int64)
    inside = (places >= 0) & (places < frames)
    weights = np.asarray(gains, dtype=np.float64)[inside]
    return np.bincount(places[inside], weights=weights, minlength=frames)[:frames].astype(np.float64)


def add_grains(frames: int, times_s: Signal, grains: Signal) -> Signal:
    """Sum of short sounds, `grains` of shape (events, length), each begun at its time; tails past the end are
    cut.
    """
    starts = np.round(times_s * RATE).astype(np.int64)
    places = starts[:, None] + np.arange(grains.shape[1])
    flat = np.where((places >= 0) & (places < frames), places, frames).ravel()
    return np.bincount(flat, weights=grains.ravel(), minlength=frames + 1)[:frames].astype(np.float64)


def decaying_sines(freqs_hz: Signal, decays: Signal, gains: Signal, length: int, rise: Signal | float = 0.0) -> Signal:
    """Grains g exp(-d t) sin(2 pi f t (1 + rise t)), shape (events, length); `decays` and `rise` in 1/s."""
    t = clock(length)
    growth = np.broadcast_to(np.asarray(rise, dtype=np.float64), freqs_hz.shape)[:, None] * t
    phase = 2 * np.pi * freqs_hz[:, None] * t * (1 + growth)
    return np.asarray(gains[:, None] * np.exp(-decays[:, None] * t) * np.sin(phase))


def resonator(excitation: Signal, freq_hz: float, decay: float, gain: float = 1.0) -> Signal:
    """One mode: an impulse of 1 rings as gain exp(-decay t) sin(2 pi f t).

    With r = exp(-decay / rate) and w = 2 pi f / rate, the impulse response of sin(w) / (1 - 2 r cos(w) z^-1 +
    r^2 z^-2) is r^n sin((n + 1) w).
    """
    r, w = np.exp(-decay / RATE), 2 * np.pi * freq_hz / RATE
    result: Signal = signal.lfilter([gain * np.sin(w)], [1.0, -2 * r * np.cos(w), r * r], excitation)
    return result


def band(sound: Signal, freq_hz: float, bandwidth_hz: float) -> Signal:
    """A band-pass with gain 1 at its centre (constant peak gain, zeros at 0 and half the rate)."""
    r = np.exp(-np.pi * bandwidth_hz / RATE)
    w = 2 * np.pi * freq_hz / RATE
    gain = (1 - r * r) / 2
    result: Signal = signal.lfilter([gain, 0.0, -gain], [1.0, -2 * r * np.cos(w), r * r], sound)
    return result


def low_pass(sound: Signal, cutoff_hz: float) -> Signal:
    """First-order low-pass (6 dB/octave) along the last axis."""
    b, a = signal.butter(1, min(cutoff_hz, 0.45 * RATE), fs=RATE)
    result: Signal = signal.lfilter(b, a, sound, axis=-1)
    return result


def high_pass(sound: Signal, cutoff_hz: float) -> Signal:
    """Second-order Butterworth high-pass along the last axis."""
    sections = signal.butter(2, cutoff_hz, "highpass", fs=RATE, output="sos")
    result: Signal = signal.sosfilt(sections, sound, axis=-1)
    return result


def tilt_eq(sound: Signal, gain_db: float, pivot_hz: float = 1000.0) -> Signal:
    """Lift everything above the pivot by `gain_db` and lower everything below by as much, with a first-order
    slope.

    H(s) = (g s + w0) / (s + g w0) has gain 1 / g at 0, 1 at w0 and g far above; the bilinear transform keeps
    the pivot.
    """
    g, k = 10 ** (gain_db / 20), np.tan(np.pi * pivot_hz / RATE)
    b = [g + k, k - g]
    a = [1 + g * k, g * k - 1]
    result: Signal = signal.lfilter(b, a, sound, axis=-1)
    return result


def pulse_train(phase: Signal, sharpness: float) -> Signal:
    """One smooth pulse per cycle without aliasing: exp(k (cos(phase) - 1)) less its mean; k ~ (harmonics /
    2)^2.
    """
    pulses = np.exp(sharpness * (np.cos(phase) - 1))
    result: Signal = pulses - pulses.mean()
    return result


def phase_of(freq_hz: Signal) -> Signal:
    """Phase in radians of an oscillator with the given frequency curve, shape (frames,)."""
    return 2 * np.pi * np.cumsum(freq_hz) / RATE


def panned(sound: Signal, pan: float | Signal) -> Signal:
    """Constant-power placing of a mono sound, shape (2, frames); pan -1 left, 1 right."""
    angle = (np.asarray(pan) + 1) * np.pi / 4
    return np.stack([np.cos(angle) * sound, np.sin(angle) * sound])


def spread(first: Signal, second: Signal, bleed: float = 0.45) -> Signal:
    """Two independent mono sounds as the sides of a stereo picture that sums well, shape (2, frames)."""
    return np.asarray(np.stack([first + bleed * second, second + bleed * first]) / np.hypot(1.0, bleed))


def raised_cosine(width_s: float) -> Signal:
    """One contact pulse of area 1 frame: (1 - cos) over `width_s`, shape (at least 2,)."""
    count = max(2, round(width_s * RATE))
    pulse = 1 - np.cos(2 * np.pi * (np.arange(count) + 0.5) / count)
    return np.asarray(pulse / pulse.sum())


def unit(sound: Signal) -> Signal:
    """The sound at a peak of 1; silence stays silence."""
    peak = float(np.max(np.abs(sound), initial=0.0))
    return sound / peak if peak > 0 else sound
