"""The reader's side of a ring between processes; numba can compile it.

A reader follows the order cells, copies records from the lanes, checks their slots' numbers again, and moves
its cursor by a swap. The sequence in a slot's row defines its place; the cursor's ticket is only a hint.
Invariant: delivered records are whole and in order, sequences strictly increase, and the gaps between them
are reported as lost. Numbers in brackets are the pairs of memory orders listed in `push`.
"""

# mypy: no-warn-return-any
from __future__ import annotations

from sage.mailbox.shared.memory.words import (
    add,
    copy_bytes,
    fence_acquire,
    fence_full,
    load_acquire,
    load_relaxed,
    pause,
    store_relaxed,
    store_release,
    swap_if,
)
from sage.mailbox.shared.ring.layout import (
    C_BASE,
    C_CAPACITY,
    C_CELL_MASK,
    C_RECORD_BYTES,
    C_SHIFT,
    C_SLOT_MASK,
    C_WRITERS_FLAG,
    FIRST,
    HIGH_WATER,
    HISTOGRAM,
    LENGTH_OFFSET,
    LIVE,
    LOST,
    NUM_JOINED,
    POPPED,
    R_FIRST,
    R_LOST,
    R_PUSHED_NS,
    R_TICKET,
    ROW_NUMBER,
    ROW_PUSHED_NS,
    ROW_SEQUENCE,
    SEQUENCE,
    STATE,
    TICKET,
    U32,
)
from sage.mailbox.shared.ring.order_words import (
    NUMBERS,
    TICKETS,
    cell_at,
    count_of,
    lane_of,
    next_ticket,
    number_of,
    record_at,
    row_at,
    sequence_of,
    settled_tail,
    ticket_of,
)

MAX_TRIES = 1000
LATEST, OLDEST = -1, -2


def pop(control: int, block: int, target: int, max_records: int, now_ns: int, result: int) -> int:
    """Copy records to `target` and advance the cursor; returns 2 x the number copied, plus 1 if a writer
    sleeps.  result: R_* words.
    """
    capacity = load_relaxed(control + C_CAPACITY)
    for _ in range(MAX_TRIES):
        expected = load_acquire(block + SEQUENCE)
        tail = settled_tail(control)
        end = sequence_of(control, tail)
        if end <= expected:
            break
        start = max(expected, end - capacity)
        num_taken = _take(control, block, tail, start, target, min(max_records, end - start), result)
        if num_taken == 0 or swap_if(block + SEQUENCE, expected, start + num_taken) != expected:  # [3]
            continue  # overwritten, or read by another member of the group
        store_relaxed(block + TICKET, load_relaxed(result + R_TICKET))
        _count(block, num_taken, start - expected, end - start, now_ns - load_relaxed(result + R_PUSHED_NS))
        store_relaxed(result + R_LOST, start - expected)
        store_relaxed(result + R_FIRST, start)
        fence_full()  # [5]
        return 2 * num_taken + (load_relaxed(load_relaxed(control + C_WRITERS_FLAG)) != 0)
    store_relaxed(result + R_LOST, 0)
    store_relaxed(result + R_FIRST, load_relaxed(block + SEQUENCE))
    return 0


def _take(control: int, block: int, tail: int, start: int, target: int, num_records: int, result: int) -> int:
    """Copy up to `num_records` from sequence `start` on; returns how many were whole and in order."""
    size = load_relaxed(control + C_RECORD_BYTES)
    ticket, num_taken = _locate(control, block, tail, start), 0
    while num_taken < num_records:
        cell = load_acquire(cell_at(control, ticket))  # [1]
        if ticket_of(cell) != ticket:
            break
        count, sequence = count_of(cell), start + num_taken
        last = last_sequence(control, cell)
        skipped = sequence - (last - count + 1)  # not 0 only in the first cell
        if last < sequence or skipped < 0:
            break
        lane, number = lane_of(cell), number_of(cell) + skipped
        num = min(count - skipped, num_records - num_taken)
        if num_taken == 0:
            store_relaxed(result + R_PUSHED_NS, load_relaxed(row_at(control, lane, number) + ROW_PUSHED_NS))
        if not _copy(control, lane, number, num, sequence, target + num_taken * size):
            break
        num_taken += num
        if num == count - skipped:
            ticket = (ticket + 1) & TICKETS
        store_relaxed(result + R_TICKET, ticket)
    return num_taken


