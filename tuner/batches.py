"""Images as the batches that a compiled step takes: some images in memory and the places of those to use.

Of images in memory, a batch is all of them and the places of the chosen ones, so that the step itself cuts it out. Of
streamed ones it is those that were just decoded, and all of their places.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tuner.data import Split
from tuner.data.streaming import StreamedSplit

__all__ = ["AnyImages", "Batch", "Images", "StreamedImages", "images_of"]

# Images, their class numbers, and the places in both of those that make up the batch.
Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class Images:
    """Images and class numbers in memory; a step cuts its batch out of them.

    Args:
        images: `(n, height, width, channels)`, uint8, 0 to 255.
        labels: Class numbers, `(n,)`.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images = tf.constant(images)
        self._labels = tf.constant(labels, tf.int32)

    def __len__(self) -> int:
        """Number of images."""
        return int(self._labels.shape[0])

    def batches(self, size: int, *, shuffle: tuple[int, int] | None = None) -> Iterator[Batch]:
        """Yields all images once, in batches.

        Args:
            size: Images a batch; the last one has what is left.
            shuffle: Seed and number of the epoch, from which their order follows; None keeps it.
        """
        order = np.arange(len(self), dtype=np.int32)
        if shuffle is not None:
            order = np.random.default_rng(shuffle).permutation(order)
        for start in range(0, len(order), size):
            yield self._images, self._labels, tf.constant(order[start : start + size])


class StreamedImages:
    """Images that are decoded while a step works on those before; the interface is that of `Images`.

    Args:
        split: Where the images and class numbers come from.
    """

    def __init__(self, split: StreamedSplit) -> None:
        self._split = split

    def __len__(self) -> int:
        """Number of images."""
        return len(self._split)

    def batches(self, size: int, *, shuffle: tuple[int, int] | None = None) -> Iterator[Batch]:
        """Yields all images once, in batches.

        Args:
            size: Images a batch; the last one has what is left.
            shuffle: Seed and number of the epoch, from which their order follows; None keeps it.

        Raises:
            DataError: If an image cannot be read any more.
        """
        for images, labels in self._split.batches(size, shuffle=shuffle):
            yield images, tf.constant(labels), tf.range(len(labels))


AnyImages = Images | StreamedImages


def images_of(*splits: Split | StreamedSplit) -> AnyImages:
    """Returns the images of one split or of several of a data set, streamed where the splits are."""
    in_memory = [split for split in splits if isinstance(split, Split)]
    streamed = [split for split in splits if isinstance(split, StreamedSplit)]
    if streamed:
        assert not in_memory  # `load` streams all splits or none
        return StreamedImages(streamed[0].union(*streamed[1:]))
    if len(in_memory) == 1:
        return Images(in_memory[0].images, in_memory[0].labels)
    return Images(np.concatenate([s.images for s in in_memory]), np.concatenate([s.labels for s in in_memory]))
