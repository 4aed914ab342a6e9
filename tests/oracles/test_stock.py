"""Oracles in a stock tuner of Keras Tuner: killed and started again, with spaces and scores as users have them."""

import contextlib
import copy
import io
import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras_tuner
import pytest

from oracles.driving import EACH, MAX_EPOCHS, WARNINGS, Drive, flat, own, require_package, score_of, six_values
from tuner.oracles import ORACLES, RungTuner
from tuner.oracles.encoding import Encoding, values_key
from tuner.oracles.history import Seen

pytestmark = WARNINGS


class _Killed(BaseException):
    pass


class _Tuner(keras_tuner.Tuner):
    """Trains nothing; dies in the trial `dies_in`, as a process that is killed."""

    dies_in = None

    def run_trial(self, trial, *args, **options):
        if self.hypermodel is not None:
            self.hypermodel.build(trial.hyperparameters)
        if trial.trial_id == self.dies_in:
            raise _Killed
        values = trial.hyperparameters.values
        return {"score": score_of(values, values.get("tuner/epochs", MAX_EPOCHS))}


def _oracle(algorithm, hp=None, *, direction="max", **options):
    require_package(algorithm)
    objective = keras_tuner.Objective("score", direction)
    hp = flat() if hp is None else hp
    return ORACLES[algorithm](objective=objective, hyperparameters=hp, **{"max_epochs": MAX_EPOCHS, **options})


def _searched(oracle, directory, *, build=None, dies_in=None):
    """Returns the values of all trials of a search in their order; it overwrites nothing."""
    hypermodel = build or (lambda hp: None)
    tuner = _Tuner(oracle=oracle, hypermodel=hypermodel, directory=directory, project_name="p", overwrite=False)
    tuner.dies_in = dies_in
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(_Killed):
        tuner.search()
    return [dict(oracle.trials[name].hyperparameters.values) for name in oracle.start_order]


def _end(oracle, trial, **metrics):
    """Ends a trial that has these metrics."""
    oracle.update_trial(trial.trial_id, metrics)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def _failed(trial):
    trial.status = "FAILED"
    return trial


def _told(oracle, scores):
    """Tells an oracle the scores of its trials, one after another."""
    for score in scores:
        _end(oracle, oracle.create_trial("worker"), score=score)


