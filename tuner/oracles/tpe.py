"""Tree-structured Parzen estimator at full fidelity, as Optuna has it."""

from __future__ import annotations

from typing import Any

from tuner.oracles.sampling import SampledOracle, TPESampler

__all__ = ["Tpe"]


class Tpe(SampledOracle):
    """Proposes what is likely among the best tenth and unlikely among the rest; each trial has the full budget.

    Ten random trials begin. Trials in flight count as bad, so that no two proposals lie side by side.

    Args:
        options: See `HistoryOracle`.

    Reference: Bergstra et al., 2011, NeurIPS 24; `optuna.samplers.TPESampler`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(make=lambda seed: TPESampler(seed=seed), **options)
