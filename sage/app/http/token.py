"""The bearer token: generated once, stored in a file that only its owner can read.

Invariant: a token that other users may have read is refused.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from sage.app.terminal.errors import UserError
from sage.durable import digest_of

TOKEN_NAME = "http.token"
_NUM_BYTES = 32
_MIN_LENGTH = 16
#: Of a generated token: SECRET.CHECK, where the check is of the secret.
_SECRET_LENGTH, _CHECK_LENGTH = 43, 8


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
        line = file.read(1024)
        if not line.strip():
            secret = secrets.token_urlsafe(_NUM_BYTES)
            line = f"{secret}.{_check_of(secret)}\n"
            file.write(line)
    token = line.strip()
    if _is_altered(line.removesuffix("\n")):  # a flipped bit may have made a space of a digit
        raise UserError(f"{path}: altered since it was generated: remove it, and a new token is generated")
    if len(token) < _MIN_LENGTH or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{path}: no token of {_MIN_LENGTH} characters or more: remove it, and a new one is generated"
        )
    return token


def _check_of(secret: str) -> str:
    return digest_of(secret.encode())[:_CHECK_LENGTH]


def _is_altered(token: str) -> bool:
    """Whether it differs from a generated token in a few bits; a person's own token has another form."""
    secret, point, check = (
        token[:_SECRET_LENGTH],
        token[_SECRET_LENGTH : _SECRET_LENGTH + 1],
        token[_SECRET_LENGTH + 1 :][:_CHECK_LENGTH],
    )
    is_right = check == _check_of(secret)
    has_form = point == "." and len(check) == _CHECK_LENGTH
    return (is_right or has_form) and not (is_right and token == f"{secret}.{check}")
