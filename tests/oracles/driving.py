"""Spaces and a driver that all tests of oracles share: it answers in place of a training."""

import dataclasses
import importlib.util
import math
from collections.abc import Callable

import keras_tuner
import pytest

from tuner.config import ALGORITHMS

MAX_EPOCHS = 9

WARNINGS = [
    # Keras Tuner looks for the best of the values of a trial, which may all be NaN.
    pytest.mark.filterwarnings("ignore:All-NaN axis encountered:RuntimeWarning"),
]

# All algorithms; a proposal of gp takes a second, and tests/oracles/test_gp.py has a fast test of it.
EACH = [pytest.param(name, marks=pytest.mark.slow if name == "gp" else ()) for name in ALGORITHMS]

# Packages of their own, which `pip install` brings on demand.
NEEDS = {"gp": "torch", "cmaes": "cmaes"}


def require_package(algorithm):
    """Skips a test of an algorithm whose package is not installed."""
    if algorithm in NEEDS and importlib.util.find_spec(NEEDS[algorithm]) is None:
        pytest.skip(f"{NEEDS[algorithm]} is not installed")


def flat():
    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["sgd", "adam", "lion"], default="adam")
    hp.Int("width", 4, 64, default=16)
    hp.Float("dropout", 0.0, 0.5, default=0.2)
    return hp


def conditional():
    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["sgd", "adam"], default="sgd")
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.5, 0.99, default=0.9)
        hp.Choice("schedule", ["constant", "steps"], default="constant")
        with hp.conditional_scope("schedule", ["steps"]):
            hp.Int("drops", 1, 5)
    with hp.conditional_scope("optimizer", ["adam"]):
        hp.Float("beta", 0.8, 0.999, default=0.9)
    hp.Int("width", 4, 64, default=16)
    return hp


def stepped():
    hp = keras_tuner.HyperParameters()
    hp.Fixed("stages", 2)
    hp.Int("width", 8, 64, step=8, default=16)
    hp.Float("dropout", 0.0, 1.0, step=0.1, default=0.5)
    hp.Int("filters", 4, 64, step=2, sampling="log", default=8)
    hp.Float("decay", 1e-5, 1e-1, step=10, sampling="log", default=1e-5)
    hp.Choice("ratio", [2, 4, 8], default=4)
    hp.Boolean("bias", default=True)
    return hp


def log():
    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 1e-4, 1.0, sampling="log", default=0.1)
    hp.Float("momentum", 0.5, 0.999, sampling="reverse_log", default=0.9)
    hp.Int("width", 1, 1000, sampling="log", default=10)
    hp.Int("depth", 1, 1000, sampling="reverse_log", default=900)
    return hp


def one_value():
    hp = keras_tuner.HyperParameters()
    hp.Fixed("stages", 2)
    hp.Choice("optimizer", ["sgd"])
    hp.Int("width", 4, 4)
    hp.Float("dropout", 0.5, 0.5)
    hp.Float("learning_rate", 0.1, 0.1, sampling="log")
    return hp


def six_values():
    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["sgd", "adam", "lion"])
    hp.Boolean("bias")
    return hp


def shared_names():
    """Two conditional scopes that have one name for hyperparameters of different ranges."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["sgd", "adam"], default="sgd")
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("rate", 0.01, 1.0, sampling="log", default=0.1)
        hp.Choice("warmup", [0, 1, 2, 3, 4], default=4)
    with hp.conditional_scope("optimizer", ["adam"]):
        hp.Float("rate", 1e-5, 1e-2, sampling="log", default=1e-3)
        hp.Choice("warmup", [0, 8])
    return hp


SPACES = {"flat": flat, "conditional": conditional, "stepped": stepped, "log": log, "one-value": one_value}


def narrow(values):
    """A constraint that a tenth to a quarter of a space meets, and its default does not."""
    return values["width"] <= 9


def rare(values):
    """A constraint that 1 in 1,000 of the flat space meets."""
    return values["width"] == 4 and values["dropout"] < 0.03


def score_of(values, epochs=MAX_EPOCHS):
    """A score that follows from the values and the epochs alone."""
    mixed = sum((index + 1) * _number(value) for index, (_, value) in enumerate(sorted(own(values).items())))
    return math.cos(mixed) * (1 - math.exp(-epochs / 3))


def _number(value):
    return sum(map(ord, value)) if isinstance(value, str) else 10 * float(value)


def own(values):
    """The values without those of Keras Tuner's promotion protocol."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


@dataclasses.dataclass(frozen=True)
class Situation:
    """What goes on while an oracle is driven.

    Args:
        in_flight: Trials that run at a time; which one ends next has nothing to do with when it began.
        outcome: Score of a trial by its number and true score; None for a failure.
    """

    in_flight: int = 1
    outcome: Callable[[int, float], float | None] = lambda number, score: score


SITUATIONS = {
    "in-order": Situation(),
    "in-flight": Situation(in_flight=8),
    "failures": Situation(outcome=lambda number, score: None if number % 3 == 1 else score),
    "nan": Situation(outcome=lambda number, score: math.nan if number % 3 == 0 else score),
    "infinity": Situation(outcome=lambda number, score: (score, math.inf, -math.inf)[number % 3]),
    "nothing-works": Situation(in_flight=3, outcome=lambda number, score: None if number % 2 else math.nan),
}


class Drive:
    """Runs an oracle for so many trials or to its end.

    Args:
        oracle: What is driven.
        trials: So many.
        situation: What goes on meanwhile.
        score: The true score of values after so many epochs.

    Attributes:
        proposals: Values of each trial in their order.
        trained: Epochs behind each trial when it ended, by name.
        status: Status of the last trial that was not to be run; None where the limit came first.
    """

    def __init__(self, oracle, trials, situation=SITUATIONS["in-order"], *, score=score_of):
        self.oracle, self.situation, self.score = oracle, situation, score
        self.proposals, self.names, self.trained, self.status = [], [], {}, None
        self.go_on(trials)

    def go_on(self, trials):
        """Goes on until there are so many trials in all."""
        running = []
        calls = 0
        while True:
            calls += 1
            assert calls < 50 * trials + 50, "the oracle hangs"
            trial = None
            if len(self.proposals) < trials and len(running) < self.situation.in_flight:
                trial = self.oracle.create_trial(f"worker-{calls}")
                self.status = None if trial.status == "RUNNING" else trial.status
            if trial is not None and trial.status == "RUNNING":
                self.proposals.append(dict(trial.hyperparameters.values))
                self.names.append(trial.trial_id)
                running.append(trial)
            elif running:
                self._end(running.pop(3 * calls % len(running)))
            else:
                break

    def _end(self, trial):
        """Trains and ends a trial as the executor does, which tells every epoch."""
        values = trial.hyperparameters.values
        number = self.names.index(trial.trial_id)
        objective = self.oracle.objective
        first, last = values.get("tuner/initial_epoch", 0) + 1, values.get("tuner/epochs", MAX_EPOCHS)
        status = "COMPLETED"
        for epoch in range(first, last + 1):
            score = self.situation.outcome(number, self.score(values, epoch))
            if score is None:
                status = "FAILED"
                break
            signed = score if objective.direction == "max" else -score
            told = self.oracle.update_trial(trial.trial_id, {objective.name: signed}, step=epoch)
            self.trained[trial.trial_id] = epoch
            if told.status == "STOPPED":
                break
        trial.status = status
        self.oracle.end_trial(trial)
