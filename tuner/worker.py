"""Trains trials: plain data in, plain data out. It knows no oracle and no study.

A trial is `begin` and, as long as the driver wants more, `advance`, an epoch each. What one trial leaves behind is used
by the next: the data, the compiled steps of each structure, and the last few networks, so that a promoted trial starts
at once. Checkpoints are written by a thread of their own while the next epoch is trained.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from tuner import records
from tuner.batches import images_of
from tuner.callbacks import Callbacks
from tuner.continuations import Continuations
from tuner.data import Dataset, load
from tuner.errors import DivergedError
from tuner.failures import kind_of
from tuner.hardware import resident_memory
from tuner.hypermodel import SEResNetHyperModel
from tuner.messages import Facts, Measurement, Progress, Session, Task
from tuner.networks import Networks
from tuner.runtime import configure_runtime
from tuner.training import Network, TrialTimeout

__all__ = ["Worker"]

# A trial in progress is saved when so much time has passed since the last time; less would be lost than it costs.
SECONDS_BETWEEN_CHECKPOINTS = 15.0


@dataclasses.dataclass
class _Trial:
    """The trial that a worker is training; what it waits to be let go on is none of its time."""

    task: Task
    network: Network
    callbacks: Callbacks
    curve: dict[str, list[float]]
    began: float
    saved: float
    told: float | None = None
    wait_seconds: float | None = None

    @property
    def deadline(self) -> float:
        return math.inf if self.task.seconds is None else self.began + self.task.seconds

    def resume(self) -> None:
        """Is let go on."""
        if self.told is not None:
            self.began += time.monotonic() - self.told


class Worker:
    """Trains one trial at a time.

    Args:
        session: What all trials share.
        dataset: The data set, where the caller has loaded it already.
        patience: Seconds to wait for a checkpoint that another worker may still be writing.

    Attributes:
        space: The search space.
        facts: What there is to know of the data.
        hypermodel: What the hyperparameters mean on this data set.
        networks: Makes networks of them.
        train_images: The training images.
    """

    def __init__(self, session: Session, dataset: Dataset | None = None, *, patience: float = 0.0) -> None:
        self.session = session
        configure = functools.partial(configure_runtime, cores=session.cores, threads=session.threads)
        if dataset is None:
            dataset = load(session.data, on_shape=configure)
        else:
            configure(dataset.input_shape)
        self.dataset = dataset
        self.train_images = images_of(self.dataset.train)
        self.space = session.load_space()
        self.facts = Facts.of(self.dataset)
        self.hypermodel = SEResNetHyperModel.of(session, self.facts, self.space)
        self._validation = images_of(self.dataset.validation)
        self.networks = Networks(session)
        self._continuations = Continuations(self.networks, self.hypermodel, self.train_images, patience=patience)
        self._trial: _Trial | None = None
        self._idle_since: float | None = None

    def begin(self, task: Task) -> Progress:
        """Begins a trial and trains its first epoch; of one that was interrupted, tells the epochs that it has instead.

        Raises:
            TunerError: If a person has to mend something, such as a full disk.
        """
        self._trial = None  # of a driver that has gone
        try:
            found = self._continuations.of(task)
            network, curve = found.network, found.curve
            now = time.monotonic()  # epochs that were lost are none of its time
            callbacks = self._callbacks(task, network)
            self._trial = _Trial(task, network, callbacks, curve, began=now - found.seconds, saved=now)
            callbacks.train_begin()
        except (Exception, SystemExit) as error:  # noqa: BLE001  (what goes wrong in one trial must not end the others)
            return self._ended(*kind_of(error))
        if not curve:
            return self.advance()
        goes_on = network.epoch < task.epochs and not found.has_ended
        return self._told(curve) if goes_on else self._complete(curve)

    def advance(self) -> Progress:
        """Trains the next epoch of the trial."""
        trial = self._trial
        assert trial is not None, "begin comes before advance"
        trial.resume()
        if trial.wait_seconds is None and self._idle_since is not None:
            trial.wait_seconds = time.monotonic() - self._idle_since
        began = time.monotonic()
        try:
            metrics = self._epoch(trial)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            return self._ended(*kind_of(error))
        rate = len(self.train_images) / (time.monotonic() - began)
        new = _append({}, trial.network.epoch, metrics)
        _append(trial.curve, trial.network.epoch, metrics)
        if not (math.isfinite(metrics["loss"]) and math.isfinite(metrics["val_loss"])):
            return self._ended(records.DIVERGED, _not_finite(trial.network), new)
        if trial.network.epoch >= trial.task.epochs or trial.callbacks.wants_to_stop:
            return self._complete(new, rate=rate)
        if time.monotonic() > trial.deadline:
            return self._ended(*kind_of(TrialTimeout()), new, rate=rate)
        if time.monotonic() - trial.saved > SECONDS_BETWEEN_CHECKPOINTS:
            self._save(trial)
        return self._told(new, rate=rate)

    def stop(self) -> Progress:
        """Ends the trial after the epochs that it has, as complete."""
        assert self._trial is not None, "begin comes before the end"
        self._trial.resume()
        return self._complete({})

    def flush(self) -> None:
        """Waits until all checkpoints are on the disk."""
        self._continuations.flush()

    def train(self, task: Task, report: Callable[[int, Mapping[str, float]], bool] | None = None) -> Progress:
        """Trains a whole trial.

        Args:
            task: What to train.
            report: Called after each epoch with the absolute epoch, from 1, and the metrics; returns whether to stop.

        Returns:
            How it ended, with the curve of the trial's own epochs.
        """
        progress = self.begin(task)
        curve: dict[str, list[float]] = {}
        while True:
            stop = False
            for place, epoch in enumerate(progress.curve.get("epoch", [])):
                metrics = {name: values[place] for name, values in progress.curve.items() if name != "epoch"}
                _append(curve, int(epoch), metrics)
                stop = (report is not None and report(int(epoch), metrics)) or stop
            if progress.status != records.RUNNING:
                return dataclasses.replace(progress, curve=curve)
            progress = self.stop() if stop else self.advance()

    def retrain(
        self,
        hyperparameters: Mapping[str, Any],
        *,
        epochs: int,
        seed: int,
        report: Callable[[int, Mapping[str, float]], bool] | None = None,
    ) -> Network:
        """Trains a configuration on the training and the validation images together.

        Args:
            hyperparameters: Active values by name.
            epochs: Epochs to train, of a schedule that spans the session's `max_epochs`.
            seed: Seed of the training.
            report: Called after each epoch with the epoch, from 1, and the metrics `loss` and `accuracy`.

        Returns:
            The trained network.

        Raises:
            DivergedError: If the loss is not finite after an epoch.
        """
        data = images_of(self.dataset.train, self.dataset.validation)
        sizes = zip(self.facts.class_sizes, self.facts.validation_sizes, strict=True)
        facts = dataclasses.replace(self.facts, train=len(data), class_sizes=tuple(map(sum, sizes)))
        hypermodel = SEResNetHyperModel.of(self.session, facts, self.space)
        network = self.networks.network(hypermodel, hyperparameters)
        network.reset(hypermodel.recipe(hyperparameters), seed=seed)
        while network.epoch < epochs:
            metrics = network.train_epoch(data)
            if not math.isfinite(metrics["loss"]):
                raise DivergedError(_not_finite(network))
            if report is not None and report(network.epoch, metrics):
                break
        return network

    def measure(self, hyperparameters: Mapping[str, Any]) -> Measurement:
        """Measures a configuration with a few steps; what was compiled is kept for the first trial."""
        return self.networks.measure(self.hypermodel, hyperparameters, self.train_images, self._validation)

    def _callbacks(self, task: Task, network: Network) -> Callbacks:
        return Callbacks(
            self.space.callbacks,
            network,
            epochs=task.epochs,
            steps=self.hypermodel.steps_per_epoch,
            test_steps=math.ceil(self.facts.validation / self.session.batch_size),
        )

    def _epoch(self, trial: _Trial) -> dict[str, float]:
        network, callbacks = trial.network, trial.callbacks
        callbacks.epoch_begin()
        metrics = network.train_epoch(self.train_images, deadline=trial.deadline, on_batch=callbacks.on_batch)
        validation = {name: math.nan if name == "loss" else 0.0 for name in metrics}
        if math.isfinite(metrics["loss"]):
            callbacks.test_begin()
            validation = network.evaluate(self._validation, on_batch=callbacks.on_test_batch)
            callbacks.test_end(validation)
        metrics |= {f"val_{name}": value for name, value in validation.items()}
        callbacks.epoch_end(metrics)
        return metrics

    def _save(self, trial: _Trial, *, has_ended: bool = False) -> None:
        trial.saved = time.monotonic()
        seconds = trial.saved - trial.began
        self._continuations.save(trial.task, trial.network, trial.curve, seconds=seconds, has_ended=has_ended)

    def _complete(self, curve: Mapping[str, list[float]], *, rate: float | None = None) -> Progress:
        """Ends the trial as complete and keeps its network for a promotion."""
        trial = self._trial
        assert trial is not None, "begin comes before the end"
        if trial.task.keep:
            self._save(trial, has_ended=True)
            self._continuations.keep(trial.task, trial.network)
        return self._ended(records.COMPLETED, trial.network.remark, curve, rate=rate)

    def _ended(
        self, status: str, message: str, curve: Mapping[str, list[float]] | None = None, *, rate: float | None = None
    ) -> Progress:
        try:
            if self._trial is not None:
                self._trial.callbacks.train_end()
        except (Exception, SystemExit) as error:  # noqa: BLE001
            if status == records.COMPLETED:
                status, message = kind_of(error)
        told = self._told(curve or {}, status=status, message=message, rate=rate)
        self._trial, self._idle_since = None, time.monotonic()
        return told

    def _told(
        self,
        curve: Mapping[str, list[float]],
        *,
        status: str = records.RUNNING,
        message: str = "",
        rate: float | None = None,
    ) -> Progress:
        trial, now = self._trial, time.monotonic()
        if trial:
            trial.told = now
        return Progress(
            status=status,
            curve={name: list(values) for name, values in curve.items()},
            seconds=now - trial.began if trial else 0.0,
            images_per_second=rate,
            wait_seconds=trial.wait_seconds if trial else None,
            memory=resident_memory(),
            message=message,
        )


def _not_finite(network: Network) -> str:
    return f"The loss is not finite in epoch {network.epoch}."


def _append(curve: dict[str, list[float]], epoch: int, metrics: Mapping[str, float]) -> dict[str, list[float]]:
    for name, value in {"epoch": epoch, **metrics}.items():
        curve.setdefault(name, []).append(value)
    return curve
