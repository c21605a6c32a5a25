"""Device functions and kernels of `NumbaRing`, which imports this module (and Numba) when it is made.

Invariant: the steps are those of ring.cu (W1..W4, R1..R4), which is the reference. Arrays are uint64.
"""

from __future__ import annotations

from typing import Any

import numba.cuda
import numpy as np

cuda: Any = numba.cuda

HEADER_WORDS = 8
RESERVED, NUM_VOIDS, NUM_REFUSED, IS_LOSSLESS = range(4)  # of a ring's control words
PHASE, NUM_DONE, FIRST, COUNT, SKIPPED, START, END = range(7)  # of a launch
WHOLE, PENDING, VOID, LAPPED = (np.uint64(status) for status in range(4))
IDLE, OPENING, OPEN = (np.uint64(phase) for phase in range(3))
ZERO, ONE, TWO, EIGHT = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(8)
LOW_HALF, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
NOT_SUBSCRIBED = np.uint64((1 << 64) - 1)


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def _opens(launch: Any) -> Any:
    """The first block opens the launch; the others wait for it, which is already running."""
    if cuda.atomic.cas(launch, PHASE, IDLE, OPENING) == IDLE:
        return True
    while cuda.atomic.add(launch, PHASE, ZERO) != OPEN:
        pass
    cuda.threadfence()
    return False


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def _is_open(launch: Any) -> Any:
    cuda.threadfence()
    cuda.atomic.exch(launch, PHASE, OPEN)


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def _is_last_block(launch: Any, flag: Any) -> Any:
    cuda.threadfence()
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        done = cuda.atomic.add(launch, NUM_DONE, ONE) + ONE
        flag[0] = done == np.uint64(cuda.gridDim.x)
    cuda.syncthreads()
    cuda.threadfence()
    return flag[0]


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def _reserve(control: Any, cursors: Any, capacity: Any, num: Any) -> Any:
    """Reserve tickets for the caller: (first ticket, number)."""
    if control[IS_LOSSLESS] == ZERO:
        return cuda.atomic.add(control, RESERVED, num), num
    tail = cuda.atomic.add(control, RESERVED, ZERO)
    while True:
        floor, is_read = tail, False
        for which in range(cursors.shape[0]):
            cursor = cuda.atomic.add(cursors, which, ZERO)
            if cursor != NOT_SUBSCRIBED:
                is_read = True
                floor = min(floor, cursor)
        cuda.threadfence()
        room = capacity - min(capacity, tail - floor)
        taken = num if num < room or not is_read else room
        seen = cuda.atomic.cas(control, RESERVED, tail, tail + taken)
        if seen == tail:
            cuda.atomic.add(control, NUM_REFUSED, num - taken)
            return tail, taken
        tail = seen


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def _put(control: Any, states: Any, voids: Any, records: Any, ticket: Any, words: Any) -> Any:
    at = np.int64(ticket % np.uint64(states.shape[0]))
    seen = cuda.atomic.add(states, at, ZERO)
    is_mine = False
    while not is_mine and seen < TWO * ticket + ONE:  # otherwise a later lap has written here
        if seen & ONE:
            cuda.threadfence()
            cuda.atomic.max(voids, at, ticket + ONE)
            cuda.atomic.add(control, NUM_VOIDS, ONE)
            return
        old = cuda.atomic.cas(states, at, seen, TWO * ticket + ONE)  # W1
        is_mine, seen = old == seen, old
    if not is_mine:
        return
    cuda.threadfence()  # W2
    room = np.uint64(8 * (words.shape[0] - HEADER_WORDS))
    length = min(words[3] & LOW_HALF, room)
    lap = (ticket // np.uint64(states.shape[0]) + ONE) & LOW_HALF
    for word in range(words.shape[0]):  # W3
        value = words[word]
        if word == 3:
            value = length | lap << HALF
        elif word >= HEADER_WORDS:
            start = np.uint64(8 * (word - HEADER_WORDS))
            if start >= length:
                value = ZERO
            elif length - start < EIGHT:
                value &= (ONE << EIGHT * (length - start)) - ONE
        records[at, word] = value
    cuda.threadfence()
    cuda.atomic.max(states, at, TWO * ticket + TWO)  # W4


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def _get(states: Any, voids: Any, records: Any, ticket: Any, out: Any) -> Any:
    at = np.int64(ticket % np.uint64(states.shape[0]))
    whole = TWO * ticket + TWO
    seen = cuda.atomic.add(states, at, ZERO)  # R1
    cuda.threadfence()
    if seen != whole:
        if seen > whole:
            return LAPPED
        return VOID if cuda.atomic.add(voids, at, ZERO) == ticket + ONE else PENDING
    for word in range(out.shape[0]):  # R2
        out[word] = records[at, word]
    cuda.threadfence()  # R3
    return WHOLE if cuda.atomic.add(states, at, ZERO) == whole else LAPPED  # R4


@cuda.jit  # type: ignore[untyped-decorator]
def push(control: Any, states: Any, voids: Any, records: Any, cursors: Any, launch: Any, words: Any) -> Any:
    """words: (n, record_bytes / 8)."""
    flag = cuda.shared.array(1, dtype=np.bool_)
    capacity = np.uint64(states.shape[0])
    if cuda.threadIdx.x == 0 and _opens(launch):
        first, taken = _reserve(control, cursors, capacity, np.uint64(words.shape[0]))
        launch[FIRST], launch[COUNT] = first, taken
        launch[SKIPPED] = taken - min(taken, capacity)
        _is_open(launch)
    cuda.syncthreads()
    for index in range(np.int64(launch[SKIPPED]) + cuda.grid(1), np.int64(launch[COUNT]), cuda.gridsize(1)):
        _put(control, states, voids, records, launch[FIRST] + np.uint64(index), words[index])
    if _is_last_block(launch, flag) and cuda.threadIdx.x == 0:
        launch[NUM_DONE] = ZERO
        launch[PHASE] = IDLE


@cuda.jit  # type: ignore[untyped-decorator]
def pop(
    control: Any,
    states: Any,
    voids: Any,
    records: Any,
    cursors: Any,
    launch: Any,
    which: Any,
    out: Any,
    statuses: Any,
) -> Any:
    """out: (max, record_bytes / 8).  launch afterwards: FIRST and SKIPPED (lost before it), valid rows START
    to END.
    """
    flag = cuda.shared.array(1, dtype=np.bool_)
    capacity = np.uint64(states.shape[0])
    if cuda.threadIdx.x == 0 and _opens(launch):
        tail, cursor = cuda.atomic.add(control, RESERVED, ZERO), cursors[which]
        lag = tail - cursor
        lost = lag - min(lag, capacity)
        launch[SKIPPED], launch[FIRST] = lost, cursor + lost
        launch[COUNT] = min(lag - lost, np.uint64(out.shape[0]))
        _is_open(launch)
    cuda.syncthreads()
    count = np.int64(launch[COUNT])
    for index in range(cuda.grid(1), count, cuda.gridsize(1)):
        statuses[index] = _get(states, voids, records, launch[FIRST] + np.uint64(index), out[index])
    if _is_last_block(launch, flag) and cuda.threadIdx.x == 0:
        _finish_pop(cursors, launch, which, statuses, count)


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def _finish_pop(cursors: Any, launch: Any, which: Any, statuses: Any, count: Any) -> Any:
    start = 0
    for index in range(count):  # everything up to the last overwritten record is lost
        if statuses[index] == LAPPED:
            start = index + 1
    while start < count and statuses[start] == VOID:
        start += 1
    end = start
    while end < count and statuses[end] == WHOLE:
        end += 1
    launch[START], launch[END] = np.uint64(start), np.uint64(end)
    cuda.threadfence()
    cuda.atomic.exch(cursors, which, launch[FIRST] + np.uint64(end))
    launch[NUM_DONE] = ZERO
    launch[PHASE] = IDLE
