"""The states of the ring's model: shared words, each process's own words, and the history of links.

Invariant: a state is a tree of tuples and integers, so that equal states are equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# Producer steps.
CLAIM, WRITE_0, WRITE_1, READ_TAIL, READ_CELL, SEQUENCE, LINK, HELP, BUMP, DONE, DEAD, ROOM, WAIT = range(13)
SUCCEED = 13
# Reader steps.
POLL, LAPPED, COPY_0, COPY_1, ROW_SEQUENCE, RECHECK, SETTLE, JOIN, GO_LIVE, BEGIN, ADVANCE = range(11)
ROW_NUMBER = 11

VARIANTS = {
    "load index, write, increment": "the tail is loaded, the cell stored, the tail stored: no swap",
    "link before payload": "the cell is swapped first, the payload written afterwards",
    "number after sequence": "the row of a batch gets its number after its sequence, not before",
    "no second look": "the reader does not compare the tail after it has copied",
    "reach of a whole lane": "the reader's check leaves no room for the batch that is being written",
    "written before the tail moved": "a producer writes a batch before the tail has moved past its last one",
    "no help": "a producer that finds the cell linked waits for the other to move the tail",
    "no lap in the order word": "the swap compares producer, lane slot and count alone",
    "number used again": "a successor starts at its predecessor's record, even if it was linked",
    "loss counted in order words": "a skipped order word counts as one record, although it can link several",
    "room checked with an older tail": "a producer that finds a new tail does not check for room again",
    "floor of an earlier subscriber list": "a producer uses its cached floor after a subscriber has joined",
    "cursor moved before the copy": "the reader advances its cursor before it has copied the record",
    "began at the tail read before the join": (
        "a new cursor begins at the tail that was read before producers could see the cursor"
    ),
}


class Violation(Exception):
    """An invariant does not hold; the message states which."""


class LaneSlot(NamedTuple):
    """number and sequence are the row of a batch, in the slot of its first record."""

    number: int  # of the record among its producer's
    word_0: int  # the payload is two words, each a (number, incarnation) code, to detect a torn one
    word_1: int
    sequence: int


class Word(NamedTuple):
    ticket: int
    producer: int
    first: int
    count: int


class Producer(NamedTuple):
    step: int
    number: int  # of the first record of the batch at hand
    batch: int  # index in the script
    index: int  # record within the batch
    tail: tuple[int, int]  # as read
    cell: Word | None  # as read
    incarnation: int
    floor: int = -1  # lossless: the cursor as last read, -1 for none
    num_joined: int = -1  # lossless: the number of joins that `floor` accounts for, -1 for none yet
    has_room: bool = False  # lossless: only the variant that checks once reads it


class Reader(NamedTuple):
    step: int
    ticket: int
    delivered: int
    lost: int
    is_short: bool  # something was skipped since the last delivery
    word: Word | None
    index: int
    copy_0: int
    copy_1: int
    copy_sequence: int  # of the batch
    base: int = 0  # sequence at which the reader joined


class State(NamedTuple):
    cells: tuple[Word | None, ...]
    tail: tuple[int, int]  # (ticket, records): one 64-bit word
    lanes: tuple[tuple[LaneSlot, ...], ...]
    producers: tuple[Producer, ...]
    reader: Reader
    links: tuple[
        tuple[int, int, int, int], ...
    ]  # the history: (producer, first, count, incarnation) by ticket
    num_kills: int
    cursor: int = -1  # lossless: the sequence that the reader has published, -1 before it joins
    num_joined: int = 0


@dataclass(frozen=True, kw_only=True)
class Instance:
    """scripts: for each producer the sizes of its batches.  successor: the batches of the process that takes
    over a dead one's lane.  capacity: records that a lossless ring holds; 0 for a lossy ring.  joins_late:
    the reader subscribes at some time during the run, not before it.
    """

    num_cells: int = 2
    num_lane_slots: int = 2
    scripts: tuple[tuple[int, ...], ...] = ((2, 1), (1, 1))
    max_kills: int = 1
    successor: tuple[int, ...] = (1,)
    variant: str = ""
    capacity: int = 0
    joins_late: bool = False

    def initial(self) -> State:
        empty = LaneSlot(-1, -1, -1, -1)
        first = READ_TAIL if self.variant == "link before payload" else CLAIM
        return State(
            cells=(None,) * self.num_cells,
            tail=(0, 0),
            lanes=((empty,) * self.num_lane_slots,) * len(self.scripts),
            producers=tuple(Producer(first, 0, 0, 0, (0, 0), None, 0) for _ in self.scripts),
            reader=Reader(JOIN if self.joins_late else POLL, 0, 0, 0, False, None, 0, -1, -1, -1),
            links=(),
            num_kills=0,
            cursor=0 if self.capacity and not self.joins_late else -1,
        )

    @property
    def reach(self) -> int:
        """As far as the tail may be after a record that is whole."""
        batch = max(max(script, default=0) for script in (*self.scripts, self.successor))
        return self.num_lane_slots - (0 if self.variant == "reach of a whole lane" else batch)

    def script(self, index: int, producer: Producer) -> tuple[int, ...]:
        return self.successor if producer.incarnation else self.scripts[index]
