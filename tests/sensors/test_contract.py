"""What an effector's spec and an action allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Action, EffectorSpec, SensorSpec


def spec(**changes: Any) -> EffectorSpec:
    values: dict[str, Any] = {
        "name": "arm",
        "effect": "motion",
        "target": "arm",
        "tensor": TensorSpec(shape=(2,)),
        "low": (-1.0, 0.0),
        "high": (1.0, 10.0),
    }
    return EffectorSpec(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name, effect or target is empty"),
        ({"tensor": TensorSpec(shape=())}, "at least one dimension"),
        ({"tensor": TensorSpec(shape=(2,), dtype="bfloat16")}, "one of float32"),
        ({"tensor": TensorSpec(shape=(2,), device="cuda")}, "device 'cpu'"),
        ({"low": (0.0,)}, "not of length 2"),
        ({"channels": ("x",)}, "not of length 2"),
        ({"low": (1.0, 0.0)}, "low < high"),
        ({"high": (1.0, float("inf"))}, "finite ranges"),
        ({"high": (1.0, float("nan"))}, "finite ranges"),
        ({"timeout_secs": 0.0}, "above 0"),
    ],
)
def test_a_wrong_spec_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec(**changes)


def test_a_reading_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(InputError, match=r"camera: shape is \[100000, 100000\]: give at most 67,108,864"):
        SensorSpec(
            name="camera",
            modality="physical",
            tensor=TensorSpec(shape=(100_000, 100_000)),
            period_ns=1,
            observes=("value", "1"),
        )


def test_normalized_values_are_scaled_to_each_channels_range_and_back() -> None:
    values = spec().scaled(np.array([-1.0, 0.5], np.float32))
    assert values.tolist() == [-1.0, 7.5]
    assert spec().normalized(values).tolist() == [-1.0, 0.5]
    assert spec().scaled(np.array([3.0, -3.0])).tolist() == [1.0, 0.0]


def test_a_range_of_minus_1_to_1_changes_no_bit() -> None:
    normalized = np.tanh(np.random.default_rng(0).standard_normal(1000)).astype(np.float32)
    wide = spec(tensor=TensorSpec(shape=(1000,)), low=(-1.0,) * 1000, high=(1.0,) * 1000)
    np.testing.assert_array_equal(wide.scaled(normalized), normalized)
    np.testing.assert_array_equal(wide.normalized(normalized), normalized)


def test_a_chunk_has_ranges_for_its_last_dimension_and_integers_are_rounded() -> None:
    chunk = spec(tensor=TensorSpec(shape=(3, 2), dtype="uint8"), low=(0.0, 0.0), high=(255.0, 3.0))
    values = chunk.scaled(np.array([-1, -1, 0, 0, 1, 1], np.float32))
    assert values.dtype == np.uint8
    assert values.tolist() == [[0, 0], [128, 2], [255, 3]]
    assert chunk.size == 6


@pytest.mark.parametrize("values", [np.zeros(3, np.float32), np.zeros(2), np.zeros((2, 1), np.float32)])
def test_an_action_of_another_shape_or_dtype_is_refused(values: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"arm: values are .* give \(2,\) float32"):
        Action(spec=spec(), values=values, stamp_ns=0)


def test_flags_and_times_of_numpy_are_those_of_python() -> None:
    values = np.zeros(2, np.float32)
    action = Action(
        spec=spec(),
        values=values,
        stamp_ns=np.int64(3),
        is_held=(values > 1).any(),
        is_limited=(values < 1).any(),
    )
    found = (action.stamp_ns, action.is_held, action.is_limited)
    assert found == (3, False, True)
    assert [type(each) for each in found] == [int, bool, bool]
