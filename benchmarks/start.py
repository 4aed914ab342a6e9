"""What a network costs before its first step, and how fast its steps are: this program's engine against `model.fit`.

    python benchmarks/start.py

The default network of `small` on digits. Each measurement is a process of its own, one after the other; the table gives
medians over `--repeats` of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

MODES = ("program", "program, graphs rewritten", "model.fit")
EPOCHS = 6


def measure(mode: str) -> dict[str, float]:
    """Returns the seconds to the end of the first step, and the images a second of the later epochs."""
    from tuner.data import DataSpec
    from tuner.hypermodel import active_values, declare
    from tuner.space import load_space
    from tuner.worker import Session, Worker

    worker = Worker(Session(data=DataSpec("digits"), space="small", max_epochs=9, batch_size=64))
    images, labels = worker.dataset.train.images, worker.dataset.train.labels
    hp = declare(load_space("small"))
    began = time.perf_counter()
    if mode == "model.fit":
        model = worker.hypermodel.build(hp)
        model.fit(images[:64], labels[:64], batch_size=64, verbose=0)
        started = time.perf_counter()
        model.fit(images, labels, batch_size=64, verbose=0)
        rates = [_rate(lambda: model.fit(images, labels, batch_size=64, verbose=0), len(labels)) for _ in range(EPOCHS)]
    else:
        if mode != "program":
            import tensorflow as tf

            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
        network = worker.network(active_values(hp))
        network.reset(worker.hypermodel.recipe(active_values(hp)), seed=0)
        network.train_epoch(worker.train_images, max_steps=1)
        started = time.perf_counter()
        network.train_epoch(worker.train_images)
        rates = [_rate(lambda: network.train_epoch(worker.train_images), len(labels)) for _ in range(EPOCHS)]
    return {"start_seconds": started - began, "images_per_second": statistics.median(rates)}


def _rate(train, images: int) -> float:
    began = time.perf_counter()
    train()
    return images / (time.perf_counter() - began)


def main() -> int:
    """Measures every mode, in turn, and prints the table."""
    parser = argparse.ArgumentParser(description="Start and speed of a network, against model.fit.")
    parser.add_argument("--repeats", type=int, default=3, help="processes a mode (default: 3)")
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.mode:
        print(json.dumps(measure(arguments.mode)))
        return 0
    found: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for _ in range(arguments.repeats):
        for mode, rows in found.items():
            command = [sys.executable, "-P", __file__, "--mode", mode]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    print(
        f"| median of {arguments.repeats} | seconds to the end of the first step | images a second |\n|---|---:|---:|"
    )
    for mode, rows in found.items():
        start, rate = (statistics.median(row[name] for row in rows) for name in ("start_seconds", "images_per_second"))
        print(f"| {mode} | {start:.2f} | {rate:.0f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
