"""Samplers of Optuna over the hyperparameters of Keras Tuner: the only place where the oracles meet Optuna.

A sampler sees indices of values, or probabilities where there are too many to count, so that steps, logarithms and
reversed logarithms of Keras Tuner hold whatever Optuna knows of them. It is asked for one active hyperparameter after
the other. Its study holds what it is handed and nothing else, in memory: Optuna ranks whole trials above pruned ones,
whatever their scores, so a study of all fidelities would mislead it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

from tuner.oracles.drawing import Predicate
from tuner.oracles.encoding import Encoding, is_active, is_even, is_ordered, probability_of, value_at, values_key
from tuner.oracles.history import Run
from tuner.oracles.history_oracle import HistoryOracle
from tuner.oracles.moves import Move

__all__ = ["Observation", "SampledOracle", "Sampling", "TPESampler"]

# Active values and the goodness that they reached.
Observation = tuple[Mapping[str, Any], float]

# Seeds with which a sampler may answer with something tried before a random configuration takes its place.
MOST_REPEATS = 5


class Sampling:
    """A sampler and the study that it reads.

    What it proposes follows from what it is handed. The study is kept from one call to the next and only added to,
    since filling it anew takes 0.3 s for 1,000 observations (2 cores of a Xeon).

    Args:
        make: Makes the sampler from a seed.
        most: Most observations that it is shown: the best half of them and the newest half; None means all.
        block: How many new ones it is shown above that before they are chosen again, and the study made anew.
    """

    def __init__(
        self, make: Callable[[int], optuna.samplers.BaseSampler], *, most: int | None = None, block: int = 1
    ) -> None:
        self._make, self._most, self._block = make, most, block
        self._study = _empty_study()
        self._told: list[Observation] = []
        self._encoding: Encoding | None = None

    def new_values(
        self,
        encoding: Encoding,
        observations: Sequence[Observation],
        *,
        running: Sequence[Mapping[str, Any]],
        tried: set[str],
        rng: np.random.Generator,
        is_allowed: Predicate | None = None,
    ) -> dict[str, Any] | None:
        """Returns allowed values that were not tried; None where the sampler finds none.

        Args:
            encoding: The space.
            observations: What is known; goodness without a finite value counts as far worse than the worst.
            running: Active values of configurations without a score so far.
            tried: Keys of the configurations that are not proposed again.
            rng: Source of the sampler's seeds.
            is_allowed: Whether values may be tried. Those that may not count as the worst until this call is over, or
                a sampler that is sure of itself would repeat them.
        """
        if not encoding.free:
            return None
        distributions = {encoding.label(entry): _distribution(encoding, entry) for entry in encoding.free}
        self._tell(encoding, distributions, self._selected(observations))
        liars = [_coordinates(encoding, values, distributions) for values in running]
        self._study.add_trials([_trial(coordinates, distributions, None) for coordinates in liars])
        try:
            for _ in range(MOST_REPEATS):
                self._study.sampler = self._make(int(rng.integers(2**31)))
                values = self._asked(encoding, distributions)
                if is_allowed is not None and not is_allowed(values):
                    self._reject(_coordinates(encoding, values, distributions), distributions)
                elif values_key(values) not in tried:
                    return values
            return None
        finally:
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                self._study.tell(trial.number, state=TrialState.FAIL)

    def _reject(self, coordinates: Mapping[str, float], distributions: dict[str, BaseDistribution]) -> None:
        """Shows the sampler something that is as bad as a failure; the next call makes the study anew without it."""
        bad = _finite([*(goodness for _, goodness in self._told), -math.inf])[-1]
        self._study.add_trial(_trial(coordinates, distributions, bad))
        self._encoding = None

    def _selected(self, observations: Sequence[Observation]) -> Sequence[Observation]:
        if self._most is None or len(observations) <= self._most:
            return observations
        half, chosen = self._most // 2, len(observations) - (len(observations) - self._most) % self._block
        ranks = sorted(range(chosen), key=lambda i: observations[i][1], reverse=True)
        kept = sorted({*ranks[:half], *range(chosen - half, len(observations))})
        return [observations[i] for i in kept]

    def _tell(
        self, encoding: Encoding, distributions: dict[str, BaseDistribution], observations: Sequence[Observation]
    ) -> None:
        """Brings the study to these observations; from the start where they do not only add to those before."""
        goodness = _finite([each for _, each in observations])
        told = [(values, each) for (values, _), each in zip(observations, goodness, strict=True)]
        before = zip(told, self._told, strict=False)  # by identity, as values of a run do not change
        is_longer = len(told) >= len(self._told) and all(a is b and x == y for (a, x), (b, y) in before)
        if not is_longer or encoding is not self._encoding:
            self._study, self._told, self._encoding = _empty_study(), [], encoding
        for values, each in told[len(self._told) :]:
            self._study.add_trial(_trial(_coordinates(encoding, values, distributions), distributions, each))
        self._told = told

    def _asked(self, encoding: Encoding, distributions: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Returns the active values that the sampler suggests, one after the other."""
        trial = self._study.ask()
        values: dict[str, Any] = {}
        for entry in encoding.entries:
            if not is_active(entry, values):
                continue
            label = encoding.label(entry)
            distribution = distributions.get(label)
            if distribution is None:
                values[entry.name] = value_at(entry, 0.5)
                continue
            probability = _suggested(trial, label, distribution)
            values[entry.name] = value_at(entry, probability)
        self._study.tell(trial, state=TrialState.FAIL)
        return values


