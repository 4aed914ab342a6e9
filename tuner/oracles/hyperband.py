"""Hyperband, as Keras Tuner has it, but for the default configuration, which is trained to the end first."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuner.oracles.checks import check_count, check_rungs
from tuner.oracles.lifecycle import LifecycleOracle
from tuner.oracles.moves import Rung
from tuner.oracles.whole import WholeFirst

__all__ = ["Hyperband"]

# Keras Tuner's names of arguments that have other names in all oracles of this program.
_OURS = {"factor": "eta", "hyperband_iterations": "iterations"}

# Iterations of a plan without limits, which nobody reads to its end.
MOST_PLANNED = 100


class Hyperband(WholeFirst, LifecycleOracle, keras_tuner.oracles.HyperbandOracle):
    """Successive halving in several brackets, from many short trials to few long ones.

    The bracket without halving, Keras Tuner's last, lends its first trial to the default configuration: that goes to
    the full budget before anything else, as in `Mobster`. Trials and epochs of an iteration stay the same.

    Args:
        max_epochs: Full budget of one configuration.
        eta: The best 1/eta of a rung go on to the next.
        min_epochs: Fewest epochs of a trial.
        iterations: How often the schedule of all brackets is gone through, >= 1; None means without end.
        options: See `WholeFirst`.

    Raises:
        ValueError: If an argument is out of its range, or has Keras Tuner's name.

    Reference: Li et al., 2018, https://arxiv.org/abs/1603.06560, algorithm 1; `keras_tuner.oracles.HyperbandOracle`.
    """

    def __init__(
        self, *, max_epochs: int, eta: int = 3, min_epochs: int = 1, iterations: int | None = None, **options: Any
    ) -> None:
        for theirs, ours in _OURS.items():
            if theirs in options:
                raise ValueError(f"{theirs} is {options[theirs]!r}; here its name is {ours}: give {ours}=... instead.")
        check_rungs(max_epochs, eta=eta, min_epochs=min_epochs)
        iterations = check_count("iterations", iterations, optional=True)
        eta, min_epochs = int(eta), int(min_epochs)  # of NumPy, Keras Tuner could not write them
        super().__init__(max_epochs=max_epochs, factor=eta, hyperband_iterations=iterations or sys.maxsize, **options)
        self._iterations = iterations
        # Keras Tuner has a fixed minimum, and has begun a bracket with it.
        self.min_epochs = min_epochs
        self._brackets.clear()
        self._current_bracket = self._get_num_brackets() - 1
        self._start_new_bracket()

    def schedule(self, most_epochs: int | None = None) -> list[Rung]:
        """Returns the rungs of all brackets in their order, cut at the limits."""
        trials_left = self.max_trials or float("inf")
        epochs_left = min(limit or float("inf") for limit in (self.max_total_epochs, most_epochs))
        planned: list[Rung] = []
        for rung in self._within_space(self._rungs(self._iterations or MOST_PLANNED)):
            epochs = rung.epochs - rung.initial_epoch
            trials = int(min(rung.trials, trials_left, epochs_left // epochs))
            planned.append(Rung(trials, rung.initial_epoch, rung.epochs))
            trials_left, epochs_left = trials_left - trials, epochs_left - trials * epochs
            if trials < rung.trials:
                break
        return [rung for rung in planned if rung.trials]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns Keras Tuner's response; what is not going to run leaves its place in the bracket."""
        response: dict[str, Any] = super().populate_space(trial_id)
        if response["status"] != "RUNNING":
            self._leave(trial_id)
        if (
            response["status"] == "STOPPED"
            and not self.reason
            and len(self.trials) < sum(r.trials for r in self.schedule())
        ):
            self.reason = "too few trials of a round had a score to fill the next one"
        return response

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` has returned, for the iterations that this oracle was made for."""
        iterations = max(self.hyperband_iterations, state["current_iteration"] + 1)  # what has begun is not undone
        super().set_state(state | {"hyperband_iterations": iterations})

    def _response(self, trial_id: str) -> dict[str, Any]:
        response = super()._response(trial_id)
        if response["status"] == "RUNNING" or not self._shortage:
            return response
        self._leave(trial_id)
        promotion = self._promotion(trial_id, is_exhausted=True)
        if promotion is None and not self.ongoing_trials:
            return response
        self.reason = ""
        return {"status": "IDLE"} if promotion is None else self._granted(promotion["values"])

    def _proposed(self, trial_id: str) -> dict[str, Any]:
        """Returns Keras Tuner's response; its own goes by the status of trials, which they have before a score."""
        promotion = self._promotion(trial_id)
        if promotion is not None:
            return promotion
        self._remove_completed_brackets()
        begun = (each for each in self._brackets if len(each["rounds"][0]) < self._get_size(each["bracket_num"], 0))
        bracket = next(begun, None)
        if bracket is None:
            if self._current_bracket == 0 and self._current_iteration + 1 == self.hyperband_iterations:
                return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}
            self._increment_bracket_num()
            self._start_new_bracket()
            bracket = self._brackets[-1]
        return self._random_trial(trial_id, bracket)

    def _leave(self, trial_id: str) -> None:
        """Gives up a trial's place in its bracket."""
        for bracket in self._brackets:
            for rung in bracket["rounds"]:
                rung[:] = [place for place in rung if place["id"] != trial_id]

    def _promotion(self, trial_id: str, *, is_exhausted: bool = False) -> dict[str, Any] | None:
        """Returns the response that promotes the best of a round, where what is not scored cannot leave it behind.

        Keras Tuner counts on a full round. One of less, as after many failures or where the space has no more
        configurations, would promote nothing. It would also wait for ever for a score of what failed, and go on with
        what diverged: here both are the worst of their round.

        Args:
            trial_id: Name of the trial that goes on with it.
            is_exhausted: Whether nothing new can begin, so that a first round gets no more.
        """
        over, worst = set(self.end_order), self._worst_score()  # a status says so before there is a score
        for bracket in self._brackets:
            number, rounds = bracket["bracket_num"], bracket["rounds"]
            is_closed = is_exhausted or len(rounds[0]) == self._get_size(number, 0)
            if not is_closed:  # it is filled first
                continue
            for place, (past, following) in enumerate(itertools.pairwise(rounds), 1):
                gone_on = {each["past_id"] for each in following}
                waiting = [self.trials[each["id"]] for each in past if each["id"] not in gone_on]
                ended = [trial for trial in waiting if trial.trial_id in over]
                good = [trial for trial in ended if trial.status == "COMPLETED" and trial.score != worst]
                to_come = 0 if is_closed else self._get_size(number, place - 1) - len(past)
                open_places = self._get_size(number, place) - len(following)
                still_to_end = len(waiting) - len(ended)
                if good and open_places > to_come + still_to_end:
                    best = (max if self.objective.direction == "max" else min)(good, key=lambda trial: trial.score)
                    following.append({"past_id": best.trial_id, "id": trial_id})
                    return {"status": "RUNNING", "values": self._continued(best, number, place)}
                is_closed = is_closed and not (open_places and (good or still_to_end))
        return None

    def _continued(self, trial: Trial, bracket: int, place: int) -> dict[str, Any]:
        """Returns the values with which a trial goes on in a round of a bracket, in Keras Tuner's words."""
        return trial.hyperparameters.values | {
            "tuner/trial_id": trial.trial_id,
            "tuner/epochs": self._get_epochs(bracket, place),
            "tuner/initial_epoch": self._get_epochs(bracket, place - 1),
            "tuner/bracket": bracket,
            "tuner/round": place,
        }

    def _random_trial(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any]:
        """Returns the response that begins a run; Keras Tuner's own takes the one configuration of no values for none.

        The default that goes to the full budget at once takes its place in the bracket without halving later.
        """
        values = self._random_values()
        if values is None:
            return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}
        number = 0 if self.begins_whole and not self.trials else bracket["bracket_num"]
        if number == bracket["bracket_num"]:
            bracket["rounds"][0].append({"past_id": None, "id": trial_id})
        epochs = self._get_epochs(number, 0)
        place = {"tuner/epochs": epochs, "tuner/initial_epoch": 0, "tuner/bracket": number, "tuner/round": 0}
        return {"status": "RUNNING", "values": values | place}

    def _start_new_bracket(self) -> None:
        super()._start_new_bracket()
        first = next(iter(self.trials.values()), None)
        is_last_of_first = (self._current_iteration, self._current_bracket) == (0, 0)
        if first and is_last_of_first and first.hyperparameters.values["tuner/epochs"] == self.max_epochs:
            self._brackets[-1]["rounds"][0].append({"past_id": None, "id": first.trial_id})

    def _rungs(self, iterations: int) -> list[Rung]:
        """Returns the rungs of so many iterations in their order."""
        rungs = self._iteration()
        if not self.begins_whole or len(rungs) == 1:
            return rungs * iterations
        whole = rungs[-1]
        rest = dataclasses.replace(whole, trials=whole.trials - 1)
        return [dataclasses.replace(whole, trials=1), *rungs[:-1], rest, *rungs * (iterations - 1)]

    def _within_space(self, rungs: list[Rung]) -> Iterator[Rung]:
        """Yields rungs that begin no more configurations than there are, of which no more go on."""
        left, before = self._size(), 0
        for rung in rungs:
            most = before if rung.initial_epoch else left
            before = rung.trials if most is None else min(rung.trials, most)
            if left is not None and not rung.initial_epoch:
                left -= before
            yield dataclasses.replace(rung, trials=before)

    def _iteration(self) -> list[Rung]:
        """Returns the rungs of one iteration in their order."""
        rungs = []
        for bracket in reversed(range(self._get_num_brackets())):
            for place in range(self._get_num_rounds(bracket)):
                before = self._get_epochs(bracket, place - 1) if place else 0
                rungs.append(Rung(self._get_size(bracket, place), before, self._get_epochs(bracket, place)))
        return rungs
