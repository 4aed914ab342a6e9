"""Searches a space for the best network and keeps every trial in a study.

python -m tuner.search --space small
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner import command
from tuner.data.notes import folder_notes
from tuner.errors import TunerError
from tuner.flags import add_running_flags, add_search_flags, with_joined_objectives
from tuner.imports import import_tensorflow
from tuner.outcome import LeaderboardFiles, command_to_go_on, drop_states, finished_line, result_lines
from tuner.request import Request, resolve, staffing_of, study_name
from tuner.versions import library_versions

if TYPE_CHECKING:
    from tuner.crew import Crew
    from tuner.messages import Facts
    from tuner.preparation import Prepared
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


def search(arguments: argparse.Namespace, *, on_study: Callable[[str], None] = lambda _: None) -> int:
    """Flags -> configuration -> workers -> oracle and plan -> trials in the study -> leaderboard.

    Args:
        arguments: Parsed flags; the name of the study is filled in.
        on_study: Called with that name once the study holds what was asked for.

    Returns:
        The exit status.

    Raises:
        TunerError: If something that was asked for cannot be done, or trials fail alike; the study keeps what it has.
    """
    # Imports stand in the functions because a wrong flag must not wait for TensorFlow, nor --help for Optuna.
    from tuner.staff import import_ahead, open_crew

    began = time.monotonic()
    import_ahead(staffing_of(arguments))  # workers import TensorFlow while this process looks for the study

    from tuner.locks import locked
    from tuner.storage import told_in_words

    request = _requested(arguments)
    config, study = request.config, request.study
    if study and request.is_done:
        return _end(study, request.folder, [finished_line(study), *result_lines(study, arguments)])
    if request.session.data.kind == "folder" and not arguments.cluster:  # mistakes show before there are workers
        print("".join(f"{line}\n" for line in folder_notes(request.session.data)), end="")
    if config.algorithm == "bayesian":
        importlib.import_module("sklearn.gaussian_process")  # Keras Tuner looks for it while it is imported
    with open_crew(staffing_of(arguments, config), request.session) as crew:
        import_tensorflow()  # while the workers start
        from tuner.preparation import prepared_search

        prepared = prepared_search(request, crew, began=began, tell=_tell)
        if arguments.dry_run:
            return 0
        with locked(request.folder, arguments.storage) as hold, told_in_words(request.url):
            study = study or _new_study(request, prepared, crew.facts)
            study.hold = hold
            study.extend(config.ordered(crew.size))
            on_study(study.name)
            reason = _run(request, prepared, study, crew=crew)
    return _end(study, request.folder, [*result_lines(study, arguments), f"Stopped   {reason}"])


def _tell(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


def _requested(arguments: argparse.Namespace) -> Request:
    """Returns what the flags ask for, and what there is of it; nothing is written."""
    from tuner.locks import check_place
    from tuner.messages import Session
    from tuner.storage import storage_url
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
    is_done = study is not None and study.is_concluded(config)
    if not is_done and not arguments.dry_run:
        check_place(results / name, arguments.storage, is_new=study is None)
    source = find_source(config, results, arguments.storage) if config.warm_start and not study else None
    return Request(
        arguments=arguments,
        config=config,
        session=session,
        space=space,
        url=url,
        folder=results / name,
        study=study,
        source=source,
        is_done=is_done,
    )


def _end(study: Study, folder: Path, lines: Sequence[str]) -> int:
    """Shows what a study has found; drops its states where it is done, which a search killed at its end left, too."""
    drop_states(study, folder)
    print(*lines, sep="\n")
    return 0


def _new_study(request: Request, prepared: Prepared, data: Facts) -> Study:
    from tuner.study import Study

    shutil.rmtree(request.folder / "checkpoints", ignore_errors=True)  # of an earlier study of that name
    return Study.create(
        request.url,
        request.folder.name,
        config=request.config,
        space=prepared.declared,
        versions=library_versions(),
        seen=prepared.seen,
        reference=prepared.reference,
        data=data,
    )


def _run(request: Request, prepared: Prepared, study: Study, *, crew: Crew) -> str:
    """Makes the trials and returns why there are no more."""
    from tuner.display import Display
    from tuner.executor import Executor
    from tuner.order import FixedOrder

    config, folder, budget = study.config, request.folder, prepared.budget
    order, files = FixedOrder() if config.deterministic else None, LeaderboardFiles(study, folder)
    quiet = request.arguments.quiet
    display = Display(prepared.plan, config.objective, direction=config.direction, quiet=quiet, budget=budget)
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
    with command.told_after("Waiting   until the algorithm has heard all trials that the study holds"):
        executor.ledger.replay()
    with display:
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
