"""Records learning curves of random configurations, so that searches can be compared without training.

    python benchmarks/record_curves.py --space small --dataset digits --configs 300 --epochs 27

Configuration 0 is the space's default, every other one is drawn from the seed and its own number, so a longer recording
begins with a shorter one. Seconds of a first epoch contain the tracing of a new structure. The CSV in
`benchmarks/results/` has one row a configuration and epoch and grows after each configuration; a recording that was
stopped goes on where it was. In the end, or at once with `--report`, it is printed how well the order after a few
epochs tells the order after the last one. What was recorded before gates began open, and problems of `oracles.py` are
made of, is reported with `--report --recorded`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import csv
import dataclasses
import functools
import io
import json
import math
import multiprocessing
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, spearmanr

from tuner import command
from tuner.errors import UsageError
from tuner.hardware import available_cores
from tuner.space import Space, load_space

RESULTS = Path(__file__).parent / "results"
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
REPORTED_EPOCHS = (1, 3, 9)
RESAMPLES = 10_000
WORKER: list[Any] = []  # of a process that records
Rows = list[dict[str, str]]


def main() -> int:
    """Records what is missing in the CSV, unless only the report is asked for, and prints the report."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--jobs", type=command.positive, default=1, metavar="N", help="configurations at once (default: 1)"
    )
    arguments = parser.parse_args()
    return command.run(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> None:
    space = load_space(arguments.space)
    path = curves_of(arguments, space)
    if not arguments.report:
        record(arguments, space, path)
    print_report(read_curves(path))


def csv_of(kind: str, arguments: argparse.Namespace, space: Space) -> Path:
    """Returns the CSV of a recording: named by space, data set, size of the images and number of those trained on."""
    sizes = [str(size) for size in (arguments.image_size, arguments.train_images) if size]
    return (
        arguments.results
        / f"{'-'.join([kind, space.label, Path(arguments.dataset.rpartition(':')[2]).name, *sizes])}.csv"
    )


def curves_of(arguments: argparse.Namespace, space: Space) -> Path:
    """Returns the CSV of learning curves: what the program records now, or with `--recorded` what problems are made of.

    Raises:
        UsageError: If something is to be recorded into the latter.
    """
    if arguments.recorded and not arguments.report:
        raise UsageError("--recorded is of gates that began half open, which are no longer trained; add --report.")
    return csv_of("recorded" if arguments.recorded else "curves", arguments, space)


def record(arguments: argparse.Namespace, space: Space, path: Path) -> None:
    """Trains the configurations that the CSV lacks and appends each when done; refuses a CSV of another recording."""
    missing, recorded = {}, read_curves(path)
    for number, hyperparameters in draw(space, seed=arguments.seed, configs=arguments.configs):
        if number in recorded:
            values = _columns(space, hyperparameters)
            _check(recorded[number], values, epochs=arguments.epochs, path=path)
        else:
            missing[number] = hyperparameters
    spawn = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    with concurrent.futures.ProcessPoolExecutor(
        arguments.jobs, mp_context=spawn, initializer=_begin, initargs=(arguments, space.name)
    ) as pool:
        pending = [pool.submit(rows_of, *task, seed=arguments.seed) for task in missing.items()]
        try:
            for future in concurrent.futures.as_completed(pending):
                rows = future.result()
                append(rows, path)
                seconds = sum(float(row["seconds"]) for row in rows)
                print(f"{rows[0]['config']}: {seconds:.1f} s, val_accuracy {rows[-1]['val_accuracy']}", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)


def rows_of(number: int, hyperparameters: Mapping[str, Any], *, seed: int) -> Rows:
    """Trains a configuration in a process that has its worker, and returns the rows of its epochs."""
    from tuner.models import cost

    (make,) = WORKER
    worker = make()
    size = cost(worker.hypermodel.model_config(hyperparameters))
    first = {"config": str(number), **_columns(worker.space, hyperparameters)}
    last = {"params": str(size.params), "macs": str(size.macs)}
    return [first | row | last for row in train(worker, hyperparameters, seed=seed)]


def _begin(arguments: argparse.Namespace, space: str) -> None:
    cores = max(1, available_cores() // arguments.jobs)
    # Made by the first task: what is wrong with the data is told by a task, and breaks a pool that begins.
    WORKER[:] = [functools.cache(functools.partial(make_worker, arguments, load_space(space), cores=cores))]


def train(worker: Any, hyperparameters: Mapping[str, Any], *, seed: int) -> Rows:
    """Returns epoch, metrics and seconds of each epoch, as text, to the session's last one or until it diverges.

    Args:
        worker: A `tuner.worker.Worker`.
        hyperparameters: Active values by name.
        seed: Seed of the recording; that of the training follows from it as in a search.
    """
    from tuner.seeds import derived_seed
    from tuner.worker import Task

    derived = derived_seed(seed, json.dumps(hyperparameters, sort_keys=True))
    epochs, times = worker.session.max_epochs, [time.perf_counter()]
    task = Task(hyperparameters=hyperparameters, initial_epoch=0, epochs=epochs, seed=derived)
    curve = worker.train(task, lambda *_: bool(times.append(time.perf_counter()))).curve
    if len(times) == len(curve["epoch"]):  # the epoch in which it diverged is not reported
        times.append(time.perf_counter())
    columns = {name: curve[name] for name in ("epoch", *METRICS)} | {"seconds": np.diff(times).tolist()}
    texts = ([_text(value) for value in values] for values in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*texts, strict=True)]


def _columns(space: Space, hyperparameters: Mapping[str, Any]) -> dict[str, str]:
    """Returns the values of all hyperparameters of a space as text; of those that are not active, an empty one."""
    from tuner.declaration import declare

    return {entry.name: _text(hyperparameters.get(entry.name, "")) for entry in declare(space).space}


def draw(space: Space, *, seed: int, configs: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields numbers below `configs` with active values; a number that draws what an earlier one drew is left out."""
    from tuner.declaration import active_values, declare
    from tuner.seeds import derived_seed

    seen: set[str] = set()
    for number in range(configs):
        hp = declare(space)
        for entry in hp.space:
            if number and hp.is_active(entry):  # a parent is declared, and so drawn, before what depends on it
                hp.values[entry.name] = entry.random_sample(derived_seed(seed, number, entry.name))
        key = json.dumps(active_values(hp), sort_keys=True)
        if key not in seen:
            seen.add(key)
            yield number, active_values(hp)


def append(rows: Rows, path: Path) -> None:
    """Appends the rows of one configuration in a single write, with the header where the file is new."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        writer.writeheader()
    writer.writerows(rows)
    with path.open("a", newline="") as file:
        file.write(text.getvalue())


def command_line() -> str:
    """Returns what was typed, with nothing but the names of files and folders that only this machine has."""
    shown = (Path(argument).name if argument.startswith(("/", "~")) else argument for argument in sys.argv[1:])
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *shown])


