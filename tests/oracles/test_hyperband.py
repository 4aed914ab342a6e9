import collections
import math
import re

import keras_tuner
import pytest

from oracles.driving import WARNINGS, Drive, Situation, flat, own, six_values
from tuner.config import SearchConfig
from tuner.oracles import Asha, Hyperband, make_oracle
from tuner.oracles.moves import Rung

pytestmark = WARNINGS


def _oracle(*, algorithm="hyperband", max_epochs=9, **limits):
    config = SearchConfig(space="tiny", max_epochs=max_epochs, batch_size=64, algorithm=algorithm, **limits)
    return make_oracle(config, flat())


def _budgets(oracle, trials=200):
    return _rungs(Drive(oracle, trials))


def _planned(oracle):
    return [(rung.initial_epoch, rung.epochs) for rung in oracle.schedule() for _ in range(rung.trials)]


@pytest.mark.parametrize(("theirs", "ours"), [("factor", "eta"), ("hyperband_iterations", "iterations")])
def test_keras_tuners_names_are_refused_with_ours(theirs, ours):
    with pytest.raises(ValueError, match=f"{theirs} is 4; here its name is {ours}: give {ours}=... instead"):
        Hyperband(objective="val_accuracy", hyperparameters=flat(), max_epochs=9, **{theirs: 4})


@pytest.mark.parametrize("algorithm", ["bayesian", "random", "tpe", "grid"])
def test_trials_without_rungs_get_the_full_budget(algorithm):
    assert _oracle(algorithm=algorithm, trials=3).schedule() == [Rung(3, 0, 9)]
    assert _oracle(algorithm=algorithm).schedule() == [Rung(8, 0, 9)]
    assert len(Drive(_oracle(algorithm=algorithm), 20).proposals) == 8


def test_hyperband_of_81_epochs_is_that_of_the_paper():
    # Li et al., 2018, table 1 (R = 81, eta = 3), but for Keras Tuner's sizes: ceil(5 / (s + 1) * 3^s) first trials.
    schedule = _oracle(max_epochs=81).schedule()
    assert schedule[1:6] == [
        Rung(81, 0, 1),
        Rung(27, 1, 3),
        Rung(9, 3, 9),
        Rung(3, 9, 27),
        Rung(1, 27, 81),
    ]
    # One of the five without halving comes first.
    assert [schedule[0], schedule[-1]] == [Rung(1, 0, 81), Rung(4, 0, 81)]


@pytest.mark.parametrize("max_epochs", [1, 2, 3, 5, 9, 10, 27])
@pytest.mark.parametrize("trials", [None, 1, 4, 13])
def test_hyperband_does_what_its_schedule_says(max_epochs, trials):
    oracle = _oracle(max_epochs=max_epochs, trials=trials)
    assert _budgets(oracle) == _planned(oracle)


def test_hyperband_has_the_trials_of_keras_tuner(tmp_path):
    stock = keras_tuner.oracles.HyperbandOracle("val_accuracy", max_epochs=9, hyperparameters=flat(), seed=1)
    stock._set_project_dir(tmp_path, "stock")
    expected = _budgets(stock)
    hurried = _oracle()
    hurried.hurry()
    assert _budgets(hurried) == expected
    assert sorted(_budgets(_oracle())) == sorted(expected)


@pytest.mark.parametrize(("limits", "first"), [({}, 9), ({"total_epochs": 9}, 9), ({"total_epochs": 8}, 1)])
def test_default_goes_to_the_full_budget_first_where_epochs_allow_it(limits, first):
    oracle = _oracle(**limits)
    assert _budgets(oracle)[0] == (0, first)
    assert _budgets(_oracle(**limits)) == _planned(oracle)


@pytest.mark.parametrize("hurried", [False, True])
def test_further_iterations_are_whole(hurried):
    oracle = _oracle(trials=46)
    if hurried:
        oracle.hurry()
    budgets = _budgets(oracle)
    assert budgets == _planned(oracle)
    assert sorted(budgets[:23]) == sorted(budgets[23:])


def test_hyperband_promotes_the_best_with_their_values():
    oracle = _oracle()
    Drive(oracle, 200)
    trials = dict(oracle.trials)
    promoted = [trial for trial in trials.values() if "tuner/trial_id" in trial.hyperparameters.values]
    assert len(promoted) == 6
    for trial in promoted:
        parent = trials[trial.hyperparameters.values["tuner/trial_id"]]
        assert own(parent.hyperparameters.values) == own(trial.hyperparameters.values)
        assert parent.hyperparameters.values["tuner/epochs"] == trial.hyperparameters.values["tuner/initial_epoch"]
    first_rung = sorted(list(trials.values())[1:10], key=lambda trial: trial.score, reverse=True)
    assert {t.hyperparameters.values["tuner/trial_id"] for t in promoted[:3]} == {t.trial_id for t in first_rung[:3]}


