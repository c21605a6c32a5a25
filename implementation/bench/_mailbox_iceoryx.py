"""iceoryx2, the fastest peer: publish and subscribe in shared memory, polled (spin) or with its event beside
it.

Invariant: lossless (no safe overflow, sends retried), samples deleted before their successor is asked for.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from _mailbox_ends import BLOCK, RECORD_BYTES, WAIT_SECS, Checker, RecordEnds, Role, TensorEnds


@dataclass(frozen=True, slots=True)
class IceoryxPeer:
    waiting: Literal["spin", "event"]
    package: str = "iceoryx2"

    @property
    def name(self) -> str:
        return f"iceoryx2 {self.waiting}"

    def wire(self, context: Any) -> Any:
        return f"sage-bench/{os.getpid()}/{self.waiting}"

    def records(self, role: Role, wiring: Any, stack: ExitStack) -> RecordEnds:
        singles = _Line(role, f"{wiring}/records", RECORD_BYTES, self.waiting, stack, num_queued=1024)
        blocks = _Line(role, f"{wiring}/blocks", BLOCK * RECORD_BYTES, self.waiting, stack, num_queued=64)
        return RecordEnds(
            send=singles.send_bytes,
            receive=singles.receive_bytes,
            send_block=blocks.send_bytes,
            check_block=blocks.check_in_place,
        )

    def tensors(self, role: Role, wiring: Any, num_bytes: int, stack: ExitStack) -> TensorEnds:
        line = _Line(role, f"{wiring}/tensors-{num_bytes}", num_bytes, self.waiting, stack, num_queued=2)
        return TensorEnds(place=line.place, send=line.send_array, take=line.take)


class _Line:
    """One way out and one way in, for messages of one size."""

    def __init__(
        self, role: Role, name: str, num_bytes: int, waiting: str, stack: ExitStack, *, num_queued: int
    ) -> None:
        import iceoryx2

        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        ways = ("there", "back") if role == "near" else ("back", "there")
        outward, inward = (_service(node, f"{name}/{way}", num_queued) for way in ways)
        retry = iceoryx2.BackpressureStrategy.RetryUntilDelivered
        publisher = (
            outward.publisher_builder().initial_max_slice_len(num_bytes).backpressure_strategy(retry).create()
        )
        subscriber = inward.subscriber_builder().buffer_size(num_queued).create()
        self._num_bytes, self._type = num_bytes, ctypes.c_uint8 * num_bytes
        self._loan, self._receive = publisher.loan_slice_uninit, subscriber.receive
        self._notify: Callable[[], object] | None = None
        self._listener: Any = None
        if waiting == "event":
            events = [node.service_builder(iceoryx2.ServiceName.new(f"{name}/{way}")).event() for way in ways]
            outward_event, inward_event = (event.open_or_create() for event in events)
            notifier = outward_event.notifier_builder().create()
            self._listener, self._notify = inward_event.listener_builder().create(), notifier.notify
            self._patience = iceoryx2.Duration.from_secs(int(WAIT_SECS))
            stack.callback(notifier.delete)
            stack.callback(self._listener.delete)
        stack.callback(subscriber.delete)
        stack.callback(publisher.delete)

    def send_bytes(self, data: bytes) -> None:
        sample = self._loan(self._num_bytes)
        ctypes.memmove(sample.payload_ptr, data, self._num_bytes)
        self._send(sample)

    def receive_bytes(self) -> bytes:
        sample = self._wait()
        data = ctypes.string_at(sample.payload_ptr, self._num_bytes)
        sample.delete()
        return data

    def check_in_place(self, checker: Checker) -> None:
        sample = self._wait()
        checker.check_at(sample.payload_ptr, self._num_bytes)
        sample.delete()

    def place(self, nonce: float) -> None:
        sample = self._loan(self._num_bytes)
        view = np.frombuffer(self._type.from_address(sample.payload_ptr), np.float32)
        view[0] = view[-1] = nonce
        self._send(sample)

    def send_array(self, array: np.ndarray) -> None:
        sample = self._loan(self._num_bytes)
        np.copyto(np.frombuffer(self._type.from_address(sample.payload_ptr), np.float32), array)
        self._send(sample)

    def take(self) -> tuple[float, float]:
        sample = self._wait()
        view = np.frombuffer(self._type.from_address(sample.payload_ptr), np.float32)
        ends = float(view[0]), float(view[-1])
        sample.delete()
        return ends

    def _send(self, sample: Any) -> None:
        sample.assume_init().send()
        if self._notify is not None:
            self._notify()

    def _wait(self) -> Any:
        receive, listener = self._receive, self._listener
        while (sample := receive()) is None:
            if listener is not None:
                listener.timed_wait(self._patience)
        return sample


def _service(node: Any, name: str, num_queued: int) -> Any:
    import iceoryx2

    builder = node.service_builder(iceoryx2.ServiceName.new(name)).publish_subscribe(
        iceoryx2.Slice[ctypes.c_uint8]
    )
    builder = (
        builder.enable_safe_overflow(False)
        .subscriber_max_buffer_size(num_queued)
        .payload_alignment(iceoryx2.Alignment.new(128))
    )
    return builder.max_publishers(1).max_subscribers(1).open_or_create()
