"""Focus mailboxes in device memory, as torch uses them: real streams, real slow kernels, real graphs.

Each check is a story of tests/mailbox/cuda/test_order.py told on the card. A slow kernel is
torch.cuda._sleep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from verdict import Absent

from sage.mailbox import FocusMailbox, RealClock
from sage.mailbox.cuda import CudaBackend, CudaError
from sage.mailbox.cuda.graphs import SlotGraphs
from sage.mailbox.tensor_spec import ITEM_BYTES

SLOW_CYCLES = 40_000_000  # about 20 ms
SIZE = 1 << 20


def make_box(**options: Any) -> FocusMailbox:
    backend = CudaBackend(placement=options.pop("placement", "device"))
    return FocusMailbox(
        "proof", **{"clock": RealClock(), "slots": 2, "slot_bytes": 4 * SIZE, "backend": backend, **options}
    )


def _publish(box: FocusMailbox, value: float, *, stream: Any, is_slow: bool = False) -> int:
    with torch.cuda.stream(stream):
        loan = box.loan((SIZE,))
        if is_slow:
            torch.cuda._sleep(SLOW_CYCLES)
        loan.tensor.fill_(value)
        address: int = loan.tensor.data_ptr()
        loan.publish(stamp_ns=0, sequence=0)
    return address


def _warm_up() -> None:
    """The first use of a kernel loads it, which waits for what is running: not the mailbox's wait."""
    warm = torch.zeros(SIZE, device="cuda")
    warm.fill_(1.0).sum(dtype=torch.float64).item()
    torch.cuda._sleep(1)
    torch.cuda.synchronize()


def slow_producer_is_not_overtaken() -> None:
    box, writer, reader = make_box(), torch.cuda.Stream(), torch.cuda.Stream()
    _warm_up()
    for value in range(1, 6):
        _publish(box, value, stream=writer, is_slow=True)
        assert not writer.query(), "publish waited for the kernel"
        with torch.cuda.stream(reader), box.receive(timeout_secs=1.0) as lease:
            got = lease.tensor.sum(dtype=torch.float64)
        reader.synchronize()
        assert got.item() == value * SIZE
    assert box.statistics().bytes_copied == 0


