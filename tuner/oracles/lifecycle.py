"""How a trial of Keras Tuner is told of, ends, is scored and written, whatever has proposed it."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Concatenate, ParamSpec, TypeVar

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from tuner.oracles.encoding import is_active
from tuner.oracles.files import has_directory, mend, replacing
from tuner.oracles.queue import drop_undeclared
from tuner.quantities import native

__all__ = ["LifecycleOracle", "ended_trials", "exclusive", "last_told"]

Self = TypeVar("Self")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def exclusive(
    method: Callable[Concatenate[Self, Parameters], Result],
) -> Callable[Concatenate[Self, Parameters], Result]:
    """Makes a method of an oracle the only one that runs; what it raises is raised when others may run again.

    `keras_tuner.synchronized` keeps its lock then, and every other thread waits for ever.
    """

    @functools.wraps(method)
    def alone(self: Self, *arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        result, error = _outcome(self, functools.partial(method, self, *arguments, **options))
        if error is not None:
            raise error
        return result

    return alone


@keras_tuner.synchronized
def _outcome(oracle: Any, action: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Returns what an action returns, or raises; `oracle` is whose lock it is."""
    try:
        return action(), None
    except BaseException as error:  # noqa: BLE001 - it is raised again
        return None, error


def last_told(trial: Trial, metric: str) -> tuple[float, int]:
    """Returns the value of a metric after the last epoch of which a trial told one, and that; NaN and 0 without any.

    Of several executions that told that epoch it is the mean.
    """
    points = trial.metrics.get_history(metric) if trial.metrics.exists(metric) else []  # by their epochs
    return (float(np.mean(points[-1].value)), points[-1].step) if points else (math.nan, 0)


def ended_trials(oracle: keras_tuner.Oracle) -> list[Trial]:
    """Returns the trials of which an oracle has heard the end, in the order in which they began.

    Their status says so before: a tuner sets it, and threads that share an oracle see it while there is no score.
    """
    ended = set(oracle.end_order)
    return [trial for name, trial in oracle.trials.items() if name in ended]


