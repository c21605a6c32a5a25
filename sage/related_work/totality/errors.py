"""The errors of the store, beside InputError for a request that is wrong.

Invariant: a request that raises one of them changed nothing.
"""

from __future__ import annotations

from sage.errors import InputError, SageError
from sage.hrm_core.solving.solutions import Outcome


class UnknownId(InputError):
    """No scheme or canvas has the id."""


class Conflict(InputError):
    """The request does not fit the state of the store: another version, or nothing that could be made."""


class NothingMade(Conflict):
    """Imagination made no canvas. outcome: how it ended.  num_calls: applications of operations."""

    def __init__(self, message: str, outcome: Outcome, num_calls: int) -> None:
        super().__init__(message)
        self.outcome: Outcome = outcome
        self.num_calls = num_calls


class NotDurable(SageError):
    """The change is applied in memory, but the disk did not confirm it in time. It may be lost in a crash."""


class ServiceUnavailable(SageError):
    """A Totality service did not answer in time, or not as one."""
