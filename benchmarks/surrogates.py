"""Problems fitted to recorded trainings: extra trees answer for configurations that were not recorded.

Recordings of our own spaces are those of `record_curves.py` under another name, `recorded-SPACE-DATASET.csv`: a problem
stays what it is when the program comes to train otherwise.

The forest's curve counts as noise-free. The noise is that of the recording: how far a score is off the middle of the
epochs before and after it.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from problem import Problem
from record_curves import RESULTS, read_curves
from sklearn.ensemble import ExtraTreesRegressor
from spaces import Declare, Parameter, Values, active_values, recorded

__all__ = ["Recording", "Surrogate", "recorded_problems"]

SMALLEST_RECORDING = 100  # configurations; fewer say too little between them
TREES, LEAF = 100, 2
IMAGENET_FILE, IMAGENET_EPOCHS, IMAGENET_POINTS = "opda_alexnet.npz", 60, 27
CHANCE = 0.001


@dataclasses.dataclass(frozen=True)
class Recording:
    """Recorded learning curves.

    Args:
        values: Active values of each configuration.
        curves: Scores after each epoch, `(configurations, epochs)`; NaN from where one diverged.
    """

    values: Sequence[Mapping[str, Any]]
    curves: np.ndarray


class Surrogate(Problem):
    """A problem fitted to recorded curves.

    One forest predicts the curve, whether it diverges and when: a configuration diverges where most of its neighbours
    do. A diverged curve stays at its last score for the fit.

    Args:
        name: Name in results.
        declare: Declares the space.
        recording: What was recorded.
        features: Active values -> numbers that help the forest beside the values themselves.
    """

    def __init__(
        self, name: str, declare: Declare, recording: Recording, features: Callable[[Mapping[str, Any]], list[float]]
    ) -> None:
        super().__init__(name, declare, recorded_deviation(recording.curves))
        self._features = features
        lengths = np.isfinite(recording.curves).sum(axis=1)
        alive = lengths / self.max_epochs
        places = np.minimum(np.arange(self.max_epochs), np.maximum(lengths, 1)[:, None] - 1)
        filled = np.nan_to_num(np.take_along_axis(recording.curves, places, axis=1))
        forest = ExtraTreesRegressor(TREES, min_samples_leaf=LEAF, max_features=0.8, random_state=0)
        forest.fit(self._encoded(recording.values), np.column_stack([filled, alive < 1, alive]))
        self._trees = [estimator.tree_ for estimator in forest.estimators_]

    def truths(self, configurations: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Returns the curves that the forest predicts."""
        encoded = self._encoded(configurations)
        found = np.mean([tree.predict(encoded)[:, :, 0] for tree in self._trees], axis=0)
        curves, diverged, alive = found[:, : self.max_epochs], found[:, -2], found[:, -1]
        share = np.where(diverged > 0.5, (alive - 1 + diverged) / np.maximum(diverged, 0.5), np.inf)
        curves[np.arange(self.max_epochs) >= np.maximum(0, share * self.max_epochs)[:, None]] = np.nan
        return curves

    def _encoded(self, configurations: Sequence[Mapping[str, Any]]) -> np.ndarray:
        return np.array([self._row(values) for values in configurations], dtype=np.float32)

    def _row(self, values: Mapping[str, Any]) -> list[float]:
        row: list[float] = []
        for parameter in self.space:
            if parameter.ordered:
                row.append(parameter.unit(values[parameter.name]) if parameter.name in values else -1.0)
            else:
                row += [float(values.get(parameter.name) == choice) for choice in parameter.choices]
        return row + self._features(values)


def recorded_deviation(curves: np.ndarray) -> np.ndarray:
    """Returns the standard deviation of a score's noise at each epoch, `(epochs,)`.

    The second difference of three independent draws has 6 times their variance. A third of the difference's own bend
    remains in early epochs, where the curves rise; the median of three epochs smooths the rest. Trainings that learned
    next to nothing have no noise and do not count.

    Args:
        curves: Scores, `(configurations, epochs)`, with NaN where there are none.
    """
    curves = curves[curves[:, -1] > np.nanmax(curves[:, -1]) / 2]
    bends = np.abs(curves[:, 2:] - 2 * curves[:, 1:-1] + curves[:, :-2])
    medians = np.nanmedian(bends, axis=0) * 1.4826 / math.sqrt(6)  # of a normal distribution
    padded = np.concatenate([medians[[0, 0]], medians, medians[[-1, -1]]])
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 3), axis=1)