class LifecycleOracle(keras_tuner.Oracle):
    """Mixin, between `StudyOracle` and an oracle of Keras Tuner: all that does not depend on what is proposed.

    A trial that fails raises nothing, and without a tuner that has named a directory nothing is written.
    """

    _surrender: RuntimeError | None = None  # to too many failures

    def create_trial(self, tuner_id: str) -> Trial:
        """Returns the next trial of a tuner; one that it has not ended begins again, without what it told before."""
        interrupted = self.ongoing_trials.get(tuner_id)
        if interrupted is not None and not self.multi_worker:  # there several workers ask for the same trial
            interrupted.metrics = type(interrupted.metrics)()
            self._display.on_trial_begin(interrupted)  # shows nothing in a quiet search, and then not even the end
        return super().create_trial(tuner_id)

    @exclusive
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        """Takes in metrics after an epoch; of several objectives also what Keras Tuner makes of them, their sum."""
        known = dict(metrics)
        if self.objective.name not in known and self.objective.has_value(known):
            known[self.objective.name] = self.objective.get_value(known)
        return super().update_trial(trial_id, known, native(step))  # Keras Tuner writes it as JSON

    @exclusive
    def end_trial(
        self, trial: Trial | str | None = None, status: str | None = None, *, trial_id: str | None = None
    ) -> None:
        """Ends a trial; one to which a tuner gave no verdict, as where it stopped it, is complete.

        Args:
            trial: The trial; or, as in older scripts, its name, with its `status`.
            status: What became of it; None means what the trial says.
            trial_id: Its name, as older scripts say it by keyword, in place of `trial`.

        Raises:
            RuntimeError: If `max_consecutive_failed_trials` have failed one after the other.
            KeyError: If there is no trial of that name.
        """
        name = trial_id if trial is None else trial
        ended = name if isinstance(name, Trial) else self.trials[name]
        said = status or ended.status
        ended.status = said if said in ("COMPLETED", "FAILED", "INVALID") else "COMPLETED"
        if ended.status == "COMPLETED":  # what failed may not have come to its declaration
            drop_undeclared(ended, self.hyperparameters)
        if ended.trial_id in self._retry_queue:  # a worker has trained on while its chief was started again
            self._retry_queue.remove(ended.trial_id)
        super().end_trial(ended)
        if self._surrender is not None:
            surrender, self._surrender = self._surrender, None
            raise surrender

    @exclusive
    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Returns the best trials, then those without a score where there are too few."""
        completed = {trial.trial_id: trial for trial in ended_trials(self) if trial.status == "COMPLETED"}
        best = sorted(completed.values(), key=lambda trial: trial.score, reverse=self.objective.direction == "max")
        return (best + [trial for name, trial in self.trials.items() if name not in completed])[:num_trials]

    def update_space(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Takes in what a hypermodel has declared besides, a parent before what depends on it.

        A worker of a distributed search sends it in the order of the kinds: a number before the choice that it needs
        would never be proposed, and Keras Tuner then draws it without a seed.
        """
        known = {entry.name for entry in self.hyperparameters.space}
        ordered = keras_tuner.HyperParameters()
        ordered.merge(_parents_first(hyperparameters.space, known))
        super().update_space(ordered)

    def _check_consecutive_failures(self) -> None:
        """Gives up where the last trials have all failed; Keras Tuner never forgets some that failed long ago."""
        limit = self.max_consecutive_failed_trials
        if not limit or len(self.end_order) < limit:
            return
        last = [self.trials[name] for name in self.end_order[-limit:]]
        if all(trial.status == "FAILED" for trial in last):
            message = f"Number of consecutive failures exceeded the limit of {limit}.\n{last[-1].message or ''}"
            self._surrender = RuntimeError(message)

    def _retry(self, trial: Trial) -> bool:
        """Whether the trial is to run again; then it begins without the metrics that it had."""
        is_again: bool = super()._retry(trial)
        if is_again:
            trial.metrics = type(trial.metrics)()
        return is_again

    @exclusive
    def save(self) -> None:
        """Writes Keras Tuner's own file where a tuner has named a directory."""
        if has_directory(self):
            with replacing(self._get_oracle_fname()) as file:
                super(keras_tuner.Oracle, self).save(file)

    def _save_trial(self, trial: Trial) -> None:
        if has_directory(self):
            with replacing(os.path.join(self._get_trial_dir(trial.trial_id), "trial.json")) as file:  # noqa: PTH118
                trial.save(file)

    def reload(self) -> None:
        """Reads Keras Tuner's files; what ran when they were written is handed out again, unless it has ended since."""
        super().reload()
        mend(self)

    def score_trial(self, trial: Trial) -> None:
        """Scores a trial by its last epoch; one without a finite score is worse than any other, or may run again."""
        score, trial.best_step = last_told(trial, self.objective.name)
        trial.score = score if math.isfinite(score) else self._no_score()

    def _record_values(self, trial: Trial) -> None:
        """Keeps what is active of a trial's values, and remembers these as tried.

        Where several conditional scopes declare a name, Keras Tuner drops its value and draws another one without a
        seed, which it then takes for tried.
        """
        space, values = trial.hyperparameters.space, trial.hyperparameters.values
        for entry in space:
            if is_active(entry, values):
                values.setdefault(entry.name, entry.default)
        active = {entry.name for entry in space if is_active(entry, values)}
        for entry in space:
            if entry.name not in active:
                values.pop(entry.name, None)
        before, now = self._id_to_hash[trial.trial_id], self._compute_values_hash(values)
        self._tried_so_far.add(now)
        if before != now:
            self._id_to_hash[trial.trial_id] = now
            self._tried_so_far.discard(before)

    def _no_score(self) -> float:
        """Returns what stands for a score that is not finite; NaN is run again, or counts as a failure."""
        is_failure = self.max_retries_per_trial or self.max_consecutive_failed_trials != sys.maxsize
        return math.nan if is_failure else self._worst_score()

    def _worst_score(self) -> float:
        return -sys.float_info.max if self.objective.direction == "max" else sys.float_info.max


def _parents_first(entries: Sequence[Any], known: Set[str]) -> list[Any]:
    """Returns hyperparameters in their order, but for those that stand before one that they depend on.

    Args:
        entries: The hyperparameters.
        known: Names of others, which are there already.
    """
    ordered: list[Any] = []
    left = list(entries)
    while left:
        names = known | {entry.name for entry in ordered}
        ready = (i for i, entry in enumerate(left) if all(condition.name in names for condition in entry.conditions))
        ordered.append(left.pop(next(ready, 0)))
    return ordered
