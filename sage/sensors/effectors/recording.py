"""An effector that records its actions and does nothing else: for tests, and runs without a device.

Invariant: what it returns as done is finite and within its ranges.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from sage.sensors.contract import Action, SensorContext
from sage.sensors.effectors.vector import VectorConfig, VectorEffector


class RecordingConfig(VectorConfig):
    """capacity: how many of the latest actions are recorded, in memory."""

    kind: Literal["recording"] = "recording"
    effect: str = Field("record", min_length=1)
    capacity: int = Field(1024, ge=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedAction:
    """requested: the values of a call.  done: what it returned."""

    requested: np.ndarray
    done: Action


class RecordingEffector(VectorEffector):
    """Records the last `capacity` actions. After `abort` it holds until it is opened again."""

    Config = RecordingConfig

    def __init__(self, config: RecordingConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        self._actions: deque[RecordedAction] = deque(maxlen=config.capacity)

    @property
    def actions(self) -> tuple[RecordedAction, ...]:
        """Oldest first."""
        return tuple(self._actions)

    def _do(self, requested: np.ndarray, action: Action) -> None:
        self._actions.append(RecordedAction(requested=requested.copy(), done=action))
