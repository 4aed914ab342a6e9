"""What did squeeze-and-excitation buy? The best run of a study with SE, beside the same run without and with other SE.

python -m tuner.ablate [STUDY]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner import command
from tuner.ablation import (
    TITLES,
    Comparison,
    Training,
    compare,
    read_trainings,
    to_csv,
    to_markdown,
    verdict,
    write_trainings,
)
from tuner.config import BALANCED
from tuner.errors import StudyError, UsageError
from tuner.files import obstacle, write_whole
from tuner.imports import import_tensorflow
from tuner.outcome import run_lines
from tuner.quantities import counted
from tuner.records import WORKER_DIED

if TYPE_CHECKING:
    from tuner.ablation_plan import AblationPlan
    from tuner.crew import Crew
    from tuner.hypermodel import SEResNetHyperModel
    from tuner.messages import Progress, Task
    from tuner.records import Run
    from tuner.study import Study
    from tuner.variants import Variant

__all__ = ["ablate", "main"]

DEFAULT_SEEDS, QUICK_SEEDS = 5, 3

_EXAMPLES = """examples:
  python -m tuner.ablate                   the newest study, all tables, 5 seeds
  python -m tuner.ablate my-study --quick  only with and without SE, 3 seeds
  python -m tuner.ablate my-study --tables ratio position --seeds 10

