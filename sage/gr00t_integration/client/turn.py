"""One request at a time on the connection of a client, whichever thread it comes from, until a stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sage.gr00t_integration.client.contract import ClientStopped, PolicyTimeout


class Turns:
    """timeout_secs: of one request, with its wait for those of other threads."""

    def __init__(self, address: str, timeout_secs: float) -> None:
        self._address = address
        self._timeout_secs = timeout_secs
        self._lock = threading.Lock()
        self._is_stopped = threading.Event()

    @contextmanager
    def take(self) -> Iterator[float]:
        """The deadline of this request on the monotonic clock. PolicyTimeout where its turn does not come."""
        deadline = time.monotonic() + self._timeout_secs
        if not self._lock.acquire(timeout=self._timeout_secs):
            raise PolicyTimeout(
                f"{self._address}: requests of other threads took {self._timeout_secs:g} s: give a longer"
                " timeout_secs, or a client to each thread"
            )
        try:
            yield deadline
        finally:
            self._lock.release()

    def stop(self) -> None:
        """From now on `check` raises; from any thread."""
        self._is_stopped.set()

    @property
    def is_stopped(self) -> bool:
        return self._is_stopped.is_set()

    def check(self) -> None:
        """ClientStopped after `stop`. A request calls it before each wait."""
        if self.is_stopped:
            raise ClientStopped(f"{self._address}: the client was stopped")

    def close(self, drop: Callable[[], None]) -> None:
        """Stop, wait for the request in progress, and drop the connection."""
        self.stop()
        with self._lock:
            drop()
