"""Which images of a training set are used and which are held out. NumPy only; it sees labels, never images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tuner.errors import DataError
from tuner.quantities import counted

__all__ = ["HOLDOUT_SEED", "check_sizes", "choose_images", "hold_out"]

# Arbitrary, and one constant for all searches: scores of different seeds compare only on the same validation images.
HOLDOUT_SEED = 0


def hold_out(
    labels: np.ndarray, *, fraction: float, names: Sequence[str], part: str = "validation"
) -> tuple[np.ndarray, np.ndarray]:
    """Divides images so that every class keeps its share in both parts, the same way every time.

    Each class gives `round(fraction * n)` of its n images, at least one, and keeps at least one. The drawing uses
    NumPy's legacy generator, whose stream is frozen, so that a new NumPy does not move images.

    Args:
        labels: Label numbers, `(n,)`.
        fraction: Share that is held out, in (0, 1).
        names: Class names, for the message.
        part: What it is held out for.

    Returns:
        Ascending indices of the images that stay and of those held out.

    Raises:
        DataError: If a class has a single image.
    """
    check_sizes(labels, parts=[part], names=names)
    sizes = np.unique(labels, return_counts=True)[1].tolist()
    return _draw(labels, [min(max(round(fraction * size), 1), size - 1) for size in sizes])


def check_sizes(labels: np.ndarray, *, parts: Sequence[str], names: Sequence[str]) -> None:
    """Makes sure that one image of each class can be held out for each part, and one stays.

    Args:
        labels: Label numbers, `(n,)`.
        parts: What images are to be held out for, such as `validation`.
        names: Class names, for the message.

    Raises:
        DataError: If a class has too few images.
    """
    least = 1 + len(parts)
    for value, size in zip(*np.unique(labels, return_counts=True), strict=True):
        if size < least:
            raise DataError(
                f"Class {names[value]!r} has {counted(int(size), 'training image')}; at least {least} are needed to "
                f"hold one out for {' and one for '.join(parts)}. Add images or provide a {' and a '.join(parts)} "
                "split, or remove the class."
            )


def choose_images(labels: np.ndarray, number: int, *, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses images so that every class keeps its share, the same way every time.

    Of n images of N, a class of k gives k n / N rounded down; those with the largest remainders give one more
    (Hamilton's method), and no class gives less than it must.

    Args:
        labels: Label numbers, `(N,)`.
        number: How many images, n <= N.
        least: Fewest images of a class; one that has fewer gives all.

    Returns:
        Ascending indices of the images that are left out and of the n that are used.

    Raises:
        DataError: If n is too small for the fewest images of each class.
    """
    sizes = np.unique(labels, return_counts=True)[1]
    lowest = np.minimum(sizes, least)
    if number < lowest.sum():
        raise DataError(
            f"--images {number} is too few for {len(sizes)} classes with at least {least} of each; "
            f"give {lowest.sum()} or more."
        )
    counts = np.maximum(sizes * number // len(labels), lowest)
    while counts.sum() != number:
        missing = sizes * number / len(labels) - counts  # images that a class still deserves; below 0, has too many
        if counts.sum() < number:
            counts[np.argmax(missing)] += 1
        else:
            counts[np.argmin(np.where(counts > lowest, missing, np.inf))] -= 1
    return _draw(labels, counts)


def _draw(labels: np.ndarray, counts: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ascending indices of the other images and of so many of each class as are to be drawn."""
    generator = np.random.RandomState(HOLDOUT_SEED)
    drawn = [
        generator.permutation(np.flatnonzero(labels == value))[:count]
        for value, count in zip(np.unique(labels), counts, strict=True)
    ]
    chosen = np.sort(np.concatenate(drawn))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen
