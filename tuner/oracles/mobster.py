"""Asynchronous successive halving whose new runs come from a model of all learning curves, or at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from tuner.oracles.learning import LearningOracle, ends_of, expected_gain

__all__ = ["Mobster"]

# Chosen on the problems of benchmarks/oracles.py, 8 to 14 seeds each (benchmarks/README.md).
RUNGS = 3  # of new runs: the lowest is a ninth of the full budget, since fewer epochs often mislead
RANDOM_SHARE = 0.5  # of new runs, so that a model that errs costs no more than half of them
FIRST_RUNS = 10  # that have a score before the model is asked


class Mobster(LearningOracle):
    """Promotes from the best 1/eta of a rung, else begins a configuration: one of the model's, or a random one.

    A Gaussian process over configuration and epochs (`tuner/oracles/surrogate.py`) learns from all scores; its
    configuration is the one with the largest expected improvement at the full budget. Runs begin with R/eta^2 epochs.

    Its mean rank over five problems is next to that of `freeze-thaw` (`benchmarks/README.md`).

    Args:
        options: See `LearningOracle`.

    Reference: Klein et al., 2020, https://arxiv.org/abs/2003.10865; Li et al., 2020, https://arxiv.org/abs/1810.05934,
    algorithm 2 (promotion).
    """

    @property
    def start_epochs(self) -> int:
        """Epochs of the third rung from above."""
        return self.rungs[-RUNGS:][0]

    def _new_values(self, rng: np.random.Generator) -> dict[str, Any] | None:
        scored = len(self.warm_start) + self._num_scored()
        if not self.encoding.dimensions or scored < FIRST_RUNS or rng.random() < RANDOM_SHARE:
            return self._random_values(rng)
        belief = self._learn()
        assert self._surrogate is not None, "the belief comes from it"
        points = self._candidates(belief, rng)
        means, deviations = self._surrogate.predict(ends_of(self.encoding.features(points)))
        best = belief.means.max(initial=means.min())
        for place in np.argsort(-expected_gain(means - best, deviations), kind="stable"):
            values = self.encoding.values(points[place])
            if self._is_new(values):
                return values
        return self._random_values(rng)
