"""A producer's lane in a shared ring, and the control words of its kernels.

Invariant: a lane's memory is allocated before the first write. Its next owner continues after the last linked
record, so that no record of the last lap is overwritten early, however often owners die. Batches that an
owner wrote and did not link are overwritten: no reader can refer to them.
"""

from __future__ import annotations

import ctypes

import numpy as np

from sage.mailbox.record import record_dtype
from sage.mailbox.shared.memory.participants import DOORBELLS_OFFSET
from sage.mailbox.shared.memory.segment import Segment
from sage.mailbox.shared.ring.layout import (
    C_BASE,
    C_BATCH,
    C_BLOCKS,
    C_CAPACITY,
    C_CELL_MASK,
    C_CELLS,
    C_DTYPE,
    C_FLOOR,
    C_IS_LOSSLESS,
    C_LANE,
    C_LANE_BYTES,
    C_LANES,
    C_META_BYTES,
    C_NUM_JOINED,
    C_NUMBER,
    C_REACH,
    C_READERS_FLAG,
    C_RECORD_BYTES,
    C_SHIFT,
    C_SLOT_MASK,
    C_WRITERS_FLAG,
    MAX_BATCH,
    NUM_CONTROL_WORDS,
    ROW_BYTES,
    ROW_NUMBER,
    TAIL,
    RingLayout,
)
from sage.mailbox.shared.ring.order_words import (
    TICKETS,
    count_of,
    lane_of,
    next_ticket,
    number_of,
    ticket_of,
)

#: Byte offsets of the two doorbells: readers sleep on arrivals, lossless writers on departures.
ARRIVALS, DEPARTURES = DOORBELLS_OFFSET, DOORBELLS_OFFSET + 16


def control_words(segment: Segment, layout: RingLayout, *, is_lossless: bool) -> ctypes.Array[ctypes.c_int64]:
    """The kernels' arguments, in this process's own memory. `claim_lane` sets the lane."""
    words = (ctypes.c_int64 * NUM_CONTROL_WORDS)()
    values = {
        C_BASE: segment.address,
        C_CELLS: segment.address + layout.cells,
        C_CELL_MASK: layout.num_cells - 1,
        C_LANES: segment.address + layout.lanes,
        C_LANE_BYTES: layout.lane_bytes,
        C_META_BYTES: layout.meta_bytes,
        C_SLOT_MASK: layout.num_slots - 1,
        C_RECORD_BYTES: layout.record_bytes,
        C_CAPACITY: layout.capacity,
        C_REACH: layout.reach,
        C_BATCH: layout.batch,
        C_SHIFT: layout.capacity.bit_length() - 1,
        C_IS_LOSSLESS: int(is_lossless),
        C_BLOCKS: segment.address + layout.blocks,
        C_LANE: -1,
        C_NUMBER: -1,
        C_FLOOR: 0,
        C_NUM_JOINED: -1,  # no floor has been read yet
        C_READERS_FLAG: segment.address + ARRIVALS,
        C_WRITERS_FLAG: segment.address + DEPARTURES,
        C_DTYPE: id(record_dtype(layout.record_bytes)),  # cached: the same object in the whole process
    }
    for offset, value in values.items():
        words[offset // 8] = value
    return words


def claim_lane(
    segment: Segment, layout: RingLayout, control: ctypes.Array[ctypes.c_int64], participant: int
) -> None:
    """Use the lane of `participant`, the caller's entry. Raises MailboxError if memory is short.

    The tail must have moved past the last link of the lane's last owner before.
    """
    start = layout.lanes + participant * layout.lane_bytes
    segment.reserve(start, layout.lane_bytes)
    num_words = layout.num_slots * ROW_BYTES // 8
    rows = np.frombuffer(segment.memory, dtype=np.int64, count=num_words, offset=start)
    numbers = rows[ROW_NUMBER // 8 :: ROW_BYTES // 8]
    last = _last_linked(segment, layout, participant)
    if last is None:  # no reader needs a record of this lane: continue anywhere, with new numbers
        control[C_NUMBER // 8] = max(int(numbers.max()) + MAX_BATCH, layout.num_slots)
    else:  # the row has all 64 bits of the number: what was written later did not reach it
        first, count = number_of(last), count_of(last)
        control[C_NUMBER // 8] = int(numbers[first & (layout.num_slots - 1)]) + count
    control[C_LANE // 8] = participant


def _last_linked(segment: Segment, layout: RingLayout, participant: int) -> int | None:
    """The cell of the lane's last batch in the order; None if all cells refer to later batches of others."""
    first = layout.cells // 8
    cells: list[int] = segment.words[first : first + layout.num_cells].tolist()
    end = next_ticket(segment.words[TAIL // 8])
    # links since each cell; cells are read before the tail, so that none is ahead of it. A cell that was
    # never written has the age of a whole lap
    ages = {(end - ticket_of(cell)) & TICKETS: cell for cell in cells if lane_of(cell) == participant}
    return ages[min(ages)] if ages and min(ages) < layout.num_cells else None
