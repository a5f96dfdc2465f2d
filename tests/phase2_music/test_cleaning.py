"""What does not belong to a sound is found and taken out; what belongs to it is left, to the bit."""

import itertools
import re
import time
import tracemalloc

import numpy as np
import pytest

from core.audio import Audio
from core.errors import AudioError
from phase1_sound.effects.engines.foley.engine import Foley
from phase1_sound.effects.engines.foley.gestures import GESTURES
from phase1_sound.effects.protocol import EffectRequest
from phase2_music.instruments.cleaning import Cleaned, clean

RATE = 44100


def foley(gesture: str, seconds: float = 4.0, seed: int = 1) -> np.ndarray:
    source, material, method = GESTURES[gesture].example
    request = EffectRequest(source, material, method, (), "", "", seconds, 0.3, seed)
    return next(iter(Foley().make([request]))).audio.samples


def bursts(seconds: float = 4.0, rate: int = RATE) -> np.ndarray:
    """Three noise bursts that die away over a noise floor 54 dB lower."""
    rng = np.random.default_rng(3)
    t = np.arange(round(seconds * rate)) / rate
    level = 0.0004 + sum(0.2 * np.exp(-(t - at) / 0.08) * (t >= at) for at in (0.3, 1.4, 2.6))
    return (level * rng.standard_normal(len(t)))[None, :].astype(np.float32)


def comb(f0_hz: float, numbers: int, amplitude: float, frames: int, rate: int = RATE) -> np.ndarray:
    t, rng = np.arange(frames) / rate, np.random.default_rng(7)
    phases = rng.uniform(0, 2 * np.pi, numbers)
    lines = sum(np.sin(2 * np.pi * f0_hz * (k + 1) * t + phases[k]) for k in range(numbers))
    return np.asarray(amplitude * lines, dtype=np.float32)


def line_levels(samples: np.ndarray, f_hz: np.ndarray, rate: int = RATE) -> np.ndarray:
    window = np.hanning(len(samples))
    t = np.arange(len(samples)) / rate
    return np.array([2 * abs(np.sum(window * samples * np.exp(-2j * np.pi * f * t))) for f in f_hz]) / window.sum()


def change_elsewhere_db(samples: np.ndarray, clean_samples: np.ndarray, f_hz: np.ndarray) -> float:
    """Largest change of a third-octave band's power, 6 Hz and more from every line, in bands that are heard."""
    f = np.fft.rfftfreq(len(samples), 1 / RATE)
    away = np.min(np.abs(f[:, None] - f_hz[None, :]), axis=1) > 6
    power = [np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2 * away for x in (samples, clean_samples)]
    edges = np.searchsorted(f, 40 * 2 ** (np.arange(28) / 3))
    after, before = (np.array([p[a:b].sum() for a, b in itertools.pairwise(edges)]) for p in power)
    heard = before > 1e-5 * before.max()
    return float(np.max(np.abs(10 * np.log10(after[heard] / before[heard]))))


def untouched(samples: np.ndarray, cleaned: Cleaned) -> bool:
    """Nothing but DC and the ends of the sound is gone."""
    without_dc = samples - samples.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
    start = round(cleaned.trimmed_s * RATE)
    kept = without_dc[:, start : start + cleaned.audio.frames]
    return np.array_equal(kept, cleaned.audio.samples) and not re.search("hum|whine", " ".join(cleaned.removed))


SOUNDS = {"strike": foley("strike"), "steps": foley("steps"), "knock": foley("knock"), "bursts": bursts()}


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize(
    ("kind", "f0_hz", "numbers"),
    [
        ("hum", 50.0, 8),
        ("hum", 59.95, 6),
        ("whine", 375.0, 12),
        ("whine", RATE / 128, 12),
        ("whine", RATE / 512, 14),
        ("whine", 187.5, 20),
    ],
)
def test_hum_and_whine_are_found_and_lowered_and_the_rest_stays(
    sound: str, kind: str, f0_hz: float, numbers: int
) -> None:
    samples = SOUNDS[sound]
    lines = comb(f0_hz, numbers, 0.001, samples.shape[1])
    cleaned = clean(Audio(samples + lines, RATE))
    sentence = next(sentence for sentence in cleaned.removed if kind in sentence)
    assert sum("hum" in s or "whine" in s for s in cleaned.removed) == 1
    assert float(re.search(r"([\d.]+) Hz", sentence)[1]) == pytest.approx(f0_hz, abs=0.2)

    start = round(cleaned.trimmed_s * RATE)
    kept = slice(start, start + cleaned.audio.frames)
    reference = samples[0, kept] - samples[0].mean(dtype=np.float64)
    f_hz = f0_hz * np.arange(1, numbers + 1)
    left = line_levels(cleaned.audio.samples[0] - reference, f_hz)
    lowered_db = -20 * np.log10(left / 0.001)
    found = (
        (1 + int(re.search(r"and (\d+) harm", sentence)[1]))
        if kind == "hum"
        else int(sentence.split("(")[1].split()[0])
    )
    assert found >= 0.6 * numbers  # the steps cover up to four in ten lines
    assert np.sum(lowered_db >= 15) >= found
    assert change_elsewhere_db(cleaned.audio.samples[0], reference, f_hz) < 0.5


