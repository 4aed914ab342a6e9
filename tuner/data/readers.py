"""Images of prepared data by their numbers, in order or shuffled: only those that are wanted are decoded.

A reader numbers the images of one or more splits from 0, in the order in which `reading` puts them into arrays. It
holds their labels, and reads and decodes images only as `tf.data` asks for them. `streaming` makes splits of it.

Images of a folder are shuffled by a permutation of all file names. Of TFDS's shards the order is permuted; several are
read side by side, and what they yield is shuffled within windows of encoded images that fit into `WINDOW_BYTES`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tuner.data.images import find_broken, turn_upright
from tuner.data.reading import READ_ERRORS
from tuner.data.source import Source
from tuner.data.tfds import tfds
from tuner.errors import DataError

__all__ = ["WINDOW_BYTES", "FolderReader", "Reader", "ShardReader", "Shuffle", "has_reader", "open_reader"]

# About five windows exist at once, with copies: one is filled, one waits, one is emptied. Streaming 8,000 to 12,000
# records of 27 kB took 55, 160 and 213 MB with windows of 2, 16 and 32 MiB (2 cores); an ImageNet photo has 110 kB.
WINDOW_BYTES = 64 * 2**20
_WINDOW_IMAGES = 16384  # more would only delay the first batch

_OPEN_SHARDS = 16  # read side by side when shuffling, as TFDS does
_BLOCK = 16  # images taken from a shard in turn, as TFDS does
_GROUP = 256  # images handled in one call, which takes longer than the work on a small image

# Seed and number of the epoch, from which the order follows; None keeps that of the numbers.
Shuffle = tuple[int, int] | None


class Reader(Protocol):
    """What a streamed split needs of the place where its images are.

    Args:
        labels: int32, `(n,)`, the label of each number; -1 for an image without one.
    """

    labels: np.ndarray

    def items(self, numbers: np.ndarray, shuffle: Shuffle) -> Any:
        """Returns a `tf.data.Dataset` of groups of numbers and of what `decode` needs to make the image of each.

        A group may be empty.

        Args:
            numbers: Which images, ascending.
            shuffle: Seed and epoch, or None.
        """

    def decode(self, item: Any) -> Any:
        """Returns an image, uint8, as tensor."""

    def blame(self, numbers: np.ndarray, shuffle: Shuffle, *, done: int) -> DataError:
        """Returns the error for an image that cannot be read, after the first `done` of `items(numbers, shuffle)`."""


def open_reader(source: Source, splits: list[str]) -> Reader:
    """Returns the reader of a source's splits, numbered one split after the other.

    Raises:
        DataError: If the labels cannot be read.
    """
    return (ShardReader if source.files is None else FolderReader)(source, splits)


def has_reader(source: Source) -> bool:
    """Whether there is a reader for the form in which the source's images are kept."""
    return source.files is not None or source.builder.info.file_format == tfds.core.FileFormat.TFRECORD


class FolderReader:
    """Reads the image files of class folders."""

    def __init__(self, source: Source, splits: list[str]) -> None:
        pairs = [pair for split in splits for pair in _mixed(source, split)]
        self.labels = np.array([number for _, number in pairs], np.int32)
        self._paths = [path for path, _ in pairs]
        self._orientations = np.array([source.turned.get(path, 1) for path, _ in pairs], np.uint8)
        self._has_turned = bool(source.turned)  # the question alone takes a sixth of the time of a small image
        self._channels = source.image_shape[2]
        self._feature = tfds.features.Image(shape=(None, None, self._channels))

    def items(self, numbers: np.ndarray, shuffle: Shuffle) -> Any:
        """Returns groups of numbers and of paths with orientations, fully permuted if shuffled."""
        files = tf.constant(self._paths), tf.constant(self._orientations)
        groups = tf.data.Dataset.from_tensor_slices(_permuted(numbers, shuffle)).batch(_GROUP)
        return groups.map(lambda group: (group, tuple(tf.gather(each, group) for each in files)))

    def decode(self, item: Any) -> Any:
        """Reads and decodes the file of a path, and turns the image upright."""
        path, orientation = item
        image = self._feature.decode_example(tf.io.read_file(path))
        return turn_upright(image, orientation) if self._has_turned else image

    def blame(self, numbers: np.ndarray, shuffle: Shuffle, *, done: int) -> DataError:
        """Finds the broken file among those that were not read."""
        left: Iterable[int] = _permuted(numbers, shuffle)[done:]
        return find_broken((Path(self._paths[number]) for number in left), channels=self._channels)


def _mixed(source: Source, split: str) -> list[tuple[str, int]]:
    """Returns paths and labels of a folder's files, mixed once, the same way every time.

    The order is that of `tfds.ImageFolder`, whose random numbers follow from the name of the split.
    """
    assert source.files is not None, "a folder has files"
    classes = source.files[split]
    pairs = [(str(file), number) for number, name in enumerate(source.labels) for file in classes.get(name, ())]
    random.Random(split).shuffle(pairs)  # noqa: S311
    return pairs


