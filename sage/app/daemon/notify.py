"""sd_notify: one datagram a message to the service manager (systemd.service, Type=notify).

Invariant: sending never blocks and never raises; without NOTIFY_SOCKET nothing is sent. The variables are
removed from the environment, so that no worker process sends in the session's name.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

import structlog

log = structlog.get_logger("sage.app")


class Notifier:
    """address: of NOTIFY_SOCKET, "" for none; "@" in front is an abstract socket.
    watchdog_secs: the service manager ends the process without a message for this long; None: no watchdog.
    """

    def __init__(self, address: str = "", watchdog_secs: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_secs = watchdog_secs if address else None
        self._socket: socket.socket | None = None
        self._has_failed = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """Of NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which are removed."""
        address = environment.pop("NOTIFY_SOCKET", "")
        interval = environment.pop("WATCHDOG_USEC", "")
        process = environment.pop("WATCHDOG_PID", "")
        is_mine = process in ("", str(os.getpid()))
        secs = int(interval) * 1e-6 if interval.isdecimal() and int(interval) > 0 and is_mine else None
        return cls(address, secs)

    @property
    def is_connected(self) -> bool:
        return bool(self._address)

    def ready(self) -> None:
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())}")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def reloading(self) -> None:
        """`ready` ends the reload. The time is that of CLOCK_MONOTONIC in microseconds."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(
                    socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                )
            self._socket.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._has_failed:  # once: the watchdog sends often
                log.error("the service manager could not be notified", error=error.strerror or str(error))
            self._has_failed = True
        else:
            self._has_failed = False
