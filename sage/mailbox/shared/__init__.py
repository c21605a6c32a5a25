"""Mailboxes between processes: the contract of `sage.mailbox.contract` over memory in /dev/shm.

The package's public names load on first use. Invariant: importing it loads neither torch nor numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sage.mailbox.shared.focus.mailbox import SharedFocus
    from sage.mailbox.shared.focus.statistics import peek_statistics as peek_focus_statistics
    from sage.mailbox.shared.memory.engine_choice import describe_engine
    from sage.mailbox.shared.ring.mapping import SharedPeripheral
    from sage.mailbox.shared.ring.statistics import peek_statistics
    from sage.mailbox.shared.ring.subscription import SharedSubscription

_PLACES = {
    "SharedFocus": ("focus.mailbox", "SharedFocus"),
    "SharedPeripheral": ("ring.mapping", "SharedPeripheral"),
    "SharedSubscription": ("ring.subscription", "SharedSubscription"),
    "describe_engine": ("memory.engine_choice", "describe_engine"),
    "peek_focus_statistics": ("focus.statistics", "peek_statistics"),
    "peek_statistics": ("ring.statistics", "peek_statistics"),
}

__all__ = [
    "SharedFocus",
    "SharedPeripheral",
    "SharedSubscription",
    "describe_engine",
    "peek_focus_statistics",
    "peek_statistics",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    value = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
