"""Baselines and intervals against known answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from _baselines import autoregression, guarded_autoregression, last_delta
from _scoring import (
    MIN_SCORED,
    Stream,
    block_samples,
    interval,
    overall,
    score,
    sensor_streams,
    skill,
    streams,
)

PERIOD_SECS = 0.1


@dataclass(frozen=True)
class Event:
    """One scored reading, as the runtime tells it."""

    source: str
    captured_ns: int
    horizon_ns: int
    actual: np.ndarray
    last: np.ndarray
    predicted: np.ndarray
    skip: np.ndarray
    scale: np.ndarray


def series(coefficient: float, num_rows: int = 4000, num_channels: int = 3, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(num_rows + 1, num_channels))
    rows = np.zeros_like(noise)
    for row in range(1, num_rows + 1):
        rows[row] = coefficient * rows[row - 1] + noise[row]
    return rows


def stream_of(rows: np.ndarray, ours: np.ndarray | None = None, skip: np.ndarray | None = None) -> Stream:
    last, actual = rows[:-1], rows[1:]
    return Stream(
        source="made",
        time_secs=PERIOD_SECS * np.arange(1, len(rows)),
        horizon_secs=np.full(len(actual), PERIOD_SECS),
        actual=actual,
        last=last,
        ours=last if ours is None else ours,
        skip=last if skip is None else skip,
        scale=rows.std(axis=0),
    )


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_autoregression_reaches_the_skill_that_theory_gives(coefficient: float) -> None:
    rows = series(coefficient)
    stream = stream_of(rows)
    forecast = autoregression(stream.actual, stream.last, scale=stream.scale)
    late = slice(500, None)
    reached = skill(
        ((forecast - stream.actual)[late] ** 2).sum(axis=1),
        ((stream.last - stream.actual)[late] ** 2).sum(axis=1),
    )
    assert reached == pytest.approx(
        (1 - coefficient) / 2, abs=0.02
    )  # persistence errs by 2 / (1 + a), the law by 1


def test_guarded_autoregression_keeps_its_skill_through_outliers() -> None:
    rows = series(0.5)
    rows[600::200] += 30.0
    stream = stream_of(rows)
    place = np.arange(len(rows) - 1) % 200
    usual = (place >= 20) & (place < 190)  # an outlier is among the last eight readings of the others
    usual[:500] = False
    reached = {}
    for name, forecast in (
        ("textbook", autoregression(stream.actual, stream.last, scale=stream.scale)),
        ("guarded", guarded_autoregression(stream.actual, stream.last)),
    ):
        errors, persistence = forecast - stream.actual, stream.last - stream.actual
        reached[name] = skill((errors[usual] ** 2).sum(axis=1), (persistence[usual] ** 2).sum(axis=1))
    assert reached["guarded"] > 0.1
    assert reached["guarded"] > reached["textbook"]


def test_a_forecast_never_looks_ahead() -> None:
    rows = series(0.5, num_rows=200)
    changed = rows.copy()
    changed[150:] += 5.0
    for forecaster in (
        lambda s: autoregression(s.actual, s.last, scale=np.ones(3)),
        lambda s: guarded_autoregression(s.actual, s.last),
        lambda s: last_delta(s.actual, s.last),
    ):
        before, after = forecaster(stream_of(rows)), forecaster(stream_of(changed))
        assert np.array_equal(before[:149], after[:149])


def test_last_delta_is_exact_on_a_line_from_its_second_row() -> None:
    line = np.arange(50.0)[:, None] * np.array([1.0, -2.0])
    stream = stream_of(line)
    assert np.array_equal(last_delta(stream.actual, stream.last)[1:], stream.actual[1:])


def test_persistence_has_no_skill_and_perfection_has_all() -> None:
    rows = series(0.5, num_rows=400)
    found = score(stream_of(rows, ours=rows[1:]), np.random.default_rng(0))
    assert found.skill["ours"] == found.low == found.high == 1.0
    assert found.skill["skip"] == 0.0
    assert found.gain == 1.0


def test_the_known_law_has_the_skill_that_theory_gives_inside_its_interval() -> None:
    rows = series(0.5)
    found = score(stream_of(rows, ours=0.5 * rows[:-1]), np.random.default_rng(0))
    assert found.low < 0.25 < found.high
    assert found.high - found.low < 0.05


def test_shuffled_inputs_have_no_skill() -> None:
    rows = series(0.5)
    found = score(stream_of(rows, ours=0.5 * rows[:-1]), np.random.default_rng(0))
    assert found.skill["shuffled"] < 0


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        rows = series(0.5, num_rows=600, num_channels=1, seed=seed)
        errors = (0.5 * rows[:-1, 0] - rows[1:, 0]) ** 2
        reference = (rows[:-1, 0] - rows[1:, 0]) ** 2
        samples = block_samples(PERIOD_SECS * np.arange(600), np.random.default_rng(seed))
        low, high = interval(errors, reference, samples)
        covered += low <= 0.25 <= high
    assert covered >= 51  # 85%: a block bootstrap of 30 blocks is a little narrow


def test_blocks_are_about_two_seconds_and_every_row_is_as_likely() -> None:
    samples = block_samples(PERIOD_SECS * np.arange(100), np.random.default_rng(0))
    first_block = samples[0, :20]
    assert np.array_equal((np.diff(first_block) - 1) % 100, np.zeros(19))
    counts = np.bincount(samples.ravel(), minlength=100)
    assert counts.min() > 0.8 * counts.mean()


def test_events_are_sorted_out_by_source_in_order() -> None:
    ones = np.ones(2)
    events = [
        Event(name, 10**9 * step, 10**8, ones * step, ones * (step - 1), ones, ones, ones)
        for step in range(1, 4)
        for name in ("left", "right", "recall")
    ]
    left, right, _ = streams(events)
    assert [each.source for each in sensor_streams(events)] == ["left", "right"]
    assert (left.source, right.source) == ("left", "right")
    assert left.actual[:, 0].tolist() == [1, 2, 3]
    assert right.time_secs.tolist() == [1, 2, 3]


def test_a_short_or_still_source_is_scored_but_not_barred() -> None:
    short = score(stream_of(series(0.5, num_rows=MIN_SCORED - 1)), np.random.default_rng(0))
    still = score(stream_of(np.zeros((400, 2))), np.random.default_rng(0))
    assert not short.is_barred
    assert not still.is_barred
    assert np.isnan(still.skill["ours"])


def test_overall_is_not_decided_by_one_source_that_goes_wild() -> None:
    rows = series(0.5, num_rows=400)
    good = score(stream_of(rows, ours=rows[1:] + 0.1 * (rows[:-1] - rows[1:])), np.random.default_rng(0))
    wild = score(stream_of(rows, ours=rows[1:] + 10 * (rows[:-1] - rows[1:])), np.random.default_rng(0))
    assert overall([good, wild], "ours") == pytest.approx(0.0, abs=1e-9)