@pytest.mark.parametrize("outcome", [None, math.nan], ids=["failed", "diverged"])
def test_what_fails_is_the_worst_of_its_round_and_never_goes_on(outcome):
    oracle = _oracle()
    drive = Drive(oracle, 200, Situation(outcome=lambda number, score: outcome if number % 2 else score))
    assert collections.Counter(_rungs(drive)) == collections.Counter(_planned(oracle))
    for values in drive.proposals:
        parent = values.get("tuner/trial_id")
        assert parent is None or drive.names.index(parent) % 2 == 0


def test_round_without_a_score_promotes_nothing_and_the_next_bracket_begins():
    drive = Drive(_oracle(), 200, Situation(outcome=lambda number, score: None if 0 < number < 10 else score))
    assert collections.Counter(_rungs(drive)) == {(0, 9): 3, (0, 1): 9, (0, 3): 5, (3, 9): 2}


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize("outcome", [None, math.nan], ids=["failed", "diverged"])
@pytest.mark.parametrize("good", [1, 2, 3, 5])
def test_survivors_of_a_round_of_failures_go_on_to_the_end(good, outcome, in_flight):
    """Keras Tuner counts with the sizes that the rounds were to have."""
    situation = Situation(in_flight, lambda number, score: outcome if good < number < 10 else score)
    drive = Drive(_oracle(), 200, situation)
    assert collections.Counter(_rungs(drive)) == {
        (0, 9): 3,
        (0, 1): 9,
        (1, 3): min(good, 3),
        (3, 9): 1 + 2,
        (0, 3): 5,
    }
    too_few = "too few trials of a round had a score to fill the next one"
    assert drive.oracle.reason == (too_few if good < 3 else "")
    first = [values for values in drive.proposals if values["tuner/bracket"] == 2]
    scores = {drive.names.index(values["tuner/trial_id"]) for values in first if "tuner/trial_id" in values}
    assert scores <= {*range(1, good + 1), *range(10, 200)}


@pytest.mark.parametrize("space", [flat, six_values])
@pytest.mark.parametrize("failed", [(), (3, 4, 5)])
def test_least_losses_go_on_where_a_round_is_not_full(space, failed):
    situation = Situation(outcome=lambda number, score: None if number in failed else score)
    most, least = (
        Drive(Hyperband(objective=objective, hyperparameters=space(), max_epochs=9), 200, situation)
        for objective in (keras_tuner.Objective("score", "max"), keras_tuner.Objective("score", "min"))
    )
    assert most.proposals == least.proposals
    assert _rungs(least).count((3, 9)) > 0


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("hurried", [False, True])
def test_small_space_goes_on_to_the_end(hurried, in_flight):
    """Keras Tuner waits for first trials that there are not, and ends with all of them after one epoch."""
    oracle = Hyperband(objective="val_accuracy", hyperparameters=six_values(), max_epochs=9, begins_whole=not hurried)
    planned = _planned(oracle)
    drive = Drive(oracle, 100, Situation(in_flight))
    assert sorted(_rungs(drive)) == sorted(planned)
    begun = 6 if hurried else 5
    whole = {} if hurried else {(0, 9): 1}
    assert collections.Counter(planned) == {**whole, (0, 1): begun, (1, 3): 3, (3, 9): 1}
    assert (drive.status, oracle.reason) == ("STOPPED", "the space is exhausted, 6 of 6 tried")


def test_space_that_ends_in_the_second_bracket_is_planned_as_it_is_made():
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 1, 11)
    made, planned = (Hyperband(objective="val_accuracy", hyperparameters=hp, max_epochs=9) for _ in range(2))
    assert _budgets(made) == _planned(planned)
    assert collections.Counter(_planned(planned)) == {(0, 1): 9, (1, 3): 3, (3, 9): 1 + 2, (0, 3): 2}


@pytest.mark.parametrize("in_flight", [1, 2])
def test_no_hyperparameter_is_one_configuration(in_flight):
    """To Keras Tuner no values are none that it has drawn."""
    oracle = Hyperband(objective="val_accuracy", hyperparameters=keras_tuner.HyperParameters(), max_epochs=9)
    drive = Drive(oracle, 100, Situation(in_flight))
    assert _rungs(drive) == [(0, 1), (1, 3), (3, 9)]
    assert (drive.status, oracle.reason) == ("STOPPED", "the space is exhausted, 1 of 1 tried")


