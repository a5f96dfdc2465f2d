"""The resonator gives any sound a pitch, keeps its colour and loops without a seam."""

import numpy as np
import pytest
from conftest import noise

from core.audio import SAMPLE_RATE, Audio
from core.errors import AudioError
from phase2_music.instruments.pitch import cents_between, comb_pitch, key_to_hz, yin_pitch
from phase2_music.timbre.analysis import istft, stft
from phase2_music.timbre.engines.none import NoTimbre
from phase2_music.timbre.engines.resonator import GUARD_FRAMES, Resonator
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
