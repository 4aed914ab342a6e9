"""What a training step is told of its moment: its part of the recipe, and what its random numbers follow from.

It travels to a compiled step as one vector, so that no value of it is compiled in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tuner.models.noise import Noise

__all__ = ["MOMENT_SPEC", "Moment"]

_SEED_PART = 2**16


class Moment(NamedTuple):
    """The moment of a step, as numbers or as scalar tensors, float32.

    Args:
        learning_rate: That of the step.
        weight_decay: Decoupled decay.
        label_smoothing: Share of the target spread over all classes.
        step: Number of the step, from 1.
        seed_high: Seed of the training without its lower 16 bits: float32 has 24 exact bits, so it is in two parts.
        seed_low: These 16 bits.
        stochastic_depth: Chance that the last block's branch is left out.
        dropout: Chance that a feature is left out.
        average_momentum: Share of itself that the average of the weights keeps.
        horizontal_flip: 1 where half of the images are mirrored, else 0.
        translation: Most that an image is moved, as a share of its sides.
    """

    learning_rate: Any
    weight_decay: Any
    label_smoothing: Any
    step: Any
    seed_high: Any
    seed_low: Any
    stochastic_depth: Any
    dropout: Any
    average_momentum: Any
    horizontal_flip: Any
    translation: Any

    @classmethod
    def of(cls, *, seed: int, **values: float) -> Moment:
        """Returns the moment of the other values and of a seed below 2**31."""
        high, low = divmod(seed, _SEED_PART)
        return cls(seed_high=high, seed_low=low, **values)

    @classmethod
    def unpacked(cls, vector: Any) -> Moment:
        """Returns what `packed` made a vector of."""
        return cls(*tf.unstack(vector, num=len(cls._fields)))

    def packed(self) -> Any:
        """Returns all as one vector of `MOMENT_SPEC`."""
        return tf.constant(self, tf.float32)

    def noise(self, place: Any | None) -> Noise:
        """Returns what the random numbers of the step follow from; of a part of a batch, `place` says which."""
        step, high, low = (tf.cast(value, tf.int32) for value in (self.step, self.seed_high, self.seed_low))
        seed = tf.stack([high * _SEED_PART + low, step])
        return Noise(seed, stochastic_depth=self.stochastic_depth, dropout=self.dropout, place=place)


MOMENT_SPEC = tf.TensorSpec((len(Moment._fields),))
