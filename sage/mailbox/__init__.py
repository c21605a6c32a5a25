"""Mailboxes: records for every subscriber, tensors by reference for one receiver at a time.

The package's public names load on first use. Invariant: importing it loads neither torch nor numba.
"""

from typing import TYPE_CHECKING

from sage.lazy import lazy_face

if TYPE_CHECKING:
    from sage.mailbox.clock import Clock, ManualClock, RealClock
    from sage.mailbox.contract import Batch
    from sage.mailbox.errors import (
        LeaseExpired,
        MailboxClosed,
        MailboxEmpty,
        MailboxError,
        MailboxFull,
        PeerDied,
    )
    from sage.mailbox.handles import Lease, Loan
    from sage.mailbox.hub import Hub, HubStatistics
    from sage.mailbox.local.backend import Backend, Fence, HostBackend
    from sage.mailbox.local.focus import FocusMailbox
    from sage.mailbox.local.peripheral import PeripheralMailbox, Subscription
    from sage.mailbox.meta import FocusMeta
    from sage.mailbox.record import (
        RECORD,
        RECORD_BYTES,
        SUMMARY,
        pack_message,
        record_dtype,
        summarize,
        unpack_message,
    )
    from sage.mailbox.statistics import DropCounts, FocusStatistics, PeripheralStatistics
    from sage.mailbox.tensor_spec import TensorSpec

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Backend": "sage.mailbox.local.backend",
        "Batch": "sage.mailbox.contract",
        "Clock": "sage.mailbox.clock",
        "DropCounts": "sage.mailbox.statistics",
        "Fence": "sage.mailbox.local.backend",
        "FocusMailbox": "sage.mailbox.local.focus",
        "FocusMeta": "sage.mailbox.meta",
        "FocusStatistics": "sage.mailbox.statistics",
        "HostBackend": "sage.mailbox.local.backend",
        "Hub": "sage.mailbox.hub",
        "HubStatistics": "sage.mailbox.hub",
        "Lease": "sage.mailbox.handles",
        "LeaseExpired": "sage.mailbox.errors",
        "Loan": "sage.mailbox.handles",
        "MailboxClosed": "sage.mailbox.errors",
        "MailboxEmpty": "sage.mailbox.errors",
        "MailboxError": "sage.mailbox.errors",
        "MailboxFull": "sage.mailbox.errors",
        "ManualClock": "sage.mailbox.clock",
        "PeerDied": "sage.mailbox.errors",
        "PeripheralMailbox": "sage.mailbox.local.peripheral",
        "PeripheralStatistics": "sage.mailbox.statistics",
        "RECORD": "sage.mailbox.record",
        "RECORD_BYTES": "sage.mailbox.record",
        "RealClock": "sage.mailbox.clock",
        "SUMMARY": "sage.mailbox.record",
        "Subscription": "sage.mailbox.local.peripheral",
        "TensorSpec": "sage.mailbox.tensor_spec",
        "pack_message": "sage.mailbox.record",
        "record_dtype": "sage.mailbox.record",
        "summarize": "sage.mailbox.record",
        "unpack_message": "sage.mailbox.record",
    },
)

__all__ = [
    "RECORD",
    "RECORD_BYTES",
    "SUMMARY",
    "Backend",
    "Batch",
    "Clock",
    "DropCounts",
    "Fence",
    "FocusMailbox",
    "FocusMeta",
    "FocusStatistics",
    "HostBackend",
    "Hub",
    "HubStatistics",
    "Lease",
    "LeaseExpired",
    "Loan",
    "MailboxClosed",
    "MailboxEmpty",
    "MailboxError",
    "MailboxFull",
    "ManualClock",
    "PeerDied",
    "PeripheralMailbox",
    "PeripheralStatistics",
    "RealClock",
    "Subscription",
    "TensorSpec",
    "pack_message",
    "record_dtype",
    "summarize",
    "unpack_message",
]
