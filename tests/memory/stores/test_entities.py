"""Who was right in what context, with back-off to all contexts together."""

from __future__ import annotations

import numpy as np
import pytest

from sage.errors import DataError, InputError
from sage.memory.stores.entities import BACK_OFF, PRIOR_RIGHT, PRIOR_WRONG, EntityMemory, beta_interval

PRIOR = PRIOR_RIGHT / (PRIOR_RIGHT + PRIOR_WRONG)


def judge(memory: EntityMemory, name: str, right: float, num: int, context: int = 0) -> None:
    for _ in range(num):
        memory.judge([name], np.array([right]), context)


def test_trust_is_of_the_context_where_it_is_known() -> None:
    memory = EntityMemory(3)
    judge(memory, "gps", 1.0, 200, context=0)
    judge(memory, "gps", 0.0, 200, context=1)
    assert memory.trust("gps", 0) > 0.95
    assert memory.trust("gps", 1) < 0.05
    assert memory.trust("gps", 2) == pytest.approx(0.5, abs=0.1)  # never seen there: all contexts together


def test_a_new_name_has_the_prior_and_few_judgements_back_off() -> None:
    memory = EntityMemory()
    assert memory.trust("new") == PRIOR
    judge(memory, "imu", 0.0, 1)
    whole = PRIOR_RIGHT / (PRIOR_RIGHT + PRIOR_WRONG + 1)
    assert memory.trust("imu") == pytest.approx(BACK_OFF * whole / (1 + BACK_OFF))


def test_undefined_judgements_count_nothing() -> None:
    memory = EntityMemory()
    memory.judge(["a", "b"], np.array([np.nan, 0.25]))
    assert [each.name for each in memory.records()] == ["b"]
    assert (memory.records()[0].right, memory.records()[0].wrong) == (0.25, 0.75)


def test_records_are_least_trusted_first_with_their_contexts() -> None:
    memory = EntityMemory(2)
    judge(memory, "good", 1.0, 50)
    judge(memory, "bad", 0.0, 50, context=1)
    first, second = memory.records()
    assert (first.name, second.name) == ("bad", "good")
    assert list(first.by_context) == [1]


def test_the_size_is_constant_and_the_longest_unjudged_name_goes() -> None:
    memory = EntityMemory(num_entities=2)
    for name in ("a", "b", "a", "c"):
        judge(memory, name, 0.0, 1)
    assert sorted(each.name for each in memory.records()) == ["a", "c"]
    for index in range(500):
        judge(memory, f"n{index}", 1.0, 1)
    assert len(memory) == 2
    assert memory.state()["counts"].shape == (2, 2, 2)


def test_a_restored_memory_is_equal_and_other_contexts_keep_the_whole() -> None:
    one, same, other = EntityMemory(2), EntityMemory(2), EntityMemory(5)
    judge(one, "solutions of sudoku", 0.0, 30, context=1)
    judge(one, "imu", 1.0, 30)
    same.load_state(one.state())
    other.load_state(one.state())
    assert same.records() == one.records()
    assert [each.trust for each in other.records()] == [each.trust for each in one.records()]
    assert other.records()[0].by_context == {}
    same.load_state({})
    assert same.records() == one.records()
    with pytest.raises(DataError):
        same.load_state(one.state() | {"counts": np.full((2, 3, 2), np.nan)})
    with pytest.raises(InputError):
        one.trust("imu", 2)


def test_judgements_have_counts_and_an_interval_by_context() -> None:
    memory = EntityMemory(3)
    judge(memory, "gps", 1.0, 40, context=0)
    judge(memory, "gps", 0.0, 20, context=2)
    judge(memory, "ann", 1.0, 1)
    found = {(each.name, each.context): each for each in memory.judgements()}
    assert list(found) == [("ann", 0), ("ann", None), ("gps", 0), ("gps", 2), ("gps", None)]
    assert found["gps", 2].wrong == pytest.approx(20, rel=0.01)
    assert found["gps", 2].right == 0
    for (name, context), each in found.items():
        assert each.low < each.trust < each.high
        if context is not None:
            assert each.trust == pytest.approx(memory.trust(name, context))
    assert found["ann", 0].high - found["ann", 0].low > found["gps", 0].high - found["gps", 0].low


def test_the_interval_of_a_beta_distribution_is_that_of_its_quantiles() -> None:
    assert beta_interval(1.0, 1.0) == pytest.approx((0.05, 0.95), abs=2e-3)
    low, high = beta_interval(2.0, 1.0)  # the distribution function is x^2
    assert (low, high) == pytest.approx((0.05**0.5, 0.95**0.5), abs=2e-3)
    assert beta_interval(0.5, 0.5)[0] == pytest.approx(np.sin(np.pi * 0.05 / 2) ** 2, abs=1e-3)
    with pytest.raises(InputError, match="alpha is 0"):
        beta_interval(0.0, 1.0)
