"""Online contexts separate regimes, are bounded, and keep their numbers."""

from __future__ import annotations

import numpy as np
import pytest

from sage.errors import DataError
from sage.memory.contexts import OnlineContexts


def regimes(num: int, dim: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num, dim))


def test_each_regime_gets_a_context_of_its_own() -> None:
    contexts, centres = OnlineContexts(8, 32), regimes(4)
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 4, 600)
    found = [contexts.assign(centres[one] + 0.3 * generator.standard_normal(32)) for one in truth]
    assert len(contexts) == 4
    for one in range(4):
        assert len({context for context, true in zip(found, truth) if true == one}) == 1


def test_contexts_are_bounded_and_one_context_is_always_0() -> None:
    contexts, one = OnlineContexts(3, 32), OnlineContexts(1, 32)
    for key in regimes(200):
        assert contexts.assign(key) < 3
        assert one.assign(key) == 0
    assert len(contexts) == 3


@pytest.mark.parametrize("key", [np.zeros(32), np.full(32, np.nan), np.full(32, np.inf)])
def test_a_key_without_direction_is_of_context_0_and_changes_nothing(key: np.ndarray) -> None:
    contexts = OnlineContexts(3, 32)
    contexts.assign(regimes(1)[0])
    before = contexts.state()
    assert contexts.assign(key) == 0
    np.testing.assert_array_equal(before["centres"], contexts.state()["centres"])


def test_restored_contexts_keep_their_numbers() -> None:
    one, two, keys = OnlineContexts(8, 32), OnlineContexts(8, 32), regimes(5)
    found = [one.assign(key) for key in keys]
    two.load_state(one.state())
    assert [two.assign(key) for key in keys] == found
    two.load_state({})
    assert len(two) == 5
    with pytest.raises(DataError):
        OnlineContexts(8, 16).load_state(one.state())
