"""Oracles by the name that `--algorithm` takes.

Each is a `keras_tuner.Oracle` and takes, by keyword, `objective`, `hyperparameters`, `max_epochs` (the full budget of
one configuration), `seed`, and a budget: `max_trials`, `max_total_epochs`, both or neither.
"""

from __future__ import annotations

from typing import Any

import keras_tuner

from tuner.config import SearchConfig
from tuner.oracles.asha import Asha
from tuner.oracles.base import StudyOracle
from tuner.oracles.bayesian import Bayesian
from tuner.oracles.bohb import Bohb
from tuner.oracles.cmaes import CmaEs
from tuner.oracles.gp import Gp
from tuner.oracles.grid import Grid
from tuner.oracles.hyperband import Hyperband
from tuner.oracles.nsga2 import Nsga2
from tuner.oracles.one_epoch import OneEpoch
from tuner.oracles.priorband import Priorband
from tuner.oracles.random import Random
from tuner.oracles.tpe import Tpe

__all__ = [
    "DEFAULT_BUDGETS",
    "ORACLES",
    "Asha",
    "Bayesian",
    "Bohb",
    "CmaEs",
    "Gp",
    "Grid",
    "Hyperband",
    "Nsga2",
    "OneEpoch",
    "Priorband",
    "Random",
    "StudyOracle",
    "Tpe",
    "make_oracle",
]

ORACLES: dict[str, type[StudyOracle]] = {
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


def make_oracle(config: SearchConfig, hyperparameters: keras_tuner.HyperParameters) -> StudyOracle:
    """Returns the oracle that a configuration asks for, over declared hyperparameters.

    Where no budget is asked for, Hyperband goes once through its brackets, and all others spend `DEFAULT_BUDGETS` times
    the full budget.
    """
    options: dict[str, Any] = {"max_trials": config.trials}
    if config.trials is None:
        is_hyperband = config.algorithm == "hyperband"
        options |= {"iterations": 1} if is_hyperband else {"max_total_epochs": DEFAULT_BUDGETS * config.max_epochs}
    return ORACLES[config.algorithm](
        objective=keras_tuner.Objective(config.objective, config.direction),
        hyperparameters=hyperparameters,
        max_epochs=config.max_epochs,
        seed=config.seed,
        **options,
    )
