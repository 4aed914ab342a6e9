import keras_tuner
import pytest

from oracles.driving import Drive, conditional
from tuner.oracles import Bayesian, Gp
from tuner.oracles.encoding import values_key

SCORE = keras_tuner.Objective("score", "max")


def test_proposals_of_keras_tuner_after_its_random_ones_repeat():
    def proposals():
        hp = keras_tuner.HyperParameters()
        hp.Int("width", 4, 64, default=16)  # one dimension: three random trials, then the process
        return Drive(Bayesian(objective=SCORE, hyperparameters=hp, max_epochs=9), 5).proposals

    assert proposals() == proposals()


def test_process_proposes_in_conditional_spaces():
    pytest.importorskip("torch").set_num_threads(1)
    oracle = Gp(objective=SCORE, hyperparameters=conditional(), max_epochs=9, seed=1)
    proposals = Drive(oracle, 12).proposals
    assert len({values_key(values) for values in proposals}) == 12