writes results/<study>/: ablation.md, ablation.csv (the tables),
ablation-trainings.csv (every training; the same command goes on from there)
"""


def ablate(arguments: argparse.Namespace) -> None:
    """Study -> best run with SE -> variants -> trainings on the training split -> tables of validation accuracy.

    Args:
        arguments: Parsed flags.

    Raises:
        TunerError: If there is nothing to compare, or what was asked for cannot be done; trainings that ended are kept.
    """
    if arguments.quick and arguments.tables:
        raise UsageError("--quick has the table se only; leave it out, or leave --tables out.")
    if arguments.named and arguments.study not in (None, arguments.named):
        raise UsageError(f"STUDY is {arguments.study} and --study is {arguments.named}; leave one of the two out.")
    # Imports stand in the functions because --help must not wait for TensorFlow and Optuna.
    from tuner.finding import find_study
    from tuner.locks import locked
    from tuner.messages import Session
    from tuner.request import moved
    from tuner.staff import Staffing, import_ahead, open_crew, settle
    from tuner.variants import best_gated_run

    staffing = Staffing(workers=arguments.workers)
    results = Path(arguments.results_dir)
    study = find_study(results, arguments.named or arguments.study, arguments.storage)
    folder = results / study.name
    if why := obstacle(folder):
        raise StudyError(f"The tables of an ablation in {folder} could not be written: {why}; mend that.")
    run = best_gated_run(study.records(), study.config.direction)
    read_trainings(folder / "ablation-trainings.csv")  # what is wrong with it shows before anything starts
    config = moved(study.config, dataset=arguments.dataset, space=arguments.space)
    import_ahead(staffing)  # workers import TensorFlow while this process does
    import_tensorflow()
    from tuner.declaration import declared
    from tuner.hypermodel import SEResNetHyperModel

    session = Session.of(config, arguments.data_dir)
    if arguments.space:
        study.check_space(declared(session.load_space()), config.space)
    with locked(folder), open_crew(staffing, session) as crew:
        study.check_data(crew.facts, config.dataset)
        hypermodel = SEResNetHyperModel.of(session, crew.facts)
        plan = _planned(arguments, study, run, hypermodel=hypermodel)
        _print_plan(study, run, plan)
        if staffing.workers is None:
            _, workers = settle(staffing, crew, run.last.hyperparameters)
            print(f"Workers   {workers}", flush=True)
        trainings = _train(crew, plan, folder / "ablation-trainings.csv", hypermodel=hypermodel, arguments=arguments)
    plan = plan.with_earlier(trainings, build=hypermodel.model_config)
    rows = compare(plan.variants, filter(plan.covers, trainings), found=plan.found.network, metric=config.accuracy)
    _show_tables(rows, folder, title=f"Ablation of run {run.number} of {study.name}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = _parser().parse_args(argv)
    given = sys.argv[1:] if argv is None else argv
    resume = command.shell_line("tuner.ablate", *given)
    return command.run(lambda: ablate(arguments), debug=arguments.debug, interrupted=f"Interrupted. To go on: {resume}")


def _planned(arguments: argparse.Namespace, study: Study, run: Run, *, hypermodel: SEResNetHyperModel) -> AblationPlan:
    from tuner.ablation_plan import planned

    return planned(
        run,
        ["se"] if arguments.quick else arguments.tables or (),
        seeds=arguments.seeds or (QUICK_SEEDS if arguments.quick else DEFAULT_SEEDS),
        search_seed=study.config.seed,
        build=hypermodel.model_config,
    )


def _train(
    crew: Crew, plan: AblationPlan, path: Path, *, hypermodel: SEResNetHyperModel, arguments: argparse.Namespace
) -> list[Training]:
    """Trains what the file has not got, and returns all that it has then."""
    from tuner.messages import Task
    from tuner.rounds import train_all

    held = [training for training in read_trainings(path) if training.status != WORKER_DIED]  # that is made again
    done = {(training.network, training.seed) for training in held if plan.covers(training)}
    wanted = [(variant, seed) for variant, seed in plan.wanted() if (variant.network, seed) not in done]
    print(f"Trainings {len(wanted)} of {counted(plan.epochs, 'epoch')}; {len(done)} are there already", flush=True)

    def ended(place: int, progress: Progress) -> None:
        variant, seed = wanted[place]
        training = _training(variant, tasks[place], progress, hypermodel=hypermodel)
        held.append(training)
        write_trainings(held, path)
        if not arguments.quiet:
            what = f"{variant.table} {variant.name}  seed {plan.seeds.index(seed)}"
            told = f"{training.status}  val_accuracy {training.val_accuracy:.4f}  {training.seconds:.1f} s"
            print(f"training {len(held) - before}/{len(wanted)}  {what}  {told}", file=sys.stderr)

    before = len(held)
    tasks = [
        Task(hyperparameters=variant.hyperparameters, initial_epoch=0, epochs=plan.epochs, seed=seed, keep=False)
        for variant, seed in wanted
    ]
    train_all(crew, tasks, ended)
    return held


def _training(variant: Variant, task: Task, progress: Progress, *, hypermodel: SEResNetHyperModel) -> Training:
    from tuner.models import cost

    size = cost(hypermodel.model_config(variant.hyperparameters))
    last = {name: values[-1] for name, values in progress.curve.items()}
    return Training(
        network=variant.network,
        seed=task.seed,
        epochs=task.epochs,
        status=progress.status,
        val_accuracy=last.get("val_accuracy", math.nan),
        val_balanced_accuracy=last.get(BALANCED, math.nan if hypermodel.balances else None),
        val_loss=last.get("val_loss", math.nan),
        seconds=round(progress.seconds, 3),
        params=size.params,
        macs=size.macs,
        hyperparameters=json.dumps(dict(variant.hyperparameters)),
    )


def _print_plan(study: Study, run: Run, plan: AblationPlan) -> None:
    print(*run_lines(f"Ablation  run {run.number} of {study.name}", study, run), sep="\n")
    print(f"Compares  {len(plan.wanted()) // len(plan.seeds)} networks with {len(plan.seeds)} seeds each")


def _show_tables(rows: Sequence[Comparison], folder: Path, *, title: str) -> None:
    """Writes the tables and prints them, with what they say of SE."""
    text = to_markdown(rows, title=title)
    write_whole(folder / "ablation.csv", to_csv(rows))
    write_whole(folder / "ablation.md", text)
    print(f"\n{text}")
    _print_verdict(rows)
    print(f"Files     {folder / 'ablation.md'}, {folder / 'ablation.csv'}")


def _print_verdict(rows: Sequence[Comparison]) -> None:
    """Prints what SE brings, where the tables say it."""
    if told := verdict(rows):
        print(f"SE        {told}")


def _parser() -> argparse.ArgumentParser:
    parser = command.make_parser(
        "tuner.ablate",
        "Trains the best run with SE again, without it and with other SE, and compares\ntheir accuracies.",
        examples=_EXAMPLES,
    )
    command.add_study_argument(parser)
    parser.add_argument("--study", dest="named", metavar="NAME", help="the same as STUDY")
    parser.add_argument(
        "--tables", nargs="+", choices=list(TITLES), metavar="TABLE", help=f"of {', '.join(TITLES)} (default: all)"
    )
    parser.add_argument("--quick", action="store_true", help=f"only table se, with {QUICK_SEEDS} seeds")
    parser.add_argument(
        "--seeds", type=command.positive, metavar="N", help=f"trainings of each network (default: {DEFAULT_SEEDS})"
    )
    parser.add_argument(
        "--workers",
        type=command.nonnegative,
        metavar="N",
        help="processes; 0: train in this one (default: as many as a measurement finds useful)",
    )
    command.add_moved_flags(parser)
    command.add_training_flags(parser)
    command.add_study_flags(parser)
    return parser


if __name__ == "__main__":
    command.leave(main())
