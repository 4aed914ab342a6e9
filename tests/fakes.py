"""Workers that learn in no time, a crew of them that answers in any order, and searches with both.

What a fake worker returns follows from the task alone, as it does with the real one.
"""

import contextlib
import dataclasses
import json
import math
import random
from pathlib import Path

import keras_tuner
import optuna
import pytest

from tuner.config import SearchConfig
from tuner.crew import Event, LocalCrew
from tuner.executor import Executor
from tuner.hypermodel import SEResNetHyperModel
from tuner.messages import Facts, Measurement, Progress
from tuner.oracles import make_oracle
from tuner.records import COMPLETED, DIVERGED, RUNNING
from tuner.seeds import spread_seed
from tuner.study import Study

CONFIG = SearchConfig(space="tiny", algorithm="hyperband", max_epochs=9, batch_size=64)
SMALL = dataclasses.replace(CONFIG, max_epochs=3)
SMALL_WRITES = 6 + 11 + 6  # trials begun, epochs, trials ended: 3 x 0->1, 1 x 1->3, 2 x 0->3
CLASSES = 10
FACTS = Facts(train=100, validation=20, input_shape=(8, 8, 1), classes=CLASSES, mean=(0.0,), variance=(1.0,))


class Killed(BaseException):
    """Ends a search at once, as SIGKILL does: nothing that the program could catch and clean up after."""


def validation(hyperparameters, epoch):
    """A network of width 40 is the best; every other epoch is a better one than the next."""
    accuracy = (1 - abs(hyperparameters["width"] - 40) / 100) * (1 - 0.5 / epoch) - 0.01 * (epoch % 2)
    return {"val_loss": 1 - accuracy, "val_accuracy": accuracy}


def curve_of(record):
    """Returns the curve that a trial of a fake worker has when nothing happens to it."""
    epochs = range(record.initial_epoch + 1, record.epochs + 1)
    told = [{"epoch": e, "loss": 2.0 / e, **validation(record.hyperparameters, e)} for e in epochs]
    return {name: [metrics[name] for metrics in told] for name in ("epoch", "loss", "val_loss", "val_accuracy")}


class FakeWorker:
    """Trains one trial at a time; a checkpoint is a file with the curve of its trial.

    Args:
        diverges: Says of a task whether its loss is not finite in its first epoch.
        ends: Returns of a task and its next epoch how that ends the trial: a status and a message, an error that is
            raised through, or None.
        saves: Whether there is a checkpoint after every epoch instead of at the end only.
    """

    facts = FACTS

    def __init__(self, *, diverges=lambda task: False, ends=lambda task, epoch: None, saves=False):
        self.tasks = []
        self._diverges, self._ends, self._saves = diverges, ends, saves
        self._task, self._curve = None, {}

    def measure(self, hyperparameters):
        return Measurement(start_seconds=1.0, epoch_seconds=0.5)

    def begin(self, task):
        self.tasks.append(task)
        self._task, self._curve = task, {}
        if task.checkpoint and Path(task.checkpoint).exists():
            self._curve = json.loads(Path(task.checkpoint).read_text())
            return self._told(self._curve, status=RUNNING if self._epoch < task.epochs else COMPLETED)
        return self.advance()

    def advance(self):
        task, epoch = self._task, self._epoch + 1
        assert epoch <= task.epochs
        end = self._ends(task, epoch)
        if isinstance(end, BaseException):
            raise end
        if end is not None:
            return self._told({}, status=end[0], message=end[1])
        bad = self._diverges(task)
        metrics = {"epoch": epoch, "loss": math.nan if bad else 2.0 / epoch, **validation(task.hyperparameters, epoch)}
        for name, value in metrics.items():
            self._curve.setdefault(name, []).append(value)
        new = {name: [value] for name, value in metrics.items()}
        if bad:
            return self._told(new, status=DIVERGED, message="The loss is not finite.")
        if epoch == task.epochs:
            self._save()
            return self._told(new, status=COMPLETED)
        if self._saves:
            self._save()
        return self._told(new)

    def stop(self):
        self._save()
        return self._told({}, status=COMPLETED)

    @property
    def _epoch(self):
        return self._curve["epoch"][-1] if self._curve else self._task.initial_epoch

    def _save(self):
        if self._task.checkpoint:
            path = Path(self._task.checkpoint)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(self._curve))

    def _told(self, curve, *, status=RUNNING, message=""):
        return Progress(status=status, curve=curve, seconds=0.5, images_per_second=200.0, message=message)


