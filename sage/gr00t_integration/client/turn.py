"""One request at a time on the connection of a client, whichever thread it comes from."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sage.gr00t_integration.client.contract import PolicyTimeout


class Turns:
    """timeout_secs: of one request, with its wait for those of other threads."""

    def __init__(self, address: str, timeout_secs: float) -> None:
        self._address = address
        self._timeout_secs = timeout_secs
        self._lock = threading.Lock()

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

    @contextmanager
    def last(self) -> Iterator[None]:
        """After the request in progress, which `stop` ends: to close the connection."""
        with self._lock:
            yield