@pytest.mark.parametrize("algorithm", EACH)
class TestStockTuner:
    def test_state_with_trials_in_flight_is_all_that_is_needed_to_go_on(self, algorithm):
        oracle, again = _oracle(algorithm), _oracle(algorithm)
        for _ in range(14):
            trial = oracle.create_trial("worker")
            _end(oracle, trial, score=score_of(trial.hyperparameters.values))
        for worker in "abc":
            oracle.create_trial(worker)
        again.trials = copy.deepcopy(oracle.trials)
        again.set_state(json.loads(json.dumps(oracle.get_state())))
        proposed = [each.create_trial("d").hyperparameters.values for each in (oracle, again)]
        assert proposed[0] == proposed[1]

    @pytest.mark.parametrize("ended", [3, -2])
    def test_killed_search_goes_on_as_if_it_had_not_been(self, algorithm, ended, tmp_path, monkeypatch):
        trials = 18
        dies_in = f"{ended % trials:02d}"
        oracle = _oracle(algorithm, max_trials=trials)
        whole = _searched(oracle, tmp_path / "whole")
        for _ in range(2):  # the second time in the first trial after the start
            _searched(_oracle(algorithm, max_trials=trials), tmp_path / "killed", dies_in=dies_in)
        files = keras_tuner.src.backend.io.glob  # in any order: here in the worst
        monkeypatch.setattr(keras_tuner.src.backend.io, "glob", lambda pattern: sorted(files(pattern), reverse=True))
        again = _oracle(algorithm, max_trials=trials)
        assert _searched(again, tmp_path / "killed") == whole
        assert [t.trial_id for t in again.get_best_trials(3)] == [t.trial_id for t in oracle.get_best_trials(3)]

    def test_trial_that_was_not_handed_out_is_forgotten(self, algorithm, tmp_path):
        whole = _searched(_oracle(algorithm, max_trials=6), tmp_path / "whole")
        oracle = _oracle(algorithm, max_trials=6)
        _searched(oracle, tmp_path / "killed", dies_in="2")
        orphan = tmp_path / "killed" / "p" / "trial_3"
        orphan.mkdir()
        (orphan / "trial.json").write_bytes(
            (orphan.parent / "trial_2" / "trial.json").read_bytes().replace(b'"2"', b'"3"')
        )
        assert _searched(_oracle(algorithm, max_trials=6), tmp_path / "killed") == whole

    @pytest.mark.parametrize("grows", [True, False])
    def test_what_the_hypermodel_declares_besides_makes_no_new_configuration(self, algorithm, grows, tmp_path):
        hp = keras_tuner.HyperParameters()
        hp.Choice("width", [4, 8, 16])

        def build(hp):
            hp.Choice("width", [4, 8, 16])
            hp.Choice("norm", ["batch", "layer"])

        oracle = _oracle(algorithm, hp, max_trials=40, tune_new_entries=grows)
        found = [
            values_key(values) for values in _searched(oracle, tmp_path, build=build) if "tuner/trial_id" not in values
        ]
        assert len(found) == len(set(found)) == (6 if grows else 3)

    def test_space_that_grows_while_trials_run_has_no_repeats(self, algorithm):
        oracle = _oracle(algorithm, six_values(), max_trials=60)
        running = [oracle.create_trial(f"worker-{number}") for number in range(2)]
        while running:
            trial = running.pop(0)
            trial.hyperparameters.Boolean("norm")
            oracle.update_space(trial.hyperparameters)
            _end(oracle, trial, score=score_of(trial.hyperparameters.values))
            while len(running) < 2:
                new = oracle.create_trial(f"worker-{len(oracle.trials) % 2}-{len(running)}-{len(oracle.end_order)}")
                if new.status != "RUNNING":
                    break
                running.append(new)
        begun = [
            t.hyperparameters.values
            for t in oracle.trials.values()
            if not t.hyperparameters.values.get("tuner/initial_epoch")
        ]
        keys = [values_key(values) for values in begun]
        assert len(keys) == len(set(keys)) == 12

    @pytest.mark.parametrize(
        ("direction", "outcomes", "best"),
        [("min", [math.nan, 2.3, 2.0, 1.5], 3), ("max", [-1.0, math.nan, -3.0], 0), ("max", [0.5, math.inf, 0.1], 0)],
    )
    def test_trial_without_a_finite_score_is_the_worst(self, algorithm, direction, outcomes, best):
        oracle = _oracle(algorithm, direction=direction)
        _told(oracle, outcomes)
        trials = oracle.get_best_trials(len(outcomes))
        if algorithm in ("asha", "auto", "bohb", "freeze-thaw", "mobster", "one-epoch", "priorband"):
            assert next(n for n, outcome in enumerate(outcomes) if not math.isfinite(outcome)) == int(
                trials[-1].trial_id
            )
        else:
            assert int(trials[0].trial_id) == best
            assert not math.isfinite(outcomes[int(trials[-1].trial_id)])

    @pytest.mark.parametrize("status", ["STOPPED", "RUNNING"])
    def test_trial_that_a_tuner_ends_without_a_verdict_is_complete(self, algorithm, status):
        """Those with rungs waited for it for ever."""
        oracle = _oracle(algorithm)
        trial = oracle.create_trial("worker")
        oracle.update_trial(trial.trial_id, {"score": 0.5})
        trial.status = status
        oracle.end_trial(trial)
        assert (trial.status, trial.score) == ("COMPLETED", 0.5)
        assert [each.trial_id for each in oracle.get_best_trials(2)] == [trial.trial_id]

    def test_trial_that_diverges_is_run_again_as_often_as_allowed(self, algorithm, capsys):
        oracle = _oracle(algorithm, max_retries_per_trial=1)
        names = []
        for scores in ((math.nan, 0.5), (math.nan, math.nan), (0.25,)):
            for step, score in enumerate(scores):
                trial = oracle.create_trial("worker")
                names.append(trial.trial_id)
                oracle.update_trial(trial.trial_id, {"score": math.nan}, step=1)
                oracle.update_trial(trial.trial_id, {"score": score}, step=3 - step)  # the second one ends early
                trial.status = "COMPLETED"
                oracle.end_trial(trial)
        assert [int(name) for name in names] == [0, 0, 1, 1, 2]
        assert [trial.status for trial in oracle.trials.values()] == ["COMPLETED", "FAILED", "COMPLETED"]
        assert [oracle.trials[names[n]].score for n in (0, 4)] == [0.5, 0.25]
        assert int(oracle.get_best_trials(1)[0].trial_id) == 0
        assert "retries left" in capsys.readouterr().out  # Keras Tuner's words

    def test_older_scripts_end_a_trial_by_its_name(self, algorithm):
        oracle = _oracle(algorithm, max_trials=3)
        for status in ("COMPLETED", "FAILED", "COMPLETED"):
            trial = oracle.create_trial("worker")
            values = dict(trial.hyperparameters.values)
            oracle.update_trial(trial.trial_id, {"score": 0.5})
            oracle.end_trial(trial.trial_id, status)
            assert (trial.status, trial.hyperparameters.values) == (status, values)
        assert oracle.create_trial("worker").status == "STOPPED"

    def test_too_many_failures_raise_and_leave_no_lock(self, algorithm):
        oracle = _oracle(algorithm, max_consecutive_failed_trials=2)
        trials = [oracle.create_trial(f"tuner{number}") for number in range(2)]
        oracle.end_trial(_failed(trials[0]))
        with pytest.raises(RuntimeError, match="Number of consecutive failures exceeded the limit of 2"):
            oracle.end_trial(_failed(trials[1]))
        assert oracle.ongoing_trials == {}
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(oracle.create_trial, "tuner2").result(30).trial_id not in {t.trial_id for t in trials}

    def test_trial_that_was_killed_is_scored_by_what_its_second_attempt_tells(self, algorithm, tmp_path):
        killed, again = (_oracle(algorithm) for _ in range(2))
        for oracle in (killed, again):
            oracle._set_project_dir(tmp_path, "p")
        killed.update_trial(killed.create_trial("worker").trial_id, {"score": 0.9}, step=5)
        again.reload()
        trial = again.create_trial("worker")
        again.update_trial(trial.trial_id, {"score": 0.2}, step=3)
        trial.status = "COMPLETED"
        again.end_trial(trial)
        assert (trial.trial_id, trial.score) == (killed.start_order[0], 0.2)

    def test_trial_that_has_ended_before_a_kill_is_not_run_again(self, algorithm, tmp_path):
        """Keras Tuner writes before it takes the trial from those that run."""
        killed, again = (_oracle(algorithm) for _ in range(2))
        for oracle in (killed, again):
            oracle._set_project_dir(tmp_path, "p")
        _told(killed, [0.9])
        again.reload()
        assert int(again.create_trial("worker").trial_id) == 1
        assert again.end_order == killed.end_order

    def test_trial_that_a_worker_ends_after_its_chief_was_started_again_is_not_run_again(self, algorithm, tmp_path):
        killed, again = (_oracle(algorithm) for _ in range(2))
        for oracle in (killed, again):
            oracle._set_project_dir(tmp_path, "p")
        running = [killed.create_trial(f"tuner{number}").trial_id for number in range(2)]
        again.reload()
        _end(again, again.trials[running[1]], score=0.7)
        handed_out = [again.create_trial(f"tuner{number}").trial_id for number in range(2)]
        assert handed_out[0] == running[0]
        assert handed_out[1] not in running
        assert again.end_order == running[1:]

    def test_copy_of_an_oracle_whose_space_has_grown_goes_on(self, algorithm):
        oracle = _oracle(algorithm)
        for number in range(14):
            trial = oracle.create_trial("worker")
            if number == 13:
                trial.hyperparameters.Float("more", 0.0, 1.0)
            _end(oracle, trial, score=float(number % 5))
        proposed = [
            [each.create_trial(f"tuner{number}").hyperparameters.values for number in range(3)]
            for each in (copy.deepcopy(oracle), oracle)
        ]
        assert proposed[0] == proposed[1]

    @pytest.mark.parametrize(
        ("declare", "size"),
        [
            (lambda hp: hp.Float("a", 0, 3, step=1, default=2), 4),
            (lambda hp: hp.Float("a", 0, 0.5, step=0.1, default=0.3), 6),
            (lambda hp: hp.Float("a", 1, 1000, step=10, sampling="log", default=100), 4),
            (lambda hp: hp.Choice("a", [1.0, 2.0, 3.0], default=2), 3),
            (lambda hp: hp.Int("a", 0, 3, default=2.0), 4),
            (lambda hp: hp.Boolean("a", default=1), 2),
        ],
    )
    def test_default_of_another_type_is_not_proposed_again(self, algorithm, declare, size):
        hp = keras_tuner.HyperParameters()
        declare(hp)
        drive = Drive(_oracle(algorithm, hp, max_trials=60), 60)
        begun = [own(values)["a"] for values in drive.proposals if not values.get("tuner/initial_epoch")]
        assert len(begun) == len({round(value, 9) for value in begun}) == Encoding(hp).size()
        assert len(begun) in (size, size - 1)  # Keras Tuner has no last step of 0.1

    def test_several_objectives_are_summed(self, algorithm):
        require_package(algorithm)
        objectives = [keras_tuner.Objective("score", "max"), keras_tuner.Objective("loss", "min")]
        oracle = ORACLES[algorithm](objective=objectives, hyperparameters=flat(), max_epochs=MAX_EPOCHS)
        for score, loss in ((0.5, 0.5), (0.9, 0.1), (0.2, 0.9)):
            _end(oracle, oracle.create_trial("worker"), score=score, loss=loss)
        scores = [trial.score for trial in oracle.trials.values()]
        assert scores == pytest.approx([0.0, -0.8, 0.7])

    def test_scores_at_the_end_of_all_numbers_raise_nothing(self, algorithm):
        scores = ([1.7e308, -1.7e308, 1e308, 0.5] * 4)[:15]
        oracle = _oracle(algorithm)
        _told(oracle, scores)
        assert [trial.score for trial in oracle.trials.values()] == scores

    def test_without_a_seed_one_is_drawn(self, algorithm):
        assert _oracle(algorithm, seed=None).create_trial("worker").status == "RUNNING"

    def test_values_of_a_large_range_are_not_listed(self, algorithm):
        if algorithm == "grid":
            pytest.skip("a grid lists them")
        hp = keras_tuner.HyperParameters()
        hp.Int("units", 1, 10**12, default=100)
        assert len(Drive(_oracle(algorithm, hp), 4).proposals) == 4


