"""The segment of a ring: the creator's options and the initial words.

Invariant: a process that attaches finds a complete, empty ring.
"""

from __future__ import annotations

from sage.errors import InputError
from sage.mailbox.options import Mode, check_mode
from sage.mailbox.record import record_dtype
from sage.mailbox.shared.memory.engine_choice import EngineName
from sage.mailbox.shared.memory.participants import Participants
from sage.mailbox.shared.memory.segment import Layout, Segment
from sage.mailbox.shared.ring.layout import FIRST, HINT, KIND, MAX_CAPACITY, OPTION_NAMES, TAIL, RingLayout
from sage.mailbox.shared.ring.order_words import first_tail


def ring_options(
    name: str, *, capacity: int, record_bytes: int, mode: Mode, first_ticket: int, engine: EngineName
) -> dict[str, int]:
    """The numbers in the header, by OPTION_NAMES. Raises InputError for an invalid option."""
    check_mode(name, mode)
    if not 1 <= capacity <= MAX_CAPACITY or capacity & (capacity - 1):
        raise InputError(f"capacity is {capacity}: give a power of two, at most {MAX_CAPACITY}")
    if not 0 <= first_ticket < 1 << 62:
        raise InputError(f"first_ticket is {first_ticket}: give 0 or more, below 2^62")
    record_dtype(record_bytes)
    values = (capacity, record_bytes, int(mode == "lossless"), int(engine == "numba"), first_ticket)
    return dict(zip(OPTION_NAMES, values))


def create_ring(name: str, options: dict[str, int]) -> Segment:
    """A new, empty ring. Lanes and cursors get memory on first use."""
    layout = RingLayout(capacity=options["capacity"], record_bytes=options["record_bytes"])

    def prepare(segment: Segment) -> None:
        segment.words[FIRST // 8] = segment.words[HINT // 8] = options["first_ticket"]
        segment.words[TAIL // 8] = first_tail(layout.num_cells, options["first_ticket"])
        Participants(segment)

    segment_layout = Layout(kind=KIND, num_bytes=layout.num_bytes, options=options)
    return Segment.create(name, segment_layout, reserved_bytes=layout.blocks, prepare=prepare)


def engine_of(segment: Segment) -> EngineName:
    """The engine of all participants."""
    return "numba" if segment.options(OPTION_NAMES)["is_compiled"] else "plain"
