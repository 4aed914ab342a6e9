"""The executor keeps oracle and study in step, whatever the oracle, whatever happens to the process.

A fake worker stands for training: what it returns follows from the task alone, as it does with the real one.
"""

import contextlib
import dataclasses
import math
import types
from pathlib import Path

import keras_tuner
import optuna
import pytest

from tuner.config import SearchConfig
from tuner.errors import StudyError, TunerError
from tuner.executor import Executor
from tuner.models import Cost
from tuner.oracles import make_oracle
from tuner.records import COMPLETED, DIVERGED, FAILED, RUNNING, runs_of
from tuner.study import Study
from tuner.worker import Result

CONFIG = SearchConfig(space="tiny", max_epochs=9, batch_size=64)


class Killed(BaseException):
    """Ends a search at once, as SIGKILL does: nothing that the program could catch and clean up after."""


class FakeWorker:
    """Learns in no time: the curve follows from the hyperparameters, and a state is a file with the epoch.

    Args:
        max_epochs: Full budget.
        diverges: Says of a task whether its loss is not finite in its first epoch.
        fails: Returns of a task the error that its training raises, or None.
    """

    def __init__(self, *, max_epochs=9, diverges=lambda task: False, fails=lambda task: None):
        self.session = types.SimpleNamespace(max_epochs=max_epochs)
        self.dataset = types.SimpleNamespace(classes=10)
        self.diverges, self.fails = diverges, fails
        self.tasks = []

    def cost(self, hyperparameters):
        width = hyperparameters["width"]
        return Cost(params=width, trainable_params=width, macs=10 * width)

    def train(self, task, report=None):
        self.tasks.append(task)
        if error := self.fails(task):
            raise error
        curve = {"epoch": [], "loss": [], "val_loss": [], "val_accuracy": []}
        for epoch in range(task.initial_epoch + 1, task.epochs + 1):
            bad = self.diverges(task)
            metrics = {"loss": math.nan if bad else 2.0 / epoch, **_validation(task.hyperparameters, epoch)}
            for name, value in {"epoch": epoch, **metrics}.items():
                curve[name].append(value)
            if bad:
                return Result(status=DIVERGED, curve=curve, seconds=0.5, message="The loss is not finite.")
            if report is not None and report(epoch, metrics):
                break
        if task.checkpoint:
            checkpoint = Path(task.checkpoint)
            checkpoint.parent.mkdir(exist_ok=True)
            checkpoint.write_text(str(curve["epoch"][-1]))
        return Result(status=COMPLETED, curve=curve, seconds=0.5)


def _validation(hyperparameters, epoch):
    """A network of width 40 is the best; every other epoch is a better one than the next."""
    accuracy = (1 - abs(hyperparameters["width"] - 40) / 100) * (1 - 0.5 / epoch) - 0.01 * (epoch % 2)
    return {"val_loss": 1 - accuracy, "val_accuracy": accuracy}


def _space():
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 4, 64, default=16)
    hp.Float("learning_rate", 0.001, 1.0, sampling="log", default=0.1)
    return hp


def _stock_oracle(config):
    return keras_tuner.oracles.HyperbandOracle(
        objective=keras_tuner.Objective(config.objective, config.direction),
        max_epochs=config.max_epochs,
        hyperparameters=_space(),
        seed=config.seed + 1,
    )


def _our_oracle(config):
    return make_oracle(config, _space())


