"""A batch in parts: the gradients of all parts are averaged before the weights change once.

This is what a worker does with batches that do not fit into the memory of its device. Learning rates, the number of
steps and what noise leaves out are those of the whole batch. Batch normalisation is not: it normalises each part by the
part's own statistics, so it sees smaller batches, and the moving statistics take the mean of the parts.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import tensorflow as tf

from tuner.batches import Batch
from tuner.mirror import Mirror, MirroredSteps
from tuner.program import Program, State

__all__ = ["OUT_OF_MEMORY", "Splits", "Steps", "part_bounds"]

OUT_OF_MEMORY = (MemoryError, tf.errors.ResourceExhaustedError)

Result = TypeVar("Result")


class Splits:
    """In how many parts the batches of a network have to be split, as far as this process has seen.

    A network that was split once is split from its first step on when it is trained again: had it been tried whole, its
    first step would have failed and changed nothing, so the result is the same.
    """

    def __init__(self) -> None:
        self._parts: dict[Hashable, int] = {}

    def parts(self, network: Hashable) -> int:
        """Returns the parts of a network's batches, 1 where nothing is known."""
        return self._parts.get(network, 1)

    def remember(self, network: Hashable, parts: int) -> None:
        """Keeps that fewer parts do not fit."""
        self._parts[network] = parts


class Steps:
    """The steps of one network, each in as few parts as fit into the memory of the device.

    Args:
        program: The compiled steps of its structure.
        layout: Layout tensors of the network.
        network: What other networks of the same need are known by.
        splits: What is known of the parts, shared by the networks of a worker.
        is_looped: Whether all steps of a call are one call of the program.
        mirror: The devices that share each batch; its parts are trained at the same time.

    Attributes:
        parts: Parts of each batch; doubled where a step runs out of memory, which changes nothing else.
    """

    def __init__(
        self,
        program: Program,
        layout: Any,
        *,
        network: Hashable,
        splits: Splits,
        is_looped: bool = False,
        mirror: Mirror | None = None,
    ) -> None:
        self._program = program
        self._layout = layout
        self._network = network
        self._splits = splits
        self._is_looped = is_looped
        self._replicas = mirror.replicas if mirror else 1
        strategy = mirror.strategy if mirror else None
        self._mirrored = MirroredSteps(strategy, program, layout) if strategy else None
        self.parts = 1
        self._evaluated = 1  # parts of a batch in evaluations, where these need more than training

    @property
    def is_split(self) -> bool:
        """Whether a batch is in more parts than there are devices to share it."""
        return self.parts > self._replicas

    def begin(self, parts: int = 1) -> None:
        """Sets the parts of a training that begins, or of one that goes on and had so many."""
        self.parts = max(parts, self._replicas, self._splits.parts(self._network))
        self._evaluated = 1

    def train_many(
        self, state: State, batches: Sequence[Batch], moments: Sequence[tf.Tensor], sums: tf.Tensor
    ) -> tuple[State, tf.Tensor]:
        """Trains a step on each of some batches of one size from the same images, each at its moment.

        Raises:
            tf.errors.ResourceExhaustedError: If not even one image fits.
        """
        if self._is_looped and self.parts == 1:
            images, labels, _ = batches[0]
            chosen = tf.stack([batch[2] for batch in batches])
            with contextlib.suppress(*OUT_OF_MEMORY):  # then one by one, so that only what fails is split
                return self._program.train_many(state, self._layout, images, labels, chosen, tf.stack(moments), sums)
        for batch, moment in zip(batches, moments, strict=True):
            state, sums = self.train(state, batch, moment, sums)
        return state, sums

    def train(self, state: State, batch: Batch, moment: tf.Tensor, sums: tf.Tensor) -> tuple[State, tf.Tensor]:
        """Trains one step; arguments and results are those of `Program.train`.

        Raises:
            tf.errors.ResourceExhaustedError: If not even one image fits.
        """

        def step(parts: int) -> tuple[State, tf.Tensor]:
            if parts == 1:
                return self._program.train(state, self._layout, *batch, moment, sums)
            return self._accumulated(state, batch, moment, sums, parts=parts)

        found, parts = _fitting(step, batch, self.parts)
        if parts > self.parts:
            self.parts = parts
            self._splits.remember(self._network, parts)
        return found

    def evaluate(self, state: State, batch: Batch, moment: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        """Evaluates a batch; arguments and results are those of `Program.evaluate`.

        Where it is split, training is not: the parts of a validation change nothing, those of a step do.
        """
        images, labels, chosen = batch

        def step(parts: int) -> tf.Tensor:
            added = sums
            for _, part in _pieces(chosen, parts // self._replicas):
                added = self._program.evaluate(state, self._layout, images, labels, part, moment, added)
            return added

        added, self._evaluated = _fitting(step, batch, max(self.parts, self._evaluated))
        return added

    def _accumulated(
        self, state: State, batch: Batch, moment: tf.Tensor, sums: tf.Tensor, *, parts: int
    ) -> tuple[State, tf.Tensor]:
        images, labels, chosen = batch
        pieces = _pieces(chosen, parts)
        if self._mirrored and len(pieces) % self._replicas == 0:
            return self._mirrored.train(state, images, labels, pieces, moment, sums)
        carry = self._program.blank(state, sums)
        for begin, part in pieces:
            place = tf.constant([begin, int(chosen.shape[0])])
            carry = self._program.accumulate(carry, state, self._layout, images, labels, part, place, moment)
        return self._program.update(state, self._layout, carry, moment), carry.sums


def part_bounds(images: int, parts: int) -> list[tuple[int, int]]:
    """Returns where each part of a batch begins and ends: as even as can be, and none is empty.

    Args:
        images: Images of the batch, >= 1.
        parts: Parts that are wanted, >= 1; of fewer images, each is a part.
    """
    parts = min(parts, images)
    return list(itertools.pairwise(images * part // parts for part in range(parts + 1)))


def _pieces(chosen: tf.Tensor, parts: int) -> list[tuple[int, tf.Tensor]]:
    """Returns the parts of a batch, each with the number of its first image."""
    if parts == 1:
        return [(0, chosen)]
    return [(begin, chosen[begin:end]) for begin, end in part_bounds(int(chosen.shape[0]), parts)]


def _fitting(step: Callable[[int], Result], batch: Batch, parts: int) -> tuple[Result, int]:
    """Returns what a step returns of a batch in as few parts as fit, and how many these are."""
    while True:
        try:
            return step(parts), parts
        except OUT_OF_MEMORY:
            if parts >= int(batch[2].shape[0]):
                raise
        parts *= 2
