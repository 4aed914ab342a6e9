"""Problems whose learning curves are formulas: mixed kinds of parameters, curves that cross, divergence, noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from problem import Problem
from spaces import Declare, Values

__all__ = ["SYNTHETIC", "Formula", "Shape"]

MAX_EPOCHS = 27


@dataclasses.dataclass(frozen=True)
class Shape:
    """What decides the form of a learning curve.

    Args:
        floor: Error that endless training would leave.
        pace: Epochs until the power law bends, > 0; fewer means a faster start.
        power: Exponent of the power law, > 0.
        late: Error that goes away only as the learning rate falls to 0 at the end (of a high one, or of strong
            regularisation): the reason why curves cross.
        diverges: Whether training diverges, sooner the larger `pace` is.
    """

    floor: float
    pace: float
    power: float
    late: float = 0.0
    diverges: bool = False


class Formula(Problem):
    """A problem whose curves follow a power law: `floor + (start - floor) (1 + t / pace)^-power` and the late part.

    The late part follows a cosine schedule of the learning rate over the full budget.

    Args:
        name: Name in results.
        declare: Declares the space.
        shape: Active values -> form of the curve.
        start: Error before training.
        noise: Standard deviation at the end; three times that after the first epoch.

    Reference: Domhan et al., 2015, https://www.ijcai.org/Proceedings/15/Papers/487.pdf, table 1 (pow3 and others).
    """

    def __init__(
        self, name: str, declare: Declare, shape: Callable[[Values], Shape], *, start: float, noise: float
    ) -> None:
        epochs = np.arange(1, MAX_EPOCHS + 1)
        super().__init__(name, declare, noise * (1 + 2 * np.exp(-(epochs - 1) / 3)))
        self._shape, self._start, self._epochs = shape, start, epochs
        self._schedule = (1 + np.cos(np.pi * epochs / MAX_EPOCHS)) / 2

    def truths(self, configurations: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Returns the noise-free curves."""
        return np.stack([self._truth(self._shape(dict(values))) for values in configurations])

    def _truth(self, shape: Shape) -> np.ndarray:
        floor = min(shape.floor, self._start)
        law = floor + (self._start - floor) * (1 + self._epochs / shape.pace) ** -shape.power
        scores = 1 - np.minimum(law + shape.late * self._schedule, self._start)
        if shape.diverges:
            scores[min(MAX_EPOCHS - 1, int(12 / (1 + shape.pace))) :] = np.nan
        return scores


def _declare_mixed(hp: Any) -> None:
    hp.Choice("optimizer", ["sgd", "adam"], default="sgd")
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("sgd_learning_rate", 1e-3, 3.0, sampling="log", default=0.1)
        hp.Float("momentum", 0.0, 0.95, default=0.9)
    with hp.conditional_scope("optimizer", ["adam"]):
        hp.Float("adam_learning_rate", 1e-5, 3e-2, sampling="log", default=1e-3)
    hp.Float("weight_decay", 1e-6, 1e-1, sampling="log", default=1e-4)
    hp.Choice("batch_size", [32, 64, 128, 256], default=64)
    hp.Int("width", 8, 64, step=8, default=32)
    hp.Boolean("augment", default=False)


def _mixed(values: Values) -> Shape:
    """Two optimizers: SGD ends better, Adam starts faster; augmentation is slow and good."""
    width = values["width"] / 64
    if values["optimizer"] == "sgd":
        step = values["sgd_learning_rate"] / (1 - values["momentum"]) * 64 / values["batch_size"]
        rate, limit, base, pace = math.log10(step), 1.0, 0.075, 1.2
    else:
        step = values["adam_learning_rate"] / 1e-3 * math.sqrt(64 / values["batch_size"])
        rate, limit, base, pace = math.log10(step), 0.9, 0.09, 0.5
    decay = math.log10(values["weight_decay"]) + (3.3 if values["augment"] else 2.9)
    augment = -0.018 * width if values["augment"] else 0.0
    return Shape(
        floor=base + augment + 0.04 * (1 - width) ** 2 + 0.05 * min(rate * rate, 2) + 0.01 * decay**2,
        pace=pace * (1 + 0.8 * values["augment"]) * 10 ** (0.55 * abs(rate - 0.2)),
        power=1.3,
        late=0.12 * 4 ** min(rate, 1.2),
        diverges=rate > limit - 0.4 * (decay > 1),
    )


def _declare_late(hp: Any) -> None:
    hp.Float("learning_rate", 1e-3, 1.0, sampling="log", default=0.05)
    hp.Float("weight_decay", 1e-6, 1e-2, sampling="log", default=1e-4)
    hp.Float("dropout", 0.0, 0.6, default=0.0)
    hp.Int("warmup", 0, 8, default=0)
    hp.Choice("label_smoothing", [0.0, 0.05, 0.1, 0.2], default=0.0)


