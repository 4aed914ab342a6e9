"""The actor that a Dask worker process holds: a `tuner.worker.Worker`, made in that process."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tuner.config import library_versions
from tuner.errors import TunerError
from tuner.imports import import_tensorflow
from tuner.messages import Facts, Measurement, Progress, Session, Task

if TYPE_CHECKING:
    from tuner.worker import Worker

__all__ = ["Trainer", "check_process"]

# How long a promoted trial waits for a checkpoint that the worker of its parent may still be writing.
CHECKPOINT_PATIENCE_SECONDS = 2.0


def check_process(client: Any, address: str) -> None:
    """Makes sure that a process on another machine can hold the actor, and trains as this one would.

    Args:
        client: A `distributed.Client`, connected to the scheduler.
        address: Address of the process.

    Raises:
        ModuleNotFoundError: If it has not got this program; Dask ends a worker that is sent what it cannot import.
        TunerError: If it has other versions of what computes.
    """
    if client.run(importlib.util.find_spec, "tuner", workers=[address])[address] is None:
        raise ModuleNotFoundError("No module named 'tuner'", name="tuner")
    there = _computing(client.run(library_versions, workers=[address])[address])
    here = _computing(library_versions())
    if there != here:
        raise TunerError(
            f"it has {there} and this machine {here}; scores would depend on who trains, so install the same there."
        )


def _computing(versions: Mapping[str, str]) -> str:
    """Returns the versions of the libraries that compute; TensorFlow has a package of its own for processors."""
    tensorflow = versions.get("tensorflow") or versions.get("tensorflow-cpu")
    return f"TensorFlow {tensorflow} with Keras {versions.get('keras')}"


class Trainer:
    """The actor: one worker process's `Worker`, made in that process.

    Args:
        session: What all trials share.
        environment: Environment variables to be set before TensorFlow is imported.
    """

    def __init__(self, session: Session, environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        import_tensorflow()
        from tuner.worker import Worker

        self._worker: Worker = Worker(session, patience=CHECKPOINT_PATIENCE_SECONDS)

    def facts(self) -> Facts:
        """Returns what there is to know of the data."""
        return self._worker.facts

    def measure(self, hyperparameters: Mapping[str, Any]) -> Measurement:
        """Measures a configuration."""
        return self._worker.measure(hyperparameters)

    def begin(self, task: Task) -> Progress:
        """Begins a trial."""
        return self._worker.begin(task)

    def advance(self) -> Progress:
        """Trains the trial's next epoch."""
        return self._worker.advance()

    def stop(self) -> Progress:
        """Ends the trial after the epochs that it has."""
        return self._worker.stop()
