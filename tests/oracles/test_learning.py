"""What the oracles with one model of all learning curves make of scores."""

import copy
import json

import keras_tuner
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from oracles.driving import Drive, Situation, flat, require_package, score_of
from tuner.config import WITH_WARM_START
from tuner.oracles import ORACLES, Bohb, Hyperband, Tpe
from tuner.oracles.freeze_thaw import FEWEST_SEEN, SHARE_ALONE, FreezeThaw
from tuner.oracles.history import Run, Seen
from tuner.oracles.learning import expected_gain, standardised
from tuner.oracles.mobster import Mobster

OBJECTIVE = keras_tuner.Objective("val_accuracy", "max")


class TestStandardised:
    def test_better_is_higher_in_each_rung(self):
        goodness = np.array([0.2, 0.5, 0.4, 0.7, 0.6])
        scores = _standardised(goodness, np.array([1, 1, 1, 3, 3]))
        assert scores[1] > scores[2] > scores[0]
        assert scores[3] > scores[4]
        assert scores.mean() == pytest.approx(0.0)
        assert scores.std() == pytest.approx(1.0)

    def test_rung_at_the_level_of_chance_says_nothing(self):
        """All alike after one epoch: the next rung is as it would be without them."""
        later = np.array([0.3, 0.5, 0.8, 0.1])
        alone = _standardised(later, np.full(4, 3))
        scores = _standardised(np.concatenate([np.full(5, 0.1), later]), np.repeat([1, 3], [5, 4]))
        assert np.ptp(scores[:5]) == 0.0
        gaps, expected = np.diff(scores[5:]), np.diff(alone)
        assert gaps / gaps[0] == pytest.approx(expected / expected[0])

    def test_noise_at_the_level_of_chance_is_not_blown_up_later(self):
        """A tie but for rounding in the lowest rung makes the unit of the next one hardly smaller than its own."""
        later = np.linspace(0.2, 0.8, 30)
        scores = _standardised(np.concatenate([np.full(9, 0.1), [0.1 + 1e-12], later]), np.repeat([1, 3], [10, 30]))
        assert np.ptp(scores[10:]) > np.ptp(scores[:10]) / 3

    def test_what_failed_is_as_bad_as_the_worst(self):
        scores = _standardised(np.array([0.2, 0.5, -np.inf]), np.array([1, 1, 1]))
        assert scores[2] == scores[0]

    def test_scores_are_alike_where_all_have_failed(self):
        assert _standardised(np.array([-np.inf, -np.inf]), np.array([1, 3])).tolist() == [0.0, 0.0]

    @pytest.mark.parametrize("moved", [0.3, -7.0, 0.0])
    def test_level_of_another_study_does_not_matter(self, moved):
        goodness, epochs = np.array([0.5, 0.25, 0.75, 0.375, 0.625]), np.array([1, 1, 3, 1, 3])
        others = np.array([0.125, 0.5, 0.25]) + np.float64(moved)
        scores = standardised(np.append(goodness, others), np.append(epochs, [1, 1, 9]), np.repeat([0, 1], [5, 3]))
        assert scores[6] == scores[0] > scores[5]


def _standardised(goodness, epochs):
    return standardised(goodness, epochs, np.zeros(len(goodness)))


@pytest.mark.parametrize("algorithm", [FreezeThaw, Mobster, Bohb, Tpe])
def test_warm_start_from_data_of_another_level_proposes_the_same(algorithm):
    """The scores are multiples of a power of 2, so that moving them is exact."""
    oracle = algorithm(objective=OBJECTIVE, hyperparameters=flat(), max_epochs=9)
    Drive(oracle, 40, score=_binary)
    known = [(run.values, epochs, score) for run in oracle.history for epochs, score in run.scores.items()]
    first, *others = (_warm(algorithm, [Seen(v, e, s + level) for v, e, s in known]) for level in (0.0, 0.5, -4.0))
    assert others == [first, first]
    assert first != _warm(algorithm, [])


