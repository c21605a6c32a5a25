"""A scripted test policy of `sage groot serve` for the simulated arm: it reaches the object of the episode.

It reads the observation alone: the joints' angles and the offset from the hand to the object. Nothing is
trained.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.errors import InputError
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import Observation
from sage.sensors.environments.mujoco import arm

JOINTS, TARGET, SPEEDS = "joints", "target", "joint_speeds"
_DAMPING = 0.02


class ReachPolicy:
    """Joint speeds, in parts of the greatest, by damped least squares on the jacobian; a chunk assumes that
    its steps are executed. InputError for another embodiment than `sage_arm`.

    step_angle: how far a joint turns in one step at full speed, in rad.
    """

    def __init__(self, embodiment: Embodiment, *, step_angle: float) -> None:
        states, keys = embodiment.state.dims, embodiment.action.keys
        if (
            states.get(JOINTS) != 3
            or states.get(TARGET) != 3
            or set(keys) != {SPEEDS}
            or keys[SPEEDS].dim != 3
        ):
            raise InputError(
                f"--policy reach: embodiment {embodiment.name} has not the states {JOINTS} and {TARGET} and"
                f" the action {SPEEDS} of 3 numbers each: give --embodiment sage_arm"
            )
        if not 0 < step_angle < 1:
            raise InputError(f"step_angle is {step_angle}: give rad above 0 and below 1")
        self._horizon = embodiment.action.horizon
        self._step_angle = step_angle

    @property
    def about(self) -> str:
        return "scripted policy: the hand goes to the object"

    def act(self, observation: Observation) -> dict[str, np.ndarray]:
        """{joint_speeds: (B, horizon, 3) float32 in -1..1}."""
        joints, targets = observation.state[JOINTS][:, -1], observation.state[TARGET][:, -1]
        chunks = [self._chunk(angles, offset) for angles, offset in zip(joints, targets)]
        return {SPEEDS: np.array(chunks, dtype=np.float32)}

    def reset(self, options: Any) -> dict[str, Any]:
        return {}

    def _chunk(self, angles: np.ndarray, in_hand: np.ndarray) -> list[np.ndarray]:
        q = angles.astype(np.float64)
        goal = arm.tip_of(q) + arm.from_hand(in_hand.astype(np.float64), float(q[0]))
        chunk = []
        for _ in range(self._horizon):
            jacobian, offset = arm.jacobian(q), goal - arm.tip_of(q)
            square = jacobian.dot(jacobian.T) + _DAMPING**2 * np.eye(3)
            speeds = jacobian.T.dot(np.linalg.solve(square, offset)) / self._step_angle
            speeds /= max(1.0, float(np.abs(speeds).max()))
            q = np.clip(q + speeds * self._step_angle, arm.JOINT_LOW, arm.JOINT_HIGH)
            chunk.append(speeds)
        return chunk
