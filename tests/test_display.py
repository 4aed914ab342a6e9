"""A search that is watched: a bar on a terminal, lines elsewhere, nothing when quiet; results' stream stays free."""

import dataclasses
import io
import re
import types

import pytest
from rich.console import Console
from samples import a_record

from tuner.budget import Budget, Limits
from tuner.display import Display
from tuner.messages import Measurement
from tuner.oracles.moves import Rung
from tuner.plan import Plan
from tuner.records import COMPLETED, DIVERGED, FAILED, RUNNING

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PLAN = Plan([Rung(3, 0, 1), Rung(1, 1, 3), Rung(2, 0, 3)], Measurement(start_seconds=2.0, epoch_seconds=0.5))
BEGUN = a_record(status=RUNNING)


def _ended(trial, score, **changes):
    changes = {"status": COMPLETED, "seconds": 1.26, "curve": {"epoch": [1]}, **changes}
    return dataclasses.replace(BEGUN, trial=trial, score=score, **changes)


def _watch(display):
    """Shows two trials and the promotion of the second."""
    with display:
        display.resume([])
        for record in (
            _ended(0, 0.5),
            _ended(1, 0.75),
            _ended(2, 0.7, parent=1, initial_epoch=1, epochs=3, curve={"epoch": [2, 3]}),
        ):
            display.trial_began(dataclasses.replace(record, status=RUNNING, score=None))
            for epoch in range(record.initial_epoch + 1, record.epochs + 1):
                display.epoch_ended(record, epoch, {"val_accuracy": record.score, "loss": 1.0}, 1234.5)
            display.trial_ended(record)


def _shown(watch=_watch, *, terminal=False, plan=PLAN, width=200, **options):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=width, highlight=False)
    watch(Display(plan, "val_accuracy", direction="max", console=console, **options))
    return text.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    assert _shown().splitlines() == [
        "trial 1/6  run 0  epochs 0->1  val_accuracy 0.5000  1.3 s  best 0.5000 (run 0, 1 epoch)",
        "trial 2/6  run 1  epochs 0->1  val_accuracy 0.7500  1.3 s  best 0.7500 (run 1, 1 epoch)",
        "trial 3/6  run 1  epochs 1->3  val_accuracy 0.7000  1.3 s  best 0.7000 (run 1, 3 epochs)",
    ]


def test_what_a_person_should_know_of_a_complete_trial_is_in_its_line():
    record = _ended(0, 0.5, message="Its batches are split in 2: 64 images do not fit.")
    assert "  val_accuracy 0.5000  (Its batches are split in 2: 64 images do not fit.)  1.3 s  " in _shown(
        lambda display: display.trial_ended(record)
    )


def test_terminal_shows_a_bar_with_the_best_run():
    text = _shown(terminal=True)
    plain = _ESCAPE.sub("", text)
    # What is there at the end: it is drawn five times a second, not at every event.
    assert "best 0.7000 (run 1, 3 epochs)" in plain
    assert " 4/11 epochs, left" in plain  # of 3 * 1 + 1 * 2 + 2 * 3
    assert "trial 1/6  run 0  epochs 0->1  val_accuracy 0.5000  1.3 s\n" in plain  # the best stands below
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back


def test_number_of_trials_is_about_that_of_a_plan_that_is_not_fixed():
    plan = Plan([Rung(2, 0, 1)], PLAN.measurement, is_fixed=False)
    assert [line.split("  ")[0] for line in _shown(plan=plan).splitlines()] == [
        "trial 1 of about 2",
        "trial 2 of about 2",
        "trial 3",
    ]


def test_bar_ends_where_there_are_more_epochs_than_planned():
    plan = Plan([Rung(2, 0, 1)], PLAN.measurement, is_fixed=False)
    plain = _ESCAPE.sub("", _shown(terminal=True, plan=plan))
    assert " 4/4 epochs, left" in plain
    assert " 0/0 epochs, left" in _ESCAPE.sub("", _shown(_nothing, terminal=True, plan=Plan([], PLAN.measurement)))


def _nothing(display):
    with display:
        display.resume([])


def _last_lines(watch, count, **options):
    """Returns the live lines of a terminal as they are when the display ends."""
    return [line.rstrip() for line in _ESCAPE.sub("", _shown(watch, terminal=True, **options)).splitlines()[-count:]]


def test_terminal_has_a_line_for_each_worker_in_their_order():
    def watch(display):
        with display:
            for trial, worker in enumerate(["1", "0", "2"]):
                display.trial_began(dataclasses.replace(BEGUN, trial=trial, worker=worker, epochs=3))
            display.epoch_ended(
                dataclasses.replace(BEGUN, trial=1, worker="0", epochs=3), 2, {"val_accuracy": 0.5}, 1234.5
            )
            display.trial_ended(_ended(2, 0.5, worker="2"))

    *workers, best, bar = _last_lines(watch, 4)
    assert workers == [
        "worker 0  trial 2/6 run 1 epoch 2/3  val_accuracy 0.5000  1,234 images/s",
        "worker 1  trial 1/6 run 0 epoch 0/3",
    ]
    assert best == "best 0.5000 (run 2, 1 epoch)"
    assert " 1/11 epochs, left" in bar


def test_line_of_a_worker_fits_into_80_letters():
    plan = Plan([Rung(270, 0, 1)], PLAN.measurement, is_fixed=False)
    record = dataclasses.replace(BEGUN, trial=99, worker="10", epochs=27)

    def watch(display):
        with display:
            display.trial_began(record)
            display.epoch_ended(record, 14, {"val_accuracy": 0.5}, 12345.6)

    worker, *_ = _last_lines(watch, 3, plan=plan)
    assert worker == "worker 10  trial 100 run 99 epoch 14/27  val_accuracy 0.5000  12,346 images/s"
    assert len(worker) < 80


