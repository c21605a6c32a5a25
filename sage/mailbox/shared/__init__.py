"""Mailboxes between processes: the contract of `sage.mailbox.contract` over memory in /dev/shm.

The package's public names load on first use. Invariant: importing it loads neither torch nor numba.
"""

from typing import TYPE_CHECKING

from sage.lazy import lazy_face

if TYPE_CHECKING:
    from sage.mailbox.shared.focus.mailbox import SharedFocus
    from sage.mailbox.shared.focus.statistics import peek_statistics as peek_focus_statistics
    from sage.mailbox.shared.memory.engine_choice import describe_engine
    from sage.mailbox.shared.ring.mapping import SharedPeripheral
    from sage.mailbox.shared.ring.statistics import peek_statistics
    from sage.mailbox.shared.ring.subscription import SharedSubscription

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "SharedFocus": "sage.mailbox.shared.focus.mailbox",
        "SharedPeripheral": "sage.mailbox.shared.ring.mapping",
        "SharedSubscription": "sage.mailbox.shared.ring.subscription",
        "describe_engine": "sage.mailbox.shared.memory.engine_choice",
        "peek_focus_statistics": "sage.mailbox.shared.focus.statistics:peek_statistics",
        "peek_statistics": "sage.mailbox.shared.ring.statistics",
    },
)

__all__ = [
    "SharedFocus",
    "SharedPeripheral",
    "SharedSubscription",
    "describe_engine",
    "peek_focus_statistics",
    "peek_statistics",
]
