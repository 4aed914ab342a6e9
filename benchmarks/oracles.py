"""Compares search oracles without training: a problem's learning curves answer in place of it.

    python benchmarks/oracles.py --seeds 20 --jobs 2
    python benchmarks/oracles.py --problems mixed late --algorithms keras_tuner.Hyperband tuner.hyperband --seeds 5
    python benchmarks/oracles.py --problems 'drawn-*' --seeds 3 --jobs 2
    python benchmarks/oracles.py --report
    python benchmarks/oracles.py --report --seeds 10 --algorithms 'tuner.*' 'keras_tuner.*' 'optuna.*' 'dehb*'
    python benchmarks/oracles.py --timing

A search spends up to 32 full budgets R of one configuration; each trained epoch counts one, and of a trial that
continues another only its own. After each trial the incumbent is the run with the most epochs, among those the one with
the best score. Its regret is what its noise-free score at R is below the best one of the problem. The rows are in
`results/oracles-<problem>.csv`; a search that is there is not repeated unless `--again` is given. `--report` needs
neither the libraries nor the ImageNet recordings: it shows what rows there are of the problems, algorithms and seeds
that are asked for.

The peers have environments of their own; the same command, run there, adds their rows:

    python -m venv peer && peer/bin/pip install scipy scikit-learn dehb
    PYTHONPATH=. peer/bin/python benchmarks/oracles.py --seeds 20
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import csv
import dataclasses
import datetime
import fnmatch
import functools
import importlib.metadata
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import peers
from drawn import DRAWN
from problem import Problem
from problems import load_problems
from record_curves import RESULTS, append, command_line
from regret import BUDGETS, Row, at_budget, report
from trainer import Spent, Trainer, trajectory

from tuner import command
from tuner.errors import UsageError, did_you_mean

LIBRARIES = ("keras-tuner", "optuna", "dehb", "smac", "neural-pipeline-search", "syne-tune", "hpbandster", "numpy")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclasses.dataclass(frozen=True)
class Search:
    """One search to be made.

    Args:
        problem: Name of the problem.
        algorithm: Name of the algorithm.
        seed: Seed of the algorithm and of the problem's noise.
        curves: File of recorded ImageNet trainings, if one was named.
    """

    problem: str
    algorithm: str
    seed: int
    curves: Path | None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells its row from others."""
        return self.problem, self.algorithm, str(self.seed)


def search(task: Search) -> Row:
    """Makes a search and returns its row: regrets at the budgets, and the noise-free scores of its incumbents."""
    from algorithms import algorithms

    problem = _problem(task.problem, task.curves)
    trainer = Trainer(problem, seed=task.seed, budget_epochs=max(BUDGETS) * problem.max_epochs)
    started = time.perf_counter()
    with contextlib.suppress(Spent), contextlib.redirect_stdout(sys.stderr):
        algorithms()[task.algorithm](trainer, task.seed)
    changes = trajectory(trainer.log, problem)
    scores = {budget: at_budget(changes, budget * problem.max_epochs) for budget in BUDGETS}
    return {
        "problem": task.problem,
        "algorithm": task.algorithm,
        "seed": str(task.seed),
        **{f"regret_{budget}": f"{problem.best - score:.6f}" for budget, score in scores.items()},
        "max_epochs": str(problem.max_epochs),
        "spent_epochs": str(trainer.spent),
        "trials": str(len(trainer.log)),
        "runs": str(trainer.runs),
        "seconds": f"{time.perf_counter() - started:.2f}",
        "incumbents": json.dumps([[spent, round(score, 6)] for spent, score in changes]),
    }


def missing(searches: Iterable[Search], folder: Path) -> Iterator[Search]:
    """Yields the searches that have no row yet."""
    present: dict[str, set[tuple[str, str, str]]] = {}
    for task in searches:
        if task.problem not in present:
            present[task.problem] = {(r["problem"], r["algorithm"], r["seed"]) for r in rows(folder, [task.problem])}
        if task.key not in present[task.problem]:
            yield task


def rows(folder: Path, names: Iterable[str]) -> list[Row]:
    """Returns the newest row of each search on some problems."""
    newest: dict[tuple[str, ...], Row] = {}
    for path in (_path(folder, name) for name in names):
        with contextlib.suppress(FileNotFoundError), path.open(newline="") as file:
            newest |= {(row["problem"], row["algorithm"], row["seed"]): row for row in csv.DictReader(file)}
    return list(newest.values())


