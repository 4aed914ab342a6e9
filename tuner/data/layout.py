"""Which image files lie where in `folder:PATH`. Standard library only: a search looks before it starts anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tuner.data.spec import VALIDATION_NAMES
from tuner.errors import DataError

__all__ = ["Layout", "find_images", "find_left_out"]

_ENDINGS = (".png", ".jpg", ".jpeg")
_OTHER_ENDINGS = (".avif", ".bmp", ".gif", ".heic", ".jp2", ".tif", ".tiff", ".webp")

Layout = Mapping[str, Mapping[str, list[Path]]]  # image files by split and class


def find_images(path: str | Path) -> Layout:
    """Lists the image files of all splits, in the order of their names, without opening them.

    Args:
        path: The folder that contains `train`.

    Returns:
        The files by split and class.

    Raises:
        DataError: If a folder is missing or empty, or a class is in `val` or `test` only. It names the folder.
    """
    root = Path(path).expanduser()
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


def find_left_out(layout: Layout) -> list[Path]:
    """Returns the files beside the images of a layout that are images by their names, but not PNG or JPEG."""
    folders = dict.fromkeys(file.parent for classes in layout.values() for files in classes.values() for file in files)
    return [file for folder in folders for file in _with_ending(folder, _OTHER_ENDINGS)]


def _with_ending(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name.lower().endswith(endings))


def _find_classes(folder: Path) -> dict[str, list[Path]]:
    """Lists the image files of one split by class."""
    classes = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not entry.is_dir():
            continue
        if entry.name.startswith("."):
            raise DataError(f"{entry} is a hidden folder among the classes; remove it.")
        files = _with_ending(entry, _ENDINGS)
        if not files:
            raise DataError(f"{entry} has no images ({', '.join(_ENDINGS)}); add some or remove the folder.")
        classes[entry.name] = files
    return classes
