"""Mailboxes between processes: the same semantics over memory in /dev/shm.

Invariant: importing this package imports neither torch nor numba.
"""

from sage.mailbox.shared.focus.mailbox import SharedFocus
from sage.mailbox.shared.focus.statistics import peek_statistics as peek_focus_statistics
from sage.mailbox.shared.ring.engine import describe_engine
from sage.mailbox.shared.ring.mapping import SharedPeripheral
from sage.mailbox.shared.ring.statistics import peek_statistics
from sage.mailbox.shared.ring.subscription import SharedSubscription

__all__ = [
    "SharedFocus",
    "SharedPeripheral",
    "SharedSubscription",
    "describe_engine",
    "peek_focus_statistics",
    "peek_statistics",
]
