"""eclipse-zenoh: two peers over a Unix socket, large payloads through its shared memory.

Invariant: reliable and blocking, so that nothing is lost. Its Python calls copy into shared memory and out of
it, so it has no way to place a tensor.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _mailbox_ends import WAIT_SECS, RecordEnds, Role, TensorEnds

POOL_MESSAGES = 8


@dataclass(frozen=True, slots=True)
class ZenohPeer:
    name: str = "zenoh shm"
    package: str = "zenoh"

    def wire(self, context: Any) -> Any:
        return tempfile.mkdtemp(prefix="sage-bench-")

    def records(self, role: Role, wiring: Any, stack: ExitStack) -> RecordEnds:
        line = _Line(role, f"{wiring}/records", stack)
        stack.callback(shutil.rmtree, wiring, ignore_errors=True)
        return RecordEnds(
            send=line.send, receive=line.receive, send_block=line.send, receive_block=line.receive
        )

    def tensors(self, role: Role, wiring: Any, num_bytes: int, stack: ExitStack) -> TensorEnds:
        import zenoh

        line = _Line(role, f"{wiring}/tensors-{num_bytes}", stack)
        provider = zenoh.shm.ShmProvider.default_backend(num_bytes * POOL_MESSAGES)
        policy = zenoh.shm.BlockOn(zenoh.shm.GarbageCollect())

        def send(array: np.ndarray) -> None:
            buffer = provider.alloc(num_bytes, policy)
            buffer[:] = array.tobytes()
            line.send(buffer)

        def take() -> tuple[float, float]:
            values = np.frombuffer(line.receive(), np.float32)
            return float(values[0]), float(values[-1])

        return TensorEnds(place=None, send=send, take=take)


class _Line:
    """One session of one station, with a way out and a way in."""

    def __init__(self, role: Role, path: str, stack: ExitStack) -> None:
        import zenoh

        config = zenoh.Config()
        endpoints = "listen/endpoints" if role == "near" else "connect/endpoints"
        config.insert_json5("mode", '"peer"')
        config.insert_json5("scouting/multicast/enabled", "false")
        config.insert_json5("transport/shared_memory/enabled", "true")
        config.insert_json5(endpoints, json.dumps([f"unixsock-stream/{path}"]))
        session = zenoh.open(config)
        stack.callback(_sweep)
        stack.callback(session.close)
        way_in = "far" if role == "near" else "near"
        self._subscriber = session.declare_subscriber(f"bench/{way_in}", zenoh.handlers.FifoChannel(1024))
        self._publisher = session.declare_publisher(
            f"bench/{role}",
            congestion_control=zenoh.CongestionControl.BLOCK,
            reliability=zenoh.Reliability.RELIABLE,
        )
        self._is_met = False

    def send(self, data: Any) -> None:
        if not self._is_met:
            self._meet()
        self._publisher.put(data)

    def receive(self) -> bytes:
        data: bytes = self._subscriber.recv().payload.to_bytes()
        return data

    def _meet(self) -> None:
        """What is put before the other has subscribed is lost."""
        deadline = time.monotonic() + WAIT_SECS
        while not self._publisher.matching_status.matching:
            if time.monotonic() > deadline:
                raise TimeoutError("zenoh: the other session did not subscribe")
            time.sleep(0.01)
        self._is_met = True


def _sweep() -> None:
    """It leaves its segments in /dev/shm: those that this process maps are taken away."""
    for path in set(re.findall(r"/dev/shm/\S+\.zenoh", Path("/proc/self/maps").read_text())):
        Path(path).unlink(missing_ok=True)
