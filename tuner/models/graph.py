"""Functional Keras models as graphs: which layer is called on what, and copies with other layers or calls.

Calls are read from `model.get_config()`, the part of Keras's public face that has a graph; a layer's `input` fails
where another model has called the same layer too. Keras only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras

from tuner.errors import UsageError

__all__ = ["Call", "Tensor", "calls_of", "cloned", "copy", "functional", "is_model", "longest_way"]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A value between two layers.

    Attributes:
        operation: Name of the layer or operation that made it.
        call: Which of its calls did, from 0.
        index: Which of the outputs of that call it is, from 0.
        shape: Its shape, the batch and other sizes that are open as None.
    """

    operation: str
    call: int
    index: int
    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer or of an operation.

    Attributes:
        operation: The layer, or an operation without weights such as `a + b`.
        number: Which of its calls in this model it is, from 0; above 0 only for a shared layer.
        inputs: The tensors among its arguments, in order.
    """

    operation: Any
    number: int
    inputs: tuple[Tensor, ...]


def functional(model: keras.Model) -> keras.Model:
    """Returns a functional model of the same layers, neither compiled nor of a class of its own.

    Raises:
        UsageError: If the model has no graph: it is a subclass with a `call` of its own, or has not been built.
    """
    if not is_model(model) or not getattr(model, "inputs", None):
        raise UsageError(
            f"The model {getattr(model, 'name', model)!r} has no graph of layers; "
            "allowed is a functional model, or a Sequential one that starts with keras.Input."
        )
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return keras.Model(model.input, model.output, name=model.name)  # as they were given, in a dictionary for instance


def is_model(operation: Any) -> bool:
    """Whether a layer is a model with a graph of its own."""
    return isinstance(operation, keras.Sequential) or (
        isinstance(operation, keras.Model) and hasattr(operation, "operations")
    )


def calls_of(model: keras.Model) -> list[Call]:
    """Returns the calls of a functional model from its inputs to its outputs, those of nested models not among them.

    Args:
        model: What `functional` returns.
    """
    operations = {operation.name: operation for operation in model.operations}
    waiting = [
        Call(operations[entry["name"]], number, tuple(_tensors(node)))
        for entry in model.get_config()["layers"]
        for number, node in enumerate(entry["inbound_nodes"])
    ]
    calls: list[Call] = []
    made = {layer.name: 1 for layer in model.operations if _is_input(layer)}
    while waiting:  # once, but for a shared layer whose second call needs what is made after its first
        late = []
        for call in waiting:
            if all(made.get(tensor.operation, 0) > tensor.call for tensor in call.inputs):
                made[call.operation.name] = call.number + 1
                calls.append(call)
            else:
                late.append(call)
        assert len(late) < len(waiting), "every graph has a next call"
        waiting = late
    return calls


def longest_way(model: keras.Model) -> int:
    """Returns the calls on the longest way through a functional model, those within nested models counted one by one.

    Args:
        model: What `functional` returns.
    """
    lengths: dict[tuple[str, int], int] = {}
    for call in calls_of(model):
        before = max((lengths.get((tensor.operation, tensor.call), 0) for tensor in call.inputs), default=0)
        own = longest_way(functional(call.operation)) if is_model(call.operation) else 1
        lengths[call.operation.name, call.number] = before + own
    return max(lengths.values(), default=0)


def cloned(operation: Any, kind: Any = None) -> Any:
    """Returns a new layer or operation of the same configuration.

    A `Lambda` has no weights and stays itself: Keras reads no function back that has no name.

    Args:
        operation: The layer or operation.
        kind: Its class in the copy; by default its own.
    """
    if isinstance(operation, keras.layers.Lambda):
        return operation
    return (kind or type(operation)).from_config(operation.get_config())


def copy(
    model: keras.Model,
    *,
    clone: Callable[[Any], Any],
    nested: Callable[[keras.Model], keras.Model],
    call: Callable[..., Any] | None = None,
) -> keras.Model:
    """Returns a copy of a functional model with layers of its own, their names and weights kept.

    Args:
        model: What `functional` returns.
        clone: Returns the copy of a layer or an operation, of the same name and with weights of the same shapes.
        nested: Returns the copy of a model within this one, weights and all.
        call: Calls a copy in place of the original: `call(copy, *arguments, **keywords)`; by default just that. What it
            does not call is left out.
    """
    inputs = {id(layer.output): layer.get_config() for layer in model.operations if _is_input(layer)}
    new = keras.models.clone_model(
        model,
        # Left to itself, Keras names the new inputs after tensors.
        input_tensors=keras.tree.map_structure(lambda tensor: keras.Input(**inputs[id(tensor)]), model.input),
        clone_function=lambda layer: nested(layer) if is_model(layer) else clone(layer),
        call_function=call,
    )
    kept = {layer.name for layer in new.layers}
    for layer in model.layers:
        if layer.name in kept and not is_model(layer):
            new.get_layer(layer.name).set_weights(layer.get_weights())
    return new


def _is_input(operation: Any) -> bool:
    return isinstance(operation, keras.layers.InputLayer)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yields the tensors in the serialised arguments of a call."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        operation, call, index = value["config"]["keras_history"]
        yield Tensor(operation, call, index, tuple(value["config"]["shape"]))
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _tensors(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _tensors(entry)
