"""What a person should know of a folder of images before a search reads it. It opens files, and decodes none."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.data.copies import equal_files
from tuner.data.layout import Layout, count_images, find_images, find_left_out, find_unchecked, find_validation
from tuner.data.spec import DataSpec
from tuner.quantities import counted

__all__ = ["folder_notes"]

# Images that are compared before a search; of more, none is. So many files of 3 kB take 1.6 s if all have one size, and
# 0.3 s if a tenth has that of another (2 busy cores).
MOST_COMPARED = 20_000


def folder_notes(data: DataSpec) -> list[str]:
    """Returns the lines that name what of a folder of images nobody checks or sees, and flags without effect on it.

    Raises:
        DataError: If it has not the form of a data set.
    """
    layout = find_images(data.location)
    return [*_unchecked(layout), *_unused(data, layout), *_left_out(data, layout), *_copied(layout)]


def _unchecked(layout: Layout) -> Iterator[str]:
    if unchecked := find_unchecked(layout):
        classes = f"{len(unchecked)} of {len(layout['train'])} classes, such as {unchecked[0]}"
        yield f"Missing   validation images of {classes}; no score sees how well they are told apart"


def _unused(data: DataSpec, layout: Layout) -> Iterator[str]:
    """Names flags that a split of the person's own leaves without effect."""
    if (split := find_validation(layout)) and data.validation_fraction != DataSpec.validation_fraction:
        yield f"Unused    --validation-fraction: the images have a folder {split}"
    if "test" in layout and data.test_fraction > 0:
        yield "Unused    --test-fraction: the images have a folder test"


def _left_out(data: DataSpec, layout: Layout) -> Iterator[str]:
    left_out = find_left_out(layout, data.location)
    nested, beside = (counted(count_images(left_out[kind]), "image") for kind in ("folders", "beside"))
    told = {
        "folders": (
            f"{nested} in folders within those of classes",
            "only images directly in the folder of a class are read",
        ),
        "formats": (f"{len(left_out['formats'])} beside the images", "only .png, .jpg and .jpeg files are read"),
        "beside": (f"{beside} beside the splits", "only train, val and test are read"),
        "loose": (f"{counted(len(left_out['loose']), 'image')} in no folder of a class", "move them into one"),
        "hidden": (f"{len(left_out['hidden'])} hidden", "what begins with a dot and __MACOSX are not read"),
    }
    for kind, (what, why) in told.items():
        if left_out[kind]:
            yield f"Left out  {what}, such as {left_out[kind][0]}; {why}"


def _copied(layout: Layout) -> Iterator[str]:
    """Names images that lie in two classes or two splits."""
    places = {file: (split, name) for split, classes in layout.items() for name in classes for file in classes[name]}
    groups = list(equal_files(places)) if len(places) <= MOST_COMPARED else []
    reasons = {
        "split": "a score on what was trained with says too much",
        "class": "no network can tell what they are",
    }
    for part, (kind, why) in enumerate(reasons.items()):
        pairs = [
            (one, other) for one, *others in groups for other in others if places[one][part] != places[other][part]
        ]
        if pairs:
            what = f"{counted(len(pairs), 'image lies', 'images lie')} in another {kind}, too"
            yield f"Copies    {what}, such as {pairs[0][0]}, the same as {pairs[0][1]}; {why}"
