"""Brings back worker processes that Dask gives up, unless too many die. It gives them no work."""

from __future__ import annotations

from typing import Any

from tuner.errors import TunerError

__all__ = ["DEATHS", "Revival", "dying"]

# So many deaths for each worker, none of them ready in between, or answers that died with who was asked: they would be
# started for ever.
DEATHS = 3

_GIVEN_UP = ("closed", "failed")  # Dask's words


class Revival:
    """Counts the workers that die before they are of use, and starts others in their place.

    Args:
        client: A `distributed.Client`, connected to the scheduler.
        expected: Number of workers that there are to be.
        is_fixed: Whether there are to be as many all the time, no more and no less.

    Attributes:
        expected: That number, which may be lowered.
    """

    def __init__(self, client: Any, *, expected: int, is_fixed: bool = False) -> None:
        self.expected = expected
        self._is_fixed = is_fixed
        self._client = client
        self._deaths = 0

    def has_started(self) -> None:
        """Forgets deaths: a worker is of use, so the others may become so."""
        self._deaths = 0

    def has_died(self, workers: int = 1) -> None:
        """Counts processes that died before they were ready.

        Raises:
            TunerError: If there were too many.
        """
        self._deaths += workers
        if self._deaths >= DEATHS * self.expected:
            raise self.dying(f"start, {self._deaths} until now")

    def has_place(self, present: int) -> bool:
        """Whether one more worker is of use where there are so many."""
        return not self._is_fixed or present < self.expected

    def has_left(self, present: int) -> None:
        """Expects no more workers than there are of a cluster that is not ours: nobody here starts another."""
        if self._client.cluster is None and not self._is_fixed:
            self.expected = max(1, min(self.expected, present))

    def revive(self, present: int) -> None:
        """Starts processes that Dask has given up, as it does with one that dies before it has taken its place.

        Args:
            present: Number of workers that there are.

        Raises:
            TunerError: If too many died.
        """
        cluster = self._client.cluster
        if cluster is None or present >= self.expected:
            return
        given_up = [name for name, nanny in list(cluster.workers.items()) if nanny.status.name in _GIVEN_UP]
        if given_up:
            self.has_died(len(given_up))
            for name in given_up:
                cluster.workers.pop(name, None)
        if len(cluster.workers) < self.expected:  # also where Dask has forgotten one
            cluster.scale(self.expected)

    def restarts(self, address: str) -> bool:
        """Puts another process in the place of a worker, or says that nobody can: it has no nanny, or has gone."""
        try:
            self._client.restart_workers([address], raise_for_error=False)
        except ValueError:
            return False
        except OSError:  # the search has ended meanwhile
            pass
        return True

    def dying(self, when: str) -> TunerError:
        """Returns the error for workers that die while they do something."""
        if self._client.cluster:
            return dying(when)
        return TunerError(f"Workers of the cluster die while they {when}; most often their memory is too small.")


def dying(when: str) -> TunerError:
    """Returns the error for workers of this machine that die while they do something."""
    return TunerError(
        f"Worker processes die while they {when}; most often the memory is too small for so many: try fewer --workers, "
        "or --workers 0, which shows what happens."
    )
