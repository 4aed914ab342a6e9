"""What is enqueued is checked and tried as given, also where a hypermodel declares the space when it is built."""

import re

import keras_tuner
import numpy as np
import pytest

from oracles.driving import EACH, WARNINGS, flat, own, require_package
from tuner.errors import UsageError
from tuner.oracles import ORACLES

pytestmark = WARNINGS


class _Tuner(keras_tuner.Tuner):
    def run_trial(self, trial, *args, **options):
        self.hypermodel.build(trial.hyperparameters)
        return 0.5


def _layers(hp):
    for number in range(hp.Int("layers", 1, 3)):
        hp.Int(f"units_{number}", 8, 64, step=8)


def _searched(algorithm, build, directory, *, hp=None, **options):
    """Returns an oracle that a stock tuner has searched with, and the values of its trials."""
    require_package(algorithm)
    oracle = ORACLES[algorithm](hyperparameters=hp, **{"max_epochs": 3, "max_trials": 8, **options})
    _Tuner(oracle, build, directory=directory, project_name="p").search()
    return oracle, [own(trial.hyperparameters.values) for trial in oracle.trials.values()]


@pytest.mark.parametrize("algorithm", EACH)
def test_value_is_kept_for_a_name_that_is_declared_later(algorithm, tmp_path):
    asked = {"layers": 3, "units_0": 64, "units_1": 56, "units_2": 48}
    _, tried = _searched(algorithm, _layers, tmp_path, enqueue=[asked, {**asked, "units_2": 40}])
    assert tried[1:3] == [asked, {**asked, "units_2": 40}]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": 5000}, "layers is 5000 in configuration 2 of --enqueue; allowed is a whole number from 1 to 3."),
        ({"units_0": "many"}, "units_0 is 'many' in configuration 2 of --enqueue"),
    ],
)
def test_value_that_the_hypermodel_does_not_allow_is_refused_before_the_first_trial(wrong, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        _searched("random", _layers, tmp_path, enqueue=[{"layers": 2}, wrong])


def test_value_that_shows_late_to_be_wrong_is_left_out_with_a_warning(tmp_path):
    queue = [{"layers": 3}, {"layers": 3, "units_2": 5000}, {"layers": 2, "units_1": 16}]
    with pytest.warns(UserWarning, match="units_2 is 5000 in configuration 2 of --enqueue; .* left out from now on"):
        _, tried = _searched("random", _layers, tmp_path, enqueue=queue)
    assert [values.get("units_2", 8) for values in tried[1:3]] == [8, 8]
    assert tried[2]["units_1"] == 16


@pytest.mark.parametrize("algorithm", ["random", "asha"])
@pytest.mark.parametrize("layers", [1, 2])
def test_name_that_is_never_declared_is_told_and_taken_out(layers, algorithm, tmp_path):
    told = "unit_0 is enqueued, and no trial has declared it. Did you mean 'units_0'?"
    with pytest.warns(UserWarning, match=re.escape(told)):
        _, tried = _searched(algorithm, _layers, tmp_path, enqueue=[{"layers": layers, "unit_0": 16}])
    assert not any("unit_0" in values for values in tried)
    assert {"layers": layers, **{f"units_{number}": 8 for number in range(layers)}} in tried[:2]


@pytest.mark.parametrize("algorithm", EACH)
def test_numbers_of_numpy_are_numbers(algorithm, tmp_path):
    whole = {"max_epochs": np.int64(3), "seed": np.int64(3), "max_trials": np.int64(4), "max_total_epochs": np.int32(9)}
    queue = [{"width": np.int64(8), "dropout": np.float32(0.25), "late": np.int64(2)}]
    if algorithm == "hyperband":
        whole |= {"eta": np.int64(3), "min_epochs": np.int64(1)}
    _, tried = _searched(algorithm, lambda hp: hp.Int("late", 1, 3), tmp_path, hp=flat(), enqueue=queue, **whole)
    assert tried[1] == {"optimizer": "adam", "width": 8, "dropout": 0.25, "late": 2}


@pytest.mark.parametrize("algorithm", ["random", "asha"])
def test_project_that_goes_on_tries_what_is_enqueued_now(algorithm, tmp_path):
    _searched(algorithm, lambda hp: None, tmp_path, hp=flat(), max_trials=4)
    _, tried = _searched(algorithm, lambda hp: None, tmp_path, hp=flat(), max_trials=5, enqueue=[{"width": 60}])
    assert tried[4] == {"optimizer": "adam", "width": 60, "dropout": 0.2}
