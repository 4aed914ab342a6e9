"""Trials of a stock tuner are handed out, told of and ended without a lock, a score or a line that is left over."""

from concurrent.futures import ThreadPoolExecutor

import keras_tuner
import numpy as np
import pytest

from oracles.driving import WARNINGS, Drive, flat, shared_names
from tuner.oracles import ORACLES

pytestmark = WARNINGS


def _oracle(algorithm="random", **options):
    objective = keras_tuner.Objective("score", "max")
    return ORACLES[algorithm](objective=objective, hyperparameters=flat(), max_epochs=9, **options)


def _in_another_thread(action, *arguments):
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(action, *arguments).result(30)


class _Interrupted(keras_tuner.Tuner):
    """Stops in its first trial after three epochs; the next attempt tells one score."""

    attempts = 0

    def run_trial(self, trial, *args, **options):
        self.attempts += 1
        if self.attempts == 1:
            for epoch in range(3):
                self.oracle.update_trial(trial.trial_id, {"score": 0.9}, step=epoch)
            raise KeyboardInterrupt
        return {"score": 0.5}


@pytest.mark.parametrize("algorithm", ["random", "asha"])
class TestNoLockIsLeft:
    def test_after_metrics_without_the_objective(self, algorithm):
        oracle = _oracle(algorithm)
        trial = oracle.create_trial("tuner0")
        with pytest.raises(ValueError, match="Objective value missing"):
            oracle.update_trial(trial.trial_id, {"loss": 1.0})
        assert _in_another_thread(oracle.create_trial, "tuner1").status == "RUNNING"
        assert _in_another_thread(_oracle(algorithm).create_trial, "tuner0").status == "RUNNING"

    def test_after_a_trial_that_cannot_be_ended(self, algorithm):
        oracle = _oracle(algorithm, allow_new_entries=False)
        trial = oracle.create_trial("tuner0")
        oracle.update_trial(trial.trial_id, {"score": 1.0})
        trial.hyperparameters.Int("late", 1, 3)
        with pytest.raises(RuntimeError, match="allow_new_entries"):
            oracle.end_trial(trial)
        assert _in_another_thread(oracle.create_trial, "tuner1").status == "RUNNING"

    def test_after_a_proposal_that_fails(self, algorithm):
        def broken(values):
            raise ZeroDivisionError

        oracle = _oracle(algorithm, is_allowed=broken)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                _in_another_thread(oracle.create_trial, "tuner0")
        assert _in_another_thread(_oracle(algorithm).create_trial, "tuner0").status == "RUNNING"

    def test_after_a_wrong_question_for_the_best(self, algorithm):
        oracle = _oracle(algorithm)
        oracle.create_trial("tuner0")
        with pytest.raises(TypeError):
            oracle.get_best_trials("three")
        assert _in_another_thread(oracle.create_trial, "tuner1").status == "RUNNING"


@pytest.mark.parametrize("algorithm", ["random", "asha"])
def test_trial_that_was_interrupted_is_scored_by_what_its_second_attempt_tells(algorithm, tmp_path):
    oracle = _oracle(algorithm, max_trials=1)
    tuner = _Interrupted(oracle, directory=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tuner.search()
    tuner.search()
    assert [trial.score for trial in oracle.trials.values()] == [0.5]


def test_search_that_was_interrupted_in_silence_may_go_on_aloud(tmp_path, capsys):
    tuner = _Interrupted(_oracle(max_trials=1), directory=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tuner.search()
    capsys.readouterr()
    tuner.search(verbose=1)
    assert "Trial 1 Complete" in capsys.readouterr().out


def test_older_scripts_end_a_trial_by_its_name_as_a_keyword():
    oracle = _oracle()
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"score": np.float32(0.5)})
    oracle.end_trial(trial_id=trial.trial_id, status="COMPLETED")
    assert (trial.status, trial.score, oracle.ongoing_trials) == ("COMPLETED", 0.5, {})


@pytest.mark.parametrize("algorithm", ["auto", "tpe", "nsga2", "bayesian", "random", "hyperband"])
def test_what_a_worker_declares_in_the_order_of_kinds_is_proposed_with_what_depends_on_it(algorithm):
    """Over the network numbers come before choices; what no oracle proposes Keras Tuner draws without a seed."""
    declared = keras_tuner.HyperParameters()
    declared.Choice("kind", ["plain", "dropout"])
    with declared.conditional_scope("kind", ["dropout"]):
        declared.Float("rate", 0.1, 0.5)
    sent = keras_tuner.HyperParameters.from_proto(declared.to_proto())
    assert [entry.name for entry in sent.space] == ["rate", "kind"]

    def proposed():
        oracle = _oracle(algorithm, seed=3)
        oracle.update_space(sent)
        return Drive(oracle, 14).proposals

    found = proposed()
    assert found == proposed()
    assert {"rate" in values for values in found} == {True, False}
    assert all(("rate" in values) == (values["kind"] == "dropout") for values in found)


