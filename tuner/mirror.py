"""One training on several devices: each takes its share of a batch, and all change their copies of the weights alike.

The arithmetic is that of a batch in parts (`tuner/splitting.py`), one or more for each device: gradients and batch
statistics are averaged by images before the weights change, and batch normalisation sees a part. So a machine with
fewer devices trains the same, the parts one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tuner.program import Carry, Program, State

__all__ = ["Mirror", "MirroredSteps", "strategy_for"]


class Mirror:
    """The devices that share each batch of a worker's trainings.

    Args:
        replicas: How many devices are wanted, >= 1.

    Attributes:
        strategy: Where there are so many of one kind, what trains on them; else None.
    """

    def __init__(self, replicas: int = 1) -> None:
        self.replicas = replicas
        self.strategy = strategy_for(replicas) if replicas > 1 else None


def strategy_for(replicas: int) -> tf.distribute.Strategy | None:
    """Returns a strategy on GPUs, or on logical CPU devices where there is no GPU; None where there are too few."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < replicas:
        return None
    return tf.distribute.MirroredStrategy([device.name for device in devices[:replicas]])


class MirroredSteps:
    """Training steps of one network on several devices.

    Args:
        strategy: The devices.
        program: The compiled steps of the network's structure.
        layout: Layout tensors of the network.
    """

    def __init__(self, strategy: tf.distribute.Strategy, program: Program, layout: Any) -> None:
        self._strategy = strategy
        self._devices = strategy.extended.worker_devices
        self._program = program
        self._layout = self._dealt([layout] * self.replicas)
        self._last: tuple[State | None, Any] = (None, None)
        # Behind a plain function, because `Strategy.run` fails with the input signature of a compiled one.
        self._accumulate = self._compiled(lambda *arguments: program.accumulate(*arguments))
        self._end = self._compiled(self._end_of_replica)

    @property
    def replicas(self) -> int:
        """Number of devices."""
        return len(self._devices)

    def train(
        self,
        state: State,
        images: tf.Tensor,
        labels: tf.Tensor,
        pieces: Sequence[tuple[int, tf.Tensor]],
        moment: tf.Tensor,
        sums: tf.Tensor,
    ) -> tuple[State, tf.Tensor]:
        """Trains one step.

        Args:
            state: State before the step.
            images: Images, of which the parts choose some.
            labels: Their class numbers.
            pieces: Parts of the batch, as many for each device: the number of the first image, and the chosen places.
            moment: What the step is told of it, of `Moment.packed`.
            sums: Sums so far.

        Returns:
            State and sums after the step, of the first device; all have the same.
        """
        total, turns = sum(int(part.shape[0]) for _, part in pieces), len(pieces) // self.replicas
        known, copies = self._last
        if known is not state:
            copies = self._dealt([state] * self.replicas)
        moments = self._dealt([moment] * self.replicas)
        others = [tf.zeros_like(sums)] * (self.replicas - 1)
        carry = self._dealt([self._program.blank(state, each) for each in (sums, *others)])
        for turn in range(turns):
            shares = [_share(images, labels, begin, part, total) for begin, part in pieces[turn::turns]]
            carry = self._accumulate(carry, copies, self._layout, *self._dealt(shares), moments)
        copies, added = self._end(copies, self._layout, carry, moments)
        state = State(*(self._strategy.experimental_local_results(each)[0] for each in copies))
        self._last = state, copies
        return state, self._strategy.experimental_local_results(added)[0]

    def _end_of_replica(self, state: State, layout: Any, carry: Carry, moment: tf.Tensor) -> tuple[State, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        carry = Carry(*context.all_reduce(tf.distribute.ReduceOp.SUM, list(carry)))
        return self._program.update(state, layout, carry, moment), carry.sums

    def _compiled(self, function: Any) -> Any:
        """Returns a function that runs on all devices at once."""
        return tf.function(lambda *arguments: self._strategy.run(function, arguments), autograph=False)

    def _dealt(self, values: Sequence[Any]) -> Any:
        """Returns one value for each device, in that device's memory, as the strategy takes them."""

        def dealt(*leaves: tf.Tensor) -> Any:
            return self._strategy.experimental_distribute_values_from_function(
                lambda context: _on(self._devices[context.replica_id_in_sync_group], leaves, context)
            )

        return tf.nest.map_structure(dealt, *values)


def _on(device: str, leaves: Sequence[tf.Tensor], context: Any) -> tf.Tensor:
    with tf.device(device):
        return tf.identity(leaves[context.replica_id_in_sync_group])


def _share(images: tf.Tensor, labels: tf.Tensor, begin: int, part: tf.Tensor, total: int) -> tuple[tf.Tensor, ...]:
    """Returns what a device needs of a batch: its images, not all of the data set."""
    chosen = tf.range(part.shape[0])
    return tf.gather(images, part), tf.gather(labels, part), chosen, tf.constant([begin, total])
