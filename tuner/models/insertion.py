"""Squeeze-and-excitation in any functional Keras model: `add_se`.

The graph is rebuilt layer by layer, the gates are put in between, and the layers keep their weights. Stock layers only,
so that a saved model loads without this package as far as the original does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator
from typing import Any

import keras

from tuner.errors import UsageError, did_you_mean
from tuner.models.backbone import RULES
from tuner.models.blocks import squeeze_excite
from tuner.models.graph import cloned, copy, functional, is_model, longest_way

__all__ = ["RULES", "add_se"]

# By the names of their classes, which are those of operations (`a + b`) too. Inception-ResNet scales while it adds.
_ADDITIONS = ("Add", "CustomScaleLayer")
_CONCATENATIONS = ("Concatenate",)
_ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Relu", "Relu6", "Silu", "Gelu")
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)

After = str | Collection[str] | Callable[[Any], bool]


def add_se(model: keras.Model, *, ratio: int = 16, after: After = "residual", use_bias: bool = True) -> keras.Model:
    """Returns a copy of a model with squeeze-and-excitation blocks in it.

    Args:
        model: A functional model, or a Sequential one that starts with `keras.Input`; channels last. It may be nested,
            and have several inputs and outputs. It is not changed.
        ratio: Channels per gate unit (r in the paper), >= 1; at least one unit remains. 16: Hu et al., 2018, table 10.
        after: Where the gates go, one of
            "residual": at the end of each residual branch, before it is added to its shortcut. The branch is the one
                of the two summands of equal shape that more layers lead to;
            "concatenation": after each concatenation of feature maps;
            "activation": after the activation of each convolution, with or without batch normalisation between them;
            the names of the layers whose outputs are gated;
            a function that says of a layer, or of an operation such as `a + b`, whether its output is gated.
        use_bias: Whether the two dense layers of a gate have a bias, as in the networks of the paper.

    Returns:
        A functional model of the same name, inputs and outputs, not compiled. Layers keep their names and weights; the
        weights of the gates are fresh.

    Raises:
        UsageError: If the model has no graph, is channels first, `after` is unknown or finds nothing, or a layer that
            it names shares its weights between calls or puts out something else than a feature map.
        ValueError: If `ratio` is less than 1.

    Reference: Hu et al., 2018, https://arxiv.org/abs/1709.01507, figures 2 and 3.
    """
    bare = functional(model)
    _check(bare, after)
    gates: list[str] = []
    gated = _with_gates(bare, _Gates(after=after, ratio=ratio, use_bias=use_bias, inserted=gates))
    if not gates:
        raise UsageError(
            f"after={after!r} finds no place in the model {model.name!r}; "
            f"allowed are {', '.join(map(repr, RULES))}, names of layers or a function of a layer."
        )
    return gated


@dataclasses.dataclass(frozen=True)
class _Gates:
    """What all gates of a model have in common, and the names of those that there are."""

    after: After
    ratio: int
    use_bias: bool
    inserted: list[str]


@dataclasses.dataclass(frozen=True)
class _Origin:
    """What is known of a tensor of the new graph.

    Attributes:
        tensor: The tensor, kept so that its `id` stays its own.
        depth: Calls on the longest way from an input to it, those within nested models counted one by one.
        is_convolved: Whether a convolution without an activation made it, batch normalisation counted as part of it.
    """

    tensor: Any
    depth: int
    is_convolved: bool


def _check(model: keras.Model, after: After) -> None:
    operations = list(_operations(model))
    names = [operation.name for operation in operations]
    if isinstance(after, str) and after not in RULES:
        raise UsageError(
            f"Unknown after={after!r}; allowed are {', '.join(map(repr, RULES))}, a list of names of layers or a "
            f"function of a layer.{did_you_mean(after, RULES)}"
        )
    for name in after if isinstance(after, Collection) and not isinstance(after, str) else ():
        if name not in names:
            raise UsageError(f"The model {model.name!r} has no layer {name!r}.{did_you_mean(name, names)}")
    for operation in operations:
        if getattr(operation, "data_format", None) == "channels_first":
            raise UsageError(f"Layer {operation.name!r} has its channels first; build the model with channels last.")


def _operations(model: keras.Model) -> Iterator[Any]:
    """Yields the layers and operations of a functional model and of those within it."""
    for operation in model.operations:
        if is_model(operation):
            yield from _operations(functional(operation))
        else:
            yield operation


def _with_gates(model: keras.Model, gates: _Gates) -> keras.Model:
    return copy(
        model,
        clone=cloned,
        nested=lambda inner: _with_gates(functional(inner), gates),
        call=_Inserter(model, gates).call,
    )


class _Inserter:
    """Calls the layers of one graph on their new inputs and gates what comes in or out of them."""

    def __init__(self, model: keras.Model, gates: _Gates) -> None:
        self._originals = {operation.name: operation for operation in model.operations}
        self._names = set(self._originals)
        self._gates = gates
        self._origins: dict[int, _Origin] = {}
        self._called: set[str] = set()
        self._lengths: dict[str, int] = {}

    def call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a cloned layer, as `keras.models.clone_model` asks."""
        if self._gates.after == "residual":
            args = self._gate_branch(operation, args)
        outputs = operation(*args, **kwargs)
        inputs = [self._origin(tensor) for tensor in _tensors((args, kwargs))]
        chosen = self._is_chosen(operation, inputs)
        depth = self._layers_within(operation) + max((origin.depth for origin in inputs), default=0)
        is_convolved = _is_bare_convolution(operation) or (
            isinstance(operation, keras.layers.BatchNormalization) and inputs[0].is_convolved
        )
        if chosen and self._can_be_gated(operation, outputs):
            outputs = self._gate(outputs, operation.name)
        self._called.add(operation.name)
        for tensor in _tensors(outputs):
            self._origins[id(tensor)] = _Origin(tensor, depth, is_convolved)
        return outputs

    def _layers_within(self, operation: Any) -> int:
        """Returns the calls that a call stands for: of a nested model, those on its longest way before it had gates."""
        if not is_model(operation):
            return 1
        if operation.name not in self._lengths:
            self._lengths[operation.name] = longest_way(functional(self._originals[operation.name]))
        return self._lengths[operation.name]

    def _gate_branch(self, operation: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Gates the deeper of two summands of equal shape, and nothing of other operations."""
        tensors = keras.tree.flatten(args)
        if type(operation).__name__ not in _ADDITIONS or len(tensors) != 2 or len(_tensors(tensors)) != 2:
            return args
        depths = [self._origin(tensor).depth for tensor in tensors]
        if tensors[0].shape != tensors[1].shape or not _is_map(tensors[0]) or depths[0] == depths[1]:
            return args
        branch = depths.index(max(depths))
        tensors[branch] = self._gate(tensors[branch], operation.name)
        return keras.tree.pack_sequence_as(args, tensors)

    def _is_chosen(self, operation: Any, inputs: list[_Origin]) -> bool:
        after = self._gates.after
        if is_model(operation):
            return False
        if callable(after):
            return bool(after(self._originals[operation.name]))
        if not isinstance(after, str):
            return operation.name in after
        if after == "concatenation":
            return type(operation).__name__ in _CONCATENATIONS
        if after == "activation":
            is_activation = type(operation).__name__ in _ACTIVATIONS and any(origin.is_convolved for origin in inputs)
            return is_activation or (isinstance(operation, _CONVOLUTIONS) and not _is_bare_convolution(operation))
        return False

    def _can_be_gated(self, operation: Any, outputs: Any) -> bool:
        """Whether the output of a chosen layer is a feature map; of one that a person chose it must be one."""
        is_shared = operation.name in self._called and getattr(operation, "weights", [])
        if is_shared:
            raise UsageError(
                f"Layer {operation.name!r} shares its weights between several calls, so a gate behind it cannot belong "
                "to one of them; leave it out of after."
            )
        if _is_map(outputs):
            return True
        if isinstance(self._gates.after, str):
            return False
        raise UsageError(
            f"Layer {operation.name!r} puts out {getattr(outputs, 'shape', 'several tensors')}; a gate needs a feature "
            "map, (batch, height, width, channels), of a known number of channels."
        )

    def _gate(self, tensor: Any, name: str) -> Any:
        """Gates a feature map; the gate is named after the layer in front of or behind it."""
        number, free = 1, f"{name}_se"
        while any(taken == free or taken.startswith(f"{free}_") for taken in self._names):
            number += 1
            free = f"{name}_se{number}"
        self._names.add(free)
        self._gates.inserted.append(free)
        gated = squeeze_excite(tensor, ratio=self._gates.ratio, use_bias=self._gates.use_bias, name=free)
        # Depth is that of the model as it was: a gate makes no way longer.
        self._origins[id(gated)] = _Origin(gated, self._origin(tensor).depth, is_convolved=False)
        return gated

    def _origin(self, tensor: Any) -> _Origin:
        return self._origins.get(id(tensor), _Origin(tensor, 0, is_convolved=False))


def _tensors(values: Any) -> list[Any]:
    return [value for value in keras.tree.flatten(values) if isinstance(value, keras.KerasTensor)]


def _is_map(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor) and len(value.shape) == 4 and value.shape[-1] is not None


def _is_bare_convolution(operation: Any) -> bool:
    return isinstance(operation, _CONVOLUTIONS) and operation.activation is keras.activations.linear
