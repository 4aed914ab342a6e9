"""The executor keeps oracle and study in step, whatever the oracle, whatever happens to its workers and the process."""

import dataclasses
import math
import re
import signal
import time
import types

import keras_tuner
import pytest
import sqlalchemy
from fakes import (
    CLASSES,
    CONFIG,
    SMALL,
    SMALL_WRITES,
    FakeCrew,
    FakeWorker,
    Killed,
    Search,
    curve_of,
    impatient,
    our_oracle,
    space,
    stock_oracle,
    validation,
    wide,
    without_times,
)

from tuner.budget import Budget, Limits
from tuner.checkpoint import TrainingState, save_state
from tuner.crew import LocalCrew
from tuner.dialogue import Proposal
from tuner.errors import StudyError, TrialsFailError, TunerError
from tuner.messages import Measurement
from tuner.models import cost
from tuner.oracles import ORACLES
from tuner.order import FixedOrder
from tuner.records import (
    COMPLETED,
    DIVERGED,
    FAILED,
    OUT_OF_MEMORY,
    RUNNING,
    TIMED_OUT,
    WORKER_DIED,
    runs_of,
)
from tuner.study import Study
from tuner.versions import library_versions


def _failing(error_of):
    """Returns how trials end in their first epoch if `error_of(task)` is an error of the space or the program."""

    def ends(task, epoch):
        error = error_of(task) if epoch == task.initial_epoch + 1 else None
        if error is None or isinstance(error, TunerError):
            return error
        return FAILED, f"Traceback (most recent call last):\n  somewhere\n{type(error).__name__}: {error}"

    return ends


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path / "search")


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A search that ran through."""
    search = Search(tmp_path_factory.mktemp("complete") / "search")
    search.run()
    return search


@pytest.mark.parametrize("oracle", [stock_oracle, our_oracle])
def test_hyperband_promotes_through_the_study(oracle, tmp_path):
    search = Search(tmp_path / "search", oracle=oracle)
    held = search.run()
    assert {record.status for record in held} == {COMPLETED}
    # Keras Tuner's brackets of 9 epochs: 9 -> 3 -> 1, 5 -> 2, 3.
    budgets = [(record.initial_epoch, record.epochs) for record in held]
    assert sorted(budgets) == [(0, 1)] * 9 + [(0, 3)] * 5 + [(0, 9)] * 3 + [(1, 3)] * 3 + [(3, 9)] * 3
    for record in held:
        if record.parent is not None:
            parent = held[record.parent]
            assert parent.hyperparameters == record.hyperparameters
            assert (parent.epochs, parent.seed) == (record.initial_epoch, record.seed)
    assert len(runs_of(held)) == 17
    assert not [name for record in held for name in record.hyperparameters if name.startswith("tuner/")]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "the schedule is through"),
        ({"trials": 3}, "the 3 trials are made"),
        ({"algorithm": "asha", "total_epochs": 20}, "the 20 epochs are spent"),
        ({"algorithm": "random"}, "the 72 epochs are spent"),
        ({"algorithm": "random", "total_epochs": 8}, "no trial fits into 8 epochs"),
        ({"algorithm": "random", "trials": 2, "total_epochs": 100}, "the 2 trials are made"),
    ],
)
def test_reason_says_which_limit_ended_the_search(settings, reason, tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, **settings))
    search.run()
    assert search.reason == reason


@pytest.mark.parametrize("algorithm", ["asha", "hyperband", "random"])
@pytest.mark.parametrize("before", [{}, {"trials": 5}, {"total_epochs": 40}])
def test_study_whose_budget_is_spent_goes_on_with_a_larger_one(before, algorithm, tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, algorithm=algorithm, **before))
    first = search.run()
    larger = {"total_epochs": 120} if "trials" not in before else {"trials": 9}
    search.config = dataclasses.replace(search.config, **larger)
    second = search.run()
    assert second[: len(first)] == first
    assert len(second) > len(first)


def test_worker_gets_the_state_of_the_parent(complete):
    held, tasks = complete.study().records(), complete.worker.tasks
    for record, task in zip(held, tasks, strict=True):
        assert dict(task.hyperparameters) == record.hyperparameters
        assert (task.initial_epoch, task.epochs, task.seed) == (record.initial_epoch, record.epochs, record.seed)
        assert task.parent == (None if record.parent is None else tasks[record.parent].checkpoint)
    assert len({task.checkpoint for task in tasks}) == len(tasks)
    assert {(task.epochs < CONFIG.max_epochs, task.keep) for task in tasks} == {(True, True), (False, False)}


@pytest.mark.parametrize(("limits", "latency"), [({}, None), ({"max_latency_ms": 9.0}, 2.0)])
def test_latency_is_kept_where_it_is_limited(limits, latency, tmp_path, monkeypatch):
    monkeypatch.setattr("tuner.latency.latency_ms", lambda config: 2.0)
    held = Search(tmp_path / "search", dataclasses.replace(CONFIG, algorithm="random", trials=2, **limits)).run()
    assert [record.latency_ms for record in held] == [latency] * 2


def test_score_is_that_of_the_last_epoch_and_the_best_stands_beside_it(complete):
    for record in complete.study().records():
        accuracies = dict(zip(record.curve["epoch"], record.curve["val_accuracy"], strict=True))
        assert list(accuracies) == list(range(record.initial_epoch + 1, record.epochs + 1))
        assert record.score == accuracies[record.epochs]
        assert record.best_score == max(accuracies.values()) == accuracies[record.best_epoch]
    assert any(record.score < record.best_score for record in complete.study().records())


def test_oracle_hears_the_score_of_the_last_epoch(complete):
    heard = [trial.score for trial in complete.oracle.trials.values()]
    assert heard == [record.score for record in complete.study().records()]


def test_records_hold_size_seed_and_time(complete):
    for record in complete.study().records():
        size = cost(complete.hypermodel.model_config(record.hyperparameters))
        assert (record.params, record.macs, record.seconds) == (size.params, size.macs, 0.5)
    assert len({record.params for record in complete.study().records()}) > 5
    seeds = {run.number: run.last.seed for run in runs_of(complete.study().records())}
    assert len(set(seeds.values())) == len(seeds)


def test_losses_rank_the_other_way(tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, objective="val_loss"))
    held = search.run()
    assert all(record.score == record.curve["val_loss"][-1] for record in held)
    assert all(record.best_score == min(record.curve["val_loss"]) for record in held)
    first_rung = sorted((record.score, record.trial) for record in held[1:10])
    assert {record.parent for record in held[10:13]} == {trial for _, trial in first_rung[:3]}


@pytest.mark.parametrize(("objective", "worst"), [("val_accuracy", min), ("val_loss", max)])
def test_diverged_trial_has_the_worst_score(objective, worst, tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, objective=objective))
    held = search.run(FakeWorker(diverges=wide))
    diverged = [record for record in held if record.status == DIVERGED]
    assert {record.hyperparameters["width"] > 30 for record in diverged} == {True}
    assert {wide(record) for record in held if record.status == COMPLETED} == {False}
    earlier = [held[: record.trial + 1] for record in diverged if record.initial_epoch == 0]
    assert all(before[-1].score == worst(record.score for record in before) for before in earlier)
    assert diverged[0].message == "The loss is not finite."


def test_one_trial_is_trained_for_a_script_of_keras_tuner(tmp_path):
    search = Search(tmp_path / "search")
    executor = search.executor()
    trial = executor.oracle.create_trial("tuner0")
    last = curve_of(executor.ledger.record_of(Proposal(trial, None)))["val_accuracy"][-1]
    assert executor.run_trial(trial) == {"val_accuracy": last}
    assert search.study().records() == []
    assert not search.checkpoints.exists()


def test_environment_of_a_distributed_search_of_keras_tuner_changes_nothing(tmp_path, monkeypatch):
    """Until then the search waited an hour for the chief that it names."""
    places = {"ORACLE_IP": "127.0.0.1", "ORACLE_PORT": "9", "TUNER_ID": "tuner0"}
    for name, value in places.items():
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    search = Search(tmp_path / "search")
    assert isinstance(search.executor().oracle, keras_tuner.Oracle)
    assert search.run()


def test_oracle_hears_the_same_of_what_diverged_when_a_search_goes_on(tmp_path):
    class Worker(FakeWorker):
        def advance(self):
            progress = super().advance()
            curve = progress.curve | ({"val_loss": [math.nan]} if progress.status == DIVERGED else {})
            return dataclasses.replace(progress, curve=curve)

    class Listening(ORACLES["random"]):
        def update_trial(self, trial_id, metrics, step=0):
            heard[-1].append((trial_id, step, metrics["val_loss"]))
            return super().update_trial(trial_id, metrics, step)

    def make(config):
        objective = keras_tuner.Objective("val_loss", "min")
        return Listening(objective=objective, hyperparameters=space(), max_epochs=config.max_epochs, max_trials=4)

    heard = []
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, objective="val_loss", trials=4), oracle=make)
    for _ in range(2):
        heard.append([])
        search.run(Worker(diverges=wide))
    assert sorted(heard[0]) == sorted(heard[1]) != []


def test_diverged_loss_is_no_better_than_chance(tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, objective="val_loss", trials=1))
    (record,) = search.run(FakeWorker(diverges=lambda task: True))
    assert record.score == pytest.approx(math.log(10))


def test_child_of_a_diverged_trial_is_not_trained(tmp_path):
    worker = FakeWorker(diverges=lambda task: True)
    held = Search(tmp_path / "search", oracle=stock_oracle).run(worker)
    children = [record for record in held if record.parent is not None]
    assert len(children) == 6
    assert {record.status for record in held} == {DIVERGED}
    assert all(
        record.message == f"It would have continued trial {record.parent}, which diverged." for record in children
    )
    assert len(worker.tasks) == len(held) - len(children)


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(OUT_OF_MEMORY, "ran out of memory"), (TIMED_OUT, "timed out"), (WORKER_DIED, "lost its worker")],
)
def test_child_of_a_trial_without_a_network_says_how_that_ended(status, phrase, tmp_path):
    """Keras Tuner's Hyperband promotes them, too."""
    crew = FakeCrew(1, dies=lambda worker, trial, answers: True) if status == WORKER_DIED else None
    worker = FakeWorker(ends=lambda task, epoch: (status, "too much"))
    search = Search(tmp_path / "search", oracle=stock_oracle)
    held = search.run(worker, crew=crew, budget=_budget(retries=0))
    children = [record for record in held if record.parent is not None]
    assert len(children) == 6
    assert {record.status for record in held} == {status}
    assert [r.message for r in children] == [
        f"It would have continued trial {r.parent}, which {phrase}." for r in children
    ]


