"""CoherenceMonitor: coherence figures of a running loop, a window at a time, off the tick's path.

The loop adds its tick to a window; a full one is measured in a thread of low priority, or at once where the
clock is simulated, so that equal runs have equal rows. Invariant: the loop does not use the result, and a
tick never waits for a measurement; a window that comes during one is counted and not measured.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import structlog
import torch

from sage.hrm_core.model.recurrence import Carry
from sage.mailbox.clock import Clock, ManualClock
from sage.runtime.coherence.measures import measure
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.coherence.window import Ticks, TickWindow
from sage.runtime.config import RuntimeConfig

log = structlog.get_logger("sage.runtime")
Rows = tuple[CoherenceRow, ...]
LOW_PRIORITY = 10
#: How long `close` waits for the windows in progress; their rows are lost after that.
CLOSE_SECS = 30.0


class CoherenceMonitor:
    """num_ticks: collected ones of a window, at least 8.  every_ticks: of which one is collected.
    dims: (N,) degrees of freedom of each source's NIS.
    on_rows: called on the loop's thread, from `collect` or `close`.

    is_inline: measure on the caller's thread.  num_skipped: windows that came while one was measured.
    """

    def __init__(
        self,
        num_ticks: int,
        dims: np.ndarray,
        num_features: int,
        *,
        device: torch.device,
        on_rows: Callable[[Rows], None],
        num_surrogates: int,
        seed: int,
        is_inline: bool,
        every_ticks: int = 1,
    ) -> None:
        self._window = TickWindow(num_ticks, dims, num_features, device, every_ticks)
        self._on_rows = on_rows
        self._num_surrogates = num_surrogates
        self._seed = seed
        self._is_inline = is_inline
        self._every_ticks = every_ticks
        self._requests: queue.Queue[Ticks | None] = queue.Queue(maxsize=1)
        self._results: queue.SimpleQueue[Rows] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.num_skipped = 0

    def collect(
        self,
        tick: int,
        time_ns: int,
        *,
        states: np.ndarray,
        present: np.ndarray,
        nis: np.ndarray,
        trust: np.ndarray,
        error: float,
        persistence: float,
        carry: Carry,
    ) -> None:
        """Add a tick whose turn it is (`TickWindow.add`), and pass on the rows of a window measured since."""
        if tick % self._every_ticks == 0:
            self._window.add(
                time_ns=time_ns,
                states=states,
                present=present,
                nis=nis,
                error=error,
                persistence=persistence,
                high=carry.z_H[0],
                low=carry.z_L[0],
            )
            if self._window.is_full:
                self._measure(self._window.take(tick, trust))
        self._deliver()

    def close(self) -> None:
        """Wait up to CLOSE_SECS for the windows in progress and pass on their rows; safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            deadline = time.monotonic() + CLOSE_SECS
            with contextlib.suppress(queue.Full):
                self._requests.put(None, timeout=CLOSE_SECS)
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.error("coherence: a window is still being measured at the end", secs=CLOSE_SECS)
        self._deliver()

    def _measure(self, ticks: Ticks) -> None:
        if self._is_inline:
            self._results.put(self._rows(ticks))
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sage-coherence", daemon=True)
            self._thread.start()
        try:
            self._requests.put_nowait(ticks)
        except queue.Full:
            self.num_skipped += 1

    def _deliver(self) -> None:
        while not self._results.empty():
            rows = self._results.get()
            if rows:
                self._on_rows(rows)

    def _work(self) -> None:
        lower_priority()
        while (ticks := self._requests.get()) is not None:
            self._results.put(self._rows(ticks))

    def _rows(self, ticks: Ticks) -> Rows:
        try:
            return measure(ticks, num_surrogates=self._num_surrogates, seed=self._seed)
        except Exception as error:  # the top of a thread: a window that fails costs its own rows
            log.error("coherence: a window was not measured", tick=ticks.tick, error=repr(error))
            return ()


def build_monitor(
    config: RuntimeConfig,
    dims: np.ndarray,
    clock: Clock,
    device: torch.device,
    on_rows: Callable[[Rows], None],
) -> CoherenceMonitor | None:
    """None where the configuration asks for no windows."""
    section = config.coherence
    if not section.window_ticks:
        return None
    return CoherenceMonitor(
        section.window_ticks,
        dims,
        config.model.hidden_size,
        device=device,
        on_rows=on_rows,
        num_surrogates=section.num_surrogates,
        every_ticks=section.every_ticks,
        seed=config.seed,
        is_inline=isinstance(clock, ManualClock),
    )


def lower_priority() -> None:
    """Of the calling thread, on Linux; elsewhere nothing changes."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)
