"""Other work on the loop's core: processes that compute without end, on the one core that the loop's thread
is held to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from sage.app.terminal.errors import UserError

NUM_PROCESSES = 4
_SPIN = """import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
while os.getppid() == int(sys.argv[2]):
    pass
"""


class BusyCore:
    """`start` and `end` on the loop's thread. The processes end with this one. UserError without Linux."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._cores: set[int] = set()

    def start(self) -> None:
        if sys.platform != "linux":
            raise UserError("starve: it needs Linux: inject another fault")
        thread = threading.get_native_id()
        self._cores = os.sched_getaffinity(thread)
        core = min(self._cores)
        os.sched_setaffinity(thread, {core})
        command = [sys.executable, "-S", "-c", _SPIN, str(core), str(os.getpid())]
        self._processes = [subprocess.Popen(command) for _ in range(NUM_PROCESSES)]

    def end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        self._processes = []
        if sys.platform == "linux":
            os.sched_setaffinity(threading.get_native_id(), self._cores)
