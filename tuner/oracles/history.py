"""What an oracle knows: runs and their scores at the epochs to which they were trained, as plain data."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuner.oracles.encoding import default_values, values_key
from tuner.oracles.lifecycle import last_told

__all__ = ["LARGEST", "WORST", "History", "Run", "Seen", "best_and_spread", "observations"]

Item = TypeVar("Item")

# Goodness of a run that failed or diverged.
WORST = -math.inf

# Goodness beyond it counts as that, so that differences and squares are finite.
LARGEST = 1e150


@dataclasses.dataclass(frozen=True)
class Seen:
    """A score that another study has.

    Args:
        values: Active values by name.
        epochs: Epochs behind it.
        goodness: The score, negative where less is better; `WORST` after a failure.
    """

    values: Mapping[str, Any]
    epochs: int
    goodness: float

    @functools.cached_property
    def key(self) -> str:
        """The same for the same values."""
        return values_key(self.values)


@dataclasses.dataclass(eq=False)
class Run:
    """One configuration and the trials that continued one another with it.

    Args:
        number: Number of the run, from 0.
        values: Active values by name.
        last: Name of its newest trial.
        scores: Goodness (larger is better, `WORST` after a failure) by the epochs behind it when a trial ended, from
            few to many.
        names: Name of the trial that ended, by the epochs behind it.
        target: Epochs to which it is being trained; None while it is not.
        key: The same for the same values.
    """

    number: int
    values: Mapping[str, Any]
    last: str
    scores: dict[int, float] = dataclasses.field(default_factory=dict)
    names: dict[int, str] = dataclasses.field(default_factory=dict)
    target: int | None = None
    key: str = ""

    @property
    def epochs(self) -> int:
        """Epochs behind it, without those of a trial in progress."""
        return next(reversed(self.scores), 0)

    @property
    def score(self) -> float | None:
        """Goodness after its most epochs; None while its first trial runs."""
        return self.scores[self.epochs] if self.scores else None

    @property
    def result(self) -> tuple[int, float]:
        """The most epochs after which it had a score, and that; of a run without one, the epochs, and `WORST`."""
        scored = [pair for pair in self.scores.items() if pair[1] != WORST]
        return scored[-1] if scored else (self.epochs, WORST)

    @property
    def has_failed(self) -> bool:
        """Whether it failed or diverged: there is nothing to continue."""
        return self.score == WORST


class History:
    """The runs of an oracle, read from its trials.

    Args:
        objective: Name of the objective.
        direction: `max` or `min`: the better end of the objective.
        max_epochs: Epochs of a trial that names none.
    """

    def __init__(self, objective: str, *, direction: str, max_epochs: int) -> None:
        self.runs: list[Run] = []
        self.keys: set[str] = set()
        self._objective = objective
        self._sign = 1.0 if direction == "max" else -1.0
        self._max_epochs = max_epochs
        self._run_of: dict[str, Run] = {}
        self._ended: set[str] = set()
        self._spent = 0
        self._space = keras_tuner.HyperParameters()
        self._declared = 0

    def __iter__(self) -> Iterator[Run]:
        """Yields the runs in the order in which they began."""
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def spent(self) -> int:
        """Epochs of all trials; of those in progress, all that they may take."""
        return self._spent + sum(run.target - run.epochs for run in self.runs if run.target is not None)

    @property
    def in_progress(self) -> list[Run]:
        """Runs that are being trained."""
        return [run for run in self.runs if run.target is not None]

    def update(
        self, trials: Mapping[str, Trial], space: keras_tuner.HyperParameters, *, ended: Iterable[str] = ()
    ) -> None:
        """Takes in what is new.

        Args:
            trials: All trials by their names, in the order in which they began.
            space: What is searched. What a hypermodel declares besides has its default in every run, and where a tuner
                adds that to the space, so had the runs before.
            ended: Names of the trials that have ended. Their status says so before, while they are not yet scored.
        """
        self._space = space
        if len(space.space) != self._declared:
            self._declared = len(space.space)
            for run in self.runs:
                self._set_values(run, trials[run.last].hyperparameters.values)
            self.keys = {run.key for run in self.runs}
        over = set(ended) - self._ended
        for name, trial in trials.items():
            if name not in self._ended:
                self._take(name, trial, is_over=name in over)

    def _take(self, name: str, trial: Trial, *, is_over: bool) -> None:
        values = trial.hyperparameters.values
        run = self._run_of.get(name) or self._begin(name, values)
        run.target = int(values.get("tuner/epochs", self._max_epochs))
        if is_over:
            self._end(run, name, trial)

    def _begin(self, name: str, values: Mapping[str, Any]) -> Run:
        run = self._run_of.get(values.get("tuner/trial_id", ""))
        if run is None:
            run = Run(len(self.runs), {}, name)
            self._set_values(run, values)
            self.runs.append(run)
            self.keys.add(run.key)
        run.last = name
        self._run_of[name] = run
        return run

    def _set_values(self, run: Run, values: Mapping[str, Any]) -> None:
        run.values = default_values(self._space, values)
        run.key = values_key(run.values)

    def _end(self, run: Run, name: str, trial: Trial) -> None:
        """Closes a trial, which counts as trained to its target.

        A stock tuner reports one value a trial, under the number of its best epoch.
        """
        assert run.target is not None, "a trial that ended had begun"
        score = self._sign * last_told(trial, self._objective)[0] if trial.status == "COMPLETED" else math.nan
        self._spent += run.target - run.epochs
        run.scores[run.target] = min(max(score, -LARGEST), LARGEST) if math.isfinite(score) else WORST
        run.names[run.target] = name
        run.target = None
        self._ended.add(name)


def observations(
    warm_start: Sequence[Seen], runs: Iterable[Run], *, epochs: int, is_full: bool
) -> list[tuple[Mapping[str, Any], float]]:
    """Returns values and goodness of all that reached so many epochs, or failed on the way.

    What another study saw is moved to where its best is as good as the best run: with other data, or other epochs,
    scores of the same configurations lie elsewhere.

    Args:
        warm_start: What another study saw.
        runs: Runs so far.
        epochs: Epochs behind each score.
        is_full: Whether there are no other epochs than these. Then more of them do as well, and where the warm start
            never went so far, what went farthest.
    """
    least = min(epochs, max((seen.epochs for seen in warm_start), default=0)) if is_full else epochs
    known = [s for s in warm_start if s.goodness == WORST or (s.epochs >= least if is_full else s.epochs == epochs)]
    own = [(run.values, run.scores.get(epochs, WORST)) for run in runs if epochs in run.scores or run.has_failed]
    best_own = max((goodness for _, goodness in own), default=WORST)
    best_known = max((seen.goodness for seen in known), default=WORST)
    apart = best_own - best_known if WORST not in (best_own, best_known) else 0.0
    return [(seen.values, seen.goodness + apart) for seen in known] + own


def best_and_spread(ordered: list[Item], most: int) -> list[Item]:
    """Returns at most so many of what stands in order of worth: half of them the first, half evenly of the rest."""
    if len(ordered) <= most:
        return ordered
    kept, others = ordered[: most // 2], ordered[most // 2 :]
    step = len(others) / (most - len(kept))
    return kept + [others[int(place * step)] for place in range(most - len(kept))]