def _copy(control: int, lane: int, number: int, num: int, sequence: int, target: int) -> bool:
    """Copy `num` records of one batch; False if one of them was overwritten during the copy."""
    size, slot_mask = load_relaxed(control + C_RECORD_BYTES), load_relaxed(control + C_SLOT_MASK)
    num_first = min(num, slot_mask + 1 - (number & slot_mask))  # up to the end of the lane
    copy_bytes(target, record_at(control, lane, number), num_first * size)
    if num_first < num:
        copy_bytes(
            target + num_first * size, record_at(control, lane, number + num_first), (num - num_first) * size
        )
    fence_acquire()  # [2]
    shift = load_relaxed(control + C_SHIFT)
    for index in range(num):
        row = row_at(control, lane, number + index)
        if load_relaxed(row + ROW_NUMBER) & NUMBERS != (number + index) & NUMBERS:
            return False
        if load_relaxed(row + ROW_SEQUENCE) != sequence + index:
            return False
        header = target + index * size + LENGTH_OFFSET
        lap = (((sequence + index) >> shift) + 1) & U32
        store_relaxed(header, load_relaxed(header) & U32 | lap << 32)
    return True


def _locate(control: int, block: int, tail: int, start: int) -> int:
    """The ticket whose batch contains sequence `start` of the last lap: the cursor's hint, or by search."""
    end_ticket, hint = next_ticket(tail), load_relaxed(block + TICKET)
    num_links = min(
        sequence_of(control, tail) - start, load_relaxed(control + C_CELL_MASK) + 1
    )  # each links at least one
    if 0 < (end_ticket - hint) & TICKETS <= num_links:
        cell = load_acquire(cell_at(control, hint))
        last = last_sequence(control, cell)
        if ticket_of(cell) == hint and last - count_of(cell) < start <= last:
            return hint
    low, high = end_ticket - num_links, end_ticket - 1
    while low < high:
        middle = (low + high) // 2
        cell = load_acquire(cell_at(control, middle & TICKETS))
        if (
            ticket_of(cell) != middle & TICKETS or last_sequence(control, cell) < start
        ):  # another ticket: overwritten, or never linked
            low = middle + 1
        else:
            high = middle
    return low & TICKETS


def last_sequence(control: int, cell: int) -> int:
    """The last sequence of the batch in `cell`; -1 if its lane slot contains another record now, which means
    that the batch is older than a lap.
    """
    number = number_of(cell) + count_of(cell) - 1
    row = row_at(control, lane_of(cell), number)
    sequence = load_acquire(row + ROW_SEQUENCE)
    return sequence if load_relaxed(row + ROW_NUMBER) & NUMBERS == number & NUMBERS else -1


def _count(block: int, num_taken: int, num_lost: int, depth: int, duration_ns: int) -> None:
    add(block + POPPED, num_taken)
    if num_lost:
        add(block + LOST, num_lost)
    if depth > load_relaxed(block + HIGH_WATER):
        store_relaxed(block + HIGH_WATER, depth)
    duration_ns = max(duration_ns, 0)
    octave = 0
    while duration_ns > 7:
        duration_ns >>= 1
        octave += 1
    add(block + HISTOGRAM + 8 * ((octave << 2) + duration_ns), 1)


def lag(control: int, block: int) -> int:
    """Records pushed since this cursor's position, including lost ones."""
    expected = load_acquire(block + SEQUENCE)
    return sequence_of(control, settled_tail(control)) - expected


def await_record(control: int, block: int, num_checks: int) -> int:
    """`lag`, read up to `num_checks` times until it is not 0; 100 checks take about 10 us."""
    found = lag(control, block)
    while found == 0 and num_checks > 0:
        pause()
        found = lag(control, block)
        num_checks -= 1
    return found


def end_sequence(control: int) -> int:
    """The number of records pushed so far."""
    return sequence_of(control, settled_tail(control))


def enter(control: int, block: int, start: int) -> int:
    """Make a prepared block a live cursor at `start` (a sequence, LATEST or OLDEST); returns where it begins.

    One link that was checked for room before the cursor was visible may follow: it can overwrite the first
    records of OLDEST in a lossless ring, which then count as lost.
    """
    begin = _place_cursor(control, block, start)
    store_release(block + STATE, LIVE)
    add(load_relaxed(control + C_BASE) + NUM_JOINED, 1)
    fence_full()  # a writer that reads the tail from here on checks for room with this cursor
    if start in (LATEST, OLDEST):  # links since the first look were checked without it: begin after them
        begin = _place_cursor(control, block, start)
    return begin


def _place_cursor(control: int, block: int, start: int) -> int:
    tail = settled_tail(control)
    end = sequence_of(control, tail)
    oldest = max(
        end - load_relaxed(control + C_CAPACITY), load_relaxed(load_relaxed(control + C_BASE) + FIRST)
    )
    begin = end if start == LATEST else oldest if start == OLDEST else start
    store_relaxed(block + TICKET, next_ticket(tail))
    store_release(block + SEQUENCE, begin)
    return begin


#: Functions that the steps call, registered with numba.
STEPS = (_take, _copy, _locate, last_sequence, _count, lag, _place_cursor)
