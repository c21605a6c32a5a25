"""Mailboxes: records for every subscriber, tensors by reference for one receiver at a time.

The package's public names load on first use. Invariant: importing it loads neither torch nor numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_MODULES = {
    "RECORD": "record",
    "RECORD_BYTES": "record",
    "SUMMARY": "record",
    "Backend": "local.backend",
    "Batch": "contract",
    "Clock": "clock",
    "DropCounts": "statistics",
    "Fence": "local.backend",
    "FocusMailbox": "local.focus",
    "FocusMeta": "meta",
    "FocusStatistics": "statistics",
    "HostBackend": "local.backend",
    "Hub": "hub",
    "HubStatistics": "hub",
    "Lease": "handles",
    "LeaseExpired": "errors",
    "Loan": "handles",
    "MailboxClosed": "errors",
    "MailboxEmpty": "errors",
    "MailboxError": "errors",
    "MailboxFull": "errors",
    "ManualClock": "clock",
    "PeerDied": "errors",
    "PeripheralMailbox": "local.peripheral",
    "PeripheralStatistics": "statistics",
    "RealClock": "clock",
    "Subscription": "local.peripheral",
    "TensorSpec": "tensor_spec",
    "pack_message": "record",
    "record_dtype": "record",
    "summarize": "record",
    "unpack_message": "record",
}

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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
