"""What a search leaves a person with, in words: runs, where everything is, and the command to type next."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner import command, leaderboard
from tuner.errors import without_password
from tuner.flags import running_flags
from tuner.quantities import counted
from tuner.records import Record, Run, runs_of
from tuner.request import study_name

if TYPE_CHECKING:
    from tuner.study import Study

__all__ = [
    "LeaderboardFiles",
    "command_to_go_on",
    "drop_states",
    "finished_line",
    "place_flags",
    "result_lines",
    "run_lines",
]

ROWS_SHOWN = 10

# From so many trials on, the files of the leaderboard are not written after each: of 1,000 that takes 0.06 s.
MANY_TRIALS = 200


class LeaderboardFiles:
    """Keeps the files of a study's leaderboard: written after each trial, of many after a hundredth of them.

    Args:
        study: The study.
        folder: Where the files are.
    """

    def __init__(self, study: Study, folder: Path) -> None:
        self._study, self._folder = study, folder
        self._unwritten = 0  # ends of trials

    def trial_ended(self, held: Sequence[Record]) -> None:
        """Hears of all trials of the study after one of them has ended.

        Raises:
            TunerError: If a file cannot be written.
        """
        self._unwritten += 1
        if len(held) < MANY_TRIALS or self._unwritten >= len(held) // 100:
            self.finish(held)

    def finish(self, held: Sequence[Record]) -> None:
        """Writes what is not written yet.

        Raises:
            TunerError: If a file cannot be written.
        """
        if self._unwritten:
            rows = leaderboard.rows_of(held, self._study.config.objectives, reference=self._study.reference)
            leaderboard.write_files(rows, self._folder)
            self._unwritten = 0


def drop_states(study: Study, folder: Path) -> None:
    """Removes the training states of a study that is done; not before the workers have written them."""
    if study.is_concluded(study.config) and study.config.total_epochs is None:  # else more epochs may follow
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def result_lines(study: Study, arguments: argparse.Namespace) -> list[str]:
    """Returns the best runs of a study, its files, and how to select the winner, for a person to read.

    Args:
        study: The study.
        arguments: Parsed flags of the search.
    """
    from tuner.storage import storage_url  # Optuna, which --help of search must not wait for

    results = Path(arguments.results_dir)
    folder = results / study.name
    records = study.records()
    rows = leaderboard.rows_of(records, study.config.objectives, reference=study.reference)
    if not rows:
        return ["", "Nothing   was trained yet: there is nothing to rank, nor to select."]
    table = leaderboard.to_table(rows, width=command.terminal_width(), top=ROWS_SHOWN).removesuffix("\n")
    more = [f"... and {counted(len(rows) - ROWS_SHOWN, 'more run')}"] if len(rows) > ROWS_SHOWN else []
    front = [f"Front     {leaderboard.describe_front(rows)}"] if study.config.costs else []
    begun, trained = study.begun_epochs(), sum(len(record.curve.get("epoch", ())) for record in records)
    early = f"Trained   {counted(trained, 'epoch')}, not {begun}: a trial that ends early counts in full"
    fewer = [early] if trained < begun and study.config.trials is None else []
    files = [folder / f"leaderboard.{ending}" for ending in ("csv", "json", "md")]
    files = [file for file in files if file.exists()]  # with a shared storage, another machine may have them
    flags = [*place_flags(arguments), *_data_flags(arguments)]
    reporting = command.shell_line("tuner.report", study.name, *place_flags(arguments))
    selecting = command.shell_line("tuner.select", study.name, *flags)
    if not any(run.has_score for run in runs_of(records)):
        selecting = "another space: no run has completed, so there is none to select"
    return [
        *("", table, *more, "", *front, *fewer),
        *([f"Files     {', '.join(map(str, files))}"] if files else []),
        f"Storage   {without_password(storage_url(results, study.name, arguments.storage))}",
        f"Report    {reporting}",
        f"Next      {selecting}",
    ]


def run_lines(title: str, study: Study, run: Run) -> list[str]:
    """Returns a run with its score and its values, for a person to read.

    Args:
        title: What comes before, such as `Winner    run 17`.
        study: Where it was found.
        run: A run that has a score.
    """
    values = (f"{name} {leaderboard.number(value)}" for name, value in run.last.hyperparameters.items())
    return [
        f"{title}: {study.config.objective} {run.score:.4f} after {counted(run.epochs, 'epoch')}",
        f"          {', '.join(values)}",
    ]


def finished_line(study: Study) -> str:
    """Returns what to say where a search has nothing left to do, and how it can go on."""
    made = len(study.records())
    if made == study.config.trials:
        larger = "--trials N"
    else:
        larger = "--total-epochs N or --trials N" if study.config.total_epochs is None else "--total-epochs N"
    asked = counted(made, "trial is", "trials are")
    return (
        f"The study {study.name} is finished: its {asked} all that it asked for. More: a larger {larger}, or another "
        "--study with another --seed."
    )


def command_to_go_on(arguments: argparse.Namespace, given: Sequence[str], *, has_study: bool) -> str:
    """Returns the command with which an interrupted search goes on.

    Args:
        arguments: Parsed flags of the search.
        given: The same flags as they were typed.
        has_study: Whether a study keeps what was asked for; else all that was asked is asked again.
    """
    flags = _resuming_flags(arguments) if has_study else _without_place(given)
    return command.shell_line("tuner.search", "--study", study_name(arguments), *place_flags(arguments), *flags)


def _resuming_flags(arguments: argparse.Namespace) -> list[str]:
    """Returns the flags, besides those of the study, with which another search goes on as this one would have."""
    return running_flags(arguments) + _data_flags(arguments)


def _data_flags(arguments: argparse.Namespace) -> list[str]:
    return ["--data-dir", arguments.data_dir] if arguments.data_dir else []


def _without_place(given: Sequence[str]) -> list[str]:
    """Returns command-line arguments without those that say where the study is."""
    parser = argparse.ArgumentParser(add_help=False)
    for flag in ("--study", "--results-dir", "--storage"):
        parser.add_argument(flag)
    return parser.parse_known_args(given)[1]


def place_flags(arguments: argparse.Namespace) -> list[str]:
    """Returns the flags with which another command finds the study."""
    folder = [] if arguments.results_dir == "results" else ["--results-dir", arguments.results_dir]
    return folder + (["--storage", without_password(arguments.storage)] if arguments.storage else [])
