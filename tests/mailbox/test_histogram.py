import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage.mailbox.histogram import LatencyHistogram, Percentiles


@given(st.integers(0, 2**62))
def test_a_percentile_is_never_below_and_at_most_a_quarter_above(duration_ns: int):
    histogram = LatencyHistogram()
    histogram.add(duration_ns)
    assert duration_ns <= histogram.percentiles().p50_ns <= duration_ns * 1.25


def test_percentiles_follow_numpy_within_a_bucket():
    durations = np.random.default_rng(0).lognormal(9.0, 1.0, 5_000).astype(int)
    histogram = LatencyHistogram()
    for duration in durations:
        histogram.add(int(duration))
    found = histogram.percentiles()
    for percent, value in ((50, found.p50_ns), (95, found.p95_ns), (99, found.p99_ns)):
        assert value == pytest.approx(np.percentile(durations, percent), rel=0.26)


def test_nothing_measured_is_zero():
    assert LatencyHistogram().percentiles() == Percentiles()
