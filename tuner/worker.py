"""Trains one trial: plain data in, plain data out. It knows no oracle and no study."""

from __future__ import annotations

import collections
import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuner import records
from tuner.checkpoint import TrainingState, load_state, save_state
from tuner.config import SearchConfig
from tuner.data import Dataset, DataSpec, load
from tuner.hypermodel import SEResNetHyperModel
from tuner.models import Cost, cost
from tuner.program import Program, Structure
from tuner.space import load_space
from tuner.training import Architecture, Images, Network, configure_runtime

__all__ = ["Measurement", "Result", "Session", "Task", "Worker"]

# Structures whose compiled steps are kept; the graphs of a small one hold about 20 MB.
CACHED_PROGRAMS = 32

# A trial in progress is saved when so much time has passed since the last time; less would be lost than it costs.
SECONDS_BETWEEN_CHECKPOINTS = 15.0

MEASURED_STEPS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """What all trials of a search share.

    Args:
        data: The data set.
        space: Name or path of the search space.
        max_epochs: Full budget of one configuration.
        batch_size: Images a training step.
    """

    data: DataSpec
    space: str
    max_epochs: int
    batch_size: int

    @classmethod
    def of(cls, config: SearchConfig, data_dir: str | None) -> Session:
        """Returns the session of a search; `data_dir` is where tensorflow-datasets keeps data, None for its default."""
        data = DataSpec(config.dataset, config.image_size, config.validation_fraction, data_dir)
        return cls(data=data, space=config.space, max_epochs=config.max_epochs, batch_size=config.batch_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One trial to be trained.

    Args:
        hyperparameters: Active values by name.
        initial_epoch: Epochs that the run has behind it.
        epochs: Epochs that the run will have behind it.
        seed: Seed of the weights and of the order of the images.
        checkpoint: File that takes the training state, or None; a state found there is gone on from.
        parent: File with the state at `initial_epoch`, or None. Where it is lost, the run is trained again from its
            beginning, with the same result.
    """

    hyperparameters: Mapping[str, Any]
    initial_epoch: int
    epochs: int
    seed: int
    checkpoint: str | None = None
    parent: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a trial came to.

    Args:
        status: `completed` or `diverged`.
        curve: Metric values by name, one an epoch; `epoch` holds the absolute epochs, from 1.
        seconds: Wall time.
        message: Why it diverged, or an empty text.
    """

    status: str
    curve: dict[str, list[float]]
    seconds: float
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """What the default configuration costs on this machine.

    Args:
        start_seconds: Compiling the steps of a structure.
        epoch_seconds: Training one epoch and evaluating the validation images.
    """

    start_seconds: float
    epoch_seconds: float


Report = Callable[[int, Mapping[str, float]], bool]


class Worker:
    """Keeps a data set and compiled steps from one trial to the next.

    Args:
        session: What all trials share.
        dataset: The data set, where the caller has loaded it already.

    Attributes:
        space: The search space.
        hypermodel: What the hyperparameters mean on this data set.
        train_images: The training images.
    """

    def __init__(self, session: Session, dataset: Dataset | None = None) -> None:
        configure_runtime()
        self.session = session
        self.dataset = load(session.data) if dataset is None else dataset
        self.train_images = Images(self.dataset.train.images, self.dataset.train.labels)
        self._validation = Images(self.dataset.validation.images, self.dataset.validation.labels)
        self._statistics = self.dataset.channel_statistics()
        self.space = load_space(session.space)
        self.hypermodel = self._hypermodel_for(len(self.train_images))
        self._programs: collections.OrderedDict[Structure, Program] = collections.OrderedDict()

    def cost(self, hyperparameters: Mapping[str, Any]) -> Cost:
        """Returns the size of the network that hyperparameters ask for, without building it."""
        return cost(self.hypermodel.model_config(hyperparameters))

    def train(self, task: Task, report: Report | None = None) -> Result:
        """Trains a trial to its last epoch, or to the first loss that is not finite.

        Args:
            task: What to train.
            report: Called after each epoch with the absolute epoch, from 1, and the metrics; returns whether to stop.

        Returns:
            The curve of the trial's own epochs.
        """
        began = time.perf_counter()
        network, curve = self._begin(task)
        saved, status, message, stop = time.perf_counter(), records.COMPLETED, "", False
        if report is not None:  # what an interrupted trial had reached is news to an oracle that was restored
            told = [report(int(epoch), _at(curve, place)) for place, epoch in enumerate(curve.get("epoch", []))]
            stop = any(told)
        while network.epoch < task.epochs and not stop:
            metrics = self._epoch(network)
            _append(curve, network.epoch, metrics)
            if not (math.isfinite(metrics["loss"]) and math.isfinite(metrics["val_loss"])):
                status, message = records.DIVERGED, f"The loss is not finite in epoch {network.epoch}."
                break
            stop = report is not None and report(network.epoch, metrics)
            if task.checkpoint and time.perf_counter() - saved > SECONDS_BETWEEN_CHECKPOINTS:
                _save(task.checkpoint, network, curve)
                saved = time.perf_counter()
        if task.checkpoint and status == records.COMPLETED:
            _save(task.checkpoint, network, curve)
        return Result(status=status, curve=curve, seconds=time.perf_counter() - began, message=message)

    def retrain(
        self, hyperparameters: Mapping[str, Any], *, epochs: int, seed: int, report: Report | None = None
    ) -> Network:
        """Trains a configuration on the training and the validation images together.

        Args:
            hyperparameters: Active values by name.
            epochs: Epochs to train, of a schedule that spans the session's `max_epochs`.
            seed: Seed of the training.
            report: Called after each epoch with the epoch, from 1, and the metrics `loss` and `accuracy`.

        Returns:
            The trained network.
        """
        parts = (self.dataset.train, self.dataset.validation)
        data = Images(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))
        network = Network(self._architecture(hyperparameters, self._hypermodel_for(len(data))))
        network.reset(self.hypermodel.recipe(hyperparameters), seed=seed)
        while network.epoch < epochs:
            metrics = network.train_epoch(data)
            if report is not None and report(network.epoch, metrics):
                break
        return network

    def measure(self, hyperparameters: Mapping[str, Any]) -> Measurement:
        """Measures a configuration with a few steps; what was compiled is kept for the first trial."""
        times = [time.perf_counter()]
        network = self.network(hyperparameters)
        network.reset(self.hypermodel.recipe(hyperparameters), seed=0)
        network.train_epoch(self.train_images, max_steps=1)
        network.evaluate(self._validation)
        times.append(time.perf_counter())
        steps = min(MEASURED_STEPS, self.hypermodel.steps_per_epoch)
        network.train_epoch(self.train_images, max_steps=steps)
        times.append(time.perf_counter())
        network.evaluate(self._validation)
        times.append(time.perf_counter())
        start, training, evaluation = np.diff(times)
        return Measurement(
            start_seconds=float(start),
            epoch_seconds=float(training * self.hypermodel.steps_per_epoch / steps + evaluation),
        )

    def _epoch(self, network: Network) -> dict[str, float]:
        metrics = network.train_epoch(self.train_images)
        if math.isfinite(metrics["loss"]):
            validation = network.evaluate(self._validation)
            return metrics | {f"val_{name}": value for name, value in validation.items()}
        return metrics | {"val_loss": math.nan, "val_accuracy": 0.0}

    def _begin(self, task: Task) -> tuple[Network, dict[str, list[float]]]:
        """Returns the network at the epoch from which to train on, and the curve of the trial so far."""
        network = self.network(task.hyperparameters)
        recipe = self.hypermodel.recipe(task.hyperparameters)
        own = self._state(task.checkpoint, task, range(task.initial_epoch + 1, task.epochs + 1))
        if own is not None:
            network.restore(recipe, own)
            return network, {name: list(values) for name, values in own.curve.items()}
        parent = self._state(task.parent, task, range(task.initial_epoch, task.initial_epoch + 1))
        if parent is not None:
            network.restore(recipe, parent)
        else:
            network.reset(recipe, seed=task.seed)
        while network.epoch < task.initial_epoch:
            network.train_epoch(self.train_images)
        return network, {}

    def _state(self, path: str | None, task: Task, epochs: range) -> TrainingState | None:
        state = load_state(Path(path)) if path else None
        return state if state is not None and state.seed == task.seed and state.epoch in epochs else None

    def network(self, hyperparameters: Mapping[str, Any]) -> Network:
        """Returns the network that hyperparameters ask for, with compiled steps where its structure was met before."""
        architecture = self._architecture(hyperparameters, self.hypermodel)
        structure = architecture.structure
        if structure not in self._programs:
            self._programs[structure] = Program(structure)
        self._programs.move_to_end(structure)
        while len(self._programs) > CACHED_PROGRAMS:
            self._programs.popitem(last=False)
        return Network(architecture, self._programs[structure])

    def _architecture(self, hyperparameters: Mapping[str, Any], hypermodel: SEResNetHyperModel) -> Architecture:
        return Architecture(
            config=hypermodel.model_config(hyperparameters),
            optimizer=hypermodel.recipe(hyperparameters).optimizer,
            total_steps=hypermodel.total_steps,
            batch_size=self.session.batch_size,
        )

    def _hypermodel_for(self, images: int) -> SEResNetHyperModel:
        mean, variance = self._statistics
        return SEResNetHyperModel(
            space=self.space,
            input_shape=self.dataset.input_shape,
            classes=self.dataset.classes,
            max_epochs=self.session.max_epochs,
            steps_per_epoch=math.ceil(images / self.session.batch_size),
            batch_size=self.session.batch_size,
            mean=mean,
            variance=variance,
        )


def _save(path: str, network: Network, curve: Mapping[str, list[float]]) -> None:
    save_state(Path(path), dataclasses.replace(network.state(), curve=curve))


def _at(curve: Mapping[str, list[float]], place: int) -> dict[str, float]:
    return {name: values[place] for name, values in curve.items() if name != "epoch"}


def _append(curve: dict[str, list[float]], epoch: int, metrics: Mapping[str, float]) -> None:
    for name, value in {"epoch": epoch, **metrics}.items():
        curve.setdefault(name, []).append(value)
