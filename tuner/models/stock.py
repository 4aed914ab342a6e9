"""The way from a model with grouped convolutions of ours to one of stock layers, which loads everywhere."""

from __future__ import annotations

from typing import Any

import keras

from tuner.models.graph import copy, functional, is_model
from tuner.models.grouped import GroupedConv2D

__all__ = ["has_grouped", "with_stock_layers"]


def has_grouped(model: keras.Model) -> bool:
    """Whether a model, or one within it, has a layer that loads only with this package."""
    return any(has_grouped(layer) if is_model(layer) else isinstance(layer, GroupedConv2D) for layer in model.layers)


def with_stock_layers(model: keras.Model) -> keras.Model:
    """Returns a copy of a model, every `GroupedConv2D` in it a `keras.layers.Conv2D`.

    Args:
        model: A functional model, or a Sequential one that starts with `keras.Input`.

    Returns:
        An uncompiled model of the same weights and outputs that loads without this package.

    Raises:
        UsageError: If the model has no graph.
    """
    return copy(functional(model), clone=_stock_layer, nested=with_stock_layers)


def _stock_layer(layer: Any) -> Any:
    kind = keras.layers.Conv2D if isinstance(layer, GroupedConv2D) else type(layer)
    return kind.from_config(layer.get_config())
