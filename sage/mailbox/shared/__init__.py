"""Mailboxes between processes: the same semantics over memory in /dev/shm.

Invariant: importing this package imports neither torch nor numba.
"""

from sage.mailbox.shared.engine import describe_engine
from sage.mailbox.shared.focus import SharedFocus
from sage.mailbox.shared.focus_statistics import peek_statistics as peek_focus_statistics
from sage.mailbox.shared.peripheral import SharedPeripheral
from sage.mailbox.shared.ring_statistics import peek_statistics
from sage.mailbox.shared.subscription import SharedSubscription

__all__ = [
    "SharedFocus",
    "SharedPeripheral",
    "SharedSubscription",
    "describe_engine",
    "peek_focus_statistics",
    "peek_statistics",
]
