"""The command that names what is on images, from an export alone: `python -m tuner.predict MODEL IMAGE...`.

It opens an export and reads image files; it needs no study, no data set and no configuration.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner import command
from tuner.classifier import Classifier, load_classifier, model_file
from tuner.errors import DataError
from tuner.imports import import_tensorflow

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Classifier", "ImagePrediction", "find_images", "load_classifier", "main", "predict"]

_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
_BATCH_SIZE = 32

_EPILOG = """\
examples:
  python -m tuner.predict results/digits/model seven.png
  python -m tuner.predict results/digits/model photos/ --format csv > photos.csv
  python -m tuner.predict model.keras a.png b.jpg --format json

exit status: 0 done, 1 an image or the model could not be read, 2 wrong usage or
no model there, 130 interrupted (143 by SIGTERM)
"""


@dataclasses.dataclass(frozen=True)
class ImagePrediction:
    """The likeliest classes of one image.

    Attributes:
        image: The image file.
        classes: (name, probability), the likeliest first.
    """

    image: Path
    classes: Sequence[tuple[str, float]]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    return command.run(lambda: _run(arguments), debug=arguments.debug)


def predict(
    classifier: Classifier, images: Sequence[Path], *, top: int, on_broken: Callable[[DataError], None]
) -> Iterator[ImagePrediction]:
    """Yields the likeliest classes of each image that can be read.

    Args:
        classifier: An opened export.
        images: Image files.
        top: Number of classes for each image, >= 1.
        on_broken: Called with the error of each image that cannot be read; the others go on.
    """
    import numpy as np  # which --help must not wait for

    for start in range(0, len(images), _BATCH_SIZE):
        readable, pixels = [], []
        for path in images[start : start + _BATCH_SIZE]:
            try:
                pixels.append(_decode(path, classifier.image_shape))
                readable.append(path)
            except DataError as error:
                on_broken(error)
        if readable:
            batch = classifier.probabilities(np.stack(pixels).astype("float32"))
            for path, row in zip(readable, batch, strict=True):
                yield ImagePrediction(path, _likeliest(row, classifier.labels, top=top))


def find_images(paths: Sequence[Path], *, on_broken: Callable[[DataError], None]) -> list[Path]:
    """Returns the image files meant by `paths`: a directory means the PNG and JPEG files in it and its directories.

    They are sorted by path. Links are followed. What is hidden, with a name that begins with a dot, is passed over.

    Args:
        paths: Image files and directories.
        on_broken: Called with an error for each path that is missing or closed and each directory without images.
    """
    images: list[Path] = []
    for path in paths:
        try:
            is_directory = stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            on_broken(DataError(f"{path} does not exist."))
            continue
        except OSError as error:  # in a folder that is closed to us
            on_broken(DataError(f"{path} cannot be read: {error.strerror}."))
            continue
        if is_directory:
            found = sorted(_images_below(path, on_broken=on_broken))
            if not found:
                on_broken(DataError(f"{path} contains no png, jpg or jpeg files."))
            images += found
        else:
            images.append(path)
    return images


def _images_below(directory: Path, *, on_broken: Callable[[DataError], None]) -> Iterator[Path]:
    def report(error: OSError) -> None:
        on_broken(DataError(f"{error.filename} cannot be read: {error.strerror}."))

    for folder, folders, files in os.walk(directory, onerror=report, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _leads_back(Path(folder, name))]
        for name in files:
            if Path(name).suffix.lower() in _IMAGE_SUFFIXES and not name.startswith("."):
                yield Path(folder, name)


def _leads_back(directory: Path) -> bool:
    """Whether it is a link to a directory that it lies in, where one would walk in a circle."""
    return directory.is_symlink() and any(directory.samefile(above) for above in directory.absolute().parents)


def _parser() -> argparse.ArgumentParser:
    parser = command.make_parser("tuner.predict", "Names what is on images with an exported model.", examples=_EPILOG)
    parser.add_argument("model", metavar="MODEL", type=Path, help="export directory, model.keras, or saved_model")
    parser.add_argument(
        "images",
        metavar="IMAGE",
        type=Path,
        nargs="+",
        help="png or jpeg file, or a directory of them or of such ones",
    )
    parser.add_argument(
        "--top", metavar="N", type=command.positive, default=3, help="classes for each image (default: 3)"
    )
    parser.add_argument("--format", choices=sorted(_FORMATS), default="table", help="of the output (default: table)")
    command.add_debug_flag(parser)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    broken: list[DataError] = []

    def report(error: DataError) -> None:
        broken.append(error)
        command.print_error(error)

    model = model_file(arguments.model)  # a wrong model is reported before seconds of imports
    images = find_images(arguments.images, on_broken=report)
    if images:
        import_tensorflow()
        classifier = load_classifier(model)
        if classifier.labels is None:
            sys.stderr.write(f"Warning: no labels.json beside {model}; classes are shown by their index.\n")
        predictions = predict(classifier, images, top=arguments.top, on_broken=report)
        sys.stdout.writelines(_FORMATS[arguments.format](predictions))
    elif arguments.format != "table":
        sys.stdout.writelines(_FORMATS[arguments.format]([]))
    return command.FAILED if broken else 0


def _decode(path: Path, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns an image file as uint8 of `image_shape`; the seam to `tuner.data`, whose import is heavy."""
    from tuner.data.images import decode_image

    height, width, channels = image_shape
    return decode_image(path, channels=channels, image_size=(height, width))


