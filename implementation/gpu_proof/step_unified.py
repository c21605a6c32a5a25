"""Memory that the processor, the card and a second process share: probes, a pool in both, a kernel that is
waited for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from verdict import Absent, Verdict, step_arguments

from sage.mailbox import FocusMailbox, ManualClock, RealClock
from sage.mailbox.cuda import CudaBackend, FakeDriver, UnifiedBackend, probe_device
from sage.mailbox.cuda.driver import Driver
from sage.mailbox.cuda.unified_probe import answer, probe, why_not_mapped
from sage.mailbox.shared import SharedFocus

CHILD = "--child"
COUNT = 1 << 20
SLEEP_CYCLES = 500_000_000  # about a quarter of a second


def main() -> None:
    if CHILD in sys.argv:
        _child(sys.argv[-1])
        return
    arguments, verdict = step_arguments(__doc__), Verdict()
    if arguments.fake:
        verdict.run("the probes on two fake devices", _fake_probe)
        verdict.run("a message through a shared pool on a fake device", _fake_pool)
    else:
        driver = CudaBackend().driver
        verdict.facts["probe"] = probe_device()._asdict()
        verdict.run("mapped pinned memory of host and card", lambda: _is_none(why_not_mapped(driver)))
        verdict.run("memory of two processes, registered in both", lambda: _is_none(probe_device().shared))
        verdict.run("an event of another process", lambda: _is_none(probe_device().events))
        verdict.run("a focus mailbox in mapped memory", lambda: _one_process(driver))
        verdict.run("a pool between two processes, its kernels waited for", _two_processes)
    verdict.finish()


def _is_none(reason: str | None) -> None:
    assert reason is None, reason


def _fake_probe() -> None:
    driver, other = FakeDriver(is_integrated=True), FakeDriver(is_integrated=True)

    def ask(path: Path, handle: bytes) -> str:
        answer(other, path, handle)
        return ""

    with TemporaryDirectory() as folder:
        assert probe(driver, ask, folder=Path(folder)) == (None, None, None)


def _fake_pool() -> None:
    backend = UnifiedBackend(driver=FakeDriver(is_integrated=True))
    options = {"slots": 2, "slot_bytes": 64, "engine": "plain"}
    with SharedFocus.create(_name(), clock=RealClock(), backend=backend, **options) as box:
        assert box.send(np.ones(4, np.float32), stamp_ns=0, sequence=0)
        with box.receive(timeout_secs=1.0) as lease:
            assert (lease.array == 1.0).all()
        box.unlink()


def _one_process(driver: Driver) -> None:
    torch = _torch()
    backend = CudaBackend(placement="mapped", driver=driver)
    box = FocusMailbox("mapped", clock=ManualClock(), slots=2, slot_bytes=4 * COUNT, backend=backend)
    with box.loan((COUNT,)) as loan:
        loan.array[:] = 3.0  # by the host
        loan.publish(stamp_ns=0, sequence=0)
    with box.receive(timeout_secs=1.0) as lease:
        assert float(lease.tensor.sum()) == 3.0 * COUNT  # by the card
    with box.loan((COUNT,)) as loan:
        tensor = loan.tensor
        torch.cuda._sleep(SLEEP_CYCLES)
        tensor.fill_(5.0)
        loan.publish(stamp_ns=1, sequence=1)
    with box.receive(timeout_secs=1.0) as lease:
        assert (lease.array == 5.0).all()  # the host waits for the kernel
    assert box.statistics().bytes_copied == 0


def _two_processes() -> None:
    _torch()
    name, backend = _name(), UnifiedBackend()
    box = SharedFocus.create(
        name, clock=RealClock(), slots=2, slot_bytes=4 * COUNT, policy="block", backend=backend
    )
    try:
        command = [sys.executable, str(Path(__file__)), CHILD, name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for value in range(1, 9):
            with box.receive(timeout_secs=30.0) as lease:
                tensor = lease.tensor
                assert tensor.is_cuda
                assert float(tensor.sum()) == float(value * COUNT), f"message {value} is torn"
                del tensor
        assert process.wait(30.0) == 0
        found = box.statistics()
        assert (found.bytes_copied, backend.num_orphans) == (0, 0)
    finally:
        box.close()
        box.unlink()


def _child(name: str) -> None:
    torch = _torch()
    box = SharedFocus.attach(name, clock=RealClock(), backend=UnifiedBackend())
    for value in range(1, 9):
        with box.loan((COUNT,), timeout_secs=30.0) as loan:
            tensor = loan.tensor
            torch.cuda._sleep(SLEEP_CYCLES // 10)
            tensor.fill_(float(value))
            del tensor
            loan.publish(stamp_ns=value, sequence=value)
    torch.cuda.synchronize()
    box.close()


def _name() -> str:
    return f"proof.{os.getpid()}"


def _torch():  # type: ignore[no-untyped-def]
    try:
        import torch
    except ImportError as error:
        raise Absent("no torch, whose tensors this needs") from error
    return torch


if __name__ == "__main__":
    main()
