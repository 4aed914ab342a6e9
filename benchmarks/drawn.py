"""Problems that are drawn, not thought out: on none of them was anything chosen.

A problem's number decides how many hyperparameters there are and of which kinds, where the best values lie, how much
each counts, which of them count together, what slows a training down or makes it gain late, and the noise. Of the
defaults there are two families: `drawn-near`, where they lie near the best values, as a person's would, and
`drawn-least`, where none is given, so that Keras Tuner takes the least value and the first choice.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from formulas import Formula, Shape
from problem import Problem
from spaces import Values

__all__ = ["DRAWN"]

FAMILIES = ("drawn-near", "drawn-least")
NUMBER = 20  # of each family
KINDS = ("log", "log", "float", "int", "ordered", "choice", "boolean")
SCALE = 3.0  # of the distances to the best values, in the unit cube
LETTERS = "abcd"


@dataclasses.dataclass(frozen=True)
class _Parameter:
    """A drawn hyperparameter: its kind, its values as `unit` places them in [0, 1], and where its default is."""

    name: str
    kind: str
    low: float
    high: float
    choices: tuple[Any, ...]
    places: tuple[float, ...]
    default: float | None

    def declare(self, hp: Any) -> None:
        """Declares it, with its default if it has one."""
        place = self.default
        if self.kind == "log":
            default = None if place is None else self.low * (self.high / self.low) ** place
            hp.Float(self.name, self.low, self.high, sampling="log", default=default)
        elif self.kind == "float":
            hp.Float(self.name, 0.0, self.high, default=None if place is None else place * self.high)
        elif self.kind == "int":
            default = None if place is None else round(1 + place * (self.high - 1))
            hp.Int(self.name, 1, int(self.high), default=default)
        else:
            nearest = 0 if place is None else int(np.argmin(np.abs(np.array(self.places) - place)))
            hp.Choice(self.name, list(self.choices), default=self.choices[nearest])

    def unit(self, value: Any) -> float:
        """Returns where a value is in [0, 1]."""
        if self.kind == "log":
            return float(np.log(value / self.low) / np.log(self.high / self.low))
        if self.kind == "float":
            return float(value / self.high)
        if self.kind == "int":
            return float((value - 1) / (self.high - 1))
        return self.places[self.choices.index(value)]


def _parameter(place: int, kind: str, default: float | None, rng: np.random.Generator) -> _Parameter:
    low, high = 0.0, 1.0
    choices: tuple[Any, ...] = ()
    places: tuple[float, ...] = ()
    if kind == "log":
        low = 10 ** rng.uniform(-5, -2)
        high = low * 10 ** rng.uniform(2, 4)
    elif kind == "float":
        high = rng.uniform(0.3, 1.0)
    elif kind == "int":
        low, high = 1.0, float(rng.integers(3, 13))
    elif kind == "ordered":
        choices = tuple(2**power for power in range(3, 3 + int(rng.integers(3, 6))))
        places = tuple(np.linspace(0, 1, len(choices)).tolist())
    else:
        choices = (False, True) if kind == "boolean" else tuple(LETTERS[: int(rng.integers(2, 5))])
        places = tuple(rng.random(len(choices)).tolist())
    return _Parameter(f"p{place}", kind, low, high, choices, places, default)


def _drawn(family: str, number: int) -> Problem:
    """Draws a problem."""
    rng = np.random.default_rng(number)
    dimensions = int(rng.integers(3, 10))
    best = rng.uniform(0.15, 0.85, dimensions)
    defaults = np.clip(best + rng.normal(0, 0.25, dimensions), 0.02, 0.98).tolist()
    kinds = ["log", *rng.choice(KINDS, dimensions - 1)]
    given = [None] * dimensions if family == "drawn-least" else defaults
    parameters = [_parameter(place, kind, given[place], rng) for place, kind in enumerate(kinds)]
    weights = rng.dirichlet(np.full(dimensions, 0.7))
    weights[0] = max(weights[0], 0.15)
    pairs = [pair for pair in rng.integers(0, dimensions, (int(rng.integers(0, 4)), 2)).tolist() if len({*pair}) > 1]
    together = rng.standard_normal(len(pairs))
    ridge = rng.standard_normal(dimensions) * (rng.random() < 0.35)
    slow = rng.normal(0, 0.2, dimensions) * (rng.random(dimensions) < 0.4)
    late = rng.normal(0, 0.5, dimensions) * (rng.random(dimensions) < 0.5)
    pace, power = 10 ** rng.uniform(-0.4, 0.6), rng.uniform(0.8, 1.8)
    height, amount, limit = rng.uniform(0.08, 0.3), rng.choice([0.02, 0.06, 0.15, 0.3]), rng.uniform(0.75, 1.3)
    start, noise = rng.choice([0.5, 0.9, 0.99]), rng.choice([0.002, 0.004, 0.006, 0.01])
    floor = start * rng.uniform(0.03, 0.25)

    def declare(hp: Any) -> None:
        for parameter in parameters:
            parameter.declare(hp)

    def shape(values: Values) -> Shape:
        units = np.array([parameter.unit(values[parameter.name]) for parameter in parameters])
        off = SCALE * (units - best)
        worse = weights @ np.minimum(off**2, 4) + 0.5 * min((ridge @ off) ** 2 / dimensions, 3)
        for (one, other), strength in zip(pairs, together, strict=True):
            worse += 0.15 * strength * off[one] * off[other] * np.sqrt(weights[one] * weights[other])
        return Shape(
            floor=floor + height * max(worse, 0.0),
            pace=pace * 10 ** float(np.clip(slow @ off, -0.8, 0.8)),
            power=power,
            late=amount * 2 ** float(np.clip(late @ off, -2, 2)),
            diverges=bool(units[0] > limit),
        )

    return Formula(f"{family}#{number}", declare, shape, start=start, noise=noise)


DRAWN = {
    f"{family}#{number}": functools.partial(_drawn, family, number) for family in FAMILIES for number in range(NUMBER)
}
