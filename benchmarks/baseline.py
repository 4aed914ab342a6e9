"""The plain Keras Tuner script that `benchmarks/engine.py` compares searches with, as a user would write it.

    python benchmarks/baseline.py CONFIGURATION FOLDER [--target ACCURACY]

Stock Keras Tuner and `model.fit`, with the same hypermodel, arrays, batches, budget and seed as `tuner.search`. It
writes its figures to `FOLDER/measured.json`; with a target, it writes `FOLDER/reached` and exits as soon as an epoch
of any trial has it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from tuner.config import SearchConfig
from tuner.data import DataSpec, load
from tuner.hypermodel import SEResNetHyperModel
from tuner.messages import Facts, Session
from tuner.seeds import spread_seed

FACTOR = 3  # Hyperband's, the default of both programs


class Recorded(SEResNetHyperModel):
    """Keeps what `model.fit` returns: Keras Tuner keeps the best epoch of a trial only."""

    histories: list[keras.callbacks.History]

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains as Keras Tuner asks."""
        self.histories.append(super().fit(hp, model, *args, **kwargs))
        return self.histories[-1]


class UntilTarget(keras.callbacks.Callback):
    """Writes the time and ends the process when an epoch has the target."""

    def __init__(self, objective: str, target: float, path: Path) -> None:
        super().__init__()
        self.objective, self.target, self.path = objective, target, path

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Looks at the epoch that has ended."""
        if logs and logs[self.objective] >= self.target:
            self.path.write_text(str(time.time()))
            os._exit(0)


def main() -> int:
    """Searches."""
    parser = argparse.ArgumentParser(description="Searches with stock Keras Tuner.")
    parser.add_argument("config", type=json.loads, help="a tuner.config.SearchConfig as JSON")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", type=float)
    arguments = parser.parse_args()
    config, folder = SearchConfig.from_dict(arguments.config), arguments.folder

    data = load(DataSpec(config.dataset, config.image_size, config.validation_fraction, images=config.images))
    hypermodel = Recorded.of(Session.of(config, None), Facts.of(data))
    hypermodel.histories = []
    tuner = keras_tuner.Hyperband(
        hypermodel,
        objective=config.objective,
        max_epochs=config.max_epochs,
        factor=FACTOR,
        seed=spread_seed(config.seed),  # as the oracles of `tuner` do
        directory=folder,
        project_name="stock",
    )
    callbacks = [UntilTarget(config.objective, arguments.target, folder / "reached")] if arguments.target else []
    began = time.perf_counter()
    tuner.search(
        data.train.images,
        data.train.labels,
        batch_size=config.batch_size,
        validation_data=(data.validation.images, data.validation.labels),
        callbacks=callbacks,
        verbose=0,
    )
    full = [history for history in hypermodel.histories if history.epoch[-1] + 1 == config.max_epochs]
    measured = {
        "search_seconds": time.perf_counter() - began,
        "trials": len(tuner.oracle.trials),
        "epochs": sum(len(history.epoch) for history in hypermodel.histories),
        "score": max(history.history[config.objective][-1] for history in full),
        "precision": "float32",
    }
    (folder / "measured.json").write_text(json.dumps(measured))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
