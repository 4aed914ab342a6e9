"""Measures the engine against stock Keras Tuner and `model.fit`, and against the bars that it was built for.

    python benchmarks/engine.py schedule speed workers gap memory target scores --dataset digits --seeds 0 1 2

| measure | question | bar |
|---|---|---|
| `schedule` | How long is the same Hyperband with one worker, against stock? | 1/5 on digits, 1/2 at 28x28 |
| `speed` | How many images a second are trained, against `model.fit`? | |
| `workers` | How long is a search with two workers, against one? | 0.65 |
| `gap` | How long does a worker wait between two trials of one architecture? | 50 ms |
| `memory` | How much more do all processes hold after 200 trials than after 20? | 1.1 |
| `target` | How long until an epoch of any trial is good enough, against stock? | 1/8; `hyperband` 1/4 |
| `scores` | Does a configuration score what `model.fit` gives it? | within 0.01 |

Each measurement is made in processes of its own, one after the other, never two at once; which program goes first
alternates with the seed. Each row is at once in `results/engine-<measure>-<dataset>.csv`. The tables are made of the
newest row of each program and seed with the same setting on the processor of the last; `--report` prints them without
measuring.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import programs
import report
import start
from book import Book
from programs import Setting
from record_curves import draw

from tuner import command
from tuner.errors import UsageError
from tuner.hardware import has_fast_bfloat16
from tuner.messages import Session
from tuner.space import load_space

RESULTS = Path(__file__).parent / "results"
OURS, STOCK = "tuner.search", "keras_tuner.Hyperband"
HYPERBAND = ("--algorithm", "hyperband")
TARGETS = {"digits": 0.98, "tfds:fashion_mnist": 0.88}

GAP_TRIALS = 25
GAP_SPACE = '''"""One architecture: the program's default network, and its learning rate."""


def declare(hp):
    """Declares the learning rate."""
    hp.Float("learning_rate", 0.01, 0.1, sampling="log", default=0.0375)