@pytest.mark.parametrize("algorithm", ["auto", "mobster"])
@pytest.mark.parametrize("min_epochs", [5, 9])
def test_another_study_may_have_seen_fewer_epochs_than_the_only_rung(algorithm, min_epochs):
    values = [{"optimizer": "sgd", "width": 8 + number, "dropout": 0.03 * number} for number in range(6)]
    seen = [Seen(each, epochs, 0.1 * number) for number, each in enumerate(values) for epochs in (1, 3)]
    assert len(Drive(_oracle(algorithm, warm_start=seen, min_epochs=min_epochs), 14).proposals) == 14


@pytest.mark.parametrize(("max_epochs", "total"), [(3, 2), (9, 25), (5, 60)])
def test_hyperband_whose_epochs_are_spent_ends_with_trials_in_flight(max_epochs, total):
    oracle = _oracle(
        "hyperband", six_values() if max_epochs == 3 else flat(), max_epochs=max_epochs, max_total_epochs=total
    )
    running, spent = {}, 0
    for call in range(400):
        trial = oracle.create_trial(f"worker-{call}")
        if trial.status == "RUNNING":
            values = trial.hyperparameters.values
            spent += values["tuner/epochs"] - values["tuner/initial_epoch"]
            running[trial.trial_id] = trial
        if running and (trial.status != "RUNNING" or len(running) == 4):
            ended = running.pop(next(iter(running)))
            _end(oracle, ended, score=score_of(ended.hyperparameters.values))
    assert not running
    assert spent <= total


