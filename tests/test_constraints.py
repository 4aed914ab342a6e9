"""Limits on networks: what keeps them, how much of a space that is, and what is said where nothing does."""

import math

import keras_tuner
import pytest

from tuner import constraints, search
from tuner.constraints import Constraints, survey
from tuner.declaration import declare
from tuner.errors import UsageError
from tuner.finding import find_study
from tuner.hypermodel import SEResNetHyperModel
from tuner.sizes import Sizes, architecture_values
from tuner.space import load_space


def _tiny():
    return declare(load_space("tiny"))


def _sizes(space="tiny"):
    return Sizes(SEResNetHyperModel(space, (8, 8, 1), 10, 3, 18))


class FakeLatency(Sizes):
    """A network takes a millisecond a channel; counts how often it is measured."""

    measured = 0

    def _measured(self, values):
        self.measured += 1
        return float(values["width"])


@pytest.fixture
def latencies():
    return FakeLatency(SEResNetHyperModel("tiny", (8, 8, 1), 10, 3, 18))


def test_configuration_is_allowed_up_to_the_limit_itself():
    sizes, values = _sizes(), _tiny().values
    for name in ("params", "macs"):
        most = sizes.of(values, name)
        assert Constraints({name: most}, sizes).predicate(values)
        assert not Constraints({name: most - 1}, sizes).predicate(values)


def test_without_limits_there_is_nothing_to_ask_or_say():
    assert Constraints({}, _sizes()).predicate is None
    assert Constraints({}, _sizes()).settle(_tiny(), []) == []


def test_learning_rate_asks_for_no_new_network():
    assert architecture_values({"width": 8, "learning_rate": 0.1, "optimizer": "sgd"}) == {"width": 8}


def test_latency_is_measured_once_for_a_network_that_keeps_the_other_limits(latencies):
    allowed = Constraints({"latency": 4.0, "params": 3000}, latencies).predicate
    found = {
        (width, rate): allowed({"stages": 2, "width": width, "learning_rate": rate})
        for width in (4, 100)
        for rate in (0.1, 0.2)
    }
    assert latencies.measured <= 1
    assert not any(found[100, rate] for rate in (0.1, 0.2))


def test_share_of_a_small_space_is_counted():
    hp, sizes = _tiny(), _sizes()
    every = survey(hp, sizes)
    assert every.is_all
    assert len(every.drawn) == 4
    costs = sorted(sizes.of(values, "params") for values in every.drawn)
    lines = Constraints({"params": costs[1]}, sizes).settle(hp, [])
    assert lines == [
        "Feasible  2 of 4 networks (50.0%) keep --max-params 1.51k",
        "Default   not tried: it has 5.46k params, which breaks --max-params 1.51k",
    ]
    assert len(Constraints({"params": costs[-1]}, sizes).settle(hp, [])) == 1


def test_share_of_a_large_space_is_that_of_a_sample():
    hp = declare(load_space("medium"))  # 3,456 networks
    found = survey(hp, _sizes("medium"))
    assert not found.is_all
    assert len(found.drawn) == constraints.MOST_NETWORKS
    assert "of 2,000 networks drawn" in found.line({"params": 10**6})
    # The smallest is a corner, which a sample may miss.
    sizes = _sizes("medium")
    least = {"stages": 3, "blocks_1": 2, "blocks_2": 2, "blocks_3": 2, "width": 16, "se_ratio": 0}
    found.check({"params": sizes.of(least, "params")})
    with pytest.raises(UsageError, match=rf"of 2,\d\d\d seen has {sizes.of(least, 'params'):.0f} params"):
        found.check({"params": sizes.of(least, "params") - 1})


def test_value_that_is_named_admits_something():
    found = survey(_tiny(), _sizes())
    with pytest.raises(UsageError, match="--max-params 1k admits no network of the space: the smallest of all 4") as no:
        found.check({"params": 1000})
    least = int(str(no.value).partition(" has ")[2].split()[0])
    found.check({"params": least})


def test_limits_that_exclude_one_another_are_told_apart():
    sizes = _sizes()
    found = survey(_tiny(), sizes)
    macs = min(sizes.of(values, "macs") for values in found.drawn)
    with pytest.raises(UsageError, match=r"--max-macs .* admits no network of the space that keeps --max-params 3k"):
        found.check({"params": 3000, "macs": macs - 1})


def test_limits_that_no_network_keeps_together_are_refused():
    class Opposite:
        """Narrow networks have few weights, wide ones few multiply-accumulates."""

        def of(self, values, name):
            return values["width"] if name == "params" else 20 - values["width"]

    found = constraints.Survey([{"width": 4}, {"width": 16}], [], True, Opposite())
    message = "--max-macs 5 admits no network of the space that keeps --max-params 5: the smallest of all 1 has 16 macs"
    with pytest.raises(UsageError, match=message):
        found.check({"params": 5, "macs": 5})
    found.check({"params": 5, "macs": 16})
    found.check({"params": 16, "macs": 5})


def test_few_networks_are_measured_to_see_that_none_is_fast_enough(latencies):
    with pytest.raises(UsageError, match="the smallest of 3 seen has 4 ms; allow at least that"):
        survey(_tiny(), latencies).check({"latency": 3.5})
    assert latencies.measured == 3
    survey(_tiny(), latencies).check({"latency": 4.0})


def test_queue_that_breaks_a_limit_is_refused_with_its_number():
    queue = [{**_tiny().values, "width": 4}, _tiny().values]
    with pytest.raises(UsageError, match=r"Configuration 2 of --enqueue has 5\.46k params, which breaks"):
        Constraints({"params": 3000}, _sizes()).settle(_tiny(), queue)


def test_networks_are_those_of_the_values_that_decide_whether_others_count():
    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["sgd", "adam"])
    with hp.conditional_scope("optimizer", ["adam"]):
        hp.Choice("width", [8, 16])
    hp.Float("learning_rate", 0.1, 1.0)
    found = survey(hp, _sizes())
    assert [values.get("width") for values in found.drawn].count(None) == 1
    assert len(found.drawn) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("digits")
@pytest.mark.parametrize("algorithm", ["hyperband", "tpe", "auto"])
def test_no_trial_of_a_search_breaks_a_limit(algorithm, tmp_path, capsys):
    line = f"--space tiny --algorithm {algorithm} --max-params 3k --max-macs 40k --total-epochs 11 --study limited"
    assert search.main([*line.split(), "--workers", "0", "--quiet", "--results-dir", str(tmp_path)]) == 0
    assert "Default   not tried: it has 5.46k params" in capsys.readouterr().out
    records = find_study(tmp_path, "limited").records()
    assert 9 <= sum(record.epochs - record.initial_epoch for record in records) <= 11
    assert all(record.params <= 3000 and record.macs <= 40_000 for record in records)
    assert {record.hyperparameters["width"] for record in records} == {4}


@pytest.mark.parametrize("better", ["max", "min"])
def test_costs_count_for_nothing_at_the_largest_network_that_is_allowed(better):
    objectives, sizes, hp = {"score": better, "params": "min"}, _sizes(), _tiny()
    worst = 0.0 if better == "max" else math.log(10)
    largest = survey(hp, sizes).largest("params")
    assert Constraints({}, sizes).reference(hp, objectives, classes=10) == {"score": worst, "params": largest}
    limited = Constraints({"params": largest - 1}, sizes).reference(hp, objectives, classes=10)
    assert limited == {"score": worst, "params": largest - 1}
    assert Constraints({}, sizes).reference(hp, {"score": better}, classes=10) == {}
