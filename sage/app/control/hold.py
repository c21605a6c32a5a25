"""Why effectors are held across restarts: a stop by a person, or the crash of a session.

Invariant: only `clear` ends a hold, and only a person's `sage arm` calls it. A session that did not end
cleanly leaves its marker behind, and the next one starts held. Until its effectors are opened the marker has
the word STARTING, which holds nothing: a start that was killed has moved nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sage.durable import checked_json, read_json, sync_folder, write_file
from sage.errors import DataError

HOLD_NAME, RUNNING_NAME = "hold.json", "running"
Cause = Literal["estop", "crash"]
#: After a crash an effect that changes nothing outside the program, an answer to a puzzle, is not held.
SPARED_AFTER_CRASH = ("cognitive",)
CRASHED = "the last session did not end cleanly"
#: Behind the process's number in the marker, until effectors are opened.
STARTING = "starting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """cause: "estop" holds every effector, "crash" all but those that SPARED_AFTER_CRASH names."""

    cause: Cause
    reason: str
    since_ns: int

    @property
    def spares(self) -> tuple[str, ...]:
        return SPARED_AFTER_CRASH if self.cause == "crash" else ()

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since_ns // 1_000_000_000))
        return f"{self.reason} ({since}): check the machine, then run `sage arm`"


def is_starting(state_dir: Path) -> bool:
    """Whether the marker is that of a process that runs, for a state directory without a control socket."""
    try:
        os.kill(int(_marker_words(state_dir / RUNNING_NAME)[0]), 0)
    except PermissionError:  # it runs, for another user
        return True
    except (OSError, ValueError, IndexError):
        return False
    return True


def _marker_words(marker: Path) -> list[str]:
    """The process's number and STARTING. OSError where it is not there or cannot be read."""
    return marker.read_text(encoding="utf-8", errors="replace").split()


class HoldFile:
    """The hold and the marker of a state directory."""

    def __init__(self, state_dir: Path, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._path = state_dir / HOLD_NAME
        self._marker = state_dir / RUNNING_NAME
        self._wall_ns = wall_ns
        self._has_effectors = False
        #: Whether effectors may have been opened: until then no end of the session is a crash.
        self.has_opened = False

    def read(self) -> Hold | None:
        """The hold that is in force. A file that cannot be read holds as an estop does."""
        try:
            plain = read_json(self._path, plain_keys=("cause", "reason", "since_ns"))
            cause: Cause = "crash" if plain["cause"] == "crash" else "estop"
            return Hold(cause=cause, reason=str(plain["reason"]), since_ns=int(plain["since_ns"]))
        except FileNotFoundError:
            return None
        except (OSError, DataError, ValueError, KeyError, TypeError):
            return Hold(cause="estop", reason=f"{self._path} cannot be read", since_ns=self._wall_ns())

    def begin(self, *, has_effectors: bool) -> Hold | None:
        """At the start of a session: the hold in force, one after a crash included; then leave the marker."""
        hold = self.read()
        if hold is None and self._was_opened():
            hold = self.write("crash", CRASHED)
        self._has_effectors = has_effectors
        if has_effectors:
            try:
                self._marker.write_text(f"{os.getpid()} {STARTING}\n", encoding="utf-8")
            except OSError:  # a full disk
                self.end()
                raise
        return hold

    def note_opening(self) -> None:
        """Call before effectors are opened: from now on an end of the process without `end` is a crash. On
        the disk when it returns; OSError where that fails.
        """
        if self._has_effectors:
            write_file(self._marker, f"{os.getpid()}\n".encode())
        self.has_opened = True

    def _was_opened(self) -> bool:
        """Whether a session before has left its marker after its effectors may have been opened."""
        try:
            return _marker_words(self._marker)[1:] != [STARTING]
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def end(self) -> None:
        """At the clean end of a session."""
        self._marker.unlink(missing_ok=True)

    def write(self, cause: Cause, reason: str) -> Hold:
        """On the disk when it returns. OSError where that fails."""
        hold = Hold(cause=cause, reason=reason, since_ns=self._wall_ns())
        write_file(self._path, checked_json(asdict(hold)))
        return hold

    def clear(self) -> None:
        """OSError where the file cannot be deleted."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            sync_folder(self._path.parent)
