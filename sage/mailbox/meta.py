"""What describes a message of a focus mailbox: its metadata, and the states of the slot that holds it.

FREE -> LOANED -> PUBLISHED -> BORROWED -> RELEASING -> FREE with the next generation.
Invariant: every store uses these states and this metadata, whatever memory its slots are in.
"""

from __future__ import annotations

from dataclasses import dataclass

FREE, LOANED, PUBLISHED, BORROWED, RELEASING = range(5)
STATE_NAMES = ("free", "loaned", "published", "borrowed", "releasing")


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusMeta:
    """Metadata of one published tensor.

    sequence, stamp_ns, producer: as given by the producer.  trust, quality: from 0 to 1.
    generation, slot: identify the message in its pool.
    deadline_ns: on the mailbox's clock; None without a TTL.
    """

    sequence: int
    stamp_ns: int
    producer: int
    trust: float
    quality: float
    generation: int
    slot: int
    deadline_ns: int | None