def test_what_failed_is_not_the_best():
    bad = dataclasses.replace(_ended(0, 0.0), status=DIVERGED, message="The loss is not finite.")
    assert "best" not in _shown(lambda display: display.trial_ended(bad))


def test_worker_that_died_leaves_the_screen_with_a_line():
    record = dataclasses.replace(BEGUN, worker="1")

    def watch(display):
        with display:
            display.trial_began(record)
            display.trial_lost(record, 2)

    assert _shown(watch).splitlines() == [
        "trial 1: worker 1 died, the trial goes on from its last checkpoint (2. time)"
    ]
    assert not _last_lines(watch, 1)[0].startswith("worker")


def test_worker_that_is_replaced_is_told_of_once():
    def watch(display):
        with display:
            display.worker_replaced("0", 1_500_000_000)
            display.worker_replaced("1", 1_600_000_000)

    (line,) = _shown(watch).splitlines()
    assert line.startswith("worker 0 held 1.5 GB, above its limit (--worker-memory), and was replaced; the new one")


def test_rest_of_the_budget_stands_beside_the_best(monkeypatch):
    monkeypatch.setattr("tuner.budget.time", types.SimpleNamespace(monotonic=lambda: 1030.0))
    budget = Budget(Limits(seconds=90.0, total_epochs=12), began=1000.0)

    def watch(display):
        with display:
            display.trial_ended(_ended(0, 0.5))
            display.trial_began(dataclasses.replace(BEGUN, trial=1, epochs=4))

    assert _last_lines(watch, 2, budget=budget)[0] == "best 0.5000 (run 0, 1 epoch)  budget left: 60 s, 7 epochs"
    assert not any("budget" in line for line in _last_lines(watch, 2, budget=Budget(Limits(), began=0.0)))


@pytest.mark.parametrize("width", [200, 80, 60, 40])
def test_narrow_terminal_has_a_shorter_bar_and_all_numbers(width):
    budget = Budget(Limits(total_epochs=12), began=0.0)
    best, bar = _last_lines(_watch, 2, width=width, budget=budget)
    assert best.startswith("best 0.7000 (run 1, 3 epochs)")  # the last trial's, too
    assert re.fullmatch(r"[━╸╺ ]+ 4/11 epochs, left [0-9:-]+", bar)
    assert len(bar) <= width


def test_before_the_first_score_the_screen_says_so():
    def watch(display):
        with display:
            display.trial_began(BEGUN)

    assert _last_lines(_nothing, 2)[0] == "starting"
    assert _last_lines(watch, 2)[0] == "no score yet"


def test_terminal_is_restored_after_an_error():
    def break_off(display):
        with pytest.raises(KeyboardInterrupt), display:
            raise KeyboardInterrupt

    text = _shown(break_off, terminal=True)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


@pytest.mark.parametrize(("quiet", "lines"), [(True, 0), (False, 3)])
def test_quiet_shows_nothing_and_nothing_goes_to_stdout(quiet, lines, capsys):
    _watch(Display(PLAN, "val_accuracy", direction="max", quiet=quiet))
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == lines


@pytest.mark.parametrize(
    ("status", "score", "message", "shown"),
    [
        (DIVERGED, 0.0, "The loss is not finite in epoch 1.", "diverged: The loss is not finite in epoch 1."),
        (FAILED, None, "Traceback:\n  line\nValueError: [bold]odd[/bold]", "failed: ValueError: [bold]odd[/bold]"),
        (FAILED, None, "", "failed: "),
    ],
)
def test_trial_without_a_result_says_why(status, score, message, shown):
    def watch(display):
        display.trial_ended(_ended(0, score, status=status, message=message))

    assert f"epochs 0->1  {shown}  1.3 s" in _shown(watch)


def test_continued_search_knows_the_best_and_counts_on():
    def watch(display):
        display.resume([_ended(0, 0.9), dataclasses.replace(BEGUN, trial=1)])
        display.trial_ended(_ended(1, 0.1))

    assert _shown(watch).splitlines() == [
        "continuing: 2 trials are in the study",
        "trial 2/6  run 1  epochs 0->1  val_accuracy 0.1000  1.3 s  best 0.9000 (run 0, 1 epoch)",
    ]


def test_bar_of_a_continued_search_begins_with_what_is_held():
    def watch(display):
        with display:
            display.resume([_ended(0, 0.9), dataclasses.replace(BEGUN, trial=1)])

    assert _last_lines(watch, 2)[0] == "best 0.9000 (run 0, 1 epoch)"
    assert " 1/11 epochs" in _ESCAPE.sub("", _shown(watch, terminal=True))


def test_bar_counts_what_was_trained_of_a_trial_that_ended_early():
    curve = {"epoch": [1.0], "val_accuracy": [0.1]}
    early = dataclasses.replace(_ended(0, 0.1, status=DIVERGED), epochs=9, curve=curve)

    def watch(display):
        with display:
            display.resume([early])

    assert " 1/11 epochs" in _ESCAPE.sub("", _shown(watch, terminal=True))


def test_names_between_colons_are_no_pictures():
    def watch(display):
        display.trial_ended(_ended(0, None, status=FAILED, message="KeyError: a:key:b"))

    assert "KeyError: a:key:b" in _shown(watch)


def test_smallest_loss_is_the_best():
    text = io.StringIO()
    display = Display(PLAN, "val_loss", direction="min", console=Console(file=text, width=200))
    for trial, score in enumerate([0.5, 0.7]):
        display.trial_ended(_ended(trial, score))
    assert text.getvalue().splitlines()[-1].endswith("best 0.5000 (run 0, 1 epoch)")
