"""The compiled steps of a ring that do more than one step of the protocol in a call: push and wake, pop and
wake, wait and pop. Imports numba.

Invariant: only the wait releases the GIL; it holds nothing, and it ends at its deadline whatever other
processes do. A call of each takes the arguments of the step that it contains.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from typing import Any

from sage.mailbox.shared.memory import atomics
from sage.mailbox.shared.memory.atomics import ring_bell
from sage.mailbox.shared.memory.segment import IS_CLOSED
from sage.mailbox.shared.memory.words import (
    fence_full,
    load_acquire,
    load_relaxed,
    monotonic_ns,
    pause,
    store_relaxed,
)
from sage.mailbox.shared.ring.layout import C_BASE, C_READERS_FLAG, C_WRITERS_FLAG, R_STOP, TAIL
from sage.mailbox.shared.ring.pop import lag
from sage.mailbox.shared.ring.pop import pop as pop_step
from sage.mailbox.shared.ring.push import push as push_step

#: Reads of the tail between two reads of the clock, 1 to 4 us.
_NUM_CHECKS = 64

# Any: mypy sees uncompiled functions
_load32: Any = atomics.load32
_futex_wait: Any = atomics.futex_wait


def push(control: int, source: int, num_records: int, now_ns: int) -> int:
    """`push` of the protocol, which also wakes readers: its result is never odd."""
    code = push_step(control, source, num_records, now_ns)
    if code > 0 and code & 1 != 0:
        ring_bell(load_relaxed(control + C_READERS_FLAG))
        code -= 1
    return code


def pop(control: int, block: int, target: int, max_records: int, now_ns: int, result: int) -> int:
    """`pop` of the protocol, which also wakes writers: its result is never odd."""
    code = pop_step(control, block, target, max_records, now_ns, result)
    if code & 1 != 0:
        ring_bell(load_relaxed(control + C_WRITERS_FLAG))
        code -= 1
    return code


def pop_when_ready(
    control: int,
    block: int,
    target: int,
    max_records: int,
    now_ns: int,
    result: int,
    spin_ns: int,
    sleep_ns: int,
) -> int:
    """`pop` as soon as there is a record: check without sleeping for spin_ns, then sleep once, for at most
    sleep_ns, and check again.

    0 if nothing came, a signal ended the sleep, the mailbox was closed or R_STOP was set. now_ns: at the
    call; the time of the wait is added to it.
    """
    started_ns = monotonic_ns()
    base = load_relaxed(control + C_BASE)
    tail_at, closed_at, stop_at = base + TAIL, base + 8 * IS_CLOSED, result + R_STOP
    while True:
        tail = load_acquire(tail_at)
        waited_ns = monotonic_ns() - started_ns
        if load_acquire(stop_at) != 0:
            return 0
        if lag(control, block) != 0:  # also moves the tail for a writer that died before it could
            code = pop(control, block, target, max_records, now_ns + waited_ns, result)
            if code != 0:
                return code  # otherwise another member of the group read it
        if waited_ns >= spin_ns or load_acquire(closed_at) != 0:
            break
        num_checks = _NUM_CHECKS
        while num_checks > 0 and load_acquire(tail_at) == tail:
            pause()
            num_checks -= 1
    if sleep_ns > 0:
        bell = load_relaxed(control + C_READERS_FLAG)
        count = _load32(bell + 8)
        store_relaxed(bell, 1)
        fence_full()
        if lag(control, block) == 0 and load_acquire(closed_at) == 0 and load_acquire(stop_at) == 0:
            _futex_wait(bell + 8, count, sleep_ns)
        if load_acquire(stop_at) == 0 and lag(control, block) != 0:
            return pop(control, block, target, max_records, now_ns + monotonic_ns() - started_ns, result)
    return 0


#: Functions that the steps call, registered with numba.
STEPS = (pop,)
