"""Bayesian optimization with a Gaussian process at full fidelity, as Optuna has it."""

from __future__ import annotations

import importlib.util
from typing import Any

import optuna

from tuner.errors import UsageError
from tuner.oracles.sampling import SampledOracle

__all__ = ["Gp"]

# The cost of a process grows with the cube of its observations.
MOST_OBSERVATIONS = 200


class Gp(SampledOracle):
    """Proposes the best expected improvement of a Gaussian process; each trial has the full budget.

    Ten random trials begin. It needs PyTorch.

    Args:
        options: See `HistoryOracle`.

    Raises:
        UsageError: If PyTorch is not installed.

    Reference: `optuna.samplers.GPSampler`.
    """

    def __init__(self, **options: Any) -> None:
        if importlib.util.find_spec("torch") is None:
            raise UsageError("The algorithm gp needs PyTorch, which is not installed; use: pip install torch")
        super().__init__(make=_sampler, most=MOST_OBSERVATIONS, **options)


def _sampler(seed: int) -> optuna.samplers.GPSampler:
    # Some hyperparameters are active in some configurations only; these are drawn at random, which is no news.
    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)
