"""`sage bridge receive`: a mailbox of another host as one of this host.

Invariant: the local mailbox has the records that arrived, in order; the others are counted.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from sage.app.terminal.errors import UserError
from sage.errors import SageError
from sage.mailbox.clock import RealClock
from sage.sensors.remote.link import RemoteHost
from sage.sensors.remote.mirror import MailboxMirror


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorTotals:
    """Records of a mailbox. age_p95_ns: from a record's stamp to its arrival, of the last 1,024 messages.
    problem: of the last message that could not be read, of num_faults.
    """

    name: str
    num_received: int
    num_lost: int
    num_faults: int
    age_p95_ns: float
    problem: str


class MailboxReceiver:
    """Mirrors one mailbox until `stop` or the time limit. UserError where it cannot be mirrored."""

    def __init__(
        self,
        endpoint: str,
        host: str,
        mailbox: str,
        *,
        local_name: str | None = None,
        zenoh_config: Path | None = None,
    ) -> None:
        clock = RealClock()
        self._stopped = threading.Event()
        try:
            self._host = RemoteHost(host, endpoint, clock, zenoh_config)
            try:
                self._mirror = MailboxMirror(self._host, mailbox, clock, local_name=local_name)
            except BaseException:
                self._host.close()
                raise
        except SageError as error:
            raise UserError(str(error)) from None

    @property
    def name(self) -> str:
        """Of the local mailbox."""
        return self._mirror.name

    def run(self, seconds: float | None = None) -> MirrorTotals:
        """Receive until `stop` or for `seconds`; returns the totals. The local mailbox is closed then."""
        try:
            self._stopped.wait(seconds)
            mirror = self._mirror
            return MirrorTotals(
                name=mirror.name,
                num_received=mirror.num_received,
                num_lost=mirror.num_lost,
                num_faults=mirror.num_faults,
                age_p95_ns=mirror.age_p95_ns(),
                problem=mirror.problem,
            )
        finally:
            self._mirror.close()
            self._host.close()

    def stop(self) -> None:
        """End `run`. Safe in a signal handler and on any thread."""
        self._stopped.set()
