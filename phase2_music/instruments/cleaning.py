"""What does not belong to an effect is taken out before an instrument is made of it: DC, silence, hum and codec whine.

Hum and whine are told from music by one fact: they know nothing of the sound. Their lines keep one level from the first
moment to the last, in the quiet parts too, and far below the sound itself. A note begins, decays or carries most of the
power; whatever does so is left as it is, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, signal

from core.audio import Audio
from core.errors import AudioError
from core.loudness import from_db

Floats = npt.NDArray[np.float64]
Channels = npt.NDArray[np.float32]

LONGEST_S = 20.0
LEAD_S = 0.005
TAIL_S = 0.05
HUM_HZ = (50.0, 60.0)
WHINE_HZ = (80.0, 2000.0)

_SILENT = 1e-5
_BLOCK_S = 0.01
_WINDOW_S = 0.37
_SHORTEST_ANALYSED_S = 1.0
_TOLD_SILENCE_S = 1.0
_LINE_DB = 9.0
_REACH_HZ = 0.6
_STEADY_SHARE_DB = -10.0
_FAINTEST_DB = -90.0
_LOWERED_DB = 15.0
_SPREAD_S = (0.4, 0.2, 0.1)
_WEIGHT_SPREAD_S = 0.035


@dataclass(frozen=True)
class Cleaned:
    """A sound without what does not belong to it.

    Attributes:
        audio: same rate and channels as the sound given; one channel where they cancelled each other.
        trimmed_s: seconds cut from the front.
        removed: one sentence, for people, for each thing taken out.
    """

    audio: Audio
    trimmed_s: float
    removed: tuple[str, ...]


@dataclass(frozen=True)
class _Line:
    """A steady narrow line: frequency in Hz, power (its amplitude squared, halved), dB above the floor around it."""

    f_hz: float
    power: float
    prominence_db: float


@dataclass(frozen=True)
class _Comb:
    """Lines at whole multiples of `f0_hz`; `numbers` are the multiples at which a line was found."""

    f0_hz: float
    lines: tuple[_Line, ...]
    numbers: tuple[int, ...]

    @property
    def f_hz(self) -> Floats:
        return self.f0_hz * np.asarray(self.numbers, dtype=np.float64)


@dataclass(frozen=True)
class _Spectra:
    """Power over time, shape (frames, bins); a sine of amplitude a reads a squared at its peak; channels are added up.

    `frame_power` is the mean square of each frame, shape (frames,).
    """

    power: Floats
    frame_power: Floats
    bin_hz: float

    @property
    def loud_power(self) -> float:
        """Mean square of the loud parts: what nine frames in ten stay under."""
        return float(np.percentile(self.frame_power, 90))


def clean(sound: Audio) -> Cleaned:
    """Take out DC, silence around the sound, mains hum and the whine of a codec's frame rate.

    Where the channels cancel each other (a cable wired the wrong way round), the loudest one is kept: their mean is what
    instruments are made of.
    Of a sound longer than 20 s, the loudest 20 s that begin at an onset are kept. 5 ms stay before the first onset. Hum
    and whine are looked for in sounds of at least one second. Nothing is shifted in time; the same sound gives the same
    bytes.

    Raises:
        AudioError: the sound is silent.
    """
    offset = np.mean(sound.samples, axis=1, dtype=np.float64, keepdims=True) if sound.frames else np.zeros((1, 1))
    first, last = _loudest_window(sound, offset)
    samples = sound.samples[:, first:last] - offset.astype(np.float32)
    if np.max(np.abs(samples), initial=0.0) < _SILENT:
        raise AudioError("sound is silent: nothing can be made of it: choose another sound")
    removed = []
    if np.max(np.abs(offset)) >= 0.001:
        removed.append(f"DC offset of {float(offset.flat[np.argmax(np.abs(offset))]):.2g}")
    if last - first < sound.frames:
        removed.append(f"{sound.duration_s - LONGEST_S:.1f} s outside the loudest {LONGEST_S:.0f} s")
    if _cancels(samples):
        samples = samples[[int(np.argmax(np.einsum("cf,cf->c", samples, samples)))]]
        removed.append("channels that cancelled each other, but for the loudest")
    samples, sentences = _without_lines(samples, sound.sample_rate)
    start, end = _sounding_span(samples, sound.sample_rate, _BLOCK_S if first else 0.05)
    audio = Audio(samples[:, start:end], sound.sample_rate)
    if not first and start >= _TOLD_SILENCE_S * sound.sample_rate:
        removed.append(f"{start / sound.sample_rate:.1f} s of silence in front")
    return Cleaned(audio, (first + start) / sound.sample_rate, (*removed, *sentences))


def _cancels(samples: Channels) -> bool:
    """Whether the mean of the channels is 12 dB softer than they are: unrelated ones lose 3 dB in stereo, 8 in surround."""
    own = np.mean(np.square(samples), dtype=np.float64)
    return bool(np.mean(np.square(samples.mean(axis=0, dtype=np.float32)), dtype=np.float64) < own / 16.0)


# --- where the sound is -----------------------------------------------------------------------------------------------


def _block_level(samples: Channels, width: int, offset: Floats | float = 0.0) -> Floats:
    """RMS of each whole block of `width` frames less its channel's `offset`; copies nothing, however long the sound."""
    blocks = samples.shape[1] // width
    power = np.zeros(blocks)
    for channel, dc in zip(samples, np.broadcast_to(offset, (len(samples), 1))[:, 0], strict=True):
        whole = channel[: blocks * width].reshape(blocks, width)
        power += np.einsum("ij,ij->i", whole, whole) / width - 2.0 * dc * whole.mean(axis=1) + dc**2
    return np.asarray(np.sqrt(np.maximum(power, 0.0) / len(samples)))


