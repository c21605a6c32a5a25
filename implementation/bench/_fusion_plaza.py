"""Plaza1 and Plaza2: a mower's odometry and ranges to four radio beacons, with its position to centimetres.

The recordings of Djugash (2010) are in the gtsam package, as MATLAB files. Their ranges are metres too long:
each beacon is calibrated by a line through the first sixth of its ranges and the true distances, for all
methods alike. One configuration for both recordings and for all faults. Range and odometry noise were chosen
on Plaza2; the uncertainty after a jump and the evidence that a rejection needs were chosen on Plaza1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sage.runtime.trust.commensurable.robust_filter import RobustFilter
from sage.runtime.trust.commensurable.rules import FusionRules, Sources

RANGE_SIGMA = 0.7  # m
STEP_SIGMA, TURN_SIGMA = 0.03, 0.01  # m and rad for each odometer step
JUMP = np.diag([5.0, 5.0, 0.1]) ** 2
START = np.diag([0.5, 0.5, 0.1]) ** 2
FAULTS = ("nominal", "bias", "stuck", "odometry jump")
BIAS, SLIP = 6.0, 10.0  # m
SETTLED_SECS = 30.0
GATED = FusionRules(
    prior_inlier=math.inf, prior_scale=math.inf, gate=6.635, is_anchored=False, is_prior_judged=False
)
ROBUST = FusionRules()
PRIOR_TRUSTED = replace(ROBUST, is_prior_judged=False)


@dataclass(frozen=True)
class Plaza:
    """start: x, y, heading.  odometry: (T, 3) time, distance, turn.  ranges: (K, 3) time, beacon index, m.
    beacons: (4, 2).  truth: (T, 2) at the odometry's times.
    """

    start: np.ndarray
    odometry: np.ndarray
    ranges: np.ndarray
    beacons: np.ndarray
    truth: np.ndarray


def load_plaza(path: Path) -> Plaza:
    from scipy.io import loadmat

    found: dict[str, Any] = loadmat(str(path))
    truth, odometry, beacons = found["GT"], found["DR"], found["TL"]
    index = {int(name): row for row, name in enumerate(beacons[:, 0])}
    ranges = np.array([(time, index[int(name)], length) for time, _, name, length in found["TD"]])
    at = np.stack([np.interp(odometry[:, 0], truth[:, 0], truth[:, axis]) for axis in (1, 2)], axis=1)
    plaza = Plaza(found["DRp"][0, 1:4], odometry, ranges, beacons[:, 1:], at)
    return replace(plaza, ranges=_calibrated(plaza))


def _calibrated(plaza: Plaza) -> np.ndarray:
    ranges, times = plaza.ranges.copy(), plaza.odometry[:, 0]
    at = np.stack([np.interp(ranges[:, 0], times, axis) for axis in plaza.truth.T], axis=1)
    for beacon, place in enumerate(plaza.beacons):
        is_own = ranges[:, 1] == beacon
        known = np.flatnonzero(is_own)[: np.count_nonzero(is_own) // 6]
        line = np.polyfit(ranges[known, 2], np.linalg.norm(at[known] - place, axis=1), 1)
        ranges[is_own, 2] = np.polyval(line, ranges[is_own, 2])
    return ranges


def with_fault(plaza: Plaza, fault: str) -> Plaza:
    """In the middle third one beacon is off or repeats its last range; or a step is 10 m too long."""
    odometry, ranges = plaza.odometry.copy(), plaza.ranges.copy()
    start, stop = np.quantile(ranges[:, 0], (1 / 3, 2 / 3))
    is_hit = (ranges[:, 0] > start) & (ranges[:, 0] <= stop) & (ranges[:, 1] == 1)
    if fault == "bias":
        ranges[is_hit, 2] += BIAS
    elif fault == "stuck":
        ranges[is_hit, 2] = ranges[np.flatnonzero(is_hit)[0], 2]
    elif fault == "odometry jump":
        odometry[np.searchsorted(odometry[:, 0], start), 1] += SLIP
    return replace(plaza, odometry=odometry, ranges=ranges)


def position_error(plaza: Plaza, rules: FusionRules) -> tuple[float, int, float]:
    """Root mean square distance over the recording, in m, how often the prediction was rejected, and the
    distance from 30 s after the begin of the faults.
    """
    sources = Sources(np.zeros((4, 1, 3)), np.full((4, 1, 1), RANGE_SIGMA**2), quantity=list("abcd"))
    fusion = RobustFilter(plaza.start, START, sources, rules, jump=JUMP, is_compiled=False)
    noise = np.diag([STEP_SIGMA, STEP_SIGMA, TURN_SIGMA]) ** 2
    measure, position, row = _ranges_of(plaza.beacons), np.empty_like(plaza.truth), 0
    for step, (time, distance, turn) in enumerate(plaza.odometry.tolist()):
        fusion.predict(_motion(distance, turn), noise)
        while row < len(plaza.ranges) and plaza.ranges[row, 0] <= time:
            readings = np.full((4, 1), np.nan)
            readings[int(plaza.ranges[row, 1])] = plaza.ranges[row, 2]
            fusion.update(readings, measure)
            row += 1
        position[step] = fusion.state[:2]
    square = ((position - plaza.truth) ** 2).sum(axis=1)
    is_settled = plaza.odometry[:, 0] > np.quantile(plaza.ranges[:, 0], 1 / 3) + SETTLED_SECS
    return float(np.sqrt(square.mean())), fusion.num_jumps, float(np.sqrt(square[is_settled].mean()))


def _motion(distance: float, turn: float) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    def move(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        heading = state[2] + turn / 2
        step = distance * np.array([math.cos(heading), math.sin(heading)])
        jacobian = np.eye(3)
        jacobian[0, 2], jacobian[1, 2] = -step[1], step[0]
        return np.array([state[0] + step[0], state[1] + step[1], state[2] + turn]), jacobian

    return move


def _ranges_of(beacons: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    def measure(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = state[:2] - beacons
        length = np.maximum(np.sqrt((offset**2).sum(axis=1)), 0.1)[:, None]
        jacobian = np.zeros((len(beacons), 1, 3))
        jacobian[:, 0, :2] = offset / length
        return length, jacobian

    return measure
