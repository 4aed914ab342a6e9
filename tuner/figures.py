"""The test figures of a classifier, worked out from its probabilities. Standard library only."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

from tuner.config import BALANCED
from tuner.quantities import counted

__all__ = ["Figures", "effective_images", "judging_images", "standard_error", "test_figures"]

_POOR = 0.5  # a recall below it: the class is missed more often than not
_NUM_NAMED = 5  # classes
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

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images."""
        return statistics.fmean(recall for recall in self.recall if recall is not None)

    @property
    def balanced_interval(self) -> tuple[float, float]:
        """95 % interval of the balanced accuracy, (low, high), from Wilson's of each recall.

        Reference: Zou, Huang and Zhang, 2009, Computational Statistics & Data Analysis 53, pages 1080 to 1085.
        """
        shares = [(row[i], sum(row)) for i, row in enumerate(self.confusion) if sum(row)]
        ends = [(hits / images, *_wilson_interval(hits, images)) for hits, images in shares]
        below, above = (math.hypot(*(end[0] - end[side] for end in ends)) / len(ends) for side in (1, 2))
        return max(0.0, self.balanced_accuracy - below), min(1.0, self.balanced_accuracy + above)

    def told(self, accuracy: str) -> tuple[str, float, tuple[float, float]]:
        """Returns in words, as a number and as an interval what a validation accuracy of that name was on the test."""
        if accuracy == BALANCED:
            return "balanced accuracy", self.balanced_accuracy, self.balanced_interval
        return "accuracy", self.accuracy, self.accuracy_interval

    def weaknesses(self, labels: Sequence[str]) -> list[str]:
        """Returns what a mean over images hides, in words.

        That is the class that was recognised worst, where that is less than half of its images, and the classes
        without test images.

        Args:
            labels: Class names in the order of the recall.
        """
        seen = [
            (recall, labels[i], sum(self.confusion[i])) for i, recall in enumerate(self.recall) if recall is not None
        ]
        recall, name, images = min(seen, key=lambda each: (each[0], -each[2]))
        told = []
        if recall < _POOR:
            told.append(f"{name!r} was recognised worst: recall {recall:.4f} on {counted(images, 'image')}")
        untested = [repr(label) for label, recall in zip(labels, self.recall, strict=True) if recall is None]
        if untested:
            more = f" and {len(untested) - _NUM_NAMED} more" if len(untested) > _NUM_NAMED else ""
            told.append(f"no test images of {', '.join(untested[:_NUM_NAMED])}{more}, so nothing is known of these")
        return told


def standard_error(accuracy: float, images: float) -> float:
    """Returns the standard error of an accuracy on so many images.

    Reference: Breiman et al., 1984, Classification and Regression Trees, chapter 3 (test sample estimates).
    """
    return math.sqrt(accuracy * (1.0 - accuracy) / images)


def effective_images(class_sizes: Iterable[int]) -> float:
    """Returns of how many images an accuracy has the standard error of a balanced one, if classes are equally hard.

    The mean of K recalls r has the variance r (1 - r) / K^2 times the sum of 1 / n over the classes; an accuracy r on n
    images has r (1 - r) / n.

    Args:
        class_sizes: Images of each class; those without any do not count.
    """
    sizes = [size for size in class_sizes if size]
    return len(sizes) * statistics.harmonic_mean(sizes)


def judging_images(accuracy: str, images: int, class_sizes: Sequence[int]) -> float:
    """Returns of how many images the standard error of an accuracy of that name is: of a balanced one, by class."""
    return effective_images(class_sizes) if accuracy == BALANCED and class_sizes else images


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
    z = statistics.NormalDist().inv_cdf(0.975)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    margin = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)
