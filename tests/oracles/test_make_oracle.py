"""The oracle of a configuration gets its rungs, its limits and its queue, and only what it takes."""

import keras_tuner
import pytest

from oracles.driving import require_package
from tuner.config import ALGORITHMS, WITH_MIN_EPOCHS, WITH_RUNGS, WITH_WARM_START, SearchConfig
from tuner.errors import UsageError
from tuner.oracles import DEFAULT_BUDGETS, ORACLES, make_oracle, takes

SEEN = [{"values": {"width": 8}, "epochs": 3, "goodness": 0.5}]


def _space():
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 4, 64, default=16)
    hp.Float("learning_rate", 0.01, 1.0, sampling="log", default=0.1)
    return hp


def _oracle(algorithm, *, seen=(), begun_epochs=0, is_allowed=None, **changes):
    config = SearchConfig(**{"space": "tiny", "algorithm": algorithm, "max_epochs": 9, "batch_size": 64, **changes})
    return make_oracle(config, _space(), seen=seen, begun_epochs=begun_epochs, is_allowed=is_allowed)


def _drive(oracle, trials):
    """Runs trials that score their width; returns their values."""
    found = []
    for number in range(trials):
        trial = oracle.create_trial("worker")
        if trial.status == "STOPPED":
            break
        found.append(trial.hyperparameters.values)
        oracle.update_trial(trial.trial_id, {"val_accuracy": found[-1]["width"] / 64}, step=number)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return found


def _own(values):
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


def _epochs(found):
    return sum(values.get("tuner/epochs", 9) - values.get("tuner/initial_epoch", 0) for values in found)


@pytest.mark.parametrize(("names", "setting"), [(WITH_RUNGS, "eta"), (WITH_MIN_EPOCHS, "min_epochs")])
def test_command_line_knows_which_algorithms_have_rungs(names, setting):
    assert set(names) == {name for name, oracle in ORACLES.items() if takes(oracle, setting)}


def test_command_line_knows_which_algorithms_learn_from_another_study():
    assert set(WITH_WARM_START) == {name for name, oracle in ORACLES.items() if takes(oracle, "warm_start")}


@pytest.mark.parametrize("algorithm", WITH_RUNGS)
def test_rungs_are_those_of_the_flags(algorithm):
    oracle = _oracle(algorithm, max_epochs=32, eta=4, min_epochs=2, total_epochs=500)
    assert {rung.epochs for rung in oracle.schedule()} == {2, 8, 32}


# The limits are those of `StudyOracle`; an oracle that fits a model takes a second a trial.
@pytest.mark.parametrize("algorithm", ["asha", "hyperband", "random"])
class TestLimits:
    """What ends a search, and what must not."""

    def test_default_budget_is_no_limit_of_a_search_that_has_one(self, algorithm):
        # More than the default of any algorithm: 8 x 9 epochs, 23 trials of Hyperband.
        assert len(_drive(_oracle(algorithm, trials=30), 40)) == 30
        spent = _epochs(_drive(_oracle(algorithm, total_epochs=120), 200))
        assert 120 - 9 < spent <= 120

    def test_whichever_is_reached_first_ends_it(self, algorithm):
        assert len(_drive(_oracle(algorithm, trials=3, total_epochs=500), 40)) == 3
        assert _epochs(_drive(_oracle(algorithm, trials=500, total_epochs=20), 40)) <= 20

    def test_default_budget_is_spent_and_no_more(self, algorithm):
        spent = _epochs(_drive(_oracle(algorithm), 200))
        assert DEFAULT_BUDGETS * 9 - 9 < spent <= 75  # Hyperband's 23 trials are 75 epochs

    def test_larger_total_begins_with_the_same_trials(self, algorithm):
        few, many = (_drive(_oracle(algorithm, total_epochs=total), 100) for total in (40, 80))
        assert few
        assert many[: len(few)] == few

    def test_larger_total_begins_with_the_trials_of_the_default_budget(self, algorithm):
        default, more = _drive(_oracle(algorithm), 100), _drive(_oracle(algorithm, total_epochs=150), 200)
        assert more[: len(default)] == default
        assert len(more) > len(default)

    def test_study_that_has_begun_more_than_is_default_is_not_cut(self, algorithm):
        begun = _drive(_oracle(algorithm, total_epochs=100), 100)
        if algorithm == "hyperband":  # its default is a schedule
            begun = begun[:23]
        again = _drive(_oracle(algorithm, begun_epochs=_epochs(begun)), 200)
        assert again[: len(begun)] == begun


