"""Several objectives at once: what nothing else beats in all of them, how much such a front covers, and where it bends.

Points are rows of numbers of which larger is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

__all__ = ["contenders", "fronts", "hypervolume", "hypervolumes", "knee", "unit_points"]


def fronts(points: np.ndarray) -> Iterator[list[int]]:
    """Yields the rows that nothing dominates, then those that only these do, and so on.

    Args:
        points: Each objective of each row, `(rows, objectives)`.

    Reference: Deb et al., 2002, IEEE Transactions on Evolutionary Computation 6(2), section III.
    """
    no_worse = np.all(points[:, None] >= points[None], axis=2)
    dominates = np.asarray(no_worse & np.any(points[:, None] > points[None], axis=2))
    dominators = dominates.sum(axis=0)
    left = np.ones(len(points), dtype=bool)
    while left.any():
        front = np.flatnonzero(left & (dominators == 0))
        yield front.tolist()
        left[front] = False
        dominators = dominators - dominates[front].sum(axis=0)


# Rows that are compared at a time with all that is left of those before.
CHUNK = 256


def contenders(points: np.ndarray, most: int) -> np.ndarray:
    """Returns the rows that fewer than so many others dominate, in their order.

    What dominates one of them is one, too, so their fronts are those of all; a front before which less than `most` rows
    stand has no others. Unlike `fronts`, it takes time in proportion to the rows.

    Args:
        points: Each objective of each row, `(rows, objectives)`.
        most: So many, >= 1.
    """
    kept = np.empty(0, dtype=int)
    order = np.lexsort(points.T)[::-1]  # what dominates a row stands before it
    for begin in range(0, len(order), CHUNK):
        new = order[begin : begin + CHUNK]
        rows = np.concatenate([kept, new])
        pairs = [(column[rows], column[new]) for column in points.T]
        no_worse = np.logical_and.reduce([np.greater_equal.outer(*pair) for pair in pairs])
        better = np.logical_or.reduce([np.greater.outer(*pair) for pair in pairs])
        kept = np.concatenate([kept, new[np.sum(no_worse & better, axis=0) < most]])
    return np.sort(kept)


def hypervolume(points: np.ndarray) -> float:
    """Returns the volume between the origin and a front: of all that a point dominates, counted once.

    It cuts the volume into slices along the last objective.

    Args:
        points: `(rows, objectives)`, at least one objective; what is not above 0 in all of them dominates nothing.

    Reference: While et al., 2006, IEEE Transactions on Evolutionary Computation 10(1), section III.
    """
    points = points[np.all(points > 0.0, axis=1)]
    if points.shape[1] > 2:
        points = np.unique(points, axis=0)
        points = points[contenders(points, 1)]
    points = points[np.argsort(-points[:, -1], kind="stable")]
    depths = points[:, -1] - np.append(points[1:, -1], 0.0)
    if points.shape[1] == 1:
        return float(depths.sum())
    if points.shape[1] == 2:
        return float(np.maximum.accumulate(points[:, 0]) @ depths)
    slices = [depth * hypervolume(points[: place + 1, :-1]) for place, depth in enumerate(depths) if depth > 0.0]
    return float(sum(slices))


def hypervolumes(points: np.ndarray) -> list[float]:
    """Returns the volume of the front of the first row, the first two rows, and so on.

    A new row adds its own box without what the front covers of it: few rows reach far into one box.

    Args:
        points: As for `hypervolume`.

    Reference: While et al., 2012, IEEE Transactions on Evolutionary Computation 16(1), section III.
    """
    front, volume = points[:0], 0.0
    found: list[float] = []
    for point in points:
        if np.all(point > 0.0) and not np.any(np.all(front >= point, axis=1)):
            volume += float(np.prod(point)) - hypervolume(np.minimum(front, point))
            front = np.vstack([front[~np.all(front <= point, axis=1)], point])
        found.append(volume)
    return found


def unit_points(
    values: Sequence[Sequence[float]], objectives: Mapping[str, str], reference: Mapping[str, float]
) -> np.ndarray:
    """Returns points that are 1 where an objective is as good as it can be and 0 at its reference.

    As good as it can be is 1 where more is better, as of an accuracy, and 0 where less is, as of a loss or a size.

    Args:
        values: Value of each objective of each row.
        objectives: `max` or `min` by the name of the objective, in the order of the values.
        reference: The value by name that counts for nothing; of one to be small, > 0.
    """
    table = np.array(values, dtype=float).reshape(len(values), len(objectives))
    columns = [
        (column - reference[name]) / (1.0 - reference[name]) if better == "max" else 1.0 - column / reference[name]
        for column, (name, better) in zip(table.T, objectives.items(), strict=True)
    ]
    return np.stack(columns, axis=1)


def knee(points: np.ndarray) -> int:
    """Returns the row of a front that bulges farthest from the line between its ends.

    Both objectives are scaled to the range that the front has. Where the front is straight or has less than three
    points, it is the row that is best in the first objective.

    Args:
        points: Rows that do not dominate one another, `(rows, 2)`, at least one.

    Reference: Das, 1999, Structural Optimization 18, https://doi.org/10.1007/BF01195985; Branke et al., 2004,
    Parallel Problem Solving from Nature 8, https://doi.org/10.1007/978-3-540-30217-9_73.
    """
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    scaled = (points - low) / np.where(extent > 0.0, extent, 1.0)
    order = np.argsort(-points[:, 0], kind="stable")
    # Both ends lie on the line on which these sum to 1; rounding must not let one of them win.
    bulge = np.round(scaled.sum(axis=1) - 1.0, 12)
    return int(order[np.argmax(bulge[order])])
