"""Opens an export as what names images: without the study, the data set or the configuration it came from.

Keras and TensorFlow are imported by the calls, so that a path without a model does not wait for them.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import TunerError, UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Classifier", "load_classifier", "model_file"]


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


def load_classifier(path: Path) -> Classifier:
    """Opens an export.

    Args:
        path: An export directory, a `model.keras`, or a SavedModel directory.

    Raises:
        UsageError: If there is no model at `path`, or its `labels.json` does not fit.
        TunerError: If the model or its labels cannot be read or opened.
    """
    file = model_file(path)
    try:
        (file / "saved_model.pb" if file.is_dir() else file).open("rb").close()
    except OSError as error:
        raise TunerError(f"{file} cannot be read: {error.strerror or error}; mend that.") from error
    try:
        image_shape, num_classes, probabilities = (_open_saved_model if file.is_dir() else _open_keras)(file)
    except Exception as error:
        raise TunerError(f"{file} cannot be opened as a model: {error}") from error
    if len(image_shape) != 3 or None in image_shape or image_shape[-1] not in (1, 3):
        shape = ", ".join(str(size) for size in image_shape)
        raise TunerError(f"{file} takes ({shape}), not images (height, width, channels) with 1 or 3 channels.")
    labels = _read_labels(file.with_name("labels.json"), num_classes=num_classes)
    return Classifier(image_shape=image_shape, labels=labels, probabilities=probabilities)


def model_file(path: Path) -> Path:
    """Returns the `.keras` file or the SavedModel directory that `path` means.

    Raises:
        UsageError: If there is none.
    """
    if not path.exists():
        raise UsageError(f"Model {path} does not exist.")
    if path.is_file():
        if path.suffix != ".keras":
            raise UsageError(f"{path} is no model: name an export directory, a .keras file or a SavedModel directory.")
        return path.absolute()
    for candidate in (path / "model.keras", path, path / "saved_model"):
        if candidate.is_file() or (candidate / "saved_model.pb").is_file():
            return candidate.absolute()
    hint = f"; that of a study is {path / 'model'}" if (path / "model").is_dir() else ""
    raise UsageError(f"{path} contains no model: neither model.keras nor a SavedModel{hint}.")


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
    except OSError as error:
        raise TunerError(f"{file} cannot be read: {error.strerror or error}; mend that.") from error
    except ValueError as error:
        raise UsageError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(labels, list) or len(labels) != num_classes:
        raise UsageError(f"{file} must be a list of {num_classes} names, one for each class of the model.")
    return [str(label) for label in labels]
