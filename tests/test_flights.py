"""A trial flies to the worker that has its network, and what does not answer is noticed."""

import dataclasses

import pytest
from samples import a_record

from tuner.flights import HANGING_FACTOR, HANGING_SECONDS, Flights
from tuner.records import RUNNING

RECORD = a_record(status=RUNNING)
CHILD = dataclasses.replace(RECORD, trial=1, parent=0, epochs=3)


@pytest.fixture
def flights():
    """Trial 0 has ended on worker b."""
    flights = Flights()
    flights.launch(RECORD, ["b"], now=0.0)
    flights.land(0)
    return flights


@pytest.mark.parametrize(("free", "worker"), [("ab", "b"), ("ac", "a")])
def test_promotion_goes_to_the_worker_of_its_parent_if_that_is_free(free, worker, flights):
    flight = flights.launch(CHILD, list(free), now=7.0)
    assert (flight.worker, flight.record.worker, flight.launched, flight.asked) == (worker, worker, 7.0, 7.0)


def test_trial_that_lost_its_worker_goes_where_it_was_before_where_its_parent_was(flights):
    flights.launch(CHILD, ["c"], now=1.0)
    flights.land(1)
    assert flights.launch(CHILD, ["a", "b", "c"], now=2.0).worker == "c"


def test_trials_in_flight_are_those_that_were_launched_and_have_not_landed(flights):
    assert len(flights) == 0
    first, second = flights.launch(CHILD, ["a"], now=1.0), flights.launch(RECORD, ["b"], now=2.0)
    assert [*flights] == [first, second]
    assert flights[1] is first
    flights.land(1)
    flights.land(1)
    assert [*flights] == [second]


def test_deaths_are_counted_by_trial(flights):
    assert [flights.lose(0), flights.lose(0), flights.lose(1)] == [1, 2, 1]


def test_flight_is_overdue_long_after_it_was_last_asked(flights):
    late, other = flights.launch(RECORD, ["a"], now=0.0), flights.launch(CHILD, ["b"], now=0.0)
    other.asked = 50.0
    last = 60.0 * HANGING_FACTOR + HANGING_SECONDS
    assert flights.overdue(60.0, now=last) == []
    assert flights.overdue(60.0, now=last + 1.0) == [late]
