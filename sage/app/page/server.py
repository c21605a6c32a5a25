"""The page's server: uvicorn in a thread beside the loop.

Invariant: the socket is bound before the thread starts, so that the address is known; whatever happens in
the thread, the session goes on.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from collections.abc import Sequence
from types import TracebackType

import structlog

from sage.app.http.guard import LOOPBACK, host_name
from sage.app.http.server import build_server
from sage.app.page.address import HOST, PORT
from sage.app.page.endpoints import Endpoints
from sage.app.page.routes import create_app
from sage.app.page.solving import PuzzleRoutes
from sage.app.terminal.errors import UserError

log = structlog.get_logger("sage.app")
#: Ports that are tried, from the given one on.
NUM_PORTS = 20
STOP_SECS = 1


class PageServer:
    """A context manager: serves from entry to exit. port: what it listens on.  is_local: only this machine
    reaches it.

    wanted: the first port that is tried; 0: a free one.  host: the address.  allowed_hosts: names in Host
    beside the loopback's and `host` itself. UserError where no port is free.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        token: str,
        *,
        wanted: int = PORT,
        puzzles: PuzzleRoutes | None = None,
        host: str = HOST,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        self._endpoints, self._puzzles = endpoints, puzzles
        self._socket = bind_from(wanted, host)
        name, self.port = self._socket.getsockname()[:2]
        address = ipaddress.ip_address(name)
        self.is_local = address.is_loopback
        self._host = HOST if address.is_unspecified else f"[{name}]" if address.version == 6 else name
        named = {host_name(each) for each in (*allowed_hosts, self._host)} - {""}
        own = set() if address.is_unspecified else {host.lower()}
        app = create_app(endpoints, token, puzzles, hosts=LOOPBACK | named | own, is_local=self.is_local)
        self._server = build_server(app, stop_secs=STOP_SECS)
        self._thread = threading.Thread(target=self._run, name="sage-page", daemon=True)

    @property
    def address(self) -> str:
        """As this machine reaches it."""
        return f"http://{self._host}:{self.port}/"

    def __enter__(self) -> PageServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._endpoints.close()
        self._server.should_exit = True
        self._thread.join(STOP_SECS + 4)
        self._socket.close()
        if self._puzzles is not None:
            self._puzzles.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception as error:  # the top of a thread: the session goes on without its page
            log.error("the page's server failed; the session goes on", error=repr(error))


def bind_from(wanted: int, host: str = HOST) -> socket.socket:
    """A listening socket of the first free port from `wanted` on. UserError where there is none, or the
    address is not this machine's.
    """
    try:
        found = socket.getaddrinfo(host, wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UserError(f"--host {host}: {error.strerror}: give an address of this machine") from error
    family, kind, protocol, _, (name, *_) = found[0]
    ports = range(wanted, min(wanted + NUM_PORTS, 65536)) if wanted else (0,)
    for port in ports:
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((name, port))
            listening.listen(256)
        except OSError as error:
            listening.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise UserError(f"--host {host}: not an address of this machine: give one that is") from error
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise UserError(f"--port {port}: {(error.strerror or str(error)).lower()}") from error
            continue
        return listening
    raise UserError(
        f"--port {wanted}: the ports from {ports[0]} to {ports[-1]} are in use: give another --port"
    )
