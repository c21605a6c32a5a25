"""Chunks of actions between the sensor that receives them and the relay that executes them.

Invariant: a step is executed at most at its own time, from a chunk that is not stale; between two chunks the
values change in equal parts over `blend_steps`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

import numpy as np

Align = Literal["observed", "received"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """values: (T, D) float32, finite.  observed_ns, received_ns: of the observation and of the answer.
    sequence: counts up.
    """

    values: np.ndarray
    observed_ns: int
    received_ns: int
    sequence: int


class ChunkBoard:
    """Holds the newest chunk. Shared through a run's connections; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chunk: Chunk | None = None
        self._num_put = 0

    def put(self, values: np.ndarray, *, observed_ns: int, received_ns: int) -> int:
        """A new chunk; its sequence."""
        with self._lock:
            sequence, self._num_put = self._num_put, self._num_put + 1
            self._chunk = Chunk(
                values=values, observed_ns=observed_ns, received_ns=received_ns, sequence=sequence
            )
        return sequence

    def newest(self) -> Chunk | None:
        with self._lock:
            return self._chunk

    def close(self) -> None:
        """The last user is gone."""
        with self._lock:
            self._chunk = None


class ChunkExecutor:
    """Which values to execute now. Used by one thread.

    step_ns: time between two steps.  execute_steps: of each chunk, from its begin.  blend_steps: over which
    the values change from one chunk's to the next one's; 0: at once.  max_age_ns: an older chunk is stale,
    by its observation.  align: a chunk's step 0 is at the time of its observation, so that the steps of its
    latency are skipped; or at the time that it was received.
    num_steps: values returned.  num_stale: chunks of which none could be executed.
    """

    def __init__(
        self,
        *,
        step_ns: int,
        execute_steps: int,
        blend_steps: int,
        max_age_ns: int,
        align: Align = "observed",
    ) -> None:
        self.num_steps = 0
        self.num_stale = 0
        self._step_ns = step_ns
        self._execute_steps = execute_steps
        self._blend_steps = blend_steps
        self._max_age_ns = max_age_ns
        self._align = align
        self._current: Chunk | None = None
        self._before: Chunk | None = None
        self._last: np.ndarray | None = None
        self._first_sequence = 0
        self._dropped_ns = -1
        self._switched_ns = 0

    def values(self, newest: Chunk | None, now_ns: int) -> np.ndarray | None:
        """(D,) for now; None without a chunk that has a step for now."""
        if newest is not None and newest.sequence >= self._first_sequence:
            self._first_sequence = newest.sequence + 1
            if self._step_of(newest, now_ns) is None:
                self.num_stale += 1
            elif newest.observed_ns > self._dropped_ns:
                self._before, self._current = self._current, newest
                self._switched_ns = now_ns
        current = None if self._current is None else self._step_of(self._current, now_ns)
        if current is None:
            self._current = self._before = self._last = None
            return None
        self._last = self._blended(current, now_ns)
        self.num_steps += 1
        return self._last

    def drop(self, now_ns: int) -> None:
        """Execute only chunks of later observations, also where an earlier one's answer is still to come."""
        self._current = self._before = self._last = None
        self._dropped_ns = max(self._dropped_ns, now_ns)

    def restart(self) -> None:
        """For a new board, whose chunks count from 0 again."""
        self._current = self._before = self._last = None
        self._first_sequence = 0

    def _blended(self, values: np.ndarray, now_ns: int) -> np.ndarray:
        passed = (now_ns - self._switched_ns) // self._step_ns
        if self._before is None or self._last is None or passed >= self._blend_steps:
            self._before = None
            return values
        old = self._step_of(self._before, now_ns)
        start = self._last if old is None else old
        share = np.float32((passed + 1) / (self._blend_steps + 1))
        mixed: np.ndarray = start + share * (values - start)
        return mixed

    def _step_of(self, chunk: Chunk, now_ns: int) -> np.ndarray | None:
        start_ns = chunk.observed_ns if self._align == "observed" else chunk.received_ns
        index = (now_ns - start_ns) // self._step_ns
        is_stale = now_ns - chunk.observed_ns > self._max_age_ns
        if is_stale or not 0 <= index < min(self._execute_steps, len(chunk.values)):
            return None
        step: np.ndarray = chunk.values[index]
        return step
