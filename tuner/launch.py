"""Starts the worker processes of a search on this machine, or finds those of a running Dask cluster."""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import functools
import importlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import dask
import distributed
from distributed.deploy import spec

from tuner.cluster import SECONDS_WITHOUT_WORKERS, DaskCrew
from tuner.errors import TunerError
from tuner.forking import deaf_to_interrupts, start_forkserver
from tuner.imports import hidden, import_tensorflow
from tuner.inbox import in_background
from tuner.interrupts import held_interrupt
from tuner.messages import Session
from tuner.quantities import counted
from tuner.revival import dying
from tuner.trainer import renew_processes

__all__ = ["connected_crew", "local_crew"]

SECONDS_TO_CONNECT = 10

_NOTHING = logging.CRITICAL + 1

# What a search imports next: its trials, and what Optuna imports where a storage is opened. Keras Tuner would bring in
# scikit-learn, 0.7 s, for an oracle that hardly anybody asks for; who does has imported it before.
_NEXT = ("tuner.executor", "sqlalchemy.orm", "alembic.context")

# No pages, no profiler, no watch over the machine every half second: workers need their cores for training.
_FRUGAL: dict[str, Any] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.gil.enabled": False,
    # Else Dask looks 15 s after a worker has gone whether there is one in its place, and gives it up where that is on
    # its way: because its data takes longer, or because it is the next to be replaced.
    "distributed.deploy.lost-worker-timeout": "365d",
}


@contextlib.contextmanager
def local_crew(session: Session, *, workers: int, gpus_per_trial: float | None = None) -> Iterator[DaskCrew]:
    """Starts worker processes on this machine, and ends them on leaving.

    They listen on 127.0.0.1 only, speak TLS with certificates made for this search, and have no dashboard: the HTTP
    ports that Dask always opens serve no page. Where there is no GPU they are forked from one process that has imported
    TensorFlow, so that a worker that died is back in half a second; CUDA does not survive a fork.

    Args:
        session: What all trials share.
        workers: Number of processes, >= 1.
        gpus_per_trial: Share of a GPU that each has, or None.
    """
    method = "spawn" if gpus_per_trial else "forkserver"
    _silence()
    start = functools.partial(
        distributed.LocalCluster,
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # the default port warns if taken
        security=True,
        memory_limit=0,  # the crew watches over memory: Dask would kill in the middle of a trial
        silence_logs=_NOTHING,
        resources={"GPU": gpus_per_trial} if gpus_per_trial else None,
    )
    # At the exit Dask would wait for what a second Ctrl-C broke off, in vain, and show a traceback.
    atexit.unregister(spec.close_clusters)
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(_FRUGAL | {"distributed.worker.multiprocessing-method": method}))
        with held_interrupt():  # until there is what has to be ended
            with deaf_to_interrupts():
                if method == "forkserver":
                    start_forkserver()
                starting = _begun(start)
                import_tensorflow()  # this process needs it too, and has nothing else to do meanwhile
            try:
                cluster = stack.enter_context(_ended_whole(starting.result()))
            except RuntimeError as error:  # Dask's, of a process that died before it had spoken
                raise dying("start") from error
        client = stack.enter_context(_ended_whole(distributed.Client(cluster)))
        crew = DaskCrew(client, session, expected=workers, gpus_per_trial=gpus_per_trial)
        with deaf_to_interrupts(), hidden("sklearn"):
            for name in _NEXT:  # while the workers read their data
                importlib.import_module(name)
        yield crew


@contextlib.contextmanager
def connected_crew(
    session: Session,
    *,
    address: str,
    gpus_per_trial: float | None = None,
    workers: int | None = None,
    is_fixed: bool = False,
) -> Iterator[DaskCrew]:
    """Uses the workers of a running Dask cluster; certificates are those of Dask's own configuration.

    Args:
        session: What all trials share.
        address: Address of the scheduler.
        gpus_per_trial: Share of a GPU that each trial needs, or None.
        workers: How many of them; None means all that there are.
        is_fixed: Whether none is used that joins later, and one that leaves is waited for.

    Raises:
        TunerError: If no scheduler answers, or it has no worker, or not as many.
    """
    _silence()
    _client(address, seconds=SECONDS_TO_CONNECT).close()
    # Dask looks for a scheduler that has gone for as long as it did at the beginning, so another client is patient.
    with _client(address, seconds=SECONDS_WITHOUT_WORKERS) as client:
        there = len(client.scheduler_info(n_workers=-1)["workers"])
        if not there:
            raise TunerError(f"The Dask cluster at {address} has no worker; start some with `dask worker {address}`.")
        if workers and there < workers:
            raise TunerError(
                f"The Dask cluster at {address} has {counted(there, 'worker')}, but the fixed order of this study's "
                f"decisions is that of {workers} (--deterministic); start more with `dask worker {address}`."
            )
        renew_processes(client, session.threads)
        expected = workers or there
        yield DaskCrew(client, session, expected=expected, gpus_per_trial=gpus_per_trial, is_fixed=is_fixed)


def _begun(call: Callable[[], Any]) -> concurrent.futures.Future[Any]:
    """Calls in the background, and returns what is going to have the result."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def work() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001  (raised again where it is read)
            future.set_exception(error)

    in_background(work)
    return future


def _client(address: str, *, seconds: float) -> distributed.Client:
    """Connects to a scheduler; in a thread, because what is no scheduler may answer and then say nothing for ever."""
    connecting = _begun(functools.partial(distributed.Client, address, timeout=f"{seconds}s"))
    concurrent.futures.wait([connecting], timeout=2 * seconds)
    silence = TimeoutError("what listens there does not speak Dask's protocol; give what `dask scheduler` prints.")
    error = connecting.exception() if connecting.done() else silence
    if error is not None:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "ssl_context" in reason:  # Dask's words
            reason = (
                "tls:// needs certificates; name those of the cluster in Dask's configuration (distributed.comm.tls)."
            )
        raise TunerError(f"No Dask scheduler answers at {address}: {reason}") from error
    return connecting.result()


@contextlib.contextmanager
def _ended_whole(context: contextlib.AbstractContextManager[Any]) -> Iterator[Any]:
    """Is a context whose end no Ctrl-C breaks off: Dask would wait for ten seconds for what it had begun to end."""
    with contextlib.ExitStack() as stack:
        entered = stack.enter_context(context)
        try:
            yield entered
        finally:
            with held_interrupt(always=True):
                stack.close()


def _silence() -> None:
    """Keeps Dask's log off the terminal: what matters comes as an event."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("distributed", "tornado", "asyncio")):
            logging.getLogger(name).setLevel(_NOTHING)