def test_no_hit_is_smeared_ahead_of_itself() -> None:
    samples = bursts()
    cleaned = clean(Audio(samples + comb(375.0, 12, 0.001, samples.shape[1]), RATE))
    start = round(cleaned.trimmed_s * RATE)
    change = cleaned.audio.samples[0] - samples[0, start : start + cleaned.audio.frames]
    before_the_third = slice(round(2.4 * RATE) - start, round(2.59 * RATE) - start)
    assert np.sqrt(np.mean(change[before_the_third] ** 2)) < 0.0002


def test_both_channels_are_cleaned_and_keep_their_rate() -> None:
    rate, left = 48000, bursts(rate=48000)
    lines = comb(375.0, 12, 0.001, left.shape[1], rate)
    cleaned = clean(Audio(np.concatenate([left + lines, 0.5 * left - lines]), rate))
    assert (cleaned.audio.channels, cleaned.audio.sample_rate) == (2, rate)
    assert "whine at multiples of 375.0 Hz (12 lines" in cleaned.removed[0]
    f_hz = 375.0 * np.arange(1, 13)
    start = round(cleaned.trimmed_s * rate)
    for channel, gain in zip(cleaned.audio.samples, (1.0, 0.5), strict=True):
        left_over = channel - gain * left[0, start : start + cleaned.audio.frames]
        assert np.max(line_levels(left_over, f_hz, rate)) < 0.1 * 0.001


def test_hum_that_wavers_as_mains_do_is_lowered() -> None:
    samples = bursts()
    t = np.arange(samples.shape[1]) / RATE
    phase = 2 * np.pi * 50 * t + 0.03 / 0.3 * np.sin(2 * np.pi * 0.3 * t)
    hum = sum(0.001 * np.sin(k * phase + k) for k in range(1, 7))
    cleaned = clean(Audio((samples + hum).astype(np.float32), RATE))
    assert re.fullmatch("mains hum at 50 Hz and [45] harmonics", cleaned.removed[0])
    start = round(cleaned.trimmed_s * RATE)
    left = cleaned.audio.samples[0] - samples[0, start : start + cleaned.audio.frames]
    assert np.std(left) < 0.5 * np.std(hum)


def tone(f0_hz: float, partials: int, envelope: np.ndarray, noise: float = 0.0) -> np.ndarray:
    wave = sum(comb(f0_hz * k, 1, 0.3 / k, len(envelope)) for k in range(1, partials + 1))
    rng = np.random.default_rng(1)
    return (wave * envelope + noise * rng.standard_normal(len(envelope)))[None, :].astype(np.float32)


T = np.arange(4 * RATE) / RATE
FADED = np.minimum(1, np.minimum(T, 4 - T) / 0.4)
MUSIC = {
    "tone at 50 Hz": tone(50.0, 1, np.ones_like(T)),
    "bass note at 50 Hz": tone(50.0, 8, np.exp(-T / 0.8)),
    "bass note at 50 Hz over noise": tone(50.0, 8, np.exp(-T / 0.8), 0.0003),
    "organ": tone(220.0, 12, FADED),
    "organ over noise": tone(375.0, 12, FADED, 0.0003),
    "late organ": tone(220.0, 12, np.clip((T - 1.5) / 0.1, 0, 1)),
    "drone": tone(110.0, 20, np.ones_like(T)),
    "drone over noise": tone(110.0, 20, np.ones_like(T), 0.01),
    "soft drone under a decaying note": tone(220.0, 12, 0.03 + np.exp(-T / 0.5)),
    "bell": foley("ring"),
    "engine": foley("engine"),
    "transformer": foley("hum"),
    "plucked wire": foley("pluck"),
}


@pytest.mark.parametrize("name", MUSIC)
def test_music_is_left_as_it_is(name: str) -> None:
    assert untouched(MUSIC[name], clean(Audio(MUSIC[name], RATE)))


def test_no_gesture_of_the_foley_engine_has_hum_or_whine() -> None:
    touched = []
    for gesture in GESTURES:
        samples = foley(gesture, 2.0)
        if not untouched(samples, clean(Audio(samples, RATE))):
            touched.append(gesture)
    assert not touched


def test_dc_is_removed_and_reported_from_a_thousandth_on() -> None:
    samples = bursts() - bursts().mean(dtype=np.float64).astype(np.float32)
    loud = clean(Audio(samples + np.float32(0.05), RATE))
    assert loud.removed == ("DC offset of 0.05",)
    soft = clean(Audio(samples + np.float32(0.0005), RATE))
    assert soft.removed == ()
    assert np.max(np.abs(loud.audio.samples - soft.audio.samples)) < 1e-6


