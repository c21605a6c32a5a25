"""A policy service on a ZeroMQ REP socket: one request at a time, as upstream.

Invariant: every message that arrives gets a reply, whatever it holds, as long as the server runs.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from sage.errors import InputError
from sage.gr00t_integration.packages import load_zmq
from sage.gr00t_integration.server.service import PolicyService
from sage.gr00t_integration.wire.limits import MAX_BYTES

#: How often a server without requests looks whether it is to stop.
POLL_SECS = 0.1


class ZmqPolicyServer:
    """Bound when it is made; `run` serves on the caller's thread. Usable with `with`.

    address: for example "tcp://127.0.0.1:5555"; "tcp://127.0.0.1:*" takes a free port.
    """

    def __init__(self, service: PolicyService, address: str) -> None:
        zmq = load_zmq()
        self._zmq: Any = zmq
        self._service = service
        self._stop = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise InputError(f"{address}: {str(error).lower()}: give another --host or --port") from error
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def run(self) -> None:
        """Serve until `stop`, or until a client's `kill` was accepted."""
        while not self._stop.is_set() and not self._service.is_ended:
            if self._socket.poll(round(POLL_SECS * 1000)):
                self._socket.send(self._service.answer(self._socket.recv()))

    def stop(self) -> None:
        """End `run` within POLL_SECS. From any thread."""
        self._stop.set()

    def close(self) -> None:
        """Give the address back. On the thread of `run`, or after it has ended; safe to call twice."""
        # A last reply, for example to `kill`, is sent before the socket closes.
        self._socket.close(linger=200)
        self._context.term()

    def __enter__(self) -> ZmqPolicyServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
