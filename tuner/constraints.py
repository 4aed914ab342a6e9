"""Limits on what a network may cost: which configurations a search may try, and how much of a space that is.

The oracle knows the predicate and nothing else. Parameters and multiply-accumulates are arithmetic; a latency is
measured, so it is looked at last, and only of networks that keep the other limits.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np

from tuner.config import COSTS, limit_flag
from tuner.errors import UsageError
from tuner.oracles.drawing import Predicate
from tuner.oracles.encoding import Encoding, default_values
from tuner.quantities import describe_cost, describe_count
from tuner.sizes import Sizes, architecture_values

__all__ = ["Constraints", "Survey", "survey"]

# Networks that are looked at in a survey: all of the space where it has no more, else so many drawn, and the corners. A
# network takes 1 ms (2 cores of a Xeon).
MOST_NETWORKS = 2000
MOST_CORNERS = 1024

# Networks of the fewest multiply-accumulates whose latency a survey measures, at 2 s each.
MOST_MEASURED = 3


class Constraints:
    """The limits of a search.

    Args:
        limits: The most that a network may have, by the name of the cost.
        sizes: What networks cost.
    """

    def __init__(self, limits: Mapping[str, float], sizes: Sizes) -> None:
        self.limits = {name: limits[name] for name in COSTS if name in limits}
        self._sizes = sizes

    @property
    def predicate(self) -> Predicate | None:
        """Whether a configuration keeps all limits; None where there are none."""
        return _Allowed(self) if self.limits else None

    def broken(self, values: Mapping[str, Any], *, quickly: bool = False) -> str | None:
        """Returns the first limit that a configuration breaks as part of a sentence, or None.

        Args:
            values: Active values by name.
            quickly: Whether to leave out what has to be measured.
        """
        for name, most in self.limits.items():
            if quickly and name == "latency":
                continue
            found = self._sizes.of(values, name)
            if found > most:
                return f"has {describe_cost(found, name)}, which breaks {_limit(name, most)}"
        return None

    def settle(self, hp: keras_tuner.HyperParameters, queue: Sequence[Mapping[str, Any]]) -> list[str]:
        """Returns what to tell of the limits before a search begins: how much of the space keeps them.

        Args:
            hp: The declared space, set to its defaults.
            queue: Configurations that a person wants tried.

        Raises:
            UsageError: If one of these breaks a limit, or all of the space does.
        """
        if not self.limits:
            return []
        for number, values in enumerate(queue, 1):
            broken = self.broken(values)
            if broken:
                raise UsageError(
                    f"Configuration {number} of --enqueue {broken}; take it out of the file, or allow more."
                )
        networks = survey(hp, self._sizes)
        networks.check(self.limits)
        broken = self.broken(default_values(hp))
        skipped = [f"Default   not tried: it {broken}"] if broken else []
        return [f"Feasible  {networks.line(self.limits)}", *skipped]

    def reference(
        self, hp: keras_tuner.HyperParameters, objectives: Mapping[str, str], *, classes: int
    ) -> dict[str, float]:
        """Returns the value of each of several objectives that counts for nothing; of a single one, nothing.

        It is an accuracy of 0 or the loss of a guess, and the most that a network of the space and its limits costs.

        Args:
            hp: The declared space.
            objectives: `max` or `min` by name; the first is the score, the others are costs.
            classes: Number of classes.
        """
        (score, better), *costs = objectives.items()
        if not costs:
            return {}
        networks = survey(hp, self._sizes)
        largest = {name: min(networks.largest(name), self.limits.get(name, math.inf)) for name, _ in costs}
        return {score: 0.0 if better == "max" else math.log(classes), **largest}


@dataclasses.dataclass(frozen=True)
class _Allowed:
    """Whether a configuration keeps all limits; `quickly`, those that are computed."""

    constraints: Constraints

    def __call__(self, values: Mapping[str, Any]) -> bool:
        return self.constraints.broken(values) is None

    def quickly(self, values: Mapping[str, Any]) -> bool:
        return self.constraints.broken(values, quickly=True) is None


@dataclasses.dataclass(frozen=True)
class Survey:
    """Networks of a space and what they cost.

    Args:
        drawn: Architectures that stand for the space: all, or a sample.
        corners: More of them, at the ends of all ranges, where not all were looked at.
        is_all: Whether the space has no other network.
        sizes: What they cost.
    """

    drawn: Sequence[Mapping[str, Any]]
    corners: Sequence[Mapping[str, Any]]
    is_all: bool
    sizes: Sizes

    def largest(self, name: str) -> float:
        """Returns the largest cost of one kind that was seen; of a latency, that of the most multiply-accumulates."""
        networks = [*self.drawn, *self.corners]
        if name == "latency":
            return self.sizes.of(max(networks, key=lambda values: self.sizes.of(values, "macs")), name)
        return max(self.sizes.of(values, name) for values in networks)

    def check(self, limits: Mapping[str, float]) -> None:
        """Refuses limits that nothing in the space keeps.

        Raises:
            UsageError: With the smallest value that would admit something.
        """
        pool = [*self.drawn, *self.corners]
        kept: list[str] = []
        for name, most in limits.items():
            if name == "latency":
                pool = sorted(pool, key=lambda values: self.sizes.of(values, "macs"))[:MOST_MEASURED]
            smallest = min(self.sizes.of(values, name) for values in pool)
            if smallest > most:
                seen = f"all {len(pool):,}" if self.is_all and name != "latency" else f"{len(pool):,} seen"
                within = f" that keeps {' and '.join(kept)}" if kept else ""
                raise UsageError(
                    f"{_limit(name, most)} admits no network of the space{within}: the smallest of {seen} has "
                    f"{describe_cost(smallest, name, exact=True)}; allow at least that, or search another space."
                )
            pool = [values for values in pool if self.sizes.of(values, name) <= most]
            kept.append(_limit(name, most))

    def line(self, limits: Mapping[str, float]) -> str:
        """Returns how much of the space keeps the limits, for a person to read."""
        cheap = {name: most for name, most in limits.items() if name != "latency"}
        parts = []
        if cheap:
            kept = sum(all(self.sizes.of(each, name) <= most for name, most in cheap.items()) for each in self.drawn)
            of = f"{len(self.drawn):,} networks" if self.is_all else f"{len(self.drawn):,} networks drawn"
            flags = " and ".join(_limit(name, most) for name, most in cheap.items())
            parts.append(f"{kept:,} of {of} ({kept / len(self.drawn):.1%}) keep {flags}")
        if "latency" in limits:
            parts.append(f"{_limit('latency', limits['latency'])} is measured when a network is drawn")
        return "; ".join(parts)


def survey(hp: keras_tuner.HyperParameters, sizes: Sizes) -> Survey:
    """Looks at the networks of a space: at all of them, or at a random sample and the corners.

    Args:
        hp: The declared space.
        sizes: What networks cost.
    """
    encoding = Encoding(_architecture_space(hp))
    size = encoding.size()
    if size is not None and size <= MOST_NETWORKS:
        return Survey(list(encoding.combinations()), [], True, sizes)
    rng = np.random.default_rng(0)
    drawn = [encoding.values(point) for point in rng.random((MOST_NETWORKS, encoding.dimensions))]
    ends = itertools.islice(itertools.product((0.0, 1.0), repeat=encoding.dimensions), MOST_CORNERS - 1)
    corners = [*ends, (1.0,) * encoding.dimensions]
    return Survey(drawn, [encoding.values(corner) for corner in corners], False, sizes)


def _architecture_space(hp: keras_tuner.HyperParameters) -> keras_tuner.HyperParameters:
    """Returns the hyperparameters of the network, and those on which they depend."""
    names = set(architecture_values({entry.name: None for entry in hp.space}))
    kept = keras_tuner.HyperParameters()
    for entry in reversed(hp.space):  # what others depend on stands before them
        if entry.name in names:
            names |= {condition.name for condition in entry.conditions}
    for entry in hp.space:
        if entry.name in names:
            kept.space.append(entry)
    return kept


def _limit(name: str, most: float) -> str:
    return f"{limit_flag(name)} {most:g}" if name == "latency" else f"{limit_flag(name)} {describe_count(most)}"