def test_hyperband_does_not_promote_what_diverged():
    oracle = _oracle("hyperband", direction="min", begins_whole=False)
    first = Drive(oracle, 1, score=lambda values, epochs: math.nan).names[0]
    drive = Drive(oracle, 30)
    assert first not in [values.get("tuner/trial_id") for values in drive.proposals]


@pytest.mark.parametrize("algorithm", ["bayesian", "auto", "tpe"])
def test_trials_that_are_handed_out_again_in_another_order_change_no_digit(algorithm):
    oracle = _oracle(algorithm)
    for _ in range(16):
        trial = oracle.create_trial("worker")
        _end(oracle, trial, score=score_of(trial.hyperparameters.values))
    for worker in range(8):
        oracle.create_trial(f"worker-{worker}")
    again = copy.deepcopy(oracle)
    again.ongoing_trials = dict(reversed(again.ongoing_trials.items()))
    proposed = [each.create_trial("next").hyperparameters.values for each in (oracle, again)]
    assert proposed[0] == proposed[1]


def test_bayesian_guesses_the_scores_in_flight_by_what_has_ended_alone():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    oracle, again = _oracle("bayesian", hp), _oracle("bayesian", hp)
    for _ in range(4):
        trial = oracle.create_trial("worker")
        _end(oracle, trial, score=math.cos(7 * trial.hyperparameters.values["x"]))
    for worker in "abc":
        oracle.create_trial(worker)
    again.trials = copy.deepcopy(oracle.trials)
    again.set_state(json.loads(json.dumps(oracle.get_state())))
    assert again.create_trial("d").hyperparameters.values == oracle.create_trial("d").hyperparameters.values


