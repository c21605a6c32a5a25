"""The arm's geometry and limits: where the tip is, and which joint targets are within the workspace.

Invariant: pure functions of numbers, without a simulator. Joints q: (3,) yaw, shoulder, elbow in rad; the
shoulder is 0 with the upper arm level and positive above, the elbow 0 with a straight arm. Positions: (3,) in
m, x ahead of the base, y to its left, z above the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.sensors.environments.mujoco.scene import FOREARM, HAND, SHOULDER_HEIGHT, UPPER_ARM

#: The ranges of yaw, shoulder and elbow in rad.
JOINT_LOW = np.array([-1.6, -0.2, -2.6])
JOINT_HIGH = np.array([1.6, 2.2, -0.1])
#: The posture in which episodes begin, but for a random part.
HOME = np.array([0.0, 1.2, -1.6])


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Where the tip may be. radius: least and largest distance from the base's axis.  height: least and
    largest, above the table.
    """

    radius: tuple[float, float]
    height: tuple[float, float]

    def excess(self, tip: np.ndarray) -> float:
        """How far `tip` is outside, in m; 0 inside."""
        radius, height = float(np.hypot(tip[0], tip[1])), float(tip[2])
        (near, far), (low, high) = self.radius, self.height
        return max(near - radius, radius - far, low - height, height - high, 0.0)


def tip_of(q: np.ndarray) -> np.ndarray:
    """The position of the tip between the fingers."""
    yaw, shoulder, elbow = q
    radius = UPPER_ARM * np.cos(shoulder) + FOREARM * np.cos(shoulder + elbow)
    height = SHOULDER_HEIGHT + UPPER_ARM * np.sin(shoulder) + FOREARM * np.sin(shoulder + elbow) - HAND
    return np.array([radius * np.cos(yaw), radius * np.sin(yaw), height])


def jacobian(q: np.ndarray) -> np.ndarray:
    """(3, 3): d tip / d q."""
    yaw, shoulder, elbow = q
    radius = UPPER_ARM * np.cos(shoulder) + FOREARM * np.cos(shoulder + elbow)
    d_shoulder = -UPPER_ARM * np.sin(shoulder) - FOREARM * np.sin(shoulder + elbow)  # of the radius
    d_elbow = -FOREARM * np.sin(shoulder + elbow)
    z_elbow = FOREARM * np.cos(shoulder + elbow)
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array(
        [
            [-radius * sin, d_shoulder * cos, d_elbow * cos],
            [radius * cos, d_shoulder * sin, d_elbow * sin],
            [0.0, radius, z_elbow],
        ]
    )


def limited(before: np.ndarray, wanted: np.ndarray, workspace: Workspace) -> np.ndarray:
    """The joint targets that are taken: `wanted` within the joints' ranges, and with the tip in the
    workspace, or at least no farther outside than `before`; else the joints that would leave it stay.
    """
    target = np.clip(wanted, JOINT_LOW, JOINT_HIGH)
    allowed = workspace.excess(tip_of(before)) + 1e-9
    if workspace.excess(tip_of(target)) <= allowed:
        return np.asarray(target)
    result = np.array(before)
    for joint in range(len(before)):
        tried = result.copy()
        tried[joint] = target[joint]
        if workspace.excess(tip_of(tried)) <= allowed:
            result = tried
    return result


def from_hand(offset: np.ndarray, yaw: float) -> np.ndarray:
    """The inverse of `to_hand`."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([cos * offset[0] - sin * offset[1], sin * offset[0] + cos * offset[1], offset[2]])


def to_hand(offset: np.ndarray, yaw: float) -> np.ndarray:
    """An offset (3,) in the hand's frame: outward from the base, to its left, up."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([cos * offset[0] + sin * offset[1], -sin * offset[0] + cos * offset[1], offset[2]])
