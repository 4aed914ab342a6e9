"""Winner -> files that count only after they have been re-opened and compared.

    directory/model.keras    Keras's own format, without optimizer and loss
    directory/saved_model/   TensorFlow SavedModel, endpoint `serve`
    directory/labels.json    class names in the order of the probabilities
    directory/card.json      where the model comes from and how good it is
    directory/card.md        the same for people

The files are written beside `directory` and renamed into place last, so a directory of that name is always a whole,
compared export. Nothing is trained or chosen here.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.card import Card, to_json, to_markdown
from tuner.errors import ExportError
from tuner.files import obstacle
from tuner.folders import aside_of, clear_away, put_in_place, staging

if TYPE_CHECKING:
    import keras

__all__ = ["REOPEN_TIMEOUT_SECONDS", "TOLERANCE", "ExportReport", "check_directory", "export"]

# Largest |difference| of a probability. The spacing of float32 just below 1 is 6e-8, and another graph may add up the
# same sums in another order; 1e-5 leaves room for some 170 of these. A lost statistic or another scaling of the images
# moves probabilities far more (0.01 added to every weight of the model in the tests is refused). On a CPU, both forms
# of SE-ResNet-18 and -50 differed by 0 (TensorFlow 2.21, Keras 3.15, 100 images, also with mixed_bfloat16).
TOLERANCE = 1e-5

# Where a network's logits are large, rounding alone moves its probabilities further: those of a MobileNetV2 that had
# trained with a learning rate of 0.6 by 1.2e-4 in another process, and by 1.8e-4 in the same one where the images came
# one by one. Twice of the latter is allowed, and never more than this.
LARGEST_TOLERANCE = 1e-3

# A hang must not hold the command for ever. A tiny model takes 6 s, an SE-ResNet-50 less than 60 s on two shared cores.
REOPEN_TIMEOUT_SECONDS = 600

_REOPEN_SCRIPT = Path(__file__).with_name("reopen.py")
_EXPORT_FILES = {"model.keras", "saved_model", "labels.json", "card.json", "card.md"}
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # of programs that show folders
_TAIL_LINES = 5
_TAIL_CHARACTERS = 1000


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What an export ended with.

    Attributes:
        directory: Where the export is.
        differences: File name -> largest |difference| of a probability from the trained model's.
        left: An earlier export that stands aside, because it could not be removed; None as a rule.
    """

    directory: Path
    differences: Mapping[str, float]
    left: Path | None = None


def export(
    model: keras.Model, directory: Path, *, labels: Sequence[str], probe_images: np.ndarray, card: Card
) -> ExportReport:
    """Writes a trained model and proves that the files predict what it predicts.

    Args:
        model: Takes raw images 0..255, `(batch, height, width, channels)`, and returns `(batch, classes)`
            probabilities; stock Keras layers only, or our grouped convolutions. It may be compiled with anything and is
            not changed.
        directory: The export to be; an earlier export there is replaced, anything else refused.
        labels: Class names in the order of the probabilities.
        probe_images: The images that are compared, uint8, `(batch, height, width, channels)`, at least one.
        card: The model card, without the differences, which are filled in here.

    Returns:
        The directory and the differences found.

    Raises:
        ExportError: If the request is contradictory, the files cannot be written, they cannot be opened without this
            package, or they predict something else. What was in `directory` before is then still there.
    """
    from tensorflow.errors import OpError  # what TensorFlow raises for a full disk

    directory = Path(directory)
    _check_request(model, directory, labels=labels, probe_images=probe_images)
    expected = _predict(model, probe_images)
    place = directory.resolve()  # a link stays one
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        clear_away(place, idle_seconds=2 * REOPEN_TIMEOUT_SECONDS)
        with staging(place) as scratch:
            fresh = scratch / "fresh"
            _write_models(model, fresh)
            reopened = _reopen(fresh, probe_images, scratch=scratch)
            differences = _compare(expected, reopened, one_by_one=lambda: _predict(model, probe_images, batch_size=1))
            _write_texts(fresh, labels=labels, card=dataclasses.replace(card, export_differences=differences))
            left = put_in_place(fresh, place, previous=aside_of(scratch))
    except (OSError, OpError) as error:
        raise ExportError(f"The export to {directory} could not be written: {error}.") from error
    return ExportReport(directory=directory, differences=differences, left=left)


def check_directory(directory: Path) -> None:
    """Makes sure that an export to a directory can be written, and that nothing but an earlier one would be lost.

    Raises:
        ExportError: If something else is there, or it cannot be written to.
    """
    if why := obstacle(directory.parent):
        raise ExportError(f"The export to {directory} could not be written: {why}; mend that.")
    if not directory.exists():
        return
    names = {path.name for path in directory.iterdir()} if directory.is_dir() else {directory.name}
    others = sorted(names - _EXPORT_FILES - _LITTER)
    if others:
        raise ExportError(f"{directory} holds something else than an export, {others[0]}; move it away.")


