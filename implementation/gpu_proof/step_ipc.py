"""One pool of device memory in two processes: the same bytes, a slow writer not overtaken, a dead one not
waited for.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from verdict import Absent, Verdict, step_arguments

from sage.mailbox.cuda import FakeDriver, open_driver
from sage.mailbox.cuda.driver import Driver
from sage.mailbox.cuda.ipc import PoolCache, PoolTicket, SharedPool, Watchdog

NUM_BYTES, NUM_SLOTS = 1 << 20, 2
CHILD = "--child"


def main() -> None:
    if CHILD in sys.argv:
        _child()
        return
    arguments, verdict = step_arguments(__doc__), Verdict()
    if arguments.fake:
        verdict.run("a pool on the fake device is opened once", _fake)
    else:
        verdict.run("the same bytes in another process, opened once", _same_bytes)
        verdict.run("a dead producer holds up no stream", _dead_producer)
        verdict.run("torch's expandable segments are refused", _segments_are_refused)
    verdict.finish()


def _fake() -> None:
    driver, pool = FakeDriver(), SharedPool(FakeDriver(), num_bytes=64, num_slots=1)
    cache = PoolCache(driver)
    assert cache.open(pool.ticket) is cache.open(pool.ticket)


class _Peer:
    """The child: told one word a line, it answers one line."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__)), CHILD]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._pipes: Any = (self.process.stdin, self.process.stdout)

    def tell(self, word: bytes) -> bytes:
        self._pipes[0].write(word + b"\n")
        self._pipes[0].flush()
        answer: bytes = self._pipes[1].readline()
        if not answer:
            raise AssertionError("the other process ended: see the log")
        return answer.strip()

    def ticket(self) -> PoolTicket:
        ticket: PoolTicket = pickle.loads(bytes.fromhex(self.tell(b"ticket").decode()))
        return ticket

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _same_bytes() -> None:
    peer, driver = _Peer(), open_driver()
    try:
        cache, ticket = PoolCache(driver), peer.ticket()
        pool = cache.open(ticket)
        assert cache.open(ticket) is pool
        watchdog = Watchdog(driver, on_orphan=lambda _ticket, slot: None)
        watchdog.start()
        for value in (7, 9):
            peer.tell(b"write %d" % value)
            watchdog.wait(pool, 0, stream=0)
            assert _read(driver, pool.allocation.address, 16) == bytes([value]) * 16
        watchdog.close()
    finally:
        peer.kill()


def _dead_producer() -> None:
    """Stopped while its kernel runs, then killed: our stream goes on, and the slot is named."""
    if _has_no_torch():
        raise Absent("no torch, whose sleeping kernel this needs")
    peer, driver, orphans, told = _Peer(), open_driver(), [], threading.Event()
    try:
        pool = PoolCache(driver).open(peer.ticket())

        def on_orphan(_ticket: PoolTicket, slot: int) -> None:
            orphans.append(slot)
            told.set()

        watchdog = Watchdog(driver, on_orphan=on_orphan)
        watchdog.start()
        peer.tell(b"sleep")  # a kernel of seconds, then the event of slot 1
        watchdog.wait(pool, 1, stream=0)
        peer.kill()
        assert told.wait(20.0), "the watchdog never found out"
        assert orphans == [1]
        driver.synchronize(0)
        watchdog.close()
    finally:
        peer.kill()


def _segments_are_refused() -> None:
    if _has_no_torch():
        raise Absent("no torch")
    code = (
        "import torch; from sage.mailbox.cuda import CudaError, open_driver; from sage.mailbox.cuda.ipc"
        " import export\nnumbers = torch.zeros(1 << 24, device='cuda')\nprint('expandable' if"
        " any(each['is_expandable'] for each in torch.cuda.memory_snapshot()) else 'plain')\ntry:"
        " print(export(open_driver(), numbers.data_ptr()).hex())\nexcept CudaError as error: print(error)"
    )
    setting = "expandable_segments:True"  # the first name is the one before torch 2.10
    environment = {**os.environ, "PYTORCH_CUDA_ALLOC_CONF": setting, "PYTORCH_ALLOC_CONF": setting}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if done.stdout.startswith("plain"):
        raise Absent("torch made plain segments, though it was asked for expandable ones")
    assert "expandable_segments" in done.stdout, f"{done.stdout[:200]} {done.stderr[-300:]}"


def _child() -> None:
    driver = open_driver()
    pool = SharedPool(driver, num_bytes=NUM_BYTES, num_slots=NUM_SLOTS)
    for line in sys.stdin.buffer:
        words = line.split()
        if words[0] == b"ticket":
            answer = pickle.dumps(pool.ticket).hex()
        elif words[0] == b"write":
            content = np.full(16, int(words[1]), dtype=np.uint8)
            driver.copy(pool.allocation.address, content.ctypes.data, 16, 0)
            pool.written(0, 0)
            answer = "written"
        else:
            import torch

            torch.cuda._sleep(20_000_000_000)  # about ten seconds
            pool.written(1, int(torch.cuda.current_stream().cuda_stream))
            answer = "asleep"
        print(answer, flush=True)


def _read(driver: Driver, address: int, num_bytes: int) -> bytes:
    out = np.zeros(num_bytes, dtype=np.uint8)
    driver.copy(out.ctypes.data, address, num_bytes, 0)
    driver.synchronize(0)
    return out.tobytes()


def _has_no_torch() -> bool:
    import importlib.util

    return importlib.util.find_spec("torch") is None


if __name__ == "__main__":
    main()
