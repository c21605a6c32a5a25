"""Peers that come with Python, torch and pyzmq: pipes, queues, queues of shared tensors, a socket.

Invariant: each is used as its documentation says a program should; none gets a loop of ours around it.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from _mailbox_ends import BLOCK, RECORD_BYTES, WAIT_SECS, RecordEnds, Role, TensorEnds


def _first_and_last(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[-1])


@dataclass(frozen=True, slots=True)
class PipePeer:
    """multiprocessing.Pipe, whole messages as bytes."""

    name: str = "Pipe"
    package: str = "multiprocessing"

    def wire(self, context: Any) -> Any:
        near, far = context.Pipe()
        return {"near": near, "far": far}

    def records(self, role: Role, wiring: Any, stack: ExitStack) -> RecordEnds:
        connection = wiring[role]
        send, receive = connection.send_bytes, connection.recv_bytes
        return RecordEnds(send=send, receive=receive, send_block=send, receive_block=receive)

    def tensors(self, role: Role, wiring: Any, num_bytes: int, stack: ExitStack) -> TensorEnds:
        connection = wiring[role]
        kept = np.empty(num_bytes // 4, np.float32)

        def take() -> tuple[float, float]:
            connection.recv_bytes_into(kept)
            return _first_and_last(kept)

        return TensorEnds(
            place=None, send=lambda array: connection.send_bytes(array.data.cast("B")), take=take
        )


@dataclass(frozen=True, slots=True)
class QueuePeer:
    """multiprocessing.Queue: pickled objects, a feeder thread."""

    name: str = "Queue"
    package: str = "multiprocessing"

    def wire(self, context: Any) -> Any:
        return {"near": context.Queue(4096), "far": context.Queue(4096)}

    def records(self, role: Role, wiring: Any, stack: ExitStack) -> RecordEnds:
        way_out, way_in = _queues(role, wiring)
        return RecordEnds(
            send=way_out.put, receive=way_in.get, send_block=way_out.put, receive_block=way_in.get
        )

    def tensors(self, role: Role, wiring: Any, num_bytes: int, stack: ExitStack) -> TensorEnds:
        way_out, way_in = _queues(role, wiring)
        return TensorEnds(place=None, send=way_out.put, take=lambda: _first_and_last(way_in.get()))


def _queues(role: Role, wiring: Any) -> tuple[Any, Any]:
    way_out, way_in = wiring[role], wiring["far" if role == "near" else "near"]
    way_out.cancel_join_thread()
    return way_out, way_in


@dataclass(frozen=True, slots=True)
class TorchPeer:
    """torch.multiprocessing: tensors through a queue. place: from a pool shared before; send: a private
    tensor.
    """

    name: str = "torch.multiprocessing"
    package: str = "torch"

    def wire(self, context: Any) -> Any:
        return {"near": context.Queue(4096), "far": context.Queue(4096)}

    def records(self, role: Role, wiring: Any, stack: ExitStack) -> RecordEnds:
        way_out, way_in = _queues(role, wiring)
        torch = _torch_on_one_thread()

        def send(data: np.ndarray) -> None:
            way_out.put(torch.from_numpy(data))

        return RecordEnds(
            send=send,
            receive=way_in.get,
            send_block=send,
            receive_block=lambda: way_in.get().numpy().tobytes(),
            prepare=_as_uint8,
            prepare_block=_as_uint8,
        )

    def tensors(self, role: Role, wiring: Any, num_bytes: int, stack: ExitStack) -> TensorEnds:
        way_out, way_in = _queues(role, wiring)
        torch = _torch_on_one_thread()
        pool = cycle([torch.zeros(num_bytes // 4).share_memory_() for _ in range(4)])

        def place(nonce: float) -> None:
            tensor = next(pool)
            tensor[0] = tensor[-1] = nonce
            way_out.put(tensor)

        def take() -> tuple[float, float]:
            return _first_and_last(way_in.get().numpy())

        return TensorEnds(place=place, send=lambda array: way_out.put(torch.from_numpy(array)), take=take)


def _as_uint8(records: np.ndarray) -> np.ndarray:
    return np.frombuffer(bytearray(records.tobytes()), np.uint8)


def _torch_on_one_thread() -> Any:
    import torch
    import torch.multiprocessing  # its pickling of tensors is what is measured

    torch.set_num_threads(1)
    return torch


@dataclass(frozen=True, slots=True)
class ZmqPeer:
    """pyzmq, PAIR sockets over ipc."""

    name: str = "zmq ipc"
    package: str = "zmq"

    def wire(self, context: Any) -> Any:
        return tempfile.mkdtemp(prefix="sage-bench-")

    def records(self, role: Role, wiring: Any, stack: ExitStack) -> RecordEnds:
        socket = self._socket(role, wiring, "records", stack)
        return RecordEnds(
            send=socket.send, receive=socket.recv, send_block=socket.send, receive_block=socket.recv
        )

    def tensors(self, role: Role, wiring: Any, num_bytes: int, stack: ExitStack) -> TensorEnds:
        socket = self._socket(role, wiring, f"tensors-{num_bytes}", stack)

        def take() -> tuple[float, float]:
            return _first_and_last(np.frombuffer(socket.recv(copy=False).buffer, np.float32))

        return TensorEnds(place=None, send=lambda array: socket.send(array, copy=False), take=take)

    def _socket(self, role: Role, folder: str, name: str, stack: ExitStack) -> Any:
        import shutil

        import zmq

        context = zmq.Context()
        socket = context.socket(zmq.PAIR)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, int(WAIT_SECS * 1e3))
        address = "ipc://" + os.path.join(folder, name)
        (socket.bind if role == "near" else socket.connect)(address)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(context.term)
        stack.callback(socket.close)
        return socket


assert (
    BLOCK * RECORD_BYTES <= 1 << 16
)  # a block fits a pipe's buffer: near may send one while far has not read yet