def _late(values: Values) -> Shape:
    """What regularises costs accuracy early and gains it at last, so the first epochs mislead."""
    rate = math.log10(values["learning_rate"]) + 0.9
    decay = math.log10(values["weight_decay"]) + 3.3
    dropout = values["dropout"]
    return Shape(
        floor=0.06
        + 0.06 * rate**2
        + 0.012 * decay**2
        + 0.3 * (dropout - 0.35) ** 2
        + 0.4 * (values["label_smoothing"] - 0.1) ** 2,
        pace=0.7 + 0.15 * values["warmup"] + 0.8 * dropout + 0.5 * max(0.0, -rate),
        power=1.5,
        late=0.1 * 10 ** (0.5 * min(rate, 0.9)) + 0.2 * dropout + 0.3 * values["label_smoothing"],
        diverges=rate > 0.35 + 0.06 * values["warmup"],
    )


def _declare_architecture(hp: Any) -> None:
    for stage in (1, 2, 3):
        hp.Int(f"blocks_{stage}", 1, 6, default=2)
    hp.Choice("width", [8, 16, 24, 32, 48, 64], default=16)
    hp.Choice("se_ratio", [0, 2, 4, 8, 16], default=16)
    hp.Choice("block", ["basic", "bottleneck", "preactivation"], default="basic")
    hp.Boolean("strided_stem", default=True)
    hp.Float("learning_rate", 3e-3, 0.6, sampling="log", default=0.0375)


def _architecture(values: Values) -> Shape:
    """Mostly structure, eight dimensions: what is good is good from the first epoch on."""
    blocks = [values[f"blocks_{stage}"] for stage in (1, 2, 3)]
    size = math.log2(values["width"] / 8) / 3
    depth = sum(blocks) / 18
    rate = math.log10(values["learning_rate"] / 0.08) + 0.5 * depth
    gate = {0: 0.02, 2: 0.004, 4: 0.0, 8: 0.003, 16: 0.008}[values["se_ratio"]]
    block = {"basic": 0.012, "bottleneck": 0.02 - 0.03 * depth, "preactivation": 0.004}[values["block"]]
    floor = 0.08 + 0.10 * (1 - size) ** 2 + 0.06 * (depth - 0.65) ** 2 + 0.05 * rate**2 + gate + block
    floor += 0.003 * (blocks[1] - 4) ** 2 + 0.025 * values["strided_stem"]
    return Shape(floor=floor, pace=0.3 + 3 * floor, power=1.1, late=0.02, diverges=rate > 0.85 + 0.2 * size)


def _declare_valley(hp: Any) -> None:
    hp.Float("learning_rate", 1e-4, 1.0, sampling="log", default=0.01)
    hp.Float("weight_decay", 1e-6, 1e-1, sampling="log", default=1e-4)
    hp.Float("momentum", 0.5, 0.99, default=0.9)
    hp.Int("batch_size", 16, 512, sampling="log", default=64)
    hp.Float("smoothing", 0.0, 0.3, step=0.05, default=0.0)
    hp.Int("depth", 8, 56, step=6, default=20)


def _valley(values: Values) -> Shape:
    """Values that only do well together: a narrow ridge of learning rate, momentum, batch and decay."""
    step = math.log10(values["learning_rate"] / (1 - values["momentum"]) * 64 / values["batch_size"])
    product = step + math.log10(values["weight_decay"]) + 4.2
    depth = (values["depth"] - 8) / 48
    off = step + 0.4 - 0.5 * (1 - depth)
    floor = 0.07 + 0.035 * min(product**2, 6) + 0.04 * min(off**2, 4) + 0.05 * (1 - depth) ** 2
    floor += 0.5 * (values["smoothing"] - 0.1) ** 2
    return Shape(
        floor=floor,
        pace=0.8 + depth + 0.5 * max(0.0, -off),
        power=1.2,
        late=0.2 * 10 ** (0.5 * min(off, 0.8)) + 0.2 * values["smoothing"],
        diverges=off > 0.6,
    )


def _formula(
    name: str, declare: Declare, shape: Callable[[Values], Shape], start: float, noise: float
) -> Callable[[], Problem]:
    return lambda: Formula(name, declare, shape, start=start, noise=noise)


# Start is the error of guessing among 10 or 100 classes; noise is 0.5 to 1 % of accuracy, as on 2,000 to 5,000 images.
SYNTHETIC: dict[str, Callable[[], Problem]] = {
    "mixed": _formula("mixed", _declare_mixed, _mixed, 0.9, 0.005),
    "late": _formula("late", _declare_late, _late, 0.9, 0.005),
    "architecture": _formula("architecture", _declare_architecture, _architecture, 0.99, 0.004),
    "valley": _formula("valley", _declare_valley, _valley, 0.9, 0.01),
}
