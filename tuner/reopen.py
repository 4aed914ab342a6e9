"""Opens an export as a stranger would: in a fresh process that cannot import this package.

    python -P tuner/reopen.py MODEL_DIRECTORY PROBES.npy PREDICTIONS.npz

Run by path by `tuner/exporter.py`, never imported. Reads probe images, `(batch, height, width, channels)`, and writes
one array of probabilities, `(batch, classes)`, for each form of the model, under the name of its file.
"""

from __future__ import annotations

import sys

sys.modules["tuner"] = None  # type: ignore[assignment]  # from here on `import tuner` raises ImportError

from collections.abc import Callable  # noqa: E402 - after the block above, so that nothing can slip past it
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

BATCH_SIZE = 32  # the default of `keras.Model.predict`, which made the figures these are compared with


def main(model_directory: str, probes_file: str, predictions_file: str) -> None:
    """Predicts the probes with both forms of the model and writes the probabilities.

    Args:
        model_directory: Contains `model.keras` and `saved_model/`.
        probes_file: An `.npy` array, `(batch, height, width, channels)`, values 0..255.
        predictions_file: The `.npz` to write, with arrays "model.keras" and "saved_model".
    """
    _require_absent_package()
    import keras
    import tensorflow as tf

    probes = np.load(probes_file, allow_pickle=False).astype("float32")
    model = keras.models.load_model(Path(model_directory) / "model.keras")
    saved_model = tf.saved_model.load(str(Path(model_directory) / "saved_model"))
    predictions = {
        "model.keras": model.predict(probes, batch_size=BATCH_SIZE, verbose=0),
        "saved_model": _in_batches(lambda batch: saved_model.serve(tf.constant(batch)).numpy(), probes),
    }
    np.savez(predictions_file, **predictions)


def _require_absent_package() -> None:
    """Raises RuntimeError if this package can be imported after all."""
    try:
        import tuner  # noqa: F401
    except ImportError:
        return
    raise RuntimeError("the package tuner can be imported, so re-opening would prove nothing")


def _in_batches(predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    return np.concatenate([predict(images[i : i + BATCH_SIZE]) for i in range(0, len(images), BATCH_SIZE)])


if __name__ == "__main__":
    main(*sys.argv[1:])
