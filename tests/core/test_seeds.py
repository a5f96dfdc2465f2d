"""Random numbers that can be drawn again, on any machine, whatever other parts of a run draw."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.seeds import derive_seed, generator

names = st.lists(st.text(st.characters(exclude_characters="\x1f", codec="utf-8"), max_size=8), max_size=3)


def test_seeds_are_the_same_on_every_machine() -> None:
    # Published numbers: changing them changes every sound that anybody has made.
    assert derive_seed(0) == 3456079177858693020
    assert derive_seed(7, "effects", 3) == 3824487882195060243
    np.testing.assert_array_equal(generator(7, "effects", 3).integers(0, 1000, 5), [524, 585, 348, 463, 270])


@given(st.integers(0, 2**53), names)
def test_a_seed_fits_63_bits_and_repeats(seed: int, path: list[str]) -> None:
    derived = derive_seed(seed, *path)
    assert 0 <= derived < 2**63
    assert derived == derive_seed(seed, *path)


@given(st.tuples(st.integers(0, 2**53), names), st.tuples(st.integers(0, 2**53), names))
def test_another_seed_or_name_gives_another_seed(one: tuple[int, list[str]], other: tuple[int, list[str]]) -> None:
    assert (derive_seed(one[0], *one[1]) == derive_seed(other[0], *other[1])) == (one == other)


def test_names_do_not_run_together() -> None:
    assert derive_seed(1, "ab", "c") != derive_seed(1, "a", "bc")
    assert derive_seed(1, "2") != derive_seed(12)


def test_neighbouring_seeds_draw_unrelated_noise() -> None:
    noises = [generator(seed, "room").standard_normal(4000) for seed in range(6)]
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 0.07 for a, b in pairwise(noises))


def test_one_part_does_not_move_another() -> None:
    alone = generator(3, "b").random(4)
    generator(3, "a").random(1000)
    np.testing.assert_array_equal(generator(3, "b").random(4), alone)
