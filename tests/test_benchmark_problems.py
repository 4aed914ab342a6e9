"""The problems on which oracles are compared answer the same each time, and epochs are counted once."""

import math
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SYNTHETIC = ["mixed", "late", "architecture", "valley"]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def _problem(name):
    from formulas import SYNTHETIC

    return SYNTHETIC[name]()


def _drawn(problem, number, seed=0):
    from spaces import sample

    rng = np.random.default_rng(seed)
    return [sample(problem.space, rng) for _ in range(number)]


def _trainer(problem, budget=10_000):
    from trainer import Trainer

    return Trainer(problem, seed=0, budget_epochs=budget)


@pytest.mark.parametrize("name", SYNTHETIC)
class TestProblem:
    """What every formula promises."""

    def test_curve_follows_from_values_and_seed(self, name):
        first, second = _problem(name), _problem(name)
        for values in _drawn(first, 20):
            np.testing.assert_array_equal(first.curve(values, 3), second.curve(values, 3))
            assert first.curve(values, 3).shape == (first.max_epochs,)
            assert not np.array_equal(first.curve(values, 3), first.curve(values, 4))

    def test_divergence_lasts_and_is_the_same_with_noise(self, name):
        problem = _problem(name)
        curves = np.stack([problem.truth(values) for values in _drawn(problem, 300)])
        gone = np.isnan(curves)
        assert 0.02 < gone[:, -1].mean() < 0.3  # of seeded draws: always the same
        assert (np.diff(gone.astype(int), axis=1) >= 0).all()
        noisy = np.stack([problem.curve(values, 0) for values in _drawn(problem, 300)])
        np.testing.assert_array_equal(np.isnan(noisy), gone)

    def test_no_draw_beats_the_best(self, name):
        problem = _problem(name)
        assert max(problem.final(values) for values in _drawn(problem, 2000, seed=7)) <= problem.best < 1

    def test_declares_the_same_space_to_keras_tuner(self, name):
        from spaces import default_values

        problem = _problem(name)
        hp = problem.hyperparameters()
        assert [entry.name for entry in hp.space] == [parameter.name for parameter in problem.space]
        assert {k: v for k, v in hp.values.items() if hp.is_active(k)} == default_values(problem.space)

    def test_values_that_are_not_active_change_nothing(self, name):
        problem = _problem(name)
        for values in _drawn(problem, 20):
            full = {parameter.name: parameter.default for parameter in problem.space} | values
            np.testing.assert_array_equal(problem.truth(full), problem.truth(values))


@pytest.mark.parametrize("number", range(20))
def test_a_drawn_problem_is_the_same_each_time_and_has_its_default_where_the_family_says(number):
    from drawn import DRAWN

    from tuner.oracles.whole import has_chosen_default

    near, least = (DRAWN[f"{family}#{number}"]() for family in ("drawn-near", "drawn-least"))
    for problem, chosen in ((near, True), (least, False)):
        again = DRAWN[problem.name]()
        for values in _drawn(problem, 5):
            np.testing.assert_array_equal(problem.curve(values, 1), again.curve(values, 1))
        assert has_chosen_default(problem.hyperparameters()) == chosen
        spread = np.ptp([problem.final(values) for values in _drawn(problem, 200)])
        assert spread > 10 * problem.deviation[-1]  # the noise hides none of it
    for values in _drawn(near, 20):  # the families differ in the defaults alone
        np.testing.assert_array_equal(near.truth(values), least.truth(values))


def test_a_continued_run_costs_its_additional_epochs_only():
    problem = _problem("late")
    trainer = _trainer(problem)
    values = {parameter.name: parameter.default for parameter in problem.space}
    scores = [trainer.evaluate(values, epochs) for epochs in (1, 3, 9)]
    assert trainer.spent == 9
    assert scores == problem.curve(values, 0)[[0, 2, 8]].tolist()
    trainer.evaluate(values, 27, continued=False)
    assert trainer.spent == 9 + 27


def test_a_diverged_run_is_no_incumbent():
    from trainer import trajectory

    problem = _problem("late")
    diverging = next(values for values in _drawn(problem, 300) if problem.final(values) == 0)
    trainer = _trainer(problem)
    assert trainer.train(trainer.begin(diverging), 27) == 0
    assert trainer.spent == 1 + int(np.isfinite(problem.truth(diverging)).sum())
    assert trajectory(trainer.log, problem) == []


def test_the_incumbent_has_the_most_epochs_and_then_the_best_score():
    from trainer import Entry, trajectory

    problem = _problem("late")
    trainer = _trainer(problem)
    a, b, c = (trainer.begin(values) for values in _drawn(problem, 3, seed=5))
    log = [Entry(1, a, 1, 0.9), Entry(2, b, 1, 0.8), Entry(4, b, 3, 0.5), Entry(7, c, 3, 0.6), Entry(8, a, 1, 0.99)]
    expected = [(1, a), (4, b), (7, c)]
    assert trajectory(log, problem) == [(spent, problem.final(run.values)) for spent, run in expected]
    assert trajectory([Entry(1, a, 9, math.nan), *log], problem) == trajectory(log, problem)


def test_a_search_ends_with_its_budget():
    from algorithms import drive, keras_tuner_oracle
    from trainer import Spent

    trainer = _trainer(_problem("architecture"), budget=200)
    with pytest.raises(Spent):
        drive(keras_tuner_oracle("Hyperband", trainer, 0), trainer)
    assert trainer.spent == 200
    assert [entry.epochs for entry in trainer.log[:27]] == [1] * 27  # Hyperband's first rung at R = 27
    assert [entry.spent for entry in trainer.log[27:36]] == list(range(29, 46, 2))  # each of nine goes on from 1 to 3


def test_never_reaching_the_reference_is_infinite():
    import json

    import regret

    def row(algorithm, changes):
        regrets = {f"regret_{budget}": "0.1" for budget in regret.BUDGETS}
        found = {"problem": "p", "algorithm": algorithm, "seed": "0", "max_epochs": "10", "seconds": "1"}
        return found | regrets | {"incumbents": json.dumps(changes)}

    rows = [row(regret.REFERENCE, [[10, 0.5], [80, 0.7], [200, 0.9]]), row("quick", [[40, 0.7]]), row("never", [])]
    rows.append(row("lucky", [[1, 0.8], [20, 0.6], [100, 0.75]]))
    once = {regret.REFERENCE: [0.5], "quick": [0.25], "never": [math.inf], "lucky": [1 / 160]}
    assert regret._ratios(rows, kept=False) == once
    assert regret._ratios(rows, kept=True) == once | {"lucky": [100 / 160]}
    assert "| never | 1 | inf |" in regret.report(rows)
