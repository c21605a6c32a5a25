"""A source that repeats one reading while others move is stuck; one that often repeats is not."""

from __future__ import annotations

import numpy as np

from sage.runtime.trust.commensurable.repeats import Repeats

ALL = np.ones(2, dtype=bool)


def pair(one: float, other: float) -> np.ndarray:
    return np.array([[one], [other]])


def test_a_run_of_equal_readings_is_stuck_until_the_source_moves() -> None:
    repeats = Repeats(2, 1)
    for step in range(20):
        repeats.update(pair(step, -step), ALL)
    for step in range(20, 40):
        repeats.update(pair(step, -19), ALL)
    assert repeats.is_stuck.tolist() == [False, True]
    repeats.update(pair(40, -40), ALL)
    assert not repeats.is_stuck.any()


def test_where_nothing_moves_nothing_is_stuck() -> None:
    repeats = Repeats(2, 1)
    for step in range(20):
        repeats.update(pair(step, -step), ALL)
    for _ in range(40):
        repeats.update(pair(7, 7), ALL)
    assert not repeats.is_stuck.any()


def test_a_coarse_sensor_that_often_repeats_is_not_stuck_as_soon() -> None:
    repeats = Repeats(2, 1)
    for step in range(200):
        repeats.update(pair(step, step // 10), ALL)
    for step in range(200, 225):
        repeats.update(pair(step, 19), ALL)
    assert not repeats.is_stuck.any()


def test_a_source_without_a_reading_does_not_change() -> None:
    repeats = Repeats(2, 1)
    for step in range(20):
        repeats.update(pair(step, -step), ALL)
    for step in range(20, 60):
        repeats.update(pair(step, -19), np.array([True, False]))
    assert not repeats.is_stuck.any()


def test_what_was_learned_of_repeats_is_restored() -> None:
    repeats, young = Repeats(2, 1), Repeats(2, 1)
    for step in range(30):
        repeats.update(pair(step, step // 3), ALL)
    young.load_learned(repeats.learned())
    for name, array in repeats.learned().items():
        np.testing.assert_array_equal(array, young.learned()[name])
