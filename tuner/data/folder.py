"""`folder:PATH`: images in `PATH/CLASS/`, or in `PATH/train/CLASS/` with or without `PATH/val/` and `PATH/test/`.

Names, sizes and file headers of all splits are checked before the first image is decoded, so that a mistake in the
test folder shows before a search of hours and not after it. Images have one channel if all training images are grey,
and three otherwise; the other splits follow. Their size is that of the upright images.
"""

from __future__ import annotations

from pathlib import Path

from tuner.data.headers import read_header, refused_print
from tuner.data.layout import Layout, find_images, find_validation
from tuner.data.source import Source
from tuner.errors import DataError

__all__ = ["open_folder"]


def open_folder(path: str, image_size: tuple[int, int] | None) -> Source:
    """Checks a folder of images and opens it.

    Args:
        path: The folder that contains the classes, or `train`.
        image_size: Height and width in pixels to which the images will be resized; None demands that all are equal.

    Raises:
        DataError: If a folder is missing or empty, a class is in `val` or `test` only, a file is no image, or sizes
            differ and `image_size` is None. It names the file or folder.
    """
    root = Path(path).expanduser()
    layout = find_images(root)
    image_shape, turned = _read_headers(layout, image_size)
    return Source(
        name=root.resolve().name,
        labels=tuple(layout["train"]),
        image_shape=image_shape,
        validation=find_validation(layout),
        test="test" if "test" in layout else None,
        files=layout,
        turned=turned,
    )


def _read_headers(
    layout: Layout, image_size: tuple[int, int] | None
) -> tuple[tuple[int | None, int | None, int], dict[str, int]]:
    """Returns `(height, width, channels)` of the images, and the orientations of the paths not stored upright.

    Height and width are None where they differ.
    """
    channels, sizes, prints, turned = 1, dict[tuple[int, int], Path](), list[Path](), dict[str, int]()
    for split, classes in layout.items():
        for file in (file for files in classes.values() for file in files):
            header = read_header(file)
            sizes.setdefault((header.height, header.width), file)
            prints += [file] if header.is_cmyk else []
            if header.orientation > 1:
                turned[str(file)] = header.orientation
            if split == "train":
                channels = max(channels, header.channels)
    if prints and channels == 1:
        raise refused_print(prints[0])
    if len(sizes) == 1:
        height, width = next(iter(sizes))
        return (height, width, channels), turned
    if image_size is None:
        (one, one_file), (other, other_file) = list(sizes.items())[:2]
        raise DataError(
            f"{one_file} has {one[0]}x{one[1]} pixels and {other_file} {other[0]}x{other[1]}; give --image-size."
        )
    return (None, None, channels), turned
