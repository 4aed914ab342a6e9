"""What a search space declares: hyperparameters that its networks know, in ranges that can be searched.

It builds and trains nothing; `tuner/hypermodel.py` makes networks of the values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import keras_tuner

from tuner.enqueue import listed
from tuner.errors import SpaceError, UsageError, did_you_mean
from tuner.quantities import is_number
from tuner.space import AUGMENTATION_NAMES, CLASS_WEIGHTS, Space, blamed

__all__ = [
    "GROUP_NAMES",
    "RECIPE_NAMES",
    "active_values",
    "can_be",
    "check_objective",
    "declare",
    "declared",
    "ends",
    "spelled",
]

_GATE_NAMES = ("se_ratio", "se_stages", "se_position", "squeeze", "excitation")
GROUP_NAMES = ("cardinality", "group_width")
_NOISE_NAMES = ("stochastic_depth", "dropout")
_MODEL_NAMES = ("block", "stem", "stages", "width", *_GATE_NAMES, *GROUP_NAMES, *_NOISE_NAMES)
_BACKBONE_NAMES = ("backbone", "se_ratio", "se_after", "dropout")
# What a network does not depend on.
RECIPE_NAMES = (
    "optimizer",
    "learning_rate",
    "sgd_learning_rate",
    "adam_learning_rate",
    "weight_decay",
    "label_smoothing",
    "averaged_epochs",
    *AUGMENTATION_NAMES,
    CLASS_WEIGHTS,
)
_STAGE_NAME = re.compile(r"(blocks|se_ratio)_[1-9]\d*")


def declare(space: Space) -> keras_tuner.HyperParameters:
    """Returns the hyperparameters that a space declares, set to their defaults.

    Raises:
        SpaceError: If `declare` fails, declares nothing, a name that its networks do not know, a range without the
            default or without an end, or a condition that never holds.
    """
    hp = _Strict()
    with blamed(space.declare, "declare(hp)", space):
        space.declare(hp)
    names = [entry.name for entry in hp.space]
    _check_names(names, space)
    twice = sorted(name for name in names if names.count(name) > 1)
    if twice:
        # Keras Tuner keeps one value a name and drops it where the second condition does not hold.
        raise SpaceError(
            f"The search space {space.name} declares {twice[0]!r} twice; give each conditional scope its own name, "
            "such as sgd_learning_rate and adam_learning_rate."
        )
    for entry in hp.space:
        if hasattr(entry, "min_value"):
            _check_range(entry)
    for entry in hp.space:
        _check_conditions(entry, hp, space)
    return hp


def declared(space: Space) -> list[dict[str, Any]]:
    """Returns the hyperparameters that a space declares as JSON values, as a study keeps them.

    Raises:
        SpaceError: As `declare`.
    """
    entries: list[dict[str, Any]] = declare(space).get_config()["space"]
    return entries


class _Strict(keras_tuner.HyperParameters):
    """Refuses a second declaration of a name that says something else, which Keras Tuner drops."""

    def _retrieve(self, hp: Any) -> Any:
        for entry in self.space:
            same = entry.name == hp.name and entry.conditions == hp.conditions
            if same and entry.get_config() != hp.get_config():
                raise SpaceError(
                    f"The search space declares {hp.name!r} twice, as {entry} and as {hp}; allowed is each name once."
                )
        return super()._retrieve(hp)


def _check_range(entry: Any) -> None:
    """Refuses a range without an end, and a default that is not in it, which Keras Tuner takes."""
    least, most, default = entry.min_value, entry.max_value, entry.default
    if not (math.isfinite(least) and math.isfinite(most)):
        raise SpaceError(f"{entry.name} is from {least} to {most}; allowed are finite numbers.")
    if entry.step is not None and not entry.step > 0:
        raise SpaceError(f"{entry.name} has the step {entry.step}; allowed is a number above 0, or no step.")
    steps = (default - least) / entry.step if entry.step is not None and entry.sampling == "linear" else 0.0
    if not least <= default <= most or abs(steps - round(steps)) > 1e-6:
        spaced = f" in steps of {entry.step}" if steps else ""
        raise SpaceError(f"{entry.name} has the default {default}; allowed is a number from {least} to {most}{spaced}.")


def _check_conditions(entry: Any, hp: keras_tuner.HyperParameters, space: Space) -> None:
    """Refuses a hyperparameter that is never active, which would silently be left out."""
    for condition in entry.conditions:
        if space.backbone and condition.name == "backbone":  # the flag stands in the place of what the space declares
            continue
        parents = [parent for parent in hp.space if parent.name == condition.name]
        if not any(can_be(parent, value) for parent in parents for value in condition.values):
            wanted = " or ".join(map(repr, condition.values))
            raise SpaceError(
                f"The search space {space.name} declares {entry.name!r} for {condition.name} = {wanted}, which it "
                f"never is; {condition.name} is {spelled(parents[0])}."
            )


def can_be(entry: Any, value: Any) -> bool:
    """Whether a hyperparameter has a value in Keras Tuner's sense: 1 is True, and a float on a grid is met exactly."""
    if not hasattr(entry, "min_value"):
        return value in listed(entry)
    if not is_number(value) or not entry.min_value <= value <= entry.max_value:
        return False
    if entry.step is None:
        return type(entry).__name__ == "Float" or value == int(value)
    if entry.sampling == "linear":
        return bool(value == entry.min_value + round((value - entry.min_value) / entry.step) * entry.step)
    return value in list(entry.values)