@pytest.mark.parametrize("algorithm", ["asha", "nsga2", "random", "bayesian", "hyperband"])
def test_best_trials_wait_for_who_asks_for_the_next_one(algorithm):
    """The first two take in what has ended; at once they did so twice, and a search waited for ever for that."""
    within, best = threading.Event(), []

    class Spy(ORACLES[algorithm]):
        def populate_space(self, trial_id):
            within.set()
            reader.join(0.3)
            best.append(reader.is_alive())
            return super().populate_space(trial_id)

    oracle = Spy(objective="val_accuracy", hyperparameters=flat(), max_epochs=MAX_EPOCHS)
    reader = threading.Thread(target=lambda: within.wait() and oracle.get_best_trials(1))
    reader.start()
    assert oracle.create_trial("worker").status == "RUNNING"
    reader.join(30)
    assert (best, reader.is_alive()) == ([True], False)


def test_trial_has_not_ended_before_the_oracle_hears_of_it():
    """A tuner sets the status of a trial that several threads share, and then ends it."""
    oracle = _oracle("asha", max_retries_per_trial=1)
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"score": math.nan}, step=1)
    trial.status = "COMPLETED"
    oracle.create_trial("tuner1")
    oracle.end_trial(trial)
    again = oracle.create_trial("tuner2")
    assert again.trial_id == trial.trial_id
    _end(oracle, again, score=0.9)
    assert oracle.get_best_trials(1) == [trial]
    assert [run.score for run in oracle.history if run.scores] == [0.9]


@pytest.mark.parametrize("algorithm", ["asha", "random", "bayesian", "hyperband"])
def test_trial_that_has_no_score_yet_is_none_of_the_best(algorithm):
    """Keras Tuner asks for the best whenever it shows how a search goes."""
    oracle = _oracle(algorithm)
    early, late, last = (oracle.create_trial(f"tuner{number}") for number in range(3))
    _end(oracle, late, score=0.5)
    _end(oracle, last, score=0.9)
    oracle.update_trial(early.trial_id, {"score": 0.99}, step=1)
    early.status = "COMPLETED"
    assert oracle.get_best_trials(2) == [last, late]


