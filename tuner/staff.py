"""Which workers a search has: what was asked for, or what a measurement chose."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tuner.crew import Crew, LocalCrew
from tuner.errors import TunerError, UsageError
from tuner.forking import start_forkserver
from tuner.hardware import available_cores, available_memory, num_gpus
from tuner.imports import import_tensorflow
from tuner.messages import Measurement, Session

__all__ = ["Staffing", "import_ahead", "open_crew", "settle"]

# What a process takes with a small data set, measured (benchmarks/README.md), and what is left for other programs.
WORKER_BYTES = 1_200_000_000
MEMORY_SHARE = 0.8

# More processes or threads for each core would only wait for one another, and take all memory.
MOST_PER_CORE = 16

# More workers must train so much more than half as many to be worth their memory.
WORTHWHILE = 1.15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Staffing:
    """The workers that a person asked for.

    Args:
        workers: Number of processes; 0 trains in the driver; None chooses by measurement.
        cluster: Address of a Dask scheduler whose workers are used instead, or None; `workers` None means all of them.
        is_fixed: Whether there are to be as many from beginning to end.
        gpus_per_trial: Share of a GPU that a trial gets, in (0, 1], or how many it gets, or None.
        worker_memory: Bytes above which a worker is replaced between trials; None means its share of the memory.
        threads: Threads that share an operation; None chooses by the size of the images, and takes one on a cluster,
            whose machines may differ.
    """

    workers: int | None = None
    cluster: str | None = None
    is_fixed: bool = False
    gpus_per_trial: float | None = None
    worker_memory: int | None = None
    threads: int | None = None


def import_ahead(staffing: Staffing) -> None:
    """Starts importing what local workers need, in the background."""
    if staffing.workers != 0 and not staffing.cluster and not num_gpus():
        start_forkserver()


@contextlib.contextmanager
def open_crew(staffing: Staffing, session: Session) -> Iterator[Crew]:
    """Starts the workers, and ends them on leaving; with `workers` None as many as could be of use.

    Raises:
        UsageError: If more GPUs are asked for than there are, or far more workers than cores.
        TunerError: If a cluster does not answer.
    """
    gpus, share = num_gpus(), staffing.gpus_per_trial
    cores = available_cores()
    if staffing.threads and not staffing.cluster:
        _check_cores("--threads", staffing.threads, cores)
    threads = staffing.threads or (1 if staffing.cluster else None)
    session = dataclasses.replace(session, threads=threads)
    if share and not staffing.cluster and share > gpus:
        there = f"this machine has {gpus}; give at most that" if gpus else "this machine has no GPU; leave it out"
        raise UsageError(f"--gpus-per-trial is {share:g}, but {there}.")
    if staffing.workers == 0 and not staffing.cluster:
        import_tensorflow()
        from tuner.worker import Worker

        worker = Worker(session)
        yield LocalCrew(worker)
        with contextlib.suppress(TunerError):  # nothing that was searched depends on the last states
            worker.flush()  # before they are removed, or else they would come afterwards, and stay
        return
    from tuner.launch import connected_crew, local_crew  # with Dask, for which a search in this process need not wait

    if staffing.cluster:
        session = dataclasses.replace(session.elsewhere(), memory=staffing.worker_memory)
        workers = 1 if staffing.workers == 0 else staffing.workers  # a study of this process has one trial at a time
        with connected_crew(
            session, address=staffing.cluster, gpus_per_trial=share, workers=workers, is_fixed=staffing.is_fixed
        ) as crew:
            yield crew
        return
    if gpus and not share:  # a study may ask for several: with fewer, their parts are trained one after the other
        share = float(min(session.replicas, gpus))
    workers = staffing.workers or _most_workers(cores, gpus=gpus, share=share)
    _check_cores("--workers", workers, cores)
    memory = staffing.worker_memory or int(MEMORY_SHARE * available_memory() / workers) or None
    session = dataclasses.replace(session, cores=max(1, cores // workers), memory=memory)
    with local_crew(session, workers=workers, gpus_per_trial=share) as crew:
        yield crew


def _check_cores(flag: str, asked: int, cores: int) -> None:
    if asked > MOST_PER_CORE * cores:
        raise UsageError(f"{flag} is {asked}, and this machine has {cores} cores; give {cores}, or leave it out.")


def settle(staffing: Staffing, crew: Crew, hyperparameters: Mapping[str, Any]) -> tuple[Measurement, str]:
    """Measures the default configuration and lets the workers go that bring too little.

    Args:
        staffing: What was asked for.
        crew: The workers.
        hyperparameters: Values of the default configuration.

    Returns:
        What it costs with the workers that are left, and a sentence about those.
    """
    measured = crew.measure(hyperparameters)
    start = measured[0].start_seconds  # the next measurement finds the steps compiled
    workers, rate = len(measured), sum(m.images_per_second for m in measured)
    note = f"{rate:,.0f} images a second" + (" together" if workers > 1 else "")
    chosen = staffing.workers is None and not staffing.cluster
    while chosen and workers > 1:
        fewer = crew.measure(hyperparameters, together=workers // 2)
        fewer_rate = sum(m.images_per_second for m in fewer)
        if rate > WORTHWHILE * fewer_rate:
            note = f"chosen by measurement: {rate:,.0f} images a second together, {workers // 2}: {fewer_rate:,.0f}"
            break
        workers, rate, measured = workers // 2, fewer_rate, fewer
        crew.keep(workers)
        note = f"chosen by measurement: more of them are hardly faster than {rate:,.0f} images a second"
    where = f" at {staffing.cluster}" if staffing.cluster else " in this process" if staffing.workers == 0 else ""
    slowest = max(measured, key=lambda m: m.epoch_seconds)
    return dataclasses.replace(slowest, start_seconds=start), f"{workers}{where} ({note})"


def _most_workers(cores: int, *, gpus: int, share: float | None) -> int:
    """Returns how many workers are started to choose from: one for each core or share of a GPU, as memory allows."""
    wanted = int(gpus / share) if gpus and share else cores
    fitting = int(MEMORY_SHARE * available_memory() / WORKER_BYTES)
    return max(1, min(wanted, fitting))
