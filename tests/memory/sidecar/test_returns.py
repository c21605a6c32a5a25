"""Returns equal their definition, over the horizon and at the end of an episode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.errors import InputError
from sage.memory.sidecar.returns import ReturnTraces


def recursion(rewards: np.ndarray, values: np.ndarray, discount: float, trace: float) -> np.ndarray:
    """G_t by its definition; values has one more entry, from which the last return starts."""
    result, onward = np.zeros(len(rewards)), values[-1]
    for t in range(len(rewards) - 1, -1, -1):
        onward = rewards[t] + discount * ((1 - trace) * values[t + 1] + trace * onward)
        result[t] = onward
    return result


@settings(max_examples=60, deadline=None)
@given(
    horizon=st.integers(1, 9),
    num=st.integers(1, 40),
    discount=st.sampled_from([0.0, 0.7, 1.0]),
    trace=st.sampled_from([0.0, 0.9, 1.0]),
    seed=st.integers(0, 100),
)
def test_a_step_leaves_with_its_truncated_return(
    horizon: int, num: int, discount: float, trace: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    rewards, values = generator.standard_normal(num), generator.standard_normal(num + 1)
    traces: ReturnTraces[int] = ReturnTraces(discount=discount, trace=trace, horizon=horizon)
    found = [traces.step(t, values[t], rewards[t - 1] if t else 99.0) for t in range(num + 1)]
    known = [each for each in found if each]
    assert [each.item for each in known] == list(range(max(0, num - horizon + 1)))
    for each in known:
        span = slice(each.item, each.item + horizon)
        expected = recursion(rewards[span], values[each.item : each.item + horizon + 1], discount, trace)[0]
        assert each.credit == pytest.approx(expected)
        assert each.value == values[each.item]


@settings(max_examples=40, deadline=None)
@given(num=st.integers(1, 8), trace=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 100))
def test_the_end_of_an_episode_credits_all_open_steps(num: int, trace: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    rewards, values = generator.standard_normal(num), np.append(generator.standard_normal(num), 0.0)
    traces: ReturnTraces[int] = ReturnTraces(discount=0.9, trace=trace, horizon=16)
    for t in range(num):
        traces.step(t, values[t], rewards[t - 1])
    ended = traces.end(rewards[-1])
    assert [each.item for each in ended] == list(range(num))
    np.testing.assert_allclose([each.credit for each in ended], recursion(rewards, values, 0.9, trace))
    assert len(traces) == 0
    assert traces.end(1.0) == []


def test_open_steps_are_bounded() -> None:
    traces: ReturnTraces[int] = ReturnTraces(horizon=5)
    for t in range(100):
        traces.step(t, 0.0, 0.0)
    assert len(traces) == 5


@pytest.mark.parametrize("wrong", [{"discount": 1.1}, {"trace": -0.1}, {"horizon": 0}])
def test_wrong_numbers_are_input_errors(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        ReturnTraces(**wrong)  # type: ignore[arg-type]