def _likeliest(probabilities: np.ndarray, labels: Sequence[str] | None, *, top: int) -> list[tuple[str, float]]:
    order = sorted(range(len(probabilities)), key=lambda index: -probabilities[index])[:top]
    return [(labels[index] if labels else str(index), float(probabilities[index])) for index in order]


def _table(predictions: Sequence[ImagePrediction]) -> str:
    """Returns aligned columns, some letters taking two places; the image is named in its first line only."""
    from rich.cells import cell_len, set_cell_size  # which --help must not wait for

    rows = [("image", "class", "probability")]
    for prediction in predictions:
        for rank, (name, probability) in enumerate(prediction.classes):
            image = "" if rank else str(prediction.image)
            rows.append((_in_one_line(image), _in_one_line(name), f"{probability:.4f}"))
    widths = [max(cell_len(row[column]) for row in rows) for column in (0, 1)]
    lines = [(*(set_cell_size(*pair) for pair in zip(row[:2], widths, strict=True)), row[2]) for row in rows]
    return "".join(f"{'  '.join(line)}\n" for line in lines)


def _in_one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _as_json(predictions: Iterable[ImagePrediction]) -> Iterator[str]:
    """Yields the text of one JSON list, an image at a time."""
    separator = "[\n"
    for prediction in predictions:
        plain = {
            "image": str(prediction.image),
            "classes": [{"class": name, "probability": round(number, 6)} for name, number in prediction.classes],
        }
        yield separator + "  " + json.dumps(plain, indent=2, ensure_ascii=False).replace("\n", "\n  ")
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _as_csv(predictions: Iterable[ImagePrediction]) -> Iterator[str]:
    yield _csv_line(["image", "rank", "class", "probability"])
    for prediction in predictions:
        for rank, (name, probability) in enumerate(prediction.classes, start=1):
            yield _csv_line([prediction.image, rank, name, f"{probability:.6f}"])


def _csv_line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


# A table is as wide as its widest name, so it comes when all images are done; of the others each as it is.
_FORMATS: dict[str, Callable[[Iterable[ImagePrediction]], Iterable[str]]] = {
    "table": lambda predictions: [_table(list(predictions))],
    "json": _as_json,
    "csv": _as_csv,
}

if __name__ == "__main__":
    command.leave(main())