class ShardReader:
    """Reads the TFRecord files of a prepared TFDS data set; reads all of them once for their labels."""

    def __init__(self, source: Source, splits: list[str]) -> None:
        info = source.builder.info
        if not has_reader(source):
            raise DataError(
                f"{source.name} is too large for memory and prepared as {info.file_format.value}; prepare it as "
                "tfrecord (tfds build --file_format=tfrecord) or give a smaller --image-size."
            )
        self._source, self._splits = source, splits
        shards = [shard for split in splits for shard in info.splits[split].file_instructions]
        self._paths = np.array([str(shard.filename) for shard in shards])
        self._bounds = np.cumsum([0, *(shard.take for shard in shards)])
        self._image = tfds.features.FeaturesDict({source.image_key: info.features[source.image_key]})
        size = sum(tf.io.gfile.stat(path).length for path in self._paths) // max(1, self._bounds[-1])
        self._window = min(max(_OPEN_SHARDS, WINDOW_BYTES // max(1, int(size))), _WINDOW_IMAGES)
        self.labels = self._read_labels()

    def items(self, numbers: np.ndarray, shuffle: Shuffle) -> Any:
        """Returns groups of numbers and records; shards without any of the numbers are not opened."""
        is_wanted = np.zeros(self._bounds[-1], bool)
        is_wanted[numbers] = True
        wanted = tf.constant(is_wanted)
        shards = np.flatnonzero(np.diff(np.searchsorted(numbers, self._bounds)))
        records = self._records(_permuted(shards, shuffle), side_by_side=shuffle is not None)

        def keep_wanted(numbers: Any, items: Any) -> tuple[Any, Any]:
            is_kept = tf.gather(wanted, numbers)
            return tf.boolean_mask(numbers, is_kept), tf.boolean_mask(items, is_kept)

        groups = records.map(keep_wanted)
        return groups if shuffle is None else _shuffled(groups, shuffle, window=self._window)

    def decode(self, item: Any) -> Any:
        """Decodes the image of a record."""
        return self._image.deserialize_example(item)[self._source.image_key]

    def blame(self, numbers: np.ndarray, shuffle: Shuffle, *, done: int) -> DataError:
        """Says that the prepared data has changed or cannot be decoded."""
        return self._source.unreadable(" and ".join(self._splits))

    def _records(self, shards: np.ndarray, *, side_by_side: bool) -> Any:
        """Returns groups of numbers and records, of one shard after the other or of several in turn."""
        records = tf.data.Dataset.from_tensor_slices((self._paths[shards], self._bounds[shards])).interleave(
            lambda path, first: tf.data.TFRecordDataset(path, buffer_size=2**20).enumerate(first),
            cycle_length=_OPEN_SHARDS if side_by_side else 1,
            block_length=_BLOCK,
            num_parallel_calls=tf.data.AUTOTUNE if side_by_side else None,
            deterministic=True if side_by_side else None,  # one after the other is in order anyway
        )
        return records.batch(min(_GROUP, self._window))

    @tf.autograph.experimental.do_not_convert
    def _read_labels(self) -> np.ndarray:
        """Reads every record once, without decoding its image."""
        key, count = self._source.label_key, self._bounds[-1]
        fields = tfds.features.FeaturesDict({key: self._source.builder.info.features[key]}).tf_example_spec
        labels, seen = np.full(count, -1, np.int64), 0
        pairs = self._records(np.arange(len(self._paths)), side_by_side=True).map(
            lambda numbers, items: (numbers, tf.io.parse_example(items, fields)[key]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        try:
            for numbers, values in pairs.as_numpy_iterator():
                labels[numbers], seen = values, seen + len(numbers)
        except (*READ_ERRORS, IndexError) as error:  # IndexError: more records than TFDS has noted
            raise self.blame(np.arange(count), None, done=seen) from error
        if seen != count:
            raise self.blame(np.arange(count), None, done=seen)
        return np.maximum(labels, -1).astype(np.int32)


def _permuted(numbers: np.ndarray, shuffle: Shuffle) -> np.ndarray:
    """Returns the numbers in the order of an epoch."""
    return numbers if shuffle is None else np.random.default_rng(shuffle).permutation(numbers)


def _shuffled(groups: Any, shuffle: tuple[int, int], *, window: int) -> Any:
    """Returns windows of records, each in another order.

    `Dataset.shuffle` would mix TensorFlow's global seed in, so that the order would not follow from `shuffle` alone.
    """
    first, second = np.random.SeedSequence(shuffle).generate_state(2).astype(np.int64)

    def permute(index: Any, window_of: tuple[Any, Any]) -> tuple[Any, Any]:
        numbers, items = window_of
        seed = tf.stack([tf.constant(first), second + index])
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(numbers)), seed=seed)
        return tf.gather(numbers, order), tf.gather(items, order)

    return groups.rebatch(window).enumerate().map(permute).prefetch(1)