def one_thread_each(jobs: int) -> concurrent.futures.ProcessPoolExecutor:
    """Returns so many processes of one thread each, which see no GPU."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"), TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    spawn = multiprocessing.get_context("spawn")  # so that the children read what was just set
    return concurrent.futures.ProcessPoolExecutor(jobs, mp_context=spawn)


def run_all(searches: list[Search], *, jobs: int, folder: Path) -> int:
    """Makes searches in processes of one thread each, appends the rows as they end, and returns how many failed."""
    facts = {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "command": command_line(),
        "versions": "; ".join(f"{name} {_version(name)}" for name in LIBRARIES if _version(name)),
    }
    failures = 0
    with one_thread_each(jobs) as pool:
        pending = {pool.submit(search, task): task for task in searches}
        try:
            for done, future in enumerate(concurrent.futures.as_completed(pending), 1):
                failures += not _kept(future, pending[future], facts, folder, f"{done}/{len(pending)}")
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupted comparison goes on where it was
    return failures


def _kept(
    future: concurrent.futures.Future[Row], task: Search, facts: Mapping[str, str], folder: Path, place: str
) -> bool:
    """Appends the row of a search that ended, and returns whether there is one."""
    try:
        row = future.result()
    except Exception as error:  # noqa: BLE001 - of any library; the other searches go on
        print(f"{' '.join(task.key)} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False
    append([{**row, **facts}], _path(folder, task.problem))
    shown = ", ".join(row[f"regret_{budget}"] for budget in BUDGETS)
    print(f"{place} {' '.join(task.key)}: {shown} in {row['seconds']} s", file=sys.stderr, flush=True)
    return True


def reported(arguments: argparse.Namespace) -> list[Row]:
    """Returns the rows of the problems, algorithms and seeds that are asked for, whatever could be searched here."""
    files = sorted(arguments.results.glob("oracles-*.csv"))
    found = rows(arguments.results, [path.stem.removeprefix("oracles-") for path in files])
    if not found:
        return []
    names = _problems(arguments.problems, list(dict.fromkeys(row["problem"] for row in found)))
    chosen = _chosen(arguments.algorithms, list(dict.fromkeys(row["algorithm"] for row in found)), "algorithm")
    seeds = _seeds(arguments)
    return [
        row for row in found if row["problem"] in names and row["algorithm"] in chosen and int(row["seed"]) in seeds
    ]


def main() -> int:
    """Makes the searches that are asked for and prints the tables."""
    arguments = _parser().parse_args()
    return command.run(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.report:
        print(report(reported(arguments)))
        return 0
    if arguments.curves and not arguments.curves.is_file():
        raise UsageError(f"--curves is {arguments.curves}, and there is no such file.")
    names = _problems(arguments.problems, list(load_problems(arguments.curves)))
    from algorithms import algorithms

    chosen = _chosen(arguments.algorithms, list(algorithms()), "algorithm")
    if arguments.timing:
        from timing import timing

        print(timing(chosen, _problem(names[0], arguments.curves)))
        return 0
    tasks = [
        Search(name, each, seed, arguments.curves) for seed in _seeds(arguments) for name in names for each in chosen
    ]
    arguments.results.mkdir(parents=True, exist_ok=True)
    tasks = tasks if arguments.again else list(missing(tasks, arguments.results))
    failures = run_all(tasks, jobs=arguments.jobs, folder=arguments.results)
    print(report(rows(arguments.results, names)))
    return 1 if failures else 0


@functools.cache
def _problem(name: str, curves: Path | None) -> Problem:
    return load_problems(curves)[name]()


def _path(folder: Path, problem: str) -> Path:
    return folder / f"oracles-{problem.partition('#')[0]}.csv"  # one for a family of drawn problems


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _seeds(arguments: argparse.Namespace) -> range:
    return range(arguments.first_seed, arguments.first_seed + arguments.seeds)


def _problems(wanted: list[str] | None, names: list[str]) -> list[str]:
    """Returns the problems that are asked for; all but the drawn ones where nothing is."""
    chosen = _chosen(wanted, names, "problem")
    return chosen if wanted else [name for name in chosen if name not in DRAWN]


def _chosen(wanted: list[str] | None, names: list[str], noun: str) -> list[str]:
    """Returns the names that are asked for, by name or pattern; all where nothing is."""
    for name in wanted or []:
        if fnmatch.filter(names, name):
            continue
        if name in peers.PEERS and noun == "algorithm":
            needed = peers.PEERS[name][0].partition(".")[0]
            raise UsageError(
                f"The algorithm {name} needs {needed}, which is not installed; --help says how peers are run."
            )
        shown = ", ".join(each for each in names if each not in DRAWN)
        raise UsageError(f"There is no {noun} {name} here; there are {shown}.{did_you_mean(name, names)}")
    return [name for name in names if not wanted or any(fnmatch.fnmatch(name, pattern) for pattern in wanted)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", metavar="NAME", help="names or patterns (default: all but drawn-*)")
    parser.add_argument("--algorithms", nargs="+", metavar="NAME", help="names or patterns (default: all)")
    parser.add_argument(
        "--seeds", type=command.nonnegative, default=20, metavar="N", help="number of seeds (default: 20)"
    )
    parser.add_argument("--first-seed", type=command.nonnegative, default=0, metavar="N", help="default: 0")
    parser.add_argument("--jobs", type=command.positive, default=1, metavar="N", help="searches at once (default: 1)")
    parser.add_argument("--curves", type=Path, metavar="FILE", help="recorded ImageNet trainings")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the CSVs are")
    parser.add_argument("--again", action="store_true", help="repeat searches that have a row; the newest row counts")
    parser.add_argument("--report", action="store_true", help="only print the tables of what was searched before")
    parser.add_argument("--timing", action="store_true", help="only time create_trial after 1,000 trials")
    command.add_debug_flag(parser)
    return parser


if __name__ == "__main__":
    command.leave(main())
