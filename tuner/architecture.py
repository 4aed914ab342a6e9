"""What is trained: a network, and what its training is laid out for."""

from __future__ import annotations

import dataclasses

from tuner.models import AnyConfig
from tuner.program import Structure
from tuner.recipe import WarmupCosine

__all__ = ["Architecture"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network and what its training is laid out for.

    Args:
        config: The network.
        optimizer: Name of the optimizer.
        total_steps: Training steps of the full budget.
        batch_size: Images a step.
        mixed_precision: Whether feature maps are bfloat16 while training and evaluating.
        jit: Whether XLA compiles the steps, for this network alone.
        schedule_exponent: How soon the learning rate falls, see `WarmupCosine`.
        augments: Whether training images are moved and mirrored, as the recipe then says.
        balances: Whether `balanced_accuracy` is measured too.
        class_weights: How much a training image of each class weighs in the loss; empty means 1.
    """

    config: AnyConfig
    optimizer: str
    total_steps: int
    batch_size: int
    mixed_precision: bool = False
    jit: bool = False
    schedule_exponent: float = 1.0
    augments: bool = False
    balances: bool = False
    class_weights: tuple[float, ...] = ()

    @property
    def structure(self) -> Structure:
        """What the compiled steps depend on."""
        return Structure.of(
            self.config,
            self.optimizer,
            mixed_precision=self.mixed_precision,
            jit=self.jit,
            augments=self.augments,
            balances=self.balances,
            weighs=bool(self.class_weights),
        )

    def schedule(self, peak: float) -> WarmupCosine:
        """Returns the learning rates by step, the highest of which is given."""
        return WarmupCosine(peak, self.total_steps, self.schedule_exponent)
