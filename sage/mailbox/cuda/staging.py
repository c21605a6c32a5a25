"""Copies of device memory to disk and back, through pinned memory, without blocking the stream.

Invariant: a file appears under its name complete, or not at all; only one copy is queued on the caller's
stream.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from sage.durable import write_file
from sage.errors import InputError
from sage.mailbox.cuda.driver import Allocation, CudaError, Driver
from sage.mailbox.cuda.views import host_view

POLL_SECS = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    buffer: Allocation
    event: int
    num_bytes: int
    path: Path
    saved: Future[Path]


class Staging:
    """num_buffers saves can run at a time; in one more `save` the host waits for a buffer."""

    def __init__(self, driver: Driver, *, buffer_bytes: int, num_buffers: int = 2) -> None:
        if buffer_bytes < 1 or num_buffers < 1:
            raise InputError(
                f"buffer_bytes is {buffer_bytes}, num_buffers is {num_buffers}: give 1 or more of both"
            )
        self._driver = driver
        self.buffer_bytes = buffer_bytes
        self._buffers: queue.SimpleQueue[tuple[Allocation, int]] = queue.SimpleQueue()
        for _ in range(num_buffers):
            self._buffers.put((driver.allocate_mapped(buffer_bytes), driver.create_event()))
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._pause = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="cuda-staging", daemon=True)
        self._thread.start()

    def save(self, address: int, num_bytes: int, path: Path, *, stream: int) -> Future[Path]:
        """Queue a copy on `stream` and return a future of the path of the written file."""
        self._check(num_bytes)
        buffer, event = self._buffers.get()
        assert buffer.host_address is not None
        self._driver.copy(buffer.host_address, address, num_bytes, stream)
        self._driver.record(event, stream)
        saved: Future[Path] = Future()
        self._jobs.put(_Job(buffer=buffer, event=event, num_bytes=num_bytes, path=path, saved=saved))
        return saved

    def load(self, path: Path, address: int, *, stream: int) -> int:
        """Read a file and queue its copy to the device; returns its size. On return the file is read and the
        copy is queued.
        """
        num_bytes = path.stat().st_size
        self._check(num_bytes)
        buffer, event = self._buffers.get()
        try:
            with path.open("rb") as file:
                num_read = file.readinto(memoryview(host_view(buffer)[:num_bytes].data))
            if num_read != num_bytes:
                raise CudaError(
                    f"{path}: {num_read} of {num_bytes} bytes could be read: it has changed, load it again"
                )
            assert buffer.host_address is not None
            self._driver.copy(address, buffer.host_address, num_bytes, stream)
            self._driver.record(event, stream)
            self._driver.synchronize(stream)  # sync: the buffer is the next save's
        finally:
            self._buffers.put((buffer, event))
        return num_bytes

    def close(self) -> None:
        """Finish all saves. Safe to call twice."""
        self._jobs.put(None)
        self._thread.join()

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _check(self, num_bytes: int) -> None:
        if num_bytes > self.buffer_bytes:
            raise InputError(
                f"{num_bytes} bytes do not fit a buffer of {self.buffer_bytes}: raise buffer_bytes"
            )

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._finish(job)

    def _finish(self, job: _Job) -> None:
        try:
            while not self._driver.is_done(job.event):
                self._pause.wait(POLL_SECS)
            write_file(job.path, host_view(job.buffer)[: job.num_bytes].data)
            job.saved.set_result(job.path)
        except Exception as error:  # the future raises it
            job.saved.set_exception(error)
        finally:
            self._buffers.put((job.buffer, job.event))
