"""How one waits for a slot or a message of a shared pool without burning a core: look at one word, and for the dead.

Invariant: a waiter tries as soon as what it waits for may have come, and every POLL_SECS all the same (messages expire
without a word).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sage.mailbox.shared.doorbell import POLL_SECS
from sage.mailbox.shared.focus_exchange import REAP_SECS, SharedExchange


def trying(attempt: Callable[[], bool], exchange: SharedExchange, word: int, seen: int) -> Callable[[], bool]:
    """`attempt` as a condition to be asked often: it is made only when the counter `word` has moved since the last one.

    seen: the counter before the last attempt.  Every REAP_SECS the dead are looked for, and views that died here; what
    they held moves the counter.
    """
    words, now_secs = exchange.control.words, time.monotonic()
    next_secs, next_look_secs = now_secs + POLL_SECS, now_secs + REAP_SECS

    def condition() -> bool:
        nonlocal seen, next_secs, next_look_secs
        if words[word] == seen and not exchange.has_ended:
            now_secs = time.monotonic()
            if now_secs >= next_look_secs:
                exchange.holdings.sweep()
                exchange.reap_if_dead()
                next_look_secs = now_secs + REAP_SECS
            if words[word] == seen and now_secs < next_secs:
                return False
            next_secs = now_secs + POLL_SECS
        seen = words[word]
        return attempt()

    return condition


def spin(exchange: SharedExchange, word: int, spin_secs: float) -> float:
    """Until the counter moves, one load a look, which disturbs nobody. How long it took."""
    words = exchange.control.words
    seen = words[word]
    start_secs = now_secs = time.perf_counter()
    while words[word] == seen and now_secs - start_secs < spin_secs and not exchange.has_ended:
        now_secs = time.perf_counter()
    return now_secs - start_secs