@pytest.mark.parametrize("noise", [0.0, 0.0003, 0.01])
@pytest.mark.parametrize("lead_s", [0.0, 0.1, 0.7])
def test_five_milliseconds_stay_before_the_onset(noise: float, lead_s: float) -> None:
    t = np.arange(RATE) / RATE
    hit = 0.8 * np.exp(-t / 0.1) * np.cos(2 * np.pi * 900 * t)
    samples = np.concatenate([np.zeros(round(lead_s * RATE)), hit])
    samples += noise * np.random.default_rng(2).standard_normal(len(samples))
    cleaned = clean(Audio(samples.astype(np.float32), RATE))
    assert lead_s - cleaned.trimmed_s == pytest.approx(0.005 if lead_s else 0.0, abs=0.001)


def test_silence_at_the_end_goes_and_the_tail_stays() -> None:
    decay = bursts()[:, : 2 * RATE]
    decay = decay * np.exp(-np.arange(2 * RATE) / RATE / 0.2).astype(np.float32)
    cleaned = clean(Audio(np.pad(decay, ((0, 0), (0, 5 * RATE))), RATE))
    end_s = cleaned.trimmed_s + cleaned.audio.duration_s
    assert 1.4 < end_s < 2.1
    level = np.sqrt(np.mean(cleaned.audio.samples[0, -441:] ** 2))
    assert level < 2e-3 * cleaned.audio.peak


@pytest.mark.parametrize("value", [0.0, 0.25])
@pytest.mark.parametrize("frames", [0, 1, 100, 30 * RATE])
def test_silence_is_an_error(value: float, frames: int) -> None:
    with pytest.raises(AudioError, match="silent"):
        clean(Audio(np.full((1, frames), value, dtype=np.float32), RATE))


@pytest.mark.parametrize("seconds", [0.0005, 0.02, 0.3, 0.99, 1.01])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_clicks_work_at_any_rate(seconds: float, rate: int) -> None:
    click = np.random.default_rng(4).uniform(-0.5, 0.5, (2, max(2, round(seconds * rate)))).astype(np.float32)
    cleaned = clean(Audio(click, rate))
    assert cleaned.audio.frames == click.shape[1]
    assert np.isfinite(cleaned.audio.samples).all()
    assert not re.search("hum|whine", " ".join(cleaned.removed))


def test_a_long_file_keeps_the_loudest_twenty_seconds_from_an_onset() -> None:
    rng = np.random.default_rng(6)
    samples = np.tile(0.0002 * rng.standard_normal(RATE).astype(np.float32), 600)
    for at_s, level in ((100, 0.02), (400, 0.06), (407, 0.04), (590, 0.06)):
        samples[at_s * RATE : (at_s + 3) * RATE] += level * rng.standard_normal(3 * RATE).astype(np.float32)
    sound = Audio(samples + np.float32(0.5), RATE)
    tracemalloc.start()
    cleaned = clean(sound)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cleaned.trimmed_s == pytest.approx(399.995, abs=0.001)
    assert cleaned.audio.duration_s < 20
    assert cleaned.removed == ("DC offset of 0.5", "580.0 s outside the loudest 20 s")
    assert peak < 120e6


@pytest.mark.parametrize("fade_s", [0, 30])
def test_a_long_file_without_an_onset_works(fade_s: int) -> None:
    noise = 0.1 * np.random.default_rng(6).standard_normal(25 * RATE)
    if fade_s:
        noise *= np.arange(25 * RATE) / RATE / fade_s
    cleaned = clean(Audio(noise.astype(np.float32), RATE))
    assert cleaned.audio.duration_s == pytest.approx(20, abs=0.1)
    assert cleaned.removed == ("5.0 s outside the loudest 20 s",)


def test_the_same_sound_gives_the_same_bytes_and_quickly() -> None:
    samples = bursts()
    sound = Audio(samples + comb(375.0, 12, 0.001, samples.shape[1]), RATE)
    first = clean(sound)
    times = []
    for _ in range(3):
        before = time.process_time()
        again = clean(sound)
        times.append(time.process_time() - before)
    assert first.removed == again.removed
    assert first.audio.samples.tobytes() == again.audio.samples.tobytes()
    assert min(times) < 0.15


def test_channels_that_cancel_each_other_are_told_apart() -> None:
    t = np.arange(RATE) / RATE
    tone_, rng = 0.5 * np.sin(2 * np.pi * 262 * t), np.random.default_rng(0)
    for left in (tone_, tone_ + 1e-4 * rng.standard_normal(RATE)):
        cleaned = clean(
            Audio(np.stack([left, -0.9 * left + 1e-4 * rng.standard_normal(RATE)]).astype(np.float32), RATE)
        )
        assert "channels that cancelled each other, but for the loudest" in cleaned.removed
        assert np.std(cleaned.audio.mono()) == pytest.approx(np.std(left), rel=0.05)
    apart = rng.standard_normal((6, RATE)).astype(np.float32) * 0.1
    assert clean(Audio(apart, RATE)).audio.channels == 6


def test_a_long_silence_in_front_is_told() -> None:
    sound = np.concatenate([np.zeros(2 * RATE), 0.3 * np.random.default_rng(0).standard_normal(RATE)])
    assert clean(Audio(sound[None].astype(np.float32), RATE)).removed == ("2.0 s of silence in front",)