@pytest.mark.parametrize("algorithm", WITH_WARM_START)
def test_search_begins_with_the_best_of_another_study(algorithm):
    """A model that is sure of them need not propose them: there is nothing to be learned."""
    values = [{"optimizer": "sgd", "width": width} for width in (8, 16, 32, 64)]
    seen = [Seen(each, 9, score) for each, score in zip(values, (0.5, 0.9, 0.7, 0.8), strict=True)]
    require_package(algorithm)
    begun = _warm(ORACLES[algorithm], seen)
    assert [each["width"] for each in begun[:4]] == [flat().get("width"), 16, 64, 32]


def test_the_best_run_is_compared_with_the_second_best():
    """With itself, nothing would ever be learned of it."""
    gains = []

    class Spy(FreezeThaw):
        def _rates(self, ends, numbers, begun, means, belief):
            rates = super()._rates(ends, numbers, begun, means, belief)
            best = belief.runs[belief.best]
            gains.extend(rates[:, numbers == best.number].max(axis=0) / rates.max())
            return rates

    Drive(Spy(objective=OBJECTIVE, hyperparameters=flat(), max_epochs=27, begins_whole=False), 60)
    assert len(gains) >= 10
    assert np.median(gains) > 1e-4


def _binary(values, epochs):
    return round(1024 * score_of(values, epochs)) / 1024


def _warm(algorithm, seen):
    """Returns the first proposals of a search that knows another study."""
    oracle = algorithm(objective=OBJECTIVE, hyperparameters=flat(), max_epochs=9, warm_start=seen)
    return Drive(oracle, 48, score=_binary).proposals


def test_expected_gain_is_the_mean_of_what_is_above_zero():
    """False alarm: the mean of 400,000 draws is off by more than five of its deviations, 6e-7."""
    draws = np.random.default_rng(0).normal([0.3, -1.0], [0.5, 2.0], (400_000, 2)).clip(min=0.0)
    found = expected_gain(np.array([0.3, -1.0]), np.array([0.5, 2.0]))
    assert np.all(np.abs(found - draws.mean(axis=0)) < 5 * draws.std(axis=0) / 400_000**0.5)


@pytest.mark.parametrize("algorithm", [FreezeThaw, Mobster])
def test_ask_that_comes_to_nothing_leaves_no_fit(algorithm):
    """A search that goes on asks only for the trials that there were, and must find the scales that they came from."""
    kept = []

    class Spy(algorithm):
        def populate_space(self, trial_id):
            before, self.has_learned = self.get_state()["surrogate"], False
            response = super().populate_space(trial_id)
            if response["status"] != "RUNNING" and self.has_learned:
                kept.append(self.get_state()["surrogate"] == before)
            return response

        def _learn(self):
            self.has_learned = True
            return super()._learn()

    for in_flight in (3, 8):
        Drive(Spy(objective=OBJECTIVE, hyperparameters=_few(), max_epochs=9), 200, Situation(in_flight=in_flight))
    assert kept
    assert all(kept)


@pytest.mark.parametrize("algorithm", [FreezeThaw, Mobster])
def test_scales_are_fitted_anew_where_the_space_grows_by_one_value(algorithm):
    """In an oracle that has read its state, too: the scales are as many as before."""
    oracle, again = (algorithm(objective=OBJECTIVE, hyperparameters=flat(), max_epochs=9) for _ in range(2))
    Drive(oracle, 24)
    trial = oracle.create_trial("worker")
    trial.hyperparameters.Fixed("extra", 1)
    trial.status = "FAILED"
    oracle.end_trial(trial)
    again.trials = copy.deepcopy(oracle.trials)
    again.set_state(json.loads(json.dumps(oracle.get_state())))
    proposed = [Drive(each, 12).proposals for each in (oracle, again)]
    assert proposed[0] == proposed[1]


