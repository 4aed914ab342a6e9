"""Splits whose images are decoded when they are needed: all of them may not fit into memory, or few be wanted.

Labels are in memory. Images are read and decoded in parallel by `tf.data`, some batches ahead and never all of them;
their bytes are those of `reading`, which decodes and resizes with the same functions.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tuner.data.images import resize_tensor
from tuner.data.readers import Reader, Shuffle, open_reader
from tuner.data.reading import READ_ERRORS, final_shape
from tuner.data.source import Source
from tuner.data.split import Split
from tuner.hardware import available_cores

__all__ = ["StreamedSplit", "stream_splits"]

_PREFETCHED = 4  # batches; a fixed number, because AUTOTUNE may take half of the memory


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedSplit:
    """Images that stay in their files, with their labels.

    Args:
        reader: Where the images are.
        numbers: Which of the reader's images, ascending.
        image_shape: `(height, width, channels)` after resizing.
        is_resized: Whether images are resized to it.
        labels: int32, `(n,)`, indices into `Dataset.labels`.
    """

    reader: Reader
    numbers: np.ndarray
    image_shape: tuple[int, int, int]
    is_resized: bool
    labels: np.ndarray = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", self.reader.labels[self.numbers])

    def __len__(self) -> int:
        """The number of images."""
        return len(self.numbers)

    def divide(self, kept: np.ndarray, held_out: np.ndarray) -> tuple[StreamedSplit, StreamedSplit]:
        """Returns the images at two lists of ascending indices as two splits."""
        parts = [dataclasses.replace(self, numbers=self.numbers[indices]) for indices in (kept, held_out)]
        return parts[0], parts[1]

    def union(self, *others: StreamedSplit) -> StreamedSplit:
        """Returns the images of this split and of others of the same data set, in the reader's order.

        Raises:
            ValueError: If a split is of another reader.
        """
        if any(other.reader is not self.reader for other in others):
            raise ValueError("The splits are streamed by different readers; allowed are those of one data set.")
        numbers = np.sort(np.concatenate([self.numbers, *(other.numbers for other in others)]))
        return dataclasses.replace(self, numbers=numbers)

    def chunks(self, size: int) -> Iterator[np.ndarray]:
        """Yields the images in the order of `labels`, `size` at a time.

        Raises:
            DataError: As `batches`.
        """
        for images, _ in self.batches(size):
            yield images.numpy()

    @tf.autograph.experimental.do_not_convert
    def read(self) -> Split:
        """Returns the images and labels as arrays, in the order of `labels`.

        Raises:
            DataError: As `batches`.
        """
        images, start = np.empty((len(self), *self.image_shape), np.uint8), 0
        signature = tf.TensorSpec(self.image_shape, tf.uint8)
        try:
            with tf.device("CPU:0"):
                decoded = self.reader.items(self.numbers, None).map(
                    lambda _, items: tf.map_fn(self._decode, items, fn_output_signature=signature),
                    num_parallel_calls=tf.data.AUTOTUNE,
                )
                for part in decoded.with_options(_options()).as_numpy_iterator():
                    images[start : start + len(part)] = part
                    start += len(part)
        except READ_ERRORS as error:
            raise self.reader.blame(self.numbers, None, done=start) from error
        return Split(images, self.labels)

    def batches(self, size: int, *, shuffle: Shuffle = None) -> Iterator[tuple[Any, np.ndarray]]:
        """Yields all images once, decoded ahead of their use.

        Args:
            size: Images a batch; the last one has what is left.
            shuffle: Seed and number of the epoch, from which alone their order follows; None keeps that of `labels`.

        Yields:
            Images, uint8, as a tensor, and their labels, int32.

        Raises:
            DataError: If an image cannot be read any more.
        """
        done = 0
        try:
            for images, numbers in self._pipeline(size, shuffle):
                yield images, self.reader.labels[numbers.numpy()]
                done += len(numbers)
        except READ_ERRORS as error:
            raise self.reader.blame(self.numbers, shuffle, done=done) from error

    @tf.autograph.experimental.do_not_convert
    def _pipeline(self, size: int, shuffle: Shuffle) -> Any:
        """Returns a `tf.data.Dataset` of batches of images and their numbers."""
        with tf.device("CPU:0"):
            items = self.reader.items(self.numbers, shuffle).unbatch()
            images = items.map(
                lambda number, item: (self._decode(item), number),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            return images.batch(size).prefetch(_PREFETCHED).with_options(_options())

    def _decode(self, item: Any) -> Any:
        image = self.reader.decode(item)
        image = resize_tensor(image, self.image_shape[:2]) if self.is_resized else image
        return tf.ensure_shape(image, self.image_shape)


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # A worker that shares the machine has told TensorFlow how many cores are its own (configure_runtime).
    cores = tf.config.threading.get_inter_op_parallelism_threads() or available_cores()
    options.threading.private_threadpool_size = cores
    return options


def stream_splits(source: Source, splits: list[str], *, image_size: tuple[int, int] | None) -> list[StreamedSplit]:
    """Opens splits without reading images; every process numbers them the same way, as `read_split` orders them.

    Args:
        source: The prepared data.
        splits: Names of the splits.
        image_size: Height and width in pixels, or None for the images' own.

    Raises:
        DataError: If the labels cannot be read, or images differ in size and `image_size` is None.
    """
    shape = final_shape(source, image_size)
    reader = open_reader(source, splits)
    bounds = np.cumsum([0, *(source.num_images(split) for split in splits)])
    return [
        StreamedSplit(reader, np.arange(start, stop), shape, image_size is not None)
        for start, stop in itertools.pairwise(bounds)
    ]
