"""A prepared TFDS builder with what `reading` has to know of it. It reads no image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tuner.data.spec import VALIDATION_NAMES
from tuner.data.tfds import tfds
from tuner.errors import DataError

__all__ = ["Source", "describe", "feature_keys"]


def _prepare_again(source: Source, split: str) -> DataError:
    return DataError(
        f"The prepared {split} images of {source.name} cannot be read; remove {source.builder.data_dir} and try again."
    )


@dataclasses.dataclass(frozen=True)
class Source:
    """Where images come from.

    Args:
        name: Name of the data set.
        builder: A `tfds.core.DatasetBuilder` whose data is prepared.
        image_key: Name of its image feature.
        label_key: Name of its label feature.
        labels: Class names.
        image_shape: `(height, width, channels)`; None where images differ.
        validation: Name of its validation split, if it has one.
        test: Name of its test split, if it has one.
        blame: Makes the error for a split whose images cannot be decoded.
    """

    name: str
    builder: Any
    image_key: str
    label_key: str
    labels: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int]
    validation: str | None
    test: str | None
    blame: Callable[[Source, str], DataError] = _prepare_again

    def num_images(self, split: str) -> int:
        """Returns the number of images in a split."""
        return self.builder.info.splits[split].num_examples


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
        builder=builder,
        image_key=image_key,
        label_key=label_key,
        labels=tuple(label.names),
        image_shape=(height, width, channels),
        validation=next((split for split in VALIDATION_NAMES if split in splits), None),
        test="test" if "test" in splits else None,
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
