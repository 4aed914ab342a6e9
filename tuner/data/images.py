"""Decoding and resizing of images: one way for training and for prediction, so that both see the same bytes.

An alpha channel is dropped, colour becomes grey or grey colour as the number of channels asks, and 16-bit samples are
reduced to 8. Files are turned upright as their EXIF orientation says; TFDS ignores it when it prepares data.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tuner.data.headers import read_header, refused_print
from tuner.errors import DataError

__all__ = ["decode_image", "find_broken", "resize_images", "resize_tensor", "turn_upright"]

# Orientations of images that are stored from below to above, and from right to left (JEITA CP-3451, 4.6.4); the rows of
# those from _FIRST_ASIDE on are stored as columns.
_FROM_BELOW, _FROM_RIGHT, _FIRST_ASIDE = (3, 4, 6, 7), (2, 3, 7, 8), 5


def decode_image(path: str | Path, *, channels: int, image_size: tuple[int, int] | None = None) -> np.ndarray:
    """Reads one image file exactly as `load` reads those of a folder.

    Args:
        path: A PNG or JPEG file.
        channels: 1 for grey, 3 for colour.
        image_size: Height and width in pixels; None keeps the file's own.

    Returns:
        uint8, `(height, width, channels)`, upright.

    Raises:
        DataError: If the file is missing, empty, broken, of another format, or CMYK while grey is asked for; it names
            the file.
    """
    path = Path(path)
    header = read_header(path)
    if header.is_cmyk and channels == 1:
        raise refused_print(path)
    try:
        with tf.device("CPU:0"):
            stored = tf.image.decode_image(path.read_bytes(), channels=channels, expand_animations=False)
            image = turn_upright(stored, header.orientation).numpy()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; replace or remove it.") from error
    except tf.errors.InvalidArgumentError as error:
        raise DataError(f"{path} is a broken image; replace or remove it.") from error
    return image if image_size is None else resize_images(image, image_size)


def turn_upright(image: Any, orientation: Any) -> Any:
    """Returns the image that an EXIF orientation means, also within `tf.data` pipelines.

    Args:
        image: Tensor of `(height, width, channels)`, as it is stored.
        orientation: Tensor or number from 1, upright already, to 8.

    Returns:
        Tensor of `(height, width, channels)`, or of `(width, height, channels)` where they are exchanged.
    """
    orientation = tf.cast(orientation, tf.int32)
    return tf.cond(orientation > 1, lambda: _turned(image, orientation), lambda: image)


def _turned(image: Any, orientation: Any) -> Any:
    """Returns each pixel from its place: `tf.transpose` of bytes has oneDNN complain on processors without AVX-512."""
    height, width = tf.unstack(tf.shape(image)[:2])
    rows, columns = (
        tf.where(tf.reduce_any(orientation == backwards), tf.range(side)[::-1], tf.range(side))
        for side, backwards in ((height, _FROM_BELOW), (width, _FROM_RIGHT))
    )
    places = tf.cond(
        orientation >= _FIRST_ASIDE, lambda: rows * width + columns[:, None], lambda: rows[:, None] * width + columns
    )
    return tf.gather(tf.reshape(image, (-1, image.shape[-1])), places)


def find_broken(paths: Iterable[Path], *, channels: int) -> DataError:
    """Decodes one image after the other to find the one that TensorFlow stumbled over without naming it."""
    for path in paths:
        try:
            decode_image(path, channels=channels)
        except DataError as error:
            return error
    return DataError("An image could be read only at the second attempt; try again.")


def resize_images(images: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resizes images bilinearly, with antialiasing where they shrink; equal sizes return equal bytes.

    Args:
        images: uint8, `(height, width, channels)` or `(n, height, width, channels)`.
        image_size: New height and width in pixels.

    Returns:
        uint8 of the same rank.
    """
    with tf.device("CPU:0"):  # the same bytes with and without a GPU
        return resize_tensor(tf.convert_to_tensor(images), image_size).numpy()


def resize_tensor(images: Any, image_size: tuple[int, int]) -> Any:
    """Does what `resize_images` does to tensors, within `tf.data` pipelines."""
    resized = tf.image.resize(images, image_size, method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
