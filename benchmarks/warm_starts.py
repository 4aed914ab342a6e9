"""What an earlier search is worth to the next one, also where its scores lie at another level (`--warm-start`).

    python benchmarks/warm_starts.py --seeds 2 --jobs 2

On the first eight drawn problems of each family (`drawn.py`), `freeze-thaw` spends 24 full budgets R of one
configuration, with other noise than what follows. Then each algorithm searches for 12 R: without that, with its trials
as a warm start, and with their scores raised and lowered by `MOVED`, as those of another data set might be.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from algorithms import drive, our_oracle
from oracles import one_thread_each
from problems import load_problems
from regret import LEAST_REGRET
from trainer import Spent, Trainer

from tuner import command, markdown
from tuner.config import WITH_WARM_START
from tuner.oracles import ORACLES
from tuner.oracles.history import Seen

__all__ = ["main"]

PROBLEMS = [f"{family}#{number}" for family in ("drawn-near", "drawn-least") for number in range(8)]
SOURCE_BUDGETS, BUDGETS = 24, 12  # of R
MOVED = 0.3  # of accuracy
SOURCE = "freeze-thaw"  # the default of `tuner.search`
ALGORITHMS = [name for name in WITH_WARM_START if name in ORACLES and name not in ("auto", "gp", "grid")]
LEVELS = (None, 0.0, MOVED, -MOVED)  # None: no warm start
OTHER_SEED = 1000  # of the earlier search


def regrets(problem: str, seed: int, *, algorithms: Sequence[str]) -> np.ndarray:
    """Returns the noise-free regret of what each algorithm ends with, `(algorithms, levels)`."""
    known = _trials(_searched(problem, SOURCE, seed + OTHER_SEED, budgets=SOURCE_BUDGETS, known=()))
    found = np.zeros((len(algorithms), len(LEVELS)))
    for row, algorithm in enumerate(algorithms):
        for column, level in enumerate(LEVELS):
            moved = [] if level is None else [Seen(each.values, each.epochs, each.goodness + level) for each in known]
            oracle = _searched(problem, algorithm, seed, budgets=BUDGETS, known=moved)
            best = oracle.get_best_trials(1)[0].hyperparameters.values
            found[row, column] = _problem(problem).best - _problem(problem).final(best)
    return np.maximum(found, LEAST_REGRET)


@functools.cache
def _problem(name: str) -> Any:
    return load_problems(None)[name]()


def _searched(problem: str, algorithm: str, seed: int, *, budgets: int, known: Sequence[Seen]) -> Any:
    """Returns the oracle of a search that has spent its budget."""
    trainer = Trainer(_problem(problem), seed=seed, budget_epochs=budgets * _problem(problem).max_epochs)
    oracle = our_oracle(algorithm, trainer, seed, warm_start=known)
    with contextlib.suppress(Spent):
        drive(oracle, trainer)
    return oracle


def _trials(oracle: Any) -> list[Seen]:
    """Returns what a search that knows it is told of another one."""
    return [Seen(run.values, epochs, score) for run in oracle.history for epochs, score in run.scores.items()]


def table(found: np.ndarray, algorithms: Sequence[str]) -> str:
    """Returns a Markdown table of regrets `(searches, algorithms, levels)`."""
    lines = []
    for name, each in zip(algorithms, np.moveaxis(found, 1, 0), strict=True):
        means = [f"{100 * np.exp(np.log(column).mean()):.2f}" for column in each.T]
        better = [f"{np.sum(column < each[:, 0])}, {np.sum(column > each[:, 0])}" for column in each.T[1:]]
        lines.append([name, *means, *better])
    names = ["the same level", f"+{MOVED}", f"-{MOVED}"]
    title = (
        f"Regret in % of accuracy after {BUDGETS} R, geometric mean of {len(found)} searches, and how many are better "
        "and worse than without a warm start"
    )
    heads = ["algorithm", "without", *names, *(f"better, worse: {name}" for name in names)]
    return f"{title}\n\n{markdown.table(heads, lines, first='---')}"


def main() -> int:
    """Runs the command."""
    arguments = _parser().parse_args()
    return command.run(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    tasks = [(name, seed) for seed in range(arguments.seeds) for name in PROBLEMS]
    searches = functools.partial(regrets, algorithms=arguments.algorithms)
    with one_thread_each(arguments.jobs) as pool:
        found = np.stack(list(pool.map(searches, *zip(*tasks, strict=True))))
    print(table(found, arguments.algorithms))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=ALGORITHMS, metavar="NAME")
    parser.add_argument("--seeds", type=command.positive, default=2, metavar="N", help="of each problem (default: 2)")
    parser.add_argument("--jobs", type=command.positive, default=1, metavar="N", help="searches at once (default: 1)")
    command.add_debug_flag(parser)
    return parser


if __name__ == "__main__":
    command.leave(main())
