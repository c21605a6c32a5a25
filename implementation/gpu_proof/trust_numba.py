"""The time of one step of robust fusion on the processor, for the proof: compiled where numba is installed.

`python trust_numba.py NUM_SOURCES ...` prints one JSON object: number of sources -> median microseconds of
`predict` and `update` of one filter.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np

from sage.runtime.trust.commensurable.robust_filter import RobustFilter
from sage.runtime.trust.commensurable.rules import Sources

TRANSITION = np.kron(np.eye(2), np.array([[1.0, 1.0], [0.0, 1.0]]))
PROCESS = 0.02 * np.kron(np.eye(2), np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]]))
POSITION = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0]])
START = np.diag([100.0, 1.0, 100.0, 1.0])
NUM_STEPS, NUM_WARM = 300, 50


def sources(num: int) -> Sources:
    """Of a position in the plane, as in `sage bench fusion`; deviations of 0.5 to 2."""
    return Sources(np.tile(POSITION, (num, 1, 1)), deviations(num)[:, None, None] ** 2 * np.eye(2))


def deviations(num: int) -> np.ndarray:
    """(N,)"""
    return 0.5 + np.arange(num) % 4 / 2


def tracks(num: int, num_filters: int, num_steps: int) -> np.ndarray:
    """(T, B, N, 2) readings of positions that wander. From the middle on: a jump in the first filter, a
    source that stands still in the others; a twentieth is absent.
    """
    generator = np.random.default_rng(0)
    truth = np.cumsum(0.3 * generator.standard_normal((num_steps, num_filters, 2)), axis=0)
    middle = num_steps // 2
    truth[middle:, 0] += 40.0
    noise = generator.standard_normal((num_steps, num_filters, num, 2)) * deviations(num)[:, None]
    readings: np.ndarray = truth[:, :, None] + noise
    readings[middle:, 1:, 0] = readings[middle, 1:, 0]
    readings[generator.random(readings.shape[:3]) < 0.05] = np.nan
    return readings


def step_us(num: int) -> float:
    """Median time of a step of one filter, in microseconds."""
    fusion, spent = RobustFilter(np.zeros(4), START, sources(num)), []
    for readings in tracks(num, 1, NUM_WARM + NUM_STEPS)[:, 0]:
        started = time.perf_counter_ns()
        fusion.predict(TRANSITION, PROCESS)
        fusion.update(readings)
        spent.append(time.perf_counter_ns() - started)
    return statistics.median(spent[NUM_WARM:]) / 1e3


if __name__ == "__main__":
    print(json.dumps({num: step_us(int(num)) for num in sys.argv[1:]}))
