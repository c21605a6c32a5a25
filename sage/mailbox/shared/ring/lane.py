"""A producer's lane in a shared ring, and the control words of its kernels.

Invariant: a lane's memory is allocated before the first write. Its next owner continues above every number in
its slots, in the slot after the last linked record, so that no record of the last lap is overwritten early,
however often owners die.
"""

from __future__ import annotations

import ctypes

import numpy as np

from sage.mailbox.shared.memory.participants import DOORBELLS_OFFSET
from sage.mailbox.shared.memory.segment import Segment
from sage.mailbox.shared.ring.layout import (
    C_BASE,
    C_BATCH,
    C_BLOCKS,
    C_CAPACITY,
    C_CELL_MASK,
    C_CELLS,
    C_FLOOR,
    C_IS_LOSSLESS,
    C_LANE,
    C_LANE_BYTES,
    C_LANES,
    C_META_BYTES,
    C_NUM_JOINED,
    C_NUMBER,
    C_READERS_FLAG,
    C_RECORD_BYTES,
    C_SHIFT,
    C_SLOT_MASK,
    C_WRITERS_FLAG,
    NUM_CONTROL_WORDS,
    ROW_BYTES,
    ROW_NUMBER,
    TAIL,
    RingLayout,
)
from sage.mailbox.shared.ring.order_words import NUMBERS, count_of, lane_of, next_ticket, number_of, ticket_of

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
    }
    for offset, value in values.items():
        words[offset // 8] = value
    return words


def claim_lane(
    segment: Segment, layout: RingLayout, control: ctypes.Array[ctypes.c_int64], participant: int
) -> None:
    """Use the lane of `participant`, the caller's entry. Raises MailboxError if memory is short."""
    start = layout.lanes + participant * layout.lane_bytes
    segment.reserve(start, layout.lane_bytes)
    rows = np.frombuffer(
        segment.memory, dtype=np.int64, count=layout.num_slots * ROW_BYTES // 8, offset=start
    )
    lowest = (
        max(int(rows[ROW_NUMBER // 8 :: ROW_BYTES // 8].max()), layout.num_slots - 1) + 1
    )  # 0 is the number of an empty row
    last = _last_linked(segment, layout, participant)
    first_slot = lowest if last is None else last + 1
    control[C_NUMBER // 8] = lowest + ((first_slot - lowest) & (layout.num_slots - 1))
    control[C_LANE // 8] = participant


def _last_linked(segment: Segment, layout: RingLayout, participant: int) -> int | None:
    """The number (low bits) of the lane's last record in the order; None if it is older than all cells."""
    first = layout.cells // 8
    cells: list[int] = segment.words[first : first + layout.num_cells].tolist()
    end = next_ticket(segment.words[TAIL // 8])
    # links since each cell; cells are read before the tail, so that none is ahead of it. A cell that was
    # never written refers to an empty row
    ages = {(end - ticket_of(cell)) & ((1 << 24) - 1): cell for cell in cells if lane_of(cell) == participant}
    if not ages or min(ages) > layout.num_cells:
        return None
    cell = ages[min(ages)]
    return (number_of(cell) + count_of(cell) - 1) & NUMBERS
