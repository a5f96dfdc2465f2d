"""The resonator gives any sound a pitch, keeps its colour and loops without a seam."""

import numpy as np
import pytest
from scipy import signal
from sounds import noise

from core.audio import SAMPLE_RATE, Audio
from core.errors import AudioError
from flows.evaluation.measures import mel_distance, mel_profile
from flows.evaluation.sources import make_source
from phase2_music.instruments.cleaning import clean
from phase2_music.instruments.pitch import cents_between, comb_pitch, key_to_hz, yin_pitch
from phase2_music.timbre.analysis import AUDITORY_HZ, BANDS_HZ, SoundModel, istft, stft
from phase2_music.timbre.engines.none import NoTimbre
from phase2_music.timbre.engines.resonator import GUARD_FRAMES, Mix, Resonator
from phase2_music.timbre.protocol import VoiceRequest


def voice(sound: Audio, role: str = "keyboard", seed: int = 5):
    return Resonator().voice(VoiceRequest(sound, role, seed))  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [28, 40, 60, 72, 96])
def test_noise_is_heard_at_the_key(key: int) -> None:
    note = voice(noise()).note(key_to_hz(key), 0.3)
    steady = note.samples.mean(axis=0)[2000:]
    assert abs(cents_between(yin_pitch(steady, SAMPLE_RATE), key_to_hz(key))) < 10
    assert abs(cents_between(comb_pitch(steady, SAMPLE_RATE), key_to_hz(key))) < 10
    assert abs(cents_between(note.f0_hz, key_to_hz(key))) < 0.1


def test_what_follows_the_loop_is_what_the_loop_begins_with() -> None:
    note = voice(noise()).note(220.0, 0.4)
    again = note.samples[:, note.loop_start : note.loop_start + GUARD_FRAMES]
    assert np.array_equal(note.samples[:, note.loop_end + 1 :], again)
    before = note.samples[:, note.loop_start - 500 : note.loop_start]
    assert np.allclose(before, note.samples[:, note.loop_end - 499 : note.loop_end + 1], atol=1e-4)


def test_silence_that_nobody_hears_takes_nothing_from_the_colour() -> None:
    sound = make_source("ring").sound
    note = voice(clean(sound).audio, "bass", seed=0).note(key_to_hz(52), 0.6)
    assert mel_distance(mel_profile(note.samples[0]), mel_profile(sound.mono()), key_to_hz(52)) <= 6.0


def test_stereo_keeps_every_harmonic_in_mono() -> None:
    note = voice(noise()).note(220.0, 0.5)
    left, right = note.samples[:, note.loop_start : note.loop_end + 1]
    middle, side = np.abs(np.fft.rfft(left + right)), np.abs(np.fft.rfft(left - right))
    periods = round(len(left) * 220.0 / SAMPLE_RATE)
    harmonics = np.arange(1, 20) * periods
    assert np.all(middle[harmonics] > 3 * side[harmonics])
    assert not np.array_equal(left, right)
    assert voice(noise(), "bass").note(80.0, 0.3).samples.shape[0] == 1


def test_the_effects_colour_is_heard() -> None:
    rng = np.random.default_rng(1)
    white = rng.standard_normal(2 * SAMPLE_RATE)
    dark = Audio(np.convolve(white, np.ones(60) / 60, "same"), SAMPLE_RATE)
    bright = Audio(np.diff(white, prepend=0.0) * 0.2, SAMPLE_RATE)

    def centroid(sound: Audio) -> float:
        samples = voice(sound).note(220.0, 0.4).samples[0]
        power = np.abs(np.fft.rfft(samples)) ** 2
        return float(np.sum(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE) * power) / power.sum())

    assert centroid(bright) > 3 * centroid(dark)


def test_character_moves_from_a_pure_tone_to_the_sound() -> None:
    v = voice(noise())

    def between_harmonics(character: float) -> float:
        note = v.note(441.0, character)
        loop = note.samples[0, note.loop_start : note.loop_end + 1]
        power = np.abs(np.fft.rfft(loop)) ** 2
        f = np.fft.rfftfreq(len(loop), 1 / SAMPLE_RATE)
        off = np.abs(f / 441.0 - np.round(f / 441.0)) > 0.02
        return float(power[off].sum() / power.sum())

    shares = [between_harmonics(c) for c in (0.0, 0.2, 0.4, 0.8)]
    assert shares == sorted(shares)
    assert shares[0] < 1e-6
    assert shares[-1] > 0.02