def read_curves(path: Path) -> dict[int, Rows]:
    """Returns the rows of each configuration by its number; none where there is no file."""
    curves: dict[int, Rows] = {}
    text = path.read_text() if path.exists() else ""
    for row in csv.DictReader(text.splitlines()):
        curves.setdefault(int(row["config"]), []).append(row)
    return dict(sorted(curves.items()))


def print_report(curves: Mapping[int, Rows]) -> None:
    """Prints the rank correlation of each metric after few epochs with that after the last."""
    last = max((int(rows[-1]["epoch"]) for rows in curves.values()), default=0)
    diverged = sum(_diverged(rows) for rows in curves.values())
    print(f"n = {len(curves)} configurations, {diverged} of them diverged, {last} epochs")
    if len(curves) < 3:
        return
    print("| metric | epoch | Spearman's rho with the last epoch | 95 % interval |\n|---|---:|---:|---|")
    for metric in ("val_accuracy", "val_loss"):
        final = np.array([_value(rows, metric, last) for rows in curves.values()])
        for epoch in (epoch for epoch in REPORTED_EPOCHS if epoch < last):
            early = np.array([_value(rows, metric, epoch) for rows in curves.values()])
            low, high = bootstrap_interval(early, final)
            print(f"| {metric} | {epoch} | {spearmanr(early, final).statistic:.3f} | {low:.3f} to {high:.3f} |")


