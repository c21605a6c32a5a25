"""The reader's side of a ring between processes; numba can compile it.

A reader finds the batch of its first record, follows the order cells from there, copies records from the
lanes, then checks that the tail is not so far that one of them may have been overwritten, and moves its
cursor by a swap. The sequence in a batch's row defines its place; the cursor's ticket is only a hint.
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
    C_REACH,
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
    TAIL,
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
NONE = -1 << 40  # far below every sequence
#: A check in between, so that a long copy from a ring at full speed keeps what it has.
CHECK_AFTER = 256


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
        _stamp(control, target, num_taken, start)
        _count(block, num_taken, start - expected, end - start, now_ns - load_relaxed(result + R_PUSHED_NS))
        store_relaxed(result + R_LOST, start - expected)
        store_relaxed(result + R_FIRST, start)
        fence_full()  # [5]
        return 2 * num_taken + (load_relaxed(load_relaxed(control + C_WRITERS_FLAG)) != 0)
    store_relaxed(result + R_LOST, 0)
    store_relaxed(result + R_FIRST, load_relaxed(block + SEQUENCE))
    return 0


def _take(control: int, block: int, tail: int, start: int, target: int, num_records: int, result: int) -> int:
    """Copy up to `num_records` from sequence `start` on; returns how many were whole and in order.

    Batches that follow each other in the order follow each other in sequence, so only the first batch's row
    is read.
    """
    size = load_relaxed(control + C_RECORD_BYTES)
    ticket = _locate(control, block, tail, start)
    cell = load_acquire(cell_at(control, ticket))  # [1]
    first = first_sequence(control, cell)
    skipped = start - first
    if ticket_of(cell) != ticket or first < 0 or skipped < 0 or skipped >= count_of(cell):
        return 0
    row = row_at(control, lane_of(cell), number_of(cell))
    store_relaxed(result + R_PUSHED_NS, load_relaxed(row + ROW_PUSHED_NS))
    num_copied = num_whole = 0
    while ticket_of(cell) == ticket:
        num = min(count_of(cell) - skipped, num_records - num_copied)
        _copy(control, lane_of(cell), number_of(cell) + skipped, num, target + num_copied * size)
        num_copied += num
        if skipped + num < count_of(cell):
            break
        skipped, ticket = 0, (ticket + 1) & TICKETS
        if num_copied == num_records:
            break
        if num_copied - num_whole >= CHECK_AFTER:
            if not is_whole(control, start + num_whole):
                return num_whole
            num_whole = num_copied
            store_relaxed(result + R_TICKET, ticket)
        cell = load_acquire(cell_at(control, ticket))  # [1]
    if num_copied > num_whole and is_whole(control, start + num_whole):
        num_whole = num_copied
        store_relaxed(result + R_TICKET, ticket)
    return num_whole


def _copy(control: int, lane: int, number: int, num: int, target: int) -> None:
    """Copy `num` records of one batch."""
    size, slot_mask = load_relaxed(control + C_RECORD_BYTES), load_relaxed(control + C_SLOT_MASK)
    num_first = min(num, slot_mask + 1 - (number & slot_mask))  # up to the end of the lane
    copy_bytes(target, record_at(control, lane, number), num_first * size)
    if num_first < num:
        rest = target + num_first * size
        copy_bytes(rest, record_at(control, lane, number + num_first), (num - num_first) * size)


def is_whole(control: int, sequence: int) -> bool:
    """Whether what was copied of the records from `sequence` on was not overwritten before the copy ended."""
    fence_acquire()  # [2]
    tail = load_relaxed(load_relaxed(control + C_BASE) + TAIL)
    return sequence_of(control, tail) - sequence <= load_relaxed(control + C_REACH)


def _stamp(control: int, target: int, num_records: int, start: int) -> None:
    """Write the number of the ring's lap into the generation of each record."""
    size, shift = load_relaxed(control + C_RECORD_BYTES), load_relaxed(control + C_SHIFT)
    for index in range(num_records):
        header = target + index * size + LENGTH_OFFSET
        lap = (((start + index) >> shift) + 1) & U32
        store_relaxed(header, load_relaxed(header) & U32 | lap << 32)


def _locate(control: int, block: int, tail: int, start: int) -> int:
    """The ticket whose batch contains sequence `start` of the last lap: the cursor's hint, or by search."""
    end_ticket, hint = next_ticket(tail), load_relaxed(block + TICKET)
    num_links = min(
        sequence_of(control, tail) - start, load_relaxed(control + C_CELL_MASK) + 1
    )  # each links at least one
    if 0 < (end_ticket - hint) & TICKETS <= num_links:
        cell = load_acquire(cell_at(control, hint))
        first = first_sequence(control, cell)
        if ticket_of(cell) == hint and 0 <= first <= start < first + count_of(cell):
            return hint
    low, high = end_ticket - num_links, end_ticket - 1
    while low < high:
        middle = (low + high) // 2
        cell = load_acquire(cell_at(control, middle & TICKETS))
        first = first_sequence(control, cell)
        # overwritten, or before it
        if ticket_of(cell) != middle & TICKETS or first + count_of(cell) <= start:
            low = middle + 1
        else:
            high = middle
    return low & TICKETS


def first_sequence(control: int, cell: int) -> int:
    """The sequence of the first record of the batch in `cell`; NONE if its row is another batch's now, which
    means that the batch is older than a lap.
    """
    number = number_of(cell)
    row = row_at(control, lane_of(cell), number)
    sequence = load_acquire(row + ROW_SEQUENCE)  # [7]
    return sequence if load_relaxed(row + ROW_NUMBER) & NUMBERS == number else NONE


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
STEPS = (_take, _copy, is_whole, _stamp, _locate, first_sequence, _count, lag, _place_cursor)
