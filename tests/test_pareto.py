"""Fronts, what they cover and where they bend, against counting by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.pareto import contenders, fronts, hypervolume, hypervolumes, knee, unit_points

SIDE = 5  # of a grid of cells that are counted one by one


def _points(objectives):
    """Points whose coordinates are whole, so that the volume is a number of cells."""
    point = st.lists(st.integers(-1, SIDE), min_size=objectives, max_size=objectives)
    return st.lists(point, max_size=8).map(lambda rows: np.array(rows, float).reshape(len(rows), objectives))


def _cells(points):
    """Counts the cells that some point dominates."""
    cells = itertools.product(range(SIDE), repeat=points.shape[1])
    return sum(bool(np.any(np.all(points > np.array(cell), axis=1))) for cell in cells)


@given(st.one_of(*[_points(objectives) for objectives in (1, 2, 3)]))
def test_volume_is_that_of_the_cells_below_the_points(points):
    assert hypervolume(points) == pytest.approx(_cells(points))


@given(st.one_of(*[_points(objectives) for objectives in (1, 2, 3, 4)]))
def test_volumes_are_those_of_the_first_rows(points):
    assert hypervolumes(points) == pytest.approx([hypervolume(points[: n + 1]) for n in range(len(points))])


def test_volume_of_four_objectives():
    # Two boxes of 2 x 1 x 1 x 1 and 1 x 2 x 1 x 1 that share one of 1.
    assert hypervolume(np.array([[2.0, 1, 1, 1], [1, 2, 1, 1]])) == 3.0


@given(_points(2))
def test_rows_of_a_front_are_beaten_by_the_one_before_only(points):
    found = list(fronts(points))
    assert sorted(itertools.chain(*found)) == list(range(len(points)))

    def beats(a, b):
        return bool(np.all(points[a] >= points[b]) and np.any(points[a] > points[b]))

    for number, front in enumerate(found):
        assert not any(beats(a, b) for a, b in itertools.permutations(front, 2))
        assert all(any(beats(a, b) for a in found[number - 1]) for b in front) or number == 0


def test_points_are_1_at_the_best_and_0_at_the_reference():
    reference = {"val_accuracy": 0.0, "params": 1000.0}
    objectives = {"val_accuracy": "max", "params": "min"}
    points = unit_points([[0.0, 0.0], [1.0, 1000.0], [0.5, 250.0]], objectives, reference)
    assert points.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.5, 0.75]]
    assert unit_points([], objectives, reference).shape == (0, 2)
    losses = unit_points([[2.0], [0.0]], {"val_loss": "min"}, {"val_loss": 2.0})
    assert losses.tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("points", "row"),
    [
        ([[0.0, 4.0], [3.0, 3.0], [4.0, 0.0]], 1),
        ([[0.0, 40_000.0], [0.1, 39_000.0], [0.3, 20_000.0], [0.4, 0.0]], 2),  # whatever the units
        ([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0]], 2),  # straight: the best in the first
        ([[0.0, 4.0], [1.0, 1.0], [4.0, 0.0]], 2),  # bends the other way
        ([[0.0, 4.0], [4.0, 0.0]], 1),
        ([[2.0, 2.0]], 0),
        ([[2.0, 2.0], [2.0, 2.0]], 0),
        ([[0.9, -300.0], [0.8, -200.0], [0.7, -100.0]], 0),  # straight, but for rounding by 2e-16
    ],
)
def test_knee_is_farthest_from_the_line_between_the_ends(points, row):
    assert knee(np.array(points)) == row


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("most", [1, 5, 20])
def test_contenders_are_all_that_the_first_fronts_can_need(objectives, most):
    rng = np.random.default_rng(objectives)
    points = rng.integers(0, 30, (700, objectives)).astype(float)  # of several chunks, with ties
    points[rng.random(700) < 0.1] = -np.inf  # failures
    dominates = np.all(points[:, None] >= points, axis=2) & np.any(points[:, None] > points, axis=2)
    rows = contenders(points, most)
    assert rows.tolist() == np.flatnonzero(dominates.sum(axis=0) < most).tolist()
    first, size = [], 0
    for front in fronts(points):
        if size >= most:
            break
        first.append(front)
        size += len(front)
    assert [rows[front].tolist() for front, _ in zip(fronts(points[rows]), first, strict=False)] == first
