"""The command that names what is on images, from an export alone: `python -m tuner.predict MODEL IMAGE...`.

It opens an export and reads image files; it needs no study, no data set and no configuration.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner import command
from tuner.errors import DataError, TunerError, UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Classifier", "ImagePrediction", "find_images", "load_classifier", "main", "predict"]

_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
_BATCH_SIZE = 32

_EPILOG = """\
examples:
  python -m tuner.predict results/digits/model seven.png
  python -m tuner.predict results/digits/model photos/ --top 1 --format csv > photos.csv
  python -m tuner.predict model.keras a.png b.jpg --format json

exit status: 0 done, 1 an image or the model could not be read, 2 wrong usage, 130 interrupted
"""


@dataclasses.dataclass(frozen=True)
class Classifier:
    """An opened export.

    Attributes:
        image_shape: (height, width, channels) that the model takes.
        labels: Class names in the order of the probabilities; None if the export has no `labels.json`.
        probabilities: Raw images, float32 `(batch, height, width, channels)` -> `(batch, classes)`.
    """

    image_shape: tuple[int, int, int]
    labels: Sequence[str] | None
    probabilities: Callable[[np.ndarray], np.ndarray]


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
    import numpy as np

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
    """Returns the image files meant by `paths`: a directory means the PNG and JPEG files in it, sorted by name.

    Args:
        paths: Image files and directories.
        on_broken: Called with an error for each path that is missing and each directory without images.
    """
    images: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(
                p for p in path.iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES and not p.name.startswith(".")
            )
            if not found:
                on_broken(DataError(f"{path} contains no png, jpg or jpeg files."))
            images += found
        elif path.exists():
            images.append(path)
        else:
            on_broken(DataError(f"{path} does not exist."))
    return images


def load_classifier(path: Path) -> Classifier:
    """Opens an export.

    Args:
        path: An export directory, a `model.keras`, or a SavedModel directory.

    Raises:
        UsageError: If there is no model at `path`, or its `labels.json` does not fit.
        TunerError: If the model cannot be opened.
    """
    file = _model_file(path)
    try:
        image_shape, num_classes, probabilities = (_open_saved_model if file.is_dir() else _open_keras)(file)
    except Exception as error:
        raise TunerError(f"{file} cannot be opened as a model: {error}") from error
    if len(image_shape) != 3 or None in image_shape or image_shape[-1] not in (1, 3):
        shape = ", ".join(str(size) for size in image_shape)
        raise TunerError(f"{file} takes ({shape}), not images (height, width, channels) with 1 or 3 channels.")
    labels = _read_labels(file.with_name("labels.json"), num_classes=num_classes)
    return Classifier(image_shape=image_shape, labels=labels, probabilities=probabilities)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tuner.predict",
        description="Names what is on images with an exported model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="export directory, model.keras, or saved_model")
    parser.add_argument(
        "images", metavar="IMAGE", type=Path, nargs="+", help="png or jpeg file, or a directory of them"
    )
    parser.add_argument(
        "--top", metavar="N", type=command.positive, default=3, help="classes for each image (default: 3)"
    )
    parser.add_argument("--format", choices=sorted(_FORMATS), default="table", help="of the output (default: table)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    broken: list[DataError] = []

    def report(error: DataError) -> None:
        broken.append(error)
        command.print_error(error)

    model = _model_file(arguments.model)  # a wrong model is reported before seconds of imports
    images = find_images(arguments.images, on_broken=report)
    if images:
        command.import_tensorflow()
        classifier = load_classifier(model)
        if classifier.labels is None:
            sys.stderr.write(f"Warning: no labels.json beside {model}; classes are shown by their index.\n")
        predictions = list(predict(classifier, images, top=arguments.top, on_broken=report))
        sys.stdout.write(_FORMATS[arguments.format](predictions))
    return command.FAILED if broken else 0


def _model_file(path: Path) -> Path:
    """Returns the `.keras` file or the SavedModel directory that `path` means."""
    if not path.exists():
        raise UsageError(f"Model {path} does not exist.")
    if path.is_file():
        if path.suffix != ".keras":
            raise UsageError(f"{path} is no model: name an export directory, a .keras file or a SavedModel directory.")
        return path.absolute()
    for candidate in (path / "model.keras", path, path / "saved_model"):
        if candidate.is_file() or (candidate / "saved_model.pb").is_file():
            return candidate.absolute()
    raise UsageError(f"{path} contains no model: neither model.keras nor a SavedModel.")


def _open_keras(file: Path) -> tuple[tuple[int, int, int], int, Callable[[np.ndarray], np.ndarray]]:
    import keras

    if not zipfile.is_zipfile(file):  # Keras would say that there is no such file
        raise ValueError("it is cut short, or no file of Keras; export it again with `python -m tuner.select`.")
    model = keras.models.load_model(file, compile=False)
    return model.input_shape[1:], model.output_shape[-1], lambda images: model.predict(images, verbose=0)


def _open_saved_model(directory: Path) -> tuple[tuple[int, int, int], int, Callable[[np.ndarray], np.ndarray]]:
    import tensorflow as tf

    saved_model = tf.saved_model.load(str(directory))
    signature = saved_model.signatures["serving_default"]
    ((name, image),) = signature.structured_input_signature[1].items()
    ((output, classes),) = signature.structured_outputs.items()

    def probabilities(images: np.ndarray) -> Any:
        _ = saved_model  # its variables live as long as it is referred to
        return signature(**{name: tf.constant(images)})[output].numpy()

    return tuple(image.shape[1:]), classes.shape[-1], probabilities


def _read_labels(file: Path, *, num_classes: int) -> list[str] | None:
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(labels, list) or len(labels) != num_classes:
        raise UsageError(f"{file} must be a list of {num_classes} names, one for each class of the model.")
    return [str(label) for label in labels]


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
    from rich.cells import cell_len, set_cell_size

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


def _json(predictions: Sequence[ImagePrediction]) -> str:
    plain = [
        {
            "image": str(prediction.image),
            "classes": [{"class": name, "probability": round(number, 6)} for name, number in prediction.classes],
        }
        for prediction in predictions
    ]
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def _csv(predictions: Sequence[ImagePrediction]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "rank", "class", "probability"])
    for prediction in predictions:
        for rank, (name, probability) in enumerate(prediction.classes, start=1):
            writer.writerow([prediction.image, rank, name, f"{probability:.6f}"])
    return text.getvalue()


_FORMATS: dict[str, Callable[[Sequence[ImagePrediction]], str]] = {"table": _table, "json": _json, "csv": _csv}

if __name__ == "__main__":
    command.leave(main())
