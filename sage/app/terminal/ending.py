"""The end of the process, where threads of devices are still inside libraries of C, C++ or Rust.

While the interpreter is finalised, it ends a daemon thread at the thread's next step in Python. Inside a call
from Rust or C++ that aborts the whole process (SIGABRT, exit code 134), after everything was done. Invariant:
the process ends with the exit code that it was given, after all threads that are no daemons, and after the
handlers of `atexit`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn


class ProcessEnd:
    """Construct it before anything else registers a handler of `atexit`: its own is then the last one."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._code: int | None = None
        atexit.register(self._leave)

    def exit(self, code: int) -> NoReturn:
        """End the process with this code."""
        self._code = code
        sys.exit(code)

    def _leave(self) -> None:
        if self._code is None or self._pid != os.getpid():
            return
        if all(thread is threading.main_thread() for thread in threading.enumerate()):
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(self._code)
