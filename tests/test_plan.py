"""The plan of a search: its trials, its time and its disk, before any of it is spent."""

import dataclasses

import pytest

from tuner.messages import Measurement
from tuner.oracles.moves import Rung
from tuner.plan import Plan

PLAN = Plan([Rung(3, 0, 1), Rung(1, 1, 3), Rung(2, 0, 3)], Measurement(start_seconds=2.0, epoch_seconds=0.5))


def test_plan_counts_what_will_be_trained():
    assert (PLAN.trials, PLAN.configurations, PLAN.epochs, PLAN.seconds) == (6, 5, 11, 5 * 2.0 + 11 * 0.5)


def test_plan_is_four_lines():
    lines = dataclasses.replace(PLAN, state_bytes=65_520).lines()
    assert lines[0] == "Trials    6 trials of 5 configurations, 11 epochs in all"
    assert lines[1] == "Rungs     3 x 0->1, 1 x 1->3, 2 x 0->3 (trials x epochs)"
    assert lines[2].startswith("Time      about 16 s on this machine (measured with the default configuration: 2.0 s")
    assert lines[3] == "Disk      checkpoints take 262 kB at most, and nothing when it is done"
    assert len(lines) == 4


@pytest.mark.parametrize(("limit", "most"), [(1, 400), (250, 400), (500, 500), (700, 700), (10_000, 800)])
def test_disk_budget_bounds_all_but_what_running_trials_need(limit, most):
    # Six trials may be continued; two run, each beside the state that it continues, whatever the budget.
    plan = Plan([Rung(6, 0, 1), Rung(2, 1, 3)], PLAN.measurement, workers=2, state_bytes=100, disk_limit=limit)
    assert plan.disk_bytes == most


@pytest.mark.parametrize(("workers", "seconds"), [(1, 15.5), (2, 7.75), (100, 2.0 + 3 * 0.5)])
def test_workers_share_the_time_but_not_that_of_the_longest_trial(workers, seconds):
    assert dataclasses.replace(PLAN, workers=workers).seconds == seconds


@pytest.mark.parametrize(("workers", "states"), [(1, 3 + 1), (4, 3 + 4)])
def test_disk_holds_a_state_of_each_trial_that_may_go_on_and_of_each_that_runs(workers, states):
    assert dataclasses.replace(PLAN, workers=workers, state_bytes=1000).disk_bytes == states * 1000


def test_plan_of_nothing_takes_no_time():
    plan = dataclasses.replace(PLAN, rungs=[])
    assert (plan.trials, plan.epochs, plan.disk_bytes) == (0, 0, 0)


def test_plan_that_is_not_fixed_says_about():
    lines = dataclasses.replace(PLAN, is_fixed=False).lines()
    assert lines[0] == "Trials    about 6 trials of 5 configurations, 11 epochs in all"
    assert lines[1] == "Rungs     about 3 x 0->1, 1 x 1->3, 2 x 0->3 (trials x epochs)"


def test_plan_says_where_checkpoints_stay():
    line = dataclasses.replace(PLAN, keeps_checkpoints=True).lines()[3]
    assert line.endswith(" at most, and those of runs that can go on stay when it is done")


def test_few_rungs_are_shown_one_by_one_in_their_order():
    plan = dataclasses.replace(PLAN, rungs=[Rung(1, 0, 3), Rung(3, 0, 1), Rung(1, 1, 3), Rung(2, 0, 3)])
    assert plan.lines()[1] == "Rungs     1 x 0->3, 3 x 0->1, 1 x 1->3, 2 x 0->3 (trials x epochs)"


def test_brackets_that_are_repeated_for_long_are_shown_once():
    plan = dataclasses.replace(PLAN, rungs=[*PLAN.rungs] * 100)
    assert plan.lines()[1] == "Rungs     300 x 0->1, 100 x 1->3, 200 x 0->3 (trials x epochs)"
    assert plan.trials == 600


@pytest.mark.parametrize(("limit", "told"), [(None, ""), (1000.0, ""), (2.0, ", but it stops after 2 s")])
def test_plan_says_that_its_time_is_cut(limit, told):
    plan = Plan([Rung(6, 0, 1), Rung(2, 1, 3)], PLAN.measurement, time_limit=limit)
    (line,) = [line for line in plan.lines() if line.startswith("Time ")]
    assert line.endswith(f"s an epoch){told}")


@pytest.mark.parametrize("rungs", [[], [Rung(0, 0, 9)]])
def test_plan_of_nothing_says_so(rungs):
    (line,) = Plan(rungs, PLAN.measurement).lines()
    assert line.startswith("Trials    none: not one fits into the epochs that the search may spend")
