"""What is planned is tried whatever an algorithm draws, and what comes to nothing leaves no trace."""

import keras_tuner
import pytest

from oracles.driving import EACH, WARNINGS, Drive, flat, own, require_package
from tuner.oracles import ORACLES

pytestmark = WARNINGS


def _oracle(algorithm, hp=None, **options):
    require_package(algorithm)
    objective = keras_tuner.Objective("score", "max")
    hp = flat() if hp is None else hp
    return ORACLES[algorithm](objective=objective, hyperparameters=hp, max_epochs=9, **options)


@pytest.mark.parametrize("algorithm", EACH)
def test_planned_configurations_are_tried_where_a_draw_finds_nothing_allowed(algorithm):
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0.0, 1.0, default=0.1)
    oracle = _oracle(algorithm, hp, enqueue=[{"rate": 0.2}], is_allowed=lambda values: values["rate"] in (0.1, 0.2))
    drive = Drive(oracle, 9)
    begun = [own(values) for values in drive.proposals if "tuner/trial_id" not in values]
    assert begun == [{"rate": 0.1}, {"rate": 0.2}]
    assert drive.status == "STOPPED"
    assert oracle.reason


@pytest.mark.parametrize(("before", "after"), [(45, 90), (108, 135)])
@pytest.mark.parametrize("algorithm", EACH)
def test_search_whose_budget_grows_goes_on_as_one_that_never_stopped(algorithm, before, after):
    whole = Drive(_oracle(algorithm, max_total_epochs=after), 200)
    grown = Drive(_oracle(algorithm, max_total_epochs=before), 200)
    grown.oracle.max_total_epochs = after
    grown.go_on(200)
    assert grown.proposals == whole.proposals


@pytest.mark.parametrize("algorithm", EACH)
def test_step_that_rounding_puts_beside_0_is_0(algorithm):
    hp = keras_tuner.HyperParameters()
    hp.Float("shift", -0.3, 0.3, step=0.1, default=0.0)
    begun = [
        own(values)["shift"] for values in Drive(_oracle(algorithm, hp), 60).proposals if "tuner/trial_id" not in values
    ]
    assert sorted(begun) == pytest.approx([-0.3, -0.2, -0.1, 0.0, 0.1, 0.2])
    assert 0.0 in begun


@pytest.mark.parametrize(("least", "most", "sampling", "step"), [(0.3, 0.9, "linear", 0.1), (1e-5, 2.43e-3, "log", 3)])
@pytest.mark.parametrize("algorithm", EACH)
def test_step_that_rounding_puts_beyond_the_range_is_its_end(algorithm, least, most, sampling, step):
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", least, most, step=step, sampling=sampling)
    assert max(hp.space[0].values) > most
    begun = [own(values)["rate"] for values in Drive(_oracle(algorithm, hp), 60).proposals]
    assert max(begun) == most
    assert min(begun) == least