def chirp() -> Audio:
    """A bird: short glides from 3 to 5 kHz, with rests between."""
    t = np.arange(round(0.15 * SAMPLE_RATE)) / SAMPLE_RATE
    note = np.sin(2 * np.pi * (3000 * t + 6700 * t**2)) * np.sin(np.pi * t / t[-1]) ** 2
    return Audio(np.tile(np.pad(note, (0, len(note) // 2)), 8), SAMPLE_RATE)


def share_of_the_fundamental(samples: np.ndarray, f0_hz: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(power[np.abs(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE) - f0_hz) < 3].sum() / power.sum())


@pytest.mark.parametrize("key", [28, 40, 52])
def test_a_bass_made_of_a_bird_has_a_fundamental_and_the_birds_colour(key: int) -> None:
    f0 = key_to_hz(key)
    note = voice(chirp(), "bass").note(f0, 0.6)
    loop = note.samples[0, note.loop_start : note.loop_end + 1]
    assert share_of_the_fundamental(loop, f0) > 0.1
    power = np.abs(np.fft.rfft(loop)) ** 2
    f = np.fft.rfftfreq(len(loop), 1 / SAMPLE_RATE)
    bird, below = power[(f > 3000) & (f < 5000)].sum(), power[(f > 10 * f0) & (f < 2000)].sum()
    assert bird > 10 * below


def test_calm_takes_the_noise_away_and_support_raises_the_fundamental() -> None:
    v, f0 = voice(noise(), "bass"), key_to_hz(76)

    def loop(calm: float, support: float) -> np.ndarray:
        note = v.note(f0, 0.6, calm, support)
        return note.samples[0, note.loop_start : note.loop_end + 1]

    def between_harmonics(samples: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(samples)) ** 2
        power[:: round(len(samples) * f0 / SAMPLE_RATE)] = 0.0
        return float(power.sum())

    left = [between_harmonics(loop(calm, 0.0)) for calm in (0.0, 0.6, 1.0)]
    assert left[0] > 2 * left[1] > 0
    assert left[2] < 1e-6 * left[0]
    shares = [share_of_the_fundamental(loop(0.0, support), f0) for support in (0.0, 0.3, 0.6, 1.0)]
    assert shares == sorted(shares)
    assert shares[0] > 0.1
    assert shares[-1] > 0.5


def test_a_calm_note_turns_into_its_loop_sooner() -> None:
    def wandering(calm: float) -> float:
        note = voice(chirp()).note(220.0, 0.6, calm)
        lead = round(0.3 * SAMPLE_RATE)
        before, ring = note.samples[0, note.loop_start - lead : note.loop_start], note.samples[0, : note.loop_end + 1]
        return float(np.mean((before - ring[-lead:]) ** 2))

    assert wandering(0.3) < 0.1 * wandering(0.0)


def test_the_lasting_colour_weighs_moments_by_time_and_the_power_by_strength() -> None:
    """Loud thuds for a fifth of the time, soft hiss for the rest."""
    white = np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    low, high = (signal.butter(4, band, "band", fs=SAMPLE_RATE, output="sos") for band in ([200, 400], [4000, 8000]))
    thud = np.arange(SAMPLE_RATE) % 11025 < 2205
    sound = np.where(thud, 3.0 * signal.sosfilt(low, white), 0.1 * signal.sosfilt(high, white))
    model = SoundModel.of(Audio(sound, SAMPLE_RATE))

    def rise(colour_db: np.ndarray, bands_hz: np.ndarray) -> float:
        thuds, hiss = (int(np.argmin(np.abs(bands_hz - f))) for f in (300, 6000))
        return float(colour_db[hiss] - colour_db[thuds])

    assert rise(model.colour_db, BANDS_HZ) < -6
    assert rise(model.lasting_colour_db, AUDITORY_HZ) > 6


def tones(*f_hz: float) -> np.ndarray:
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    return np.asarray(sum(np.sin(2 * np.pi * f * t) for f in f_hz) * np.exp(-3 * t))


def highest_band_hz(sound: np.ndarray) -> float:
    return float(AUDITORY_HZ[np.argmax(SoundModel.of(Audio(sound, SAMPLE_RATE)).lasting_colour_db)])


def test_the_colour_is_that_of_the_first_second_unless_it_is_far_softer() -> None:
    first, then = tones(1200.0), tones(3100.0)
    assert highest_band_hz(np.concatenate([first, 1.5 * then])) == pytest.approx(1200, rel=0.06)
    assert highest_band_hz(np.concatenate([0.05 * first, 1.5 * then])) == pytest.approx(3100, rel=0.06)


@pytest.mark.parametrize("key", [31, 43])
def test_partials_stay_narrow_and_what_lies_between_stays_empty(key: int) -> None:
    """A bass made of two bell-like partials: it sounds where they do, and nowhere else but at its fundamental."""
    f0 = key_to_hz(key)
    note = voice(Audio(tones(1150.0, 4300.0), SAMPLE_RATE), "bass").note(f0, 0.6)
    loop = note.samples[0, note.loop_start : note.loop_end + 1]
    power = np.abs(np.fft.rfft(loop)) ** 2
    f = np.fft.rfftfreq(len(loop), 1 / SAMPLE_RATE)

    def level_db(low: float, high: float) -> float:
        return float(10 * np.log10(power[(f > low) & (f < high)].sum()))

    for partial in (1150.0, 4300.0):
        here = level_db(partial / 1.08, partial * 1.08)
        assert here > level_db(partial * 1.15, partial * 1.4) + 30
        assert here > level_db(partial / 1.4, partial / 1.15) + 30


def test_support_raises_the_fundamental_before_it_gives_up_the_colour() -> None:
    mixes = [Mix.of(voice(noise(), "bass").template, 0.6, 0.0, support) for support in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert [mix.own for mix in mixes] == [1.0, 1.0, 1.0, 0.5, 0.0]
    assert [mix.fundamental for mix in mixes] == pytest.approx([0.15, 0.2875, 0.7, 0.7, 0.7])


def test_same_seed_same_bytes_other_seed_other_grain() -> None:
    first, second, other = (voice(noise(), seed=s).note(220.0, 0.4).samples for s in (5, 5, 6))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_silent_sound_is_refused() -> None:
    with pytest.raises(AudioError, match="silent"):
        voice(Audio(np.zeros(1000), SAMPLE_RATE))


def test_a_click_shorter_than_any_window_still_gives_a_note() -> None:
    click = np.zeros(400)
    click[100] = 1.0
    note = voice(Audio(click, SAMPLE_RATE)).note(220.0, 0.3)
    assert np.isfinite(note.samples).all()
    assert abs(cents_between(comb_pitch(note.samples[0, 4000:], SAMPLE_RATE), 220.0)) < 10


def test_none_hands_the_effect_on_and_never_tunes() -> None:
    sound = noise()
    raw = NoTimbre().voice(VoiceRequest(sound, "bass", 1))
    assert raw.colour is sound
    assert raw.note(220.0, 0.5) is None


def test_stft_and_back_is_the_same_sound() -> None:
    wave = np.random.default_rng(2).standard_normal(10000)
    assert np.allclose(istft(stft(wave), len(wave)), wave, atol=1e-9)


def test_above_what_an_effect_has_its_colour_falls_slowly_through_hiss_and_steeply_through_silence() -> None:
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sine = 0.3 * np.sin(2 * np.pi * 440 * t)
    breath = 1e-4 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    high = AUDITORY_HZ > 8000

    def colour(sound: np.ndarray) -> np.ndarray:
        return SoundModel.of(Audio(sound.astype(np.float32)[None], SAMPLE_RATE)).lasting_colour_db[high]

    assert colour(sine).max() < -120
    assert colour(sine + breath).min() > -80
    assert colour(sine + breath).max() < -60


@pytest.mark.parametrize("key", [62, 74, 86])
def test_a_dull_sound_makes_no_shrill_note(key: int) -> None:
    """Where a sine has nothing its colour is no floor: harmonics that find nothing else would be fitted to it, white."""
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sine = Audio((0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)[None], SAMPLE_RATE)
    note = Resonator().voice(VoiceRequest(sine, "guitar", 1)).note(key_to_hz(key), 0.6)
    f_hz, power = signal.welch(note.samples.mean(axis=0), SAMPLE_RATE, nperseg=4096)
    assert power[f_hz > 3000].sum() < 10**-2.5 * power.sum()
