"""Whether the processor, a GPU and another process can use the same memory here, found out by doing it.

Each probe writes a random number on one side and reads it on the other. Invariant: nothing is concluded from
a device's name or attributes, and a probe raises nothing: it returns the reason.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sage.exit_status import how_it_ended
from sage.mailbox.cuda.driver import LEGACY_STREAM, Allocation, CudaError, Driver
from sage.mailbox.cuda.ipc import SHM, make_file, register_file
from sage.mailbox.cuda.views import host_view

_NUM_BYTES = 4096
_NONCE_BYTES = 16
_ANSWER = 2048  # offset of the other process's answer
_CHILD_SECS = 60.0
_EVENT_SECS = 5.0

#: Runs the other side for (path, event handle or b"") and returns its error, or "".
Ask = Callable[[Path, bytes], str]


class Probe(NamedTuple):
    """Reasons, in one line each; None where it works.  mapped: pinned memory that host and device use.
    shared: memory of two processes, registered in both.  events: an event of another process.
    """

    mapped: str | None
    shared: str | None
    events: str | None


def why_not_mapped(driver: Driver) -> str | None:
    """None if a device copy from mapped pinned memory reads what the host wrote there, and back."""
    try:
        source, target = driver.allocate_mapped(_NUM_BYTES), driver.allocate_mapped(_NUM_BYTES)
        nonce = _write(source, 0)
        driver.copy(target.address, source.address, _NUM_BYTES, LEGACY_STREAM)
        driver.synchronize(LEGACY_STREAM)  # sync: the result is compared
    except CudaError as error:
        return str(error)
    return None if _read(target, 0) == nonce else "a device copy between mapped buffers had a wrong result"


def probe(driver: Driver, ask: Ask, *, folder: Path = SHM) -> Probe:
    """All probes. ask: the other process."""
    mapped = why_not_mapped(driver)
    if mapped is not None:
        return Probe(mapped, mapped, mapped)
    path: Path | None = None
    try:
        path = make_file(_NUM_BYTES, folder)
        shared = register_file(driver, path, _NUM_BYTES)
        source = driver.allocate_mapped(_NUM_BYTES)
        nonce = _write(source, 0)
        event = driver.create_event(is_shared=True)
        driver.copy(shared.address, source.address, _NONCE_BYTES, LEGACY_STREAM)
        driver.record(event, LEGACY_STREAM)
        driver.synchronize(LEGACY_STREAM)  # sync: the other process reads it
        handle, events = _export(driver, event)
        problem = ask(path, b"")
        if not problem and _read(shared, _ANSWER) != nonce[::-1]:
            problem = "the other process's device wrote a wrong number"
        if not problem and handle:
            events = ask(path, handle) or None
    except (CudaError, OSError) as error:
        return Probe(None, str(error), str(error))
    finally:
        if path is not None:
            path.unlink(missing_ok=True)
    return Probe(None, problem or None, problem or events)


@cache
def probe_device(device: int = 0) -> Probe:
    """`probe` with the installed driver and a second process; once for each device."""
    from sage.mailbox.cuda.libcuda import LibcudaDriver

    try:
        driver = LibcudaDriver(device)
    except CudaError as error:
        return Probe(*3 * (str(error),))
    return probe(driver, lambda path, handle: _ask_process(device, path, handle))


def why_not_shared(device: int = 0) -> str | None:
    """None if processes can share a pool with the device; else the reason."""
    return probe_device(device).shared


def answer(driver: Driver, path: Path, handle: bytes) -> None:
    """The other side: read the number by the device, and write it back reversed by the device.

    handle: of an event that has passed. Raises CudaError with what does not work.
    """
    if handle:
        event = driver.open_event(handle)
        end_secs = time.monotonic() + _EVENT_SECS
        while not driver.is_done(event):
            if time.monotonic() > end_secs:
                raise CudaError("an event of another process that has passed is not seen as passed")
        return
    shared = register_file(driver, path, _NUM_BYTES)
    mine = driver.allocate_mapped(_NUM_BYTES)
    driver.copy(mine.address, shared.address, _NONCE_BYTES, LEGACY_STREAM)
    driver.synchronize(LEGACY_STREAM)  # sync: the host reads it
    host_view(mine)[_ANSWER : _ANSWER + _NONCE_BYTES] = host_view(mine)[:_NONCE_BYTES][::-1]
    driver.copy(shared.address + _ANSWER, mine.address + _ANSWER, _NONCE_BYTES, LEGACY_STREAM)
    driver.synchronize(LEGACY_STREAM)  # sync: the process ends


def _export(driver: Driver, event: int) -> tuple[bytes, str | None]:
    try:
        return driver.export_event(event), None
    except CudaError as error:
        return b"", str(error)


def _ask_process(device: int, path: Path, handle: bytes) -> str:
    command = [sys.executable, "-m", "sage.mailbox.cuda.unified_probe", str(device), str(path), handle.hex()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_CHILD_SECS)
    except subprocess.TimeoutExpired:
        return f"a second process did not answer within {_CHILD_SECS:.0f} s"
    if done.returncode == 0:
        return ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[-1] if lines else f"a second process {how_it_ended(done.returncode)}"


def _write(memory: Allocation, offset: int) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    view: Any = host_view(memory)
    view.data[offset : offset + _NONCE_BYTES] = nonce
    return nonce


def _read(memory: Allocation, offset: int) -> bytes:
    return host_view(memory)[offset : offset + _NONCE_BYTES].tobytes()


def _main() -> int:
    from sage.mailbox.cuda.libcuda import LibcudaDriver

    device, path, handle = sys.argv[1:]
    try:
        answer(LibcudaDriver(int(device)), Path(os.fsdecode(path)), bytes.fromhex(handle))
    except CudaError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
