"""What `load` returns: images and labels as arrays, with their names. It reads nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Dataset", "Split"]

_STATISTICS_IMAGES = 1024  # images counted at a time: bincount widens each byte to 8


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    Args:
        images: uint8, 0..255, `(n, height, width, channels)`.
        labels: int32, `(n,)`, indices into `Dataset.labels`.

    Raises:
        ValueError: If a shape or a type is different.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype.name != "uint8":
            raise ValueError(f"images are {self.images.dtype} {self.images.shape}; allowed is uint8 of rank 4.")
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype.name != "int32":
            raise ValueError(
                f"labels are {self.labels.dtype} {self.labels.shape}; allowed is int32 {self.images.shape[:1]}."
            )

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set without its test split, which only `load_test` opens.

    Args:
        name: Short name, such as `digits`, `fashion_mnist` or the name of a folder.
        labels: Class names in the order of the label numbers.
        train: Training images.
        validation: Validation images, of the same height, width and channels.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    validation: Split

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of every image."""
        height, width, channels = self.train.images.shape[1:]
        return (height, width, channels)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.labels)

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns the mean and the variance of each channel over all training pixels.

        They are computed from exact counts of the 256 values, so that they are the same on every machine.

        Returns:
            Means (0..255) and variances (0..16256.25), each one number a channel.
        """
        import numpy as np

        images, values = self.train.images, np.arange(256, dtype=np.int64)
        means, variances = [], []
        for channel in range(images.shape[-1]):
            counts = np.zeros(256, np.int64)
            for start in range(0, len(images), _STATISTICS_IMAGES):
                part = images[start : start + _STATISTICS_IMAGES, :, :, channel]
                counts += np.bincount(part.ravel(), minlength=256)
            total = int(counts.sum())
            mean = int(counts @ values) / total
            means.append(mean)
            variances.append(max(0.0, int(counts @ values**2) / total - mean**2))
        return tuple(means), tuple(variances)
