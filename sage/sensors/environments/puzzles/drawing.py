"""Puzzles of several levels, drawn ahead on a thread so that a slow generator does not delay a tick.

Invariant: the puzzles of a level and their order depend on the seed alone; only when they are there depends
on the thread. Without a thread, as on a manual clock, `take` draws and never returns None.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sage.hrm_core.tasks.contract import Examples
from sage.sensors.environments.puzzles.level_source import LevelSource

#: With fewer puzzles than this ready, the next batch of a level is drawn.
LOW = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """cells, solution: (L,) int32."""

    cells: np.ndarray
    solution: np.ndarray


class Drawing:
    """Used by one thread. is_ahead: batches are drawn on a thread.  num_batches: begun so far, by level."""

    def __init__(self, sources: Sequence[LevelSource], *, is_ahead: bool) -> None:
        self._ready: tuple[deque[Drawn], ...] = tuple(deque() for _ in sources)
        self._coming: list[Future[Examples] | None] = [None] * len(sources)
        self.num_batches = [0] * len(sources)
        self._sources = sources
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="puzzles") if is_ahead else None

    def fill(self, level: int) -> None:
        """Draw the next batch of a level now."""
        coming, self._coming[level] = self._coming[level], None
        self._add(level, self._next_batch(level) if coming is None else coming.result())

    def prepare(self, level: int) -> None:
        """Have puzzles of this level drawn on the thread, if it has few."""
        if self._thread is None or len(self._ready[level]) >= LOW or self._coming[level] is not None:
            return
        index = self.num_batches[level]
        self.num_batches[level] += 1
        self._coming[level] = self._thread.submit(self._sources[level].batch, index)

    def take(self, level: int) -> Drawn | None:
        """The next puzzle of a level; None while it is being drawn. Raises what the generator raised."""
        ready, coming = self._ready[level], self._coming[level]
        if coming is not None and coming.done():
            self._coming[level] = None
            self._add(level, coming.result())
        if not ready and self._thread is None:
            self._add(level, self._next_batch(level))
        self.prepare(level)
        return ready.popleft() if ready else None

    def close(self) -> None:
        """A batch in progress is finished on its thread and dropped."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _next_batch(self, level: int) -> Examples:
        index = self.num_batches[level]
        self.num_batches[level] += 1
        return self._sources[level].batch(index)

    def _add(self, level: int, batch: Examples) -> None:
        rows = zip(batch.inputs.astype(np.int32), batch.answers().astype(np.int32))
        self._ready[level].extend(Drawn(cells=cells, solution=solution) for cells, solution in rows)
