"""The producer's side of a ring between processes; numba can compile it.

A producer writes a batch of up to 64 records into its own lane, and one row for it. One compare-and-swap
of an order cell, from the value read to (ticket, participant, first number, count), links them; that swap is
the push. A producer that finds the tail's cell linked already moves the tail (one word: ticket, records so
far) for the process that linked it.
Invariant: no step waits for another process; a process that stops or dies between two lines has pushed a
whole batch or nothing. The model in `implementation/models` checks this together with the reader's side in
`pop`.

Memory orders, in pairs (left: writer, right: reader):
[1] payload and row, swap of the cell | load_acquire of the cell, copy
[2] tail moved past the lane's last batch, fence_release, row and payload of the next | copy, fence_acquire,
    tail: bytes of a record are overwritten only after the tail is more than C_REACH after it, because a lane
    has C_REACH more slots than a batch has records
[3] copy, swap of the cursor | load_acquire of the cursor in `room`, then its slots are written again
[4] cell, swap of the tail | load_acquire of the tail, cell
[5] link, fence_full, flag | flag, fence, link (in `doorbell`): one of the two sees the other
[7] number of the row, store_release of its sequence | load_acquire of the sequence, number
Every word is an int64 and never negative; a shift right is masked.
"""

# mypy: no-warn-return-any
from __future__ import annotations

from sage.mailbox.record import HEADER_BYTES
from sage.mailbox.shared.memory.segment import IS_CLOSED
from sage.mailbox.shared.memory.words import (
    add,
    copy_bytes,
    fence_full,
    fence_release,
    load_acquire,
    load_relaxed,
    store_relaxed,
    store_release,
    swap_if,
    zero_bytes,
)
from sage.mailbox.shared.ring.layout import (
    BLOCK_BYTES,
    C_BASE,
    C_BATCH,
    C_BLOCKS,
    C_CAPACITY,
    C_FLOOR,
    C_IS_LOSSLESS,
    C_LANE,
    C_NUM_JOINED,
    C_NUMBER,
    C_READERS_FLAG,
    C_RECORD_BYTES,
    C_SLOT_MASK,
    HINT,
    LENGTH_OFFSET,
    LIVE,
    NUM_BLOCKS,
    NUM_JOINED,
    ROW_NUMBER,
    ROW_PUSHED_NS,
    ROW_SEQUENCE,
    SEQUENCE,
    STATE,
    TAIL,
    U32,
)
from sage.mailbox.shared.ring.order_words import (
    cell_at,
    cell_word,
    moved,
    next_ticket,
    record_at,
    row_at,
    sequence_of,
    settled_tail,
    ticket_of,
)

NO_LIMIT = 1 << 62
HINT_STEP = 1 << 30
#: Results of push instead of a count: the mailbox is closed; the length of record i exceeds its payload
#: (BAD_LENGTH - i).
CLOSED, BAD_LENGTH = -(1 << 40), -1


def push(control: int, source: int, num_records: int, now_ns: int) -> int:
    """Append records from `source`; returns 2 x the number appended, plus 1 if a reader sleeps. CLOSED and
    BAD_LENGTH append nothing.
    """
    size = load_relaxed(control + C_RECORD_BYTES)
    if load_relaxed(load_relaxed(control + C_BASE) + 8 * IS_CLOSED):
        return CLOSED
    room_for, shortest = size - HEADER_BYTES, size
    for index in range(num_records):
        length = load_relaxed(source + index * size + LENGTH_OFFSET) & U32
        if length > room_for:
            return BAD_LENGTH - index
        shortest = min(shortest, length)
    num_taken, batch = 0, load_relaxed(control + C_BATCH)
    is_lossless = load_relaxed(control + C_IS_LOSSLESS)
    while num_taken < num_records:
        count = min(num_records - num_taken, batch)
        if is_lossless:
            count = min(count, room(control, sequence_of(control, settled_tail(control)), count))
            if count <= 0:
                break
        _write_lane(control, source + num_taken * size, count, now_ns)
        if shortest < room_for:
            _zero_ends(control, count)
        num_linked = _link(control, count)
        if num_linked == 0:
            break
        num_taken += num_linked
    fence_full()  # [5]
    return 2 * num_taken + (load_relaxed(load_relaxed(control + C_READERS_FLAG)) != 0)


