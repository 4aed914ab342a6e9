import math

import keras
import keras_tuner
import numpy as np
import pytest

from oracles.driving import flat, own
from tuner.oracles import Nsga2
from tuner.oracles.encoding import default_values
from tuner.oracles.nsga2 import crowding_distances, survivors

OBJECTIVES = [keras_tuner.Objective("val_accuracy", "max"), keras_tuner.Objective("val_loss", "min")]


def _drive(oracle, trials, *, figures):
    """Ends trials with two figures that follow from their values; None is a failure."""
    for number in range(trials):
        trial = oracle.create_trial("worker")
        assert trial.status == "RUNNING"
        found = figures(number, trial.hyperparameters.values)
        if found is not None:
            oracle.update_trial(trial.trial_id, dict(zip(("val_accuracy", "val_loss"), found, strict=True)), step=9)
        trial.status = "FAILED" if found is None else "COMPLETED"
        oracle.end_trial(trial)
    return [own(trial.hyperparameters.values) for trial in oracle.trials.values()]


def _opposed(number, values):
    """Accuracy grows with the width, and so does the loss; dropout harms both."""
    return values["width"] - values["dropout"], values["width"] + values["dropout"]


def _oracle(**options):
    return Nsga2(**{"objective": OBJECTIVES, "hyperparameters": flat(), "max_epochs": 9, **options})


def test_best_trials_are_those_that_no_other_dominates():
    oracle = _oracle()
    _drive(oracle, 40, figures=_opposed)
    front = oracle.get_best_trials()
    figures = [_opposed(0, trial.hyperparameters.values) for trial in oracle.trials.values()]
    assert len(oracle.get_best_trials(2)) == 2 <= len(front)
    for trial in front:
        accuracy, loss = _opposed(0, trial.hyperparameters.values)
        assert not any(a >= accuracy and b <= loss and (a, b) != (accuracy, loss) for a, b in figures)


def test_more_best_trials_than_the_front_has_are_those_of_the_next_ones():
    oracle = _oracle()
    _drive(oracle, 40, figures=_opposed)
    front, best = oracle.get_best_trials(), oracle.get_best_trials(30)
    assert len(best) == len({trial.trial_id for trial in best}) == 30 > len(front)
    assert best[: len(front)] == front
    assert len(oracle.get_best_trials(100)) == 40


def test_children_lie_nearer_to_the_front_than_random_configurations():
    # Dropout is uniform up to 0.5 at random: the mean of 40 lies below 0.18 in 1 of 1000 searches.
    proposals = _drive(_oracle(), 100, figures=_opposed)
    assert np.mean([values["dropout"] for values in proposals[60:]]) < 0.18


@pytest.mark.parametrize(
    "figures",
    [
        lambda number, values: None if number % 3 else (0.5, 0.5),
        lambda number, values: (math.nan, 0.1) if number % 2 else (0.1, math.inf),
        lambda number, values: None,
    ],
)
@pytest.mark.filterwarnings("ignore:All-NaN axis encountered:RuntimeWarning")
def test_failures_count_as_the_worst_in_everything(figures):
    oracle = _oracle(population=4)
    proposals = _drive(oracle, 30, figures=figures)
    assert proposals[0] == default_values(flat())
    assert len({str(values) for values in proposals}) == 30
    assert oracle.get_best_trials()


def test_sequence_follows_from_the_seed():
    sequences = [_drive(_oracle(seed=seed), 30, figures=_opposed) for seed in (0, 0, 1)]
    assert sequences[0] == sequences[1] != sequences[2]


def test_runs_in_a_tuner_of_keras_tuner(tmp_path):
    class Fake(keras_tuner.Tuner):
        """Trains nothing."""

        def run_trial(self, trial, *_, **__):
            # Of several objectives, Keras Tuner takes a history only.
            history = keras.callbacks.History()
            accuracy, loss = _opposed(0, trial.hyperparameters.values)
            history.history = {"val_accuracy": [accuracy], "val_loss": [loss]}
            return history

    tuner = Fake(oracle=_oracle(max_trials=6), directory=tmp_path, project_name="stock")
    tuner.search()
    assert len(tuner.get_best_hyperparameters(1)) == 1


def test_survivors_are_the_first_fronts_and_the_ends_of_the_last():
    # Fronts: {0, 1}, {2, 3, 4}, {5}; of the second, the ends survive before the middle.
    goodness = np.array([[9, 5], [5, 9], [1, 8], [4, 5], [8, 1], [0, 0]], dtype=float)
    assert set(survivors(goodness, 2)) == {0, 1}
    assert set(survivors(goodness, 4)) == {0, 1, 2, 4}
    assert survivors(goodness, 6)[-1] == 5


def test_both_ends_in_each_of_three_objectives_are_ends_of_a_front():
    goodness = np.array([[0.0, 0.0, 2.0], [1.0, 2.0, 0.0], [2.0, 1.0, 1.0], [1.5, 1.5, 0.5]])
    assert np.isinf(crowding_distances(goodness)).tolist() == [True, True, True, False]


def test_distances_of_a_front_are_infinite_at_its_ends():
    goodness = np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0]])
    assert crowding_distances(goodness).tolist() == [math.inf, 2.0, math.inf]


@pytest.mark.parametrize("population", [0, 1, 2.5])
def test_population_of_less_than_two_is_refused(population):
    with pytest.raises(ValueError, match=f"population is {population}; allowed is a whole number from 2"):
        Nsga2(objective="val_accuracy", hyperparameters=flat(), max_epochs=9, population=population)
