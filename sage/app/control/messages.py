"""Requests and replies of the control socket: one JSON object a line, with the version of this protocol.

request: {"version": 1, "verb": "status", ...}.  reply: {"version": 1, "ok": true, "result": {...}}, or
{"version": 1, "ok": false, "error": "one line with the remedy"}.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sage.errors import DataError

VERSION = 1
#: Of one line, its end included.
MAX_LINE_BYTES = 64 << 10
SOCKET_NAME = "control.sock"


def encoded(message: dict[str, Any]) -> bytes:
    return (json.dumps({"version": VERSION, **message}, allow_nan=False) + "\n").encode()


def decoded(line: bytes) -> dict[str, Any]:
    """DataError for a line that is no message of this version, with what it is."""
    if len(line) > MAX_LINE_BYTES or not line.endswith(b"\n"):
        raise DataError(
            f"the line is cut off or longer than {MAX_LINE_BYTES} bytes: send one JSON object a line"
        )
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({str(error).splitlines()[0]}): send one JSON object a line") from None
    if not isinstance(message, dict):
        raise DataError('not a JSON object: send {"version": 1, "verb": "status"}')
    if message.get("version") != VERSION:
        raise DataError(f"version is {message.get('version')!r}: this SAGE uses {VERSION}: use the same SAGE")
    return message


@contextlib.contextmanager
def socket_address(state_dir: Path) -> Iterator[str]:
    """The socket's address, until exit. Through an open folder: a socket's path has at most 107 bytes."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)
