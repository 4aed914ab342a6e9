"""Trains one network in this process, with this program's engine or with `model.fit`, and prints what was measured.

    python benchmarks/start.py PROGRAM MEASURE REQUEST

`benchmarks/engine.py` runs it. `speed` measures the seconds to the end of the first step and the images a second
afterwards; `score` trains a configuration to the end and prints its last epoch.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Mapping
from typing import Any

from tuner.data import DataSpec
from tuner.messages import Facts, Session

OURS, OURS_MIXED, REWRITTEN = "tuner float32", "tuner mixed", "tuner float32, graphs rewritten"
FIT, FIT_MIXED = "model.fit float32", "model.fit mixed_bfloat16"
MIXED = (OURS_MIXED, FIT_MIXED)
PROGRAMS = (OURS, OURS_MIXED, REWRITTEN, FIT, FIT_MIXED)

WARM_EPOCHS, TIMED_EPOCHS = 2, 6
ENOUGH_SECONDS = 30.0  # epochs that take longer need not be six


class OurNetwork:
    """The engine of `tuner`.

    Args:
        session: Data, space, epochs and batch.
        rewritten: Whether TensorFlow rewrites graphs, which `tuner` turns off without a GPU.
    """

    def __init__(self, session: Session, *, rewritten: bool) -> None:
        from tuner.imports import import_tensorflow

        import_tensorflow()
        import tensorflow as tf

        from tuner.worker import Worker

        self._worker = Worker(session)
        if rewritten:
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})

    def speed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the seconds to the end of the first step, and the seconds of the later epochs."""
        worker, began = self._worker, time.perf_counter()
        network = worker.networks.network(worker.hypermodel, values)
        network.reset(worker.hypermodel.recipe(values), seed=0)
        network.train_epoch(worker.train_images, max_steps=1)
        started, clock = time.perf_counter(), EpochClock()
        while not clock.is_done:
            clock.begin()
            network.train_epoch(worker.train_images)
            clock.end()
        return _speed(started - began, clock, images=worker.facts.train)

    def score(self, values: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
        """Trains to the last epoch and returns its validation metrics."""
        from record_curves import train

        last = train(self._worker, values, seed=seed)[-1]
        return {name: float(last[name]) for name in ("val_accuracy", "val_loss")}


class FitNetwork:
    """`model.fit`, as a user of Keras has it."""

    def __init__(self, session: Session) -> None:
        from tuner.data import load
        from tuner.hypermodel import SEResNetHyperModel
        from tuner.space import load_space

        self._session, self._data, self._space = session, load(session.data), load_space(session.space)
        self._hypermodel = SEResNetHyperModel.of(session, Facts.of(self._data))

    def speed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the seconds to the end of the first step, and the seconds of the later epochs."""
        images, labels, batch = self._data.train.images, self._data.train.labels, self._session.batch_size
        began = time.perf_counter()
        model = self._build(values)
        model.fit(images[:batch], labels[:batch], batch_size=batch, verbose=0)
        started, clock = time.perf_counter(), EpochClock()
        epochs = WARM_EPOCHS + TIMED_EPOCHS
        model.fit(images, labels, batch_size=batch, epochs=epochs, callbacks=[_timing(clock)], verbose=0)
        return _speed(started - began, clock, images=len(labels))

    def score(self, values: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
        """Trains to the last epoch and returns its validation metrics."""
        import keras

        from tuner.seeds import derived_seed

        keras.utils.set_random_seed(derived_seed(seed, json.dumps(values, sort_keys=True)))
        train, validation = self._data.train, self._data.validation
        history = self._build(values).fit(
            train.images,
            train.labels,
            batch_size=self._session.batch_size,
            epochs=self._session.max_epochs,
            validation_data=(validation.images, validation.labels),
            verbose=0,
        )
        return {name: history.history[name][-1] for name in ("val_accuracy", "val_loss")}

    def _build(self, values: Mapping[str, Any]) -> Any:
        from tuner.declaration import declare

        hp = declare(self._space)
        hp.values.update(values)
        return self._hypermodel.build(hp)


@dataclasses.dataclass
class EpochClock:
    """Takes the time of epochs."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    began: float = 0.0

    def begin(self) -> None:
        """An epoch begins."""
        self.began = time.perf_counter()

    def end(self) -> None:
        """It has ended."""
        self.seconds.append(time.perf_counter() - self.began)

    @property
    def timed(self) -> list[float]:
        """Seconds of the epochs that count."""
        return self.seconds[WARM_EPOCHS:]

    @property
    def is_done(self) -> bool:
        """Whether there are enough."""
        return len(self.timed) >= TIMED_EPOCHS or sum(self.timed) > ENOUGH_SECONDS


def _timing(clock: EpochClock) -> Any:
    """Returns a Keras callback that keeps the clock and stops the training."""
    import keras

    def begin(epoch: int, logs: Mapping[str, float]) -> None:
        clock.begin()

    def end(epoch: int, logs: Mapping[str, float]) -> None:
        clock.end()
        callback.model.stop_training = clock.is_done

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)
    return callback


def _speed(start_seconds: float, clock: EpochClock, *, images: int) -> dict[str, Any]:
    rate = statistics.median(images / seconds for seconds in clock.timed)
    return {"start_seconds": start_seconds, "images_per_second": rate, "epochs": len(clock.timed)}


def main() -> int:
    """Measures and prints one line of JSON."""
    parser = argparse.ArgumentParser(description="Measures one network.")
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("measure", choices=("speed", "score"))
    parser.add_argument("request", type=json.loads, help="JSON: session, and for score values and seed")
    arguments = parser.parse_args()
    request, program = arguments.request, arguments.program
    fields = request["session"] | {"data": DataSpec(**request["session"]["data"])}
    session = Session(**fields | {"mixed_precision": program == OURS_MIXED})
    if program == FIT_MIXED:
        import keras

        keras.config.set_dtype_policy("mixed_bfloat16")
    fits = program in (FIT, FIT_MIXED)
    network = FitNetwork(session) if fits else OurNetwork(session, rewritten=program == REWRITTEN)
    if arguments.measure == "speed":
        from tuner.declaration import active_values, declare
        from tuner.space import load_space

        measured = network.speed(active_values(declare(load_space(session.space))))
    else:
        measured = network.score(request["values"], seed=request["seed"])
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
