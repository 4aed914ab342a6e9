"""The way from a source string to a `Dataset`. TensorFlow and TFDS are imported by the calls, not by this module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tuner.data.dataset import Dataset
from tuner.data.spec import DataSpec
from tuner.data.split import Split
from tuner.errors import DataError

if TYPE_CHECKING:
    from tuner.data.source import Source
    from tuner.data.streaming import StreamedSplit

__all__ = ["load", "load_test"]


def load(spec: DataSpec, *, on_shape: Callable[[tuple[int, int, int]], None] | None = None) -> Dataset:
    """Opens the training and validation images; the test split stays closed.

    Small data sets are read into arrays, larger ones are streamed. The same specification gives the same bytes in the
    same order in every process; only the epochs of streamed images are shuffled in another way than those of arrays.
    Where a data set has no validation split, the same stratified part of its training images is held out every time,
    whatever the seed of the search.

    Args:
        spec: Which data set.
        on_shape: Told the `(height, width, channels)` of the images, before TensorFlow computes anything.

    Returns:
        The labels, and the images as arrays or streamed.

    Raises:
        DataError: If the data is missing, broken or contradictory. Of a streamed folder the headers are checked now; a
            file that is broken behind its header is named when it is met.
    """
    from tuner.data.stratification import check_pairs, choose_images, hold_out

    source = _open(spec, on_shape=on_shape)
    splits = ["train"] + ([source.validation] if source.validation else [])
    parts = _open_splits(source, splits, spec)
    for split, part in zip(splits, parts, strict=True):
        if not len(part):
            raise DataError(f"{source.name} has no image in its {split} split.")
        if part.labels.min() < 0:
            raise DataError(f"{source.name} has images without a label in its {split} split.")
    train, *own_validation = parts
    if spec.images is not None and spec.images < len(train):
        if not own_validation:
            check_pairs(train.labels, names=source.labels)  # else more images would be asked for, in vain
        least = 1 if own_validation else 2  # of which one is held out
        unused, used = choose_images(train.labels, spec.images, least=least)
        _, train = train.divide(unused, used)
    train, *own_validation = _read_small(source, splits, spec, [train, *own_validation])
    if own_validation:
        return Dataset(name=source.name, labels=source.labels, train=train, validation=own_validation[0])
    kept, held_out = hold_out(train.labels, fraction=spec.validation_fraction, names=source.labels)
    train, validation = train.divide(kept, held_out)
    return Dataset(name=source.name, labels=source.labels, train=train, validation=validation)


def load_test(spec: DataSpec) -> Split | StreamedSplit | None:
    """Opens the test images; only the exporter calls it, once the winner is fixed.

    Args:
        spec: Which data set.

    Returns:
        The images, as arrays or streamed, and labels, or None if the data set has no test split or does not tell its
        labels.

    Raises:
        DataError: As `load`.
    """
    source = _open(spec)
    if source.test is None or not source.num_images(source.test):
        return None
    (test,) = _open_splits(source, [source.test], spec)
    if test.labels.min() < 0:
        return None
    (test,) = _read_small(source, [source.test], spec, [test])
    return test


def _open_splits(source: Source, splits: list[str], spec: DataSpec) -> Sequence[Split | StreamedSplit]:
    """Opens splits with their labels; images are read later, but for file formats that no reader knows."""
    from tuner.data import readers, reading, streaming

    if not readers.has_reader(source) and reading.fits_in_memory(source, splits, image_size=spec.image_size):
        return [reading.read_split(source, split, image_size=spec.image_size) for split in splits]
    return streaming.stream_splits(source, splits, image_size=spec.image_size)


def _read_small(
    source: Source, splits: list[str], spec: DataSpec, parts: Sequence[Split | StreamedSplit]
) -> Sequence[Split | StreamedSplit]:
    """Reads parts of splits into memory if whole splits would fit."""
    from tuner.data import reading

    if not reading.fits_in_memory(source, splits, image_size=spec.image_size):
        return parts
    return [part if isinstance(part, Split) else part.read() for part in parts]


def _open(spec: DataSpec, *, on_shape: Callable[[tuple[int, int, int]], None] | None = None) -> Source:
    """Opens the builder that the source string names; a shape that is not known is an error later, and not told."""

    def tell(shape: tuple[int | None, int | None, int]) -> None:
        height, width = spec.image_size or shape[:2]
        if on_shape and height and width:
            on_shape((height, width, shape[2]))

    if spec.kind == "folder":
        from tuner.data.folder import open_folder

        source = open_folder(spec.location, spec.image_size)
        tell(source.image_shape)
        return source
    from tuner.data.catalog import open_digits, open_named

    if spec.kind == "digits":
        return open_digits(spec.data_dir, on_shape=tell)
    return open_named(spec.location, spec.data_dir, on_shape=tell)
