"""The server of the control socket: a Unix socket in the state directory, for this user alone.

Invariant: it never runs on the loop's thread, and neither what a client sends nor a machine that is out of
open files for a time ends it: a bad line is one reply with its reason. The socket has mode 0600, and a client
of another user (SO_PEERCRED) is refused.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import structlog

from sage.app.control.messages import MAX_LINE_BYTES, SOCKET_NAME, decoded, encoded, socket_address
from sage.app.terminal.errors import UserError, nearest
from sage.errors import SageError

log = structlog.get_logger("sage.app")
#: Takes the request, returns the result. A SageError is the client's error line.
Verb = Callable[[dict[str, Any]], dict[str, Any]]
#: A client that sends nothing for this long is cut off.
IDLE_SECS = 10.0
MAX_CLIENTS = 8
#: Between two tries while no client can be served, for example without an open file left.
RETRY_SECS = 0.2
_CREDENTIALS = struct.Struct("3i")


class ControlServer:
    """A context manager: serves from entry to exit. `register` adds a verb, also while it serves.

    Only the session that holds the lock of the state directory may make one: a socket file that is there is
    what a session left that did not end cleanly, and is replaced. UserError when there cannot be a socket.
    """

    def __init__(self, state_dir: Path, verbs: Mapping[str, Verb], *, idle_secs: float = IDLE_SECS) -> None:
        self._state_dir = state_dir
        self._verbs = dict(verbs)
        self._idle_secs = idle_secs
        self._room = threading.Semaphore(MAX_CLIENTS)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._is_closing = threading.Event()

    @property
    def verbs(self) -> Mapping[str, Verb]:
        """Those registered so far."""
        return MappingProxyType(self._verbs)

    def register(self, name: str, verb: Verb) -> None:
        self._verbs[name] = verb

    def __enter__(self) -> ControlServer:
        self._socket = self._bound()
        self._thread = threading.Thread(target=self._accept, name="sage-control", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                (self._state_dir / SOCKET_NAME).unlink()
            with contextlib.suppress(OSError):  # wakes the thread that accepts
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
        if self._thread is not None:
            self._thread.join()

    def _bound(self) -> socket.socket:
        path = self._state_dir / SOCKET_NAME
        if path.exists() and not path.is_socket():
            raise UserError(f"{path}: not a socket: move it away")
        path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            with socket_address(self._state_dir) as address:
                server.bind(address)
            server.listen(MAX_CLIENTS)
        except OSError as error:
            server.close()
            raise UserError(
                f"{path}: {(error.strerror or str(error)).lower()}: give a --state-dir that can hold a socket"
            ) from error
        finally:
            os.umask(before)
        return server

    def _accept(self) -> None:
        server = self._socket
        assert server is not None
        before = ""
        while not self._is_closing.is_set():
            problem = self._begin_one(server)
            if problem and not self._is_closing.is_set():
                if problem != before:
                    log.error("control: a client could not be served, the next one is tried", error=problem)
                self._is_closing.wait(RETRY_SECS)
            before = problem

    def _begin_one(self, server: socket.socket) -> str:
        """Wait for a client and serve it on a thread of its own. Why that was not possible: it is closed, or
        no open file, no memory or no thread is left; "" where it was.
        """
        try:
            client, _ = server.accept()
        except OSError as error:
            return error.strerror or str(error)
        try:
            threading.Thread(
                target=self._serve, args=(client,), name="sage-control-client", daemon=True
            ).start()
        except RuntimeError as error:
            client.close()
            return str(error)
        return ""

    def _serve(self, client: socket.socket) -> None:
        """One client, until it closes, sends nothing for too long, or sends what is no message."""
        with client, contextlib.suppress(OSError):
            client.settimeout(self._idle_secs)
            refusal = self._refusal(client)
            if refusal:
                client.sendall(_failed(refusal))
                return
            if not self._room.acquire(blocking=False):
                client.sendall(_failed(f"{MAX_CLIENTS} clients are connected: close one of them"))
                return
            try:
                with client.makefile("rb") as lines:
                    while line := lines.readline(MAX_LINE_BYTES + 1):
                        reply, goes_on = self._answer(line)
                        client.sendall(reply)
                        if not goes_on:
                            return
            finally:
                self._room.release()

    def _refusal(self, client: socket.socket) -> str:
        raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, user, _ = _CREDENTIALS.unpack(raw)
        if user == os.getuid():
            return ""
        log.warning("control: a client of another user was refused", uid=user)
        return f"uid {user} may not control this session: use the account that runs it"

    def _answer(self, line: bytes) -> tuple[bytes, bool]:
        """The reply, and whether more lines may follow: after a bad one it is not known where the next
        begins.
        """
        try:
            request = decoded(line)
        except SageError as error:
            return _failed(str(error)), False
        name = request.get("verb")
        verb = self._verbs.get(name) if isinstance(name, str) else None
        if verb is None:
            return _failed(f"{name}: unknown verb: {nearest(str(name), self._verbs)}"), True
        try:
            return encoded({"ok": True, "result": verb(request)}), True
        except SageError as error:
            return _failed(" ".join(str(error).split())), True
        except Exception as error:  # a defect in a verb must not end the session that it controls
            log.exception("control: a verb failed", verb=name)
            return _failed(f"{name}: {type(error).__name__}: {error}: see the session's log"), True


def _failed(error: str) -> bytes:
    return encoded({"ok": False, "error": error})
