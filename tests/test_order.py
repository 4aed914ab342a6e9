"""In the fixed order a search is the same whichever worker answers first, whichever dies, and whenever it is killed."""

import dataclasses
import functools
import random
import types

import pytest
from fakes import (
    CONFIG,
    SMALL,
    SMALL_WRITES,
    FakeCrew,
    FakeWorker,
    Search,
    curve_of,
    impatient,
    stock_oracle,
    wide,
    without_times,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import a_record

from tuner.budget import Budget, Limits
from tuner.crew import Event
from tuner.messages import Progress
from tuner.order import OVERHEAD_MACS, FixedOrder
from tuner.records import COMPLETED, DIVERGED, FAILED, RUNNING

RECORD = a_record(epochs=9, status=RUNNING, macs=0)


def _decisions(held):
    """What an order decides: which trials there are, their scores, and the order in which they ended."""
    return without_times(held)


@pytest.fixture
def fresh(tmp_path_factory):
    """Makes a new, empty search."""
    return functools.partial(_fresh, tmp_path_factory)


def _fresh(tmp_path_factory, config=CONFIG, **options):
    return Search(tmp_path_factory.mktemp("fixed") / "search", config, **options)


KINDS = {
    "hyperband": {"config": CONFIG},
    "stock hyperband": {"config": CONFIG, "oracle": stock_oracle},
    "random": {"config": dataclasses.replace(SMALL, algorithm="random", trials=9)},
    "bayesian": {"config": dataclasses.replace(SMALL, algorithm="bayesian", trials=6)},
    "stopped by the oracle": {"config": SMALL, "oracle": impatient},
}


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_the_answers_changes_nothing(kind, fresh):
    outcomes = [
        _decisions(fresh(**KINDS[kind]).run(crew=FakeCrew(3, seed=seed), order=FixedOrder())) for seed in range(5)
    ]
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_without_the_fixed_order_the_answers_decide(fresh):
    outcomes = [_decisions(fresh().run(crew=FakeCrew(3, seed=seed))) for seed in range(5)]
    assert any(outcome != outcomes[0] for outcome in outcomes)


def test_search_goes_on_with_fewer_workers(fresh):
    """Until then it waited for ever for a trial that waited for a worker."""
    search = fresh()
    search.kill(5, crew=FakeCrew(3), order=FixedOrder())
    assert sum(record.status == RUNNING for record in search.study().records()) > 1
    held = search.run(crew=FakeCrew(1), order=FixedOrder())
    assert {record.status for record in held} == {COMPLETED}


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), silent=st.floats(0, 0.9), data=st.data())
def test_search_killed_anywhere_ends_the_same(seed, silent, data, tmp_path_factory):
    through, killed = _fresh(tmp_path_factory), _fresh(tmp_path_factory)
    expected = _decisions(through.run(crew=FakeCrew(3), order=FixedOrder()))
    for _ in range(2):
        writes = data.draw(st.integers(0, 58), label="writes")
        saves = data.draw(st.booleans(), label="saves")
        killed.kill(
            writes,
            crew=FakeCrew(3, seed=seed, silent=silent, make=lambda saves=saves: FakeWorker(saves=saves)),
            order=FixedOrder(),
        )
    assert _decisions(killed.run(crew=FakeCrew(3, seed=seed + 1), order=FixedOrder())) == expected


def _ends(status):
    """Wide networks end in their second epoch: without a value for it, as a time-out does, or with one."""
    return lambda task, epoch: (status, str(task.seed)) if wide(task) and epoch == 2 else None


WORKERS = {
    "plain": FakeWorker,
    "saves": lambda: FakeWorker(saves=True),
    "diverges": lambda: FakeWorker(diverges=wide),
    "fails": lambda: FakeWorker(ends=_ends(FAILED), saves=True),
    "times out": lambda: FakeWorker(ends=_ends("timed out"), saves=True),
}


@pytest.mark.parametrize("make", WORKERS.values(), ids=WORKERS)
@pytest.mark.parametrize("writes", range(0, 60, 6))
def test_search_killed_after_some_writes_ends_the_same(writes, make, fresh):
    config = dataclasses.replace(CONFIG, algorithm="random", trials=8)
    expected = _decisions(fresh(config).run(crew=FakeCrew(3, make=make), order=FixedOrder()))
    search = fresh(config)
    total = 2 * len(expected) + sum(len(record.curve.get("epoch", [])) for record in expected)
    search.kill(min(writes, total - 1), crew=FakeCrew(3, seed=writes, make=make), order=FixedOrder())
    assert _decisions(search.run(crew=FakeCrew(3, seed=1, make=make), order=FixedOrder())) == expected


@pytest.mark.parametrize("writes", range(SMALL_WRITES))
def test_hyperband_killed_after_any_write_ends_the_same(writes, fresh):
    expected = _decisions(fresh(SMALL).run(crew=FakeCrew(2), order=FixedOrder()))
    search = fresh(SMALL)
    search.kill(writes, crew=FakeCrew(2, seed=writes), order=FixedOrder())
    assert _decisions(search.run(crew=FakeCrew(2, seed=writes + 1), order=FixedOrder())) == expected


