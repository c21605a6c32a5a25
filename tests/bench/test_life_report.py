"""The bench of lives: intervals over any number of seeds, paired differences, and bars on equal compute."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from _life_arms import Lived, Point
from _life_report import differences_table, life_bars
from _student import interval, t_975

WHOLE, PLAIN = "a whole", "c nights without symmetries"
PRACTICE, SPREAD = "b practice only", "b practice all day"


def lived(seed: int, solved: float, secs: float = 100.0, arm: str = "any") -> Lived:
    return Lived(
        arm=arm,
        seed=seed,
        points=(Point(train_secs=secs, solved=(1.0, solved)),),
        num_answers=1,
        right=1.0,
        segments=1.0,
        steps=1,
        train_secs=secs,
        nights=({"outcome": "accepted", "gain": 0.1, "low": 0.0, "high": 0.2},),
        num_bytes=1,
        num_parameters=(1, 1),
    )


def lives(num: int, secs: float = 100.0) -> dict[str, list[Lived]]:
    return {
        WHOLE: [lived(seed, 0.9 + 0.001 * seed) for seed in range(num)],
        PRACTICE: [lived(seed, 0.8 + 0.001 * seed, secs) for seed in range(num)],
        SPREAD: [lived(seed, 0.82 + 0.001 * seed) for seed in range(num)],
        PLAIN: [lived(seed, 0.85) for seed in range(num)],
    }


@pytest.mark.parametrize(
    ("freedom", "wanted"), [(1, 12.706), (9, 2.262), (10, 2.228), (19, 2.093), (120, 1.98)]
)
def test_quantiles_of_t(freedom: int, wanted: float) -> None:
    assert t_975(freedom) == pytest.approx(wanted, abs=6e-4)


def test_an_interval_is_known_for_any_number_of_seeds_from_two_on() -> None:
    assert math.isnan(interval([1.0])[1])
    values = np.random.default_rng(0).normal(size=30).tolist()
    mean, low, high = interval(values)
    assert high - mean == pytest.approx(2.045 * np.std(values, ddof=1) / math.sqrt(30), rel=1e-3)
    assert mean - low == pytest.approx(high - mean)


def test_a_bar_on_an_area_is_judged_with_more_than_ten_seeds() -> None:
    bars = life_bars(lives(12))
    assert bars[0].value == pytest.approx(0.05)
    assert bars[0].is_met is True


def test_a_difference_of_arms_with_other_cpu_seconds_is_owed() -> None:
    assert [bar.is_met for bar in life_bars(lives(5))[:3]] == [True, True, True]
    assert [bar.is_met for bar in life_bars(lives(5, secs=80.0))[:3]] == [None, True, True]
    assert [bar.is_met for bar in life_bars(lives(4))[:3]] == [None, None, None]


def test_an_area_is_a_mean_over_seconds() -> None:
    life = lived(0, 0.0)
    points = tuple(Point(train_secs=secs, solved=(share, share)) for secs, share in ((0, 0), (1, 1), (4, 1)))
    assert replace(life, points=points).area == pytest.approx((0.5 + 3) / 4)
    assert replace(life, points=points[:1] * 3).area == 0.0


def test_differences_are_paired_by_seed() -> None:
    found = lives(3)
    found[PRACTICE] = found[PRACTICE][::-1]
    rows = {row[:2]: row[2:] for row in differences_table(found).rows}
    assert rows[WHOLE, PRACTICE] == ("3", "+5.0 (+5.0 to +5.0)", "+10.0 (+10.0 to +10.0)")
    assert len(rows) == 6
    assert {(WHOLE, PRACTICE), (WHOLE, PLAIN), (PRACTICE, PLAIN)} < rows.keys()
    many = {f"arm {number}": [lived(seed, 0.5) for seed in range(2)] for number in range(6)}
    assert {row[0] for row in differences_table(many).rows} == {"arm 0"}
