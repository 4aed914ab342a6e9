"""Images and labels as arrays: what a split is where memory holds it. It reads nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Split"]

_MOVED_IMAGES = 1024  # images moved within an array at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels, all in memory; `tuner.data.streaming.StreamedSplit` has the same methods.

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

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of every image."""
        height, width, channels = self.images.shape[1:]
        return (height, width, channels)

    def chunks(self, size: int) -> Iterator[np.ndarray]:
        """Yields the images in the order of `labels`, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.images[start : start + size]

    def divide(self, kept: np.ndarray, held_out: np.ndarray) -> tuple[Split, Split]:
        """Returns the images at two lists of ascending indices as two splits.

        The kept images are moved together within the array, which the first split goes on using, so that no second
        array of that size is needed. This split must not be used afterwards.
        """
        held_out_part = Split(self.images[held_out], self.labels[held_out])
        for start in range(0, len(kept), _MOVED_IMAGES):
            part = kept[start : start + _MOVED_IMAGES]
            self.images[start : start + len(part)] = self.images[part]
        return Split(self.images[: len(kept)], self.labels[kept]), held_out_part
