"""Every oracle keeps the contract of a `keras_tuner.Oracle`, and the promises of this program on top of it."""

import json

import keras_tuner
import pytest

from tuner.config import ALGORITHMS, SearchConfig
from tuner.oracles import ORACLES, make_oracle
from tuner.oracles.base import Rung

ON_TRIALS = 8


def _space():
    hp = keras_tuner.HyperParameters()
    hp.Fixed("stages", 2)
    hp.Choice("optimizer", ["sgd", "adam"], default="sgd")
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("learning_rate", 0.01, 1.0, sampling="log", default=0.1)
    hp.Int("width", 4, 64, default=16)
    return hp


DEFAULT = {"stages": 2, "optimizer": "sgd", "learning_rate": 0.1, "width": 16}


def _oracle(algorithm, hp=None, **changes):
    config = {"space": "tiny", "max_epochs": 9, "batch_size": 64, "seed": 0, **changes}
    return make_oracle(SearchConfig(algorithm=algorithm, **config), hp or _space())


def _score(values):
    """A score that follows from the values and the epochs alone."""
    return (values.get("width", 0) * 37 % 64) / 64 + values.get("tuner/epochs", 0) / 1000


def _drive(oracle, limit=200):
    """Runs an oracle to its end, or to a number of trials; returns the trials."""
    trials = []
    while len(trials) < limit:
        trial = oracle.create_trial("worker")
        if trial.status == "STOPPED":
            break
        assert trial.status == "RUNNING"
        trials.append(trial)
        oracle.update_trial(trial.trial_id, {"val_accuracy": _score(trial.hyperparameters.values)}, step=1)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return trials


def _values(trials):
    return [trial.hyperparameters.values for trial in trials]


def _own(values):
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


def test_each_algorithm_of_the_command_line_has_an_oracle():
    assert set(ALGORITHMS) == set(ORACLES)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestContract:
    """What the executor and any Keras Tuner user rely on."""

    def test_is_an_oracle_of_keras_tuner(self, algorithm):
        assert isinstance(_oracle(algorithm), keras_tuner.Oracle)

    def test_first_trial_is_the_default(self, algorithm):
        assert _own(_values(_drive(_oracle(algorithm), 1))[0]) == DEFAULT

    def test_second_trial_is_another(self, algorithm):
        first, second = _values(_drive(_oracle(algorithm), 2))
        assert _own(first) != _own(second)

    def test_same_seed_gives_the_same_sequence(self, algorithm):
        assert _values(_drive(_oracle(algorithm), ON_TRIALS)) == _values(_drive(_oracle(algorithm), ON_TRIALS))

    def test_seed_zero_is_a_seed_and_no_other(self, algorithm):
        sequences = [_values(_drive(_oracle(algorithm, seed=seed), 3)) for seed in (0, 1, 2)]
        assert sequences[0] != sequences[1] != sequences[2] != sequences[0]

    def test_schedule_is_what_it_does(self, algorithm):
        oracle = _oracle(algorithm, trials=5)
        assert len(_drive(oracle)) == sum(rung.trials for rung in oracle.schedule()) == 5

    def test_values_lie_in_the_space(self, algorithm):
        hp = _space()
        for values in map(_own, _values(_drive(_oracle(algorithm), ON_TRIALS))):
            assert values["width"] in range(4, 65)
            assert ("learning_rate" in values) == (values["optimizer"] == "sgd")
            assert set(values) <= {entry.name for entry in hp.space}

    def test_writes_no_file_on_its_own(self, algorithm, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        _drive(_oracle(algorithm), 3)
        assert list(tmp_path.iterdir()) == []

    def test_works_in_a_tuner_of_keras_tuner(self, algorithm, tmp_path):
        class Fake(keras_tuner.Tuner):
            """Trains nothing."""

            def run_trial(self, trial, *_, **__):
                return {"val_accuracy": _score(trial.hyperparameters.values)}

        oracle = _oracle(algorithm, trials=4)
        tuner = Fake(oracle=oracle, directory=tmp_path, project_name="stock")
        tuner.search()
        assert len(oracle.trials) == 4
        assert tuner.get_best_hyperparameters(1)[0].values == max(_values(oracle.trials.values()), key=_score)
        stored = json.loads(min(tmp_path.glob("stock/trial_*/trial.json")).read_text())
        assert _own(stored["hyperparameters"]["values"]) == DEFAULT
        assert (tmp_path / "stock" / "oracle.json").exists()


@pytest.mark.parametrize("algorithm", ["bayesian", "random"])
def test_trials_without_rungs_get_the_full_budget(algorithm):
    assert _oracle(algorithm, trials=3).schedule() == [Rung(3, 0, 9)]
    assert _oracle(algorithm).schedule() == [Rung(8, 0, 9)]
    assert len(_drive(_oracle(algorithm))) == 8


# The optimum of one dimension lies at an end of scikit-learn's range of length scales.
@pytest.mark.filterwarnings("ignore:The optimal value found for dimension")
def test_bayesian_proposals_after_its_random_ones_repeat():
    def sequence():
        hp = keras_tuner.HyperParameters()
        hp.Int("width", 4, 64, default=16)  # one dimension: three random trials, then the process
        return _values(_drive(_oracle("bayesian", hp, trials=5)))

    assert sequence() == sequence()


def test_hyperband_of_81_epochs_is_that_of_the_paper():
    # Li et al., 2018, table 1 (R = 81, eta = 3), but for Keras Tuner's sizes: ceil(5 / (s + 1) * 3^s) first trials.
    assert _oracle("hyperband", max_epochs=81).schedule()[:5] == [
        Rung(81, 0, 1),
        Rung(27, 1, 3),
        Rung(9, 3, 9),
        Rung(3, 9, 27),
        Rung(1, 27, 81),
    ]


@pytest.mark.parametrize("max_epochs", [1, 2, 3, 5, 9, 10, 27])
@pytest.mark.parametrize("trials", [None, 1, 4, 13])
def test_hyperband_does_what_its_schedule_says(max_epochs, trials):
    oracle = _oracle("hyperband", max_epochs=max_epochs, trials=trials)
    budgets = [(v["tuner/initial_epoch"], v["tuner/epochs"]) for v in _values(_drive(oracle))]
    planned = [(rung.initial_epoch, rung.epochs) for rung in oracle.schedule() for _ in range(rung.trials)]
    assert budgets == planned


def test_hyperband_promotes_the_best_with_their_values():
    trials = {trial.trial_id: trial for trial in _drive(_oracle("hyperband"))}
    promoted = [trial for trial in trials.values() if "tuner/trial_id" in trial.hyperparameters.values]
    assert len(promoted) == 6
    for trial in promoted:
        parent = trials[trial.hyperparameters.values["tuner/trial_id"]]
        assert _own(parent.hyperparameters.values) == _own(trial.hyperparameters.values)
        assert parent.hyperparameters.values["tuner/epochs"] == trial.hyperparameters.values["tuner/initial_epoch"]
    first_rung = sorted((t for t in list(trials.values())[:9]), key=lambda t: t.score, reverse=True)
    assert {t.hyperparameters.values["tuner/trial_id"] for t in promoted[:3]} == {t.trial_id for t in first_rung[:3]}
