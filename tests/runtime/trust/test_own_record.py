"""A source's own record: each fault is seen without another source, and what is usual for it is not one."""

from __future__ import annotations

import numpy as np
import pytest

from sage.compiled import has_compiler
from sage.runtime.trust.own_record import OwnRecord
from sage.runtime.trust.own_rules import MIN_ALARMED

NUM, FAULT_AT = 900, 700


def wandering(seed: int) -> np.ndarray:
    """(NUM, 1) a level that wanders, as memory in use does."""
    return np.cumsum(np.random.default_rng(seed).normal(0, 0.1, (NUM, 1)), axis=0)


def bursts(seed: int) -> np.ndarray:
    """(NUM, 1) zero, and in one reading of five a rate with a heavy tail, as a disk has."""
    generator = np.random.default_rng(seed)
    return np.where(generator.random((NUM, 1)) < 0.2, generator.pareto(2.0, (NUM, 1)), 0.0)


def doubts(values: np.ndarray, low: float = -np.inf, high: float = np.inf, **options: bool) -> np.ndarray:
    """(T,) the doubt about a source with these readings (T, C)."""
    size = values.shape[1]
    ends = np.full(size, low), np.full(size, high)
    record = OwnRecord(np.array([0, size]), np.ones(1, dtype=bool), *ends, **options)
    fresh = np.ones(1, dtype=bool)
    return np.array([record.update(fresh, row)[0] for row in values])


def spoil(values: np.ndarray, fault: str) -> np.ndarray:
    """A copy with the fault from FAULT_AT on; its size is 4 standard deviations."""
    spoiled, size, num = values.copy(), 4 * values[:FAULT_AT].std(), NUM - FAULT_AT
    after = spoiled[FAULT_AT:]
    if fault == "stuck":
        after[:] = values[FAULT_AT - 1]
    elif fault == "bias":
        after += size
    elif fault == "drift":
        after += size * np.arange(num)[:, None] / 50
    elif fault == "noise":
        after += size * np.random.default_rng(9).standard_normal((num, 1))
    elif fault == "spikes":
        after[::5] += size
    elif fault == "delay":
        after[:] = values[FAULT_AT - 10 : -10]
    return spoiled


@pytest.mark.parametrize("make", [wandering, bursts])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_usual_readings_are_rarely_doubted(make, seed: int):
    found = doubts(make(seed))
    assert np.isnan(found[:150]).all(), "nothing is tested before there is a record"
    assert np.isfinite(found[300:]).all()
    assert (found[300:] > 0.27).mean() < 0.03


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("fault", ["stuck", "bias", "noise", "spikes", "delay"])
def test_a_fault_in_a_wandering_level_is_seen_within_50_readings(fault: str, seed: int):
    found = doubts(spoil(wandering(seed), fault))
    assert found[FAULT_AT : FAULT_AT + 50].max() >= 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("fault", ["bias", "drift"])
def test_a_fault_in_bursts_is_seen_within_50_readings(fault: str, seed: int):
    found = doubts(spoil(bursts(seed), fault))
    assert found[FAULT_AT : FAULT_AT + 50].max() >= 0.5


def test_a_source_that_stands_still_is_doubted_until_it_moves():
    values = wandering(0)
    values[600:800] = values[600]
    found = doubts(values)
    assert (found[640:800] > 0.5).all()
    assert found[-20:].max() < 0.1


def test_noise_is_doubted_as_long_as_it_lasts():
    assert (doubts(spoil(wandering(0), "noise"))[-150:] > 0.5).mean() > 0.5


def test_a_new_level_that_stays_becomes_part_of_the_record():
    found = doubts(spoil(wandering(0), "bias"))
    assert found[FAULT_AT] > 0.5
    assert found[-100:].max() < 0.1


def test_a_reading_beyond_the_declared_range_is_doubted_at_once():
    values = np.full((60, 1), 0.5)
    values[30] = 1.2
    found = doubts(values, low=0.0, high=1.0)
    assert np.isnan(found[:30]).all()
    assert found[30] > 0.9


def test_a_constant_source_is_tested_only_where_its_range_is_declared():
    constant = np.ones((400, 1))
    assert np.isnan(doubts(constant)).all()
    assert doubts(constant, low=0.0, high=1.0)[-1] == 0


@pytest.mark.parametrize("num_jumping", [1, MIN_ALARMED])
def test_sources_that_jump_together_are_not_doubted(num_jumping: int):
    values = np.concatenate([wandering(seed) for seed in range(4)], axis=1)
    values[FAULT_AT:, :num_jumping] += 50
    record = OwnRecord(np.arange(5), np.ones(4, dtype=bool), np.full(4, -np.inf), np.full(4, np.inf))
    found = np.array([record.update(np.ones(4, dtype=bool), row) for row in values])
    assert (found[FAULT_AT, :num_jumping].max() > 0.9) == (num_jumping < MIN_ALARMED)


def test_a_source_without_a_fresh_reading_does_not_change():
    record = OwnRecord(np.arange(3), np.ones(2, dtype=bool), np.full(2, -np.inf), np.full(2, np.inf))
    for row in np.concatenate([wandering(0), wandering(1)], axis=1)[:300]:
        record.update(np.array([True, False]), row)
    assert record.state()["counts"][0].tolist() == [300, 0]
    assert not record.state()["ring"][:, 1].any()


def test_a_snapshot_restores_the_records():
    values = spoil(wandering(0), "bias")
    ends = np.full(1, -np.inf), np.full(1, np.inf)
    first, second = (OwnRecord(np.array([0, 1]), np.ones(1, dtype=bool), *ends) for _ in range(2))
    fresh = np.ones(1, dtype=bool)
    for row in values[:FAULT_AT]:
        first.update(fresh, row)
    second.load_state(first.state())
    second.load_state({})  # of an older snapshot: nothing changes
    for row in values[FAULT_AT:]:
        assert first.update(fresh, row)[0] == second.update(fresh, row)[0]


@pytest.mark.skipif(not has_compiler(), reason="numba is not installed")
@pytest.mark.parametrize("fault", ["stuck", "noise"])
def test_the_doubt_is_the_same_compiled(fault: str):
    values = np.concatenate([spoil(wandering(0), fault), bursts(1)], axis=1)
    each = [doubts(values, low=-5.0, is_compiled=is_compiled) for is_compiled in (True, False)]
    np.testing.assert_allclose(*each, rtol=1e-9)
    assert np.nanmax(each[0]) > 0.5
