"""A sensor of an environment: delivers what the environment puts into its queue, in order.

Invariant: a read never waits, and raises while the sensor is closed. Beyond `capacity` the oldest entries are
dropped and show as gaps in the sequence.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from sage.mailbox.clock import Clock
from sage.sensors.contract import Reading, SensorError, SensorSpec


class QueuedSensor:
    """Used by one thread, the one that uses its environment."""

    def __init__(self, spec: SensorSpec, clock: Clock, *, capacity: int = 1024) -> None:
        self._spec = spec
        self._clock = clock
        self._capacity = capacity
        self._queue: deque[tuple[int, int, np.ndarray]] = deque()
        self._num_put = 0
        self._is_open = False

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        self._is_open = True

    def clear(self) -> None:
        """Drop what is queued and count from 0 again: its environment opens or closes."""
        self._queue.clear()
        self._num_put = 0

    def put(self, values: np.ndarray) -> None:
        """Queue one reading (spec.tensor), captured now."""
        if len(self._queue) == self._capacity:
            self._queue.popleft()
        entry = np.array(values, dtype=self._spec.tensor.dtype).reshape(self._spec.tensor.shape)
        self._queue.append((self._num_put, self._clock.now_ns(), entry))
        self._num_put += 1

    def read_into(self, out: np.ndarray) -> Reading | None:
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        if not self._queue:
            return None
        sequence, captured_ns, values = self._queue.popleft()
        out[...] = values
        return Reading(
            captured_ns=captured_ns, received_ns=self._clock.now_ns(), sequence=sequence, noise_std=0.0
        )

    def close(self) -> None:
        self._is_open = False
