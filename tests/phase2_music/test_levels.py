"""A note's harmonics and noise come as near to a colour as a ladder of harmonics can."""

import numpy as np
import pytest

from core.audio import SAMPLE_RATE
from phase2_music.timbre.analysis import AUDITORY_HZ, sine_density
from phase2_music.timbre.levels import capped, fitted, nearest_levels, raised


def flat_levels(f0_hz: float, noise: float = 0.03, fundamental: float = 0.01):
    return nearest_levels(np.zeros(len(AUDITORY_HZ)), f0_hz, 16000.0, noise, fundamental, SAMPLE_RATE)


def heard_db(f0_hz: float, harmonics: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
    density = sine_density(f0_hz * np.arange(1, len(harmonics) + 1), SAMPLE_RATE)
    return 10 * np.log10(density @ harmonics + noise + 1e-9)


def test_powers_of_sines_give_every_band_what_it_wants() -> None:
    rng = np.random.default_rng(0)
    density = sine_density(50.0 * np.arange(1, 320), SAMPLE_RATE)
    wanted = density @ rng.uniform(0.1, 10.0, 319)
    inside = (AUDITORY_HZ > 100) & (AUDITORY_HZ < 15000)
    off_db = 10 * np.log10(density @ fitted(wanted, density) / wanted)[inside]
    assert np.mean(np.abs(off_db)) < 0.3


def test_a_sine_gives_all_its_power_to_the_bands_around_it() -> None:
    f_hz = np.array([300.0, 1000.0, 5000.0])
    given = np.gradient(AUDITORY_HZ) @ sine_density(f_hz, SAMPLE_RATE)
    assert given == pytest.approx(1.0, abs=0.35)
    nearest = AUDITORY_HZ[np.argmax(sine_density(f_hz, SAMPLE_RATE), axis=0)]
    assert nearest == pytest.approx(f_hz, rel=0.08)


def test_a_high_note_has_noise_where_it_has_no_harmonics_and_a_fundamental_that_allows_it() -> None:
    low, high = flat_levels(110.0), flat_levels(1760.0)

    def fundamental(harmonics: np.ndarray) -> float:
        return float(harmonics[0] / harmonics.sum())

    assert fundamental(low.harmonics) < 0.05
    assert 0.5 < fundamental(high.harmonics) <= 0.991
    between = (AUDITORY_HZ > 2300) & (AUDITORY_HZ < 2900)
    assert np.all(
        heard_db(1760.0, high.harmonics, high.noise)[between] > heard_db(1760.0, high.harmonics)[between] + 20
    )


def test_noise_keeps_to_its_share_and_to_what_lies_above_the_fundamental() -> None:
    for f0_hz in (82.0, 440.0, 1760.0):
        levels = flat_levels(f0_hz)
        assert np.gradient(AUDITORY_HZ) @ levels.noise <= 0.0301 * levels.harmonics.sum()
        assert np.all(levels.noise[f0_hz / 3 > AUDITORY_HZ] < 1e-3 * levels.noise.max())
        assert not flat_levels(f0_hz, noise=0.0).noise.any()


def test_the_fundamental_has_at_least_the_share_that_is_asked() -> None:
    levels = flat_levels(110.0, fundamental=0.6)
    assert levels.harmonics[0] / levels.harmonics.sum() == pytest.approx(0.6, abs=0.02)


def test_powers_are_cut_from_above_to_their_sum_and_soft_ones_stay_whole() -> None:
    powers = np.array([0.1, 9.0, 0.4, 25.0])
    assert np.allclose(capped(powers, 2.5), [0.1, 1.0, 0.4, 1.0])
    assert np.array_equal(capped(powers, 100.0), powers)
    assert not capped(powers, 0.0).any()


def test_the_fundamental_is_raised_to_its_share_and_never_lowered() -> None:
    flat = np.ones(100)
    up = raised(flat, 0.5)
    assert up[0] ** 2 == pytest.approx(99.0)
    assert np.array_equal(up[3:], flat[3:])
    assert np.array_equal(raised(np.array([10.0, 0.1]), 0.5), [10.0, 0.1])
    assert len(raised(np.ones(1), 0.5)) == 1
