"""The way from a source string to arrays. TensorFlow and TFDS are imported by the calls, not by this module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuner.data.dataset import Dataset, Split
from tuner.data.spec import DataSpec
from tuner.errors import DataError

if TYPE_CHECKING:
    from tuner.data.source import Source

__all__ = ["load", "load_test"]


def load(spec: DataSpec) -> Dataset:
    """Reads the training and validation images; the test split stays closed.

    The same specification gives the same bytes in the same order in every process. Where a data set has no validation
    split, the same stratified part of its training images is held out every time, whatever the seed of the search.

    Args:
        spec: Which data set.

    Returns:
        The images and labels as arrays.

    Raises:
        DataError: If the data is missing, broken, contradictory or larger than half of this machine's memory.
    """
    from tuner.data import reading
    from tuner.data.stratification import hold_out

    source = _open(spec)
    splits = ["train"] + ([source.validation] if source.validation else [])
    reading.check_memory(source, splits, image_size=spec.image_size)
    parts = [reading.read_split(source, split, image_size=spec.image_size) for split in splits]
    for split, part in zip(splits, parts, strict=True):
        if not len(part) or part.labels.min() < 0:
            raise DataError(f"{source.name} has images without a label in its {split} split.")
    if len(parts) == 1:
        kept, held_out = hold_out(parts[0].labels, fraction=spec.validation_fraction, names=source.labels)
        validation = Split(parts[0].images[held_out], parts[0].labels[held_out])
        parts = [reading.select(parts[0], kept), validation]
    return Dataset(name=source.name, labels=source.labels, train=parts[0], validation=parts[1])


def load_test(spec: DataSpec) -> Split | None:
    """Reads the test images; only the exporter calls it, once the winner is fixed.

    Args:
        spec: Which data set.

    Returns:
        The images and labels, or None if the data set has no test split or does not tell its labels.

    Raises:
        DataError: As `load`.
    """
    from tuner.data import reading

    source = _open(spec)
    if source.test is None or not source.num_images(source.test):
        return None
    reading.check_memory(source, [source.test], image_size=spec.image_size)
    test = reading.read_split(source, source.test, image_size=spec.image_size)
    return None if test.labels.min() < 0 else test


def _open(spec: DataSpec) -> Source:
    """Opens the builder that the source string names."""
    if spec.kind == "folder":
        from tuner.data.folder import open_folder

        return open_folder(spec.location, spec.image_size)
    from tuner.data.catalog import open_digits, open_named

    return open_digits(spec.data_dir) if spec.kind == "digits" else open_named(spec.location, spec.data_dir)
