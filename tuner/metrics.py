"""Metrics that Keras does not have."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["BalancedAccuracy"]


@keras.saving.register_keras_serializable(package="tuner")
class BalancedAccuracy(keras.metrics.Metric):
    """Mean over the classes of the share of their images that are recognised; a class without images is left out.

    Args:
        classes: Number of classes.
        name: Name of the metric.

    Reference: Brodersen et al., 2010, https://doi.org/10.1109/ICPR.2010.764.
    """

    def __init__(self, classes: int, name: str = "balanced_accuracy", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.classes = classes
        self.hits = self.add_weight(shape=(classes,), initializer="zeros", name="hits")
        self.images = self.add_weight(shape=(classes,), initializer="zeros", name="images")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch.

        Args:
            y_true: Class numbers `(batch,)` or `(batch, 1)`, or one-hot targets `(batch, classes)`.
            y_pred: Probabilities `(batch, classes)`.
            sample_weight: How much each image counts, `(batch,)`; None means 1.
        """
        labels = keras.ops.convert_to_tensor(y_true)
        if len(labels.shape) == 2 and labels.shape[-1] == self.classes:
            labels = keras.ops.argmax(labels, axis=-1)
        labels = keras.ops.cast(keras.ops.reshape(labels, (-1,)), "int32")
        predicted = keras.ops.cast(keras.ops.argmax(y_pred, axis=-1), "int32")
        counted = keras.ops.ones_like(labels, self.dtype)
        if sample_weight is not None:
            counted = keras.ops.cast(keras.ops.reshape(sample_weight, (-1,)), self.dtype)
        hits = keras.ops.where(predicted == labels, counted, keras.ops.zeros_like(counted))
        self.hits.assign_add(keras.ops.segment_sum(hits, labels, self.classes))
        self.images.assign_add(keras.ops.segment_sum(counted, labels, self.classes))

    def result(self) -> Any:
        """Returns the metric, 0 before the first image."""
        is_seen = keras.ops.cast(self.images > 0, self.dtype)
        recalls = keras.ops.divide_no_nan(self.hits, self.images)
        return keras.ops.divide_no_nan(keras.ops.sum(recalls), keras.ops.sum(is_seen))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "classes": self.classes}