@pytest.mark.parametrize("objective", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("algorithm", ["asha", "bohb", "freeze-thaw", "hyperband", "mobster", "priorband"])
def test_what_diverged_is_not_promoted(algorithm, objective, tmp_path):
    config = dataclasses.replace(CONFIG, algorithm=algorithm, objective=objective, trials=14)
    held = Search(tmp_path / "search", config).run(FakeWorker(diverges=lambda task: True))
    assert [record.parent for record in held if record.parent is not None] == []
    assert len(held) == 14


def test_failed_trial_does_not_end_the_search(search):
    errors = iter([None, RuntimeError("no luck"), *[None] * 99])
    held = search.run(FakeWorker(ends=_failing(lambda task: next(errors))))
    assert [record.status for record in held].count(FAILED) == 1
    failed = held[1]
    assert (failed.status, failed.score, failed.best_score, failed.curve) == (FAILED, None, None, {})
    assert failed.message.endswith("RuntimeError: no luck")
    assert failed.trial not in {record.parent for record in held}
    assert len(held) > 15


@pytest.mark.parametrize("kinds", [(ValueError("x"), KeyError("x")), (ValueError("x"), ValueError("y"))])
def test_two_different_failures_do_not_end_the_search(kinds, search):
    errors = iter([None, kinds[0], None, None, kinds[1], *[None] * 99])
    held = search.run(FakeWorker(ends=_failing(lambda task: next(errors))))
    assert [record.status for record in held].count(FAILED) == 2


def test_second_failure_of_a_kind_ends_the_search(search):
    errors = iter([None, ValueError("broken pipe"), None, ValueError("broken pipe")])
    with pytest.raises(TunerError, match=r"(?s)Two trials failed in the same way.*ValueError: broken pipe"):
        search.run(FakeWorker(ends=_failing(lambda task: next(errors))))
    assert [record.status for record in search.study().records()] == [COMPLETED, FAILED, COMPLETED, FAILED]


def test_failures_in_succession_at_one_place_end_the_search_whatever_they_say(search):
    errors = iter([None, ValueError("1"), ValueError("2"), None, *(ValueError(str(n)) for n in range(3, 9))])
    with pytest.raises(TrialsFailError, match=r"The last 3 trials failed at the same place.*ValueError: 5") as ended:
        search.run(FakeWorker(ends=_failing(lambda task: next(errors))))
    assert ended.value.traceback.splitlines()[0] == "Traceback (most recent call last):"
    held = search.study().records()
    assert [record.status for record in held] == [COMPLETED, FAILED, FAILED, COMPLETED, FAILED, FAILED, FAILED]


def test_error_that_a_person_can_mend_ends_the_search_and_leaves_the_trial(search):
    errors = iter([None, StudyError("the disk is full")])
    with pytest.raises(StudyError, match="the disk is full"):
        search.run(FakeWorker(ends=_failing(lambda task: next(errors))))
    assert [record.status for record in search.study().records()] == [COMPLETED, RUNNING]


def test_what_cannot_be_written_leaves_no_trace(tmp_path, monkeypatch):
    """Until then states were removed, and a leaderboard written, for trials whose end the study does not have."""
    search = Search(tmp_path / "search")
    shown = []

    def fail(*_):
        raise StudyError("the disk is full")

    monkeypatch.setattr(Study, "finish", fail)
    with pytest.raises(StudyError, match="the disk is full"):
        search.run(on_trial_end=shown.append)
    assert shown == []


def test_oracle_that_gives_up_ends_the_search(tmp_path):
    names = iter("abcdefgh")
    search = Search(tmp_path / "search", oracle=stock_oracle)
    with pytest.raises(TunerError, match="The oracle gave up: Number of consecutive failures"):
        search.run(FakeWorker(ends=_failing(lambda task: ValueError(next(names)))))
    assert [record.status for record in search.study().records()] == [FAILED] * 3


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    held = Search(tmp_path_factory.mktemp("small") / "search", SMALL).run()
    writes = 2 * len(held) + sum(record.epochs - record.initial_epoch for record in held)
    assert writes == SMALL_WRITES
    return without_times(held)


@pytest.mark.parametrize("writes", range(SMALL_WRITES))
def test_search_killed_after_any_write_ends_the_same(writes, uninterrupted, tmp_path):
    search = Search(tmp_path / "search", SMALL)
    search.kill(writes)
    assert without_times(search.run()) == uninterrupted


def test_search_killed_again_and_again_ends_the_same(uninterrupted, tmp_path):
    search = Search(tmp_path / "search", SMALL)
    for _ in range(5):
        search.kill(4)
    assert without_times(search.run()) == uninterrupted


@pytest.mark.parametrize("event", ["begin", "commit", "reset"])
def test_ctrl_c_waits_for_what_is_being_written(event, uninterrupted, tmp_path, caplog):
    search = Search(tmp_path / "search", SMALL, on_disk=True)
    study, presses = search.study(), iter([False] * 4 + [True] + [False] * 999)

    def press(*_):
        if next(presses):
            signal.raise_signal(signal.SIGINT)

    owner = study._storage.engine.pool if event == "reset" else study._storage.engine
    sqlalchemy.event.listen(owner, event, press)
    executor = search.executor(study=study)
    with pytest.raises(KeyboardInterrupt):
        executor.search()
    assert not caplog.records
    told = {r.trial: executor.ledger.told(r.trial) for r in executor.ledger.held if r.status == RUNNING}
    trials = search.study()._trials()
    assert {t.number: len(t.intermediate_values) for t in trials if not t.state.is_finished()} == told
    assert without_times(search.run()) == uninterrupted


@pytest.mark.parametrize("oracle", [stock_oracle, our_oracle])
@pytest.mark.parametrize("trials", [14])
def test_large_search_on_disk_killed_between_trials_ends_the_same(trials, oracle, complete, tmp_path):
    search = Search(tmp_path / "search", oracle=oracle, on_disk=True)

    def die(held):
        if sum(record.status != RUNNING for record in held) == trials:
            raise Killed

    with pytest.raises(Killed):
        search.run(on_trial_end=die)
    held = search.run()
    assert len(held) == 23
    if oracle is our_oracle:
        assert without_times(held) == without_times(complete.study().records())


@pytest.mark.parametrize("algorithm", ["bayesian", "random"])
def test_search_without_rungs_goes_on_the_same(algorithm, tmp_path):
    config = dataclasses.replace(SMALL, algorithm=algorithm, trials=5)
    through, killed = Search(tmp_path / "through", config), Search(tmp_path / "killed", config)
    killed.kill(12)
    assert without_times(killed.run()) == without_times(through.run())


def _too_wide(task):
    return ValueError(task.seed) if task.hyperparameters["width"] > 55 else None


@pytest.mark.parametrize("bad", [{"diverges": wide}, {"ends": _failing(_too_wide)}])
def test_trials_without_a_score_are_replayed_too(bad, tmp_path):
    through, killed = Search(tmp_path / "through"), Search(tmp_path / "killed")

    def die(held):
        if sum(record.status != RUNNING for record in held) == 14:
            raise Killed

    with pytest.raises(Killed):
        killed.run(FakeWorker(**bad), on_trial_end=die)
    assert without_times(killed.run(FakeWorker(**bad))) == without_times(through.run(FakeWorker(**bad)))


def test_finished_search_trains_nothing_more(complete):
    before = complete.study().records()
    worker = FakeWorker()
    assert complete.run(worker) == before
    assert worker.tasks == []


def test_larger_total_goes_on_where_the_smaller_ended(tmp_path):
    config = dataclasses.replace(SMALL, algorithm="random", trials=3)
    search = Search(tmp_path / "search", config)
    first = search.run()
    search.config = dataclasses.replace(config, trials=12)
    more = search.run()
    assert (len(first), len(more)) == (3, 12)
    assert more[:3] == first
    assert len(search.worker.tasks) == 9


@pytest.mark.parametrize("change", [{"seed": 1}, {"algorithm": "random"}, {"max_epochs": 27}])
def test_oracle_with_other_proposals_is_refused(change, search):
    search.kill(20)
    before = search.study().records()
    worker = FakeWorker()
    with pytest.raises(StudyError, match=r"cannot be continued exactly: trial \d+ .*keras 3\.1.*--study"):
        search.run(worker, oracle=our_oracle(dataclasses.replace(CONFIG, **change)))
    assert search.study().records() == before
    assert worker.tasks == []


def test_versions_that_are_others_are_named_where_a_study_cannot_go_on(search):
    """All of the study's were told, also those that are the same now, and none of this machine's."""
    search.kill(20)
    now = library_versions()
    for versions, cause in (
        (now | {"keras": "3.1"}, rf"made with keras 3\.1 \({re.escape(now['keras'])} now\); start a new"),
        ({"gone": "1.0"}, r"made with gone 1\.0 \(none now\); start a new"),
        (now, "libraries are these, so most likely another version of this program made it; start a new"),
    ):
        study = search.study()
        study.versions = versions
        with pytest.raises(StudyError, match=cause):
            search.run(study=study, oracle=our_oracle(dataclasses.replace(CONFIG, seed=1)))


def test_oracle_may_stop_a_trial(tmp_path):
    held = Search(tmp_path / "search", oracle=impatient).run()
    assert len(held) == 3
    for record in held:
        assert (record.status, record.curve["epoch"]) == (COMPLETED, [1, 2])
        assert record.score == record.curve["val_accuracy"][-1]
        assert (record.epochs, record.target) == (2, 9)


def test_stopped_trials_are_replayed(tmp_path):
    through = Search(tmp_path / "through", oracle=impatient).run()
    search = Search(tmp_path / "killed", oracle=impatient)
    search.kill(6)
    assert without_times(search.run()) == without_times(through)


def test_only_states_that_may_be_continued_are_kept(search):
    kept = []

    def watch(held):
        last = max(held, key=lambda record: -1 if record.order is None else record.order)
        files = {path.stem for path in search.checkpoints.glob("*")}
        parents = {record.parent for record in held if record.status != RUNNING}
        assert {f"trial{r.trial:05d}" for r in held if r.trial in parents} & files == set()
        kept.append((last.epochs, f"trial{last.trial:05d}" in files))

    search.run(on_trial_end=watch)
    assert {exists for epochs, exists in kept if epochs < 9} == {True}
    assert {exists for epochs, exists in kept if epochs == 9} == {False}


def test_worker_waits_for_no_file(search):
    crew, seen = FakeCrew(1), []
    search.run(crew=crew, on_trial_end=lambda held: seen.append([record.status for record in held]))
    assert [statuses.count(RUNNING) for statuses in seen] == [1] * 22 + [0]
    assert [len(statuses) for statuses in seen] == [*range(2, 24), 23]


def test_worker_waits_for_no_write(search, monkeypatch):
    crew, begun, write = FakeCrew(1), [], Study.begin

    def begin(study, record, **options):
        begun.append(len(crew.begun) == record.trial + 1)
        write(study, record, **options)

    monkeypatch.setattr(Study, "begin", begin)
    search.run(crew=crew)
    assert begun == [True] * 23


def test_files_are_written_when_an_error_ends_the_search(tmp_path):
    seen = []
    worker = FakeWorker(ends=_failing(lambda task: ValueError("x")))
    with pytest.raises(TunerError):
        Search(tmp_path / "search").run(worker, on_trial_end=lambda held: seen.append(list(held)))
    assert [record.status for record in seen[-1]] == [FAILED, FAILED]


class Listener:
    """Writes down what it is told."""

    def __init__(self):
        self.events = []

    def resume(self, held):
        self.events.append(("resume", len(held)))

    def trial_began(self, record):
        self.events.append(("began", record.trial))

    def epoch_ended(self, record, epoch, metrics, rate):
        assert rate == 200.0
        assert metrics["val_accuracy"] == validation(record.hyperparameters, epoch)["val_accuracy"]
        self.events.append(("epoch", epoch))

    def trial_ended(self, record):
        self.events.append((record.status, record.trial))

    def trial_lost(self, record, losses):
        self.events.append(("lost", record.trial, losses))


def test_observer_hears_everything_in_order(tmp_path):
    listener = Listener()
    Search(tmp_path / "search", dataclasses.replace(SMALL, trials=5)).run(observer=listener)
    trials = [
        [("began", n), *[("epoch", e) for e in epochs], (COMPLETED, n)]
        for n, epochs in enumerate([[1, 2, 3], [1], [1], [1], [2, 3]])
    ]
    assert listener.events == [("resume", 0), *[event for events in trials for event in events]]


def test_observer_of_a_continued_search_hears_what_is_held(tmp_path):
    search = Search(tmp_path / "search", SMALL)
    search.kill(6)  # trial 0 has ended after three epochs, trial 1 has begun
    listener = Listener()
    search.run(observer=listener)
    assert listener.events[:4] == [("resume", 2), ("began", 1), ("epoch", 1), (COMPLETED, 1)]


def test_search_goes_on_from_what_its_oracle_was_told_before(tmp_path, complete):
    """A command says so where that takes long: 5,000 trials of `auto` take minutes in which nothing else shows."""
    search = Search(tmp_path / "search", CONFIG)
    search.kill(20)
    executor = search.executor()
    executor.ledger.replay()
    held = len(executor.ledger.held)
    executor.search()
    assert 0 < held < len(search.study().records())
    assert without_times(search.study().records()) == without_times(complete.study().records())


def test_executor_is_a_tuner_of_keras_tuner(search):
    executor = search.executor()
    assert isinstance(executor, keras_tuner.Tuner)
    trial = executor.oracle.create_trial("worker")
    assert executor.run_trial(trial) == {"val_accuracy": validation({"width": 16}, 9)["val_accuracy"]}
    assert search.study().records() == []


def test_stopped_trial_keeps_its_epochs_in_the_study(tmp_path):
    held = Search(tmp_path / "search", oracle=impatient).run()
    assert [record.epochs for record in held] == [2, 2, 2]


@pytest.mark.parametrize("different", [False, True])
def test_failure_message_has_no_traceback(different, tmp_path):
    names = iter("abcdefgh")
    worker = FakeWorker(ends=_failing(lambda task: ValueError(next(names) if different else "x")))
    with pytest.raises(TunerError) as end:
        Search(tmp_path / "search", oracle=stock_oracle if different else our_oracle).run(worker)
    assert "Traceback" not in str(end.value)
    assert "ValueError: " in str(end.value)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_as_many_trials_are_in_flight_as_there_are_workers(workers, search):
    crew = FakeCrew(workers)
    held = search.run(crew=crew)
    assert crew.most_in_flight == workers
    assert sorted((r.initial_epoch, r.epochs) for r in held)[:14] == [(0, 1)] * 9 + [(0, 3)] * 5
    assert {record.worker for record in held} == set(crew.workers)
    _assert_complete(held)


def _assert_complete(held):
    """Every trial is complete and has the curve that follows from its hyperparameters."""
    assert {record.status for record in held} == {COMPLETED}
    assert all(record.curve == curve_of(record) for record in held)
    assert [record.trial for record in held] == list(range(len(held)))
    assert sorted(record.order for record in held) == list(range(len(held)))
    for record in held:
        if record.parent is not None:
            assert held[record.parent].epochs == record.initial_epoch
            assert held[record.parent].hyperparameters == record.hyperparameters


def test_oracle_without_a_proposal_is_asked_again_when_a_trial_has_ended(tmp_path):
    # Of 3 x 0->1 and 1 x 1->3, the promotion cannot be chosen before all three have ended; 0->3 fills the gap.
    search, crew = Search(tmp_path / "search", SMALL), FakeCrew(6)
    asked = []
    oracle = our_oracle(SMALL)
    create = oracle.create_trial
    oracle.create_trial = lambda name: asked.append(create(name)) or asked[-1]
    held = search.run(crew=crew, oracle=oracle)
    assert "IDLE" in [trial.status for trial in asked]
    assert len(held) == 6
    _assert_complete(held)
    assert search.reason == "the schedule is through"


class Waiting(keras_tuner.oracles.RandomSearchOracle):
    """Waits although nothing is in flight."""

    def populate_space(self, trial_id):
        return {"status": "IDLE"}


def test_oracle_that_waits_for_nothing_ends_the_search(search):
    oracle = Waiting(objective="val_accuracy", max_trials=3, hyperparameters=space())
    with pytest.raises(TunerError, match="waits for a trial although none is running"):
        search.run(crew=FakeCrew(2), oracle=oracle)


def test_promotion_goes_to_the_worker_that_has_the_parent_if_that_is_free(tmp_path):
    chosen = 0
    for seed in range(10):
        # The promotion can only be chosen when all trials of one epoch have ended; their workers are idle by then.
        search, crew, free_at = Search(tmp_path / str(seed), SMALL), FakeCrew(6, seed=seed), []
        begin = crew.begin
        crew.begin = lambda *given, crew=crew, begin=begin, free=free_at: free.append(crew.free()) or begin(*given)
        held = search.run(crew=crew)
        worker_of = dict(crew.begun)
        for (trial, worker), free in zip(crew.begun, free_at, strict=True):
            home = worker_of.get(held[trial].parent)
            if home in free:
                assert worker == home
                chosen += home != free[0]
    assert chosen  # and not only because there was no other


def test_promotion_does_not_wait_for_a_busy_worker(search):
    crew = FakeCrew(3, seed=1)
    held = search.run(crew=crew)
    worker_of = dict(crew.begun)
    elsewhere = [r for r in held if r.parent is not None and worker_of[r.parent] != worker_of[r.trial]]
    assert elsewhere
    _assert_complete(held)


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("writes", range(SMALL_WRITES))
def test_two_workers_killed_after_any_write_go_on_to_the_end(writes, saves, tmp_path):
    search = Search(tmp_path / "search", SMALL)

    def crew(seed):
        return FakeCrew(2, seed=seed, make=lambda: FakeWorker(saves=saves))

    search.kill(writes, crew=crew(writes))
    before = search.study().records()
    held = search.run(crew=crew(writes + 1))
    _assert_complete(held)
    assert len(held) == 6
    for old, new in zip(before, held, strict=False):
        assert (old.hyperparameters, old.seed, old.parent) == (new.hyperparameters, new.seed, new.parent)
        assert old.status == RUNNING or old == new


def test_interrupted_trials_go_on_before_new_ones(tmp_path):
    search = Search(tmp_path / "search")
    search.kill(12, crew=FakeCrew(3))
    running = [record.trial for record in search.study().records() if record.status == RUNNING]
    assert running
    crew = FakeCrew(3, seed=1)
    search.run(crew=crew)
    assert sorted(trial for trial, _ in crew.begun[: len(running)]) == running


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_study_of_some_workers_goes_on_with_others(workers, tmp_path):
    search = Search(tmp_path / "search")
    search.kill(30, crew=FakeCrew(3))
    held = search.run(crew=FakeCrew(workers, seed=1))
    _assert_complete(held)
    assert len(held) == 23


@pytest.mark.parametrize("seed", range(4))
def test_trials_of_workers_that_die_are_begun_again(seed, search):
    rolls = iter([False, False, False, True] * 500)
    crew = FakeCrew(3, seed=seed, make=lambda: FakeWorker(saves=True), dies=lambda worker, trial, answers: next(rolls))
    listener = Listener()
    held = search.run(crew=crew, observer=listener, budget=_budget(retries=1000))
    _assert_complete(held)
    lost = [event for event in listener.events if event[0] == "lost"]
    assert len(lost) > 10
    for trial in {trial for _, trial, _ in lost}:
        losses = [count for _, number, count in lost if number == trial]
        assert losses == list(range(1, len(losses) + 1))
        assert [number for number, _ in crew.begun].count(trial) == len(losses) + 1


def test_epochs_that_are_told_again_are_shown_once(tmp_path):
    search, listener = Search(tmp_path / "search", dataclasses.replace(SMALL, algorithm="random", trials=1)), Listener()
    crew = FakeCrew(1, dies=lambda worker, trial, answers: answers == 3, silent=0)  # after two epochs, without a state
    _assert_complete(search.run(crew=crew, observer=listener))
    epochs = [("epoch", 1), ("epoch", 2)]
    assert listener.events == [
        ("resume", 0), ("began", 0), *epochs, ("lost", 0, 1), ("began", 0), ("epoch", 3), (COMPLETED, 0)
    ]  # fmt: skip


def _budget(**limits):
    return Budget(Limits(**limits), began=time.monotonic())


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize(("objective", "worst"), [("val_accuracy", 0.0), ("val_loss", math.log(CLASSES))])
def test_trial_that_kills_its_worker_too_often_gets_the_worst_score(retries, objective, worst, tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(SMALL, objective=objective))
    crew = FakeCrew(2, dies=lambda worker, trial, answers: trial == 1)
    held = search.run(crew=crew, budget=_budget(retries=retries))
    assert [record.trial for record in held if record.status == WORKER_DIED] == [1]
    assert [trial for trial, _ in crew.begun].count(1) == retries + 1
    assert held[1].score == pytest.approx(worst)
    assert held[1].message == f"Its worker died at every attempt; --retries is {retries}."
    assert len(held) == 6
    _others = [record for record in held if record.trial != 1]
    assert {record.status for record in _others} == {COMPLETED}


@pytest.mark.parametrize("status", [OUT_OF_MEMORY, TIMED_OUT, DIVERGED])
def test_trial_that_asks_too_much_gets_the_worst_score_and_the_search_goes_on(status, search):
    held = search.run(FakeWorker(ends=lambda task, epoch: (status, "too much") if epoch == 3 and wide(task) else None))
    bad = [record for record in held if record.status == status]
    assert bad
    assert {record.status for record in held} == {status, COMPLETED}
    assert all(wide(record) and record.score == 0.0 for record in bad)
    assert {record.message for record in bad} == {"too much"}
    assert not any(held[record.parent].status == status for record in held if record.parent is not None)
    assert all(record.curve["epoch"] == [1, 2] for record in bad if (record.initial_epoch, record.epochs) == (0, 9))


def test_epoch_limit_refuses_the_trial_that_would_pass_it_and_a_later_search_begins_with_it(tmp_path):
    through, search = Search(tmp_path / "through").run(), Search(tmp_path / "search")
    held = search.run(budget=_budget(total_epochs=19))
    # 1 x 0->9 and 9 x 0->1, and the first 1->3 does not fit any more.
    assert without_times(held) == without_times(through[:10])
    assert search.reason == "--total-epochs 19 is reached"
    assert search.run(budget=_budget(total_epochs=19)) == held
    held = search.run(budget=_budget(total_epochs=20))
    assert without_times(held) == without_times(through[:11])
    assert without_times(search.run()) == without_times(through)
    assert search.reason == "the schedule is through"


@pytest.mark.parametrize("seed", range(4))
def test_epoch_limit_counts_trials_in_flight_and_lets_them_end(seed, search):
    held = search.run(crew=FakeCrew(3, seed=seed), budget=_budget(total_epochs=14))
    _assert_complete(held)
    assert sum(len(record.curve["epoch"]) for record in held) in (13, 14)
    assert search.reason == "--total-epochs 14 is reached"
    more = search.run(crew=FakeCrew(3, seed=seed + 1))
    _assert_complete(more)
    assert more[: len(held)] == held
    assert len(more) == 23


def test_limit_that_is_reached_does_not_conclude_the_study(search):
    executor = search.executor(budget=_budget(total_epochs=3))
    executor.search()
    assert not executor.is_through
    executor = search.executor()
    executor.search()
    assert executor.is_through


def _clock(monkeypatch, module, now):
    monkeypatch.setattr(f"tuner.{module}.time", types.SimpleNamespace(monotonic=lambda: now[0]))


def test_time_limit_refuses_a_trial_that_would_not_end_in_time(tmp_path, monkeypatch):
    through, search = Search(tmp_path / "through").run(), Search(tmp_path / "search")
    now = [1000.0]
    _clock(monkeypatch, "budget", now)

    class Clock(Listener):
        def trial_ended(self, record):
            now[0] += record.seconds

    held = search.run(budget=Budget(Limits(seconds=5.0), began=1000.0), observer=Clock())
    assert 3 < len(held) < 23
    assert now[0] <= 1005.0
    assert re.fullmatch("--time-limit is reached: the next trial, [126] epochs?, would not end in time", search.reason)
    assert without_times(held) == without_times(through[: len(held)])
    more = search.run(budget=Budget(Limits(seconds=1e6), began=now[0]), observer=Clock())
    assert without_times(more) == without_times(through)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_time_limit_holds_back_what_was_interrupted_and_a_later_search_goes_on_with_it(
    workers, deterministic, tmp_path, monkeypatch
):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, algorithm="random", trials=4))
    search.kill(7, crew=FakeCrew(2))
    before = search.study().records()
    assert [record.status for record in before] == [RUNNING] * 2
    _clock(monkeypatch, "budget", [1000.0])

    def options():
        return {"crew": FakeCrew(workers), "order": FixedOrder() if deterministic else None}

    measured = Measurement(start_seconds=0.0, epoch_seconds=1.0)
    executor = search.executor(budget=Budget(Limits(seconds=9.0), began=1000.0, measured=measured), **options())
    assert executor.search() == before
    assert executor.reason == "--time-limit is reached: the next trial, 9 epochs, would not end in time"
    assert (search.crew.begun, executor.is_through) == ([], False)
    held = search.run(budget=Budget(Limits(seconds=10.0), began=1000.0, measured=measured), **options())
    assert len(held) == 4
    _assert_complete(held)


