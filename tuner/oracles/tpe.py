"""Tree-structured Parzen estimator at full fidelity, as Optuna has it."""

from __future__ import annotations

from typing import Any

from tuner.oracles.sampling import SampledOracle, TPESampler

__all__ = ["Tpe"]

# A proposal takes as long as there are observations. Optuna's estimator of what is good has never more than 25 of them.
MOST_OBSERVATIONS, BLOCK = 500, 100


class Tpe(SampledOracle):
    """Proposes what is likely among the best tenth and unlikely among the rest; each trial has the full budget.

    Ten random trials begin. Trials in flight count as bad, so that no two proposals lie side by side. Of more than 500
    trials the best 250 and the newest 250 to 350 are looked at, so that the ten-thousandth proposal takes no longer.

    Args:
        options: See `HistoryOracle`.

    Reference: Bergstra et al., 2011, NeurIPS 24; `optuna.samplers.TPESampler`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(make=lambda seed: TPESampler(seed=seed), most=MOST_OBSERVATIONS, block=BLOCK, **options)
