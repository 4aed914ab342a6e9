"""Which image files lie where in `folder:PATH`. Standard library only: a search looks before it starts anything."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from tuner.data.spec import VALIDATION_NAMES
from tuner.errors import DataError, did_you_mean
from tuner.quantities import counted

__all__ = ["Layout", "count_images", "find_images", "find_left_out", "find_unchecked", "find_validation"]

_ENDINGS = (".png", ".jpg", ".jpeg")
_SPLITS = ("train", *VALIDATION_NAMES, "test")
_OTHER_ENDINGS = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jxl", ".pbm", ".pgm", ".pnm", ".ppm"),
    *(".svg", ".tga", ".tif", ".tiff", ".webp"),
)

# What zip files of a Mac have beside the images. Names that begin with a dot are left out as well.
_JUNK = "__MACOSX"

Layout = Mapping[str, Mapping[str, list[Path]]]  # image files by split and class


def find_images(path: str | Path) -> Layout:
    """Lists the image files of all splits, in the order of their names, without opening them.

    Args:
        path: The folder that contains the folders of the classes, or `train`, which contains them.

    Returns:
        The files by split and class; all are `train` where there are no splits.

    Raises:
        DataError: If a folder is missing, empty, unreadable or a link that leads nowhere, or a class is in `val` or
            `test` only. It names it.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; --dataset folder:PATH names the one that contains CLASS/*.png.")
    splits = _find_splits(root)
    layout = {split: _find_classes(folder) for split, folder in splits.items()}
    if len(layout["train"]) < 2:
        found = counted(len(layout["train"]), "class folder")
        raise DataError(f"{splits['train']} has {found}; at least 2 are needed, one for each class.")
    for split, classes in layout.items():
        if not classes:
            raise DataError(f"{root / split} has no class folders; add those of {root / 'train'} or remove it.")
        for name in classes:
            if name not in layout["train"]:
                raise DataError(f"{root / split / name} is a class that {root / 'train'} lacks; add or remove it.")
    return layout


def _find_splits(root: Path) -> dict[str, Path]:
    """Returns the folder of each split; where there are folders of images and no splits, all of them are `train`."""
    entries = _folders_of(root)
    for entry in entries:
        if entry.name not in _SPLITS and entry.name.lower() in _SPLITS:
            raise DataError(f"{entry} is not read; call it {entry.name.lower()}, or move it away.")
    splits = {name: root / name for name in _SPLITS if root / name in entries}
    validation = [name for name in splits if name in VALIDATION_NAMES]
    if len(validation) > 1:
        raise DataError(f"{root} has {' and '.join(validation)}; keep one folder of validation images.")
    if not splits and any(_images_of(entry, endings=(*_ENDINGS, *_OTHER_ENDINGS)) for entry in entries):
        return {"train": root}
    if "train" not in splits:
        way_out = f"put the images into {root / 'train'}/CLASS/" + ("" if splits else f", or all into {root}/CLASS/")
        raise DataError(f"{root} has no folder train; {way_out}.")
    for entry in entries:
        hint = "" if entry.name in _SPLITS else did_you_mean(entry.name, _SPLITS)
        if hint and _has_images(entry):
            raise DataError(
                f"{entry} has images and is not read beside {root / 'train'}; allowed are {', '.join(_SPLITS)}; rename "
                f"it, or move it away.{hint}"
            )
    return splits


def _has_images(folder: Path) -> bool:
    """Whether it is a folder with images in it, or in one that it contains."""
    return folder.is_dir() and (
        bool(_images_of(folder))
        or any(_images_of(entry) for entry in _listed(folder) if not _is_hidden(entry) and entry.is_dir())
    )


def find_validation(splits: Container[str]) -> str | None:
    """Returns the name of the split of validation images, or None where there is none."""
    return next((name for name in VALIDATION_NAMES if name in splits), None)


def find_unchecked(layout: Layout) -> list[str]:
    """Returns the classes of the training images that the folder of validation images lacks, where there is one."""
    validation = layout[find_validation(layout) or "train"]
    return [name for name in layout["train"] if name not in validation]


def find_left_out(layout: Layout, path: str | Path) -> dict[str, list[Path]]:
    """Returns what lies beside the images of a layout, in the order of the folders.

    Args:
        layout: What is read.
        path: The folder that it was found in.

    Returns:
        `folders` in those of classes, images in `formats` that are not PNG or JPEG by their names, `loose` images in no
        folder of a class, folders of images `beside` those of the splits, and what is `hidden`: folders, and images by
        their names.
    """
    folders = dict.fromkeys(file.parent for classes in layout.values() for files in classes.values() for file in files)
    above = dict.fromkeys([Path(path).expanduser(), *(folder.parent for folder in folders)])
    found: dict[str, list[Path]] = {"folders": [], "formats": [], "loose": [], "beside": [], "hidden": []}
    for folder in (*above, *folders):
        for file in _listed(folder):
            if kind := _left_out_as(file, is_above=folder in above):
                found[kind].append(file)
    root = Path(path).expanduser()
    read = {*above, *folders}
    found["beside"] = [
        entry for entry in _listed(root) if entry not in read and not _is_hidden(entry) and _has_images(entry)
    ]
    return found


def _left_out_as(file: Path, *, is_above: bool) -> str | None:
    name = file.name.lower()
    is_image = name.endswith((*_ENDINGS, *_OTHER_ENDINGS))  # no look at each of a million files
    if _is_hidden(file):
        return "hidden" if is_image or file.is_dir() else None
    if is_above:
        return "loose" if is_image else None
    if is_image:
        return "formats" if name.endswith(_OTHER_ENDINGS) else None
    return "folders" if file.is_dir() else None


def _is_hidden(file: Path) -> bool:
    """Whether a file or folder is one that nobody has put there as images, such as `._0.png` of a Mac."""
    return file.name.startswith(".") or file.name == _JUNK


def _listed(folder: Path) -> list[Path]:
    """Lists a folder in the order of the names.

    Raises:
        DataError: If that is not allowed, or a name is not UTF-8, which TensorFlow demands.
    """
    try:
        files = sorted(folder.iterdir(), key=lambda file: file.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error
    for file in files:
        if not file.name.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in file.name):
            shown = os.fsencode(file).decode(errors="backslashreplace")
            raise DataError(f"{shown} has a name that is not UTF-8; rename it.")
    return files


def _folders_of(folder: Path) -> list[Path]:
    """Lists the folders in a folder, but for hidden ones.

    Raises:
        DataError: If one is a link that leads nowhere, as to a disk that is not mounted. The link of a file is left
            alone, which a name with an ending is taken for.
    """
    entries = [entry for entry in _listed(folder) if not _is_hidden(entry)]
    for entry in entries:
        if not entry.suffix and entry.is_symlink() and not entry.exists():
            raise DataError(f"{entry} is a link that leads nowhere; bring back what it leads to, or remove it.")
    return [entry for entry in entries if entry.is_dir()]


def _find_classes(folder: Path) -> dict[str, list[Path]]:
    """Lists the image files of one split by class."""
    classes = {}
    for entry in _folders_of(folder):
        if not (files := _images_of(entry)):
            others = _images_of(entry, endings=_OTHER_ENDINGS)  # as phones keep photos
            what, way_out = (f", only others such as {others[0].name}", "convert them") if others else ("", "add some")
            raise DataError(f"{entry} has no images ({', '.join(_ENDINGS)}){what}; {way_out} or remove the folder.")
        classes[entry.name] = files
    return classes


def _images_of(folder: Path, endings: tuple[str, ...] = _ENDINGS) -> list[Path]:
    """Lists the files of a folder that are images by their names, but for hidden ones."""
    return [file for file in _listed(folder) if file.name.lower().endswith(endings) and not _is_hidden(file)]


def count_images(folders: Iterable[Path]) -> int:
    """Returns how many files in folders, and in those that they contain, are images by their names."""
    return sum(file.name.lower().endswith(_ENDINGS) for folder in folders for file in folder.rglob("*"))
