"""Intervals over seeds and units: what both vary by is in them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from _crossed import crossed_interval
from _whole_cells import Cell, Group, difference


def test_an_interval_has_what_seeds_differ_by() -> None:
    gaps = np.repeat([[0.3], [0.0], [0.0]], 500, axis=1)  # every puzzle of a seed has the same difference
    mean, low, high = crossed_interval(gaps)
    assert (mean, low, high) == pytest.approx((0.1, 0.0, 0.3))


def test_an_interval_has_what_units_differ_by_however_many_seeds_repeat_them() -> None:
    few = np.random.default_rng(0).normal(0.1, 1.0, (1, 400))
    many = np.repeat(few, 10, axis=0)
    for gaps in (few, many):
        mean, low, high = crossed_interval(gaps)
        assert mean == pytest.approx(few.mean())
        assert high - low == pytest.approx(2 * 1.96 * few.std() / math.sqrt(400), rel=0.1)


def test_a_unit_that_a_seed_lacks_is_left_out_there() -> None:
    gaps = np.array([[1.0, np.nan, 1.0], [np.nan, 1.0, 1.0]])
    assert crossed_interval(gaps) == pytest.approx((1.0, 1.0, 1.0))
    assert all(map(math.isnan, crossed_interval(gaps[:, :1])))
    assert all(map(math.isnan, crossed_interval(np.full((2, 3), np.nan))))


def test_an_interval_covers_the_truth_about_as_often_with_many_seeds_as_it_says() -> None:
    covered = 0
    for number in range(200):
        generator = np.random.default_rng(number)
        seeds, puzzles = generator.normal(0, 0.1, (12, 1)), generator.normal(0, 1.0, (1, 100))
        _, low, high = crossed_interval(seeds + puzzles + generator.normal(0, 1.0, (12, 100)), num_draws=400)
        covered += low <= 0 <= high
    assert covered >= 180


def cells_of(suite: str, num_seeds: int) -> dict[int, Cell]:
    """Every seed solves the same puzzles."""
    solved = (np.random.default_rng(0).random(200) < 0.5).astype(int).tolist()
    group = Group(name="4x4", rows=("solved",), values=(solved,))
    return {
        seed: Cell(suite=suite, arm="any", seed=seed, groups=(group,), cpu_secs={"training": (1.0,)})
        for seed in range(num_seeds)
    }


def test_puzzles_that_all_seeds_have_do_not_become_more_by_seeds() -> None:
    none = Group(name="4x4", rows=("solved",), values=([0] * 200,))
    widths = {}
    for suite in ("puzzles", "robot"):
        whole = cells_of(suite, 9)
        other = {seed: Cell(suite=suite, arm="any", seed=seed, groups=(none,), cpu_secs={}) for seed in whole}
        found = difference(whole, other)
        assert found is not None
        widths[suite] = found.high - found.low
    assert widths["puzzles"] == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(200), rel=0.1)
    assert widths["robot"] == pytest.approx(widths["puzzles"] / 3, rel=0.15)  # episodes of its own each