def _check_request(model: Any, directory: Path, *, labels: Sequence[str], probe_images: np.ndarray) -> None:
    """Raises ExportError for what would fail later or destroy something."""
    check_directory(directory)
    num_classes = model.output_shape[-1]
    if len(labels) != num_classes:
        raise ExportError(f"The model has {num_classes} classes, but {len(labels)} label names were given.")
    image_shape = tuple(model.input_shape[1:])
    if probe_images.dtype != np.uint8 or probe_images.ndim != 4 or probe_images.shape[1:] != image_shape:
        raise ExportError(
            f"Probe images are {probe_images.dtype} {probe_images.shape}; "
            f"uint8 (batch, {', '.join(map(str, image_shape))}) is needed."
        )
    if len(probe_images) == 0:
        raise ExportError("Without a probe image nothing can be compared; give at least one.")


def _predict(model: Any, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
    """Returns the model's own probabilities, `(batch, classes)`, in full float32 also on a GPU.

    The files are re-opened on the CPU. TensorFloat-32, a GPU's default, keeps 10 bits of the mantissa (2^-11 = 5e-4),
    so with it a right export would be refused.
    """
    from tensorflow.config.experimental import enable_tensor_float_32_execution, tensor_float_32_execution_enabled

    before = tensor_float_32_execution_enabled()
    enable_tensor_float_32_execution(False)
    try:
        probabilities = model.predict(images.astype("float32"), batch_size=batch_size, verbose=0)
    finally:
        enable_tensor_float_32_execution(before)
    if not np.isfinite(probabilities).all():
        raise ExportError("The trained model predicts numbers that are not finite; it cannot be exported.")
    return probabilities


def _write_models(model: Any, directory: Path) -> None:
    """Writes both forms of the model into the new `directory`."""
    import keras

    from tuner.models.stock import has_grouped, with_stock_layers

    # `.keras` files keep the compile state whatever `include_optimizer` says, and `clone_model` copies it; a loss of
    # ours could not be loaded without this package. A new model over the same layers has none.
    bare = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    directory.mkdir()
    # A SavedModel holds the operations alone, and those of the stock layer are ten times slower.
    stock = with_stock_layers(bare) if has_grouped(bare) else bare
    stock.save(directory / "model.keras")
    bare.export(str(directory / "saved_model"), format="tf_saved_model", verbose=False)


def _reopen(directory: Path, probe_images: np.ndarray, *, scratch: Path) -> dict[str, np.ndarray]:
    """Predicts the probes with the files in `directory`, in a process that cannot import this package.

    Other packages come from where they do here, the user's own folder and `PYTHONPATH` included.

    Returns:
        File name -> probabilities, `(batch, classes)`.

    Raises:
        ExportError: If the files cannot be opened there.
    """
    probes, predictions = scratch / "probes.npy", scratch / "predictions.npz"
    np.save(probes, probe_images)
    command: list[str | Path] = [sys.executable, "-P", _REOPEN_SCRIPT, directory, probes, predictions]
    # The CPU is always there; on a GPU this process may hold all of the memory.
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        subprocess.run(  # noqa: S603 - our interpreter, our script, no shell
            command, env=environment, check=True, capture_output=True, text=True, timeout=REOPEN_TIMEOUT_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise ExportError(f"The export cannot be opened without this package: {_tail(error.stderr)}") from error
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"The export could not be opened within {REOPEN_TIMEOUT_SECONDS} seconds.") from error
    with np.load(predictions, allow_pickle=False) as arrays:
        return dict(arrays)


def _tail(text: str) -> str:
    """Returns the last lines, where Python names the cause."""
    return "\n".join(text.strip().splitlines()[-_TAIL_LINES:])[-_TAIL_CHARACTERS:] or "no message"


def _compare(
    expected: np.ndarray, reopened: Mapping[str, np.ndarray], *, one_by_one: Callable[[], np.ndarray]
) -> dict[str, float]:
    """Returns the largest |difference| of each file.

    Args:
        expected: Probabilities of the trained model, `(batch, classes)`.
        reopened: File name -> its probabilities.
        one_by_one: Returns those of the trained model again, in batches of one; needed beyond `TOLERANCE`.

    Raises:
        ExportError: If one exceeds `TOLERANCE` and twice what the model's own rounding does, is not a number, or has
            another shape.
    """
    differences: dict[str, float] = {}
    allowed = TOLERANCE
    for name, probabilities in reopened.items():
        if probabilities.shape != expected.shape:
            raise ExportError(f"{name} predicts {probabilities.shape}, the trained model {expected.shape}.")
        difference = float(np.max(np.abs(probabilities - expected)))
        if difference > allowed == TOLERANCE:
            rounding = float(np.max(np.abs(one_by_one() - expected)))
            allowed = min(max(TOLERANCE, 2 * rounding), LARGEST_TOLERANCE)
        if not difference <= allowed:  # also true for NaN
            raise ExportError(
                f"{name} predicts probabilities that differ from the trained model's by up to {difference:.2g}; "
                f"at most {allowed:.2g} is allowed. Nothing was exported."
            )
        differences[name] = difference
    return differences


def _write_texts(directory: Path, *, labels: Sequence[str], card: Card) -> None:
    (directory / "labels.json").write_text(json.dumps(list(labels), ensure_ascii=False) + "\n", encoding="utf-8")
    (directory / "card.json").write_text(to_json(card), encoding="utf-8")
    (directory / "card.md").write_text(to_markdown(card), encoding="utf-8")
