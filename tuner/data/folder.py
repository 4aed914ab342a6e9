"""`folder:PATH`: images in `PATH/train/CLASS/`, with or without `PATH/val/` and `PATH/test/`.

Names, sizes and file headers of all splits are checked before the first image is decoded, so that a mistake in the
test folder shows before a search of hours and not after it. `tfds.ImageFolder` then reads. Images have one channel if
all training images are grey, and three otherwise; the other splits follow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import tensorflow_datasets as tfds

from tuner.data.headers import read_header
from tuner.data.images import find_broken
from tuner.data.source import VALIDATION_NAMES, Source, describe
from tuner.errors import DataError

__all__ = ["open_folder"]

_ENDINGS = (".png", ".jpg", ".jpeg")

# Image files by split and class.
_Layout = Mapping[str, Mapping[str, list[Path]]]


def open_folder(path: str, image_size: tuple[int, int] | None) -> Source:
    """Checks a folder of images and opens it.

    Args:
        path: The folder that contains `train`.
        image_size: Height and width in pixels to which the images will be resized; None demands that all are equal.

    Raises:
        DataError: If a folder is missing or empty, a class is in `val` or `test` only, a file is no image, or sizes
            differ and `image_size` is None. It names the file or folder.
    """
    root = Path(path).expanduser()
    layout = _find_images(root)
    shape = _common_shape(layout, image_size)
    builder = tfds.ImageFolder(str(root), shape=(None, None, shape[2]))
    source = describe(root.resolve().name, builder)

    def blame(_: Source, split: str) -> DataError:
        files = (file for files in layout[split].values() for file in files)
        return find_broken(files, channels=shape[2])

    return dataclasses.replace(source, labels=tuple(layout["train"]), image_shape=shape, blame=blame)


def _find_images(root: Path) -> _Layout:
    """Lists the image files of all splits, in the order of their names."""
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the one that contains train/CLASS/*.png.")
    if not (root / "train").is_dir():
        raise DataError(f"{root} has no folder train; put the images into {root / 'train'}/CLASS/.")
    validation = [name for name in VALIDATION_NAMES if (root / name).is_dir()]
    if len(validation) > 1:
        raise DataError(f"{root} has {' and '.join(validation)}; keep one folder of validation images.")
    splits = ["train", *validation, *(["test"] if (root / "test").is_dir() else [])]
    layout = {split: _find_classes(root / split) for split in splits}
    if len(layout["train"]) < 2:
        raise DataError(
            f"{root / 'train'} has {len(layout['train'])} class folders; at least 2 are needed, one for each class."
        )
    for split, classes in layout.items():
        if not classes:
            raise DataError(f"{root / split} has no class folders; add those of {root / 'train'} or remove it.")
        for name in classes:
            if name not in layout["train"]:
                raise DataError(f"{root / split / name} is a class that {root / 'train'} lacks; add or remove it.")
    return layout


def _find_classes(folder: Path) -> dict[str, list[Path]]:
    """Lists the image files of one split by class."""
    classes = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not entry.is_dir():
            continue
        if entry.name.startswith("."):
            raise DataError(f"{entry} is a hidden folder among the classes; remove it.")
        files = sorted(file for file in entry.iterdir() if file.name.lower().endswith(_ENDINGS))
        if not files:
            raise DataError(f"{entry} has no images ({', '.join(_ENDINGS)}); add some or remove the folder.")
        classes[entry.name] = files
    return classes


def _common_shape(layout: _Layout, image_size: tuple[int, int] | None) -> tuple[int | None, int | None, int]:
    """Returns `(height, width, channels)` of the images; height and width None where they differ."""
    channels, sizes = 1, dict[tuple[int, int], Path]()
    for split, classes in layout.items():
        for file in (file for files in classes.values() for file in files):
            header = read_header(file)
            sizes.setdefault((header.height, header.width), file)
            if split == "train":
                channels = max(channels, header.channels)
    if len(sizes) == 1:
        height, width = next(iter(sizes))
        return height, width, channels
    if image_size is None:
        (one, one_file), (other, other_file) = list(sizes.items())[:2]
        raise DataError(
            f"{one_file} has {one[0]}x{one[1]} pixels and {other_file} {other[0]}x{other[1]}; give --image-size."
        )
    return None, None, channels