def _loudest_window(sound: Audio, offset: Floats) -> tuple[int, int]:
    """First frame and end of what is kept: all, or the 20 s with the most energy among those that begin at an onset."""
    longest = round(LONGEST_S * sound.sample_rate)
    if sound.frames <= longest:
        return 0, sound.frames
    width = round(_BLOCK_S * sound.sample_rate)
    level = _block_level(sound.samples, width, offset)
    energy = np.concatenate([[0.0], np.cumsum(level**2)])
    starts = np.arange(len(level) - longest // width + 1)
    total = energy[starts + longest // width] - energy[starts]
    onsets = np.intersect1d(starts, _onset_blocks(level))
    best = int(onsets[np.argmax(total[onsets])]) if len(onsets) else int(np.argmax(total))
    first = max(0, best - 1) * width
    return first, min(sound.frames, first + longest)


def _onset_blocks(level: Floats) -> npt.NDArray[np.intp]:
    """Blocks 6 dB louder than each of the five before, no more than 40 dB under the loudest; the first too."""
    before = np.lib.stride_tricks.sliding_window_view(np.pad(level, (5, 0)), 5).max(axis=1)[:-1]
    return np.flatnonzero((level > 2.0 * before) & (level > 0.01 * level.max()))


def _sounding_span(samples: Channels, sample_rate: int, lead_s: float) -> tuple[int, int]:
    """From 5 ms before the first onset to 50 ms after the level last was 60 dB under its highest."""
    start = max(0, _first_onset(samples, sample_rate, lead_s) - round(LEAD_S * sample_rate))
    width = max(1, round(_BLOCK_S * sample_rate))
    level = _block_level(samples, width)
    if not len(level):
        return start, samples.shape[1]
    audible = np.flatnonzero(level > from_db(-60.0) * level.max())
    end = (int(audible[-1]) + 1) * width + round(TAIL_S * sample_rate)
    # Less than a block at the end has no level of its own.
    return start, samples.shape[1] if samples.shape[1] - end < width else end


def _first_onset(samples: Channels, sample_rate: int, lead_s: float) -> int:
    """Frame at which the sound first stands 40 dB under its loudest millisecond, or clear of the noise it begins with.

    The first `lead_s` count as noise when they lie 26 dB under the loudest millisecond; twice their level is asked.
    """
    width = max(1, round(0.001 * sample_rate))
    level = _block_level(samples, width)
    if not len(level):
        return 0
    loudest = level.max()
    noise = level[: max(1, round(lead_s * sample_rate) // width)].max()
    enough = max(2.0 * noise, from_db(-40.0) * loudest)
    if enough > from_db(-20.0) * loudest:
        enough = from_db(-40.0) * loudest
    return int(np.argmax(level >= enough)) * width


# --- steady lines -----------------------------------------------------------------------------------------------------


def _without_lines(samples: Channels, sample_rate: int) -> tuple[Channels, list[str]]:
    """The sound without mains hum and whine, and a sentence for each comb of lines that was taken out."""
    sounding = np.flatnonzero(np.max(np.abs(samples), axis=0) > 0.1 * _SILENT)
    inside = slice(int(sounding[0]), int(sounding[-1]) + 1)
    if sounding[-1] - sounding[0] < _SHORTEST_ANALYSED_S * sample_rate:
        return samples, []
    spectra = _spectra(samples[:, inside], sample_rate)
    combs = _combs(spectra)
    if not combs:
        return samples, []
    lower, sentences = samples[:, inside], []
    for comb in combs:
        lowered = _lowered(lower, sample_rate, comb)
        if lowered:
            lower, comb = lowered
            sentences.append(_sentence(comb))
    samples = samples.copy()
    samples[:, inside] = lower
    return samples, sentences


def _sentence(comb: _Comb) -> str:
    if comb.f0_hz < WHINE_HZ[0]:
        harmonics = len(comb.numbers) - (1 in comb.numbers)
        return f"mains hum at {round(comb.f0_hz, 1):g} Hz and {harmonics} harmonic{'s' * (harmonics > 1)}"
    highest = max(line.prominence_db for line in comb.lines)
    return (
        f"whine at multiples of {comb.f0_hz:.1f} Hz ({len(comb.lines)} lines, up to {highest:.0f} dB above the floor)"
    )


def _spectra(samples: Channels, sample_rate: int) -> _Spectra:
    size = fft.next_fast_len(round(_WINDOW_S * sample_rate), real=True)
    window = signal.get_window("hann", size).astype(np.float32)
    power = frame_power = 0.0
    for channel in samples:
        frames = np.lib.stride_tricks.sliding_window_view(channel, size)[:: size // 2] * window
        spectrum = fft.rfft(frames, axis=1)
        power = power + (spectrum.real.astype(np.float64) ** 2 + spectrum.imag.astype(np.float64) ** 2)
        frame_power = frame_power + np.einsum("ij,ij->i", frames, frames)
    scale = (2.0 / float(window.sum())) ** 2
    return _Spectra(np.asarray(power) * scale, np.asarray(frame_power) / float(np.sum(window**2)), sample_rate / size)


def _steady_lines(spectra: _Spectra) -> list[_Line]:
    """Peaks of the quiet spectrum (each bin's 20th percentile over time) that keep their level throughout."""
    power = spectra.power
    quiet = np.percentile(power, 20, axis=0)
    floor = ndimage.median_filter(quiet, 25) + 1e-30
    audible = 10 ** (_FAINTEST_DB / 10) * spectra.loud_power
    highest = ndimage.maximum_filter1d(quiet, 5)
    peaks = np.flatnonzero((quiet == highest) & (quiet > 10 ** (_LINE_DB / 10) * floor) & (quiet > audible))
    peaks = peaks[(peaks > 12) & (peaks < len(quiet) - 13)]
    floors = _floors(power, peaks)
    steady = _is_steady(power[:, peaks], quiet[peaks], floors)
    return [
        _Line(
            (peak + _peak_offset(np.average(power[:, peak - 1 : peak + 2], axis=0, weights=1.0 / around)))
            * spectra.bin_hz,
            0.5 * float(quiet[peak]),
            float(10 * np.log10(quiet[peak] / floor[peak])),
        )
        for peak, around in zip(peaks[steady], floors.T[steady], strict=True)
    ]


def _floors(power: Floats, peaks: npt.NDArray[np.intp]) -> Floats:
    """Median power around each peak in each frame, shape (frames, peaks), never zero."""
    around = np.concatenate([np.arange(-12, -3), np.arange(4, 13)])
    return np.asarray(np.median(power[:, peaks[:, None] + around], axis=2) + 1e-20)


def _is_steady(power: Floats, level: Floats, floors: Floats) -> npt.NDArray[np.bool_]:
    """Which peaks have one level wherever they can be read, that is in frames whose own floor is 10 dB lower.

    A note that begins late, ends early or decays falls by 6 dB somewhere; narrow noise does so all the time.
    """
    readable = floors < 0.1 * level
    falls = np.sum(readable & (power < 0.25 * level), axis=0)
    rises = np.sum(readable & (power > 2.5 * level), axis=0)
    count = np.sum(readable, axis=0)
    return np.asarray((count >= 3) & (falls <= 0.05 * count) & (rises <= 0.2 * count))


def _peak_offset(three: Floats) -> float:
    left, middle, right = np.log(three + 1e-30)
    bend = left - 2.0 * middle + right
    return float(0.5 * (left - right) / bend) if bend < 0 else 0.0


def _combs(spectra: _Spectra) -> list[_Comb]:
    """Hum and up to three whines, unless steady lines are what the sound is made of."""
    lines = _steady_lines(spectra)
    if sum(line.power for line in lines) > 10 ** (_STEADY_SHARE_DB / 10) * spectra.loud_power:
        return []
    combs = []
    for find in (_find_hum, _find_whine, _find_whine, _find_whine):
        comb = find(lines)
        if comb:
            combs.append(comb)
            lines = [line for line in lines if line not in comb.lines]
    return combs


def _find_hum(lines: list[_Line]) -> _Comb | None:
    """The better of 50 and 60 Hz (within a quarter of a Hz) with two lines or more among the first four multiples."""
    found = []
    for nominal in HUM_HZ:
        comb = _best_comb([line for line in lines if line.f_hz < 40.5 * nominal], nominal - 0.25, nominal + 0.25)
        if comb and sum(number <= 4 for number in comb.numbers) >= 2:
            found.append(comb)
    return max(found, key=lambda comb: len(comb.lines), default=None)


def _find_whine(lines: list[_Line]) -> _Comb | None:
    """Six lines or more at multiples of one rate, with a line at half of the multiples that they span."""
    comb = _best_comb(lines, *WHINE_HZ)
    if comb is None or len(comb.lines) < 6:
        return None
    span = comb.numbers[-1] - comb.numbers[0] + 1
    return comb if len(comb.lines) >= 0.5 * span else None


def _best_comb(lines: list[_Line], low_hz: float, high_hz: float) -> _Comb | None:
    """The spacing with the most lines, less half a point for each multiple in between that has none.

    Tried is every whole fraction of the 40 most prominent lines. Half the true spacing reaches as many lines, yet
    misses every other multiple.
    """
    if len(lines) < 2:
        return None
    f = np.array([line.f_hz for line in lines])
    best = np.argsort([-line.prominence_db for line in lines], kind="stable")[:40]
    tried = (f[best][:, None] / np.arange(1, int(f.max() / low_hz) + 2)).ravel()
    tried = np.sort(tried[(tried >= low_hz) & (tried <= high_hz)])[::-1]
    if not len(tried):
        return None
    numbers = np.rint(f / tried[:, None])
    hit = (np.abs(f - numbers * tried[:, None]) < _REACH_HZ) & (numbers >= 1)
    span = np.max(np.where(hit, numbers, -np.inf), axis=1) - np.min(np.where(hit, numbers, np.inf), axis=1) + 1
    score = 1.5 * hit.sum(axis=1) - 0.5 * span
    return _fitted(lines, f, float(tried[int(np.argmax(score))]))


def _fitted(lines: list[_Line], f: Floats, f0_hz: float) -> _Comb:
    """Least squares of f = number * f0 over the lines that are reached."""
    for _ in range(2):
        numbers = np.rint(f / f0_hz)
        reached = np.flatnonzero((np.abs(f - numbers * f0_hz) < _REACH_HZ) & (numbers >= 1))
        f0_hz = float(np.sum(numbers[reached] * f[reached]) / np.sum(numbers[reached] ** 2))
    return _Comb(f0_hz, tuple(lines[i] for i in reached), tuple(int(n) for n in numbers[reached]))


# --- what a model added ------------------------------------------------------------------------------------------------


def without_whine(made: Audio, original: Audio, rate_hz: float | None) -> Audio:
    """What a model made of a sound, without steady lines at multiples of its latent rate that the sound did not have.

    `rate_hz` is the rate at which the model's decoder ticks; None where nobody knows it: then any comb counts that `clean`
    would take for whine. Goes in blocks of 20 s; a sound of less than a second is left as it is.
    """
    size, join = round(LONGEST_S * made.sample_rate), round(_BLOCK_S * made.sample_rate)
    if made.frames <= 1.2 * size:
        return Audio(_block_without_whine(made.samples, original.samples, made.sample_rate, rate_hz), made.sample_rate)
    result = made.samples.copy()
    for start in range(0, made.frames, size):
        before = min(start, join)
        piece = slice(start - before, min(made.frames, start + size))
        fade = np.concatenate([np.linspace(0.0, 1.0, before), np.ones(piece.stop - start)]).astype(np.float32)
        lower = _block_without_whine(made.samples[:, piece], original.samples[:, piece], made.sample_rate, rate_hz)
        result[:, piece] += (lower - result[:, piece]) * fade
    return Audio(result, made.sample_rate)


def _block_without_whine(made: Channels, original: Channels, sample_rate: int, rate_hz: float | None) -> Channels:
    sounding = np.flatnonzero(np.max(np.abs(made), axis=0) > 0.1 * _SILENT)
    if len(sounding) < 2 or sounding[-1] - sounding[0] < _SHORTEST_ANALYSED_S * sample_rate:
        return made
    inside = slice(int(sounding[0]), int(sounding[-1]) + 1)
    before = _spectra(original[:, inside], sample_rate)
    lines = [line for line in _steady_lines(_spectra(made[:, inside], sample_rate)) if not _stands_out(before, line)]
    comb = _find_whine(lines) if rate_hz is None else _multiples(lines, rate_hz)
    lowered = _lowered(made[:, inside], sample_rate, comb) if comb else None
    if lowered is None:
        return made
    result = made.copy()
    result[:, inside] = lowered[0]
    return result


def _stands_out(spectra: _Spectra, line: _Line) -> bool:
    """Whether a sound has a line of its own there, steady or not."""
    mean = spectra.power.mean(axis=0)
    place = round(line.f_hz / spectra.bin_hz)
    around = mean[max(0, place - 12) : place + 13]
    return bool(mean[max(0, place - 2) : place + 3].max() > 10 ** (_LINE_DB / 10) * np.median(around))


def _multiples(lines: list[_Line], rate_hz: float) -> _Comb | None:
    """Lines at whole multiples of a known rate; None where there are fewer than two, which chance may give."""
    hits = [(line, round(line.f_hz / rate_hz)) for line in lines]
    hits = [(line, number) for line, number in hits if number and abs(line.f_hz - number * rate_hz) < _REACH_HZ]
    return (
        _Comb(rate_hz, tuple(line for line, _ in hits), tuple(number for _, number in hits)) if len(hits) > 1 else None
    )


# --- taking lines out -------------------------------------------------------------------------------------------------


def _lowered(samples: Channels, sample_rate: int, comb: _Comb) -> tuple[Channels, _Comb] | None:
    """The sound with its lines lowered, and those that are; None where a quarter of them resists (lines that waver).

    Lowered is a line that lost 15 dB or that stands no longer out of the floor.
    """
    for spread_s in _SPREAD_S:
        lower = np.stack([_notched(channel, sample_rate, comb.f_hz, spread_s) for channel in samples])
        done = _is_lowered(_spectra(lower, sample_rate), comb)
        if np.mean(done) >= 0.75:
            lines = [line for line, is_done in zip(comb.lines, done, strict=True) if is_done]
            numbers = [number for number, is_done in zip(comb.numbers, done, strict=True) if is_done]
            return lower, _Comb(comb.f0_hz, tuple(lines), tuple(numbers))
    return None


def _is_lowered(spectra: _Spectra, comb: _Comb) -> npt.NDArray[np.bool_]:
    quiet = np.percentile(spectra.power, 20, axis=0)
    floor = ndimage.median_filter(quiet, 25)
    bins = np.rint(comb.f_hz / spectra.bin_hz).astype(np.intp)
    was = 2.0 * np.array([line.power for line in comb.lines])
    return np.asarray((quiet[bins] <= from_db(-2.0 * _LOWERED_DB) * was) | (quiet[bins] <= 4.0 * floor[bins]))


def _notched(channel: npt.NDArray[np.float32], sample_rate: int, f_hz: Floats, spread_s: float) -> Channels:
    """Subtract at every moment the sines at `f_hz` that fit best around it, under a Gaussian of `spread_s`.

    With weights w, the least-squares amplitude of a line e is (g * (w x conj(e))) / (g * w), where * convolves with the
    Gaussian g. Over all lines that is a filter of Gaussian peaks for w x and the same filter at 0 Hz for w: zero phase,
    and exact to the last frame, where a filter on a padded sound leaves half of the line. The weight is the inverse of
    the sound's power, so that a hit neither hides the line nor is smeared ahead of itself, as by a notch filter.
    """
    frames = len(channel)
    size = fft.next_fast_len(frames + round(8 * spread_s * sample_rate), real=True)
    f = np.arange(size // 2 + 1) * (sample_rate / size)
    width_hz = 1.0 / (2.0 * np.pi * spread_s)
    weight = _weight(channel, size, f)
    peaks = np.zeros(len(f))
    for line in f_hz:
        low, high = np.searchsorted(f, (line - 6.0 * width_hz, line + 6.0 * width_hz))
        peaks[low:high] += np.exp(-0.5 * ((f[low:high] - line) / width_hz) ** 2)
    lines = fft.irfft(fft.rfft(weight * channel, size) * peaks, size)[:frames]
    total = fft.irfft(fft.rfft(weight, size) * np.exp(-0.5 * (f / width_hz) ** 2), size)[:frames]
    return np.asarray(channel - lines / total, dtype=np.float32)


def _weight(channel: npt.NDArray[np.float32], size: int, f: Floats) -> Floats:
    """Inverse power around each frame, at most 50 dB apart; smooth, or it would mix one line into the next."""
    smooth = np.exp(-0.5 * (2.0 * np.pi * f * _WEIGHT_SPREAD_S) ** 2)
    power = fft.irfft(fft.rfft(channel.astype(np.float64) ** 2, size) * smooth, size)[: len(channel)]
    return np.asarray(1.0 / np.maximum(power / power.max(), 1e-5))
