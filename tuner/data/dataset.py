"""What `load` returns: training and validation images, as arrays or streamed, with the names of their classes.

NumPy is imported by the calls: whoever only names a data set, as flags do, does without it.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from tuner.data.split import Split

if TYPE_CHECKING:
    from tuner.data.streaming import StreamedSplit

__all__ = ["Dataset"]

_STATISTICS_IMAGES = 1024  # images counted at a time: bincount widens each byte to 8

# Chunks that are counted: 4,096 images, as to read all that are streamed would take as long as an epoch. The standard
# error of a mean is then 1/64 of the standard deviation between images.
_STATISTICS_CHUNKS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set without its test split, which only `load_test` opens.

    Args:
        name: Short name, such as `digits`, `fashion_mnist` or the name of a folder.
        labels: Class names in the order of the label numbers.
        train: Training images.
        validation: Validation images, of the same height, width and channels.
        set_aside: Number of images that were taken from those of the training for the test.
        turned: Number of image files of the training and the validation that are turned upright as their EXIF
            orientation says, those that are set aside or left out included.
    """

    name: str
    labels: tuple[str, ...]
    train: Split | StreamedSplit
    validation: Split | StreamedSplit
    set_aside: int = 0
    turned: int = 0

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of every image."""
        return self.train.image_shape

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.labels)

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns the mean and the variance of each channel over the first 4,096 training images.

        They are computed from exact counts of the 256 values, so that they are the same on every machine, whether its
        memory holds all images or they are streamed. Those of folders and, with few exceptions, of TFDS are in random
        order.

        Returns:
            Means (0..255) and variances (0..16256.25), each one number a channel.
        """
        import numpy as np

        counts_by_channel = np.zeros((self.input_shape[-1], 256), np.int64)
        for part in itertools.islice(self.train.chunks(_STATISTICS_IMAGES), _STATISTICS_CHUNKS):
            for channel, counts in enumerate(counts_by_channel):
                counts += np.bincount(part[..., channel].ravel(), minlength=256)
        values, means, variances = np.arange(256, dtype=np.int64), [], []
        for counts in counts_by_channel:
            total = int(counts.sum())
            mean = int(counts @ values) / total
            means.append(mean)
            variances.append(max(0.0, int(counts @ values**2) / total - mean**2))
        return tuple(means), tuple(variances)

    def class_sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Returns the number of training and of validation images of each class."""
        import numpy as np

        splits = (self.train, self.validation)
        train, validation = (np.bincount(split.labels, minlength=self.classes).tolist() for split in splits)
        return tuple(train), tuple(validation)

    def class_means(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns the mean of all pixels of each class, which tells whether images have changed their classes.

        Returns:
            Means (0..255) of the training and of the validation images, one for each class, 0 for a class without
            images; none of images that are streamed, which are not all read.
        """
        return self._means(self.train), self._means(self.validation)

    def _means(self, split: Split | StreamedSplit) -> tuple[float, ...]:
        if not isinstance(split, Split):
            return ()
        import numpy as np

        sums = [part.reshape(len(part), -1).sum(axis=1, dtype=np.int64) for part in split.chunks(_STATISTICS_IMAGES)]
        counts = np.bincount(split.labels, minlength=self.classes)
        totals = np.bincount(split.labels, weights=np.concatenate(sums), minlength=self.classes)
        pixels = np.maximum(counts, 1) * float(np.prod(self.input_shape))
        return tuple((totals / pixels).tolist())
