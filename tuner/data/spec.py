"""Which data set a person asked for, as plain data. Standard library only: `--help` and argument errors use it."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from tuner.errors import UsageError, did_you_mean
from tuner.quantities import is_number, is_whole

__all__ = ["DIGITS_SIZE", "VALIDATION_NAMES", "DataSpec"]

DIGITS_SIZE = 8, 8
VALIDATION_NAMES = ("validation", "val", "valid", "dev")  # of splits and folders

_KINDS = ("digits", "tfds", "folder")

# name, name/config, name:version or name/config:version, as in `tfds.builder`, without its namespaces and arguments.
_TFDS_NAME = re.compile(r"[A-Za-z]\w*(/[\w.\-]+)?(:[\d*]+\.[\d*]+\.[\d*]+)?")


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """A data set and the form in which its images are wanted.

    All fields are JSON values; `DataSpec(**json.loads(text))` reads what `json.dumps(dataclasses.asdict(spec))` wrote.

    Args:
        source: `digits`, `tfds:NAME` (a TensorFlow Datasets name, also `NAME/CONFIG:VERSION`) or `folder:PATH`.
        image_size: Height and width in pixels, each >= 1, to which images are resized; None leaves them as they are.
        validation_fraction: Share of each class's training images kept for validation, in (0, 1). Unused where the
            data set has a validation split of its own.
        data_dir: Folder where TFDS keeps prepared data; None is TFDS's default (`TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`).
        images: About how many images of the training split are used, the same share of each class; None means all.
            What is held out for validation is taken from them.
        test_fraction: Share of each class's training images set aside for the test, in [0, 1), before anything else is
            taken from them. Unused where the data set has a test split of its own.

    Raises:
        UsageError: If a value is outside its range.
    """

    source: str
    image_size: tuple[int, int] | None = None
    validation_fraction: float = 0.2
    data_dir: str | None = None
    images: int | None = None
    test_fraction: float = 0.0

    def __post_init__(self) -> None:
        _check_source(self.source)
        if self.image_size is not None:
            object.__setattr__(self, "image_size", _checked_size(self.image_size))
        if not is_number(self.validation_fraction) or not 0 < self.validation_fraction < 1:
            raise UsageError(f"--validation-fraction is {self.validation_fraction!r}; allowed is between 0 and 1.")
        if not is_number(self.test_fraction) or not 0 <= self.test_fraction < 1:
            raise UsageError(f"--test-fraction is {self.test_fraction!r}; allowed is from 0 to below 1.")
        if self.images is not None and not is_whole(self.images, 1):
            raise UsageError(f"--images is {self.images!r}; allowed is a whole number from 1.")
        if self.data_dir is not None:
            if not isinstance(self.data_dir, str | os.PathLike) or not os.fspath(self.data_dir):
                raise UsageError(f"The data directory is {self.data_dir!r}; allowed is the path of a folder.")
            object.__setattr__(self, "data_dir", os.fspath(self.data_dir))

    @property
    def known_size(self) -> tuple[int, int] | None:
        """Height and width of the images in pixels, or None where only the data tells."""
        return self.image_size or (DIGITS_SIZE if self.kind == "digits" else None)

    @property
    def kind(self) -> str:
        """`digits`, `tfds` or `folder`."""
        return self.source.partition(":")[0]

    @property
    def location(self) -> str:
        """The TFDS name or the path behind the colon; empty for `digits`."""
        return self.source.partition(":")[2]


def _check_source(source: object) -> None:
    """Raises UsageError unless `source` has one of the three forms."""
    forms = "allowed is digits, tfds:NAME or folder:PATH"
    if not isinstance(source, str) or not source:
        raise UsageError(f"The data set is {source!r}; {forms}.")
    kind, colon, location = source.partition(":")
    if kind not in _KINDS:
        hint = "" if colon else f" A TensorFlow Datasets name is written tfds:{source}, a folder folder:{source}."
        raise UsageError(f"The data set is {source!r}; {forms}.{hint}{did_you_mean(kind.lower(), _KINDS)}")
    if kind == "digits" and colon:
        raise UsageError(f"The data set is {source!r}; digits stands alone, without a colon.")
    if kind != "digits" and not location:
        raise UsageError(f"The data set is {source!r}, but nothing follows the colon; {forms}.")
    if kind == "folder":
        try:
            Path(location).expanduser()
        except RuntimeError as error:  # ~NAME
            raise UsageError(
                f"The data set is {source!r}, and there is no such home folder; write ./~ for it."
            ) from error
    if kind == "tfds" and not _TFDS_NAME.fullmatch(location):
        raise UsageError(f"The data set is {source!r}; allowed is tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION.")


def _checked_size(size: object) -> tuple[int, int]:
    """Returns `(height, width)`; JSON hands a list."""
    if isinstance(size, list | tuple) and len(size) == 2 and all(is_whole(side, 1) for side in size):
        return (size[0], size[1])
    raise UsageError(f"--image-size is {size!r}; allowed are a height and a width in pixels, each at least 1.")
