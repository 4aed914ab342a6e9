"""The actor that a Dask worker process holds: a `tuner.worker.Worker`, made in that process."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import operator
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import tuner
from tuner.errors import TunerError
from tuner.imports import import_tensorflow
from tuner.messages import Facts, Measurement, Progress, Session, Task
from tuner.quantities import counted
from tuner.versions import library_versions

if TYPE_CHECKING:
    from tuner.worker import Worker

__all__ = ["Trainer", "check_process", "renew_processes"]

# How long a promoted trial waits for a checkpoint that the worker of its parent may still be writing.
CHECKPOINT_PATIENCE_SECONDS = 2.0


def renew_processes(client: Any, threads: int | None) -> None:
    """Starts worker processes again in which TensorFlow keeps the threads of an earlier search.

    Only those that nobody uses and that have a nanny: `check_process` says what is wrong with the others.

    Args:
        client: A `distributed.Client`, connected to the scheduler.
        threads: Threads that share an operation; None leaves that to the process.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    nannied = [address for address, facts in workers.items() if facts["nanny"]]
    if threads is None or not nannied:
        return
    found = client.run(importlib.util.find_spec, "tuner", workers=nannied, on_error="return")
    able = [address for address, spec in found.items() if isinstance(spec, importlib.machinery.ModuleSpec)]
    kept = client.run(_idle_threads, threads, workers=able, on_error="return") if able else {}
    if old := [address for address, other in kept.items() if isinstance(other, int)]:
        client.restart_workers(old, raise_for_error=False)


def check_process(client: Any, address: str, threads: int | None) -> None:
    """Makes sure that a process on another machine can hold the actor, and trains as this one would.

    Args:
        client: A `distributed.Client`, connected to the scheduler.
        address: Address of the process.
        threads: As in `renew_processes`.

    Raises:
        ModuleNotFoundError: If it has not got this program; Dask ends a worker that is sent what it cannot import.
        TunerError: If it has other versions of what computes, or keeps other threads.
    """

    def answer(question: Callable[..., Any], *arguments: Any) -> Any:
        return client.run(question, *arguments, workers=[address])[address]

    if answer(importlib.util.find_spec, "tuner") is None:
        raise ModuleNotFoundError("No module named 'tuner'", name="tuner")
    there = _computing(answer(operator.attrgetter("__version__"), tuner), answer(library_versions))
    here = _computing(tuner.__version__, library_versions())
    if there != here:
        raise TunerError(
            f"it has {there} and this machine {here}; scores would depend on who trains, so install the same there."
        )
    if threads is not None and (other := answer(_kept_threads, threads)) is not None:
        way_out = f"start it anew, or give --threads {other}" if other else "start it anew"
        raise TunerError(
            f"TensorFlow has run there with {counted(other, 'thread') if other else 'all cores'} an operation, which "
            f"it keeps, and this search wants {threads}; {way_out}."
        )


def _computing(program: str, versions: Mapping[str, str]) -> str:
    """Returns the versions of what computes; TensorFlow has a package of its own for processors."""
    tensorflow = versions.get("tensorflow") or versions.get("tensorflow-cpu")
    return f"TensorFlow {tensorflow} with Keras {versions.get('keras')} and se-tuner {program}"


def _idle_threads(threads: int, dask_worker: Any) -> int | None:
    """Returns what `_kept_threads` does; None too where the process holds a search or something else of anybody."""
    return None if dask_worker.state.tasks else _kept_threads(threads)


def _kept_threads(threads: int) -> int | None:
    """Returns how many threads share an operation in this process for good, if that is another number; 0 is all."""
    if "tensorflow" not in sys.modules:
        return None
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:  # it has run something
        return int(tf.config.threading.get_intra_op_parallelism_threads())
    return None


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