@pytest.mark.parametrize("writes", range(0, 14, 2))
def test_trials_that_the_oracle_stops_end_the_same_after_a_kill(writes, fresh):
    expected = _decisions(fresh(oracle=impatient).run(crew=FakeCrew(2), order=FixedOrder()))
    search = fresh(oracle=impatient)
    search.kill(min(writes, 11), crew=FakeCrew(2, seed=writes), order=FixedOrder())
    assert _decisions(search.run(crew=FakeCrew(2, seed=writes + 1), order=FixedOrder())) == expected


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_death_of_workers_changes_nothing(seed, saves, fresh):
    expected = _decisions(fresh().run(crew=FakeCrew(3), order=FixedOrder()))
    chance = random.Random(seed)
    crew = FakeCrew(3, seed=seed, make=lambda: FakeWorker(saves=saves), dies=lambda *_: chance.random() < 0.1)
    budget = Budget(Limits(retries=10_000), began=0.0)
    held = fresh().run(crew=crew, order=FixedOrder(), budget=budget)
    assert len(crew.begun) > len(
        held
    )  # none of 72 answers or more is a death: once in 2,000 seeds, and these have some
    assert _decisions(held) == expected


def test_slow_trials_take_no_part_in_the_count_of_seconds(fresh):
    """Work is counted in multiply-accumulates: the same decisions whatever the clock says."""
    first = fresh().run(crew=FakeCrew(2, silent=0.0), order=FixedOrder())
    slow = FakeCrew(2, silent=0.0)
    slow.random.choice = max  # the second worker answers for as long as it has anything to say
    assert _decisions(fresh().run(crew=slow, order=FixedOrder())) == _decisions(first)
    assert all(record.curve == curve_of(record) for record in first)


def _event(trial, *epochs, status=RUNNING):
    return Event(trial, "w", Progress(status=status, curve={"epoch": list(epochs)}, seconds=0.0))


def _records(*sizes):
    return [dataclasses.replace(RECORD, trial=n, macs=size * OVERHEAD_MACS) for n, size in enumerate(sizes)]


def _order(records):
    order = FixedOrder()
    for record in records:
        order.begin(record)
    return order


def _drain(order, records, arriving):
    """Returns the trials in the order in which their epochs are taken, when they arrive in the order given."""
    told, taken = dict.fromkeys(range(len(records)), 0), []
    arriving = iter(arriving)
    for _ in range(100):
        running = {r.trial: (r, told[r.trial]) for r in records if told[r.trial] < 3}
        event = order.next(running, lambda: next(arriving, None))
        if event:
            told[event.trial] = int(event.progress.curve["epoch"][-1])
            taken.append((event.trial, told[event.trial]))
    return taken


def test_turns_follow_the_work_and_not_the_arrival():
    records = _records(0, 2)  # an epoch of the second costs three of the first
    events = [_event(0, 1), _event(0, 2), _event(0, 3), _event(1, 1), _event(1, 2), _event(1, 3)]
    expected = [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert _drain(_order(records), records, events) == expected
    assert _drain(_order(records), records, [events[3], *events[:3], *events[4:]]) == expected


def test_equal_turns_are_taken_by_number():
    records = _records(1, 1)
    assert _drain(_order(records), records, [_event(1, 1), _event(0, 1)]) == [(0, 1), (1, 1)]


def test_epochs_told_at_once_have_the_turn_of_the_last():
    records = _records(1, 1)
    events = [_event(0, 1, 2, 3), _event(1, 1), _event(1, 2), _event(1, 3)]
    assert _drain(_order(records), records, events) == [(1, 1), (1, 2), (0, 3), (1, 3)]


def test_nothing_is_taken_before_its_turn_and_the_wait_is_counted(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("tuner.order.time.monotonic", lambda: now[0])
    records = _records(0, 5)
    order = _order(records)
    running = {r.trial: (r, 0) for r in records}
    assert order.next(running, lambda: _event(1, 1)) is None
    now[0] = 7.0
    assert order.next(running, lambda: None) is None
    assert order.next(running, lambda: _event(0, 1, status=COMPLETED)).trial == 0
    event = order.next({1: running[1]}, lambda: pytest.fail("what has arrived is not waited for"))
    assert event.trial == 1
    assert order.waited == 7.0


def test_what_waits_for_its_turn_has_been_heard():
    records = _records(0, 5)
    order = _order(records)
    order.next({r.trial: (r, 0) for r in records}, lambda: _event(1, 1))
    assert [order.has_heard(trial) for trial in (0, 1)] == [False, True]
    order.next({1: (records[1], 0)}, lambda: None)
    assert not order.has_heard(1)


@pytest.mark.parametrize("stuck", [0, 1, 2])
def test_worker_that_does_not_answer_is_replaced_and_none_that_waits_for_it(stuck, fresh, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("tuner.executor.time", types.SimpleNamespace(monotonic=lambda: now[0]))
    crew = FakeCrew(3, silent=0)
    crew.hang(stuck, lambda: now.__setitem__(0, now[0] + 1.0))
    held = fresh().run(crew=crew, order=FixedOrder(), budget=Budget(Limits(trial_seconds=60.0), began=0.0))
    assert [record.trial for record in held if record.status == "timed out"] == [stuck]
    assert {record.status for record in held if record.trial != stuck} == {COMPLETED}
    assert len(crew.replaced) == 1


def test_trial_begins_where_the_last_one_ended():
    first, second = _records(0, 9)
    order = _order([first, second])
    order.end(dataclasses.replace(first, status=DIVERGED, curve={"epoch": [1, 2, 3]}))
    third = dataclasses.replace(first, trial=2)
    order.begin(third)
    running = {1: (second, 0), 2: (third, 0)}
    arriving = iter([_event(1, 1), _event(2, 1)])
    # The third begins at 3 and its first epoch ends at 4, the second's at 10.
    events = [order.next(running, lambda: next(arriving, None)) for _ in range(2)]
    assert [event and event.trial for event in events] == [None, 2]
