"""The life of a message of a shared pool, read from its slot as its lease ends.

Invariant: only the lease's own process adds it, and to its own trace: a process sees the messages that it
received.
"""

from __future__ import annotations

from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.focus.control import Control
from sage.mailbox.shared.lease import Lease
from sage.mailbox.trace import MessageLife


def life_of(control: Control, lease: Lease, released_ns: int) -> MessageLife:
    meta = lease.meta
    return MessageLife(
        mailbox=control.segment.name,
        slot=lease.index,
        generation=lease.generation,
        producer=meta.producer,
        sequence=meta.sequence,
        num_bytes=lease.spec.num_bytes,
        captured_ns=meta.stamp_ns,
        published_ns=control.words[lease.place + layout.PUSHED_NS],
        received_ns=lease.received_ns,
        released_ns=released_ns,
    )
