"""The compiled steps of a ring that do more than one step of the protocol in a call: push and wake, pop and
wake, wait and pop. Imports numba.

Invariant: only the wait releases the GIL; it holds nothing, and it ends at its deadline whatever other
processes do.
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
from sage.mailbox.shared.ring.array_memory import (
    BYTES_DATA,
    DATA,
    DTYPE,
    FLAGS,
    LENGTH_OF_BYTES,
    NDIM,
    SHAPE,
    STRIDES,
    WRITEABLE,
)
from sage.mailbox.shared.ring.layout import (
    C_BASE,
    C_DTYPE,
    C_READERS_FLAG,
    C_RECORD_BYTES,
    C_WRITERS_FLAG,
    MONOTONIC,
    NOT_PLAIN,
    R_BLOCK,
    R_CONTROL,
    R_FREE,
    R_NUM_FREE,
    R_STOP,
    TAIL,
    U32,
)
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


def push_one(control: int, data: int, now_ns: int) -> int:
    """`push` of a bytes object at `data`; NOT_PLAIN where it has another size than a record."""
    if load_relaxed(data + LENGTH_OF_BYTES) != load_relaxed(control + C_RECORD_BYTES):
        return NOT_PLAIN
    return push(control, data + BYTES_DATA, 1, _time(now_ns))


def push_array(control: int, array: int, now_ns: int) -> int:
    """`push` of all records of the numpy array object at `array`; NOT_PLAIN where `_records_at` is."""
    source = _records_at(control, array)
    if source == NOT_PLAIN:
        return NOT_PLAIN
    return push(control, source, load_relaxed(load_relaxed(array + SHAPE)), _time(now_ns))


def pop_next(result: int, max_records: int, now_ns: int) -> int:
    """`pop` to R_FREE, which moves; NOT_PLAIN if there is less room, or the subscription is restricted."""
    if max_records < 1 or max_records > load_relaxed(result + R_NUM_FREE):
        return NOT_PLAIN
    return NOT_PLAIN if load_relaxed(result + R_STOP) else _pop_to(result, 0, max_records, _time(now_ns))


def pop_array(result: int, array: int, max_records: int, now_ns: int) -> int:
    """`pop` into the numpy array object at `array`; NOT_PLAIN if `_records_at` is, the array is too small or
    read-only, or the subscription is restricted.
    """
    target = _records_at(load_relaxed(result + R_CONTROL), array)
    if target == NOT_PLAIN or load_relaxed(array + FLAGS) & WRITEABLE == 0:
        return NOT_PLAIN
    if max_records < 1 or max_records > load_relaxed(load_relaxed(array + SHAPE)):
        return NOT_PLAIN
    if load_relaxed(result + R_STOP) != 0:
        return NOT_PLAIN
    return _pop_to(result, target, max_records, _time(now_ns))


def _pop_to(result: int, target: int, max_records: int, now_ns: int) -> int:
    """`pop` of the subscription whose results are at `result`.  target: 0 for R_FREE, which moves."""
    control, block = load_relaxed(result + R_CONTROL), load_relaxed(result + R_BLOCK)
    if target != 0:
        return pop(control, block, target, max_records, now_ns, result)
    target = load_relaxed(result + R_FREE)
    code = pop(control, block, target, max_records, now_ns, result)
    store_relaxed(result + R_FREE, target + (code >> 1) * load_relaxed(control + C_RECORD_BYTES))
    store_relaxed(result + R_NUM_FREE, load_relaxed(result + R_NUM_FREE) - (code >> 1))
    return code


def _records_at(control: int, array: int) -> int:
    """The address of the records of a numpy array; NOT_PLAIN unless it has one dimension, the ring's own
    dtype, no gaps, and an address that is a multiple of 8.
    """
    dtype = load_relaxed(control + C_DTYPE)
    if load_relaxed(array + NDIM) & U32 != 1 or load_relaxed(array + DTYPE) != dtype:
        return NOT_PLAIN
    data, stride = load_relaxed(array + DATA), load_relaxed(load_relaxed(array + STRIDES))
    is_plain = stride == load_relaxed(control + C_RECORD_BYTES) and data & 7 == 0
    return data if is_plain else NOT_PLAIN


def _time(now_ns: int) -> int:
    return monotonic_ns() if now_ns == MONOTONIC else now_ns


def pop_when_ready(
    result: int, target: int, max_records: int, now_ns: int, spin_ns: int, sleep_ns: int
) -> int:
    """`pop` as soon as there is a record: check without sleeping for spin_ns, then sleep once, for at most
    sleep_ns, and check again.

    0 if nothing came, a signal ended the sleep, the mailbox was closed or R_STOP was set. now_ns: at the
    call; the time of the wait is added to it.  target: as for `_pop_to`.
    """
    started_ns = monotonic_ns()
    if now_ns == MONOTONIC:
        now_ns = started_ns
    control, block = load_relaxed(result + R_CONTROL), load_relaxed(result + R_BLOCK)
    base = load_relaxed(control + C_BASE)
    tail_at, closed_at, stop_at = base + TAIL, base + 8 * IS_CLOSED, result + R_STOP
    while True:
        tail = load_acquire(tail_at)
        waited_ns = monotonic_ns() - started_ns
        if load_acquire(stop_at) != 0:
            return 0
        if lag(control, block) != 0:  # also moves the tail for a writer that died before it could
            code = _pop_to(result, target, max_records, now_ns + waited_ns)
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
            return _pop_to(result, target, max_records, now_ns + monotonic_ns() - started_ns)
    return 0


#: Functions that the steps call, registered with numba.
STEPS = (push, pop, _pop_to, _records_at, _time)