def test_time_limit_holds_back_only_what_does_not_fit_of_what_was_interrupted(tmp_path, monkeypatch):
    search = Search(tmp_path / "search", SMALL)
    search.kill(2, crew=FakeCrew(2))
    assert [(r.epochs, r.status) for r in search.study().records()] == [(3, RUNNING), (1, RUNNING)]
    _clock(monkeypatch, "budget", [1000.0])
    measured = Measurement(start_seconds=0.0, epoch_seconds=1.0)
    held = search.run(crew=FakeCrew(2), budget=Budget(Limits(seconds=2.0), began=1000.0, measured=measured))
    assert [(r.epochs, r.status) for r in held] == [(3, RUNNING), (1, COMPLETED)]
    assert search.reason == "--time-limit is reached: the next trial, 3 epochs, would not end in time"


@pytest.mark.parametrize("deterministic", [False, True])
def test_time_limit_holds_back_a_trial_whose_worker_died_and_its_study_is_not_through(
    deterministic, tmp_path, monkeypatch
):
    search, now = Search(tmp_path / "search", dataclasses.replace(CONFIG, algorithm="random", trials=2)), [1000.0]
    _clock(monkeypatch, "budget", now)

    def dies(worker, trial, answers):
        if executor.reason:  # one trial has ended, and there are no more than the other
            now[0] = 1020.0
        return bool(executor.reason)

    executor = search.executor(
        crew=FakeCrew(2, dies=dies, silent=0),
        budget=Budget(Limits(seconds=20.0), began=1000.0),
        order=FixedOrder() if deterministic else None,
    )
    held = executor.search()
    assert {record.status for record in held} == {COMPLETED, RUNNING}
    assert executor.reason.startswith("--time-limit is reached")
    assert (executor.ledger.is_through, executor.is_through) == (True, False)
    executor = search.executor(crew=FakeCrew(2))
    _assert_complete(executor.search())
    assert (executor.reason, executor.is_through) == ("the 2 trials are made", True)


