"""Searches a space for the best network and keeps every trial in a study.

python -m tuner.search --space small
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner import command
from tuner.config import SearchConfig, library_versions
from tuner.data.notes import folder_notes
from tuner.errors import TunerError
from tuner.flags import add_running_flags, add_search_flags, with_joined_objectives
from tuner.imports import import_tensorflow
from tuner.outcome import LeaderboardFiles, command_to_go_on, drop_states, finished_line, result_lines
from tuner.quantities import counted
from tuner.request import described, limits_of, resolve, staffing_of, study_name

if TYPE_CHECKING:
    import keras_tuner

    from tuner.budget import Budget
    from tuner.crew import Crew
    from tuner.hypermodel import SEResNetHyperModel
    from tuner.messages import Facts, Measurement, Session
    from tuner.oracles import StudyOracle
    from tuner.oracles.drawing import Predicate
    from tuner.plan import Plan
    from tuner.space import Space
    from tuner.study import Study

__all__ = ["main", "search"]

_EXAMPLES = """examples:
  python -m tuner.search --space small
  python -m tuner.search --dataset folder:photos --image-size 32 --trials 20
  python -m tuner.search --backbone MobileNetV2 --image-size 32
  python -m tuner.search --workers 2 --time-limit 30m  two processes, 30 min
  python -m tuner.search --algorithm asha --total-epochs 200
  python -m tuner.search --study my-study              continue that study
  python -m tuner.search --space tiny --dry-run        the plan only

exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted (143 by SIGTERM)
"""


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """What stands between the request and the first trial."""

    oracle: StudyOracle
    budget: Budget
    hypermodel: SEResNetHyperModel
    plan: Plan
    declared: list[dict[str, Any]]
    seen: list[dict[str, Any]]
    reference: dict[str, float]


def search(arguments: argparse.Namespace, *, on_study: Callable[[str], None] = lambda _: None) -> int:
    """Flags -> configuration -> workers -> oracle and plan -> trials in the study -> leaderboard.

    `on_study` is called with the name of the study once that holds what was asked for.
    """
    # Imports stand in the functions because a wrong flag must not wait for TensorFlow, nor --help for Optuna.
    from tuner.messages import Session
    from tuner.staff import open_crew, prepare

    began = time.monotonic()
    prepare(staffing_of(arguments))  # workers import TensorFlow while this process looks for the study

    from tuner.locks import check_place, locked
    from tuner.storage import storage_url, told_in_words
    from tuner.study import Study
    from tuner.warm_start import find_source

    name = arguments.study = study_name(arguments)  # once: after midnight it would be another
    results = Path(arguments.results_dir)
    url = storage_url(results, name, arguments.storage)
    study = Study.open(url, name)
    config = resolve(arguments, study.config if study else None)
    session = Session.of(config, arguments.data_dir, steps_per_execution=arguments.steps_per_execution)
    space = session.load_space()
    if study:
        study.check_totals(config)
        if study.is_concluded(config):
            return _end(study, results / name, [finished_line(study), *result_lines(study, arguments)])

    if not arguments.dry_run:
        check_place(results / name, arguments.storage, is_new=study is None)
    source = find_source(config, results, arguments.storage) if config.warm_start and not study else None
    if session.data.kind == "folder" and not arguments.cluster:
        print("".join(f"{line}\n" for line in folder_notes(session.data)), end="")  # mistakes before there are workers
    if config.algorithm == "bayesian":
        importlib.import_module("sklearn.gaussian_process")  # Keras Tuner looks for it while it is imported
    with open_crew(staffing_of(arguments, config), session) as crew:  # they start while this process imports TensorFlow
        prepared = _prepare(arguments, config, session, space=space, study=study, source=source, crew=crew, began=began)
        if arguments.dry_run:
            return 0
        with locked(results / name, arguments.storage) as hold, told_in_words(url):
            study = study or _new_study(url, results / name, config, prepared, crew.facts)
            study.hold = hold
            study.extend(config.ordered(crew.size))
            on_study(name)
            reason = _run(arguments, prepared, study, crew=crew)
    return _end(study, results / name, [*result_lines(study, arguments), f"Stopped   {reason}"])


def _end(study: Study, folder: Path, lines: Sequence[str]) -> int:
    """Shows what a study has found; drops its states where it is done, which a search killed at its end left, too."""
    drop_states(study, folder)
    print(*lines, sep="\n")
    return 0


def _prepare(
    arguments: argparse.Namespace,
    config: SearchConfig,
    session: Session,
    *,
    space: Space,
    study: Study | None,
    source: Study | None,
    crew: Crew,
    began: float,
) -> _Prepared:
    """Returns oracle and plan, and shows what is going to be done."""
    import_tensorflow()
    from tuner.budget import Budget
    from tuner.callbacks import check_callbacks
    from tuner.constraints import Constraints
    from tuner.declaration import check_objective, declare
    from tuner.rehearsal import rehearsed
    from tuner.sizes import Sizes, largest_state
    from tuner.staff import settle
    from tuner.warm_start import seen_in

    hp = declare(space)
    declared = hp.get_config()["space"]
    check_objective(config.objective, hp)
    check_callbacks(space)
    with command.told_after("Waiting   until the data has been read"):
        facts = crew.facts
    if study:
        study.check_space(declared, config.space)
        study.check_data(facts, config.dataset)
    seen = study.seen if study else seen_in(source, declared) if source else []
    hypermodel = rehearsed(session, facts, space=space, hp=hp)
    largest = largest_state(hypermodel, hp)  # what cannot be built shows before anything is measured
    constraints = Constraints(config.limits, Sizes(hypermodel))
    oracle = _oracle(config, hp, study, seen=seen, is_allowed=constraints.predicate)
    folder = Path(arguments.results_dir) / study_name(arguments)
    asked = described(config, space, facts, folder, enqueued=oracle.num_enqueued, is_new=study is None)
    print(*asked, *constraints.settle(hp, oracle.enqueue), sep="\n", flush=True)
    if config.warm_start:
        print(f"Knows     {counted(len(seen), 'trial')} of the study {config.warm_start}")
    measurement, workers = settle(staffing_of(arguments, config), crew, hp.values)
    budget = Budget(limits_of(arguments, config), began=began, measured=measurement)
    if not (study and study.proposals()) and budget.is_short(epochs=config.max_epochs):  # else it goes on as it began
        oracle.hurry()
    plan = _planned(oracle, config, budget, measurement, workers=crew.size, state_bytes=largest)
    print(f"Workers   {workers}", *plan.lines(), sep="\n", flush=True)
    reference = study.reference if study else constraints.reference(hp, config.objectives, classes=facts.classes)
    return _Prepared(oracle, budget, hypermodel, plan, declared, seen, reference)


def _new_study(url: str, folder: Path, config: SearchConfig, prepared: _Prepared, data: Facts) -> Study:
    from tuner.study import Study

    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # of an earlier study of that name
    return Study.create(
        url,
        folder.name,
        config=config,
        space=prepared.declared,
        versions=library_versions(),
        seen=prepared.seen,
        reference=prepared.reference,
        data=data,
    )


def _planned(
    oracle: StudyOracle,
    config: SearchConfig,
    budget: Budget,
    measurement: Measurement,
    *,
    workers: int,
    state_bytes: int,
) -> Plan:
    """Returns the trials of a search, what they take, and what of them stays."""
    from tuner.plan import Plan

    return Plan(
        oracle.schedule(),
        measurement,
        workers,
        state_bytes,
        is_fixed=oracle.is_fixed,
        keeps_checkpoints=config.total_epochs is not None,
        disk_limit=budget.limits.disk_bytes,
        time_limit=budget.limits.seconds,
    )


def _oracle(
    config: SearchConfig,
    hp: keras_tuner.HyperParameters,
    study: Study | None,
    *,
    seen: Sequence[dict[str, Any]],
    is_allowed: Predicate | None,
) -> StudyOracle:
    """Returns the oracle of a new study, or that of one that goes on, which makes the same trials again."""
    from tuner.oracles import make_oracle

    return make_oracle(
        config,
        hp,
        seen=seen,
        begun_epochs=study.begun_epochs() if study else 0,
        begins_whole=study.begins_whole() if study else None,
        is_allowed=is_allowed,
    )


def _run(arguments: argparse.Namespace, prepared: _Prepared, study: Study, *, crew: Crew) -> str:
    """Makes the trials and returns why there are no more."""
    from tuner.display import Display
    from tuner.executor import Executor
    from tuner.order import FixedOrder

    folder, config = Path(arguments.results_dir) / study.name, study.config
    plan, budget = prepared.plan, prepared.budget
    order, files = FixedOrder() if config.deterministic else None, LeaderboardFiles(study, folder)
    with Display(plan, config.objective, direction=config.direction, quiet=arguments.quiet, budget=budget) as display:
        executor = Executor(
            prepared.oracle,
            crew=crew,
            hypermodel=prepared.hypermodel,
            study=study,
            checkpoints=folder.absolute() / "checkpoints" / study.token,  # workers may have a disk of their own
            budget=budget,
            order=order,
            observer=display,
            on_trial_end=files.trial_ended,
        )
        try:
            executor.search()
        except BaseException:
            with contextlib.suppress(TunerError):  # what went wrong before is what a person has to know
                files.finish(executor.ledger.held)
            raise
        files.finish(executor.ledger.held)
    if executor.is_through:
        study.conclude()
    waited = f"; the fixed order cost {order.waited:.1f} s of the workers' time" if order else ""
    return executor.reason + waited


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    given = with_joined_objectives(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(given)
    kept: list[str] = []  # studies that hold what was asked for
    return command.run(
        lambda: search(arguments, on_study=kept.append),
        debug=arguments.debug,
        interrupted=lambda: f"Interrupted. To go on: {command_to_go_on(arguments, given, has_study=bool(kept))}",
    )


def _parser() -> argparse.ArgumentParser:
    parser = command.make_parser(
        "tuner.search", "Searches a space for the best network; the same study name continues it.", examples=_EXAMPLES
    )
    add_search_flags(parser)
    add_running_flags(parser)
    command.add_training_flags(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    command.add_study_flags(parser)
    return parser


if __name__ == "__main__":
    command.leave(main())
