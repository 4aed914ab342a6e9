"""Oracles by the name that `--algorithm` takes.

Each is a `keras_tuner.Oracle` and takes, by keyword, `objective`, `hyperparameters`, `max_epochs` (the full budget of
one configuration), `seed`, and a budget: `max_trials`, `max_total_epochs`, both or neither.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner

from tuner.config import SearchConfig
from tuner.enqueue import completed
from tuner.oracles.asha import Asha
from tuner.oracles.base import StudyOracle
from tuner.oracles.bayesian import Bayesian
from tuner.oracles.bohb import Bohb
from tuner.oracles.cmaes import CmaEs
from tuner.oracles.drawing import Predicate
from tuner.oracles.freeze_thaw import FreezeThaw
from tuner.oracles.gp import Gp
from tuner.oracles.grid import Grid
from tuner.oracles.history import WORST, Seen
from tuner.oracles.hyperband import Hyperband
from tuner.oracles.mobster import Mobster
from tuner.oracles.nsga2 import Nsga2
from tuner.oracles.one_epoch import OneEpoch
from tuner.oracles.priorband import Priorband
from tuner.oracles.random import Random
from tuner.oracles.stock import RungTuner
from tuner.oracles.tpe import Tpe

__all__ = [
    "DEFAULT_BUDGETS",
    "ORACLES",
    "Asha",
    "Bayesian",
    "Bohb",
    "CmaEs",
    "FreezeThaw",
    "Gp",
    "Grid",
    "Hyperband",
    "Mobster",
    "Nsga2",
    "OneEpoch",
    "Priorband",
    "Random",
    "RungTuner",
    "StudyOracle",
    "Tpe",
    "make_oracle",
    "takes",
]

ORACLES: dict[str, type[StudyOracle]] = {
    "auto": FreezeThaw,
    "mobster": Mobster,
    "freeze-thaw": FreezeThaw,
    "asha": Asha,
    "bohb": Bohb,
    "priorband": Priorband,
    "tpe": Tpe,
    "gp": Gp,
    "cmaes": CmaEs,
    "nsga2": Nsga2,
    "one-epoch": OneEpoch,
    "hyperband": Hyperband,
    "bayesian": Bayesian,
    "random": Random,
    "grid": Grid,
}

# Full budgets that a search spends where nothing else is asked for: 8 of 9 epochs cost what Hyperband's 75 do.
DEFAULT_BUDGETS = 8


def make_oracle(
    config: SearchConfig,
    hyperparameters: keras_tuner.HyperParameters,
    *,
    seen: Sequence[Mapping[str, Any]] = (),
    begun_epochs: int = 0,
    begins_whole: bool | None = None,
    is_allowed: Predicate | None = None,
) -> StudyOracle:
    """Returns the oracle that a configuration asks for, over declared hyperparameters.

    Where no budget is asked for, Hyperband goes once through its brackets, and all others spend `DEFAULT_BUDGETS` times
    the full budget.

    Args:
        config: What the search was asked to do.
        hyperparameters: The declared space.
        seen: What another study saw, as `tuner.warm_start.seen_in` gives it; for oracles that take `warm_start`.
        begun_epochs: Epochs that a continued study has begun; a default budget is no smaller.
        begins_whole: Whether the first trial of a continued study went to the full budget; None for a new one.
        is_allowed: Whether a configuration may be tried; None means that all may.

    Raises:
        UsageError: If a configuration of `config.enqueue` is none of the space.
    """
    oracle = ORACLES[config.algorithm]
    objectives = [keras_tuner.Objective(*each) for each in config.objectives.items()]
    options: dict[str, Any] = {
        "eta": config.eta,
        "min_epochs": config.min_epochs,
        "begins_whole": begins_whole,
        "warm_start": [_seen(known) for known in seen],
    }
    return oracle(
        objective=objectives if config.costs else objectives[0],
        hyperparameters=hyperparameters,
        max_epochs=config.max_epochs,
        seed=config.seed,
        enqueue=completed(config.enqueue, hyperparameters),
        is_allowed=is_allowed,
        **_limits(config, begun_epochs),
        **{name: value for name, value in options.items() if takes(oracle, name)},
    )


def takes(oracle: type[StudyOracle], name: str) -> bool:
    """Whether an oracle has an argument of its own for a setting that not all have, such as `eta`."""
    return name not in oracle.takes_no and any(
        name in inspect.signature(part).parameters for part in oracle.__mro__ if "__init__" in vars(part)
    )


def _limits(config: SearchConfig, begun_epochs: int) -> dict[str, Any]:
    if config.trials is not None or config.total_epochs is not None:
        return {"max_trials": config.trials, "max_total_epochs": config.total_epochs}
    if config.algorithm == "hyperband":
        return {"iterations": 1}
    return {"max_total_epochs": max(DEFAULT_BUDGETS * config.max_epochs, begun_epochs)}


def _seen(known: Mapping[str, Any]) -> Seen:
    goodness = WORST if known["goodness"] is None else known["goodness"]
    return Seen(known["values"], known["epochs"], goodness)
