"""Random numbers that can be drawn again: one seed and a path of names give one generator."""

import hashlib

import numpy as np


def derive_seed(seed: int, *names: str | int) -> int:
    """Give a 63-bit seed for one named part of a run.

    The same `seed` and `names` give the same result on every machine and Python version; any other name gives an
    unrelated one, so adding a part never changes the others.
    """
    text = "\x1f".join([str(int(seed)), *map(str, names)])
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Give the random generator of one named part of a run (PCG64, seeded with `derive_seed`)."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *names)))
