"""What a trial costs the process that decides and writes, by how many trials there were before it.

    python benchmarks/driver.py --algorithm asha --trials 2000

A whole search of the space `small`, with its study in SQLite, its leaderboard files and its lines in a log, but with a
worker that trains nothing: what remains is the driver's own time, most of it while real workers train.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tuner.imports import import_tensorflow

import_tensorflow()

from rich.console import Console  # noqa: E402

from tuner import command, markdown  # noqa: E402
from tuner.budget import Budget, Limits  # noqa: E402
from tuner.config import SearchConfig  # noqa: E402
from tuner.crew import LocalCrew  # noqa: E402
from tuner.declaration import declare  # noqa: E402
from tuner.display import Display  # noqa: E402
from tuner.errors import UsageError  # noqa: E402
from tuner.executor import Executor  # noqa: E402
from tuner.hypermodel import SEResNetHyperModel  # noqa: E402
from tuner.messages import Facts, Measurement, Progress, Task  # noqa: E402
from tuner.oracles import ORACLES, make_oracle  # noqa: E402
from tuner.outcome import LeaderboardFiles  # noqa: E402
from tuner.plan import Plan  # noqa: E402
from tuner.records import COMPLETED, RUNNING, Record  # noqa: E402
from tuner.space import load_space  # noqa: E402
from tuner.study import Study  # noqa: E402

FACTS = Facts(train=1151, validation=287, input_shape=(8, 8, 1), classes=10, mean=(0.3,), variance=(0.1,))
AROUND = 50  # trials whose median is taken
SHOWN = (100, 200, 500, 1000, 2000, 5000)


class _Instant:
    """A worker whose epochs take no time; a rate of 0.1 is the best."""

    facts = FACTS

    def begin(self, task: Task) -> Progress:
        self._task, self._epoch = task, task.initial_epoch
        return self.advance()

    def advance(self) -> Progress:
        self._epoch += 1
        rate = float(self._task.hyperparameters["learning_rate"])
        accuracy = (1 - abs(rate - 0.1)) * (1 - 0.5 / self._epoch)
        curve = {"epoch": [self._epoch], "loss": [1.0], "val_loss": [1 - accuracy], "val_accuracy": [accuracy]}
        return self._told(curve, COMPLETED if self._epoch == self._task.epochs else RUNNING)

    def stop(self) -> Progress:
        return self._told({}, COMPLETED)

    def _told(self, curve: dict[str, list[float]], status: str) -> Progress:
        return Progress(status=status, curve=curve, seconds=0.5, images_per_second=200.0, message="")


def search(algorithm: str, trials: int, folder: Path) -> list[float]:
    """Returns the seconds from each trial's end to the next one's, `(trials - 1,)`."""
    config = SearchConfig(space="small", algorithm=algorithm, max_epochs=9, batch_size=64, trials=trials)
    hp = declare(load_space(config.space))
    oracle = make_oracle(config, hp)
    study = Study.create(
        f"sqlite:///{folder / 'study.db'}", "s", config=config, space=hp.get_config()["space"], versions={}
    )
    measured = Measurement(start_seconds=1.0, epoch_seconds=0.5)
    plan = Plan(oracle.schedule(), measured, 1, 1000, is_fixed=True)
    files, ends = LeaderboardFiles(study, folder), []

    def ended(held: Sequence[Record]) -> None:
        files.trial_ended(held)
        ends.append(time.perf_counter())

    with (folder / "log").open("w") as log:
        display = Display(plan, config.objective, direction="max", console=Console(file=log))
        Executor(
            oracle,
            crew=LocalCrew(_Instant()),  # type: ignore[arg-type]
            hypermodel=SEResNetHyperModel(lambda hp: None, FACTS.input_shape, FACTS.classes, config.max_epochs, 18),
            study=study,
            checkpoints=folder / "checkpoints",
            budget=Budget(Limits(seconds=1e7), began=time.monotonic(), measured=measured),
            observer=display,
            on_trial_end=ended,
        ).search()
    return [after - before for before, after in itertools.pairwise(ends)]


def main() -> int:
    """Searches once and prints a line for each number of trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=sorted(ORACLES), default="asha", help="default: asha")
    parser.add_argument("--trials", type=command.positive, default=2000, metavar="N", help="default: 2000")
    command.add_debug_flag(parser)
    arguments = parser.parse_args()
    return command.run(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.trials <= AROUND:
        raise UsageError(
            f"--trials is {arguments.trials}; more than {AROUND} are needed, the number that a median is of."
        )
    with tempfile.TemporaryDirectory() as folder:
        seconds = search(arguments.algorithm, arguments.trials, Path(folder))
    rows = []
    last = len(seconds) + 1
    for number in [*(n for n in SHOWN if n < last), last]:
        here = seconds[max(0, number - AROUND - 1) : number - 1]
        rows.append([number, f"{1000 * statistics.median(here):.1f}", f"{1000 * max(here):.0f}"])
    print(markdown.table(["trials before", f"ms a trial, {arguments.algorithm}", "largest"], rows), end="")


if __name__ == "__main__":
    command.leave(main())