def bootstrap_interval(first: np.ndarray, second: np.ndarray) -> Sequence[float]:
    """Returns the 2.5th and 97.5th percentile of Spearman's rho over resampled configurations."""
    chosen = np.random.default_rng(0).integers(len(first), size=(RESAMPLES, len(first)))
    ranks = [rankdata(values[chosen], axis=1) for values in (first, second)]
    a, b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    rho = (a * b).sum(axis=1)[scale > 0] / scale[scale > 0]  # a resample of one value has no order
    return np.percentile(rho, [2.5, 97.5]).tolist() if len(rho) else [math.nan, math.nan]


def make_worker(arguments: argparse.Namespace, space: Space, *, cores: int | None = None) -> Any:
    """Returns a `tuner.worker.Worker` on the images that the arguments ask for; `cores` None means all."""
    from tuner.data import DataSpec, Split, load
    from tuner.imports import import_tensorflow
    from tuner.messages import Session

    import_tensorflow()
    from tuner.worker import Worker

    spec = DataSpec(arguments.dataset, (arguments.image_size,) * 2 if arguments.image_size else None)
    data = load(spec)
    parts = ((data.train, arguments.train_images), (data.validation, arguments.validation_images))
    train, validation = (Split(split.images[:n], split.labels[:n]) for split, n in parts)
    session = Session(
        data=spec, space=space.name, max_epochs=arguments.epochs, batch_size=space.batch_size, cores=cores
    )
    return Worker(session, dataclasses.replace(data, train=train, validation=validation))


def _check(rows: Rows, values: Mapping[str, str], *, epochs: int, path: Path) -> None:
    if not (values.items() <= rows[-1].items() and (_diverged(rows) or rows[-1]["epoch"] == str(epochs))):
        raise UsageError(f"{path} was recorded with another space, seed or --epochs; give the same or move it away.")


def _diverged(rows: Rows) -> bool:
    return not math.isfinite(float(rows[-1]["loss"]) + float(rows[-1]["val_loss"]))


def _value(rows: Rows, metric: str, epoch: int) -> float:
    """Returns a metric after an epoch; the worst there is from the epoch on in which the configuration diverged."""
    if _diverged(rows) and epoch >= int(rows[-1]["epoch"]):
        return 0.0 if metric == "val_accuracy" else math.inf
    return float(rows[epoch - 1][metric])


def _text(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def make_parser(description: str) -> argparse.ArgumentParser:
    """Returns the parser of what is trained on."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="small", help="search space, with its own batch (default: small)")
    parser.add_argument("--dataset", default="digits", metavar="SOURCE", help="as of tuner.search (default: digits)")
    parser.add_argument("--image-size", type=command.positive, metavar="N", help="resize images to N x N pixels")
    for name in ("--train-images", "--validation-images"):
        parser.add_argument(name, type=command.positive, metavar="N", help="only the first N (default: all)")
    for name, default in (("--configs", 60), ("--epochs", 27)):
        parser.add_argument(name, type=command.positive, default=default, metavar="N", help=f"default: {default}")
    parser.add_argument("--seed", type=command.nonnegative, default=0, metavar="N", help="default: 0")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the CSVs are")
    parser.add_argument("--report", action="store_true", help="only print the report of what is recorded")
    parser.add_argument("--recorded", action="store_true", help="report the curves of before gates began open")
    command.add_debug_flag(parser)
    return parser


if __name__ == "__main__":
    command.leave(main())
