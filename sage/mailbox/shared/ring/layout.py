"""The layout of a ring between processes, in bytes from its start, and the control words of each handle.

Invariant: two words that different processes write often never share 128 bytes; an unused lane or cursor
takes no memory (the file is sparse).

    header    4,096 bytes: of Segment, of Participants, and from OWN_OFFSET the words below
    cells     one word for each slot of a lane: the order of all records
    cursors   64 blocks of 4,096 bytes: position and counts of each reader or group
    lanes     64, one per participant: a row for each slot (number, sequence, pushed_ns; used in the slot of a
              batch's first record), then the records
"""

from __future__ import annotations

from dataclasses import dataclass

from sage.mailbox.shared.memory.participants import MAX_PARTICIPANTS, OWN_OFFSET
from sage.mailbox.shared.memory.segment import HEADER_BYTES

KIND = 1
OPTION_NAMES = ("capacity", "record_bytes", "is_lossless", "is_compiled", "first_ticket")
MAX_CAPACITY = 1 << 20
MAX_CURSORS = 64

# The header's words, as byte offsets.
# a sequence (64 bits), never 2^38 behind the tail: completes the tail's 39 bits
HINT = OWN_OFFSET
NUM_JOINED = OWN_OFFSET + 8  # cursors that have joined so far: invalidates cached minima
NUM_BLOCKS = OWN_OFFSET + 16  # cursor blocks used so far; the others have no memory
NUM_SUBSCRIBED = OWN_OFFSET + 24
FIRST = OWN_OFFSET + 32  # the sequence of the first record
TAIL = OWN_OFFSET + 128
REFUSED = OWN_OFFSET + 256

# Order words. Cell: ticket, participant, number of its first record, count - 1.  Tail: ticket, records so
# far.
TICKET_BITS, PARTICIPANT_BITS, NUMBER_BITS, COUNT_BITS, RECORDS_BITS = 24, 6, 27, 6, 39
MAX_BATCH = 1 << COUNT_BITS

# A cursor block's words, as byte offsets.
BLOCK_BYTES = 4096
STATE, IS_GROUP, NAME_BYTES = 0, 8, 16
SEQUENCE, TICKET = 128, 136
# counted since the block's first use; *_BEFORE: the counts when the present owner joined
POPPED, LOST, HIGH_WATER, POPPED_BEFORE, LOST_BEFORE = 256, 264, 272, 280, 288
NAME, MAX_NAME_BYTES = 384, 128
MEMBERS = 512  # one word per participant: the number of its subscriptions that share this cursor
HISTOGRAM, NUM_BUCKETS = 2048, 256
#: States of a block. A draining cursor can be read by its members and blocks no writer.
FREE, LIVE, DRAINING = 0, 1, 2

#: The word of a record whose lower half is its length, the upper half its generation.
LENGTH_OFFSET, U32 = 24, 0xFFFFFFFF

# A lane's row of meta, as byte offsets. A batch has one row, in the slot of its first record.
ROW_BYTES = 32
ROW_NUMBER, ROW_SEQUENCE, ROW_PUSHED_NS = 0, 8, 16

# A handle's control words, in its process's own memory, as byte offsets: the kernels' arguments.
(
    C_BASE,
    C_CELLS,
    C_CELL_MASK,
    C_LANES,
    C_LANE_BYTES,
    C_META_BYTES,
    C_SLOT_MASK,
    C_RECORD_BYTES,
    C_CAPACITY,
    C_REACH,
    C_BATCH,
    C_SHIFT,
    C_IS_LOSSLESS,
    C_BLOCKS,
    C_LANE,
    C_NUMBER,
    C_FLOOR,
    C_NUM_JOINED,
    C_READERS_FLAG,
    C_WRITERS_FLAG,
    C_DTYPE,
) = range(0, 21 * 8, 8)
NUM_CONTROL_WORDS = 21
#: Results of a pop besides its count; R_STOP is set by the subscription to end a wait. R_CONTROL and R_BLOCK
#: are addresses, for the calls that take the result's address alone. R_FREE: where the next records go, with
#: room for R_NUM_FREE.
R_LOST, R_FIRST, R_TICKET, R_PUSHED_NS, R_STOP, R_CONTROL, R_BLOCK, R_FREE, R_NUM_FREE = range(0, 72, 8)
NUM_RESULT_WORDS = 9
#: In place of a time: the compiled step reads CLOCK_MONOTONIC itself.
MONOTONIC = -1
#: In place of a count: a step got an object that it does not take; Python handles it.
NOT_PLAIN = -(1 << 41)


@dataclass(frozen=True, slots=True, kw_only=True)
class RingLayout:
    """Offsets and sizes that follow from capacity and record size."""

    capacity: int
    record_bytes: int

    @property
    def num_cells(self) -> int:
        return self.num_slots

    @property
    def num_slots(self) -> int:
        """Slots of a lane: a batch that is not linked yet never touches its last `capacity` records. Small
        rings have more, so that a reader of the oldest record has time to copy it.
        """
        return self.capacity * (2 if self.capacity > MAX_BATCH else 4)

    @property
    def reach(self) -> int:
        """No record is overwritten as long as the tail is at most this far after it. At least capacity."""
        return self.num_slots - self.batch

    @property
    def batch(self) -> int:
        """Maximum number of records linked at once."""
        return min(MAX_BATCH, self.capacity)

    @property
    def cells(self) -> int:
        return HEADER_BYTES

    @property
    def blocks(self) -> int:
        return self.cells + _whole_pages(8 * self.num_cells)

    @property
    def lanes(self) -> int:
        return self.blocks + MAX_CURSORS * BLOCK_BYTES

    @property
    def meta_bytes(self) -> int:
        return _whole_pages(ROW_BYTES * self.num_slots)

    @property
    def lane_bytes(self) -> int:
        return self.meta_bytes + _whole_pages(self.num_slots * self.record_bytes)

    @property
    def num_bytes(self) -> int:
        return self.lanes + MAX_PARTICIPANTS * self.lane_bytes


def _whole_pages(num_bytes: int) -> int:
    return -(-num_bytes // 4096) * 4096
