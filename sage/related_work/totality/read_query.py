"""What to read from a store, and where to read on.

Invariant: a query that exists is within its limits.
"""

from __future__ import annotations

from dataclasses import dataclass

from sage.errors import InputError
from sage.related_work.totality.messages import MAX_PAGE, Order, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadQuery:
    """activation_min: 0..1.  since_ns: unix time of the change.  cursor: of the page before.  limit:
    1..1000.
    """

    activation_min: float = 0.0
    since_ns: int = 0
    scope: Scope = "all"
    order: Order = "changed"
    limit: int = 100
    cursor: str | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.activation_min <= 1.0:
            raise InputError(f"activation_min is {self.activation_min}: give a number of 0..1")
        if not 1 <= self.limit <= MAX_PAGE:
            raise InputError(f"limit is {self.limit}: give 1 to {MAX_PAGE}")

    @property
    def after(self) -> int:
        """The sequence number of the cursor; 0 without one."""
        text = self.cursor or "0"
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise InputError(f"cursor is {text[:64]!r}: give the cursor of the page before")
        return int(text)
