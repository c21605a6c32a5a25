"""Whose fault it was, as a tree.

MailboxError
  MailboxFull     no slot or no room within the timeout; try later, or choose a dropping policy
  MailboxEmpty    nothing to receive within the timeout
  MailboxClosed   this end, or the whole mailbox, was closed
  PeerDied        the other end's process is gone
  LeaseExpired    a loan, lease or view was used after its end: a bug of the caller
"""

from __future__ import annotations

from sage.errors import SageError


class MailboxError(SageError):
    """Any fault of a mailbox."""


class MailboxFull(MailboxError):
    """No slot or no room within the timeout."""


class MailboxEmpty(MailboxError):
    """Nothing to receive within the timeout."""


class MailboxClosed(MailboxError):
    """This end, or the whole mailbox, was closed."""


class PeerDied(MailboxError):
    """The process at the other end is gone."""


class LeaseExpired(MailboxError):
    """A loan, lease or view was used after its end."""
