import logging
import sys

import keras_tuner
import numpy as np
import optuna
import pytest

from oracles.driving import MAX_EPOCHS, SITUATIONS, SPACES, Drive, conditional, flat, own, require_package
from tuner.errors import UsageError
from tuner.oracles import ORACLES, sampling
from tuner.oracles.encoding import Encoding, values_key
from tuner.oracles.history import WORST, Seen
from tuner.oracles.sampling import Sampling, TPESampler


class Recorder(optuna.samplers.RandomSampler):
    """Keeps what it was shown."""

    def __init__(self, seed, shown):
        super().__init__(seed)
        self.shown = shown

    def before_trial(self, study, trial):
        self.shown[:] = [each for each in study.get_trials() if each.number != trial.number]


def _new_values(sampling, space, observations, *, running=(), tried=frozenset(), seed=0, is_allowed=None):
    rng = np.random.default_rng(seed)
    encoding = space if isinstance(space, Encoding) else Encoding(space)
    return sampling.new_values(
        encoding, observations, running=running, tried=set(tried), rng=rng, is_allowed=is_allowed
    )


def _observations(space, number):
    encoding, rng = Encoding(space), np.random.default_rng(1)
    return [(encoding.values(rng.random(encoding.dimensions)), rng.random()) for _ in range(number)]


def _states(shown):
    return [each.state.name for each in shown if each.state.name != "FAIL"]


@pytest.mark.parametrize("space", [name for name in SPACES if name != "one-value"])
def test_sampler_is_shown_what_stands_for_the_same_values(space):
    shown = []
    encoding = Encoding(SPACES[space]())
    observations = _observations(SPACES[space](), 20)
    _new_values(Sampling(lambda seed: Recorder(seed, shown)), SPACES[space](), observations)
    for trial, (values, goodness) in zip(shown, observations, strict=True):
        assert trial.value == goodness
        assert set(trial.params) == {entry.name for entry in encoding.free if entry.name in values}


def test_failure_is_as_far_below_the_worst_as_that_is_below_the_best():
    shown = []
    goodness = [0.9, WORST, 0.5]
    observations = [(values, each) for (values, _), each in zip(_observations(flat(), 3), goodness, strict=True)]
    _new_values(Sampling(lambda seed: Recorder(seed, shown)), flat(), observations)
    assert [trial.value for trial in shown] == pytest.approx([0.9, 0.1, 0.5])


@pytest.mark.parametrize("space", [flat, conditional])
def test_tpe_that_keeps_what_it_found_out_proposes_what_optunas_does(space):
    ours = Sampling(lambda seed: TPESampler(seed=seed))
    theirs = Sampling(lambda seed: optuna.samplers.TPESampler(seed=seed))
    encoding, observations = Encoding(space()), _observations(space(), 40)

    def is_allowed(values):
        return len(values_key(values)) % 2 == 0  # the study is made anew after most calls

    for number in (12, 13, 25, 40, 20):
        running = [values for values, _ in observations[number - 2 : number]]
        for allowed in (None, is_allowed):
            values = [
                _new_values(each, encoding, observations[: number - 2], running=running, is_allowed=allowed)
                for each in (ours, theirs)
            ]
            assert values[0] == values[1]


def test_study_that_is_kept_gives_what_a_new_one_would():
    kept, observations = Sampling(lambda seed: TPESampler(seed=seed)), _observations(conditional(), 30)
    running, encoding = [observations[-1][0]], Encoding(conditional())
    for number in (12, 13, 20, 15):  # the last one takes some away
        new = Sampling(lambda seed: TPESampler(seed=seed))
        values = [_new_values(each, encoding, observations[:number], running=running) for each in (kept, new)]
        assert values[0] == values[1]


def test_what_is_not_allowed_is_shown_as_the_worst_until_the_call_is_over():
    shown, asked = [], []
    sampling, encoding = Sampling(lambda seed: Recorder(seed, shown)), Encoding(flat())
    observations = _observations(flat(), 3)
    best, worst = (pick(goodness for _, goodness in observations) for pick in (max, min))

    def second_only(values):
        asked.append(values)
        return len(asked) == 2

    assert _new_values(sampling, encoding, observations, is_allowed=second_only) == asked[1]
    assert [trial.value for trial in shown if trial.value is not None][3:] == [pytest.approx(worst - (best - worst))]
    _new_values(sampling, encoding, observations)
    assert len([trial for trial in shown if trial.value is not None]) == 3


def test_sampler_that_finds_nothing_allowed_gives_nothing():
    sampling = Sampling(lambda seed: optuna.samplers.TPESampler(seed=seed))
    assert _new_values(sampling, flat(), _observations(flat(), 12), is_allowed=lambda values: False) is None