class Search:
    """One study, searched as often as a test likes: each time with a new oracle and study, as a new process would.

    Args:
        folder: Where checkpoints go, and the study when it is on disk.
        config: What to search.
        oracle: Makes the oracle of a configuration.
        on_disk: Whether the study is in SQLite, which takes 40 times longer than memory.
    """

    def __init__(self, folder, config=CONFIG, *, oracle=_our_oracle, on_disk=False):
        folder.mkdir(exist_ok=True)
        self.checkpoints = folder / "checkpoints"
        self.config, self.make_oracle = config, oracle
        self._url = f"sqlite:///{folder / 'study.db'}" if on_disk else "memory://"
        self._memory = None if on_disk else optuna.storages.InMemoryStorage()
        space = _space().get_config()["space"]
        with self._storage():
            Study.create(self._url, "s", config=config, space=space, versions={"keras": "3.1"})

    @contextlib.contextmanager
    def _storage(self):
        """Puts memory in the place of the file, through the one function that opens storages."""
        with pytest.MonkeyPatch.context() as patch:
            if self._memory is not None:
                patch.setattr("tuner.study.open_storage", lambda url: self._memory)
            yield

    def study(self):
        with self._storage():
            return Study.open(self._url, "s")

    def run(self, worker=None, *, study=None, oracle=None, **options):
        self.worker = worker or FakeWorker(max_epochs=self.config.max_epochs)
        self.oracle = oracle or self.make_oracle(self.config)
        Executor(
            self.oracle,
            worker=self.worker,
            study=study or self.study(),
            checkpoints=self.checkpoints,
            **options,
        ).search()
        return self.study().records()


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path / "search")


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A search that ran through."""
    search = Search(tmp_path_factory.mktemp("complete") / "search")
    search.run()
    return search


def _without_seconds(records):
    return [dataclasses.replace(record, seconds=0.0) for record in records]


@pytest.mark.parametrize("oracle", [_stock_oracle, _our_oracle])
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


def test_worker_gets_the_state_of_the_parent(complete):
    held, tasks = complete.study().records(), complete.worker.tasks
    for record, task in zip(held, tasks, strict=True):
        assert dict(task.hyperparameters) == record.hyperparameters
        assert (task.initial_epoch, task.epochs, task.seed) == (record.initial_epoch, record.epochs, record.seed)
        assert task.parent == (None if record.parent is None else tasks[record.parent].checkpoint)
    assert len({task.checkpoint for task in tasks}) == len(tasks)


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
        width = record.hyperparameters["width"]
        assert (record.params, record.macs, record.seconds) == (width, 10 * width, 0.5)
    seeds = {run.number: run.last.seed for run in runs_of(complete.study().records())}
    assert len(set(seeds.values())) == len(seeds)


def test_losses_rank_the_other_way(tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, objective="val_loss"))
    held = search.run()
    assert all(record.score == record.curve["val_loss"][-1] for record in held)
    assert all(record.best_score == min(record.curve["val_loss"]) for record in held)
    first_rung = sorted((record.score, record.trial) for record in held[:9])
    assert {record.parent for record in held[9:12]} == {trial for _, trial in first_rung[:3]}


def _wide(task):
    return task.hyperparameters["width"] > 30


@pytest.mark.parametrize(("objective", "worst"), [("val_accuracy", min), ("val_loss", max)])
def test_diverged_trial_has_the_worst_score(objective, worst, tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, objective=objective))
    held = search.run(FakeWorker(diverges=_wide))
    diverged = [record for record in held if record.status == DIVERGED]
    assert {record.hyperparameters["width"] > 30 for record in diverged} == {True}
    assert {_wide(record) for record in held if record.status == COMPLETED} == {False}
    earlier = [held[: record.trial + 1] for record in diverged if record.initial_epoch == 0]
    assert all(before[-1].score == worst(record.score for record in before) for before in earlier)
    assert diverged[0].message == "The loss is not finite."


def test_diverged_loss_is_no_better_than_chance(tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, objective="val_loss", trials=1))
    (record,) = search.run(FakeWorker(diverges=lambda task: True))
    assert record.score == pytest.approx(math.log(10))


def test_child_of_a_diverged_trial_is_not_trained(search):
    worker = FakeWorker(diverges=lambda task: True)
    held = search.run(worker)
    children = [record for record in held if record.parent is not None]
    assert len(children) == 6
    assert {record.status for record in held} == {DIVERGED}
    assert all(
        record.message == f"It would have continued trial {record.parent}, which diverged." for record in children
    )
    assert len(worker.tasks) == len(held) - len(children)


def test_failed_trial_does_not_end_the_search(search):
    errors = iter([None, MemoryError("out of memory"), *[None] * 99])
    held = search.run(FakeWorker(fails=lambda task: next(errors)))
    assert [record.status for record in held].count(FAILED) == 1
    failed = held[1]
    assert (failed.status, failed.score, failed.best_score, failed.curve) == (FAILED, None, None, {})
    assert "MemoryError: out of memory" in failed.message
    assert failed.trial not in {record.parent for record in held}
    assert len(held) > 15


@pytest.mark.parametrize("kinds", [(ValueError("x"), KeyError("x")), (ValueError("x"), ValueError("y"))])
def test_two_different_failures_do_not_end_the_search(kinds, search):
    errors = iter([None, kinds[0], None, None, kinds[1], *[None] * 99])
    held = search.run(FakeWorker(fails=lambda task: next(errors)))
    assert [record.status for record in held].count(FAILED) == 2


def test_second_failure_of_a_kind_ends_the_search(search):
    errors = iter([None, ValueError("broken pipe"), None, ValueError("broken pipe")])
    with pytest.raises(TunerError, match=r"(?s)Two trials failed in the same way.*ValueError: broken pipe"):
        search.run(FakeWorker(fails=lambda task: next(errors)))
    assert [record.status for record in search.study().records()] == [COMPLETED, FAILED, COMPLETED, FAILED]


def test_error_that_a_person_can_mend_ends_the_search_and_leaves_the_trial(search):
    errors = iter([None, StudyError("the disk is full")])
    with pytest.raises(StudyError, match="the disk is full"):
        search.run(FakeWorker(fails=lambda task: next(errors)))
    assert [record.status for record in search.study().records()] == [COMPLETED, RUNNING]


def test_oracle_that_gives_up_ends_the_search(tmp_path):
    names = iter("abcdefgh")
    search = Search(tmp_path / "search")
    with pytest.raises(TunerError, match="The oracle gave up: Number of consecutive failures"):
        search.run(FakeWorker(fails=lambda task: ValueError(next(names))))
    assert [record.status for record in search.study().records()] == [FAILED] * 3


class KillingStudy:
    """A study whose writer dies right after its n-th write."""

    def __init__(self, study, writes):
        self._study, self._left = study, writes

    def __getattr__(self, name):
        value = getattr(self._study, name)
        return self._dying(value) if name in ("begin", "report", "finish") else value

    def _dying(self, write):
        def wrapped(*arguments, **options):
            if self._left == 0:
                raise Killed
            self._left -= 1
            return write(*arguments, **options)

        return wrapped


SMALL = dataclasses.replace(CONFIG, max_epochs=3)
SMALL_WRITES = 6 + 11 + 6  # trials begun, epochs, trials ended: 3 x 0->1, 1 x 1->3, 2 x 0->3


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    held = Search(tmp_path_factory.mktemp("small") / "search", SMALL).run()
    writes = 2 * len(held) + sum(record.epochs - record.initial_epoch for record in held)
    assert writes == SMALL_WRITES
    return _without_seconds(held)


@pytest.mark.parametrize("writes", range(SMALL_WRITES))
def test_search_killed_after_any_write_ends_the_same(writes, uninterrupted, tmp_path):
    search = Search(tmp_path / "search", SMALL)
    with pytest.raises(Killed):
        search.run(study=KillingStudy(search.study(), writes))
    assert _without_seconds(search.run()) == uninterrupted


def test_search_killed_again_and_again_ends_the_same(uninterrupted, tmp_path):
    search = Search(tmp_path / "search", SMALL)
    for _ in range(5):
        with pytest.raises(Killed):
            search.run(study=KillingStudy(search.study(), 4))
    assert _without_seconds(search.run()) == uninterrupted


@pytest.mark.parametrize("oracle", [_stock_oracle, _our_oracle])
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
    if oracle is _our_oracle:
        assert _without_seconds(held) == _without_seconds(complete.study().records())


@pytest.mark.parametrize("algorithm", ["bayesian", "random"])
def test_search_without_rungs_goes_on_the_same(algorithm, tmp_path):
    config = dataclasses.replace(SMALL, algorithm=algorithm, trials=5)
    through, killed = Search(tmp_path / "through", config), Search(tmp_path / "killed", config)
    with pytest.raises(Killed):
        killed.run(study=KillingStudy(killed.study(), 12))
    assert _without_seconds(killed.run()) == _without_seconds(through.run())


def _too_wide(task):
    return ValueError(task.seed) if task.hyperparameters["width"] > 55 else None


@pytest.mark.parametrize("bad", [{"diverges": _wide}, {"fails": _too_wide}])
def test_trials_without_a_score_are_replayed_too(bad, tmp_path):
    through, killed = Search(tmp_path / "through"), Search(tmp_path / "killed")

    def die(held):
        if sum(record.status != RUNNING for record in held) == 14:
            raise Killed

    with pytest.raises(Killed):
        killed.run(FakeWorker(**bad), on_trial_end=die)
    assert _without_seconds(killed.run(FakeWorker(**bad))) == _without_seconds(through.run(FakeWorker(**bad)))


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
    with pytest.raises(Killed):
        search.run(study=KillingStudy(search.study(), 20))
    before = search.study().records()
    worker = FakeWorker()
    with pytest.raises(StudyError, match=r"cannot be continued exactly: trial \d+ .*keras 3\.1.*--study"):
        search.run(worker, oracle=_our_oracle(dataclasses.replace(CONFIG, **change)))
    assert search.study().records() == before
    assert worker.tasks == []


class Impatient(keras_tuner.oracles.RandomSearchOracle):
    """Stops a trial after its second epoch, as an oracle may by the answer to a report."""

    def update_trial(self, trial_id, metrics, step=0):
        trial = super().update_trial(trial_id, metrics, step)
        trial.status = "STOPPED" if step == 2 else trial.status
        return trial


def _impatient(config):
    objective = keras_tuner.Objective(config.objective, config.direction)
    return Impatient(objective=objective, max_trials=3, hyperparameters=_space(), seed=1)


def test_oracle_may_stop_a_trial(tmp_path):
    held = Search(tmp_path / "search", oracle=_impatient).run()
    assert len(held) == 3
    for record in held:
        assert (record.status, record.curve["epoch"]) == (COMPLETED, [1, 2])
        assert record.score == record.curve["val_accuracy"][-1]


def test_stopped_trials_are_replayed(tmp_path):
    through = Search(tmp_path / "through", oracle=_impatient).run()
    search = Search(tmp_path / "killed", oracle=_impatient)
    with pytest.raises(Killed):
        search.run(study=KillingStudy(search.study(), 6))
    assert _without_seconds(search.run()) == _without_seconds(through)


def test_only_states_that_may_be_continued_are_kept(search):
    kept = []

    def watch(held):
        last = max(held, key=lambda record: -1 if record.order is None else record.order)
        files = {path.stem for path in search.checkpoints.glob("*")}
        parents = {record.parent for record in held}
        assert {f"trial{r.trial:05d}" for r in held if r.trial in parents} & files == set()
        kept.append((last.epochs, f"trial{last.trial:05d}" in files))

    search.run(on_trial_end=watch)
    assert {exists for epochs, exists in kept if epochs < 9} == {True}
    assert {exists for epochs, exists in kept if epochs == 9} == {False}


class Listener:
    """Writes down what it is told."""

    def __init__(self):
        self.events = []

    def resume(self, held):
        self.events.append(("resume", len(held)))

    def trial_began(self, record):
        self.events.append(("began", record.trial))

    def epoch_ended(self, record, epoch, metrics):
        assert metrics["val_accuracy"] == _validation(record.hyperparameters, epoch)["val_accuracy"]
        self.events.append(("epoch", epoch))

    def trial_ended(self, record):
        self.events.append((record.status, record.trial))


def test_observer_hears_everything_in_order(tmp_path):
    listener = Listener()
    Search(tmp_path / "search", dataclasses.replace(SMALL, trials=4)).run(observer=listener)
    trials = [
        [("began", n), *[("epoch", e) for e in epochs], (COMPLETED, n)]
        for n, epochs in enumerate([[1], [1], [1], [2, 3]])
    ]
    assert listener.events == [("resume", 0), *[event for events in trials for event in events]]


def test_observer_of_a_continued_search_hears_what_is_held(tmp_path):
    search = Search(tmp_path / "search", SMALL)
    with pytest.raises(Killed):
        search.run(study=KillingStudy(search.study(), 4))  # trial 0 has ended, trial 1 has begun
    listener = Listener()
    search.run(observer=listener)
    assert listener.events[:4] == [("resume", 2), ("began", 1), ("epoch", 1), (COMPLETED, 1)]


def test_executor_is_a_tuner_of_keras_tuner(search):
    executor = Executor(_our_oracle(CONFIG), worker=FakeWorker(), study=search.study(), checkpoints=search.checkpoints)
    assert isinstance(executor, keras_tuner.Tuner)
    trial = executor.oracle.create_trial("worker")
    assert executor.run_trial(trial) == {"val_accuracy": _validation({"width": 16}, 1)["val_accuracy"]}


def test_stopped_trial_keeps_its_epochs_in_the_study(tmp_path):
    held = Search(tmp_path / "search", oracle=_impatient).run()
    assert [record.epochs for record in held] == [2, 2, 2]


@pytest.mark.parametrize("different", [False, True])
def test_failure_message_has_no_traceback(different, tmp_path):
    names = iter("abcdefgh")
    worker = FakeWorker(fails=lambda task: ValueError(next(names) if different else "x"))
    with pytest.raises(TunerError) as end:
        Search(tmp_path / "search").run(worker)
    assert "Traceback" not in str(end.value)
    assert "ValueError: " in str(end.value)
