"""A trial begins only where it still fits into the time and the epochs."""

import dataclasses
import types

import pytest
from samples import a_record

from tuner.budget import SAFETY, Budget, Limits
from tuner.messages import Measurement
from tuner.records import DIVERGED, FAILED, RUNNING, TIMED_OUT

MACS = 1000
RECORD = a_record(epochs=2, macs=MACS, curve={"epoch": [1, 2]}, seconds=10.0, order=0)
RUNS = dataclasses.replace(RECORD, status=RUNNING, epochs=5, initial_epoch=2, curve={}, order=None)
MEASURED = Measurement(start_seconds=3.0, epoch_seconds=2.0)


@pytest.fixture
def now(monkeypatch):
    """A clock that a test sets."""
    now = [1000.0]
    monkeypatch.setattr("tuner.budget.time", types.SimpleNamespace(monotonic=lambda: now[0]))
    return now


def _budget(*, measured=None, **limits):
    return Budget(Limits(**limits), began=1000.0, measured=measured)


@pytest.mark.usefixtures("now")
def test_without_limits_nothing_is_refused():
    budget = _budget()
    assert (budget.seconds_left(), budget.epochs_left([RECORD])) == (None, None)
    assert budget.refusal(epochs=10**9, macs=10**15, held=[RECORD]) == ""


def test_time_left_counts_from_the_beginning(now):
    budget = _budget(seconds=60.0)
    now[0] += 45.0
    assert budget.seconds_left() == 15.0
    now[0] += 45.0
    assert budget.seconds_left() == -30.0


def test_epochs_left_are_those_that_were_not_begun_also_where_a_trial_ended_early():
    stopped = dataclasses.replace(RECORD, epochs=1, target=9, curve={"epoch": [1]})
    diverged = dataclasses.replace(RECORD, epochs=9, status=DIVERGED, curve={"epoch": [1, 2, 3]})
    failed = dataclasses.replace(RECORD, epochs=9, status=FAILED, curve={})
    assert _budget(total_epochs=20).epochs_left([RECORD, RUNS, stopped, diverged, failed]) == 20 - 2 - 3 - 9 - 9 - 9


@pytest.mark.parametrize(("epochs", "reason"), [(3, ""), (4, "--total-epochs 5 is reached")])
def test_trial_of_more_epochs_than_are_left_is_refused(epochs, reason):
    assert _budget(total_epochs=5).refusal(epochs=epochs, macs=MACS, held=[RECORD]) == reason


@pytest.mark.parametrize("seconds", [1, -1])
def test_trial_that_would_not_end_in_time_is_refused(seconds, now):
    # 5 s an epoch before: 3 of them and the start of a network.
    budget = _budget(seconds=SAFETY * (3 * 5.0 + 3.0) + seconds, measured=MEASURED)
    refusal = budget.refusal(epochs=3, macs=MACS, held=[RECORD])
    expected = "--time-limit is reached: the next trial, 3 epochs, would not end in time"
    assert refusal == ("" if seconds > 0 else expected)


@pytest.mark.parametrize(("macs", "is_refused"), [(MACS, False), (3 * MACS, True)])
def test_trial_of_a_larger_network_is_refused_where_one_of_a_known_size_fits(macs, is_refused, now):
    budget = _budget(seconds=SAFETY * 10.0)  # 5 s an epoch before
    assert bool(budget.refusal(epochs=1, macs=macs, held=[RECORD])) == is_refused
    assert bool(budget.lateness(epochs=1, macs=macs, held=[RECORD])) == is_refused


@pytest.mark.parametrize(("seconds", "is_refused"), [(19, True), (20, False)])
def test_trial_is_begun_where_it_may_take_a_tenth_longer(seconds, is_refused, now):
    budget = _budget(seconds=seconds, measured=MEASURED)
    assert bool(budget.refusal(epochs=3, macs=MACS, held=[RECORD])) == is_refused  # 3 times 5 s, and 3 s to start


@pytest.mark.parametrize(("seconds", "is_short"), [(SAFETY * 11 + 1, False), (SAFETY * 11 - 1, True)])
def test_time_is_short_where_the_measured_epochs_do_not_fit(seconds, is_short, now):
    assert _budget(seconds=seconds, measured=MEASURED).is_short(epochs=4) == is_short


def test_time_is_never_short_without_a_limit():
    assert not _budget(measured=MEASURED).is_short(epochs=10**9)


def test_before_any_trial_the_measurement_counts():
    assert _budget(measured=MEASURED).expected_seconds(epochs=4, macs=10**9, held=[]) == SAFETY * (4 * 2.0 + 3.0)
    assert _budget(measured=MEASURED).expected_seconds(epochs=4, macs=1, held=[RUNS]) == SAFETY * (4 * 2.0 + 3.0)


def test_larger_network_is_expected_to_take_longer_and_a_smaller_one_no_less_than_the_fastest():
    budget = _budget()
    assert budget.expected_seconds(epochs=1, macs=3 * MACS, held=[RECORD]) == pytest.approx(SAFETY * 15.0)
    fast = dataclasses.replace(RECORD, macs=MACS, seconds=4.0)
    assert budget.expected_seconds(epochs=1, macs=1, held=[RECORD, fast]) == pytest.approx(SAFETY * 2.0)


def test_one_slow_trial_does_not_count():
    slow = dataclasses.replace(RECORD, seconds=10_000.0)
    expected = _budget().expected_seconds(epochs=1, macs=MACS, held=[RECORD, slow, RECORD])
    assert expected == pytest.approx(SAFETY * 5.0)


def test_trials_that_did_not_complete_say_nothing_of_the_time():
    diverged = dataclasses.replace(RECORD, status=DIVERGED, seconds=0.001)
    budget = _budget(measured=MEASURED)
    assert budget.expected_seconds(epochs=1, macs=MACS, held=[diverged]) == SAFETY * (2.0 + 3.0)


def test_trial_that_ran_out_of_time_says_how_long_its_epochs_take():
    late = dataclasses.replace(RECORD, status=TIMED_OUT)
    budget = _budget(measured=MEASURED)
    expected = budget.expected_seconds(epochs=1, macs=MACS, held=[RECORD])
    assert budget.expected_seconds(epochs=1, macs=MACS, held=[late]) == expected != SAFETY * (2.0 + 3.0)


@pytest.mark.parametrize("curve", [{}, {"epoch": []}])
def test_trial_that_ran_out_of_time_in_its_first_epoch_says_nothing_of_the_time(curve):
    late = dataclasses.replace(RECORD, status=TIMED_OUT, curve=curve)
    budget = _budget(measured=MEASURED)
    assert budget.expected_seconds(epochs=1, macs=MACS, held=[late]) == SAFETY * (2.0 + 3.0)


def test_epochs_are_refused_before_time():
    budget = _budget(seconds=1e-9, total_epochs=1)
    assert budget.refusal(epochs=2, macs=MACS, held=[]).startswith("--total-epochs")
