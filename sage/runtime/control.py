"""What another thread asks of a running loop: done between two ticks, on the loop's thread.

Invariant: a tick is never interrupted; the wait for the next one is, however long it is. While the loop is
paused, effectors are held and sources are read and dropped, so that nothing waits in the mailboxes when it
resumes.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sage.mailbox.clock import Clock, ManualClock

ResultT = TypeVar("ResultT")
#: Real time between two looks at a paused loop on a simulated clock, which does not move.
LOOK_SECS = 0.02
#: Longest real time without a beat in a wait for the next tick.
BEAT_SECS = 0.1


class LoopControl:
    """hold, drain, mark: of the loop, on its thread: hold the effectors, drop what sources delivered, mark a
    break in what practice learns from.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        hold: Callable[[], None],
        drain: Callable[[], None],
        mark: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._hold = hold
        self._drain = drain
        self._mark = mark
        self._asked: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._is_paused = False
        self._is_interrupted = False
        self._is_due = False
        #: Called on the loop's thread before each tick, and at least every BEAT_SECS between two.
        self.beat: Callable[[], None] = lambda: None

    @property
    def is_paused(self) -> bool:
        return self._is_paused

    def ask(self, function: Callable[[], ResultT]) -> Future[ResultT]:
        """Run it between two ticks, from any thread. What it raises is the future's."""
        future: Future[ResultT] = Future()
        self._asked.put((future, function))
        return future

    def interrupt(self) -> None:
        """End the wait for the next tick, this one and all later ones: the loop stops. From any thread, and
        safe in a signal handler.
        """
        self._is_interrupted = True
        self.ask(lambda: None)

    def hurry(self) -> None:
        """End the wait for the next tick, for a change of its period. On the loop's thread, by `ask`."""
        self._is_due = True

    def pause(self) -> bool:
        """On the loop's thread, by `ask`. Whether it was running."""
        was_paused, self._is_paused = self._is_paused, True
        if not was_paused:
            self._hold()
        return not was_paused

    def resume(self) -> bool:
        """On the loop's thread, by `ask`. Whether it was paused."""
        was_paused, self._is_paused = self._is_paused, False
        if was_paused:
            self._mark()
        return was_paused

    def step(self, period_ns: int, end_ns: int | None = None) -> bool:
        """Between two ticks, on the loop's thread: do what was asked. True where no tick may follow: one
        period of a pause has passed, or on a real clock the run ends, at `end_ns`.
        """
        self.beat()
        self._do_asked()
        if not self._is_paused:
            return False
        self._hold()  # an abort that has failed is tried again
        if isinstance(self._clock, ManualClock):
            with contextlib.suppress(queue.Empty):
                self._do(*self._asked.get(timeout=LOOK_SECS))
        else:
            self._drain()
            self.wait_until(self._clock.now_ns() + period_ns, end_ns)
        return True

    def wait_until(self, deadline_ns: int, end_ns: int | None = None) -> None:
        """Wait for the next tick on the loop's clock, on its thread, and do at once what is asked meanwhile.
        Returns earlier after `interrupt` or `hurry`, when a pause begins or ends, and on a real clock at the
        end of the run, `end_ns`.
        """
        if isinstance(self._clock, ManualClock):
            self._clock.wait_until(deadline_ns)
            return
        until_ns = deadline_ns if end_ns is None else min(deadline_ns, end_ns)
        was_paused, self._is_due = self._is_paused, False
        while not self._is_interrupted and not self._is_due and self._is_paused == was_paused:
            left_ns = until_ns - self._clock.now_ns()
            if left_ns <= 0:
                break
            with contextlib.suppress(queue.Empty):
                self._do(*self._asked.get(timeout=min(left_ns * 1e-9, BEAT_SECS)))
            self.beat()

    def _do_asked(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._do(*self._asked.get_nowait())

    def _do(self, future: Future[Any], function: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(function())
        except Exception as error:  # raised again where the result is asked for
            future.set_exception(error)
