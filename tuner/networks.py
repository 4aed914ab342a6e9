"""Makes networks and keeps the compiled steps of the structures that were met."""

from __future__ import annotations

import collections
import gc
import itertools
import time
from collections.abc import Mapping
from typing import Any

from tuner.architecture import Architecture
from tuner.batches import AnyImages
from tuner.config import STEPS_BETWEEN_CHECKS
from tuner.hardware import resident_memory
from tuner.hypermodel import SEResNetHyperModel
from tuner.messages import Measurement, Session
from tuner.mirror import Mirror
from tuner.program import Program, Structure
from tuner.recipe import Recipe
from tuner.splitting import Splits
from tuner.training import Network

__all__ = ["Networks"]

# Structures whose compiled steps are kept. The graphs of a small one hold about 20 MB and take 0.7 s to make; `small`
# has 54 structures, and most trials bring a new one whatever is kept.
CACHED_PROGRAMS = 6

MEASURED_STEPS, MEASURED_ROUNDS = 8, 3


class Networks:
    """The networks of one search.

    Args:
        session: What all trials share.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._programs: collections.OrderedDict[Structure, Program] = collections.OrderedDict()
        self._splits, self._mirror = Splits(), Mirror(session.replicas)
        self._steps_per_execution = session.steps_per_execution

    def network(self, hypermodel: SEResNetHyperModel, hyperparameters: Mapping[str, Any]) -> Network:
        """Returns the network that hyperparameters ask for, with compiled steps where its structure was met before."""
        recipe = hypermodel.recipe(hyperparameters)
        architecture = Architecture(
            config=hypermodel.model_config(hyperparameters),
            optimizer=recipe.optimizer,
            total_steps=hypermodel.total_steps,
            batch_size=self.session.batch_size,
            mixed_precision=self.session.mixed_precision,
            jit=self.session.jit,
            schedule_exponent=hypermodel.schedule_exponent,
            augments=recipe.augments,
            balances=self.session.balances,
            class_weights=hypermodel.class_weights(recipe),
        )
        structure = architecture.structure
        if structure not in self._programs:
            self._make_room()
            self._programs[structure] = Program(structure)
        self._programs.move_to_end(structure)
        return Network(
            architecture,
            self._programs[structure],
            splits=self._splits,
            steps_per_execution=self._steps_per_execution or 1,
            mirror=self._mirror,
        )

    def measure(
        self,
        hypermodel: SEResNetHyperModel,
        hyperparameters: Mapping[str, Any],
        train: AnyImages,
        validation: AnyImages,
    ) -> Measurement:
        """Measures a configuration with a few steps of training and of evaluation; what was compiled is kept."""
        times = [time.perf_counter()]
        network = self.network(hypermodel, hyperparameters)
        network.reset(hypermodel.recipe(hyperparameters), seed=0)
        network.train_epoch(train, max_steps=1)
        network.evaluate(validation, max_steps=1)
        times.append(time.perf_counter())
        steps = min(MEASURED_STEPS, hypermodel.steps_per_epoch)
        network.train_epoch(train, max_steps=steps)
        times.append(time.perf_counter())
        evaluated = min(MEASURED_STEPS * self.session.batch_size, len(validation))
        network.evaluate(validation, max_steps=MEASURED_STEPS)
        times.append(time.perf_counter())
        if self._steps_per_execution is None:
            self._steps_per_execution = self._worthwhile_steps(network, train, hypermodel.steps_per_epoch)
        start, training, evaluation = (after - before for before, after in itertools.pairwise(times))
        return Measurement(
            start_seconds=start,
            epoch_seconds=training * hypermodel.steps_per_epoch / steps + evaluation * len(validation) / evaluated,
            images_per_second=min(steps * self.session.batch_size, len(train)) / training,
        )

    def _worthwhile_steps(self, network: Network, train: AnyImages, steps_per_epoch: int) -> int:
        """Returns how many steps a call should make: one where an epoch does not win the later start back."""
        looped = Network(network.architecture, network.program, steps_per_execution=STEPS_BETWEEN_CHECKS)
        looped.restore(Recipe(network.architecture.optimizer, 0.0), network.state())
        start = _seconds(looped, train)
        rounds = [(_seconds(network, train), _seconds(looped, train)) for _ in range(MEASURED_ROUNDS)]
        one, many = (min(taken) for taken in zip(*rounds, strict=True))
        epochs_measured = min(MEASURED_STEPS, steps_per_epoch) / steps_per_epoch
        return STEPS_BETWEEN_CHECKS if (one - many) / epochs_measured > start - many else 1

    def _make_room(self) -> None:
        """Drops the compiled steps that were used least recently: all but the newest where memory is short."""
        short = self.session.memory is not None and resident_memory() > self.session.memory
        keep = 1 if short else CACHED_PROGRAMS - 1
        if len(self._programs) > keep:
            while len(self._programs) > keep:
                self._programs.popitem(last=False)
            gc.collect()  # a graph is full of circles


def _seconds(network: Network, train: AnyImages) -> float:
    """Returns the seconds of the measured steps."""
    began = time.perf_counter()
    network.train_epoch(train, max_steps=MEASURED_STEPS)
    return time.perf_counter() - began
