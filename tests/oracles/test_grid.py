import keras_tuner
import pytest

from oracles.driving import Drive, conditional, own
from tuner.oracles import Grid, Random

SCORE = keras_tuner.Objective("score", "max")


def test_last_hyperparameter_changes_fastest_and_defaults_come_first():
    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["sgd", "adam"], default="adam")
    hp.Int("width", 1, 3, default=2)
    proposals = Drive(Grid(objective=SCORE, hyperparameters=hp, max_epochs=9), 10).proposals
    assert [tuple(own(values).values()) for values in proposals] == [
        ("adam", 2), ("adam", 1), ("adam", 3), ("sgd", 2), ("sgd", 1), ("sgd", 3)
    ]  # fmt: skip


def test_hyperparameter_without_steps_has_ten_values_and_its_default():
    hp = keras_tuner.HyperParameters()
    hp.Float("dropout", 0.0, 0.5, default=0.2)
    oracle = Grid(objective=SCORE, hyperparameters=hp, max_epochs=9)
    assert len(Drive(oracle, 20).proposals) == 11
    assert oracle.reason == "the space is exhausted, 11 of about 11 tried"


def test_enqueued_configuration_off_the_grid_is_tried_besides():
    hp = keras_tuner.HyperParameters()
    hp.Float("dropout", 0.0, 0.5, default=0.2)
    oracle = Grid(objective=SCORE, hyperparameters=hp, max_epochs=9, enqueue=[{"dropout": 0.123}])
    proposals = [own(values)["dropout"] for values in Drive(oracle, 20).proposals]
    assert proposals[:2] == [0.2, 0.123]
    assert len(set(proposals)) == 12


def test_millions_of_values_are_not_listed():
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 1, 10**12, default=7)
    oracle = Grid(objective=SCORE, hyperparameters=hp, max_epochs=9, max_trials=3)
    assert oracle.schedule()[0].trials == 3
    assert [own(values)["width"] for values in Drive(oracle, 9).proposals] == [7, 1, 2]


@pytest.mark.parametrize("sampling", ["log", "reverse_log"])
@pytest.mark.parametrize("most", [3, 9, 10, 11, 100])
def test_integers_on_a_scale_have_ten_values_in_a_grid_and_all_in_the_space(most, sampling):
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 1, most, default=2, sampling=sampling)
    options = {"objective": SCORE, "hyperparameters": hp, "max_epochs": 9}
    grid = Grid(**options)
    planned = grid.schedule()[0].trials
    assert len(Drive(grid, 200).proposals) == planned
    if most <= 10:
        assert (planned, grid.reason) == (most, f"the space is exhausted, {most} of {most} tried")
    else:
        assert 5 < planned <= 11
        assert grid.reason == f"the grid is exhausted, {planned} tried of a space of {most}"
    assert len(Drive(Random(**options), 200).proposals) == Random(**options).schedule()[0].trials == most


def test_conditional_hyperparameters_do_not_multiply_where_they_are_not_active():
    # sgd: 11 momenta x (constant + steps x 5 drops) x 61 widths come before the first of adam.
    proposals = Drive(Grid(objective=SCORE, hyperparameters=conditional(), max_epochs=9), 62).proposals
    assert {values["momentum"] for values in proposals[:61]} == {0.9}
    assert proposals[61]["schedule"] == "steps"


def test_default_between_steps_is_planned_once():
    hp = keras_tuner.HyperParameters()
    hp.Float("dropout", 0.1, 0.5, step=0.1, default=0.3)  # 0.30000000000000004 is a step of Keras Tuner
    oracle = Grid(objective=SCORE, hyperparameters=hp, max_epochs=9)
    assert oracle.schedule()[0].trials == len(Drive(oracle, 20).proposals) == 5


def test_gives_up_after_so_many_refused_ones_in_a_row_wherever_it_began(monkeypatch):
    monkeypatch.setattr("tuner.oracles.grid.MOST_REJECTED", 4)
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 0, 30, default=0)
    options = {"objective": SCORE, "hyperparameters": hp, "max_epochs": 9}
    options["is_allowed"] = lambda values: values["width"] in (0, 4, 8, 12, 17)  # three are refused in a row, then four
    grid = Grid(**options)
    assert [own(values)["width"] for values in Drive(grid, 20).proposals] == [0, 4, 8, 12]
    assert "4" in grid.reason
    resumed = Grid(**options)
    resumed.trials |= grid.trials  # all that it decides from
    assert (resumed.create_trial("tuner").status, resumed.reason) == ("STOPPED", grid.reason)


def test_looks_at_no_combination_twice():
    seen = []
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 0, 30, default=0)

    def is_allowed(values):
        seen.append(values["width"])
        return values["width"] % 2 == 0

    grid = Grid(objective=SCORE, hyperparameters=hp, max_epochs=9, is_allowed=is_allowed)
    before = len(seen)
    assert len(Drive(grid, 10).proposals) == 10
    assert max(seen[before:]) == 18
    assert all(seen[before:].count(width) <= 2 for width in seen[before:])  # once for its turn, once for its trial
