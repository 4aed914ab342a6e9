"""Scores averages of the weights over several spans along one training, to choose the span.

    python benchmarks/averages.py --space small --dataset tfds:fashion_mnist --image-size 14 --train-images 4000 \
        --validation-images 2000 --configs 37 --epochs 27 --until 9

Averaging changes nothing of a training, so one serves all spans. What the configurations score in the end is known
from `record_curves.py`, whose configurations and seeds these are; so the first epochs are enough to see what they say
about the last. Small networks come first. The CSV in `benchmarks/results/` grows after each configuration; one that is
recorded to `--until` is left out. `--report` only prints; the
table of benchmarks/README.md is of gates that began half open, so it comes with `--report --recorded`.

With `--constant-rate` it trains them to the end with one learning rate and batch-normalisation momentum 0.9, to see
what the schedule is worth: the first epochs are then held against the last one of the same span.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from record_curves import append, bootstrap_interval, csv_of, curves_of, draw, make_parser, make_worker, read_curves
from scipy.stats import spearmanr

from tuner import command
from tuner.space import load_space

if TYPE_CHECKING:
    from tuner.worker import Worker

SPANS = (0.0, 0.25, 0.5, 1.0)  # epochs; 0 is the weights themselves
SCORED_EPOCHS = (1, 3, 9, 27)
NORM_MOMENTUM = 0.9  # with --constant-rate
Scores = dict[tuple[int, float], dict[int, float]]


def main() -> int:
    """Trains what the CSV lacks, unless only the report is asked for, and prints the report."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--until", type=command.positive, default=9, metavar="N", help="train so many of the epochs (default: 9)"
    )
    parser.add_argument("--constant-rate", action="store_true", help="train to the end without the schedule")
    arguments = parser.parse_args()
    return command.run(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> None:
    space = load_space(arguments.space)
    path = csv_of("averages", arguments, space)
    if arguments.constant_rate:
        path, arguments.until = csv_of("constant", arguments, space), arguments.epochs
    if not arguments.report:
        record(arguments, path)
    curves = {} if arguments.constant_rate else read_curves(curves_of(arguments, space))
    finals = {number: float(rows[-1]["val_accuracy"]) for number, rows in curves.items()}
    print_report(read_scores(path), finals, last=arguments.until)


def leave_out_schedule() -> None:
    """Makes all networks that come have their peak learning rate in every step, and a fixed momentum of statistics."""
    import tensorflow as tf

    from tuner import hypermodel, training

    training.WarmupCosine = lambda peak, *_: lambda steps: peak + 0.0 * tf.cast(steps, tf.float32)
    hypermodel.norm_momentum = lambda steps_per_epoch: NORM_MOMENTUM


def record(arguments: argparse.Namespace, path: Path) -> None:
    """Trains the configurations whose scores after `--until` epochs the CSV lacks, and appends these."""
    from tuner.models import cost

    space = load_space(arguments.space)
    worker, known = make_worker(arguments, space), read_scores(path).get((arguments.until, 0.0), {})
    if arguments.constant_rate:
        leave_out_schedule()
    drawn = [pair for pair in draw(space, seed=arguments.seed, configs=arguments.configs) if pair[0] not in known]
    for number, values in sorted(drawn, key=lambda pair: cost(worker.hypermodel.model_config(pair[1])).macs):
        rows = train(worker, values, seed=arguments.seed, until=arguments.until)
        append([{"config": str(number), **row} for row in rows], path)
        print(number, *(row["val_accuracy"] for row in rows[-len(SPANS) :]), flush=True)


def train(worker: Worker, values: Mapping[str, Any], *, seed: int, until: int) -> list[dict[str, str]]:
    """Returns the validation scores of each span after the scored epochs and the last one, as text.

    Args:
        worker: Has the data and the compiled steps.
        values: Active hyperparameters by name.
        seed: Seed of the recording.
        until: Epochs to train.
    """
    from tuner.batches import images_of
    from tuner.recipe import average_momentum
    from tuner.seeds import derived_seed

    network = worker.networks.network(worker.hypermodel, values)
    recipe = dataclasses.replace(worker.hypermodel.recipe(values), average_momentum=0.0)
    network.reset(recipe, seed=derived_seed(seed, json.dumps(dict(values), sort_keys=True)))
    momenta = np.array([average_momentum(span, worker.hypermodel.steps_per_epoch) for span in SPANS], np.float32)
    validation = images_of(worker.dataset.validation)
    averages = np.zeros((len(SPANS), network.state().weights[0].size), np.float32)

    def listen(*_: Any) -> None:
        kept = (momenta if network.step > 1 else 0 * momenta)[:, np.newaxis]
        averages[:] = kept * averages + (1 - kept) * network.state().weights[0]

    rows = []
    for epoch in range(1, until + 1):
        network.train_epoch(worker.train_images, on_batch=listen)
        if epoch not in (*SCORED_EPOCHS, until):
            continue
        state = network.state()
        for span, average in zip(SPANS, averages, strict=True):
            network.restore(recipe, dataclasses.replace(state, weights=[*state.weights[:2], average]))
            score = network.evaluate(validation)
            texts = {f"val_{name}": f"{value:.5g}" for name, value in score.items()}
            rows.append({"epoch": str(epoch), "averaged_epochs": f"{span:g}", **texts})
        network.restore(recipe, state)
    return rows


def read_scores(path: Path) -> Scores:
    """Returns the validation accuracy by epoch and span, and in these by configuration."""
    scores: Scores = {}
    for row in csv.DictReader(path.read_text().splitlines() if path.exists() else []):
        key = int(row["epoch"]), float(row["averaged_epochs"])
        scores.setdefault(key, {})[int(row["config"])] = float(row["val_accuracy"])
    return scores


def print_report(scores: Scores, recorded: Mapping[int, float], *, last: int) -> None:
    """Prints for each epoch and span the rank correlation with the final scores, and the mean score.

    Args:
        scores: What was seen.
        recorded: The final scores; where there are none, they are those of each span after the last epoch.
        last: That epoch.
    """
    print("| epoch | n | averaged epochs | rho with the last epoch | 95 % interval | mean | difference to 0 |")
    print("|---:|---:|---:|---:|---|---:|---|")
    for (epoch, span), found in sorted(scores.items()):
        finals = recorded or scores.get((last, span), {})
        numbers = [number for number in found if number in finals]
        if not numbers:
            continue
        early, final = (np.array([of[number] for number in numbers]) for of in (found, finals))
        difference = early - np.array([scores[epoch, 0.0][number] for number in numbers])
        rho, interval = "", ""
        if len(numbers) > 2:
            low, high = bootstrap_interval(early, final)
            rho, interval = f"{spearmanr(early, final).statistic:.2f}", f"{low:.2f} to {high:.2f}"
        change = f"{difference.mean():+.4f} ({difference.min():+.4f} to {difference.max():+.4f})"
        print(f"| {epoch} | {len(numbers)} | {span:g} | {rho} | {interval} | {early.mean():.4f} | {change} |")


if __name__ == "__main__":
    command.leave(main())
