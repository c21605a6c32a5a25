"""A mailbox whichever way it is made: inside one process, or shared between several.

Invariant: both have the same methods and errors (one conformance suite runs on both), so who uses one need
not know.
"""

from __future__ import annotations

from typing import TypeAlias

from sage.mailbox.handles import Lease, Loan
from sage.mailbox.local.focus import FocusMailbox
from sage.mailbox.local.peripheral import PeripheralMailbox
from sage.mailbox.shared.focus.mailbox import SharedFocus
from sage.mailbox.shared.lease import Lease as SharedLease
from sage.mailbox.shared.lease import Loan as SharedLoan
from sage.mailbox.shared.ring.mapping import SharedPeripheral

AnyPeripheral: TypeAlias = PeripheralMailbox | SharedPeripheral
AnyFocus: TypeAlias = FocusMailbox | SharedFocus
AnyLoan: TypeAlias = Loan | SharedLoan
AnyLease: TypeAlias = Lease | SharedLease
