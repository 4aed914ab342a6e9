"""Every oracle keeps the contract of a `keras_tuner.Oracle`, and the promises of this program on top of it."""

import copy
import importlib
import json
import math
import re

import keras_tuner
import pytest

from oracles.driving import (
    EACH,
    MAX_EPOCHS,
    SITUATIONS,
    SPACES,
    WARNINGS,
    Drive,
    Situation,
    flat,
    narrow,
    own,
    rare,
    require_package,
    score_of,
    shared_names,
    six_values,
)
from tuner.config import ALGORITHMS, SearchConfig
from tuner.errors import UsageError
from tuner.oracles import ORACLES, make_oracle
from tuner.oracles.encoding import default_values, is_active, values_key
from tuner.oracles.history_oracle import HistoryOracle

OWN = [name for name in ORACLES if issubclass(ORACLES[name], HistoryOracle)]
# Trials of a short search. After 10 trials, gp fits a Gaussian process for each.
TRIALS = {"gp": 12}

pytestmark = WARNINGS


def _oracle(algorithm, hp=None, *, direction="max", **options):
    require_package(algorithm)
    if algorithm == "gp":
        importlib.import_module("torch").set_num_threads(1)
    objective = keras_tuner.Objective("val_score", direction)
    hp = flat() if hp is None else hp
    return ORACLES[algorithm](objective=objective, hyperparameters=hp, **{"max_epochs": MAX_EPOCHS, **options})


def _is_legal(entry, value):
    """Whether a hyperparameter has a value, whose kind and step are right."""
    if isinstance(entry, keras_tuner.engine.hyperparameters.Int | keras_tuner.engine.hyperparameters.Float):
        kind = int if isinstance(entry, keras_tuner.engine.hyperparameters.Int) else float
        allowed = list(entry.values) if entry.step is not None else [value]
        near = any(math.isclose(value, each, rel_tol=1e-9, abs_tol=1e-12) for each in allowed)
        return isinstance(value, kind) and entry.min_value <= value <= entry.max_value and near
    return value in getattr(entry, "values", [getattr(entry, "value", None)])


def _check_proposals(drive, hp, *, first=None):
    """Asserts what holds for any sequence of proposals that begins with the default, or with what is `first`."""
    new = [own(values) for values in drive.proposals if "tuner/trial_id" not in values]
    assert new[0] == (first or default_values(hp))
    keys = [values_key(values) for values in new]
    assert len(set(keys)) == len(keys), "a configuration was proposed twice"
    for values in new:
        assert set(values) == {entry.name for entry in hp.space if is_active(entry, values)}
        assert all(_is_legal(entry, values[entry.name]) for entry in hp.space if entry.name in values)
    for number, values in enumerate(drive.proposals):
        if "tuner/trial_id" in values:
            parent = drive.names.index(values["tuner/trial_id"])
            assert parent < number
            assert own(drive.proposals[parent]) == own(values)
            assert 0 < values["tuner/initial_epoch"] == drive.trained[drive.names[parent]] < values["tuner/epochs"]
        assert values.get("tuner/epochs", MAX_EPOCHS) <= MAX_EPOCHS


def test_each_algorithm_of_the_command_line_has_an_oracle():
    assert set(ALGORITHMS) == set(ORACLES)


