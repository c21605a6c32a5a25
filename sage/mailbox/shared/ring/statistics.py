"""The statistics of a shared ring, read from its segment.

Invariant: reading changes nothing and needs no entry, no lock and no compiler. While others push and pop,
each figure is correct for some moment of the reading, not all for the same moment.
"""

from __future__ import annotations

from sage.mailbox.histogram import LatencyHistogram, Percentiles
from sage.mailbox.shared.memory.segment import Segment
from sage.mailbox.shared.ring.cursor_table import CursorTable
from sage.mailbox.shared.ring.layout import (
    FIRST,
    FREE,
    HIGH_WATER,
    HINT,
    HISTOGRAM,
    KIND,
    LOST,
    LOST_BEFORE,
    NUM_BUCKETS,
    OPTION_NAMES,
    POPPED,
    POPPED_BEFORE,
    REFUSED,
    SEQUENCE,
    STATE,
    TAIL,
    RingLayout,
)
from sage.mailbox.shared.ring.order_words import RECORDS, count_of, next_ticket, ticket_of
from sage.mailbox.statistics import PeripheralStatistics, SubscriptionStatistics


def peek_statistics(name: str) -> PeripheralStatistics:
    """Of a ring of other processes, without attaching. Raises MailboxError if there is none of that name."""
    segment = Segment.attach(name, kind=KIND, is_read_only=True)
    try:
        return read_statistics(segment)
    finally:
        segment.close()


def read_statistics(segment: Segment) -> PeripheralStatistics:
    words, options = segment.words, segment.options(OPTION_NAMES)
    layout = RingLayout(capacity=options["capacity"], record_bytes=options["record_bytes"])
    table, end = CursorTable(segment, layout), _end_sequence(segment, layout)
    blocks = list(table.blocks())
    live = [block for block in blocks if words[(block + STATE) // 8] != FREE]
    subscriptions = tuple(
        SubscriptionStatistics(
            name=table.name_of(block),
            num_members=table.num_members(block),
            popped=words[(block + POPPED) // 8] - words[(block + POPPED_BEFORE) // 8],
            lost=words[(block + LOST) // 8] - words[(block + LOST_BEFORE) // 8],
            lag=max(0, end - words[(block + SEQUENCE) // 8]),
        )
        for block in live
    )
    pushed, popped = end - words[FIRST // 8], sum(words[(block + POPPED) // 8] for block in blocks)
    depth = min(layout.capacity, max((each.lag for each in subscriptions), default=0))
    return PeripheralStatistics(
        name=segment.name,
        mode="lossless" if options["is_lossless"] else "lossy",
        capacity=layout.capacity,
        record_bytes=layout.record_bytes,
        pushed=pushed,
        popped=popped,
        refused=words[REFUSED // 8],
        lost=sum(words[(block + LOST) // 8] for block in blocks),
        bytes_copied=(pushed + popped) * layout.record_bytes,
        depth=depth,
        high_water=max([depth, *(words[(block + HIGH_WATER) // 8] for block in blocks)]),
        push_to_pop=_percentiles(segment, blocks),
        subscriptions=subscriptions,
    )


def _end_sequence(segment: Segment, layout: RingLayout) -> int:
    """As `pop.end_sequence`, without a store."""
    words = segment.words
    hint, tail = words[HINT // 8], words[TAIL // 8]
    cell = words[layout.cells // 8 + (next_ticket(tail) & (layout.num_cells - 1))]
    ahead = (tail - hint) & RECORDS
    end = hint + (ahead if ahead < (RECORDS + 1) // 2 else ahead - RECORDS - 1)
    return int(end + (count_of(cell) if ticket_of(cell) == next_ticket(tail) else 0))


def _percentiles(segment: Segment, blocks: list[int]) -> Percentiles:
    histogram = LatencyHistogram()
    for block in blocks:
        start = (block + HISTOGRAM) // 8
        histogram.merge(segment.words[start : start + NUM_BUCKETS].tolist())
    return histogram.percentiles()
