"""What both suites of the soak do with processes: a parent of one thread, forked writers that report lines of
JSON through a pipe, and their kill.

The parent is a process of its own that has imported everything, so that a restart takes a fraction of a
second. Invariant: a line that was cut by the kill is not read.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from io import FileIO
from typing import Any


def parent_of(script: str, *arguments: object) -> dict[str, Any]:
    """Run a script as the parent; returns the JSON of its last line. RuntimeError where it fails."""
    command = [sys.executable, script, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])}:\n{done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check_can_fork() -> None:
    """RuntimeError with more than one thread, native ones included. What exists by now is not searched for
    garbage again in every fork.
    """
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError(f"a fork needs a process of one thread: {threading.enumerate()} and native ones")
    gc.collect()
    gc.freeze()


@dataclass(slots=True, kw_only=True)
class Fork:
    """A process that was forked, and what it has written. is_ended: it has closed its pipe."""

    pid: int
    pipe: FileIO
    data: bytearray = field(default_factory=bytearray)
    is_ended: bool = False

    @classmethod
    def of(cls, work: Callable[[int], None]) -> Fork:
        """work: gets the descriptor to write lines to. Status 3 and a traceback where it raises."""
        read_end, write_end = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read_end)
            code = 0
            try:
                work(write_end)
            except BaseException:
                traceback.print_exc()
                code = 3
            os._exit(code)
        os.close(write_end)
        return cls(pid=pid, pipe=FileIO(read_end))

    def read(self, secs: float) -> bytes:
        """What comes next within `secs`; empty where nothing does, or where it has ended."""
        ready, _, _ = select.select([self.pipe], [], [], secs)
        piece: bytes = self.pipe.read(1 << 16) if ready else b""
        self.is_ended = bool(ready) and not piece
        self.data += piece
        return piece

    def read_for(self, secs: float, *, until: bytes | None = None) -> None:
        """Read for so long, or up to `until`: a full pipe would stop the writer."""
        deadline = time.monotonic() + secs
        while (left := deadline - time.monotonic()) > 0 and not self.is_ended:
            if until is not None and until in self.data:
                return
            self.read(left)

    def end(self, *, is_killed: bool) -> int:
        """Its status, once everything that it wrote has been read. is_killed: by SIGKILL, now."""
        if is_killed:
            os.kill(self.pid, signal.SIGKILL)
            while piece := self.pipe.read(1 << 16):
                self.data += piece
        self.pipe.close()
        _, status = os.waitpid(self.pid, 0)
        return status

    def lines(self) -> list[dict[str, Any]]:
        """Those that are complete."""
        return [json.loads(raw) for raw in bytes(self.data).split(b"\n")[:-1]]