def _few():
    """Twelve configurations, so that no new one is left while the last ones run."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["sgd", "adam", "lion"])
    hp.Int("width", 1, 4)
    return hp


def test_proposal_takes_one_thread_of_linear_algebra_and_gives_the_others_back():
    seen = []

    class Spy(Mobster):
        def populate_space(self, trial_id):
            seen.append(_threads())
            return super().populate_space(trial_id)

    with threadpool_limits(2, user_api="blas"):
        Spy(objective=OBJECTIVE, hyperparameters=flat(), max_epochs=9).create_trial("tuner0")
        assert (seen, _threads()) == ([{1}], {2})


def _threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("algorithm", [FreezeThaw, Mobster])
class TestBeginning:
    """The default goes to the full budget at once where that is allowed and there is time."""

    @staticmethod
    def _first(algorithm, **options):
        oracle = algorithm(objective=OBJECTIVE, hyperparameters=flat(), max_epochs=9, **options)
        return oracle, lambda: oracle.create_trial("tuner0").hyperparameters.values["tuner/epochs"]

    @pytest.mark.parametrize(
        ("options", "epochs"),
        [
            ({}, 9),
            ({"max_total_epochs": 9}, 9),
            ({"max_total_epochs": 8}, 1),
            ({"max_total_epochs": 99, "begins_whole": False}, 1),
        ],
    )
    def test_as_many_epochs_as_are_allowed(self, algorithm, options, epochs):
        oracle, first = self._first(algorithm, **options)
        assert oracle.schedule(99)[0].epochs == epochs
        assert first() == epochs

    @pytest.mark.parametrize(("default", "epochs"), [(None, 1), (0.001, 1), (0.01, 9)])
    def test_only_a_default_that_somebody_chose(self, algorithm, default, epochs):
        hp = keras_tuner.HyperParameters()
        oracle = algorithm(objective=OBJECTIVE, hyperparameters=hp, max_epochs=9)
        hp.Choice("optimizer", ["sgd", "adam"])  # as a stock tuner, which builds its first model later
        hp.Int("width", 4, 64)
        hp.Boolean("augment")
        hp.Fixed("stages", 3)
        hp.Float("learning_rate", 0.001, 0.1, sampling="log", default=default)
        assert oracle.create_trial("tuner0").hyperparameters.values["tuner/epochs"] == epochs

    def test_one_epoch_where_there_is_no_time(self, algorithm):
        oracle, first = self._first(algorithm)
        oracle.hurry()
        assert first() == 1


def _proposals(score, trials, **options):
    """Returns the values of the trials of freeze-thaw, with 27 epochs to the end."""
    oracle = FreezeThaw(objective=OBJECTIVE, hyperparameters=flat(), max_epochs=27, **options)
    return Drive(oracle, trials, score=score).proposals


def test_without_a_chosen_default_the_first_at_the_end_is_one_of_many():
    """The epochs of the one that is thought the best are at most `SHARE_ALONE` of all when it gets there."""
    proposals = _proposals(score_of, 100, begins_whole=False)
    first = next(place for place, values in enumerate(proposals) if values["tuner/epochs"] == 27)
    spent = sum(values["tuner/epochs"] - values["tuner/initial_epoch"] for values in proposals[: first + 1])
    assert spent >= 26 / SHARE_ALONE


@pytest.mark.parametrize(("epochs", "planned"), [(108, 28), (216, 65)])
def test_plan_is_about_what_happens(epochs, planned):
    options = {"objective": OBJECTIVE, "hyperparameters": flat(), "max_epochs": 27, "max_total_epochs": epochs}
    assert sum(rung.trials for rung in FreezeThaw(**options).schedule()) == planned
    made = len(Drive(FreezeThaw(**options), 1000, score=score_of).proposals)
    assert planned / 1.5 < made < planned * 1.5


class TestLowestRung:
    """Freeze-thaw begins where scores tell configurations apart."""

    @staticmethod
    def _begun(score, trials=16):
        """Returns the epochs with which each of the new runs began."""
        return [values["tuner/epochs"] for values in _proposals(score, trials) if not values["tuner/initial_epoch"]]

    def test_it_is_the_first_where_scores_differ(self):
        assert self._begun(score_of)[:10] == [27] + 9 * [1]

    @pytest.mark.parametrize("level", [0.1, -2.3])
    def test_it_is_a_higher_one_where_all_are_at_the_level_of_chance(self, level):
        def score(values, epochs):
            return level + (0 if epochs == 1 else 1 + score_of(values, epochs) / 2)

        begun = self._begun(score)
        assert begun[: 2 + FEWEST_SEEN] == [27, *FEWEST_SEEN * [1], 3]
        assert 1 not in begun[1 + FEWEST_SEEN :]

    def test_it_is_below_the_full_budget(self):
        begun = self._begun(lambda values, epochs: float(epochs == 27), trials=24)
        assert begun == [27, *FEWEST_SEEN * [1], *FEWEST_SEEN * [3], *[9] * (len(begun) - 1 - 2 * FEWEST_SEEN)]


def test_what_takes_seconds_to_measure_is_asked_for_few_configurations():
    class Allowed:
        """As the limit on a latency, which is measured."""

        measured = 0

        def __call__(self, values):
            self.measured += 1
            return self.quickly(values) and values["dropout"] < 0.4

        def quickly(self, values):
            return values["width"] < 60

    allowed = Allowed()
    options = {"objective": OBJECTIVE, "hyperparameters": flat(), "max_epochs": 9}
    drive = Drive(FreezeThaw(**options, is_allowed=allowed), 40)
    assert all(values["dropout"] < 0.4 and values["width"] < 60 for values in drive.proposals)
    assert allowed.measured < 6 * len(drive.proposals)  # not the hundreds of candidates of each


@pytest.mark.parametrize(
    ("first", "begins"),
    [
        ((0.1, 0.3, 0.5, 0.7), 1),
        ((0.10, 0.12, 0.14, 0.16), 3),  # 0.03 apart, of 0.77 that the best has gained since
        ((0.10, 0.18, 0.22, 0.30), 1),  # 0.08 apart, of 0.70
        ((0.1, 0.1, 0.1), 1),  # too few to say
    ],
)
def test_runs_begin_at_the_lowest_rung_that_tells_them_apart(first, begins):
    oracle = FreezeThaw(objective=OBJECTIVE, hyperparameters=flat(), max_epochs=9)
    tried = [Run(number, {}, "", scores={1: score}) for number, score in enumerate(first, start=1)]
    oracle.history.runs = tried
    assert oracle.start_epochs == 1  # as long as nobody has got to the end
    oracle.history.runs = [Run(0, {}, "", scores={9: 0.9}), *tried]
    assert oracle.start_epochs == begins


def test_what_the_budget_refuses_has_cost_nothing():
    """Until then a search that was asked once more, or given more epochs, went on otherwise."""
    for seed in range(3):
        options = {"objective": OBJECTIVE, "hyperparameters": flat(), "max_epochs": 9, "seed": seed}
        drive, through = (Drive(FreezeThaw(**options, max_total_epochs=most), 500) for most in (60, 120))
        for worker in "abc":
            assert drive.oracle.create_trial(worker).status == "STOPPED"
        drive.oracle.max_total_epochs = 120
        drive.go_on(500)
        assert drive.proposals == through.proposals


@pytest.mark.parametrize("kind", [FreezeThaw, Mobster, Hyperband])
def test_only_the_default_goes_to_the_full_budget_at_once(kind):
    """And not what comes in its place where constraints leave it out."""
    options = {"objective": OBJECTIVE, "hyperparameters": flat(), "max_epochs": 9}
    (values,) = Drive(kind(**options, is_allowed=lambda values: values["width"] != 16), 1).proposals
    assert values["tuner/epochs"] < 9
    (values,) = Drive(kind(**options), 1).proposals
    assert values["tuner/epochs"] == 9
