"""Searches a space for the best network and keeps every trial in a study.

python -m tuner.search --space small
"""

from __future__ import annotations

import argparse
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner import command, leaderboard
from tuner.config import SearchConfig, library_versions
from tuner.errors import without_password
from tuner.request import add_search_flags, resolve, study_name
from tuner.space import load_space

if TYPE_CHECKING:
    from tuner.study import Study
    from tuner.worker import Worker

__all__ = ["main", "search"]

ROWS_SHOWN = 10

_MORE = "More: another --study with another --seed; --trials N where the algorithm has no schedule of its own."

_EXAMPLES = """examples:
  python -m tuner.search --space small
  python -m tuner.search --space small --dataset folder:photos --image-size 32 --trials 20
  python -m tuner.search --study my-study                 continue it, or see that it is finished
  python -m tuner.search --space tiny --dry-run           the plan only

exit status: 0 done, 1 the search failed, 2 wrong usage, 130 interrupted (the study can be continued)
"""


def search(arguments: argparse.Namespace) -> int:
    """Flags -> configuration -> space -> oracle and worker -> plan -> trials in the study -> leaderboard."""
    # Imports stand here because a wrong flag must not wait for TensorFlow, nor --help for Optuna.
    from tuner.storage import locked, storage_url
    from tuner.study import Study

    name = study_name(arguments)
    folder = Path(arguments.results_dir) / name
    url = storage_url(Path(arguments.results_dir), name, arguments.storage)
    study = Study.open(url, name)
    config = resolve(arguments, study.config if study else None)
    space = load_space(config.space)
    if study:
        study.check_total(config.trials)
    if study and study.is_concluded(config.trials):
        print(f"The study {name} is finished: its {len(study.records())} trials are all that it asked for. {_MORE}")
        return _print_results(study, arguments)

    command.import_tensorflow()
    from tuner.display import Display
    from tuner.executor import Executor
    from tuner.hypermodel import check_objective, declare
    from tuner.oracles import make_oracle
    from tuner.plan import Plan
    from tuner.worker import Session, Worker

    hp = declare(space)
    check_objective(config.objective, hp)
    declared = hp.get_config()["space"]
    if study:
        study.check_space(declared)
    oracle = make_oracle(config, hp)
    worker = Worker(Session.of(config, arguments.data_dir))
    _print_request(config, worker, folder)
    plan = Plan(oracle.schedule(), worker.measure(hp.values))
    print(*plan.lines(), sep="\n", flush=True)
    if arguments.dry_run:
        return 0

    with locked(folder):
        study = study or Study.create(url, name, config=config, space=declared, versions=library_versions())
        study.extend(config.trials)
        with Display(plan, config.objective, direction=config.direction, quiet=arguments.quiet) as display:
            Executor(
                oracle,
                worker=worker,
                study=study,
                checkpoints=folder / "checkpoints",
                observer=display,
                on_trial_end=lambda held: leaderboard.write_files(leaderboard.rows_of(held, config.direction), folder),
            ).search()
        study.conclude()
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return _print_results(study, arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = _parser().parse_args(argv)
    resume = shlex.join(["python", "-m", "tuner.search", "--study", study_name(arguments), *_where(arguments)])
    resume += f" --data-dir {shlex.quote(arguments.data_dir)}" if arguments.data_dir else ""
    return command.run(lambda: search(arguments), debug=arguments.debug, interrupted=f"Interrupted. To go on: {resume}")


def _print_request(config: SearchConfig, worker: Worker, folder: Path) -> None:
    data = worker.dataset
    size = "x".join(str(side) for side in data.input_shape)
    counts = f"{len(data.train):,} training and {len(data.validation):,} validation images"
    print(f"Space     {config.space}: {worker.space.title}")
    print(f"Data      {config.dataset}: {counts} of {size}, {data.classes} classes")
    print(f"Search    {config.algorithm}, objective {config.objective}, seed {config.seed}, batch {config.batch_size}")
    print(f"Study     {folder}", flush=True)


def _print_results(study: Study, arguments: argparse.Namespace) -> int:
    from tuner.storage import storage_url

    results = Path(arguments.results_dir)
    folder = results / study.name
    rows = leaderboard.rows_of(study.records(), study.config.direction)
    print()
    print(leaderboard.to_table(rows[:ROWS_SHOWN]), end="")
    if len(rows) > ROWS_SHOWN:
        print(f"... and {len(rows) - ROWS_SHOWN} more runs")
    print(f"\nFiles     {folder / 'leaderboard.csv'}, {folder / 'leaderboard.md'}")
    print(f"Storage   {without_password(storage_url(results, study.name, arguments.storage))}")
    print(f"Next      {shlex.join(['python', '-m', 'tuner.select', study.name, *_where(arguments)])}")
    return 0


def _where(arguments: argparse.Namespace) -> list[str]:
    """Returns the flags with which another command finds the study."""
    folder = [] if arguments.results_dir == "results" else ["--results-dir", arguments.results_dir]
    return folder + (["--storage", without_password(arguments.storage)] if arguments.storage else [])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tuner.search",
        description="Searches a space for the best SE-ResNet; the same study name continues the study.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_search_flags(parser)
    command.add_training_flags(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    command.add_study_flags(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
