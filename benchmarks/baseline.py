"""The default search against a plain Keras Tuner Hyperband script: same space, images, budget and seed.

    python benchmarks/baseline.py --seeds 0 1 2 3 4

Each measurement is a process of its own, one after the other; which program goes first alternates with the seed. The
table is printed, every number is in `benchmarks/results/`; what is measured and what is not is in
`benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import datetime
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from tuner.config import SearchConfig, library_versions
from tuner.data import DataSpec, load
from tuner.records import COMPLETED
from tuner.space import load_space
from tuner.study import find_study

RESULTS = Path(__file__).parent / "results"
STUDY = "baseline"
FACTOR = 3  # Hyperband's, the default of both programs
OURS, STOCK = "tuner.search", "keras_tuner.Hyperband"
MEASURES = ("process_seconds", "search_seconds", "trials", "epochs", "score")


def main() -> int:
    """Measures both programs with every seed, prints the table and writes the CSV."""
    arguments = _parser().parse_args()
    if arguments.stock:
        request = json.loads(arguments.stock)
        run_stock(SearchConfig.from_dict(request["config"]), Path(request["folder"]))
        return 0
    _run(["-c", f"from tuner.data import DataSpec, load; load(DataSpec({arguments.dataset!r}))"])  # prepares it once
    rows = []
    for place, seed in enumerate(arguments.seeds):
        config = _config(arguments, seed=seed)
        programs = [(OURS, measure_ours), (STOCK, measure_stock)]
        for program, measure in programs if place % 2 == 0 else programs[::-1]:
            rows.append({"program": program, "seed": seed, **measure(config)})
            print(rows[-1], file=sys.stderr, flush=True)
    rows.sort(key=lambda row: row["seed"])
    parts = [load_space(config.space).label, Path(config.dataset.rpartition(":")[2]).name]
    parts += [str(arguments.image_size)] if arguments.image_size else []
    _write(rows, RESULTS / f"baseline-{'-'.join(parts)}.csv")
    _print_table(rows)
    return 0


def measure_ours(config: SearchConfig) -> dict[str, float]:
    """Runs `python -m tuner.search` in a process of its own, reads its study and returns `MEASURES`.

    The search is from the first trial's beginning to the last one's end, without the plan's measurement before it.
    """
    flags = ["--space", config.space, "--dataset", config.dataset, "--seed", str(config.seed), "--study", STUDY]
    flags += ["--image-size", "{}x{}".format(*config.image_size)] if config.image_size else []
    with tempfile.TemporaryDirectory() as folder:
        seconds = _run(["-m", "tuner.search", *flags, "--results-dir", folder])
        with contextlib.closing(find_study(Path(folder), STUDY)) as study:
            records = study.records()
        trials = optuna.load_study(study_name=STUDY, storage=f"sqlite:///{folder}/{STUDY}/study.db").trials
    began, ended = min(trial.datetime_start for trial in trials), max(trial.datetime_complete for trial in trials)
    return {
        "process_seconds": seconds,
        "search_seconds": (ended - began).total_seconds(),
        "trials": len(records),
        "epochs": sum(len(record.curve.get("epoch", [])) for record in records),
        "score": max(r.score for r in records if r.status == COMPLETED and r.epochs == config.max_epochs),
    }


def measure_stock(config: SearchConfig) -> dict[str, float]:
    """Runs `run_stock` in a process of its own and returns `MEASURES`; the search is Keras Tuner's `search`."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = _run([__file__, "--stock", json.dumps({"config": config.to_dict(), "folder": folder})])
        return {"process_seconds": seconds, **json.loads((Path(folder) / "measured.json").read_text())}


def run_stock(config: SearchConfig, folder: Path) -> None:
    """Is the plain script: stock Keras Tuner and `model.fit` on the arrays of `tuner.data`; writes `measured.json`."""
    import keras_tuner

    from tuner.hypermodel import SEResNetHyperModel

    histories = []

    class Recorded(SEResNetHyperModel):
        """Keeps what `model.fit` returns: Keras Tuner keeps the best epoch of a trial only."""

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            """Trains as Keras Tuner asks."""
            histories.append(super().fit(hp, model, *args, **kwargs))
            return histories[-1]

    data = load(DataSpec(config.dataset, config.image_size, config.validation_fraction))
    mean, variance = data.channel_statistics()
    hypermodel = Recorded(
        space=config.space,
        input_shape=data.input_shape,
        classes=data.classes,
        max_epochs=config.max_epochs,
        steps_per_epoch=math.ceil(len(data.train) / config.batch_size),
        batch_size=config.batch_size,
        mean=mean,
        variance=variance,
    )
    hyperband = keras_tuner.Hyperband(
        hypermodel,
        objective=config.objective,
        max_epochs=config.max_epochs,
        factor=FACTOR,
        seed=config.seed + 1,  # Keras Tuner takes 0 for no seed; the oracles of `tuner` add 1 too
        directory=folder,
        project_name=STUDY,
    )
    began = time.perf_counter()
    hyperband.search(
        data.train.images,
        data.train.labels,
        batch_size=config.batch_size,
        validation_data=(data.validation.images, data.validation.labels),
        verbose=0,
    )
    measured = {
        "search_seconds": time.perf_counter() - began,
        "trials": len(hyperband.oracle.trials),
        "epochs": sum(len(history.epoch) for history in histories),
        "score": max(h.history[config.objective][-1] for h in histories if h.epoch[-1] + 1 == config.max_epochs),
    }
    (folder / "measured.json").write_text(json.dumps(measured))


def _config(arguments: argparse.Namespace, *, seed: int) -> SearchConfig:
    space, size = load_space(arguments.space), arguments.image_size
    return SearchConfig(
        space=space.name,
        dataset=arguments.dataset,
        max_epochs=space.max_epochs,
        batch_size=space.batch_size,
        seed=seed,
        image_size=(size, size) if size else None,
    )


def _run(arguments: Sequence[str]) -> float:
    """Returns the wall time of Python with arguments, on the installed package and not the one in this folder."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-P", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the medians over the seeds, and the median of the ratios within a seed."""
    print(f"| median of {len(rows) // 2} seeds | {OURS} | {STOCK} | ratio |\n|---|---:|---:|---:|")
    for name in MEASURES:
        ours, stock = ([row[name] for row in rows if row["program"] == program] for program in (OURS, STOCK))
        ratio = statistics.median(a / b for a, b in zip(ours, stock, strict=True))
        print(f"| {name} | {statistics.median(ours):.4g} | {statistics.median(stock):.4g} | {ratio:.3f} |")


def _write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    command = shlex.join(["python", "benchmarks/baseline.py", *sys.argv[1:]])
    facts = {"cores": len(os.sched_getaffinity(0)), "date": datetime.date.today().isoformat(), "command": command}
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], *facts, *library_versions()], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **facts, **library_versions()} for row in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compares the default search with a plain Keras Tuner script.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--space", default="small", help="search space, with its own epochs and batch (default: small)")
    parser.add_argument("--dataset", default="digits", metavar="SOURCE", help="as of tuner.search (default: digits)")
    parser.add_argument("--image-size", type=int, metavar="N", help="resize images to N x N pixels")
    parser.add_argument("--stock", metavar="JSON", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
