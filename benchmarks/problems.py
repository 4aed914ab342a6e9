"""The problems on which search oracles are compared without training.

A problem answers a configuration with the scores after each epoch. Its noise-free curve is known, so the regret of a
choice is exact. Some are formulas, some are fitted to recorded trainings, where the recordings are present, some are
drawn.

    python benchmarks/problems.py

prints size, share of divergence, best and median noise-free score, and how well the noisy order after 1, 3 and 9 epochs
tells the noise-free order at the end (Spearman's rho over 1,000 random configurations, a diverged one counts 0).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from drawn import DRAWN
from formulas import SYNTHETIC
from problem import Problem
from scipy.stats import spearmanr
from spaces import sample
from surrogates import recorded_problems

from tuner import command

__all__ = ["load_problems"]


def load_problems(curves: Path | None = None) -> dict[str, Callable[[], Problem]]:
    """Returns what makes each problem that can be made here, by name.

    Args:
        curves: File of recorded ImageNet trainings, or None for the one of `$TUNER_SHARED_DATA`, if any.
    """
    return {**SYNTHETIC, **recorded_problems(curves), **DRAWN}


def main() -> int:
    """Prints what each problem is like."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, metavar="FILE", help="recorded ImageNet curves")
    command.add_debug_flag(parser)
    arguments = parser.parse_args()
    return command.run(lambda: _run(arguments.curves), debug=arguments.debug)


def _run(curves_file: Path | None) -> None:
    print("| problem | parameters | epochs | diverged | best | median | rho 1 | rho 3 | rho 9 |\n|---|" + "---:|" * 8)
    for name, make in load_problems(curves_file).items():
        problem = make()
        rng = np.random.default_rng(1)
        drawn = [sample(problem.space, rng) for _ in range(1000)]
        curves = np.stack([np.nan_to_num(problem.curve(values, 0)) for values in drawn])
        truth = np.array([problem.final(values) for values in drawn])
        rho = [f"{spearmanr(curves[:, epoch - 1], truth).statistic:.2f}" for epoch in (1, 3, 9)]
        facts = [f"{(truth == 0).mean():.2f}", f"{problem.best:.4f}", f"{np.median(truth):.4f}", *rho]
        print(f"| {' | '.join([name, str(len(problem.space)), str(problem.max_epochs), *facts])} |", flush=True)


if __name__ == "__main__":
    command.leave(main())
