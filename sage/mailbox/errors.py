"""The errors of mailboxes.

MailboxError
  MailboxFull     no free slot or no room within the timeout; try later, or choose a dropping policy
  MailboxEmpty    nothing to receive within the timeout
  MailboxClosed   this handle, or the whole mailbox, is closed
  PeerDied        the process at the other end has ended
  LeaseExpired    a loan or lease was used after its end: a bug in the calling code
"""

from __future__ import annotations

from sage.errors import SageError


class MailboxError(SageError):
    """Base class of the errors of mailboxes."""


class MailboxFull(MailboxError):
    """No free slot or no room within the timeout."""


class MailboxEmpty(MailboxError):
    """Nothing to receive within the timeout."""


class MailboxClosed(MailboxError):
    """This handle, or the whole mailbox, is closed."""


class PeerDied(MailboxError):
    """The process at the other end has ended."""


class LeaseExpired(MailboxError):
    """A loan or lease was used after its end."""
