"""How one waits for a slot or a message of a shared pool without burning a core: on one counter, with a look
at the dead.

Invariant: a waiter tries as soon as what it waits for may have come, and every now and then all the same
(messages expire, views die and processes are killed without a word).
"""

from __future__ import annotations

import time

from sage.mailbox.shared.focus.exchange import SharedExchange

_LONGEST_SECS = 1e9  # also for float("inf")


class Waiting:
    """One wait, from now on, on a doorbell that rings when the word `counter` moves.

    slice_secs: how often to try all the same, after a look for the dead and for views that died here.
    """

    def __init__(
        self, exchange: SharedExchange, flag: int, counter: int, slice_secs: float, timeout_secs: float
    ) -> None:
        self._exchange, self._flag, self._counter = exchange, flag, counter
        self._step, self._slice_ns = exchange.control.steps.wait, int(slice_secs * 1e9)
        self._end_ns = time.monotonic_ns() + int(min(timeout_secs, _LONGEST_SECS) * 1e9)
        self._is_over = timeout_secs <= 0.0

    def until_moved(self, seen: int) -> bool:
        """True when it is time for a try: the counter is not `seen` any more, or a while has passed. False
        when the time is over, and the last try was made after that."""
        if self._is_over:
            return False
        left_ns = self._end_ns - time.monotonic_ns()
        if left_ns <= 0 or not self._step(self._flag, self._counter, seen, min(left_ns, self._slice_ns)):
            self._is_over = time.monotonic_ns() >= self._end_ns  # else a slice has passed, or a signal came
            self._exchange.holdings.sweep()
            self._exchange.reap_if_dead()
        return True


def spin(exchange: SharedExchange, counter: int, seen: int, spin_secs: float) -> None:
    """Until the counter moves, one load a look, which disturbs nobody."""
    words = exchange.control.words
    start_secs = time.perf_counter()
    while words[counter] == seen and time.perf_counter() - start_secs < spin_secs and not exchange.has_ended:
        pass