'''

# Memory is the median of the samples while so many trials end, as it goes up and down within one.
MEMORY_WINDOW = 5
MEMORY_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)

Row = dict[str, Any]
Programs = Mapping[str, Callable[[int], Iterable[Row]]]


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure.

    Args:
        programs: What is compared: a function of a seed for each name, which yields rows.
        table: Rows, in the order of the programs, -> Markdown.
        adapt: What the measure changes in the setting.
    """

    programs: Callable[[Setting, argparse.Namespace], Programs]
    table: Callable[[list[dict[str, str]]], str]
    adapt: Callable[[Setting], Setting] = lambda setting: setting


def schedule(setting: Setting, _: argparse.Namespace) -> Programs:
    """The same Hyperband schedule, with one worker and with stock Keras Tuner."""
    return {
        f"{OURS} --workers 1": lambda seed: [programs.search(setting, seed, *HYPERBAND, "--workers", "1").row()],
        STOCK: lambda seed: [programs.stock(setting, seed)],
    }


def workers(setting: Setting, _: argparse.Namespace) -> Programs:
    """The same schedule with two workers and with one."""

    def with_workers(number: str) -> Callable[[int], list[Row]]:
        return lambda seed: [programs.search(setting, seed, *HYPERBAND, "--workers", number).row()]

    return {f"{OURS} --workers {number}": with_workers(number) for number in ("2", "1")}


def speed(setting: Setting, _: argparse.Namespace) -> Programs:
    """The default network of the space, trained by each program in a precision that pays; a seed repeats it."""
    session = Session.of(setting.config(0), None)

    def of_program(program: str) -> Callable[[int], list[Row]]:
        return lambda seed: [programs.network(program, "speed", session)]

    is_fast = has_fast_bfloat16(session.data.known_size)
    mixed = setting.mixed_precision == "on" or (setting.mixed_precision == "auto" and is_fast)
    return {program: of_program(program) for program in start.PROGRAMS if mixed or program not in start.MIXED}


def gap(setting: Setting, _: argparse.Namespace) -> Programs:
    """Trials of one epoch and one architecture, with workers and in the driver."""

    def with_workers(number: str) -> Callable[[int], Iterator[Row]]:
        def rows(seed: int) -> Iterator[Row]:
            with tempfile.TemporaryDirectory() as folder:
                space = Path(folder) / setting.space
                space.write_text(GAP_SPACE)
                flags = ("--algorithm", "random", "--trials", str(GAP_TRIALS), "--workers", number)
                done = programs.search(dataclasses.replace(setting, space=str(space)), seed, *flags)
            waits = [1000 * record.wait_seconds for record in done.records if record.wait_seconds is not None]
            yield {"gaps": len(waits), "median_ms": statistics.median(waits), "largest_ms": max(waits)}

        return rows

    return {f"{OURS} --workers {number}": with_workers(number) for number in ("0", "1", "2")}


def memory(setting: Setting, arguments: argparse.Namespace) -> Programs:
    """Random trials of one epoch: what driver and workers hold after a tenth of them, and so on to all."""
    wanted = [max(1, round(share * arguments.memory_trials)) for share in MEMORY_SHARES]

    def with_workers(number: str) -> Callable[[int], Iterator[Row]]:
        def rows(seed: int) -> Iterator[Row]:
            trials = str(arguments.memory_trials + MEMORY_WINDOW)  # so that they still work in the last window
            flags = ("--algorithm", "random", "--trials", trials, "--workers", number)
            samples = list(programs.sample_memory(setting, seed, *flags))
            for ended in wanted:
                later = [sample for sample in samples if sample[0] >= ended]
                held = [sample for sample in later if sample[0] < ended + MEMORY_WINDOW] or later[:1]
                _, count, rss, pss = (statistics.median(values) for values in zip(*held, strict=True))
                found = {"processes": int(count), "rss_mb": rss / 1e6, "pss_mb": pss / 1e6}
                yield {"ended": ended, "samples": len(held), **found}

        return rows

    return {f"{OURS} --workers {number}": with_workers(number) for number in ("1", "2")}


def target(setting: Setting, arguments: argparse.Namespace) -> Programs:
    """The time until an epoch of any trial reaches the target: by default, with Hyperband, and with Keras Tuner's."""
    value = arguments.target or TARGETS.get(setting.dataset)
    if value is None:
        raise UsageError(f"target knows no accuracy to wait for on {setting.dataset}; give one with --target.")
    options = {"value": value, "cap": arguments.cap}
    return {
        OURS: lambda seed: [options | programs.target(setting, seed, **options)],
        f"{OURS} {' '.join(HYPERBAND)}": lambda seed: [options | programs.target(setting, seed, *HYPERBAND, **options)],
        STOCK: lambda seed: [options | programs.stock_target(setting, seed, **options)],
    }


def scores(setting: Setting, arguments: argparse.Namespace) -> Programs:
    """Random configurations, each trained by each program; all but the default one, which is not random."""
    session, space = Session.of(setting.config(0), None), load_space(setting.space)
    compared = dict.fromkeys((start.OURS, start.OURS_MIXED, start.FIT))

    def rows(seed: int) -> Iterator[Row]:
        drawn = (pair for pair in draw(space, seed=seed, configs=10 * arguments.configs) if pair[0])
        for number, values in itertools.islice(drawn, arguments.configs):
            for program, _ in programs.alternated(compared, number):
                found = programs.network(program, "score", session, values=values, seed=seed)
                yield {"program": program, "configuration": number, **found, "values": json.dumps(values)}

    return {"all": rows}


MEASURES = {
    "schedule": Measure(
        schedule, lambda rows: report.versus(rows, ("process_seconds", "search_seconds", "trials", "epochs", "score"))
    ),
    "speed": Measure(speed, lambda rows: report.speed(rows, start.FIT)),
    "workers": Measure(workers, lambda rows: report.versus(rows, ("process_seconds", "search_seconds", "score"))),
    "gap": Measure(gap, report.gap, lambda s: dataclasses.replace(s, space="one_architecture.py", max_epochs=1)),
    "memory": Measure(memory, report.memory, lambda s: dataclasses.replace(s, max_epochs=1)),
    "target": Measure(target, report.target),
    "scores": Measure(scores, report.scores),
}


def main() -> int:
    """Measures what is asked for and prints the tables."""
    arguments = _parser().parse_args()
    return command.run(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    space = load_space(arguments.space)
    setting = Setting(
        space=space.name,
        dataset=arguments.dataset,
        images=arguments.images,
        image_size=arguments.image_size,
        max_epochs=arguments.max_epochs or space.max_epochs,
        mixed_precision=arguments.mixed_precision,
    )
    arguments.results.mkdir(parents=True, exist_ok=True)
    if not arguments.report:
        programs.prepare(setting)
    for name in arguments.measures:
        measure = MEASURES[name]
        adapted = measure.adapt(setting)
        book, compared = Book(arguments.results, name, adapted), measure.programs(adapted, arguments)
        if arguments.only not in (None, *compared):
            raise UsageError(f"--only is {arguments.only!r}; {name} compares {', '.join(map(repr, compared))}.")
        measured = {program: run for program, run in compared.items() if arguments.only in (None, program)}
        for place, seed in enumerate([] if arguments.report else arguments.seeds):
            for program, run in programs.alternated(measured, place):
                load = os.getloadavg()[0]
                for row in run(seed):
                    book.add({"program": program, "seed": seed, **row}, load=load)
        order = list(compared)
        rows = book.rows(arguments.seeds)
        rows.sort(key=lambda row: order.index(row["program"]) if row["program"] in order else len(order))
        print(f"\n{name}: {', '.join(f'{key} {value}' for key, value in vars(adapted).items() if value)}\n")
        print(measure.table(rows) if rows else "Nothing was measured.", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measures", nargs="+", choices=MEASURES, metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument(
        "--seeds", type=command.nonnegative, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2"
    )
    parser.add_argument("--space", default="small", help="search space (default: small)")
    parser.add_argument("--dataset", default="digits", metavar="SOURCE", help="as of tuner.search (default: digits)")
    parser.add_argument(
        "--images", type=command.positive, metavar="N", help="use so many images of the training split only"
    )
    parser.add_argument("--image-size", type=command.positive, metavar="N", help="resize images to N x N pixels")
    parser.add_argument(
        "--max-epochs", type=command.positive, metavar="N", help="default: the space's; gap and memory take 1"
    )
    parser.add_argument(
        "--mixed-precision", choices=("auto", "on", "off"), default="auto", help="of tuner.search (default: auto)"
    )
    parser.add_argument("--target", type=float, metavar="F", help=f"validation accuracy (default: {TARGETS})")
    parser.add_argument(
        "--cap", type=float, default=3600.0, metavar="SECONDS", help="of a run to target (default: 3600)"
    )
    parser.add_argument("--only", metavar="PROGRAM", help="measure this one again, and compare with the rows of others")
    parser.add_argument("--memory-trials", type=command.positive, default=200, metavar="N", help="default: 200")
    parser.add_argument(
        "--configs", type=command.positive, default=20, metavar="N", help="of scores, a seed (default: 20)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the CSVs are")
    parser.add_argument("--report", action="store_true", help="print the tables of what was measured before")
    command.add_debug_flag(parser)
    return parser


if __name__ == "__main__":
    command.leave(main())
