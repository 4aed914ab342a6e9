"""What all oracles of this program share."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Mapping, Sequence, Set
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial
from threadpoolctl import ThreadpoolController

from tuner.enqueue import as_declared
from tuner.oracles.checks import check_count, check_queue
from tuner.oracles.drawing import MOST_COLLISIONS, Drawing, Predicate
from tuner.oracles.encoding import Encoding, cleaned, default_values, is_active, values_key
from tuner.oracles.lifecycle import exclusive
from tuner.oracles.moves import Rung
from tuner.oracles.queue import checked, num_different, own_key, planned_values, tell_undeclared
from tuner.quantities import counted
from tuner.seeds import spread_seed

__all__ = ["StudyOracle"]

_PROPOSING = threading.Lock()  # the limit of linear algebra is the process's, and all oracles set it


class StudyOracle(keras_tuner.Oracle):
    """Mixin, to the left of `LifecycleOracle` and an oracle of Keras Tuner: what an oracle of this program promises.

    Keras Tuner takes seed 0 for none and draws one; here every seed from 0 is one. The default comes first, then what
    is enqueued. Without a tuner that has named a directory nothing is written: `create_trial`, `update_trial` and
    `end_trial` are all it needs. A failed trial raises nothing, as Keras Tuner would keep its lock; it counts as worst.

    Args:
        max_epochs: Full budget of one configuration, >= 1.
        seed: Seed of all random choices, >= 0; None draws one, as in Keras Tuner.
        max_trials: Total number of trials; None means no limit.
        max_total_epochs: Epochs of all trials together; None means no limit.
        enqueue: Configurations to try first, after the default; what one leaves out gets its default.
        is_allowed: Whether a configuration may be tried; one that may not costs nothing. None means that all may.
        options: Keyword arguments of the oracle of Keras Tuner, such as `objective` and `hyperparameters`.

    Raises:
        ValueError: If an argument is none of those.
        UsageError: If a value of `enqueue` is none that the space declares.

    Attributes:
        reason: Why there are no more trials; empty while there are, or where the algorithm is through.
        is_fixed: Whether the trials are those of `schedule` whatever they score; else it says about how many.
        takes_no: Arguments of a base that mean nothing here.
    """

    reason = ""
    is_fixed = True
    takes_no: tuple[str, ...] = ()
    _seed_state: int  # Keras Tuner's

    def __init__(
        self,
        *,
        max_epochs: int,
        seed: int | None = 0,
        max_trials: int | None = None,
        max_total_epochs: int | None = None,
        enqueue: Sequence[Mapping[str, Any]] = (),
        is_allowed: Predicate | None = None,
        **options: Any,
    ) -> None:
        max_epochs = check_count("max_epochs", max_epochs)
        max_trials = check_count("max_trials", max_trials, optional=True)
        max_total_epochs = check_count("max_total_epochs", max_total_epochs, optional=True)
        seed = check_count("seed", seed, lowest=0, optional=True)
        check_queue(enqueue)
        options.setdefault("max_consecutive_failed_trials", sys.maxsize)
        super().__init__(seed=None if seed is None else spread_seed(seed), **options)
        self.max_epochs, self.max_trials, self.max_total_epochs = max_epochs, max_trials, max_total_epochs
        self.enqueue = as_declared(enqueue, self.hyperparameters)
        self._enqueued = self.enqueue  # before the hypermodel declares more, in a space of so many hyperparameters:
        self._checked = len(self.hyperparameters.space)
        self.is_allowed = is_allowed
        self._drawing: Drawing | None = None
        self._shortage = ""  # why there was nothing new then
        self._keys: dict[str, str] = {}  # of the configurations by trial, in a space of so many hyperparameters:
        self._declared = 0
        self.verbose = 0

    @property
    def drawing(self) -> Drawing:
        """Draws from the space; made anew when a stock tuner has added hyperparameters."""
        if self._drawing is None or len(self._drawing.encoding.entries) != len(self.hyperparameters.space):
            self._drawing = Drawing(Encoding(self.hyperparameters), self.is_allowed)
        return self._drawing

    def schedule(self, most_epochs: int | None = None) -> list[Rung]:
        """Returns the trials that a search will make, in order; here all of the full budget.

        Args:
            most_epochs: Epochs of a search without limits of its own.
        """
        return [Rung(self._affordable(self.max_epochs, most_epochs), 0, self.max_epochs)]

    def hurry(self) -> None:
        """Hears before the first trial that there is no time to train one configuration to the full budget."""

    @exclusive
    def create_trial(self, tuner_id: str) -> Trial:
        """Returns the next trial, computed with one thread of linear algebra.

        The matrices are small: two threads take five times as long for a proposal, and those from workers that train.
        """
        with _PROPOSING, _linear_algebra().limit(limits=1, user_api="blas"):
            return super().create_trial(tuner_id)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns Keras Tuner's response: what the algorithm proposes, with the planned values in its first runs.

        What came to nothing leaves Keras Tuner's random numbers where they were: a resumed search does not repeat it.
        """
        before = self._seed_state
        response = self._response(trial_id)
        if response["status"] != "RUNNING":
            self._seed_state = before
        return response

    def _response(self, trial_id: str) -> dict[str, Any]:
        self._shortage = ""
        response = self._proposed(trial_id)
        values = response.get("values")
        if response["status"] == "STOPPED" and self._shortage:
            self.reason = self._shortage
        if response["status"] != "RUNNING" or values is None:
            return response
        if "tuner/trial_id" not in values:
            new = self._planned() or self._untried(values)
            if new is None:
                self.reason = self._shortage or f"the space is exhausted, {len(self._tried())} tried"
                return {"status": "STOPPED"}
            values = new | {name: value for name, value in values.items() if name.startswith("tuner/")}
        return self._granted(values)

    def _granted(self, values: dict[str, Any]) -> dict[str, Any]:
        """Returns the response that runs a trial with values; where its epochs are not left, the one that ends."""
        if "tuner/trial_id" in values:  # of a run that began before others declared more
            values = values | {n: v for n, v in default_values(self.hyperparameters, values).items() if n not in values}
        epochs = values.get("tuner/epochs", self.max_epochs) - values.get("tuner/initial_epoch", 0)
        is_over = self._exceeds(self._epochs_begun() + epochs)
        return {"status": "STOPPED"} if is_over else {"status": "RUNNING", "values": values}

    def _proposed(self, trial_id: str) -> dict[str, Any]:
        """Returns the response of the oracle of Keras Tuner that is to the right of this one."""
        response: dict[str, Any] = super().populate_space(trial_id)
        return response

    @property
    def num_enqueued(self) -> int:
        """How many different configurations are enqueued, besides the default."""
        return num_different(self.hyperparameters, self.enqueue)

    @property
    def first_values(self) -> Sequence[Mapping[str, Any]]:
        """What is tried first, after the default."""
        return self.enqueue

    def _planned(self) -> dict[str, Any] | None:
        """Returns the next planned configuration that was not tried: the default one, then what was enqueued.

        Raises:
            UsageError: If before the first trial the space does not allow one.
        """
        space, tried = self.hyperparameters, self._tried()
        if self._checked != len(space.space):
            self.enqueue = checked(self._enqueued, space, has_begun=bool(self.trials))
            self._checked = len(space.space)
        for given in (None, *self.first_values):
            if own_key(space, given) in tried:
                if given and self.end_order:  # else no hypermodel may have been built
                    tell_undeclared(given, space, self.ongoing_trials.values())
            elif self.drawing.allows(default_values(space, given)):
                return planned_values(space, given)
        return None

    def _is_new(self, values: Mapping[str, Any], tried: Set[str] | None = None) -> bool:
        """Whether values are allowed and not among those tried; `tried` saves counting them again."""
        return self.drawing.allows(values) and values_key(values) not in (self._tried() if tried is None else tried)

    def _untried(self, values: dict[str, Any] | None) -> dict[str, Any] | None:
        """Returns allowed values that were not tried: those proposed, or random ones; None where there are none.

        Keras Tuner's Bayesian oracle repeats what it finds best, and its Hyperband tells configurations apart by their
        epochs, too.
        """
        tried = self._tried()
        for _ in range(MOST_COLLISIONS):
            if values is None or self._is_new(values, tried):
                return values
            values = self._random_values()
        return None

    def _random_values(self) -> dict[str, Any] | None:
        """Returns random values as Keras Tuner draws them; drawn here where it finds none, or not all are allowed.

        Where nothing is found, there may still be a planned configuration.
        """
        drawn = super()._random_values() if self.is_allowed is None else None
        if drawn is not None:
            for entry in self.hyperparameters.space:
                if hasattr(entry, "min_value") and entry.name in drawn and is_active(entry, drawn):
                    drawn[entry.name] = cleaned(entry, drawn[entry.name])
        else:
            drawn = self._drawn(np.random.default_rng((self.seed, len(self.trials))))
        return self._planned() if drawn is None else drawn

    def _drawn(self, rng: np.random.Generator) -> dict[str, Any] | None:
        """Returns allowed values that were not tried; None, with the `_shortage`, where none are found."""
        values, self._shortage = self.drawing.new_values(rng, self._tried())
        return values

    def _tried(self) -> set[str]:
        """Returns the keys of the configurations so far, with the defaults of what was declared after they began."""
        if len(self.hyperparameters.space) != self._declared:
            self._keys, self._declared = {}, len(self.hyperparameters.space)
        for name, trial in self.trials.items():
            if name not in self._keys:
                self._keys[name] = own_key(self.hyperparameters, trial.hyperparameters.values)
        return set(self._keys.values())

    def _epochs_begun(self) -> int:
        """Returns the epochs of all trials so far."""
        every = [trial.hyperparameters.values for trial in self.trials.values()]
        return sum(v.get("tuner/epochs", self.max_epochs) - v.get("tuner/initial_epoch", 0) for v in every)

    def _exceeds(self, epochs: int) -> bool:
        """Whether so many epochs in all are more than allowed; then it is the `reason`."""
        if self.max_total_epochs is None or epochs <= self.max_total_epochs:
            return False
        spent = f"the {counted(self.max_total_epochs, 'epoch is', 'epochs are')} spent"
        self.reason = spent if self.trials else f"no trial fits into {counted(self.max_total_epochs, 'epoch')}"
        return True

    def _affordable(self, epochs: int, most_epochs: int | None) -> int:
        """Returns how many trials of so many epochs the limits allow."""
        limits = [
            self.max_trials,
            self._size(),
            *(most // epochs for most in (self.max_total_epochs, most_epochs) if most),
        ]
        return min((limit for limit in limits if limit is not None), default=0)

    def _size(self) -> int | None:
        """Returns how many configurations the space has; None where there is no end of them or too many to count."""
        return self.drawing.size()


@functools.cache
def _linear_algebra() -> ThreadpoolController:
    """Returns what sets the threads of the libraries that NumPy and SciPy have brought; to look for them takes 7 ms."""
    return ThreadpoolController()
