"""Keys covered by zones: every key of the keyboard once, without gap or overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def key_spans(root_keys: Sequence[int]) -> list[tuple[int, int]]:
    """The lowest and highest key of each root's zone, shape (roots, 2).

    The border between two roots lies half-way (the higher root takes the middle key); the outermost zones reach on to keys 0
    and 127, so that a note outside the sampled range is played, not dropped. `root_keys` must rise.
    """
    borders = [(low + high + 1) // 2 for low, high in pairwise(root_keys)]
    starts = [0, *borders]
    ends = [*(border - 1 for border in borders), 127]
    return list(zip(starts, ends, strict=True))
