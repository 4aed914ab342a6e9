"""Where the images of a data set are, in a prepared TFDS builder or in files, and what they are. It reads no image."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tuner.data.layout import Layout, find_validation
from tuner.data.tfds import tfds
from tuner.errors import DataError

__all__ = ["Source", "describe", "feature_keys"]


@dataclasses.dataclass(frozen=True)
class Source:
    """Where images come from.

    Args:
        name: Name of the data set.
        labels: Class names.
        image_shape: `(height, width, channels)`; None where images differ.
        validation: Name of its validation split, if it has one.
        test: Name of its test split, if it has one.
        files: The image files of a folder; None where there is a builder.
        turned: EXIF orientations, 2 to 8, by the path of those files that are not stored upright.
        builder: A `tfds.core.DatasetBuilder` whose data is prepared; None where there are files.
        image_key: Name of the builder's image feature.
        label_key: Name of its label feature.
    """

    name: str
    labels: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int]
    validation: str | None
    test: str | None
    files: Layout | None = None
    turned: Mapping[str, int] = dataclasses.field(default_factory=dict)
    builder: Any = None
    image_key: str = "image"
    label_key: str = "label"

    def num_images(self, split: str) -> int:
        """Returns the number of images in a split."""
        if self.files is not None:
            return sum(map(len, self.files[split].values()))
        return self.builder.info.splits[split].num_examples

    def num_turned(self, splits: Iterable[str]) -> int:
        """Returns the number of images in splits that are turned upright when they are read."""
        if self.files is None or not self.turned:
            return 0
        classes = [files for split in splits for files in self.files[split].values()]
        return sum(str(file) in self.turned for files in classes for file in files)

    def unreadable(self, splits: str) -> DataError:
        """Returns the error for prepared images that cannot be read."""
        return DataError(
            f"The prepared {splits} images of {self.name} cannot be read; remove {self.builder.data_dir} and try again."
        )


def describe(name: str, builder: Any) -> Source:
    """Finds the images, labels and splits of a prepared builder.

    Args:
        name: Name for messages.
        builder: A prepared `tfds.core.DatasetBuilder`.

    Raises:
        DataError: If it is no image-classification data set: no image or label feature, values other than bytes,
            fewer than two classes, or no train split.
    """
    image_key, label_key = feature_keys(name, builder.info)
    image, label = builder.info.features[image_key], builder.info.features[label_key]
    height, width, channels = image.shape
    if np.dtype(image.np_dtype) != np.uint8 or channels is None:
        raise DataError(
            f"{name} has images of type {np.dtype(image.np_dtype)} with {channels or 'varying'} channels; allowed are "
            "bytes (uint8) with a fixed number of channels."
        )
    if not label.num_classes or label.num_classes < 2:
        raise DataError(f"{name} has {label.num_classes or 'no'} classes; at least 2 are needed to classify.")
    splits = builder.info.splits
    if "train" not in splits or not splits["train"].num_examples:
        raise DataError(f"{name} has no training images: its splits are {', '.join(splits) or 'none'}, not train.")
    return Source(
        name=name,
        labels=tuple(label.names),
        image_shape=(height, width, channels),
        validation=find_validation(splits),
        test="test" if "test" in splits else None,
        builder=builder,
        image_key=image_key,
        label_key=label_key,
    )


def feature_keys(name: str, info: Any) -> tuple[str, str]:
    """Returns the names of the image and the label feature, which TFDS knows before it downloads anything.

    Args:
        name: Name for messages.
        info: A `tfds.core.DatasetInfo`.

    Raises:
        DataError: If there is no image with one class label.
    """
    pair = info.supervised_keys if len(info.supervised_keys or ()) == 2 else ("image", "label")
    wanted = (tfds.features.Image, tfds.features.ClassLabel)
    features = info.features if isinstance(info.features, tfds.features.FeaturesDict) else {}
    for key, kind in zip(pair, wanted, strict=True):
        if not isinstance(key, str) or key not in features or not isinstance(features[key], kind):
            raise DataError(
                f"{name} is no image-classification data set: it has the features {', '.join(features) or 'none'}, "
                "and no image with one class label."
            )
    return pair
