"""The compiled arithmetic beside the numpy one: the same to rounding, whatever comes."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.prediction.gate import OnlineGate
from sage.runtime.prediction.linear_skip import LinearSkip

pytest.importorskip("numba", reason="the extra fast is not installed")

NUM_CHANNELS, NUM_READINGS = 12, 600


def readings() -> list[tuple[np.ndarray, np.ndarray]]:
    """(channels, values): drifting, still, jumping, huge and idle ones; all at once, a few, and in any
    order.
    """
    generator = np.random.default_rng(5)
    scale = np.array([1.0, 1.0, 1e-6, 1e6, 0.0, 1.0, 1.0, 1.0, 1e30, 1.0, 1.0, 1.0])
    values, told = np.zeros(NUM_CHANNELS), []
    for row in range(NUM_READINGS):
        values = 0.95 * values + scale * generator.normal(size=NUM_CHANNELS) * (
            generator.random(NUM_CHANNELS) < 0.9
        )
        if row % 150 == 7:
            values[:3] *= 100
        some = generator.permutation(NUM_CHANNELS)[: generator.integers(0, NUM_CHANNELS)]
        channels = np.arange(NUM_CHANNELS) if row % 3 else some
        told.append((channels, np.where(row % 97 == 5, np.nan, values[channels])))
    return told


def assert_close(compiled: np.ndarray, plain: np.ndarray) -> None:
    np.testing.assert_allclose(
        compiled, plain, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(plain).max(initial=0.0)))
    )


def test_the_linear_skip_predicts_the_same_compiled() -> None:
    compiled, plain = (LinearSkip(NUM_CHANNELS, is_compiled=each) for each in (True, False))
    for channels, values in readings():
        compiled.observe(channels, values)
        plain.observe(channels, values)
        np.testing.assert_allclose(compiled.predict(), plain.predict(), rtol=1e-9, atol=1e-12)
    for name, array in plain.state().items():
        assert_close(compiled.state()[name], array)


def test_a_loaded_state_reaches_the_compiled_step() -> None:
    told = readings()
    first, second = LinearSkip(NUM_CHANNELS, is_compiled=True), LinearSkip(NUM_CHANNELS, is_compiled=True)
    for channels, values in told[:300]:
        first.observe(channels, values)
    second.load_state(first.state())
    for channels, values in told[300:320]:
        first.observe(channels, values)
        second.observe(channels, values)
        np.testing.assert_array_equal(first.predict(), second.predict())


def test_the_gate_believes_the_same_compiled() -> None:
    generator = np.random.default_rng(6)
    compiled, plain = (OnlineGate(NUM_CHANNELS, is_compiled=each) for each in (True, False))
    for row in range(400):
        channels = generator.permutation(NUM_CHANNELS)[:5] if row % 2 else np.arange(NUM_CHANNELS)
        proposal = generator.normal(size=len(channels)) * (generator.random(len(channels)) < 0.8)
        residual = 0.6 * proposal + generator.normal(size=len(channels))
        for gate in (compiled, plain):
            gate.update(channels, residual, proposal)
        far = 5 * generator.normal(size=NUM_CHANNELS)
        np.testing.assert_allclose(compiled.weigh(far), plain.weigh(far), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(
            compiled.weigh(far[2:6], slice(2, 6)), plain.weigh(far[2:6], slice(2, 6)), rtol=1e-9, atol=1e-12
        )
    np.testing.assert_allclose(compiled.values, plain.values, rtol=1e-9, atol=1e-12)
