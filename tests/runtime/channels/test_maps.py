"""Fixed maps from a reading to what is predicted of it."""

from __future__ import annotations

import numpy as np
import pytest

from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.channels.maps import observation_map
from sage.sensors.contract import SensorSpec


def spec(shape: tuple[int, ...], dtype: str = "float32") -> SensorSpec:
    return SensorSpec(
        name="s",
        modality="physical",
        tensor=TensorSpec(shape=shape, dtype=dtype),
        period_ns=1,
        observes=("x", "u"),
    )


@pytest.mark.parametrize(
    ("shape", "dtype", "size"),
    [
        ((3,), "float32", 3),
        ((4, 4), "float32", 16),
        ((36, 64, 3), "uint8", 48),
        ((1080, 1920, 3), "uint8", 48),
        ((480, 640), "uint8", 48),
        ((2400,), "float32", 16),
        ((65,), "float32", 16),
        ((10, 10, 10), "float32", 32),
    ],
)
def test_size_is_known_from_the_spec_and_kept(shape: tuple[int, ...], dtype: str, size: int):
    observe = observation_map(spec(shape, dtype))
    assert observe.size == size
    reading = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    values = observe(reading)
    assert values.shape == (size,)
    assert values.dtype == np.float64
    assert not np.shares_memory(values, reading)


def test_a_bright_corner_is_seen_in_its_cell():
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[:10, :10] = 255
    grid = observation_map(spec((60, 80, 3), "uint8"))(picture).reshape(6, 8)
    assert grid[0, 0] == pytest.approx(255, rel=1e-6)
    assert grid.sum() == pytest.approx(255, rel=1e-6)


def test_a_tone_is_loudest_in_its_band_at_its_level():
    samples = np.sin(2 * np.pi * 1000 * np.arange(2400) / 48000).astype(np.float32)
    levels = observation_map(spec((2400,)))(samples)
    assert levels.max() == pytest.approx(0, abs=2.0)
    quiet = observation_map(spec((2400,)))(np.zeros(2400, np.float32))
    assert (quiet == -90.0).all()
