"""Rings and focus mailboxes on the card: every ring's kernels through the one conformance suite, tensors
through torch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from verdict import Absent, Verdict, step_arguments

from sage.mailbox import FocusMailbox, RealClock
from sage.mailbox.cuda import CudaBackend, FakeDriver
from sage.mailbox.cuda.conformance import RING_CHECKS, HostPushes, MakeRing, make_records
from sage.mailbox.cuda.driver import Driver

NUM_REPLAYS = 10_000


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()
    if arguments.fake:
        verdict.run(
            "a focus mailbox on the fake device", lambda: _hand_over(CudaBackend(driver=FakeDriver()))
        )
    else:
        _check_rings(verdict, is_short=arguments.short)
        if not arguments.short:
            _check_focus(verdict)
    verdict.finish()


def _check_rings(verdict: Verdict, *, is_short: bool) -> None:
    makers: list[tuple[str, Callable[[], MakeRing]]] = [
        ("CUDA C", _cuda_c(False)),
        ("CUDA C, mapped", _cuda_c(True)),
    ]
    for name, maker in makers if is_short else [*makers, ("Numba", _numba)]:
        for check in RING_CHECKS:
            verdict.run(f"{name}: {check.__name__}", lambda check=check, maker=maker: check(maker()))
    verdict.run("CUDA C: users' kernels push record by record", _push_each)
    if not is_short:
        verdict.run("Triton: a user's kernel pushes record by record", _triton)
    verdict.run("CUDA C: two producers on two streams lap a reader", lambda: _race(20 if is_short else 300))
    verdict.run(
        "CUDA C: captured, replayed 10,000 times, every record counted",
        lambda: _replay(50 if is_short else NUM_REPLAYS),
    )


def _check_focus(verdict: Verdict) -> None:
    if importlib.util.find_spec("torch") is None:
        verdict.run("focus mailboxes through torch", lambda: _raise(Absent("no torch")))
        return
    import torch

    if not torch.cuda.is_available():
        verdict.run(
            "focus mailboxes through torch", lambda: _raise(Absent(f"torch {torch.__version__} sees no GPU"))
        )
        return
    from torch_checks import CHECKS

    for check in CHECKS:
        verdict.run(f"focus: {check.__name__}", check)


def _driver_and_launcher(*, is_mapped: bool = False) -> tuple[Driver, Any]:
    if importlib.util.find_spec("cupy") is None:
        raise Absent("no CuPy to compile the kernels with")
    from sage.mailbox.cuda.launch import CupyLauncher

    return CudaBackend().driver, CupyLauncher(is_mapped=is_mapped)


def _cuda_c(is_mapped: bool) -> Callable[[], MakeRing]:
    made: list[tuple[Driver, Any]] = []

    def maker() -> MakeRing:
        from sage.mailbox.cuda.ring import DeviceRing

        if not made:
            made.append(_driver_and_launcher(is_mapped=is_mapped))
        driver, launcher = made[0]

        def make(**options: Any) -> HostPushes:
            return HostPushes(DeviceRing(driver=driver, launcher=launcher, is_mapped=is_mapped, **options))

        return make

    return maker


def _numba() -> MakeRing:
    if importlib.util.find_spec("numba") is None:
        raise Absent("no numba")
    from numba import cuda

    if not cuda.is_available():
        raise Absent("numba sees no GPU: numba-cuda is missing or does not fit the driver")
    if not hasattr(np, "row_stack"):
        setattr(np, "row_stack", np.vstack)  # noqa: B010  # numba-cuda 0.30 compiles nothing beside numpy 2.5, which dropped this alias
    from sage.mailbox.cuda.numba_ring import NumbaRing

    return NumbaRing


def _triton() -> None:
    if importlib.util.find_spec("triton") is None or importlib.util.find_spec("torch") is None:
        raise Absent("no triton, or no torch")
    driver, launcher = _driver_and_launcher()
    from triton_push import check

    from sage.mailbox.cuda.ring import DeviceRing

    for record_bytes in (128, 256):
        check(DeviceRing(driver=driver, launcher=launcher, capacity=512, record_bytes=record_bytes))


def _push_each() -> None:
    import cupy

    driver, launcher = _driver_and_launcher()
    from sage.mailbox.cuda.ring import DeviceRing

    ring = DeviceRing(driver=driver, launcher=launcher, capacity=1024)
    reader = ring.subscribe(max_records=1024, start="oldest")
    sent, taken = cupy.asarray(make_records(0, 1000).view(np.uint8)), cupy.zeros(1, dtype=cupy.uint32)
    cupy.cuda.Device().synchronize()
    arguments = (
        np.uint64(ring.address),
        np.uint64(sent.data.ptr),
        np.uint32(1000),
        np.uint64(taken.data.ptr),
    )
    launcher.launch("ring_push_each", 64, 256, 0, arguments)
    batch = reader.take()
    assert int(taken[0]) == len(batch) == 1000
    found = np.sort(batch.records, order="sequence")
    assert np.array_equal(found["payload"], make_records(0, 1000)["payload"])


def _race(num_rounds: int) -> None:
    """Bulk pushes of 256 into a ring of 512, from two streams at once, read all the while: nothing torn, all
    counted.
    """
    import cupy

    driver, launcher = _driver_and_launcher()
    from sage.mailbox.cuda.ring import DeviceRing

    ring = DeviceRing(driver=driver, launcher=launcher, capacity=512)
    reader = ring.subscribe(max_records=512, start="oldest")
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
    producers = [ring.producer() for _ in range(2)]
    batches = [cupy.asarray(make_records(number * 1_000_000, 256).view(np.uint8)) for number in (1, 2)]
    cupy.cuda.Device().synchronize()
    seen, num_lost, num_records = [], 0, 0
    for _ in range(num_rounds):
        for producer, batch, stream in zip(producers, batches, streams):
            producer.push_many(batch.data.ptr, 256, stream=stream.ptr)
        seen.append(reader.take(stream=streams[2].ptr))
    for stream in streams:
        stream.synchronize()
    while len(batch := reader.take(stream=streams[2].ptr)) or batch.lost:
        seen.append(batch)
    for batch in seen:
        num_lost, num_records = num_lost + batch.lost, num_records + len(batch)
        expected = (batch.records["sequence"][:, None] * 7 + np.arange(192)) % 251
        assert np.array_equal(batch.records["payload"], expected), "a torn record was delivered"
    assert num_lost + num_records == 2 * 256 * num_rounds, f"{num_records} delivered and {num_lost} lost"


def _replay(num_replays: int) -> None:
    import cupy
    from _mailbox_gpu import Card, graph_records_per_sec

    _, launcher = _driver_and_launcher()
    assert cupy.cuda.runtime.getDeviceCount()
    assert graph_records_per_sec(Card(cupy, CudaBackend(), launcher), num_replays) > 0


def _hand_over(backend: CudaBackend) -> None:
    box = FocusMailbox("proof", clock=RealClock(), slot_bytes=64, backend=backend)
    loan = box.loan((4,))
    loan.array[:] = 2.0
    loan.publish(stamp_ns=0, sequence=0)
    with box.receive(timeout_secs=1.0) as lease:
        assert (lease.array == 2.0).all()


def _raise(error: Exception) -> None:
    raise error


if __name__ == "__main__":
    main()
