"""What happens to the workers of a Dask cluster, heard in several threads and read in one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Inbox", "in_background"]


class Inbox:
    """A queue of what happened, each with the address of the worker: workers that come and go, and what they answer."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, str, Any]] = queue.SimpleQueue()

    def listen(self, client: Any) -> None:
        """Hears from now on of the workers that come to the scheduler of a `distributed.Client` and leave it."""
        client.subscribe_topic("all", self._hear)

    def put(self, kind: str, address: str, value: Any = None) -> None:
        """Adds what happened."""
        self._queue.put((kind, address, value))

    def put_result(self, kind: str, address: str, result: Callable[[], Any]) -> None:
        """Waits in the background for a result, which it adds; if that is an exception, the kind is `raised`."""

        def wait() -> None:
            try:
                self.put(kind, address, result())
            except Exception as error:  # noqa: BLE001  (raised again where it is read)
                self.put("raised", address, error)

        in_background(wait)

    def get(self, seconds: float) -> tuple[str, str, Any] | None:
        """Returns kind, address and value of what happened first, or None if nothing does in time."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Takes an event of the scheduler, in Dask's own thread."""
        _, what = event
        if isinstance(what, dict) and what.get("action") in ("add-worker", "remove-worker"):
            self.put(what["action"], what["worker"])


def in_background(call: Callable[[], object]) -> None:
    """Calls in a thread that no end of the process waits for."""
    threading.Thread(target=call, daemon=True).start()