def readers_hold_their_slot() -> None:
    box, writer, reader, sums = make_box(), torch.cuda.Stream(), torch.cuda.Stream(), []
    for value in range(1, 21):
        while box.statistics().free == 0:
            pass
        _publish(box, value, stream=writer)
        with torch.cuda.stream(reader), box.receive(timeout_secs=1.0) as lease:
            torch.cuda._sleep(SLOW_CYCLES // 20)
            sums.append((value, lease.tensor.sum(dtype=torch.float64)))
    reader.synchronize()
    assert all(got.item() == value * SIZE for value, got in sums), "a slot was written while it was read"


def dropped_writers_come_first() -> None:
    box, slow, fast = make_box(slots=1), torch.cuda.Stream(), torch.cuda.Stream()
    _publish(box, 1.0, stream=slow, is_slow=True)
    _publish(box, 2.0, stream=fast)
    with torch.cuda.stream(fast), box.receive(timeout_secs=1.0) as lease:
        got = lease.tensor.sum(dtype=torch.float64)
    fast.synchronize()
    assert got.item() == 2.0 * SIZE


def same_address_and_views_hold_the_slot() -> None:
    box, stream = make_box(slots=1), torch.cuda.Stream()
    address = _publish(box, 3.0, stream=stream)
    with torch.cuda.stream(stream):
        lease = box.receive(timeout_secs=1.0)
        kept = lease.tensor[10:20]
        assert lease.tensor.data_ptr() == address
        lease.release()
        assert box.try_loan((1,)) is None
        assert kept.sum().item() == 30.0
        del kept
    box.loan((1,), timeout_secs=5.0).discard()  # as soon as the stream has come past the last view's work


def every_dtype_travels() -> None:
    box = make_box()
    for dtype in sorted(ITEM_BYTES):
        sent = torch.arange(6, device="cuda").reshape(2, 3).to(getattr(torch, dtype))
        assert box.send(sent, stamp_ns=0, sequence=0)
        with box.receive(timeout_secs=1.0) as lease:
            assert lease.tensor.dtype == sent.dtype
            assert torch.equal(lease.tensor.to(torch.float32), sent.to(torch.float32)), dtype


def host_arrays_are_sent() -> None:
    box, sent = make_box(), torch.arange(1000.0)
    assert box.send(sent.numpy(), stamp_ns=0, sequence=0)
    with box.receive(timeout_secs=1.0) as lease:
        assert torch.equal(lease.tensor.cpu(), sent)


def push_neither_copies_nor_waits() -> None:
    from torch.profiler import ProfilerActivity, profile

    box, writer, reader = make_box(slots=4), torch.cuda.Stream(), torch.cuda.Stream()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as trace:
        for value in range(20):
            _publish(box, value, stream=writer)
            with torch.cuda.stream(reader), box.receive(timeout_secs=1.0) as lease:
                lease.tensor.add(1.0)
    names = {event.key for event in trace.key_averages()}
    wrong = [
        name for name in names if "Memcpy" in name or "memcpy" in name or name == "cudaStreamSynchronize"
    ]
    assert not wrong, f"in the profile: {wrong}"
    if not any("fill" in name.lower() or "FillFunctor" in name for name in names):
        raise Absent("the profiler saw no kernels here, so it proves nothing")


def dlpack_goes_to_cupy_and_back() -> None:
    try:
        import cupy
    except ImportError as error:
        raise Absent("no CuPy") from error
    box, writer, reader = make_box(), torch.cuda.Stream(), cupy.cuda.Stream(non_blocking=True)
    _publish(box, 5.0, stream=writer, is_slow=True)
    with reader:
        lease = box.receive(timeout_secs=1.0)
        taken = cupy.from_dlpack(lease)
        total = taken.sum(dtype=cupy.float64)
        assert float(total) == 5.0 * SIZE
        del taken
        lease.release()
    assert box.send(cupy.arange(8, dtype=cupy.float32), stamp_ns=0, sequence=0)
    with box.receive(timeout_secs=1.0) as lease:
        assert lease.tensor.tolist() == list(range(8))


def graphs_are_captured_once_a_slot() -> None:
    box, stream = make_box(slots=2), torch.cuda.Stream()
    step = torch.zeros((), device="cuda")

    def capture(tensor: torch.Tensor) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            step.add_(1.0)
            tensor.copy_(step.expand_as(tensor))
        return graph

    with torch.cuda.stream(stream):
        warm = torch.zeros(SIZE, device="cuda")
        warm.copy_(step.expand_as(warm))
    stream.synchronize()
    graphs, before = SlotGraphs(capture), None
    for number in range(1, 2001):
        with torch.cuda.stream(stream):
            loan = box.loan((SIZE,))  # the other slot: the last lease is still held
            graphs.replay(loan)
            loan.publish(stamp_ns=number, sequence=number)
            lease = box.receive(timeout_secs=1.0)
            if number % 500 == 0:
                assert lease.tensor[-1].item() == number
            if before is not None:
                before.release()
            before = lease
    assert graphs.num_captured == 2, f"{graphs.num_captured} graphs"


def a_mailbox_in_a_capture_is_refused() -> None:
    box, stream = make_box(), torch.cuda.Stream()
    loan, refused = box.loan((4,)), []
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        try:
            _ = loan.tensor
        except CudaError as error:
            refused.append(error)
        torch.zeros(1, device="cuda")
    assert len(refused) == 1


def mapped_memory_is_one_for_host_and_device() -> None:
    box = make_box(placement="mapped", slot_bytes=4096)
    loan = box.loan((8,))
    loan.array[:] = 4.0
    device_view = loan.tensor
    assert device_view.is_cuda
    device_view.add_(1.0)
    del device_view
    loan.publish(stamp_ns=0, sequence=0)
    with box.receive(timeout_secs=1.0) as lease:
        assert lease.array.tolist() == [5.0] * 8


def another_devices_tensor_is_named() -> None:
    if torch.cuda.device_count() < 2:
        raise Absent("one GPU: nothing is on another")
    told = ""
    try:
        make_box().send(torch.zeros(4, device="cuda:1"), stamp_ns=0, sequence=0)
    except ValueError as error:
        told = str(error)
    assert "cuda:1" in told, "it was taken"


def peers_read_directly_or_are_refused() -> None:
    if torch.cuda.device_count() < 2:
        raise Absent("one GPU: no peer to read it")
    first, second = CudaBackend(0), CudaBackend(1)
    try:
        first.read_by(second)
    except CudaError as error:
        raise Absent(str(error)) from error


CHECKS: tuple[Callable[[], None], ...] = (
    slow_producer_is_not_overtaken,
    readers_hold_their_slot,
    dropped_writers_come_first,
    same_address_and_views_hold_the_slot,
    every_dtype_travels,
    host_arrays_are_sent,
    push_neither_copies_nor_waits,
    dlpack_goes_to_cupy_and_back,
    graphs_are_captured_once_a_slot,
    a_mailbox_in_a_capture_is_refused,
    mapped_memory_is_one_for_host_and_device,
    another_devices_tensor_is_named,
    peers_read_directly_or_are_refused,
)
