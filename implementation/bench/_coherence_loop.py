"""What coherence figures cost the loop of the default configuration: CPU time of both, tick by tick.

Practice, sleep and puzzles are off, so that a tick does a tick's work and no more: the share of a whole run
is smaller. The clock is simulated, so that windows are measured on the loop's own thread.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from _sessions import session

from sage.app.config.sage_config import load_config
from sage.runtime.coherence.monitor import CoherenceMonitor

ALONE = (
    "practice.enabled=false",
    "sleep.enabled=false",
    "environments.puzzles.enabled=false",
)
NUM_WARM = 20


class _Watched:
    """CPU seconds of this thread inside `CoherenceMonitor.collect`, which adds a tick and measures a full
    window.
    """

    def __init__(self) -> None:
        self.cpu_secs, collect = 0.0, CoherenceMonitor.collect

        def timed(monitor: CoherenceMonitor, *arguments: Any, **words: Any) -> None:
            first, started = time.thread_time(), time.thread_time()
            collect(monitor, *arguments, **words)
            self.cpu_secs += time.thread_time() - started - (started - first)  # less reading the clock

        self.patch = mock.patch.object(CoherenceMonitor, "collect", timed)


def cost_in_loop(config_name: str, num_windows: int) -> dict[str, float]:
    """CPU microseconds a tick of coherence and of the rest of a tick, over whole windows; the share of the
    two, and of a tick's period.
    """
    config = load_config(config_name, ALONE)
    num_ticks = num_windows * config.coherence.window_ticks * config.coherence.every_ticks
    with tempfile.TemporaryDirectory() as folder, session(config, Path(folder)) as running:
        for _ in range(NUM_WARM):
            running.tick()
        watched = _Watched()
        with watched.patch:
            started = time.thread_time()
            for _ in range(num_ticks):
                running.tick()
            whole = time.thread_time() - started
    coherence_us = watched.cpu_secs / num_ticks * 1e6
    tick_us = (whole - watched.cpu_secs) / num_ticks * 1e6
    return {
        "windows": float(num_windows),
        "coherence_us": coherence_us,
        "tick_us": tick_us,
        "share_of_tick": coherence_us / tick_us,
        "share_of_period": coherence_us / 1e6 * config.tick.rate_hz,
    }
