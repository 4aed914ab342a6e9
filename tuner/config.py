"""What a search was asked to do, as plain data, and how two such requests differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from tuner.errors import UsageError, did_you_mean
from tuner.quantities import counted

__all__ = [
    "ALGORITHMS",
    "BALANCED",
    "COSTS",
    "DEFAULT_ALGORITHM",
    "OBJECTIVES",
    "STEPS_BETWEEN_CHECKS",
    "WITH_COSTS",
    "WITH_MIN_EPOCHS",
    "WITH_RUNGS",
    "WITH_WARM_START",
    "SearchConfig",
    "differences",
    "limit_flag",
    "parse_objectives",
]

# Names here and not in `tuner.oracles`, because `--help` must not import Keras Tuner (3.5 s); a test keeps both equal.
ALGORITHMS = (
    *("auto", "mobster", "freeze-thaw", "asha", "bohb", "priorband", "one-epoch", "hyperband"),
    *("tpe", "gp", "cmaes", "nsga2", "bayesian", "random", "grid"),
)
DEFAULT_ALGORITHM = "auto"
WITH_RUNGS = ("auto", "mobster", "freeze-thaw", "asha", "bohb", "priorband", "hyperband")  # those that take --eta
WITH_MIN_EPOCHS = (*WITH_RUNGS, "one-epoch")
WITH_WARM_START = (
    *("auto", "mobster", "freeze-thaw", "asha", "bohb", "priorband", "one-epoch"),
    *("tpe", "gp", "cmaes", "nsga2", "grid"),
)
WITH_COSTS = ("nsga2",)  # those that take several objectives; the first is their default
# Of a training, each with a look at the loss, which waits for the step: on a GPU that costs more than a step.
STEPS_BETWEEN_CHECKS = 16
BALANCED = "val_balanced_accuracy"  # that of each class counts alike, however many images it has
OBJECTIVES = {"val_accuracy": "max", BALANCED: "max", "val_loss": "min"}

# What a network costs by name, and the setting that limits it. What is measured stands behind what is computed.
COSTS = {"params": "max_params", "macs": "max_macs", "latency": "max_latency_ms"}

# What may change when a study goes on: totals of all its trials, which grow, and who trains.
_FREE = ("trials", "total_epochs", "workers", "deterministic")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Everything that decides which trials a search makes and what they score.

    Two searches with equal configurations on one machine make the same trials with the same scores. What only changes
    how a search is shown or where it is kept (`--quiet`, `--results-dir`, `--storage`) is not part of it.

    Args:
        space: Name of a search space, or path of a Python file.
        backbone: Name of the `keras.applications` constructor that the space's `backbone` is fixed to, or None.
        augment: Whether how images are augmented is searched too, where the space does not say.
        class_weights: Whether it is searched too if all classes weigh alike in the loss, where the space does not say.
        dataset: `digits`, `tfds:NAME` or `folder:PATH`.
        algorithm: One of `ALGORITHMS`.
        trials: Total number of trials in the study, >= 1; None means no limit.
        total_epochs: Epochs of all trials in the study together, >= 1; None means no limit. Where `trials` is None too,
            the algorithm's default budget holds (`tuner.oracles.make_oracle`).
        max_epochs: Full budget of one configuration in epochs, >= 1.
        eta: Ratio of the epochs of neighbouring rungs, >= 2, for the algorithms `WITH_RUNGS`.
        min_epochs: Fewest epochs of the lowest rung, from 1 to `max_epochs`, for the algorithms `WITH_MIN_EPOCHS`.
        objective: One of `OBJECTIVES`; a trial's score.
        costs: What is to be small besides, names of `COSTS`, for the algorithms `WITH_COSTS`.
        max_params: Most weights of a network, as Keras counts them, >= 1; None means no limit.
        max_macs: Most multiply-accumulates of a network for one image, >= 1; None means no limit.
        max_latency_ms: Most milliseconds of a network for one image on this machine, > 0; None means no limit.
        seed: Seed of the search, >= 0.
        batch_size: Images a training step, >= 1.
        validation_fraction: Share of the training images kept for validation where the data set has no validation
            split of its own, in (0, 1).
        test_fraction: Share of the training images that are set aside for the test where the data set has no test split
            of its own, in [0, 1).
        images: How many images of the training split are used, or None for all.
        mixed_precision: Whether feature maps are bfloat16 while training and evaluating.
        jit: Whether XLA compiles the training steps, each network for itself.
        gpus_per_trial: Devices that share each batch of a training, >= 1; with more than one, batch normalisation sees
            their parts of it.
        image_size: Height and width in pixels to which images are resized; None leaves them as they are.
        enqueue: Configurations to try right after the default one; what one leaves out gets its default.
        warm_start: Name of the study on the same space whose scores the algorithm knows from the beginning, or None.
            The scores themselves are kept in the study.
        workers: Processes that make it repeatable: 0 or 1, or with a fixed order any number; else None.
        deterministic: Whether decisions come in a fixed order with several workers too.

    Raises:
        UsageError: If a value is outside its range.
    """

    space: str
    backbone: str | None = None
    augment: bool = False
    class_weights: bool = False
    dataset: str = "digits"
    algorithm: str = DEFAULT_ALGORITHM
    trials: int | None = None
    total_epochs: int | None = None
    max_epochs: int
    eta: int = 3
    min_epochs: int = 1
    objective: str = "val_accuracy"
    costs: tuple[str, ...] = ()
    max_params: int | None = None
    max_macs: int | None = None
    max_latency_ms: float | None = None
    seed: int = 0
    batch_size: int
    validation_fraction: float = 0.2
    test_fraction: float = 0.0
    image_size: tuple[int, int] | None = None
    images: int | None = None
    mixed_precision: bool = False
    jit: bool = False
    gpus_per_trial: int = 1
    enqueue: tuple[dict[str, Any], ...] = ()
    warm_start: str | None = None
    workers: int | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        _require_name("--algorithm", self.algorithm, ALGORITHMS)
        _require_name("--objective", self.objective, OBJECTIVES)
        self._check_costs()
        _require(self.trials is None or self.trials >= 1, "--trials", self.trials, "at least 1")
        _require(self.total_epochs is None or self.total_epochs >= 1, "--total-epochs", self.total_epochs, "at least 1")
        _require(self.max_epochs >= 1, "--max-epochs", self.max_epochs, "at least 1")
        _require(self.eta >= 2, "--eta", self.eta, "at least 2")
        allowed = f"from 1 to {self.max_epochs}, the epochs of a configuration"
        _require(1 <= self.min_epochs <= self.max_epochs, "--min-epochs", self.min_epochs, allowed)
        _require(0 <= self.seed < 2**31, "--seed", self.seed, "from 0 to 2147483647")
        _require(self.batch_size >= 1, "--batch-size", self.batch_size, "at least 1")
        allowed = f"from 1 to {self.batch_size}, the images of a batch"
        _require(1 <= self.gpus_per_trial <= self.batch_size, "--gpus-per-trial", self.gpus_per_trial, allowed)
        _require(self.images is None or self.images >= 1, "--images", self.images, "at least 1")
        _require(0 < self.validation_fraction < 1, "--validation-fraction", self.validation_fraction, "between 0 and 1")
        _require(0 <= self.test_fraction < 1, "--test-fraction", self.test_fraction, "from 0 to below 1")

    def _check_costs(self) -> None:
        if self.costs and self.algorithm not in WITH_COSTS:
            raise UsageError(
                f"--algorithm {self.algorithm} takes one objective, and there are {1 + len(self.costs)}; for several, "
                f"allowed is {' or '.join(WITH_COSTS)}."
            )
        if self.costs and self.warm_start:
            raise UsageError("--warm-start brings one score a run, so it has no use with several objectives.")

    @property
    def objectives(self) -> dict[str, str]:
        """The better end, `max` or `min`, of all that is searched for, by name; the score comes first."""
        return {self.objective: self.direction, **dict.fromkeys(self.costs, "min")}

    @property
    def sought(self) -> str:
        """The objectives as `--objective` takes them."""
        return ", ".join([self.objective, *(f"-{name}" for name in self.costs)])

    @property
    def precision(self) -> str:
        """What feature maps are made of while training, in words."""
        return "bfloat16 feature maps" if self.mixed_precision else "float32"

    @property
    def cost_limits(self) -> dict[str, float]:
        """The most that a network may cost, by the names of `COSTS`; what has no limit is left out."""
        limits = {name: getattr(self, setting) for name, setting in COSTS.items()}
        return {name: most for name, most in limits.items() if most is not None}

    def ordered(self, workers: int) -> SearchConfig:
        """Returns it with so many workers where a fixed order needs the same number again."""
        return dataclasses.replace(self, workers=workers) if self.deterministic and self.workers is None else self

    @property
    def settings(self) -> dict[str, Any]:
        """What decides how a network is found and trained besides algorithm, seed and data, for a person to read."""
        return {
            "space": self.space,
            "batch_size": self.batch_size,
            "full_budget": counted(self.max_epochs, "epoch"),
            "objectives": self.sought,
            "precision": self.precision,
            **{f"most_{name}": limit for name, limit in self.cost_limits.items()},
        }

    @property
    def direction(self) -> str:
        """`max` or `min`: the better end of the objective."""
        return OBJECTIVES[self.objective]

    @property
    def accuracy(self) -> str:
        """Name of the accuracy that tells networks apart: the objective, unless that is a loss."""
        return self.objective if self.direction == "max" else "val_accuracy"

    def to_dict(self) -> dict[str, Any]:
        """Returns the configuration as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SearchConfig:
        """Returns the configuration that `to_dict` wrote."""
        size = values["image_size"]
        lists = {name: tuple(values.get(name, ())) for name in ("enqueue", "costs")}
        return cls(**{**values, **lists, "image_size": tuple(size) if size else None})


def differences(stored: SearchConfig, asked: SearchConfig) -> list[str]:
    """Returns one phrase for each setting in which a request departs from the study it wants to continue.

    The totals of trials and epochs are no difference: a study may grow. Nor are other workers, nor is another folder:
    that may have moved, and whether it has the same images is seen when they are read.
    """
    before, after = ({**each.to_dict(), "objective": each.sought, "costs": None} for each in (stored, asked))
    kept = [key for key in before if key not in _FREE]
    if all(each.dataset.startswith("folder:") for each in (stored, asked)):
        kept.remove("dataset")
    return [_difference(key, before[key], after[key]) for key in kept if before[key] != after[key]]


def parse_objectives(texts: Sequence[str]) -> dict[str, Any]:
    """Returns the settings `objective` and `costs` that the values of `--objective` ask for.

    Raises:
        UsageError: If one is unknown, or there is not exactly one that training reaches.
    """
    costs = [text for text in texts if text.removeprefix("-") in COSTS and text.startswith("-")]
    scores = list(dict.fromkeys(text for text in texts if text not in costs))
    for text in scores:
        _require_name("--objective", text, [*OBJECTIVES, *(f"-{name}" for name in COSTS)])
    if len(scores) != 1:
        received = ", ".join(texts)
        raise UsageError(
            f"--objective is {received}; allowed is one of {', '.join(OBJECTIVES)} and, besides, any of "
            f"{', '.join(f'-{name}' for name in COSTS)}."
        )
    return {"objective": scores[0], "costs": tuple(dict.fromkeys(text.removeprefix("-") for text in costs))}


def limit_flag(name: str) -> str:
    """Returns the flag that limits a cost."""
    return f"--{COSTS[name].replace('_', '-')}"


def _difference(key: str, before: Any, after: Any) -> str:
    if key == "enqueue":
        return "--enqueue has other configurations than those that the study keeps"
    return f"--{key.replace('_', '-')} is {_as_written(before)} in the study and {_as_written(after)} now"


def _as_written(value: Any) -> Any:
    """Returns a setting as its flag is written."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not given" if value is None else "x".join(map(str, value)) if isinstance(value, list) else value


def _require(condition: bool, flag: str, received: object, allowed: str) -> None:
    if not condition:
        raise UsageError(f"{flag} is {received!r}; allowed is {allowed}.")


def _require_name(flag: str, received: str, allowed: Collection[str]) -> None:
    if received not in allowed:
        hint = did_you_mean(received, allowed)
        raise UsageError(f"{flag} is {received!r}; allowed is one of {', '.join(allowed)}.{hint}")
