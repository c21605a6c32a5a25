"""The bearer token: drawn once, kept in a file that its owner alone can read.

Invariant: a token that others may have read is refused, not used.
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
    """The token in `folder` (which exists); made, mode 0600, where there is none. UserError where it is not
    safe to use.
    """
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
            raise UserError(f"{path}: not a file of yours: remove it, a new token is drawn")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise UserError(f"{path}: others may have read it: remove it, a new token is drawn")
        token = file.read(1024).strip()
        if not token:
            token = secrets.token_urlsafe(_NUM_BYTES)
            file.write(f"{token}\n")
    if len(token) < _MIN_LENGTH or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{path}: holds no token of {_MIN_LENGTH} characters or more: remove it, a new one is drawn"
        )
    return token
