from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sage.errors import InputError
from sage.sensors.contract import Effector, SensorContext, SensorError
from sage.sensors.effectors.recording import RecordingConfig, RecordingEffector


def make(context: SensorContext, **settings: Any) -> RecordingEffector:
    effector = RecordingEffector(RecordingConfig.model_validate({"size": 2, **settings}), context)
    effector.open()
    return effector


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float32)


def test_it_is_an_effector(context: SensorContext) -> None:
    assert isinstance(make(context), Effector)


def test_values_out_of_range_are_limited(context: SensorContext) -> None:
    effector = make(context, low=-2.0, high=2.0)
    action = effector.apply(values(0.5, -3.0), 10)
    assert action.values.tolist() == [0.5, -2.0]
    assert action.is_limited
    assert not effector.apply(values(0.5, -1.0), 11).is_limited
    assert [recorded.requested.tolist() for recorded in effector.actions] == [[0.5, -3.0], [0.5, -1.0]]


def test_a_nan_is_held_at_the_last_position(context: SensorContext) -> None:
    effector = make(context)
    effector.apply(values(0.5, 0.25), 10)
    action = effector.apply(values(np.nan, 0.0), 11)
    assert action.is_held
    assert action.values.tolist() == [0.5, 0.25]


def test_after_abort_it_holds_until_it_is_opened_again(context: SensorContext) -> None:
    effector = make(context)
    effector.abort()
    assert effector.apply(values(1.0, 1.0), 10).is_held
    effector.open()
    assert not effector.apply(values(1.0, 1.0), 11).is_held


def test_only_the_latest_actions_are_recorded(context: SensorContext) -> None:
    effector = make(context, capacity=3)
    for stamp_ns in range(10):
        effector.apply(values(0.0, 0.0), stamp_ns)
    assert [recorded.done.stamp_ns for recorded in effector.actions] == [7, 8, 9]


def test_it_records_chunks_of_integers(context: SensorContext) -> None:
    effector = make(context, num_steps=3, dtype="uint8", low=0, high=200)
    action = effector.apply(np.full((3, 2), 250, dtype=np.uint8), 0)
    assert (action.values == 200).all()
    assert action.is_limited


def test_a_wrong_size_and_a_closed_effector_are_refused(context: SensorContext) -> None:
    effector = make(context)
    with pytest.raises(InputError, match=r"give \(2,\) float32"):
        effector.apply(values(0.0, 0.0, 0.0), 0)
    effector.close()
    effector.close()
    with pytest.raises(SensorError, match="open"):
        effector.apply(values(0.0, 0.0), 0)


def test_a_range_without_width_is_refused() -> None:
    with pytest.raises(ValidationError, match="give more than low"):
        RecordingConfig(low=1.0, high=1.0)
