"""Where a trial goes on: in the network that the worker still has, from a checkpoint, or from the beginning.

A checkpoint is written by a thread of its own while the next epoch is trained.
"""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

from tuner.batches import AnyImages
from tuner.checkpoint import CheckpointWriter, TrainingState, load_state
from tuner.hypermodel import SEResNetHyperModel
from tuner.messages import Task
from tuner.networks import Networks
from tuner.training import Network

__all__ = ["RESIDENT_NETWORKS", "Continuation", "Continuations"]

# Networks of ended trials that a promotion may ask for.
RESIDENT_NETWORKS = 4

Curve = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Continuation:
    """Where a trial goes on.

    Args:
        network: The network at the epoch from which to train on.
        curve: Metric values of the trial so far, one an epoch.
        seconds: Wall time of the trial so far.
        has_ended: Whether a callback or the oracle has ended the trial there already.
    """

    network: Network
    curve: Curve = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    has_ended: bool = False


class Continuations:
    """The networks of ended trials and the checkpoints of all, of one worker.

    Args:
        networks: Makes networks.
        hypermodel: What the hyperparameters mean.
        images: What is trained on where there is neither network nor checkpoint.
        patience: Seconds to wait for a checkpoint that another worker may still be writing.
    """

    def __init__(
        self, networks: Networks, hypermodel: SEResNetHyperModel, images: AnyImages, *, patience: float
    ) -> None:
        self._networks, self._hypermodel, self._images, self._patience = networks, hypermodel, images, patience
        self._resident: collections.OrderedDict[str, Network] = collections.OrderedDict()
        self._writer = CheckpointWriter()

    def of(self, task: Task) -> Continuation:
        """Returns where a trial goes on, which is where it begins if it is new."""
        resident = self._resident.pop(task.parent, None) if task.parent else None
        if resident is not None and (resident.seed != task.seed or resident.epoch > task.initial_epoch):
            resident = None
        own = None
        begun_before = task.checkpoint is not None and Path(task.checkpoint).exists()
        if begun_before or resident is None:  # else there is nothing that it would have to wait for
            own = self._state(task.checkpoint, task, range(task.initial_epoch + 1, task.epochs + 1))
        if own is None and resident is not None:
            return Continuation(self._gone_on(resident, task))
        network = self._networks.network(self._hypermodel, task.hyperparameters)
        recipe = self._hypermodel.recipe(task.hyperparameters)
        if own is not None:
            network.restore(recipe, own)
            curve = {name: list(values) for name, values in own.curve.items()}
            return Continuation(network, curve, own.seconds, has_ended=own.ended)
        parent = self._state(task.parent, task, range(1, task.initial_epoch + 1), self._patience)
        if parent is not None:
            network.restore(recipe, parent)  # also where the parent has ended there: its child trains on
        else:
            network.reset(recipe, seed=task.seed)
        return Continuation(self._gone_on(network, task))

    def _gone_on(self, network: Network, task: Task) -> Network:
        """Trains what a callback has ended early, or what was lost, to where the trial begins."""
        while network.epoch < task.initial_epoch:
            network.train_epoch(self._images)
        return network

    def save(self, task: Task, network: Network, curve: Curve, *, seconds: float, has_ended: bool = False) -> None:
        """Writes the state of a network and the trial so far to the checkpoint of that, where it has one.

        Args:
            task: The trial.
            network: Its training.
            curve: Metrics of its own epochs so far.
            seconds: What these took.
            has_ended: Whether it has ended with this epoch, which a state from before its last one says, too: who
                begins the trial again, because nobody heard of its end, must not train on.
        """
        if task.checkpoint:
            ended = has_ended and network.epoch < task.epochs
            state = network.frozen()
            self._writer.save(task.checkpoint, state, dict(curve), seconds=seconds, ended=ended, instead_of=task.parent)

    def keep(self, task: Task, network: Network) -> None:
        """Keeps the network of an ended trial, which its checkpoint names, and lets the oldest of too many go."""
        if task.checkpoint:
            self._resident[task.checkpoint] = network
            while len(self._resident) > RESIDENT_NETWORKS:
                self._resident.popitem(last=False)

    def flush(self) -> None:
        """Waits until all checkpoints are on the disk."""
        self._writer.flush()

    def _state(self, path: str | None, task: Task, epochs: range, patience: float = 0.0) -> TrainingState | None:
        if path is None:
            return None
        self._writer.flush()
        state = load_state(path, patience=patience)
        return state if state is not None and state.seed == task.seed and state.epoch in epochs else None
