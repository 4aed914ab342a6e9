"""What is said between the executor and an oracle of Keras Tuner: trials by number, epochs, scores.

It honours Keras Tuner's promotion protocol: a trial whose values hold `tuner/trial_id`, `tuner/initial_epoch` and
`tuner/epochs` continues the trial of that name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuner.declaration import active_values
from tuner.errors import TunerError
from tuner.quantities import counted
from tuner.records import COMPLETED, Record

__all__ = ["Dialogue", "Proposal"]


class Proposal:
    """A trial that an oracle wants.

    Args:
        trial: Keras Tuner's trial.
        parent: Number of the trial that it continues, or None.
    """

    def __init__(self, trial: Trial, parent: int | None) -> None:
        self.parent = parent
        self.hyperparameters = _plain(active_values(trial.hyperparameters))
        self._values = trial.hyperparameters.values

    def epochs(self, max_epochs: int) -> tuple[int, int]:
        """Returns the epochs that the run has behind it when the trial begins, and when it is done."""
        return int(self._values.get("tuner/initial_epoch", 0)), int(self._values.get("tuner/epochs", max_epochs))

    def values(self) -> dict[str, Any]:
        """Returns all values but the name of the parent, which depends on how many digits a name has."""
        return {name: value for name, value in _plain(self._values).items() if name != "tuner/trial_id"}


class Dialogue:
    """Speaks with an oracle about trials by their numbers.

    Args:
        oracle: Proposes trials and hears their scores.

    Attributes:
        objective: Name of the oracle's objective; of several, the first, which training reaches.
        costs: Names of the others, which are costs of the network (`Record.cost`).
    """

    def __init__(self, oracle: keras_tuner.Oracle) -> None:
        self.oracle = oracle
        objectives = getattr(oracle.objective, "objectives", [oracle.objective])
        self.objective: str = objectives[0].name
        self.costs: list[str] = [each.name for each in objectives[1:]]
        self._worst = math.inf if objectives[0].direction == "min" else -math.inf
        self.is_through = False
        self._trials: dict[int, Trial] = {}
        self._numbers: dict[str, int] = {}

    @property
    def ending(self) -> str:
        """Why there are no more trials, for a person to read."""
        most = self.oracle.max_trials
        if most and len(self._trials) >= most:
            return f"the {counted(most, 'trial is', 'trials are')} made"
        return getattr(self.oracle, "reason", "") or "the schedule is through"

    def ask(self, number: int) -> Proposal | None:
        """Returns the oracle's next trial.

        Args:
            number: Number that the trial gets.

        Returns:
            The proposal, or None where there is none: for ever (then `is_through` is set), or until a running trial
            has ended.
        """
        trial = self.oracle.create_trial(f"slot{number}")
        if trial.status == "STOPPED":
            self.is_through = True
        if trial.status != "RUNNING":
            return None
        self._trials[number] = trial
        self._numbers[trial.trial_id] = number
        name = trial.hyperparameters.values.get("tuner/trial_id")
        return Proposal(trial, None if name is None else self._numbers[name])

    def report(self, record: Record, *, epoch: int, value: float) -> bool:
        """Tells the objective after an epoch, and returns whether the oracle wants the trial to stop."""
        trial = self.oracle.update_trial(self._trials[record.trial].trial_id, self._metrics(record, value), epoch)
        return bool(trial.status == "STOPPED")

    def end(self, record: Record) -> None:
        """Ends a trial with the score of its record in place of what was reported on the way.

        Raises:
            TunerError: If the oracle gives up.
        """
        trial = self.oracle.get_trial(self._trials[record.trial].trial_id)
        trial.metrics = type(trial.metrics)()
        trial.status, trial.message = "FAILED", record.message
        # Where small networks are sought, one that diverged must not count as a small one.
        if record.score is not None and (record.status == COMPLETED or not self.costs):
            score = record.score if record.status == COMPLETED else self._worst  # there is nothing to continue
            self.oracle.update_trial(trial.trial_id, self._metrics(record, score), record.epochs)
            trial.status = "COMPLETED"
        try:
            self.oracle.end_trial(trial)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise TunerError(f"The oracle gave up: {reason} The last trial failed with {record.cause}") from error

    def _metrics(self, record: Record, value: float) -> dict[str, float]:
        return {self.objective: value, **{name: record.cost(name) for name in self.costs}}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values without NumPy's types, which JSON does not know."""
    return {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