class FakeCrew:
    """Fake workers that answer in a random order.

    Args:
        workers: How many.
        seed: Seed of the order of the answers.
        make: Makes a worker; called again where one is replaced.
        dies: Says of a worker's name, a trial and the number of answers so far whether the worker dies instead of
            answering.
        silent: Chance that nothing happens for a while.
    """

    facts = FACTS

    def __init__(self, workers, *, seed=0, make=FakeWorker, dies=lambda worker, trial, answers: False, silent=0.1):
        self.workers = {f"w{number}": make() for number in range(workers)}
        self.random = random.Random(seed)
        self.begun = []
        self.most_in_flight = 0
        self.replaced = []
        self._make, self._dies, self._silent = make, dies, silent
        self._trials, self._calls, self._answers = {}, {}, 0
        self._stuck, self._wait = None, lambda: None

    @property
    def size(self):
        return len(self.workers)

    def refusals(self):
        return []

    def free(self):
        return sorted(set(self.workers) - set(self._trials))

    def measure(self, hyperparameters, *, together=None):
        return [worker.measure(hyperparameters) for worker in self.workers.values()]

    def begin(self, worker, trial, task):
        assert worker not in self._trials, "one trial at a time"
        self._trials[worker] = trial
        self._calls[worker] = lambda: self.workers[worker].begin(task)
        self.begun.append((trial, worker))
        self.most_in_flight = max(self.most_in_flight, len(self._trials))

    def advance(self, trial):
        worker = self._worker_of(trial)
        self._calls[worker] = self.workers[worker].advance

    def stop(self, trial):
        worker = self._worker_of(trial)
        self._calls[worker] = self.workers[worker].stop

    def replace(self, worker):
        self.replaced.append(worker)
        self._renew(worker)

    def hang(self, trial, wait):
        """Lets the worker of a trial never answer; `wait` is called whenever there is no answer at all."""
        self._stuck, self._wait = trial, wait

    def next(self, seconds=None):
        answering = sorted(worker for worker in self._calls if self._trials[worker] != self._stuck)
        if not answering or self.random.random() < self._silent:
            self._wait()
            return None
        worker = self.random.choice(answering)
        trial, self._answers = self._trials[worker], self._answers + 1
        if self._dies(worker, trial, self._answers):
            self._renew(worker)
            return Event(trial, worker, None)
        progress = self._calls.pop(worker)()
        if progress.status != RUNNING:
            del self._trials[worker]
        return Event(trial, worker, progress)

    def _worker_of(self, trial):
        return next(worker for worker, held in self._trials.items() if held == trial)

    def _renew(self, worker):
        self.workers[worker] = self._make()
        self._trials.pop(worker, None)
        self._calls.pop(worker, None)


def space():
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 4, 64, default=16)
    hp.Float("learning_rate", 0.001, 1.0, sampling="log", default=0.1)
    return hp


def stock_oracle(config):
    return keras_tuner.oracles.HyperbandOracle(
        objective=keras_tuner.Objective(config.objective, config.direction),
        max_epochs=config.max_epochs,
        hyperparameters=space(),
        seed=spread_seed(config.seed),
    )


def our_oracle(config):
    return make_oracle(config, space())


class Impatient(keras_tuner.oracles.RandomSearchOracle):
    """Stops a trial after its second epoch, as an oracle may by the answer to a report."""

    def update_trial(self, trial_id, metrics, step=0):
        trial = super().update_trial(trial_id, metrics, step)
        trial.status = "STOPPED" if step == 2 else trial.status
        return trial


def impatient(config):
    objective = keras_tuner.Objective(config.objective, config.direction)
    return Impatient(objective=objective, max_trials=3, hyperparameters=space(), seed=1)


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


class Search:
    """One study, searched as often as a test likes: each time with a new oracle and study, as a new process would.

    Args:
        folder: Where checkpoints go, and the study when it is on disk.
        config: What to search.
        oracle: Makes the oracle of a configuration.
        declared: The space of the study; that of the oracle is the oracle's.
        on_disk: Whether the study is in SQLite, which takes 40 times longer than memory.
    """

    def __init__(self, folder, config=CONFIG, *, oracle=our_oracle, declared=None, on_disk=False):
        folder.mkdir(exist_ok=True)
        self.checkpoints = folder / "checkpoints"
        self.config, self.make_oracle = config, oracle
        self._url = f"sqlite:///{folder / 'study.db'}" if on_disk else "memory://"
        self._memory = None if on_disk else optuna.storages.InMemoryStorage()
        declared = (declared or space()).get_config()["space"]
        with self._storage():
            Study.create(self._url, "s", config=config, space=declared, versions={"keras": "3.1"})

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

    @property
    def hypermodel(self):
        return SEResNetHyperModel(lambda hp: None, (8, 8, 1), CLASSES, self.config.max_epochs, 2)

    def executor(self, worker=None, *, crew=None, study=None, oracle=None, **options):
        self.worker = worker or FakeWorker()
        self.crew = crew or LocalCrew(self.worker)
        self.oracle = oracle or self.make_oracle(self.config)
        return Executor(
            self.oracle,
            crew=self.crew,
            hypermodel=self.hypermodel,
            study=study or self.study(),
            checkpoints=self.checkpoints,
            **options,
        )

    def run(self, worker=None, **options):
        """Searches and returns all trials of the study."""
        executor = self.executor(worker, **options)
        executor.search()
        self.reason = executor.reason
        return self.study().records()

    def kill(self, writes, **options):
        """Searches with a study whose writer dies after some writes."""
        with pytest.raises(Killed):
            self.run(study=KillingStudy(self.study(), writes), **options)


def without_times(records):
    """Returns the records without what depends on the machine: times and names of workers."""
    return [dataclasses.replace(record, seconds=0.0, wait_seconds=None, worker="") for record in records]


def wide(task):
    """Whether a task or record has more than 30 channels."""
    return task.hyperparameters["width"] > 30
