"""Prepared data -> arrays, in one fixed order and within the machine's memory."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tuner.data.dataset import Split
from tuner.data.images import resize_tensor
from tuner.data.source import Source
from tuner.errors import DataError

__all__ = ["check_memory", "read_split", "select", "total_memory_bytes"]

_BATCH = 128  # images handed from TensorFlow to NumPy at a time
_MEMORY_SHARE = 0.5  # the other half is for training
_SELECT_IMAGES = 1024  # images moved at a time


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
    count, shape = source.num_images(split), _final_shape(source, image_size)
    images, labels = np.empty((count, *shape), np.uint8), np.empty(count, np.int32)
    start = 0
    try:
        for image_batch, label_batch in _batches(source, split, image_size).as_numpy_iterator():
            stop = start + len(label_batch)
            images[start:stop], labels[start:stop] = image_batch, label_batch
            start = stop
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, tf.errors.NotFoundError) as error:
        raise source.blame(source, split) from error
    return Split(images, _in_source_order(labels, source))


def select(split: Split, indices: np.ndarray) -> Split:
    """Keeps the images at ascending `indices`, moved together within the array, which the result goes on using."""
    for start in range(0, len(indices), _SELECT_IMAGES):
        part = indices[start : start + _SELECT_IMAGES]
        split.images[start : start + len(part)] = split.images[part]
    return Split(split.images[: len(indices)], split.labels[indices])


def check_memory(source: Source, splits: list[str], *, image_size: tuple[int, int] | None) -> None:
    """Refuses arrays of more than half of this machine's memory before anything is read.

    Raises:
        DataError: If they are larger; it says how large, and which size of images fits.
    """
    height, width, channels = _final_shape(source, image_size)
    count = sum(source.num_images(split) for split in splits)
    needed, total = count * height * width * channels, total_memory_bytes()
    allowed = int(total * _MEMORY_SHARE)
    if needed > allowed:
        side = math.isqrt(allowed // (count * channels))
        raise DataError(
            f"{source.name} takes {needed / 2**30:.1f} GiB as {count} arrays of {height}x{width}x{channels} bytes, "
            f"more than half of this machine's {total / 2**30:.1f} GiB; a smaller --image-size fits, up to "
            f"{max(side, 1)} by {max(side, 1)} pixels."
        )


def total_memory_bytes() -> int:
    """Returns the size of this machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _final_shape(source: Source, image_size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Returns `(height, width, channels)` of the images after resizing."""
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


def _in_source_order(labels: np.ndarray, source: Source) -> np.ndarray:
    """Translates the builder's label numbers, which may cover folders that are no classes, to `source.labels`."""
    names = source.builder.info.features[source.label_key].names
    numbers = {name: number for number, name in enumerate(source.labels)}
    table = np.array([numbers.get(name, -1) for name in names], np.int32)
    return np.where(labels < 0, np.int32(-1), table[labels])