@pytest.mark.parametrize("settings", [{"trials": 3}, {"algorithm": "random", "total_epochs": 27}])
def test_other_limits_let_what_was_interrupted_go_on(settings, tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, **settings))
    search.kill(3, crew=FakeCrew(3))
    assert {record.status for record in search.study().records()} == {RUNNING}
    held = search.run(crew=FakeCrew(3), budget=_budget(seconds=1e6, total_epochs=settings.get("total_epochs")))
    assert len(held) == 3
    _assert_complete(held)


def test_time_that_an_interrupted_trial_takes_is_that_of_the_epochs_that_its_state_lacks(tmp_path, monkeypatch):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, algorithm="random", trials=1))
    search.kill(4)
    (record,) = search.study().records()
    search.checkpoints.mkdir()
    save_state(search.checkpoints / "trial00000.npz", TrainingState(5, record.seed, [], []))
    _clock(monkeypatch, "budget", [1000.0])
    measured = Measurement(start_seconds=0.0, epoch_seconds=1.0)
    search.run(budget=Budget(Limits(seconds=4.0), began=1000.0, measured=measured))
    assert search.reason == "--time-limit is reached: the next trial, 4 epochs, would not end in time"


@pytest.mark.parametrize("oracle", [stock_oracle, our_oracle])
def test_search_leaves_no_file_of_keras_tuner(oracle, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    search = Search(tmp_path / "search", SMALL, oracle=oracle)
    executor = search.executor()  # it lives on: nothing may be left to its end, which a kill lets not come
    executor.search()
    assert [path.name for path in (tmp_path / "search").iterdir()] == ["checkpoints"]
    assert all(path.suffix == ".npz" for path in search.checkpoints.iterdir())
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_worker_that_does_not_answer_is_replaced(search, monkeypatch):
    now = [0.0]
    _clock(monkeypatch, "executor", now)
    crew = FakeCrew(2, silent=0)
    crew.hang(1, lambda: now.__setitem__(0, now[0] + 1.0))
    held = search.run(crew=crew, budget=Budget(Limits(trial_seconds=60.0), began=0.0))
    assert (held[1].status, held[1].score) == (TIMED_OUT, 0.0)
    assert held[1].seconds > 60 * 1.5 + 30
    assert "did not answer" in held[1].message
    assert len(crew.replaced) == 1
    assert {record.status for record in held if record.trial != 1} == {COMPLETED}
    assert {task.seconds for worker in crew.workers.values() for task in worker.tasks} == {60.0}


def test_local_crew_has_one_worker_that_is_free_between_trials(search):
    worker = FakeWorker()
    crew = LocalCrew(worker)
    assert (crew.size, list(crew.free()), crew.facts) == (1, ["driver"], worker.facts)
    assert crew.next() is None
    held = search.run(crew=crew)
    assert {record.worker for record in held} == {"driver"}
    assert list(crew.free()) == ["driver"]
    assert crew.measure({}) == [worker.measure({})]


def test_oracle_that_stops_trials_is_heard_whichever_worker_dies(tmp_path):
    held = Search(tmp_path / "search", oracle=impatient).run(
        crew=FakeCrew(2, dies=lambda worker, trial, answers: answers in (2, 5, 6, 9)), budget=_budget(retries=9)
    )
    assert [record.curve["epoch"] for record in held] == [[1, 2]] * 3


def test_parent_that_a_promotion_has_finished_with_is_removed(search):
    search.run(crew=FakeCrew(3))
    held = search.study().records()
    parents = {record.parent for record in held}
    expected = {f"trial{r.trial:05d}.npz" for r in held if r.epochs < 9 and r.trial not in parents}
    assert {path.name for path in search.checkpoints.iterdir()} == expected
