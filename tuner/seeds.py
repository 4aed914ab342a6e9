"""Seeds that follow from others, so that a training can be made again by itself. Standard library only."""

from __future__ import annotations

import hashlib

__all__ = ["SEED_STRIDE", "derived_seed", "spread_seed"]

# More than the values that a search draws.
SEED_STRIDE = 1_000_000


def derived_seed(*parts: object) -> int:
    """Returns a seed from 0 to 2**31 - 1 that follows from plain values, the same in every process."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def spread_seed(seed: int) -> int:
    """Returns the seed for Keras Tuner's oracles that a person's seed stands for, from 1 to 2**31.

    They add 1 to theirs with each value that they draw, so searches of neighbouring seeds would draw the same values;
    and 0 means no seed there.
    """
    return 1 + SEED_STRIDE * seed % 2**31