def test_running_configurations_are_shown_once():
    shown = []
    sampling, observations = Sampling(lambda seed: Recorder(seed, shown)), _observations(flat(), 3)
    encoding = Encoding(flat())
    for _ in range(2):
        _new_values(sampling, encoding, observations[:2], running=[observations[2][0]])
        assert _states(shown) == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_study_is_only_added_to_whichever_trial_ends_first(monkeypatch):
    """Until then nearly each of several in flight had one made anew, which took four times as long."""
    oracle = ORACLES["tpe"](objective=keras_tuner.Objective("score", "max"), hyperparameters=flat(), max_epochs=9)
    made, empty = [], sampling._empty_study
    monkeypatch.setattr(sampling, "_empty_study", lambda: made.append(empty()) or made[-1])
    assert len(Drive(oracle, 40, SITUATIONS["in-flight"]).proposals) == 40
    assert len(made) == 1


def test_most_observations_are_the_best_half_and_the_newest_half():
    shown = []
    observations = [(values, float(-i)) for i, (values, _) in enumerate(_observations(flat(), 10))]
    _new_values(Sampling(lambda seed: Recorder(seed, shown), most=4), flat(), observations)
    assert [trial.value for trial in shown] == [0.0, -1.0, -8.0, -9.0]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (4, [0, 1, 2, 3]),
        (6, [0, 1, 2, 3, 4, 5]),  # of the first four all, and what is new
        (7, [0, 1, 5, 6]),
        (9, [0, 1, 5, 6, 7, 8]),
        (10, [0, 1, 8, 9]),
    ],
)
def test_observations_are_chosen_again_after_a_block(number, expected):
    shown = []
    observations = [(values, float(-i)) for i, (values, _) in enumerate(_observations(flat(), 10))]
    _new_values(Sampling(lambda seed: Recorder(seed, shown), most=4, block=3), flat(), observations[:number])
    assert [-trial.value for trial in shown] == expected


def test_nothing_is_proposed_where_all_was_tried():
    hp = keras_tuner.HyperParameters()
    hp.Boolean("bias")
    tried = {values_key({"bias": bias}) for bias in (False, True)}
    assert _new_values(Sampling(optuna.samplers.RandomSampler), hp, [], tried=tried) is None


def test_nothing_is_logged_and_the_verbosity_stays(caplog):
    optuna.logging.enable_propagation()
    try:
        with caplog.at_level(logging.INFO):
            _new_values(Sampling(lambda seed: optuna.samplers.TPESampler(seed=seed)), flat(), _observations(flat(), 12))
    finally:
        optuna.logging.disable_propagation()
    assert caplog.records == []
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


@pytest.mark.parametrize("algorithm", ["tpe", "bohb", "cmaes", "nsga2", "priorband", "one-epoch", "asha"])
def test_warm_start_may_hold_what_the_space_does_not(algorithm):
    require_package(algorithm)
    rng = np.random.default_rng(0)
    strange = {"optimizer": "rmsprop", "width": -3, "other": "x"}
    seen = [Seen({**values, **(strange if i % 5 == 0 else {})}, MAX_EPOCHS, float(rng.random()))
            for i, (values, _) in enumerate(_observations(flat(), 25))]  # fmt: skip
    seen.append(Seen({}, 1, WORST))
    oracle = ORACLES[algorithm](
        objective=keras_tuner.Objective("a", "max"), hyperparameters=flat(), max_epochs=MAX_EPOCHS, warm_start=seen
    )
    assert len(Drive(oracle, 12).proposals) == 12


def test_warm_start_moves_the_first_proposals_of_tpe():
    # Random widths lie above 40 with probability 24/61: at least 8 of 10 by chance in 2 of 100 searches.
    seen = [
        Seen({**values, "width": width}, MAX_EPOCHS, float(width))
        for width, (values, _) in zip(range(5, 65), _observations(flat(), 60), strict=True)
    ]
    oracle = ORACLES["tpe"](
        objective=keras_tuner.Objective("a", "max"), hyperparameters=flat(), max_epochs=MAX_EPOCHS, warm_start=seen
    )
    widths = [own(values)["width"] for values in Drive(oracle, 11).proposals[1:]]
    assert sum(width > 40 for width in widths) >= 8


def test_cmaes_begins_anew_where_it_has_converged():
    """Draws near its mean would be tried already, and random ones in their place drive it to NaN."""
    require_package("cmaes")
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0, default=0.5)
    hp.Float("y", 0.0, 1.0, default=0.5)
    oracle = ORACLES["cmaes"](
        objective=keras_tuner.Objective("a", "max"), hyperparameters=hp, max_epochs=MAX_EPOCHS, seed=1
    )
    drive = Drive(oracle, 800, score=lambda values, _: -((values["x"] - 0.3) ** 2) - (values["y"] - 0.3) ** 2)
    points = np.array([[values["x"], values["y"]] for values in drive.proposals])
    assert np.abs(points[200:240] - 0.3).max() < 0.01
    assert np.abs(points - 0.3).max(axis=1)[300:].max() > 0.1
    assert np.all((points >= 0.0) & (points <= 1.0))


@pytest.mark.parametrize(("algorithm", "package"), [("gp", "torch"), ("cmaes", "cmaes")])
def test_missing_package_is_one_line_with_the_command(algorithm, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=f"use: pip install {package}$"):
        ORACLES[algorithm](objective="val_accuracy", max_epochs=3)
