"""What the loop and the process of an environment send each other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sage.sensors.contract import Reading
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
