"""The client of the control socket, for the commands.

Invariant: whatever is at the other end, the result is the verb's, or a UserError of one line.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

from sage.app.control.hold import is_starting
from sage.app.control.messages import MAX_LINE_BYTES, SOCKET_NAME, decoded, encoded, socket_address
from sage.app.terminal.errors import UserError
from sage.errors import DataError

REPLY_SECS = 10.0


def ask(state_dir: Path, verb: str, *, reply_secs: float = REPLY_SECS, **fields: Any) -> dict[str, Any]:
    """Send one request to the session of a state directory and return its result. UserError."""
    path = state_dir / SOCKET_NAME
    line = _exchanged(path, encoded({"verb": verb, **fields}), reply_secs)
    try:
        reply = decoded(line)
    except DataError as error:
        raise UserError(f"{path}: the reply is {error}") from None
    if reply.get("ok") is not True:
        raise UserError(f"{verb}: {reply.get('error', 'failed without a reason')}")
    result = reply.get("result")
    if not isinstance(result, dict):
        raise UserError(f"{path}: the reply has no result: use the same SAGE on both sides")
    return result


def _exchanged(path: Path, request: bytes, reply_secs: float) -> bytes:
    remedy = "start one with `sage run`, or give its state directory"
    try:
        with socket_address(path.parent) as address, socket.socket(socket.AF_UNIX) as client:
            client.settimeout(reply_secs)
            client.connect(address)
            with contextlib.suppress(BrokenPipeError):  # a session that refuses answers before it has read
                client.sendall(request)
            with client.makefile("rb") as lines:
                line = lines.readline(MAX_LINE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if is_starting(path.parent):
            raise UserError(f"{path.parent}: the session is starting, or ending: ask again") from None
        raise UserError(f"{path.parent}: no session is running here: {remedy}") from None
    except ConnectionRefusedError:
        raise UserError(
            f"{path.parent}: no session is running here, the last one did not end cleanly: {remedy}"
        ) from None
    except PermissionError:
        raise UserError(f"{path}: permission denied: use the account that runs the session") from None
    except TimeoutError:
        raise UserError(
            f"{path}: no reply within {reply_secs:g} s: the session hangs: end its process if it goes on"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}: {remedy}") from None
    if not line:
        raise UserError(f"{path}: the session closed the connection: ask again")
    return line
