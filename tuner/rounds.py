"""Trains a list of configurations from beginning to end, as many at a time as there are workers.

No oracle and no study: who asks knows what is to be trained and keeps what comes of it.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence

from tuner.budget import DEFAULT_RETRIES
from tuner.crew import Crew
from tuner.errors import TunerError
from tuner.messages import Progress, Task
from tuner.records import FAILED, RUNNING, WORKER_DIED

__all__ = ["train_all"]

POLL_SECONDS = 1.0


def train_all(crew: Crew, tasks: Sequence[Task], ended: Callable[[int, Progress], None]) -> None:
    """Trains tasks in their order.

    Args:
        crew: Trains.
        tasks: What to train.
        ended: Called with the place of a task in `tasks` and how it ended, with its whole curve, after each.

    Raises:
        TunerError: If the program fails in a training.
    """
    waiting = collections.deque(range(len(tasks)))
    curves: dict[int, dict[str, list[float]]] = {}
    losses: collections.Counter[int] = collections.Counter()
    while waiting or curves:
        for worker in crew.free():
            if waiting:
                place = waiting.popleft()
                curves[place] = {}
                crew.begin(worker, place, tasks[place])
        event = crew.next(POLL_SECONDS)
        if event is None:
            continue
        place, progress = event.trial, event.progress
        if progress is None:
            del curves[place]
            losses[place] += 1
            if losses[place] <= DEFAULT_RETRIES:
                waiting.appendleft(place)
            else:
                ended(place, Progress(status=WORKER_DIED, curve={}, seconds=0.0))
            continue
        for name, values in progress.curve.items():
            curves[place].setdefault(name, []).extend(values)
        if progress.status == RUNNING:
            crew.advance(place)
        elif progress.status == FAILED:
            raise TunerError(f"A training failed: {progress.message.splitlines()[-1]}")
        else:
            whole = curves.pop(place)
            ended(place, Progress(status=progress.status, curve=whole, seconds=progress.seconds))