def _write_lane(control: int, source: int, count: int, now_ns: int) -> None:
    """Write a batch into the next slots of the lane, and its row. No reader reads there yet."""
    lane, number = load_relaxed(control + C_LANE), load_relaxed(control + C_NUMBER)
    size, slot_mask = load_relaxed(control + C_RECORD_BYTES), load_relaxed(control + C_SLOT_MASK)
    fence_release()  # [2]
    row = row_at(control, lane, number)
    store_relaxed(row + ROW_NUMBER, number)
    store_relaxed(row + ROW_PUSHED_NS, now_ns)
    num_first = min(count, slot_mask + 1 - (number & slot_mask))  # up to the end of the lane
    copy_bytes(record_at(control, lane, number), source, num_first * size)
    if num_first < count:
        rest = source + num_first * size
        copy_bytes(record_at(control, lane, number + num_first), rest, (count - num_first) * size)


def _zero_ends(control: int, count: int) -> None:
    """Zero the payload past its length in each record of the batch just written."""
    lane, number = load_relaxed(control + C_LANE), load_relaxed(control + C_NUMBER)
    size = load_relaxed(control + C_RECORD_BYTES)
    for index in range(count):
        target = record_at(control, lane, number + index)
        num_bytes = HEADER_BYTES + (load_relaxed(target + LENGTH_OFFSET) & U32)
        if num_bytes < size:
            zero_bytes(target + num_bytes, size - num_bytes)


def _link(control: int, count: int) -> int:
    """Push the records just written; returns how many, 0 if a lossless ring has no room for the first."""
    base, lane, number = (
        load_relaxed(control + C_BASE),
        load_relaxed(control + C_LANE),
        load_relaxed(control + C_NUMBER),
    )
    while True:
        tail = load_acquire(base + TAIL)  # [4]
        ticket = next_ticket(tail)
        place = cell_at(control, ticket)
        cell = load_acquire(place)
        if ticket_of(cell) == ticket:  # the linking process has not moved the tail yet, or died: do it here
            swap_if(base + TAIL, tail, moved(tail, cell))
            continue
        sequence = sequence_of(control, tail)
        if load_relaxed(control + C_IS_LOSSLESS):
            # checked with the tail that the swap below depends on; cursors only advance
            count = min(count, room(control, sequence, count))
            if count <= 0:
                return 0
        store_release(row_at(control, lane, number) + ROW_SEQUENCE, sequence)  # [7]
        word = cell_word(ticket, lane, number, count)
        if swap_if(place, cell, word) == cell:  # [1]
            break
    swap_if(base + TAIL, tail, moved(tail, word))  # [4]; fails if another process moved it
    store_relaxed(control + C_NUMBER, number + count)
    hint = load_relaxed(base + HINT)
    if sequence - hint > HINT_STEP:
        swap_if(base + HINT, hint, sequence)  # a swap, so that a delayed process does not set it back
    return count


def room(control: int, sequence: int, wanted: int) -> int:
    """The number of records that fit at `sequence` before the slowest live cursor is `capacity` behind."""
    base, capacity = load_relaxed(control + C_BASE), load_relaxed(control + C_CAPACITY)
    floor, num_joined = load_relaxed(control + C_FLOOR), load_acquire(base + NUM_JOINED)
    if num_joined == load_relaxed(control + C_NUM_JOINED) and capacity - (sequence - floor) >= wanted:
        return wanted  # cursors only advance: the cached minimum is safe until a cursor joins
    floor = NO_LIMIT
    for index in range(load_acquire(base + NUM_BLOCKS)):
        block = load_relaxed(control + C_BLOCKS) + index * BLOCK_BYTES
        if load_acquire(block + STATE) == LIVE:
            floor = min(floor, load_acquire(block + SEQUENCE))  # [3]
    store_relaxed(control + C_FLOOR, floor)
    store_relaxed(control + C_NUM_JOINED, num_joined)
    return capacity - (sequence - floor)


def has_room(control: int) -> bool:
    """Whether a lossless ring has room for a record."""
    return room(control, sequence_of(control, settled_tail(control)), 1) > 0


def count(address: int, amount: int) -> int:
    """Add to a counter that all processes share; returns its previous value."""
    return add(address, amount)


#: Functions that the steps call, registered with numba.
STEPS = (_write_lane, _zero_ends, _link, room)
