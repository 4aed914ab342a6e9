"""Several training steps in one call of a compiled program, which leaves out what a call costs.

The steps are those of calls one after the other, bit for bit. Only images in memory allow it: streamed ones come step
by step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from tuner.batches import Batch
from tuner.config import STEPS_BETWEEN_CHECKS

__all__ = ["executions", "looped"]


def looped(train: Any) -> Any:
    """Returns a compiled function that makes a step for each row of two of its arguments.

    Args:
        train: A compiled step with an input signature: `(state, layout tensors, images, labels, chosen, moment,
            sums) -> (state, sums)`.

    Returns:
        The same with `chosen` of `(steps, batch)` and a moment of `(steps, n)`. It traces nothing of the step that
        `train` has traced.
    """

    def train_many(state: Any, layout: Any, images: Any, labels: Any, chosen: Any, moment: Any, sums: Any) -> Any:
        steps = tf.shape(chosen)[0]

        def step(number: Any, state: Any, sums: Any) -> Any:
            return number + 1, *train(state, layout, images, labels, chosen[number], moment[number], sums)

        start = tf.constant(0), state, sums
        return tf.while_loop(lambda number, *_: number < steps, step, start, parallel_iterations=1)[1:]

    *before, chosen, moment, sums = train.input_signature
    rows = (tf.TensorSpec((None, *spec.shape), spec.dtype) for spec in (chosen, moment))
    return tf.function(train_many, input_signature=(*before, *rows, sums), autograph=False)


def executions(batches: Iterable[Batch], *, most: int) -> Iterator[list[Batch]]:
    """Yields batches of one size that one call takes; a call ends where the loss is checked."""
    taken: list[Batch] = []
    for number, batch in enumerate(batches, start=1):
        if taken and taken[0][2].shape != batch[2].shape:
            yield taken
            taken = []
        taken.append(batch)
        if len(taken) == most or number % STEPS_BETWEEN_CHECKS == 0:
            yield taken
            taken = []
    if taken:
        yield taken
