"""Intervals and spreads of figures."""

from __future__ import annotations

import math

import pytest

from sage.hrm_core.evaluation.report import spread, wilson_interval


def test_intervals_and_spreads() -> None:
    low, high = wilson_interval(1.0, 1000)
    assert low == pytest.approx(0.9962, abs=1e-4)
    assert high == 1.0
    assert math.isnan(wilson_interval(0.0, 0)[0])
    over = spread([0.4, 0.6])
    assert (over.mean, over.low, over.high) == (0.5, 0.4, 0.6)
    assert math.isnan(spread([0.4]).std)