class TPESampler(optuna.samplers.TPESampler):
    """Optuna's, with what it finds out of a study by looking through all trials kept for the samplers after it.

    It proposes the same. Which hyperparameters all trials have took it a third of its time after 1,000 of them.
    """

    _common: ClassVar[weakref.WeakKeyDictionary[optuna.Study, IntersectionSearchSpace]] = weakref.WeakKeyDictionary()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the hyperparameters that are proposed together: those of all finished trials."""
        common = self._common.setdefault(study, IntersectionSearchSpace()).calculate(study, use_cache=True)
        return {name: distribution for name, distribution in common.items() if not distribution.single()}


class SampledOracle(HistoryOracle):
    """Trials of the full budget whose values a sampler of Optuna proposes.

    Args:
        make: Makes the sampler from a seed.
        most: See `Sampling`.
        block: See `Sampling`.
        options: See `HistoryOracle`.
    """

    def __init__(
        self,
        *,
        make: Callable[[int], optuna.samplers.BaseSampler],
        most: int | None = None,
        block: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._sampling = Sampling(make, most=most, block=block)

    def _move(self, rng: np.random.Generator) -> Move | None:
        running = [run.values for run in self.history.in_progress]
        values = self._sampling.new_values(
            self.encoding,
            self._observations(self.max_epochs),
            running=running,
            tried=self.history.keys,
            rng=rng,
            is_allowed=self.is_allowed,
        )
        values = self._random_values(rng) if values is None else values
        return None if values is None else Move(self.max_epochs, values=values)

    def _runs(self) -> list[Run]:
        """Returns the runs in the order in which they ended, so that a study is only added to: one may end late."""
        places = {name: place for place, name in enumerate(self.end_order)}
        return sorted(self.history, key=lambda run: places.get(run.last, len(places)))


def _empty_study() -> optuna.Study:
    """Returns a study in memory, to be maximized, without the line that Optuna logs for each."""
    with _silent("optuna.storages._in_memory"):
        return optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keeps one logger below warnings quiet, and leaves Optuna's verbosity to the program that uses this oracle."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _distribution(encoding: Encoding, entry: Any) -> BaseDistribution:
    """Returns indices of the values of a hyperparameter, or its probability where they are not as likely each."""
    count = encoding.count(entry)
    if count is None or not is_even(entry):
        return FloatDistribution(0.0, 1.0)
    return IntDistribution(0, count - 1) if is_ordered(entry) else CategoricalDistribution(range(count))


def _suggested(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> float:
    """Returns the probability of the value that a trial suggests."""
    if isinstance(distribution, CategoricalDistribution):
        count = len(distribution.choices)
        return (trial.suggest_categorical(name, range(count)) + 0.5) / count
    if isinstance(distribution, IntDistribution):
        return (trial.suggest_int(name, 0, distribution.high) + 0.5) / (distribution.high + 1)
    return trial.suggest_float(name, 0.0, 1.0)


def _coordinates(
    encoding: Encoding, values: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> dict[str, float]:
    """Returns what a sampler sees of active values."""
    coordinates: dict[str, float] = {}
    for entry in encoding.free:
        if entry.name not in values or not is_active(entry, values):
            continue
        label, probability = encoding.label(entry), probability_of(entry, values[entry.name])
        if isinstance(distributions[label], FloatDistribution):
            coordinates[label] = probability
        else:
            count = encoding.count(entry) or 1
            coordinates[label] = min(int(probability * count), count - 1)
    return coordinates


def _trial(
    coordinates: Mapping[str, float], distributions: Mapping[str, BaseDistribution], goodness: float | None
) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(
        state=TrialState.RUNNING if goodness is None else TrialState.COMPLETE,
        value=goodness,
        params=dict(coordinates),
        distributions={name: distributions[name] for name in coordinates},
    )


def _finite(goodness: Sequence[float]) -> list[float]:
    """Returns goodness with what is not finite as far below the worst as that is below the best."""
    finite = [each for each in goodness if math.isfinite(each)]
    best, worst = max(finite, default=0.0), min(finite, default=0.0)
    bad = worst - ((best - worst) or 1.0)
    return [each if math.isfinite(each) else bad for each in goodness]
