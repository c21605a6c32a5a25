"""A file that one process at a time holds locked; the lock ends with the process, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sage.app.terminal.errors import UserError


@contextmanager
def exclusive(path: Path, refusal: str) -> Iterator[None]:
    """Hold the file's lock until exit; it is created if missing. UserError(refusal) where another process
    holds it.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(refusal) from None
        yield
