"""The fields of order words, and the addresses of cells, rows and records.

Invariant: a ticket in a word has 24 bits, a sequence 64: the header's hint completes the tail's 39 bits.
Written with `words`, so that numba can compile it.
"""

from __future__ import annotations

from sage.mailbox.shared.memory.words import load_acquire, load_relaxed, swap_if
from sage.mailbox.shared.ring.layout import (
    C_BASE,
    C_CELL_MASK,
    C_CELLS,
    C_LANE_BYTES,
    C_LANES,
    C_META_BYTES,
    C_RECORD_BYTES,
    C_SLOT_MASK,
    COUNT_BITS,
    HINT,
    NUMBER_BITS,
    PARTICIPANT_BITS,
    RECORDS_BITS,
    ROW_BYTES,
    TAIL,
    TICKET_BITS,
)

TICKETS, RECORDS, NUMBERS = (1 << TICKET_BITS) - 1, (1 << RECORDS_BITS) - 1, (1 << NUMBER_BITS) - 1
COUNTS, PARTICIPANTS = (1 << COUNT_BITS) - 1, (1 << PARTICIPANT_BITS) - 1
_TICKET_SHIFT = PARTICIPANT_BITS + NUMBER_BITS + COUNT_BITS
_LANE_SHIFT = NUMBER_BITS + COUNT_BITS


def cell_word(ticket: int, lane: int, number: int, count: int) -> int:
    """A cell of 63 bits, never negative."""
    return ticket << _TICKET_SHIFT | lane << _LANE_SHIFT | (number & NUMBERS) << COUNT_BITS | (count - 1)


def ticket_of(cell: int) -> int:
    return (cell >> _TICKET_SHIFT) & TICKETS


def lane_of(cell: int) -> int:
    return (cell >> _LANE_SHIFT) & PARTICIPANTS


def number_of(cell: int) -> int:
    """The number of its first record, 27 bits."""
    return (cell >> COUNT_BITS) & NUMBERS


def count_of(cell: int) -> int:
    return (cell & COUNTS) + 1


def next_ticket(tail: int) -> int:
    """The ticket of the next link."""
    return (tail >> RECORDS_BITS) & TICKETS


def moved(tail: int, cell: int) -> int:
    """The tail after `cell`."""
    return ((next_ticket(tail) + 1) & TICKETS) << RECORDS_BITS | ((tail + count_of(cell)) & RECORDS)


def first_tail(num_cells: int, first_sequence: int) -> int:
    """The first ticket is one lap late, so that an unwritten cell looks like one of the lap before."""
    return (num_cells & TICKETS) << RECORDS_BITS | (first_sequence & RECORDS)


def settled_tail(control: int) -> int:
    """The tail, moved past a cell that is linked at it."""
    tail_at = load_relaxed(control + C_BASE) + TAIL
    tail = load_acquire(tail_at)
    cell = load_acquire(cell_at(control, next_ticket(tail)))
    if ticket_of(cell) != next_ticket(tail):
        return tail
    swap_if(tail_at, tail, moved(tail, cell))  # fails if another process moved it, which is as good
    return moved(tail, cell)


def sequence_of(control: int, tail: int) -> int:
    """The number of records before the tail, in 64 bits."""
    hint = load_relaxed(load_relaxed(control + C_BASE) + HINT)
    ahead = (tail - hint) & RECORDS
    return hint + (ahead if ahead < 1 << (RECORDS_BITS - 1) else ahead - (1 << RECORDS_BITS))


def cell_at(control: int, ticket: int) -> int:
    """The address of the order cell of a ticket."""
    return load_relaxed(control + C_CELLS) + 8 * (ticket & load_relaxed(control + C_CELL_MASK))


def row_at(control: int, lane: int, number: int) -> int:
    """The address of the meta row of a lane's record."""
    start = load_relaxed(control + C_LANES) + lane * load_relaxed(control + C_LANE_BYTES)
    return start + ROW_BYTES * (number & load_relaxed(control + C_SLOT_MASK))


def record_at(control: int, lane: int, number: int) -> int:
    """The address of a lane's record."""
    start = load_relaxed(control + C_LANES) + lane * load_relaxed(control + C_LANE_BYTES)
    slot = number & load_relaxed(control + C_SLOT_MASK)
    return start + load_relaxed(control + C_META_BYTES) + slot * load_relaxed(control + C_RECORD_BYTES)


#: Functions that kernels call, registered with numba.
STEPS = (
    cell_word,
    ticket_of,
    lane_of,
    number_of,
    count_of,
    next_ticket,
    moved,
    settled_tail,
    sequence_of,
    cell_at,
    row_at,
    record_at,
)