def test_hyperband_promotes_nothing_while_a_trial_that_may_be_better_has_not_ended():
    oracle = _oracle("hyperband", begins_whole=False)
    first = [oracle.create_trial(f"tuner{number}") for number in range(9)]
    for number, trial in enumerate(first[:6]):
        _end(oracle, trial, score=0.1 * number)
    oracle.update_trial(first[6].trial_id, {"score": 0.9}, step=1)
    first[6].status = "COMPLETED"
    assert oracle.create_trial("tuner9").hyperparameters.values["tuner/initial_epoch"] == 0
    _end(oracle, first[6], score=0.9)
    assert oracle.create_trial("tuner10").hyperparameters.values["tuner/trial_id"] == first[6].trial_id


def test_bayesian_does_not_learn_of_a_trial_as_a_failure_before_it_has_ended():
    oracle = _oracle("bayesian", num_initial_points=3)
    for number in range(4):
        _end(oracle, oracle.create_trial("tuner0"), score=0.2 * number)
    oracle.create_trial("tuner1")
    again = copy.deepcopy(oracle)
    again.ongoing_trials["tuner1"].status = "COMPLETED"
    proposed = [each.create_trial("tuner2").hyperparameters.values for each in (oracle, again)]
    assert proposed[0] == proposed[1]


def test_threads_limit_linear_algebra_one_after_the_other(monkeypatch):
    """Else the last to leave puts back what another has set."""
    inside, most = [], []

    class Controller:
        @contextlib.contextmanager
        def limit(self, **_):
            inside.append("a thread")
            most.append(len(inside))
            time.sleep(0.001)
            yield
            inside.pop()

    monkeypatch.setattr("tuner.oracles.base._linear_algebra", Controller)
    options = {"objective": "val_accuracy", "hyperparameters": flat(), "max_epochs": MAX_EPOCHS}
    oracles = [ORACLES["random"](**options) for _ in range(2)]
    with ThreadPoolExecutor(4) as threads:
        trials = threads.map(lambda number: oracles[number % 2].create_trial(f"tuner{number}"), range(20))
        assert sorted(int(trial.trial_id) for trial in trials) == sorted(2 * list(range(10)))
    assert most == [1] * 20


@pytest.mark.parametrize("algorithm", EACH)
def test_without_an_objective_it_is_the_number_that_a_tuner_returns(algorithm, tmp_path):
    class Tuner(keras_tuner.Tuner):
        def run_trial(self, trial):
            return float(trial.hyperparameters.get("width"))

    require_package(algorithm)
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 1, 6)
    oracle = ORACLES[algorithm](hyperparameters=hp, max_epochs=1, seed=0, max_trials=6)
    tuner = Tuner(oracle=oracle, directory=tmp_path)
    tuner.search()
    assert tuner.get_best_hyperparameters()[0].get("width") == 1


@pytest.mark.parametrize("file", ["oracle.json", "trial_*/trial.json", "tuner0.json"])
def test_file_that_is_not_written_to_its_end_stays_as_it_was(file, tmp_path, monkeypatch):
    oracle = _oracle("asha", max_trials=2)
    tuner = RungTuner(oracle, lambda hp: None, directory=tmp_path, project_name="p")
    trial = oracle.create_trial("tuner0")
    tuner.save()
    (written,) = (tmp_path / "p").glob(file)
    before = written.read_text()

    def die(path, _):
        Path(path).write_text("")  # as Keras Tuner begins
        raise _Killed

    monkeypatch.setattr("keras_tuner.src.utils.save_json", die)
    save = {"oracle.json": oracle.save, "tuner0.json": tuner.save}.get(file, lambda: oracle._save_trial(trial))
    if file == "tuner0.json":
        monkeypatch.setattr(oracle, "save", lambda: None)  # or it would be that which dies
    with pytest.raises(_Killed):
        save()
    assert before
    assert written.read_text() == before
