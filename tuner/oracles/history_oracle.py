"""An oracle that decides from what it has seen alone, so that a study is all that it needs to go on."""

from __future__ import annotations

import abc
import contextlib
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from tuner.enqueue import as_declared
from tuner.errors import UsageError
from tuner.oracles.base import StudyOracle
from tuner.oracles.encoding import Encoding, default_values
from tuner.oracles.history import WORST, History, Run, Seen, observations
from tuner.oracles.lifecycle import LifecycleOracle, exclusive
from tuner.oracles.moves import Move

__all__ = ["HistoryOracle"]

# Configurations of a warm start that are tried first: a guess. With models that had to find them, regrets were up to
# twice as large (benchmarks/README.md).
MOST_SEEN = 3


class HistoryOracle(StudyOracle, LifecycleOracle, abc.ABC):
    """An oracle whose every move follows from its seed and from the runs so far.

    An algorithm says in `_move` what comes next. A trial's score is its value at the last epoch; one that failed,
    diverged or has no finite score counts as the worst.

    Args:
        objective: Name of the objective, or a `keras_tuner.Objective`; None is the number that a tuner's `run_trial`
            returns, which is to be small.
        hyperparameters: The declared space; a stock tuner hands it in later.
        warm_start: What another study saw of the same space: for a model, and its best configurations are tried first.
        options: See `StudyOracle`.

    Attributes:
        history: The runs so far.
    """

    def __init__(
        self,
        *,
        objective: str | keras_tuner.Objective | Sequence[Any] | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        warm_start: Sequence[Seen] = (),
        **options: Any,
    ) -> None:
        super().__init__(objective=objective, hyperparameters=hyperparameters, **options)
        strange = next((seen for seen in warm_start if not isinstance(seen, Seen)), None)
        if strange is not None:
            raise ValueError(f"warm_start has {strange!r}; allowed are objects of tuner.oracles.history.Seen.")
        self.warm_start = list(warm_start)
        self.history = History(self.objective.name, direction=self.objective.direction, max_epochs=self.max_epochs)

    @property
    def first_values(self) -> Sequence[Mapping[str, Any]]:
        """What is enqueued and the best of a warm start, which a model that is sure of it need not propose."""
        declared = {entry.name for entry in self.hyperparameters.space}  # another study may have had more
        seen = [{name: value for name, value in each.items() if name in declared} for each in self._best_seen]
        return [*self.enqueue, *seen]

    @functools.cached_property
    def _best_seen(self) -> list[Mapping[str, Any]]:
        """The best configurations of the warm start that may be tried: of the most epochs, then of the best score."""
        found: dict[str, Mapping[str, Any]] = {}
        for seen in sorted(self.warm_start, key=lambda seen: (seen.epochs, seen.goodness), reverse=True):
            if math.isfinite(seen.goodness) and len(found) < MOST_SEEN:
                with contextlib.suppress(UsageError):
                    values = as_declared([seen.values], self.hyperparameters)[0]
                    if self.drawing.may_allow(default_values(self.hyperparameters, values)):
                        found.setdefault(seen.key, values)
        return list(found.values())

    @property
    def encoding(self) -> Encoding:
        """The space's points."""
        return self.drawing.encoding

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns Keras Tuner's response: status and, of a trial to run, the values."""
        self.history.update(self.trials, self.hyperparameters, ended=self.end_order)
        move = self._next_move()
        if move is None:
            return {"status": "STOPPED" if self.reason or not self.history.in_progress else "IDLE"}
        before = move.run.epochs if move.run else 0
        if self._exceeds(self.history.spent + move.epochs - before):
            return {"status": "STOPPED"}
        values = dict(move.run.values if move.run else move.values or {})
        values |= {"tuner/epochs": move.epochs, "tuner/initial_epoch": before}
        if move.run:
            values["tuner/trial_id"] = move.run.last
        return {"status": "RUNNING", "values": values}

    @exclusive
    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Returns the newest trial with a score of each of the best runs: those with the most epochs first."""
        self.history.update(self.trials, self.hyperparameters, ended=self.end_order)
        ended = [(*run.result, run) for run in self.history if run.scores]
        ended.sort(key=lambda each: (each[1] != WORST, *each[:2]), reverse=True)
        return [self.trials[run.names[epochs]] for epochs, _, run in ended[:num_trials]]

    def _next_move(self) -> Move | None:
        planned = self._planned()
        if planned is not None:
            return Move(self._first_epochs(), values=planned)
        return self._move(np.random.default_rng((self.seed, len(self.trials))))

    def _tried(self) -> set[str]:
        return self.history.keys

    def _first_epochs(self) -> int:
        """Returns the epochs of a new run's first trial: here the full budget."""
        return self.max_epochs

    def _observations(self, epochs: int) -> list[tuple[Mapping[str, Any], float]]:
        """Returns values and goodness of all that reached so many epochs, or failed on the way."""
        is_full = epochs == self._first_epochs() == self.max_epochs
        return observations(self.warm_start, self._runs(), epochs=epochs, is_full=is_full)

    def _runs(self) -> Iterable[Run]:
        """Returns the runs in the order in which they are learned from: that of their beginning."""
        return self.history

    @abc.abstractmethod
    def _move(self, rng: np.random.Generator) -> Move | None:
        """Returns what comes next; None to wait for a running trial, or, with a `reason`, to end."""

    # Keras Tuner draws without a generator, but none of its algorithms is below this class.
    def _random_values(self, rng: np.random.Generator) -> dict[str, Any] | None:  # type: ignore[override]
        """Returns values that were not tried, drawn from the space; None, with the `reason`, where there are none."""
        values = self._drawn(rng)
        if values is None:
            self.reason = self._shortage
        return values
