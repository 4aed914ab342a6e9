"""Which images of a training set are held out. NumPy only; it sees labels, never images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner.errors import DataError

__all__ = ["HOLDOUT_SEED", "hold_out"]

# Arbitrary, and one constant for all searches: scores of different seeds compare only on the same validation images.
HOLDOUT_SEED = 0


def hold_out(labels: np.ndarray, *, fraction: float, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Divides images so that every class keeps its share in both parts, the same way every time.

    Each class gives `round(fraction * n)` of its n images, at least one, and keeps at least one. The drawing uses
    NumPy's legacy generator, whose stream is frozen, so that a new NumPy does not move images.

    Args:
        labels: Label numbers, `(n,)`.
        fraction: Share that is held out, in (0, 1).
        names: Class names, for the message.

    Returns:
        Ascending indices of the images that stay and of those held out.

    Raises:
        DataError: If a class has a single image.
    """
    generator = np.random.RandomState(HOLDOUT_SEED)
    held_out = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(
                f"Class {names[label]!r} has 1 training image; at least 2 are needed to hold one out for validation. "
                "Add images or provide a validation split; --images, where it is given, may be too small."
            )
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held_out.append(generator.permutation(members)[:count])
    chosen = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen
