"""Seeds that follow from others, so that a training can be made again by itself. Standard library only."""

from __future__ import annotations

import hashlib

__all__ = ["derived_seed"]


def derived_seed(*parts: object) -> int:
    """Returns a seed from 0 to 2**31 - 1 that follows from plain values, the same in every process."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
