"""Turns a study into a model: picks the winner, trains it once more on all but the test images, tests and exports it.

python -m tuner.select [STUDY]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner import command
from tuner.config import COSTS
from tuner.errors import DivergedError
from tuner.imports import import_tensorflow
from tuner.outcome import place_flags, run_lines
from tuner.quantities import describe_cost
from tuner.seeds import derived_seed
from tuner.selector import RULES, best_run, front_runs, knee_run, run_of, within_one_standard_error

if TYPE_CHECKING:
    from tuner.data import Split
    from tuner.data.streaming import StreamedSplit
    from tuner.exporter import ExportReport
    from tuner.figures import Figures
    from tuner.records import Run
    from tuner.selector import Retest
    from tuner.study import Study
    from tuner.training import Network
    from tuner.worker import Worker

__all__ = ["main", "select"]

PROBE_IMAGES = 64
CHUNK_IMAGES = 1024  # test images in memory at a time

# Runs that one-standard-error trains again, and how often each: a guess, 15 trainings in all.
MOST_RETESTED, RETESTS = 5, 3

TRAININGS = 3  # of a winner, at most: one that diverges is begun again with another seed

_EXAMPLES = """examples:
  python -m tuner.select             the newest study in results/
  python -m tuner.select my-study
  python -m tuner.select --rule one-standard-error
                                     the cheapest that is as good as the best
  python -m tuner.select --rule pareto
                                     all that no other beats in score and size
  python -m tuner.select --run 17    that one of the leaderboard

