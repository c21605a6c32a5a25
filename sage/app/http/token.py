"""The bearer token: generated once, stored in a file that only its owner can read.

Invariant: a token that other users may have read is refused.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from sage.app.terminal.errors import UserError

TOKEN_NAME = "http.token"
_NUM_BYTES = 32
_MIN_LENGTH = 16


def open_token(folder: Path) -> str:
    """The token in `folder`, which exists; without one a new token is written, mode 0600. UserError where the
    file is not safe to use."""
    path = folder / TOKEN_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(
            f"{path}: {(error.strerror or str(error)).lower()}: remove it, or give another --state-dir"
        ) from error
    with os.fdopen(descriptor, "r+", encoding="ascii", errors="replace") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            raise UserError(
                f"{path}: not a regular file of this user: remove it, and a new token is generated"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise UserError(f"{path}: other users can read it: remove it, and a new token is generated")
        token = file.read(1024).strip()
        if not token:
            token = secrets.token_urlsafe(_NUM_BYTES)
            file.write(f"{token}\n")
    if len(token) < _MIN_LENGTH or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{path}: no token of {_MIN_LENGTH} characters or more: remove it, and a new one is generated"
        )
    return token
