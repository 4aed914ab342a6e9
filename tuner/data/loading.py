"""The way from a source string to a `Dataset`. TensorFlow and TFDS are imported by the calls, not by this module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tuner.data.dataset import Dataset
from tuner.data.spec import DataSpec
from tuner.data.split import Split
from tuner.errors import DataError

if TYPE_CHECKING:
    import numpy as np

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
    from tuner.data.stratification import check_sizes, choose_images, hold_out

    source = _open(spec, on_shape=on_shape)
    splits = ["train"] + ([source.validation] if source.validation else [])
    parts = _open_splits(source, splits, spec)
    for split, part in zip(splits, parts, strict=True):
        if not len(part):
            raise DataError(f"{source.name} has no image in its {split} split.")
        if part.labels.min() < 0:
            raise DataError(f"{source.name} has images without a label in its {split} split.")
    train, *own_validation = parts
    held_out_for = [] if own_validation else ["validation"]
    set_aside = 0
    if _sets_aside(source, spec):  # the error names all that a class needs images for, not the test alone
        check_sizes(train.labels, parts=[*held_out_for, "test"], names=source.labels)
        train, test = train.divide(*_test_images(train.labels, source, spec))
        set_aside = len(test)
    if spec.images is not None and spec.images < len(train):
        check_sizes(train.labels, parts=held_out_for, names=source.labels)  # else more would be asked for, in vain
        unused, used = choose_images(train.labels, spec.images, least=1 + len(held_out_for))
        _, train = train.divide(unused, used)
    train, *own_validation = _read_small(source, splits, spec, [train, *own_validation])
    if own_validation:
        (validation,) = own_validation
    else:
        kept, held_out = hold_out(train.labels, fraction=spec.validation_fraction, names=source.labels)
        train, validation = train.divide(kept, held_out)
    turned = source.num_turned(splits)
    return Dataset(source.name, source.labels, train=train, validation=validation, set_aside=set_aside, turned=turned)


def _sets_aside(source: Source, spec: DataSpec) -> bool:
    """Whether a part of the training images is set aside for the test: a split that tells no labels counts as none."""
    from tuner.data.reading import tells_labels

    if spec.test_fraction == 0:
        return False
    return source.test is None or not source.num_images(source.test) or not tells_labels(source, source.test)


def _test_images(labels: np.ndarray, source: Source, spec: DataSpec) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of the training images that stay and of those that are set aside, the same every time."""
    from tuner.data.stratification import hold_out

    return hold_out(labels, fraction=spec.test_fraction, names=source.labels, part="test")


def load_test(spec: DataSpec) -> Split | StreamedSplit | None:
    """Opens the test images; only the exporter calls it, once the winner is fixed.

    Args:
        spec: Which data set.

    Returns:
        The images, as arrays or streamed, and labels, or None if the data set has no test split or does not tell its
        labels, and none of its training images are set aside.

    Raises:
        DataError: As `load`.
    """
    source = _open(spec)
    is_set_aside = _sets_aside(source, spec)
    split = "train" if is_set_aside else source.test
    if split is None or not source.num_images(split):
        return None
    (test,) = _open_splits(source, [split], spec)
    if is_set_aside:
        _, test = test.divide(*_test_images(test.labels, source, spec))
    if test.labels.min() < 0:
        return None
    (test,) = _read_small(source, [split], spec, [test])
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