def ends(entry: Any) -> list[Any]:
    """Returns the smallest and the largest value of a range, on its steps, or all values of what is no range."""
    if not hasattr(entry, "min_value"):
        return listed(entry)
    if entry.step is None:
        return [entry.min_value, entry.max_value]
    return sorted(entry.prob_to_value(probability) for probability in (0.0, 1.0))


def spelled(entry: Any) -> str:
    """Returns in words which values a hyperparameter has."""
    if not hasattr(entry, "min_value"):
        return " or ".join(map(repr, listed(entry)))
    steps = f" in steps of {entry.step}" if entry.step is not None else ""
    return f"from {entry.min_value} to {entry.max_value}{steps}"


def _check_names(names: Sequence[str], space: Space) -> None:
    """Refuses a space that declares nothing, or what its networks do not know."""
    has_backbone = "backbone" in names
    known = (*(_BACKBONE_NAMES if has_backbone else (*_MODEL_NAMES, "backbone")), *RECIPE_NAMES)
    if not names:
        raise SpaceError(f"The search space {space.name} declares nothing; it may declare {', '.join(known)}.")
    if space.backbone and not has_backbone:
        raise SpaceError(
            f"--backbone is {space.backbone!r}, but the search space {space.name} declares no backbone; leave one of "
            "both out, or declare it."
        )
    unknown = sorted(name for name in names if name not in known and (has_backbone or not _STAGE_NAME.fullmatch(name)))
    if unknown:
        more = "" if has_backbone else " and blocks_1, blocks_2, ..., se_ratio_1, se_ratio_2, ..."
        raise SpaceError(
            f"The search space {space.name} declares {unknown[0]!r}, which the "
            f"{'backbone' if has_backbone else 'SE-ResNet'} does not know; known are {', '.join(known)}{more}."
            f"{did_you_mean(unknown[0], known)}"
        )


def check_objective(objective: str, hp: keras_tuner.HyperParameters) -> None:
    """Refuses an objective that would compare scores of different kinds.

    Raises:
        UsageError: If the validation loss is to be minimized while its own definition is searched.
    """
    if objective == "val_loss" and any(entry.name == "label_smoothing" for entry in hp.space):
        raise UsageError(
            "--objective is 'val_loss', but the space searches label_smoothing, which changes what the loss measures; "
            "use --objective val_accuracy, or a space without label_smoothing."
        )


def active_values(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    """Returns the values of the hyperparameters that are active under their conditions, by name."""
    return {entry.name: hp.values[entry.name] for entry in hp.space if hp.is_active(entry)}
