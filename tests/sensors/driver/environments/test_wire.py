"""What the loop and the process of an environment send each other."""

from __future__ import annotations

import dataclasses
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorSpec, SourceExhausted
from sage.sensors.driver.environments.remote import _Inbox
from sage.sensors.driver.environments.wire import pack_reading, unpack_reading

DEGRADED = Reading(
    captured_ns=-5, received_ns=7, sequence=3, noise_std=0.25, quality=0.5, confidence=0.75,
    health="2 of 9 frames \u00fcber limit",
)  # fmt: skip


@pytest.mark.parametrize("size", [0, 3])
@pytest.mark.parametrize("health", [DEGRADED.health, ""])
def test_a_reading_arrives_whole(health: str, size: int) -> None:
    reading = dataclasses.replace(DEGRADED, health=health)
    values = np.arange(size, dtype=np.float32)
    found, body = unpack_reading(pack_reading(reading, values.tobytes()))
    assert found == reading
    assert np.array_equal(np.frombuffer(body, np.float32), values)


class LastArrival(deque[Any]):
    """An inbox in which the last reading and the end arrive just after it was found empty."""

    def __init__(self, process: SimpleNamespace) -> None:
        super().__init__()
        self._process = process

    def __len__(self) -> int:
        found = super().__len__()
        if not self._process.is_exhausted[0]:
            self.append((DEGRADED, np.ones(2, np.float32).tobytes()))
            self._process.is_exhausted[0] = True
        return found


def test_the_last_reading_before_the_end_is_delivered() -> None:
    process = SimpleNamespace(is_exhausted=[False])
    process.inboxes = (LastArrival(process),)
    spec = SensorSpec(
        name="a", modality="physical", tensor=TensorSpec(shape=(2,)), period_ns=1, observes=("a", "1")
    )
    inbox: Any = _Inbox(process, 0, spec)  # type: ignore[arg-type]
    out = np.zeros(2, np.float32)
    assert inbox.read_into(out) is None
    assert inbox.read_into(out) == DEGRADED
    with pytest.raises(SourceExhausted):
        inbox.read_into(out)