writes results/<study>/model/: model.keras, saved_model/, labels.json,
card.json, card.md; with --rule pareto results/<study>/front/run-N/ for each
"""


def select(arguments: argparse.Namespace) -> None:
    """Study -> winners -> training on train + validation -> one look at the test split -> verified exports.

    Args:
        arguments: Parsed flags.

    Raises:
        TunerError: If there is no winner, its training fails, or the export is not what was trained.
    """
    # Imports stand in the functions because --help must not wait for Optuna, nor a wrong name for TensorFlow.
    from tuner.data import load_test
    from tuner.exporter import check_directory
    from tuner.finding import find_study
    from tuner.messages import Session
    from tuner.request import moved

    study = find_study(Path(arguments.results_dir), arguments.study, arguments.storage)
    cost = arguments.cost or next(iter(study.config.costs), "params")
    winners = _picked(study, arguments.run, rule=arguments.rule, cost=cost)
    results = Path(arguments.results_dir) / study.name
    is_front = arguments.rule == "pareto"
    folders = {run.number: results / (f"front/run-{run.number}" if is_front else "model") for run in winners}
    for folder in folders.values():
        check_directory(folder)  # before anything is trained
    config = moved(study.config, dataset=arguments.dataset, space=arguments.space)
    import_tensorflow()
    from tuner.declaration import declared
    from tuner.worker import Worker

    worker = Worker(Session.of(config, arguments.data_dir))
    study.check_data(worker.facts, config.dataset)
    if arguments.space:
        study.check_space(declared(worker.space), config.space)
    if arguments.rule == "one-standard-error":
        winners = [_retested(study, winners, worker, cost=cost)]
    test = load_test(worker.session.data)  # not before the winners are fixed
    for winner in winners:
        print(*run_lines(f"Winner    run {winner.number}", study, winner), sep="\n", flush=True)
        _make(study, winner, worker, test=test, folder=folders[winner.number], arguments=arguments)
    if is_front:
        _print_older(results / "front", folders.values())


def _picked(study: Study, number: int | None, *, rule: str, cost: str) -> list[Run]:
    """Returns the run of a number, or those that a rule picks: for one-standard-error, those to be trained again."""
    records, direction = study.records(), study.config.direction
    if number is not None:
        return [run_of(records, number)]
    if rule == "best":
        return [best_run(records, direction)]
    front = front_runs(records, direction, cost=cost)
    if rule == "knee":
        return [knee_run(front, direction, cost=cost)]
    return front if rule == "pareto" else front[:MOST_RETESTED]


def _retested(study: Study, runs: Sequence[Run], worker: Worker, *, cost: str) -> Run:
    """Trains runs again and returns the cheapest of those that are as good as the best."""
    from tuner.figures import judging_images
    from tuner.retest import retested

    accuracy, facts = study.config.accuracy, worker.facts
    images = judging_images(accuracy, facts.validation, facts.validation_sizes)
    retests = retested(
        runs,
        worker,
        seed=study.config.seed,
        times=RETESTS,
        accuracy=accuracy,
        report=lambda retest: _print_retest(retest, accuracy, cost=cost, images=images),
    )
    return within_one_standard_error(retests, cost=cost, images=images).run


def _make(
    study: Study,
    winner: Run,
    worker: Worker,
    *,
    test: Split | StreamedSplit | None,
    folder: Path,
    arguments: argparse.Namespace,
) -> None:
    """Trains a winner once more, tests and exports it."""
    import numpy as np

    from tuner.exporter import export
    from tuner.figures import test_figures
    from tuner.provenance import card_of

    began = time.perf_counter()
    network = _trained(winner, worker, quiet=arguments.quiet)
    seconds = time.perf_counter() - began

    labels, figures = worker.dataset.labels, None
    if test is not None:
        probabilities = np.concatenate([network.predict(images) for images in test.chunks(CHUNK_IMAGES)])
        figures = test_figures(probabilities, test.labels, classes=len(labels))
    report = export(
        network.to_keras(),
        folder,
        labels=labels,
        probe_images=next(worker.dataset.validation.chunks(PROBE_IMAGES)),
        card=card_of(
            study,
            winner,
            network,
            worker,
            test=figures,
            seconds=seconds,
            command=command.shell_line("tuner.select", study.name, *_flags(arguments)),
            rule=arguments.rule if arguments.run is None else "run",
        ),
    )
    _print_outcome(figures, report, study.config.accuracy, labels=labels)


def _trained(winner: Run, worker: Worker, *, quiet: bool) -> Network:
    """Trains a winner on all images; again with another seed where it diverges, as with more images it may."""
    for attempt in range(TRAININGS):
        try:
            return worker.retrain(
                winner.last.hyperparameters,
                epochs=winner.epochs,
                seed=derived_seed(winner.last.seed, "retraining", attempt) if attempt else winner.last.seed,
                report=None if quiet else lambda epoch, metrics: _show_epoch(epoch, winner.epochs, metrics),
            )
        except DivergedError as error:
            print(f"Diverged  training {attempt + 1} of at most {TRAININGS}: {error}", flush=True)
    raise DivergedError(
        f"Run {winner.number} diverged in {TRAININGS} trainings on the training and the validation images; choose "
        "another one of the leaderboard with --run N."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = _parser().parse_args(argv)
    again = command.shell_line("tuner.select", *(sys.argv[1:] if argv is None else argv))
    return command.run(
        lambda: select(arguments), debug=arguments.debug, interrupted=f"Interrupted. To begin again: {again}"
    )


def _flags(arguments: argparse.Namespace) -> list[str]:
    """Returns the flags that decide who wins, and those that say where study and data are."""
    given = {"--run": arguments.run, "--cost": arguments.cost}
    given |= {"--dataset": arguments.dataset, "--space": arguments.space, "--data-dir": arguments.data_dir}
    flags = [] if arguments.rule == "best" else ["--rule", arguments.rule]
    for flag, value in given.items():
        flags += [] if value is None else [flag, str(value)]
    return flags + place_flags(arguments)


def _print_older(front: Path, exports: Iterable[Path]) -> None:
    """Names exports beside those of a front that an earlier search or selection has left."""
    older = sorted(path.name for path in front.glob("run-*") if path not in exports)
    if older:
        print(f"Older     {', '.join(older)} in {front} are no longer of the front")


def _print_retest(retest: Retest, accuracy: str, *, cost: str, images: float) -> None:
    error = retest.standard_error(images)
    failed = f", {retest.failed} of them failed" if retest.failed else ""
    print(
        f"Retested  run {retest.run.number}: {accuracy} {retest.accuracy:.4f} in {len(retest.accuracies)} new "
        f"trainings{failed} (standard error {error:.4f}), {describe_cost(retest.run.last.cost(cost), cost)}",
        flush=True,
    )


def _print_outcome(figures: Figures | None, report: ExportReport, accuracy: str, *, labels: Sequence[str]) -> None:
    if figures is None:
        print("Test      the data set has no test split, and the search set no images aside (--test-fraction)")
    else:
        name, value, (low, high) = figures.told(accuracy)
        print(f"Test      {name} {value:.4f} on {figures.num_images} images (95 %: {low:.4f} to {high:.4f})")
        for weakness in figures.weaknesses(labels):
            print(f"Classes   {weakness}")
    checked = ", ".join(f"{name} {difference:.1e}" for name, difference in report.differences.items())
    print(f"Export    {report.directory}; both files re-opened, largest difference of a probability: {checked}")
    if report.left:
        print(f"Left      {report.left}, the export that was there before, could not be removed; remove it")
    print(f"Next      {command.shell_line('tuner.predict', str(report.directory))} IMAGE...")


def _show_epoch(epoch: int, epochs: int, metrics: Mapping[str, float]) -> bool:
    print(f"epoch {epoch}/{epochs}  loss {metrics['loss']:.4f}  accuracy {metrics['accuracy']:.4f}", file=sys.stderr)
    return False


def _parser() -> argparse.ArgumentParser:
    parser = command.make_parser(
        "tuner.select",
        "Trains the best run of a study on train + validation, tests it once, exports it.",
        examples=_EXAMPLES,
    )
    command.add_study_argument(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--rule",
        choices=RULES,
        default="best",
        metavar="RULE",
        help=f"which run wins: {', '.join(RULES)} (default: %(default)s)",
    )
    which.add_argument("--run", type=command.nonnegative, metavar="N", help="this one wins, by its number")
    parser.add_argument(
        "--cost",
        choices=COSTS,
        help="what a cheap network has little of, for the other rules (default: the study's first, else params)",
    )
    command.add_moved_flags(parser)
    command.add_training_flags(parser)
    command.add_study_flags(parser)
    return parser


if __name__ == "__main__":
    command.leave(main())
