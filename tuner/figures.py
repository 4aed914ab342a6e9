"""The test figures of a classifier, worked out from its probabilities. Standard library only."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist

__all__ = ["Figures", "standard_error", "test_figures"]

_SMALLEST_PROBABILITY = 1e-7  # keras.config.epsilon(), where Keras's cross-entropy clips too


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a model reached on the test split.

    Attributes:
        accuracy: Share of images whose likeliest class is the true one.
        accuracy_interval: Wilson's 95 % interval of the accuracy, (low, high).
        loss: Mean cross-entropy in nats.
        num_images: Number of test images.
        confusion: Number of images, a row for each true class, a column for each predicted one.
        recall: Share of each class's images that were recognised; None for a class without images.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    loss: float
    num_images: int
    confusion: Sequence[Sequence[int]]
    recall: Sequence[float | None]


def standard_error(accuracy: float, images: int) -> float:
    """Returns the standard error of an accuracy on so many images.

    Reference: Breiman et al., 1984, Classification and Regression Trees, chapter 3 (test sample estimates).
    """
    return math.sqrt(accuracy * (1.0 - accuracy) / images)


def test_figures(probabilities: Iterable[Iterable[float]], labels: Iterable[int], *, classes: int) -> Figures:
    """Works out accuracy, loss and confusions.

    Args:
        probabilities: `(images, classes)`; lists or an array.
        labels: True class of each image, 0..classes-1.
        classes: Number of classes.

    Returns:
        The figures; of equally likely classes the first counts as predicted.

    Raises:
        ValueError: If there are no images, the lengths differ, a label is out of range, or a probability is not finite.
    """
    confusion = [[0] * classes for _ in range(classes)]
    loss = 0.0
    for row, label in zip(probabilities, labels, strict=True):
        values = [float(value) for value in row]
        if len(values) != classes or not 0 <= label < classes:
            raise ValueError(f"{len(values)} probabilities and label {label} do not fit {classes} classes")
        if not all(map(math.isfinite, values)):
            raise ValueError(f"a probability is not finite: {values}")
        confusion[int(label)][values.index(max(values))] += 1
        loss -= math.log(max(values[int(label)], _SMALLEST_PROBABILITY))
    num_images = sum(map(sum, confusion))
    if num_images == 0:
        raise ValueError("test figures need at least one image")
    correct = sum(confusion[i][i] for i in range(classes))
    return Figures(
        accuracy=correct / num_images,
        accuracy_interval=_wilson_interval(correct, num_images),
        loss=loss / num_images,
        num_images=num_images,
        confusion=confusion,
        recall=[row[i] / sum(row) if sum(row) else None for i, row in enumerate(confusion)],
    )


def _wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share; within 0..1 and of use for shares near 1, unlike p ± 2 s.

    Reference: Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953.
    """
    z = NormalDist().inv_cdf(0.975)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    margin = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)
