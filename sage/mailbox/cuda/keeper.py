"""What a process does once queued work is complete: note it, or return a slot.

Invariant: jobs run in the order in which they were added, each once, outside the lock of the list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

POLL_SECS = 0.0005


class Job(NamedTuple):
    """finish runs once is_passed has returned True."""

    is_passed: Callable[[], bool]
    finish: Callable[[], object]


class Keeper:
    """Jobs that wait for a device. A thread polls while there are some, so that an idle process returns its
    slots too.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """In a forked child, where the jobs and the thread are the parent's."""
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    @property
    def is_empty(self) -> bool:
        return not self._jobs

    def add(self, job: Job) -> None:
        """Keep a job, or finish it now if its work is complete and no other waits."""
        if self.is_empty and job.is_passed():
            job.finish()
            return
        with self._lock:
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="cuda-keeper", daemon=True)
                self._thread.start()
        self._wake.set()

    def poll(self) -> None:
        """Finish the jobs whose work is complete. Raises the error of an earlier poll in the thread."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if not self.is_empty:
            self._poll()

    def _poll(self) -> None:
        with self._lock:
            passed = [job for job in self._jobs if job.is_passed()]
        for job in passed:
            with self._lock:
                if job not in self._jobs:
                    continue  # another thread finishes it
                self._jobs.remove(job)
            job.finish()

    def _watch(self) -> None:
        pause = threading.Event()  # never set: a wait that holds nothing
        while True:
            self._wake.wait()
            self._wake.clear()
            try:
                while not self.is_empty:
                    self._poll()
                    pause.wait(POLL_SECS)
            except Exception as error:  # top of the thread: raised by the next call of the mailbox
                self._error = error
