"""The way from a model with layers of ours to one of stock layers, which loads everywhere."""

from __future__ import annotations

from typing import Any

import keras

from tuner.models.graph import cloned, copy, functional, is_model
from tuner.models.grouped import GroupedConv2D, PointwiseConv2D
from tuner.models.normalization import FusedBatchNormalization

__all__ = ["has_grouped", "with_stock_layers"]

# Layers of ours with those of Keras that have the same weights and outputs.
_STOCK = {
    GroupedConv2D: keras.layers.Conv2D,
    PointwiseConv2D: keras.layers.Conv2D,
    FusedBatchNormalization: keras.layers.BatchNormalization,
}


def has_grouped(model: keras.Model) -> bool:
    """Whether a model, or one within it, has a layer that loads only with this package."""
    return any(has_grouped(layer) if is_model(layer) else type(layer) in _STOCK for layer in model.layers)


def with_stock_layers(model: keras.Model) -> keras.Model:
    """Returns a copy of a model, every layer of ours in it (`GroupedConv2D` and others) one of Keras.

    Args:
        model: A functional model, or a Sequential one that starts with `keras.Input`.

    Returns:
        An uncompiled model of the same weights and outputs that loads without this package.

    Raises:
        UsageError: If the model has no graph.
    """
    return copy(functional(model), clone=_stock_layer, nested=with_stock_layers)


def _stock_layer(layer: Any) -> Any:
    return cloned(layer, _STOCK.get(type(layer)))