@pytest.mark.parametrize("algorithm", ["asha", "bayesian", "random"])
@pytest.mark.parametrize("widths", [[8], [4, 8, 16]])
def test_no_more_configurations_are_planned_than_there_are(widths, algorithm):
    hp = keras_tuner.HyperParameters()
    hp.Choice("width", widths)
    oracle = make_oracle(SearchConfig(space="tiny", algorithm=algorithm, max_epochs=9, batch_size=64), hp)
    assert oracle.schedule()[0].trials == len(widths)


@pytest.mark.parametrize("algorithm", ["asha", "hyperband", "bayesian", "random"])
def test_space_of_one_configuration_is_tried_once(algorithm):
    hp = keras_tuner.HyperParameters()
    hp.Choice("width", [8])
    oracle = make_oracle(SearchConfig(space="tiny", algorithm=algorithm, max_epochs=9, batch_size=64), hp)
    found = _drive(oracle, 40)
    assert [_own(values) for values in found if not values.get("tuner/initial_epoch")] == [{"width": 8}]
    assert all(_own(values) == {"width": 8} for values in found)  # asha takes it through all rungs
    assert oracle.reason == "the space is exhausted, 1 of 1 tried"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_queue_follows_the_default_and_is_completed(algorithm):
    require_package(algorithm)
    found = _drive(_oracle(algorithm, trials=4, enqueue=({"width": 40}, {"learning_rate": 1})), 4)
    first = [values for values in map(_own, found) if values != _own(found[0])]
    assert _own(found[0]) == {"width": 16, "learning_rate": 0.1}
    assert first[:2] == [{"width": 40, "learning_rate": 0.1}, {"width": 16, "learning_rate": 1.0}]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_queue_of_another_space_is_refused(algorithm):
    with pytest.raises(UsageError, match="Did you mean 'width'"):
        _oracle(algorithm, enqueue=({"widht": 40},))


@pytest.mark.parametrize("algorithm", WITH_WARM_START)
def test_what_was_seen_is_handed_on(algorithm):
    require_package(algorithm)
    assert [(known.epochs, known.goodness) for known in _oracle(algorithm, seen=SEEN).warm_start] == [(3, 0.5)]


@pytest.mark.parametrize("algorithm", WITH_WARM_START)
def test_what_was_seen_changes_what_is_proposed(algorithm):
    """Until then a few algorithms took it and learned nothing of it."""
    require_package(algorithm)
    if algorithm == "gp":
        pytest.skip("a second for each proposal")
    tried = [{"width": width, "learning_rate": rate} for width in range(8, 72, 8) for rate in (0.05, 0.2, 0.4)]
    seen = [{"values": values, "epochs": 9, "goodness": -float(place)} for place, values in enumerate(tried)]
    first, second = (list(map(_own, _drive(_oracle(algorithm, seen=known, trials=8), 8))) for known in (seen, []))
    assert first[0] == second[0]  # the default
    assert first != second
    if algorithm in ("asha", "one-epoch", "priorband", "grid"):
        begun = [values for place, values in enumerate(first) if values not in first[:place]]
        assert begun[1:4] == tried[:3]  # the three best
        assert begun[4] != tried[3]


@pytest.mark.parametrize("algorithm", ["asha", "one-epoch", "priorband", "grid"])
def test_best_that_was_seen_within_a_limit_is_tried_first(algorithm):
    """The best of all were taken, and left out where they broke it: nothing was learned of the study."""
    tried = [{"width": width, "learning_rate": 0.2} for width in range(64, 4, -8)]
    seen = [{"values": values, "epochs": 9, "goodness": -float(place)} for place, values in enumerate(tried)]
    oracle = _oracle(algorithm, seen=seen, trials=8, is_allowed=lambda values: values["width"] <= 32)
    found = [*map(_own, _drive(oracle, 8))]
    begun = [values for place, values in enumerate(found) if values not in found[:place]]
    assert begun[1:4] == tried[4:7]
