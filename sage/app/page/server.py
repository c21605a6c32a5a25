"""The page's server: uvicorn in a thread beside the loop.

Invariant: the socket is bound before the thread starts, so that the address is known; whatever happens in
the thread, the session goes on.
"""

from __future__ import annotations

import errno
import socket
import threading
from types import TracebackType

import structlog

from sage.app.http.server import build_server
from sage.app.page.endpoints import Endpoints
from sage.app.page.routes import create_app
from sage.app.page.solving import PuzzleRoutes
from sage.app.terminal.errors import UserError

log = structlog.get_logger("sage.app")
HOST, PORT = "127.0.0.1", 8642
#: Ports that are tried, from the given one on.
NUM_PORTS = 20
STOP_SECS = 1


class PageServer:
    """A context manager: serves from entry to exit. port: what it listens on.

    wanted: the first port that is tried; 0: a free one. UserError where no port is free.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        token: str,
        *,
        wanted: int = PORT,
        puzzles: PuzzleRoutes | None = None,
    ) -> None:
        self._endpoints, self._puzzles = endpoints, puzzles
        self._socket = bind_from(wanted)
        self.port = int(self._socket.getsockname()[1])
        self._server = build_server(create_app(endpoints, token, puzzles), stop_secs=STOP_SECS)
        self._thread = threading.Thread(target=self._run, name="sage-page", daemon=True)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}/"

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


def bind_from(wanted: int) -> socket.socket:
    """A listening socket of the first free port from `wanted` on."""
    ports = range(wanted, min(wanted + NUM_PORTS, 65536)) if wanted else (0,)
    for port in ports:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((HOST, port))
            listening.listen(256)
        except OSError as error:
            listening.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise UserError(f"--port {port}: {(error.strerror or str(error)).lower()}") from error
            continue
        return listening
    raise UserError(
        f"--port {wanted}: the ports from {ports[0]} to {ports[-1]} are in use: give another --port"
    )
