"""Oracles by the name that `--algorithm` takes.

Each is a `keras_tuner.Oracle` and takes, by keyword, `objective`, `hyperparameters`, `max_epochs` (the full budget of
one configuration), `seed` and `max_trials`.
"""

import keras_tuner

from tuner.config import SearchConfig
from tuner.oracles.base import StudyOracle
from tuner.oracles.bayesian import Bayesian
from tuner.oracles.hyperband import Hyperband
from tuner.oracles.random import Random

__all__ = ["ORACLES", "Bayesian", "Hyperband", "Random", "StudyOracle", "make_oracle"]

ORACLES: dict[str, type[StudyOracle]] = {"hyperband": Hyperband, "bayesian": Bayesian, "random": Random}


def make_oracle(config: SearchConfig, hyperparameters: keras_tuner.HyperParameters) -> StudyOracle:
    """Returns the oracle that a configuration asks for, over declared hyperparameters."""
    return ORACLES[config.algorithm](
        objective=keras_tuner.Objective(config.objective, config.direction),
        hyperparameters=hyperparameters,
        max_epochs=config.max_epochs,
        max_trials=config.trials,
        seed=config.seed,
    )
