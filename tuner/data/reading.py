"""Prepared data -> arrays, in one fixed order; which data is small enough for that."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tuner.data.images import resize_tensor
from tuner.data.source import Source
from tuner.data.split import Split
from tuner.data.tfds import tfds
from tuner.errors import DataError
from tuner.hardware import total_memory_bytes

__all__ = ["READ_ERRORS", "final_shape", "fits_in_memory", "read_split", "tells_labels"]

_BATCH = 128  # images handed from TensorFlow to NumPy at a time

# Arrays may take an eighth of memory: they exist up to four times, as arrays and as tensors, and once more of each when
# training and validation images are joined; several workers have their own. A GPU of 8 GB has to hold the tensors too,
# and machines of 16 GB and more agree on what is streamed, and so on the order of its images.
_MEMORY_SHARE = 0.125
_LARGEST_BYTES = 2 * 2**30

# What TensorFlow raises for images that are broken, torn, gone, closed to us, folders by now, or on a disk that fails.
READ_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)


@tf.autograph.experimental.do_not_convert
def read_split(source: Source, split: str, *, image_size: tuple[int, int] | None) -> Split:
    """Reads a whole split; every process and every run gets the same bytes in the same order.

    Args:
        source: The prepared data.
        split: Name of the split.
        image_size: Height and width in pixels, or None for the images' own.

    Returns:
        The images and labels; an image without a label has label -1.

    Raises:
        DataError: If an image cannot be decoded, or images differ in size and `image_size` is None.
    """
    count, shape = source.num_images(split), final_shape(source, image_size)
    images, labels = np.empty((count, *shape), np.uint8), np.empty(count, np.int32)
    start = 0
    try:
        for image_batch, label_batch in _batches(source, split, image_size).as_numpy_iterator():
            stop = start + len(label_batch)
            images[start:stop], labels[start:stop] = image_batch, label_batch
            start = stop
    except READ_ERRORS as error:
        raise source.unreadable(split) from error
    return Split(images, np.maximum(labels, -1))


def fits_in_memory(source: Source, splits: list[str], *, image_size: tuple[int, int] | None) -> bool:
    """Whether arrays of the splits leave enough of this machine's memory to train; larger ones are streamed.

    Raises:
        DataError: If images differ in size and `image_size` is None.
    """
    height, width, channels = final_shape(source, image_size)
    needed = sum(source.num_images(split) for split in splits) * height * width * channels
    return needed <= min(int(total_memory_bytes() * _MEMORY_SHARE), _LARGEST_BYTES)


def tells_labels(source: Source, split: str) -> bool:
    """Whether the images of a split have labels, as those of a competition's test have not: its first one says so.

    Raises:
        DataError: If it cannot be read.
    """
    if source.files is not None:
        return True
    undecoded = {source.image_key: tfds.decode.SkipDecoding()}
    try:
        (first,) = source.builder.as_dataset(split=f"{split}[:1]", decoders=undecoded).as_numpy_iterator()
    except READ_ERRORS as error:
        raise source.unreadable(split) from error
    return bool(first[source.label_key] >= 0)


def final_shape(source: Source, image_size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Returns `(height, width, channels)` of the images after resizing.

    Raises:
        DataError: If images differ in size and `image_size` is None.
    """
    height, width = image_size or source.image_shape[:2]
    if height is None or width is None:
        raise DataError(f"The images of {source.name} differ in size; give --image-size.")
    return height, width, source.image_shape[2]


def _batches(source: Source, split: str, image_size: tuple[int, int] | None) -> Any:
    """Returns a `tf.data.Dataset` of image and label batches in the order of the files."""
    config = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1, shuffle_seed=0)
    config.options.deterministic = True
    examples = source.builder.as_dataset(split=split, shuffle_files=False, read_config=config)

    def to_pair(example: dict[str, Any]) -> tuple[Any, Any]:
        image = example[source.image_key]
        return (image if image_size is None else resize_tensor(image, image_size)), example[source.label_key]

    return examples.map(to_pair, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(_BATCH)
