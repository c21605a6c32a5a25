"""Lines and axes of the plots: trailing means, and clipped outliers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from sage.app.report.plots import Line, Plot, clipped, rolling_mean, rolling_skill


def test_outliers_are_clipped_and_counted_in_the_note():
    plot = Plot(
        id="tick",
        section="Machine",
        title="Tick time",
        note="Note.",
        lines=(Line(label="tick", values=np.array([1.0] * 90 + [300.0] * 10), tone=0),),
        low=0.0,
    )
    assert clipped(plot).high is None, "outliers of 1% or more are no outliers"
    few = replace(plot, lines=(replace(plot.lines[0], values=np.array([1.0] * 999 + [300.0])),))
    assert clipped(few).high == pytest.approx(2.0)
    assert clipped(few).note == "Note. Clipped points, marked with triangles: 1 above 2 (highest 300)."


def test_rolling_skill_is_over_the_trailing_window_only():
    error = np.array([1.0, 1.0, 1.0, 1.0, np.nan, 0.0, 0.0, 0.0, 0.0])
    skill = rolling_skill(error, np.where(np.isnan(error), np.nan, 1.0), window=4)
    assert skill[3] == pytest.approx(0.0)
    assert skill[-1] == pytest.approx(1.0)
    assert np.isnan(rolling_skill(np.full(4, np.nan), np.full(4, np.nan), 4)).all()


def test_a_rolling_mean_leaves_a_gap_once_too_few_are_left():
    values = np.array([2.0] * 8 + [math.nan] * 6)
    mean = rolling_mean(values, 5)
    assert mean[2:10] == pytest.approx(2.0)
    assert np.isnan(mean[:2]).all()
    assert np.isnan(mean[10:]).all()


def test_a_rolling_mean_has_no_gap_with_a_reading_every_third_tick():
    values = np.full(60, math.nan)
    values[::3] = 4.0
    assert rolling_mean(values, 20)[20:] == pytest.approx(4.0)
