import numpy as np
import pytest

from sage.sensors.contract import Effector, SensorContext, SensorError
from sage.sensors.effectors.recording import RecordingConfig, RecordingEffector


def make(context: SensorContext, **settings: int) -> RecordingEffector:
    effector = RecordingEffector(RecordingConfig.model_validate({"size": 2, **settings}), context)
    effector.open()
    return effector


def test_it_is_an_effector(context: SensorContext) -> None:
    assert isinstance(make(context), Effector)


def test_what_is_out_of_range_is_limited_and_said_to_be(context: SensorContext) -> None:
    effector = make(context)
    action = effector.apply(np.array([0.5, -3.0]), 10)
    assert action.values == (0.5, -1.0)
    assert action.is_limited
    assert not effector.apply(np.array([0.5, -1.0]), 11).is_limited
    assert [act.asked for act in effector.acts] == [(0.5, -3.0), (0.5, -1.0)]


def test_nan_is_not_done_but_held(context: SensorContext) -> None:
    effector = make(context)
    effector.apply(np.array([0.5, 0.25]), 10)
    action = effector.apply(np.array([np.nan, 0.0]), 11)
    assert action.is_held
    assert action.values == (0.5, 0.25)


def test_after_abort_it_holds_until_it_is_opened_again(context: SensorContext) -> None:
    effector = make(context)
    effector.abort()
    assert effector.apply(np.array([1.0, 1.0]), 10).is_held
    effector.open()
    assert not effector.apply(np.array([1.0, 1.0]), 11).is_held


def test_only_the_latest_acts_are_kept(context: SensorContext) -> None:
    effector = make(context, capacity=3)
    for stamp_ns in range(10):
        effector.apply(np.zeros(2), stamp_ns)
    assert [act.done.stamp_ns for act in effector.acts] == [7, 8, 9]


def test_a_wrong_size_and_a_closed_effector_are_refused(context: SensorContext) -> None:
    effector = make(context)
    with pytest.raises(ValueError, match="shape"):
        effector.apply(np.zeros(3), 0)
    effector.close()
    effector.close()
    with pytest.raises(SensorError, match="open"):
        effector.apply(np.zeros(2), 0)
