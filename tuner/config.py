"""What a search was asked to do, as plain data, and how two such requests differ."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Collection
from typing import Any

from tuner.errors import UsageError, did_you_mean

__all__ = ["ALGORITHMS", "OBJECTIVES", "SearchConfig", "differences", "library_versions"]

# Names here and not in `tuner.oracles`, because `--help` must not import Keras Tuner (3.5 s); a test keeps both equal.
ALGORITHMS = (
    *("asha", "bohb", "priorband", "one-epoch", "hyperband"),
    *("tpe", "gp", "cmaes", "nsga2", "bayesian", "random", "grid"),
)
OBJECTIVES = {"val_accuracy": "max", "val_loss": "min"}

_LIBRARIES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "keras-tuner",
    "optuna",
    "tensorflow-datasets",
    "numpy",
    "scikit-learn",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Everything that decides which trials a search makes and what they score.

    Two searches with equal configurations on one machine make the same trials with the same scores. What only changes
    how a search is shown or where it is kept (`--quiet`, `--results-dir`, `--storage`) is not part of it.

    Args:
        space: Name of a search space, or path of a Python file.
        dataset: `digits`, `tfds:NAME` or `folder:PATH`.
        algorithm: One of `ALGORITHMS`.
        trials: Total number of trials in the study, >= 1; None means as many as the algorithm's schedule has.
        max_epochs: Full budget of one configuration in epochs, >= 1.
        objective: One of `OBJECTIVES`.
        seed: Seed of the search, >= 0.
        batch_size: Images a training step, >= 1.
        validation_fraction: Share of the training images kept for validation where the data set has no validation
            split of its own, in (0, 1).
        images: How many images of the training split are used, or None for all.
        mixed_precision: Whether feature maps are bfloat16 while training and evaluating.
        image_size: Height and width in pixels to which images are resized; None leaves them as they are.

    Raises:
        UsageError: If a value is outside its range.
    """

    space: str
    dataset: str = "digits"
    algorithm: str = "hyperband"
    trials: int | None = None
    max_epochs: int
    objective: str = "val_accuracy"
    seed: int = 0
    batch_size: int
    validation_fraction: float = 0.2
    image_size: tuple[int, int] | None = None
    images: int | None = None
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        _require_name("--algorithm", self.algorithm, ALGORITHMS)
        _require_name("--objective", self.objective, OBJECTIVES)
        _require(self.trials is None or self.trials >= 1, "--trials", self.trials, "at least 1")
        _require(self.max_epochs >= 1, "--max-epochs", self.max_epochs, "at least 1")
        _require(0 <= self.seed < 2**31, "--seed", self.seed, "from 0 to 2147483647")
        _require(self.batch_size >= 1, "--batch-size", self.batch_size, "at least 1")
        _require(self.images is None or self.images >= 1, "--images", self.images, "at least 1")
        _require(0 < self.validation_fraction < 1, "--validation-fraction", self.validation_fraction, "between 0 and 1")

    @property
    def direction(self) -> str:
        """`max` or `min`: the better end of the objective."""
        return OBJECTIVES[self.objective]

    def to_dict(self) -> dict[str, Any]:
        """Returns the configuration as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SearchConfig:
        """Returns the configuration that `to_dict` wrote."""
        size = values["image_size"]
        return cls(**{**values, "image_size": tuple(size) if size else None})


def differences(stored: SearchConfig, asked: SearchConfig) -> list[str]:
    """Returns one phrase for each setting in which a request departs from the study it wants to continue.

    The number of trials is no difference: it is the total in the study, and a study may grow.
    """
    before, after = stored.to_dict(), asked.to_dict()
    return [
        f"--{key.replace('_', '-')} is {before[key]} in the study and {after[key]} now"
        for key in before
        if key != "trials" and before[key] != after[key]
    ]


def library_versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that decide a result, by name."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _require(condition: bool, flag: str, received: object, allowed: str) -> None:
    if not condition:
        raise UsageError(f"{flag} is {received!r}; allowed is {allowed}.")


def _require_name(flag: str, received: str, allowed: Collection[str]) -> None:
    if received not in allowed:
        hint = did_you_mean(received, allowed)
        raise UsageError(f"{flag} is {received!r}; allowed is one of {', '.join(allowed)}.{hint}")