@pytest.mark.parametrize("algorithm", ["random", "bayesian", "hyperband", "asha"])
def test_nothing_is_drawn_without_a_seed_where_scopes_share_a_name(algorithm, monkeypatch):
    drawn = keras_tuner.engine.hyperparameters.HyperParameter.random_sample

    def seeded(self, seed=None):
        assert seed is not None
        return drawn(self, seed)

    monkeypatch.setattr(keras_tuner.engine.hyperparameters.HyperParameter, "random_sample", seeded)
    objective = keras_tuner.Objective("score", "max")
    oracle = ORACLES[algorithm](objective=objective, hyperparameters=shared_names(), max_epochs=9)
    assert len(Drive(oracle, 14).proposals) == 14


@pytest.mark.filterwarnings("ignore:The use case of calling:DeprecationWarning")
@pytest.mark.parametrize("number", [np.int64, np.float32])
def test_numbers_of_numpy_may_be_told(number, tmp_path):
    class Telling(keras_tuner.Tuner):
        """Tells two epochs in numbers of NumPy."""

        def run_trial(self, trial, *args, **options):
            for epoch in number(range(2)):
                self.oracle.update_trial(trial.trial_id, {"score": np.float32(epoch)}, step=epoch)

    oracle = _oracle(max_trials=2)
    Telling(oracle, directory=tmp_path).search()
    again = Telling(_oracle(max_trials=2), directory=tmp_path).oracle
    assert [(trial.score, trial.best_step) for trial in again.trials.values()] == [(1.0, 1)] * 2


class _Flaky(keras_tuner.Tuner):
    """Fails, or returns NaN, while it is told to."""

    result = None

    def run_trial(self, trial, *args, **options):
        if self.result is None:
            raise OSError("the disk is not mounted")
        return self.result


def _flaky(folder, **options):
    def build(hp):
        hp.Float("rate", 0.0, 1.0)

    oracle = ORACLES["random"](objective=keras_tuner.Objective("score", "max"), max_epochs=1, max_trials=8, **options)
    return _Flaky(oracle, build, directory=folder, project_name="p")


@pytest.mark.parametrize("is_resumed", [True, False])
def test_search_that_failures_ended_goes_on_when_they_are_mended(tmp_path, is_resumed):
    tuner = _flaky(tmp_path, max_consecutive_failed_trials=3)
    with pytest.raises(RuntimeError, match=r"(?s)limit of 3\..*the disk is not mounted"):
        tuner.search()
    tuner = _flaky(tmp_path, max_consecutive_failed_trials=3) if is_resumed else tuner
    tuner.result = {"score": 0.5}
    tuner.search()
    assert [trial.status for trial in tuner.oracle.trials.values()] == 3 * ["FAILED"] + 5 * ["COMPLETED"]


def test_scores_that_are_nan_count_as_failures_where_these_are_counted(tmp_path):
    tuner = _flaky(tmp_path, max_consecutive_failed_trials=3)
    tuner.result = {"score": float("nan")}
    with pytest.raises(RuntimeError, match="limit of 3"):
        tuner.search()
    assert [trial.status for trial in tuner.oracle.trials.values()] == 3 * ["FAILED"]


@pytest.mark.parametrize("algorithm", sorted(set(ORACLES) - {"gp", "cmaes"}))
def test_executions_that_tell_every_epoch_are_scored_by_the_mean_of_their_last_one(algorithm):
    oracle = _oracle(algorithm, max_trials=2)
    trial = oracle.create_trial("tuner0")
    for execution in ([0.5, 0.1, 0.3], [0.7, 0.2, 0.4], [0.9, 0.3, 0.8]):
        for epoch, score in enumerate(execution):
            oracle.update_trial(trial.trial_id, {"score": score}, step=epoch)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    [best] = oracle.get_best_trials()
    assert (best.score, best.best_step) == (pytest.approx(0.5), 2)


def test_threads_that_save_one_oracle_write_whole_files(tmp_path):
    oracle = _oracle(max_trials=5)
    oracle._set_project_dir(tmp_path, "p")
    oracle.create_trial("tuner0")
    with ThreadPoolExecutor(4) as threads:
        for saved in [threads.submit(oracle.save) for _ in range(200)]:
            saved.result(30)
    again = _oracle(max_trials=5)
    again._set_project_dir(tmp_path, "p")
    again.reload()
    assert list(again.trials) == list(oracle.trials)
