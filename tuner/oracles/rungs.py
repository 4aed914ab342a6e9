"""What oracles share that train many configurations a little and few of them to the end."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import numpy as np

from tuner.oracles.checks import check_rungs
from tuner.oracles.history import Run
from tuner.oracles.history_oracle import HistoryOracle
from tuner.oracles.moves import Move, Rung

__all__ = ["RungOracle", "rung_epochs"]

# More than anybody trains; the limits of trials and epochs hold as they are.
MOST_PLANNED = 10**12


class RungOracle(HistoryOracle):
    """An oracle of one bracket: a run goes from rung to rung, each of `eta` times the epochs of the one below.

    Where no run is to be promoted, it begins a new one. Where there are no more values, the best runs go on until all
    are through; only then it may wait for a running trial.

    Args:
        eta: Ratio of the epochs of neighbouring rungs, >= 2; about 1/eta of the runs of a rung reach the next one.
        min_epochs: Fewest epochs of the lowest rung, >= 1.
        options: See `HistoryOracle`.

    Attributes:
        rungs: Epochs of each rung, the lowest first; the last one is the full budget.
    """

    is_fixed = False

    def __init__(self, *, eta: int = 3, min_epochs: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.eta = eta
        self.rungs = rung_epochs(self.max_epochs, eta=eta, min_epochs=min_epochs)

    def schedule(self, most_epochs: int | None = None) -> list[Rung]:
        """Returns the most trials of each rung that the limits allow, where one in `planned_eta` goes on.

        One more may begin than can all be promoted; where there are no more values, what began goes on.
        """
        begun, size = self._most_begun(most_epochs), self._size()
        planned = self._planned_rungs(begun)
        more = _with_one_more(planned, (0, self.start_epochs))
        if begun != size and self._fits(more, most_epochs):
            planned, begun = more, begun + 1
        while begun == size and (following := self._next_farthest(planned)):
            more = _with_one_more(planned, following)
            if not self._fits(more, most_epochs):
                break
            planned = more
        return planned

    @property
    def start_epochs(self) -> int:
        """Epochs of a new run's first trial."""
        return self.rungs[0]

    @property
    def planned_eta(self) -> int:
        """One run in so many goes on from each rung, as far as that is known beforehand."""
        return self.eta

    def _most_begun(self, most_epochs: int | None) -> int:
        """Returns how many runs can begin with all the promotions that they bring."""
        size = self._size()
        size = MOST_PLANNED if size is None else size
        begun, beyond = 0, 1
        while beyond <= size and self._fits(self._planned_rungs(beyond), most_epochs):
            begun, beyond = beyond, 2 * beyond
        beyond = min(beyond, size + 1)
        while beyond - begun > 1:
            middle = (begun + beyond) // 2
            fits = self._fits(self._planned_rungs(middle), most_epochs)
            begun, beyond = (middle, beyond) if fits else (begun, middle)
        return begun

    def _next_farthest(self, planned: list[Rung]) -> tuple[int, int] | None:
        """Returns the epochs between which the next one goes that has got farthest; None where all are through."""
        for epochs in reversed(self.rungs[:-1]):
            reached = sum(rung.trials for rung in planned if rung.epochs == epochs)
            if reached > sum(rung.trials for rung in planned if rung.initial_epoch == epochs):
                return epochs, self._next_rung(epochs)
        return None

    def _planned_rungs(self, trials: int) -> list[Rung]:
        return self._ladder(trials, self.rungs)

    def _ladder(self, trials: int, rungs: list[int]) -> list[Rung]:
        """Returns the rungs that so many runs get to, of which one in `planned_eta` goes on from each."""
        before = [0, *rungs[:-1]]
        planned = [
            Rung(trials // self.planned_eta**k, a, b) for k, (a, b) in enumerate(zip(before, rungs, strict=True))
        ]
        return [rung for rung in planned if rung.trials]

    def _fits(self, planned: list[Rung], most_epochs: int | None) -> bool:
        limits = [limit for limit in (self.max_total_epochs, most_epochs) if limit is not None]
        if self.max_trials is None and not limits:
            return False
        epochs = sum(rung.trials * (rung.epochs - rung.initial_epoch) for rung in planned)
        within = self.max_trials is None or sum(rung.trials for rung in planned) <= self.max_trials
        return within and all(epochs <= limit for limit in limits)

    def _first_epochs(self) -> int:
        return self.start_epochs

    def _move(self, rng: np.random.Generator) -> Move | None:
        run = self._promoted()
        if run is not None:
            return Move(self._next_rung(run.epochs), run=run)
        return self._begun(self._new_values(rng), self._first_epochs())

    def _begun(self, values: dict[str, Any] | None, epochs: int) -> Move | None:
        """Returns the beginning of a run; where there are no values, the best run that can go on."""
        if values is not None:
            return Move(epochs, values=values)
        run = self._farthest()
        if run is not None or any(each.target != self.max_epochs for each in self.history.in_progress):
            self.reason = ""
        return None if run is None else Move(self._next_rung(run.epochs), run=run)

    def _farthest(self) -> Run | None:
        """Returns the best run of the highest rung that can go on."""
        waiting = [r for r in self.history if r.target is None and r.epochs < self.max_epochs and not r.has_failed]
        return max(waiting, key=lambda run: (run.epochs, run.score), default=None)

    def _next_rung(self, epochs: int) -> int:
        """Returns the epochs of the rung above so many epochs."""
        return next(rung for rung in self.rungs if rung > epochs)

    def _promoted(self) -> Run | None:
        """Returns the best run among the best 1/eta of a rung that were not promoted, of the highest such rung."""
        for rung in reversed(self.rungs[:-1]):
            reached = [run for run in self.history if rung in run.scores]
            reached.sort(key=lambda run: run.scores[rung], reverse=True)
            for run in reached[: len(reached) // self.eta]:
                if run.epochs == rung and run.target is None and not run.has_failed:
                    return run
        return None

    @abc.abstractmethod
    def _new_values(self, rng: np.random.Generator) -> dict[str, Any] | None:
        """Returns values for a new run; None, with the `reason`, where there are none."""


def _with_one_more(planned: list[Rung], between: tuple[int, int]) -> list[Rung]:
    """Returns rungs with one trial more between two epochs."""
    places = [(rung.initial_epoch, rung.epochs) for rung in planned]
    if between not in places:
        return [*planned, Rung(1, *between)]
    place = places.index(between)
    more = dataclasses.replace(planned[place], trials=planned[place].trials + 1)
    return [*planned[:place], more, *planned[place + 1 :]]


def rung_epochs(max_epochs: int, *, eta: int, min_epochs: int) -> list[int]:
    """Returns the epochs of each rung: the full budget, and that over each power of eta, down to `min_epochs`.

    Args:
        max_epochs: Full budget of one configuration, >= 1.
        eta: Ratio of the epochs of neighbouring rungs, >= 2.
        min_epochs: Fewest epochs of the lowest rung, from 1 to `max_epochs`.

    Returns:
        Epochs of the rungs, the lowest first.

    Raises:
        ValueError: If a number is out of its range.
    """
    check_rungs(max_epochs, eta=eta, min_epochs=min_epochs)
    rungs, epochs = {max_epochs}, max_epochs / eta
    while round(epochs) >= min_epochs:
        rungs.add(round(epochs))
        epochs /= eta
    return sorted(rungs)
