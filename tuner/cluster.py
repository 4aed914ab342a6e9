"""A crew of processes, those of a Dask cluster: Dask starts them, restarts them and carries what is said.

Each Dask worker holds one actor with one `tuner.worker.Worker`, which keeps its data and compiled steps for the whole
search. A call to an actor takes 1.5 ms, a Dask task 12 ms (2 cores, TLS on 127.0.0.1).
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import distributed

from tuner.crew import Event
from tuner.errors import TunerError
from tuner.hardware import gpu_environment
from tuner.inbox import Inbox, in_background
from tuner.member import Member, is_lost
from tuner.messages import Facts, Measurement, Progress, Session, Task
from tuner.records import RUNNING
from tuner.revival import DEATHS, Revival
from tuner.trainer import Trainer, check_process

__all__ = ["SECONDS_WITHOUT_WORKERS", "DaskCrew"]

# A search without any worker for so long ends: nobody is going to come back.
SECONDS_WITHOUT_WORKERS = 120.0
_POLL_SECONDS = 1.0
_PAUSED = "Dask has paused it, as its memory is nearly full; start it anew, with a larger --memory-limit or 0 for none."


class DaskCrew:
    """Workers of a Dask cluster.

    Args:
        client: Connected to the scheduler.
        session: What all trials share.
        gpus_per_trial: Share of a GPU that a worker has, or how many it has; None where there is none.
        expected: Number of workers to wait for at the beginning.
        is_fixed: Whether there are to be as many all the time, no more and no less.
    """

    def __init__(
        self,
        client: distributed.Client,
        session: Session,
        *,
        expected: int,
        gpus_per_trial: float | None = None,
        is_fixed: bool = False,
    ) -> None:
        self._client = client
        self._session = session
        self._gpus_per_trial = gpus_per_trial
        self._revival = Revival(client, expected=expected, is_fixed=is_fixed)
        self._members: dict[str, Member] = {}
        self._happened = Inbox()
        self._events: collections.deque[Event] = collections.deque()
        self._refusals: list[str] = []
        self._facts: Facts | None = None
        self._has_begun = False
        self._left_out: set[str] = set()  # addresses of workers that are about to end, or were refused
        self._last_seen = time.monotonic()
        self._address = client.scheduler_info()["address"]
        self._happened.listen(client)
        self._look()

    @property
    def facts(self) -> Facts:
        """What there is to know of the data; waits for the workers."""
        self.wait()
        self._has_begun = True
        assert self._facts is not None, "who is ready has facts"
        return self._facts

    @property
    def size(self) -> int:
        """Number of workers, busy or not."""
        return max(len(self._members), self._revival.expected)

    def wait(self) -> None:
        """Waits until the expected workers have loaded their data.

        Raises:
            TunerError: If they do not come.
        """
        while len(self._ready()) < self._revival.expected:
            self._step(_POLL_SECONDS)

    def measure(self, hyperparameters: Mapping[str, Any], *, together: int | None = None) -> list[Measurement]:
        """Measures a configuration on some workers at the same time.

        Args:
            hyperparameters: Values by name.
            together: Number of workers; None means all.

        Raises:
            TunerError: If workers die of it.
        """
        return self._ask(together, "measure", dict(hyperparameters))

    def keep(self, workers: int) -> None:
        """Lets all workers but the first few go."""
        leaving = [a for a, member in self._members.items() if member in self._ready()[workers:]]
        for address in leaving:
            del self._members[address]
        self._revival.expected = workers
        if leaving and self._client.cluster:
            self._client.cluster.scale(workers)  # from the last; the scheduler does not retire one that has an actor

    def free(self) -> Sequence[str]:
        """Returns the names of the workers that have no trial, in a fixed order."""
        return [member.name for member in self._ready() if member.trial is None]

    def refusals(self) -> list[str]:
        """Returns why workers that have come since the last call cannot train, each reason with the name."""
        told, self._refusals = self._refusals, []
        return told

    def begin(self, worker: str, trial: int, task: Task) -> None:
        """Gives a free worker a trial."""
        address, member = next((a, m) for a, m in self._members.items() if m.name == worker)
        member.trial = trial
        self._call(address, "begin", task)

    def advance(self, trial: int) -> None:
        """Lets a trial that is running train its next epoch."""
        self._call(self._address_of(trial), "advance")

    def stop(self, trial: int) -> None:
        """Ends a trial that is running after the epochs that it has."""
        self._call(self._address_of(trial), "stop")

    def replace(self, worker: str) -> None:
        """Puts a new process in the place of a worker; of a trial that it has, no event comes any more."""
        for address in [a for a, member in self._members.items() if member.name == worker]:
            member = self._members.pop(address)
            self._left_out.add(address)
            in_background(functools.partial(self._restart, address, hangs=member.trial is not None))

    def _restart(self, address: str, *, hangs: bool = False) -> None:
        if self._revival.restarts(address):
            return
        if hangs:
            self._revival.has_left(len(self._members))
            self._refusals.append(f"The worker at {address} hangs, and has no nanny that starts another process.")
        else:  # it serves on as it is
            self._happened.put("add-worker", address)

    def next(self, seconds: float | None = None) -> Event | None:
        """Waits for what comes next."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._events:
            left = _POLL_SECONDS if until is None else min(_POLL_SECONDS, until - time.monotonic())
            if left <= 0:
                return None
            self._step(left)
        return self._events.popleft()

    def _ready(self) -> list[Member]:
        ready = (member for member in self._members.values() if member.facts)
        return sorted(ready, key=lambda member: (len(member.name), member.name))  # 10 comes after 2

    def _address_of(self, trial: int) -> str:
        return next(address for address, member in self._members.items() if member.trial == trial)

    def _ask(self, together: int | None, method: str, *arguments: Any) -> list[Any]:
        """Returns what some workers answer; where one has died meanwhile, all are asked again once it is replaced."""
        for _ in range(DEATHS):
            self.wait()
            asked = {a: member for a, member in self._members.items() if member in self._ready()[:together]}
            for address, member in asked.items():
                member.answer = None
                self._call(address, method, *arguments, kind="answered")
            while any(m.answer is None and self._members.get(a) is m for a, m in asked.items()):
                self._step(_POLL_SECONDS)
            answers = [member.answer for member in asked.values()]
            if None not in answers:
                return answers
        raise self._revival.dying(f"are measured, {DEATHS} until now")

    def _call(self, address: str, method: str, *arguments: Any, kind: str = "told") -> None:
        """Calls the actor in the background; what it returns comes into the queue."""
        actor = self._members[address].actor
        self._happened.put_result(kind, address, lambda: getattr(actor, method)(*arguments).result())

    def _step(self, seconds: float) -> None:
        """Handles one thing that happened, or nothing where nothing happens in time."""
        self._revival.revive(len(self._members))
        if not (happened := self._happened.get(seconds)):
            self._check_alive()
            return
        kind, address, value = happened
        self._last_seen = time.monotonic()
        if kind == "add-worker":
            self._left_out.discard(address)
            self._look()
        elif kind == "remove-worker":
            self._left_out.discard(address)
            self._lose(address)
        elif address in self._members:
            self._take(kind, address, value)

    def _take(self, kind: str, address: str, value: Any) -> None:
        """Takes what comes of an actor: itself, what it knows, an answer, how a trial goes on, or an error."""
        member = self._members[address]
        if kind == "raised":
            if not member.actor:
                self._refuse(address, value)
            elif isinstance(value, OSError) or is_lost(value):
                # It has gone. The scheduler may not have seen it yet; or this crew has not heard of it.
                self._left_out.add(address)
                self._lose(address)
            else:
                raise member.unfit(value) if isinstance(value, TunerError) and not self._client.cluster else value
        elif kind == "made":
            member.actor = value
        elif kind == "ready":
            member.facts = value
            self._revival.has_started()
            self._facts = self._facts or member.facts
            if other := member.differences(self._facts):
                self._refuse(address, other)
        elif kind == "answered":
            member.answer = value
        else:
            self._tell(member, value)

    def _tell(self, member: Member, value: Progress) -> None:
        """Takes in how a trial goes on."""
        assert member.trial is not None, "only a worker with a trial tells"
        ended, limit = value.status != RUNNING, self._session.memory
        is_large = ended and limit is not None and value.memory > limit
        self._events.append(Event(member.trial, member.name, value, replaced=is_large))
        if ended:
            member.trial = None
        if is_large:
            self.replace(member.name)

    def _refuse(self, address: str, error: Exception) -> None:
        """Goes on without a worker that came to others and cannot train; before the search begins it is an error."""
        if self._client.cluster:  # our own are all alike
            raise error
        unfit = self._members.pop(address).unfit(error)
        self._left_out.add(address)
        if not self._has_begun or not self._ready():
            raise unfit
        self._refusals.append(str(unfit))

    def _look(self) -> None:
        """Makes the actors of all workers that have come."""
        with contextlib.suppress(OSError):  # the scheduler is away
            for address, facts in self._client.scheduler_info(n_workers=-1)["workers"].items():
                is_new = address not in self._members and address not in self._left_out
                if is_new and self._revival.has_place(len(self._members)):
                    self._add(address, facts)

    def _add(self, address: str, facts: Mapping[str, Any]) -> None:
        self._members[address] = member = Member(str(facts["name"]), int(facts["nthreads"]))
        if facts["status"] == "paused":
            self._happened.put("raised", address, TunerError(_PAUSED))
            return
        session = self._session if self._session.cores else dataclasses.replace(self._session, cores=member.cores)
        environment = gpu_environment(int(member.name) if self._client.cluster else None, self._gpus_per_trial)

        def make() -> Facts:
            if not self._client.cluster:
                check_process(self._client, address, session.threads)
            made = self._client.submit(Trainer, session, environment, actor=True, workers=[address], pure=False)
            actor: Any = made.result()
            self._happened.put("made", address, actor)
            return actor.facts().result()

        self._happened.put_result("ready", address, make)

    def _lose(self, address: str) -> None:
        member = self._members.pop(address, None)
        self._revival.has_left(len(self._members))
        if member is not None and member.trial is not None:
            self._events.append(Event(member.trial, member.name, None))
        if member is not None and not member.facts and (self._client.cluster or not self._ready()):
            self._revival.has_died()

    def _check_alive(self) -> None:
        if len(self._members) < self._revival.expected and self._client.status == "running":
            self._happened.listen(self._client)  # a scheduler that was started again knows no listeners
            self._look()
        if self._members and self._client.status == "running":
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > SECONDS_WITHOUT_WORKERS:
            missing = "worker" if self._client.status == "running" else "answer from the Dask scheduler"
            raise TunerError(
                f"There has been no {missing} at {self._address} for {SECONDS_WITHOUT_WORKERS:.0f} s. What was "
                "searched is in the study; the same command goes on once there are workers."
            )