def recorded_problems(curves: Path | None = None) -> dict[str, Callable[[], Problem]]:
    """Returns what makes each problem whose recording is present, by name.

    Args:
        curves: File of recorded ImageNet trainings, or None for the one in `$TUNER_SHARED_DATA`.
    """
    found: dict[str, Callable[[], Problem]] = {}
    for path in sorted(RESULTS.glob("recorded-*-*.csv")):
        _, label, dataset = path.stem.split("-", 2)
        if len(read_curves(path)) >= SMALLEST_RECORDING:
            found[f"{label}-{dataset}"] = _of_csv(path, label, dataset)
    folder = os.environ.get("TUNER_SHARED_DATA")
    if curves is None and folder:
        curves = next(Path(folder).glob(f"**/{IMAGENET_FILE}"), None)
    if curves is not None:
        found["imagenet"] = _of_imagenet(curves)
    return found


def _of_csv(path: Path, label: str, dataset: str) -> Callable[[], Problem]:
    def make() -> Problem:
        declare = importlib.import_module(f"search_spaces.{label}").declare
        space, rows = recorded(declare), list(read_curves(path).values())
        epochs = max(int(row["epoch"]) for row in rows[0])
        curves = np.full((len(rows), epochs), np.nan)
        for place, run in enumerate(rows):
            for row in run:
                if math.isfinite(float(row["loss"]) + float(row["val_loss"])):
                    curves[place, int(row["epoch"]) - 1] = float(row["val_accuracy"])
        values = [_parsed(space, run[0]) for run in rows]
        return Surrogate(f"{label}-{dataset}", declare, Recording(values, curves), lambda values: [])

    return make


def _parsed(space: Sequence[Parameter], row: Mapping[str, str]) -> Values:
    """Returns the active values of a row of text."""
    values: Values = {}
    for parameter in space:
        text = row[parameter.name]
        if parameter.kind == "choice":
            values[parameter.name] = next((c for c in parameter.choices if str(c) == text), parameter.default)
        else:
            values[parameter.name] = float(text or parameter.default) if parameter.kind == "float" else int(text or 0)
    return active_values(space, values)


def _declare_imagenet(hp: Any) -> None:
    """The recording's own ranges, but of the number of epochs, which is the budget here."""
    hp.Choice("batch_size", [128, 256, 512, 1024], default=256)
    hp.Float("learning_rate", 5e-3, 50.0, sampling="log", default=0.1)
    hp.Float("peak", 0.0, 1.0, default=0.1)
    hp.Float("momentum", 0.7, 0.999, default=0.9)
    hp.Float("weight_decay", 1e-6, 1e-3, sampling="log", default=1e-4)
    hp.Float("label_smoothing", 0.0, 0.5, default=0.0)


def _of_imagenet(path: Path) -> Callable[[], Problem]:
    def make() -> Problem:
        with np.load(path) as file:
            rows, curves, diverged = file["X"], file["top1"], file["nan_train_loss"]
        epochs = rows[:, 0].astype(int)
        values = [
            {"batch_size": int(batch), "learning_rate": rate, "peak": min(1.0, peak / total), "momentum": momentum}
            | {"weight_decay": decay, "label_smoothing": smoothing, "epochs": int(total)}
            for total, batch, rate, peak, momentum, decay, smoothing in rows.tolist()
        ]
        points = [_resampled(*each) for each in zip(curves, epochs, diverged, strict=True)]
        return Surrogate("imagenet", _declare_imagenet, Recording(values, np.stack(points)), _imagenet_features)

    return make


def _resampled(curve: np.ndarray, epochs: int, diverged: bool) -> np.ndarray:
    """Returns a curve at even points of progress; NaN after the end of one that diverged."""
    known = int(np.isfinite(curve).sum())
    progress = np.arange(1, IMAGENET_POINTS + 1) / IMAGENET_POINTS
    points = np.interp(progress * epochs, np.arange(known + 1), [CHANCE, *curve[:known]])
    if diverged:
        points[progress * epochs > known] = np.nan
    return points


def _imagenet_features(values: Mapping[str, Any]) -> list[float]:
    """Returns epochs, step size for an image, and its product with the decay; a searched training has 60 epochs."""
    step = math.log(values["learning_rate"] / (1 - values["momentum"]) / values["batch_size"])
    return [values.get("epochs", IMAGENET_EPOCHS), step, step + math.log(values["weight_decay"])]
