"""Search spaces as plain data, so that searches which know no Keras Tuner can be compared on them.

A space is declared once, by a function `declare(hp)` as in `search_spaces/`. Keras Tuner's `HyperParameters` and the
`Recorder` here both take the part of `hp`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Declare", "Parameter", "Values", "active_values", "default_values", "recorded", "sample"]

Values = dict[str, Any]
Declare = Callable[[Any], None]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A declared hyperparameter.

    Args:
        name: Its name.
        kind: "float", "int" or "choice"; a boolean is a choice of False and True, a fixed one of one value.
        default: Its default value.
        low: Smallest number, of floats and ints.
        high: Largest number, included.
        step: Distance of allowed numbers, or None for any.
        log: Whether numbers are spread evenly in their logarithm.
        choices: The values of a choice.
        conditions: Parent and the values of it with which this is active; all have to hold.
    """

    name: str
    kind: str
    default: Any
    low: float = 0.0
    high: float = 1.0
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    conditions: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @property
    def ordered(self) -> bool:
        """Whether its values are numbers, so that near values mean near results."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.choices)

    @functools.cached_property
    def levels(self) -> tuple[Any, ...] | None:
        """The numbers of one whose step is not 1, or None."""
        if self.step is None or (self.kind == "int" and self.step == 1):
            return None
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        kind = int if self.kind == "int" else float
        return tuple(kind(self.low + self.step * place) for place in range(count))

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Tells whether its conditions hold."""
        return all(name in values and values[name] in allowed for name, allowed in self.conditions)

    def value(self, unit: float) -> Any:
        """Returns the value at a place of [0, 1)."""
        if self.kind == "choice":
            return self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)]
        if self.levels is not None:
            return self.levels[min(int(unit * len(self.levels)), len(self.levels) - 1)]
        if self.log:
            number = math.exp(math.log(self.low) + unit * math.log(self.high / self.low))
            return min(round(number), int(self.high)) if self.kind == "int" else number
        if self.kind == "int":
            return int(min(self.low + int(unit * (self.high - self.low + 1)), self.high))
        return self.low + unit * (self.high - self.low)

    def unit(self, value: Any) -> float:
        """Returns where a value lies in [0, 1]; of a choice its place in the order."""
        if self.kind == "choice":
            return self.choices.index(value) / max(1, len(self.choices) - 1)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


class Recorder:
    """Stands for `keras_tuner.HyperParameters` where a space is declared, and keeps what was declared.

    Attributes:
        parameters: The parameters in the order of their declaration.
    """

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self._conditions: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @contextlib.contextmanager
    def conditional_scope(self, parent: str, values: Sequence[Any]) -> Iterator[None]:
        """Makes what is declared within depend on the values of a parent."""
        before = self._conditions
        self._conditions = (*before, (parent, tuple(values)))
        yield
        self._conditions = before

    def Fixed(self, name: str, value: Any) -> None:  # noqa: N802
        """Declares a value that is never changed."""
        self._add(Parameter(name, "choice", value, choices=(value,)))

    def Boolean(self, name: str, default: bool = False) -> None:  # noqa: N802
        """Declares a switch."""
        self._add(Parameter(name, "choice", default, choices=(False, True)))

    def Choice(self, name: str, values: Sequence[Any], default: Any = None) -> None:  # noqa: N802
        """Declares one of several values."""
        self._add(Parameter(name, "choice", values[0] if default is None else default, choices=tuple(values)))

    def Int(self, name: str, low: int, high: int, step: int = 1, **options: Any) -> None:  # noqa: N802
        """Declares a whole number."""
        self._number(name, "int", low, high, step, **options)

    def Float(self, name: str, low: float, high: float, step: float | None = None, **options: Any) -> None:  # noqa: N802
        """Declares a number."""
        self._number(name, "float", low, high, step, **options)

    def _number(
        self,
        name: str,
        kind: str,
        low: float,
        high: float,
        step: float | None,
        *,
        sampling: str = "linear",
        default: float | None = None,
    ) -> None:
        log = sampling == "log"
        start = low if default is None else default
        self._add(Parameter(name, kind, start, low=low, high=high, step=None if log else step, log=log))

    def _add(self, parameter: Parameter) -> None:
        self.parameters.append(dataclasses.replace(parameter, conditions=self._conditions))


def recorded(declare: Declare) -> list[Parameter]:
    """Returns the parameters that a function declares."""
    recorder = Recorder()
    declare(recorder)
    return recorder.parameters


def active_values(space: Sequence[Parameter], values: Mapping[str, Any]) -> Values:
    """Returns the values of those parameters whose conditions hold, and nothing else."""
    active: Values = {}
    for parameter in space:
        if parameter.is_active(active):  # a parent is declared before what depends on it
            active[parameter.name] = values[parameter.name]
    return active


def default_values(space: Sequence[Parameter]) -> Values:
    """Returns the active defaults."""
    return active_values(space, {parameter.name: parameter.default for parameter in space})


def sample(space: Sequence[Parameter], rng: np.random.Generator) -> Values:
    """Returns active values, each drawn evenly as declared."""
    return active_values(space, {parameter.name: parameter.value(rng.random()) for parameter in space})