@pytest.mark.parametrize("in_flight", [1, 8])
def test_bracket_and_round_of_a_trial_say_between_which_epochs_it_is_trained(in_flight):
    """Keras Tuner writes the number of the newest bracket into what goes on in an older one."""
    for values in Drive(_oracle(), 200, Situation(in_flight)).proposals:
        bracket, place = values["tuner/bracket"], values["tuner/round"]
        epochs = [9 / 3 ** (bracket - each) for each in (place - 1, place)]
        assert [values["tuner/initial_epoch"], values["tuner/epochs"]] == [epochs[0] if place else 0, epochs[1]]


@pytest.mark.parametrize("in_flight", [1, 5])
def test_run_that_goes_on_has_the_defaults_of_what_others_declared(in_flight):
    """Keras Tuner drew them at random, and not from the seed."""
    oracle = _oracle()
    running = []
    for call in range(60):
        trial = oracle.create_trial(f"tuner{call}")
        if trial.status == "RUNNING":
            if int(trial.trial_id) == 9:
                trial.hyperparameters.Float("late", 0.0, 1.0, default=0.25)
            running.append(trial)
        if running and (trial.status != "RUNNING" or len(running) == in_flight):
            ended = running.pop(0)
            oracle.update_trial(ended.trial_id, {"val_accuracy": -float(ended.hyperparameters.get("width"))})
            ended.status = "COMPLETED"
            oracle.end_trial(ended)
    values_of = {name: trial.hyperparameters.values for name, trial in oracle.trials.items()}
    gone_on = [values for values in values_of.values() if "tuner/trial_id" in values]
    assert len(gone_on) == 6
    late = {v["late"] for v in gone_on if "late" not in values_of[v["tuner/trial_id"]] and "late" in v}
    assert late == {0.25}


def test_more_iterations_of_a_project_go_on_where_it_stopped(tmp_path):
    def searched(iterations):
        oracle = Hyperband(objective="val_accuracy", hyperparameters=flat(), max_epochs=9, iterations=iterations)
        oracle._set_project_dir(tmp_path / f"{iterations}", "p")
        return oracle

    whole = searched(2)
    expected = Drive(whole, 200)
    first = searched(1)
    begun = Drive(first, 200)
    again = searched(2)
    again._set_project_dir(first._directory, "p")
    again.reload()
    rest = Drive(again, 200)
    assert begun.proposals + rest.proposals == expected.proposals
    assert again.reason == ""


def test_fewer_iterations_of_a_project_end_with_the_one_that_has_begun(tmp_path):
    def searched(iterations, trials):
        oracle = Hyperband(objective="val_accuracy", hyperparameters=flat(), max_epochs=9, iterations=iterations)
        oracle._set_project_dir(tmp_path, "p")
        if iterations == 1:
            oracle.reload()
        return Drive(oracle, trials).proposals

    begun = searched(3, 30)  # of 23 an iteration
    rest = searched(1, 200)
    assert (
        begun + rest
        == Drive(Hyperband(objective="val_accuracy", hyperparameters=flat(), max_epochs=9, iterations=2), 200).proposals
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_epochs": 0}, "min_epochs is 0; allowed is from 1 to max_epochs, 9."),
        ({"min_epochs": 10}, "min_epochs is 10; allowed is from 1 to max_epochs, 9."),
        ({"eta": 1}, "eta is 1; allowed is a whole number from 2."),
        ({"eta": 2.5}, "eta is 2.5; allowed is a whole number from 2."),
    ],
)
@pytest.mark.parametrize("kind", [Hyperband, Asha])
def test_rungs_that_cannot_be_are_refused(wrong, message, kind):
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(objective="val_accuracy", hyperparameters=flat(), max_epochs=9, **wrong)


@pytest.mark.parametrize("iterations", [0, -1, 1.5, True])
def test_iterations_that_cannot_be_are_refused(iterations):
    """0 was without end, -1 a plan without a trial."""
    message = f"iterations is {iterations!r}; allowed is a whole number from 1, or None."
    with pytest.raises(ValueError, match=re.escape(message)):
        Hyperband(objective="val_accuracy", hyperparameters=flat(), max_epochs=9, iterations=iterations)


def _rungs(drive):
    return [(v["tuner/initial_epoch"], v["tuner/epochs"]) for v in drive.proposals]
