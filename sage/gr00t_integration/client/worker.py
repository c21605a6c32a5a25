"""A policy client on a thread of its own: the latest request only, and its outcome when it is there.

Invariant: `ask` and `take` return at once. A request that is replaced before it is sent is never sent. An
answer belongs to the observation that it was asked with: its stamp comes back.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from sage.errors import pass_on
from sage.gr00t_integration.client.contract import ClientStopped, PolicyClient
from sage.gr00t_integration.observation import Observation

BACKOFF_SECS = 0.2
MAX_BACKOFF_SECS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """actions: name -> (B, horizon, D).  stamp_ns: of the observation."""

    actions: dict[str, np.ndarray]
    stamp_ns: int


class PolicyWorker:
    """num_asked: requests given.  num_replaced: of these, replaced unsent.  num_answered, num_failed: sent.
    last_error: of the last failure, also when it is over.
    """

    def __init__(
        self,
        client: PolicyClient,
        *,
        backoff_secs: float = BACKOFF_SECS,
        max_backoff_secs: float = MAX_BACKOFF_SECS,
    ) -> None:
        self.num_asked = 0
        self.num_replaced = 0
        self.num_answered = 0
        self.num_failed = 0
        self.last_error = ""
        self._client = client
        self._backoff_secs = backoff_secs
        self._max_backoff_secs = max_backoff_secs
        self._changed = threading.Condition()
        self._pending: tuple[Observation, int] | None = None
        self._answer: Answer | None = None
        self._failure: BaseException | None = None
        self._is_busy = False
        self._is_stopped = threading.Event()
        # A daemon: a connection stuck in the kernel must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"policy-{client.address}", daemon=True)

    @property
    def is_busy(self) -> bool:
        """A request is being answered."""
        return self._is_busy

    def start(self) -> None:
        self._thread.start()

    def ask(self, observation: Observation, stamp_ns: int) -> None:
        """Request actions; replaces a request that was not sent yet."""
        with self._changed:
            self.num_asked += 1
            self.num_replaced += self._pending is not None
            self._pending = (observation, stamp_ns)
            self._changed.notify_all()

    def take(self) -> Answer | None:
        """The newest answer, once. Raises the newest failure, once, when there was one since."""
        with self._changed:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            answer, self._answer = self._answer, None
            return answer

    def wait(self, timeout_secs: float) -> bool:
        """Whether there is something to take, or is within the time. For callers that may wait."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._answer is not None or self._failure is not None, timeout_secs
            )

    def wait_idle(self, timeout_secs: float) -> bool:
        """Whether every request has its outcome, or has within the time. For callers that may wait."""
        with self._changed:
            return self._changed.wait_for(lambda: self._pending is None and not self._is_busy, timeout_secs)

    def close(self, timeout_secs: float = 1.0) -> None:
        """End the thread; a request in progress is given up. Safe to call twice, and before `start`."""
        self._is_stopped.set()
        self._client.stop()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_secs)

    def _run(self) -> None:
        pause_secs = 0.0
        try:
            while True:
                self._is_stopped.wait(pause_secs)
                request = self._next()
                if request is None:
                    return
                is_answered = self._serve(*request)
                pause_secs = (
                    0.0
                    if is_answered
                    else min(self._max_backoff_secs, max(self._backoff_secs, 2 * pause_secs))
                )
        finally:
            self._client.close()

    def _next(self) -> tuple[Observation, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._pending is not None or self._is_stopped.is_set())
            if self._is_stopped.is_set():
                return None
            request, self._pending = self._pending, None
            self._is_busy = True
            return request

    def _serve(self, observation: Observation, stamp_ns: int) -> bool:
        """Whether the server answered with actions."""
        answer: Answer | None = None
        failure: BaseException | None = None
        try:
            answer = Answer(actions=self._client.infer(observation), stamp_ns=stamp_ns)
        except ClientStopped as error:
            failure = error
        except BaseException as error:  # the top of a worker: counted, and raised by `take`
            pass_on(error)
            failure = error
        with self._changed:
            self._is_busy = False
            if answer is not None:
                self.num_answered += 1
                self._answer = answer
                self._failure = None
            else:
                self.num_failed += 1
                self.last_error = str(failure)
                self._failure = failure
            self._changed.notify_all()
        return answer is not None