@pytest.mark.parametrize("algorithm", EACH)
class TestContract:
    """What the executor and any Keras Tuner user rely on."""

    @pytest.mark.parametrize("situation", SITUATIONS)
    @pytest.mark.parametrize("space", SPACES)
    def test_proposals_are_right(self, algorithm, space, situation):
        hp = SPACES[space]()
        drive = Drive(_oracle(algorithm, hp), TRIALS.get(algorithm, 14), SITUATIONS[situation])
        _check_proposals(drive, SPACES[space]())

    @pytest.mark.parametrize("space", SPACES)
    def test_resumed_in_the_middle_it_proposes_the_same(self, algorithm, space):
        trials = TRIALS.get(algorithm, 14)
        whole = Drive(_oracle(algorithm, SPACES[space](), seed=3), trials)
        replayed = Drive(_oracle(algorithm, SPACES[space](), seed=3), trials // 2)
        assert replayed.proposals == whole.proposals[: trials // 2]
        replayed.go_on(trials)
        assert replayed.proposals == whole.proposals

    def test_same_seed_gives_the_same_with_trials_in_flight(self, algorithm):
        first, second = (
            Drive(_oracle(algorithm, seed=5), TRIALS.get(algorithm, 14), SITUATIONS["in-flight"]).proposals
            for _ in range(2)
        )
        assert first == second

    def test_conditional_scopes_may_share_a_name(self, algorithm):
        hp = shared_names()
        drive = Drive(_oracle(algorithm, hp), TRIALS.get(algorithm, 14))
        assert len(drive.proposals) == TRIALS.get(algorithm, 14)
        new = [own(values) for values in drive.proposals if "tuner/trial_id" not in values]
        assert len({values_key(values) for values in new}) == len(new)
        for values in new:
            active = {entry.name: entry for entry in hp.space if is_active(entry, values)}
            assert set(values) == set(active)
            assert all(_is_legal(entry, values[name]) for name, entry in active.items())

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"max_epochs": 0}, "max_epochs is 0; allowed is a whole number from 1."),
            ({"max_epochs": 2.5}, "max_epochs is 2.5; allowed is a whole number from 1."),
            ({"max_trials": 0}, "max_trials is 0; allowed is a whole number from 1, or None."),
            ({"max_total_epochs": -1}, "max_total_epochs is -1; allowed is a whole number from 1, or None."),
            ({"seed": 1.5}, "seed is 1.5; allowed is a whole number from 0, or None."),
            ({"enqueue": [3]}, "enqueue is [3]; allowed is a list of configurations, such as [{'width': 16}]."),
            ({"enqueue": {"width": 8}}, "enqueue is {'width': 8}; allowed is a list of configurations, such as [{"),
            (
                {"enqueue": [{"width": 5000}]},
                "width is 5000 in configuration 1 of --enqueue; allowed is a whole number",
            ),
        ],
    )
    def test_wrong_argument_is_refused_when_it_is_made(self, algorithm, wrong, message):
        require_package(algorithm)
        with pytest.raises((ValueError, UsageError)) as refused:
            _oracle(algorithm, **wrong)
        assert message in str(refused.value)

    def test_copy_goes_on_as_the_original(self, algorithm):
        trials = TRIALS.get(algorithm, 14)
        drive = Drive(_oracle(algorithm), trials // 2)
        copied = copy.deepcopy(drive)
        drive.go_on(trials)
        copied.go_on(trials)
        assert copied.proposals == drive.proposals

    def test_is_an_oracle_of_keras_tuner(self, algorithm):
        assert isinstance(_oracle(algorithm), keras_tuner.Oracle)

    def test_seed_zero_is_a_seed_and_no_other(self, algorithm):
        if algorithm == "grid":
            pytest.skip("nothing is drawn")
        sequences = [Drive(_oracle(algorithm, seed=seed), 3).proposals for seed in (0, 1, 2)]
        assert sequences[0] != sequences[1] != sequences[2] != sequences[0]

    @pytest.mark.parametrize("space", ["flat", "conditional"])
    def test_searches_of_neighbouring_seeds_share_no_configuration_but_the_default(self, algorithm, space):
        if algorithm == "grid":
            pytest.skip("nothing is drawn")
        tried = [
            {values_key(own(values)) for values in Drive(_oracle(algorithm, SPACES[space](), seed=seed), 6).proposals}
            for seed in range(7)
        ]
        shared = [len(tried[a] & tried[b]) for a in range(7) for b in range(a)]
        assert max(shared) == 1

    def test_less_is_better_where_the_objective_says_so(self, algorithm):
        most, least = (
            Drive(_oracle(algorithm, direction=direction), TRIALS.get(algorithm, 14)) for direction in ("max", "min")
        )
        assert most.proposals == least.proposals
        best = [drive.oracle.get_best_trials(1)[0] for drive in (most, least)]
        assert best[0].trial_id == best[1].trial_id
        assert best[0].score == -best[1].score

    @pytest.mark.parametrize("in_flight", [1, 3])
    def test_stays_within_its_trials(self, algorithm, in_flight):
        drive = Drive(_oracle(algorithm, max_trials=5), 20, Situation(in_flight=in_flight))
        assert len(drive.proposals) == 5
        assert drive.status == "STOPPED"

    @pytest.mark.parametrize("in_flight", [1, 3])
    def test_stays_within_its_epochs(self, algorithm, in_flight):
        drive = Drive(_oracle(algorithm, max_total_epochs=30), 40, Situation(in_flight=in_flight))
        epochs = [v.get("tuner/epochs", MAX_EPOCHS) - v.get("tuner/initial_epoch", 0) for v in drive.proposals]
        assert 30 - MAX_EPOCHS < sum(epochs) <= 30
        assert drive.status == "STOPPED"

    def test_goes_on_for_ever_without_a_budget(self, algorithm):
        trials = TRIALS.get(algorithm, 60)
        assert len(Drive(_oracle(algorithm), trials, Situation(in_flight=4)).proposals) == trials

    @pytest.mark.parametrize("in_flight", [1, 4])
    def test_ends_when_the_space_is_exhausted(self, algorithm, in_flight):
        oracle = _oracle(algorithm, six_values())
        drive = Drive(oracle, 100, Situation(in_flight=in_flight))
        _check_proposals(drive, six_values())
        if algorithm in OWN:
            assert (drive.status, oracle.reason) == ("STOPPED", "the space is exhausted, 6 of 6 tried")
            assert all(run.epochs == MAX_EPOCHS for run in oracle.history)
        elif algorithm != "hyperband":  # which is between two rungs
            assert drive.status == "STOPPED"

    def test_what_is_enqueued_follows_the_default_in_its_order(self, algorithm):
        planned = [{"optimizer": "lion", "width": 60}, {"dropout": 0.1}]
        drive = Drive(_oracle(algorithm, enqueue=planned), 3)
        default = default_values(flat())
        assert [own(values) for values in drive.proposals] == [default, *({**default, **each} for each in planned)]

    @pytest.mark.parametrize("in_flight", [1, 4])
    @pytest.mark.parametrize("space", ["flat", "conditional", "stepped", "log"])
    def test_what_breaks_a_constraint_is_not_proposed(self, algorithm, space, in_flight):
        trials = TRIALS.get(algorithm, 14)
        oracle = _oracle(algorithm, SPACES[space](), is_allowed=narrow)
        drive = Drive(oracle, trials, Situation(in_flight=in_flight))
        _check_proposals(drive, SPACES[space](), first=own(drive.proposals[0]))
        assert all(map(narrow, drive.proposals))
        assert len(drive.proposals) == trials or oracle.reason

    def test_constrained_search_goes_on_as_if_it_had_not_ended(self, algorithm):
        trials = TRIALS.get(algorithm, 14)
        whole = Drive(_oracle(algorithm, seed=3, is_allowed=narrow), trials)
        replayed = Drive(_oracle(algorithm, seed=3, is_allowed=narrow), trials // 2)
        assert replayed.proposals == whole.proposals[: trials // 2]
        replayed.go_on(trials)
        assert replayed.proposals == whole.proposals

    def test_one_in_a_thousand_is_found(self, algorithm):
        drive = Drive(_oracle(algorithm, is_allowed=rare), 3, Situation(in_flight=2))
        assert len(drive.proposals) == 3
        assert all(map(rare, drive.proposals))

    @pytest.mark.parametrize("in_flight", [1, 3])
    def test_where_nothing_is_allowed_it_says_so_and_ends(self, algorithm, in_flight):
        oracle = _oracle(algorithm, is_allowed=lambda values: False)
        drive = Drive(oracle, 5, Situation(in_flight=in_flight))
        assert (drive.proposals, drive.status) == ([], "STOPPED")
        assert re.fullmatch(r"no new configuration within the constraints was found in [\d,]+ tries", oracle.reason)

    def test_space_is_exhausted_when_all_that_is_allowed_was_tried(self, algorithm):
        oracle = _oracle(algorithm, six_values(), is_allowed=lambda values: values["bias"])
        drive = Drive(oracle, 100)
        assert {values["optimizer"] for values in drive.proposals} == {"sgd", "adam", "lion"}
        assert all(values["bias"] for values in drive.proposals)
        assert oracle.schedule(1000)[0].trials <= 3 or algorithm == "hyperband"
        if algorithm in OWN:
            assert oracle.reason == "the space is exhausted within the constraints, 3 of 3 tried"

    def test_queue_is_tried_first_where_the_default_is_not_allowed(self, algorithm):
        queue = [{"width": 8}, {"width": 5, "dropout": 0.1}]
        drive = Drive(_oracle(algorithm, enqueue=queue, is_allowed=narrow), 2)
        assert [own(values) for values in drive.proposals] == [{**default_values(flat()), **each} for each in queue]

    def test_plan_holds_as_many_trials_as_allowed(self, algorithm):
        require_package(algorithm)
        config = SearchConfig(space="tiny", max_epochs=MAX_EPOCHS, batch_size=64, algorithm=algorithm, trials=5)
        oracle = make_oracle(config, flat())
        assert sum(rung.trials for rung in oracle.schedule()) == 5

    def test_works_in_a_tuner_of_keras_tuner(self, algorithm, tmp_path):
        class Fake(keras_tuner.Tuner):
            """Trains nothing."""

            def run_trial(self, trial, *_, **__):
                values = trial.hyperparameters.values
                return {"val_score": score_of(values, values.get("tuner/epochs", MAX_EPOCHS))}

        oracle = _oracle(algorithm, max_trials=4)
        tuner = Fake(oracle=oracle, directory=tmp_path, project_name="stock")
        tuner.search()
        assert len(oracle.trials) == 4
        assert tuner.get_best_hyperparameters(1)[0].values in [t.hyperparameters.values for t in oracle.trials.values()]
        stored = json.loads(min(tmp_path.glob("stock/trial_*/trial.json")).read_text())
        assert own(stored["hyperparameters"]["values"]) == default_values(flat())
        assert (tmp_path / "stock" / "oracle.json").exists()

    def test_writes_no_file_on_its_own(self, algorithm, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Drive(_oracle(algorithm), 3)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("algorithm", OWN)
@pytest.mark.parametrize("space", [space for space in SPACES if space != "one-value"])
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.slow
def test_long_searches_are_right(algorithm, space, situation):
    if algorithm == "gp":
        pytest.skip("a minute for each")
    drive = Drive(_oracle(algorithm, SPACES[space](), seed=11), 100, SITUATIONS[situation])
    _check_proposals(drive, SPACES[space]())
    assert len(drive.proposals) == 100
