"""Floor 0: how modules hand each other tensors. Records for everybody, leases for whoever pays attention.

Invariant: importing this package imports no torch; a tensor's memory is never written while somebody can see
it.
"""

from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.mailbox.errors import LeaseExpired, MailboxClosed, MailboxEmpty, MailboxError, MailboxFull, PeerDied
from sage.mailbox.handles import Lease, Loan
from sage.mailbox.hub import Hub, HubStatistics
from sage.mailbox.local.backend import Backend, Fence, HostBackend
from sage.mailbox.local.focus import FocusMailbox
from sage.mailbox.local.peripheral import Batch, PeripheralMailbox, Subscription
from sage.mailbox.local.slot import FocusMeta
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
