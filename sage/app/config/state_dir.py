"""The state directory: metrics, weights, snapshots, the HTTP token.

Invariant: the folder that `open_state_dir` returns exists and is writable.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sage.app.config.file_lock import exclusive
from sage.app.terminal.errors import UserError

#: The metrics store's file in a state directory.
STORE_NAME = "store.sqlite"
#: Snapshots, the journals of memories, the files of a night, the lock.
MIND_NAME, JOURNAL_NAME, SLEEP_NAME, LOCK_NAME = "mind", "journal", "sleep", "lock"
#: What sensors keep about their devices, a file for each.
CALIBRATION_NAME = "calibration"
#: The audit log of effectors.
AUDIT_NAME = "audit"
#: The trainers of puzzle streams, a folder for each stream.
SOLVING_NAME = "solving"
#: Folder of files that trackers write, one folder a session.
TRACKERS_NAME = "trackers"


def default_state_dir() -> Path:
    """The platform's state directory of this user, e.g. ~/.local/state/sage."""
    from platformdirs import user_state_dir

    return Path(user_state_dir("sage")).expanduser()


def open_state_dir(path: Path) -> Path:
    """Create the folder if missing (mode 0700) and check that it is writable; UserError otherwise."""
    remedy = "give another with --state-dir, or state_dir in the configuration"
    if path.exists() and not path.is_dir():
        raise UserError(f"state_dir: {path}: not a directory: {remedy}")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"state_dir: {path}: {(error.strerror or str(error)).lower()}: {remedy}") from None
    return path


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Until exit no other session uses the directory; UserError when one does."""
    refusal = f"state_dir: {state_dir}: another session is running here: stop it, or give another --state-dir"
    with exclusive(state_dir / LOCK_NAME, refusal):
        yield


def state_dir_of(folder: Path) -> Path | None:
    """The state directory that this folder is, or has in it two levels down; None without one."""
    path = folder.resolve()
    parts = (SLEEP_NAME, SOLVING_NAME, MIND_NAME, STORE_NAME)
    for each in (path, *path.parents[:2]):
        if (each / LOCK_NAME).is_file() and any((each / part).exists() for part in parts):
            return each
    return None


def wait_unlocked(state_dir: Path) -> None:
    """Until no session uses the directory."""
    with (state_dir / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
