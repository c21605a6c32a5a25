"""Predict, score, learn: once each, in that order, and never worse than its own linear part."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.channels.layout import Layout
from sage.runtime.prediction.predictor import MIN_READINGS, PredictionScored, Predictor

BOTH = np.array([True, True])
TICK_NS = 50_000_000


def stream(num: int, size: int, seed: int = 0) -> np.ndarray:
    """(num, size) AR(2), a noisy oscillation: persistence is poor, its own past tells most of it."""
    generator = np.random.default_rng(seed)
    x = np.zeros((num + 2, size))
    for t in range(2, num + 2):
        x[t] = 1.8 * x[t - 1] - 0.9 * x[t - 2] + 0.1 * generator.normal(0, 1, size)
    return x[2:]


def met(predictor: Predictor, values: np.ndarray, tick: int, fresh: np.ndarray = BOTH):
    return predictor.meet(fresh, values, np.full(2, tick * TICK_NS))


@pytest.fixture
def size(layout: Layout) -> int:
    return layout.num_channels


def test_a_reading_is_predicted_then_scored_then_learned_from(layout: Layout, size: int):
    """What is given of a reading is the prediction that stood before it came."""
    given: list[PredictionScored] = []
    predictor = Predictor(layout, given.append)
    for tick, values in enumerate(stream(40, size)):
        stood, last = predictor.prediction.copy(), predictor.last.copy()
        met(predictor, values, tick)
        if tick:
            parts = given[-2:]
            assert [part.source for part in parts] == ["a", "b"]
            assert np.array_equal(np.concatenate([part.predicted for part in parts]), stood)
            assert np.array_equal(np.concatenate([part.last for part in parts]), last)
            assert np.array_equal(np.concatenate([part.actual for part in parts]), values)
            assert {part.horizon_ns for part in parts} == {TICK_NS}
        assert np.array_equal(predictor.last, values)
    assert len(given) == 2 * 39, "the first reading of a source was predicted by nobody"


def test_a_reading_of_another_source_neither_scores_nor_trains_this_one(layout: Layout, size: int):
    predictor = Predictor(layout)
    values = stream(60, size)
    for tick in range(40):
        met(predictor, values[tick], tick)
    own = layout.source_of_channel == 1
    last, weights = predictor.last[own].copy(), predictor.skip_model.state()
    scores = met(predictor, values[40], 40, np.array([True, False]))
    assert np.array_equal(predictor.last[own], last)
    assert np.isnan(scores.error[1])
    assert predictor.num_readings.tolist() == [41, 40]
    assert weights.keys() == predictor.skip_model.state().keys()


def test_nothing_is_scored_before_its_variance_is_known_or_while_it_is_constant(layout: Layout, size: int):
    predictor = Predictor(layout)
    for tick, values in enumerate(stream(40, size)):
        constant = np.where(layout.source_of_channel == 1, 5.0, values)
        scores = met(predictor, constant, tick)
        assert np.isfinite(scores.error[0]) == (tick >= MIN_READINGS)
        assert np.isnan([scores.error[1], scores.skip_error[1], scores.persistence_error[1]]).all()


def test_a_tick_without_readings_scores_nothing(layout: Layout, size: int):
    predictor = Predictor(layout)
    scores = met(predictor, np.full(size, np.nan), 0, ~BOTH)
    assert np.isnan(scores.error).all()
    assert not predictor.num_readings.any()
    assert np.isfinite(predictor.prediction).all()


def summed(predictor: Predictor, values: np.ndarray, proposal) -> np.ndarray:
    """(3,) sums of error, skip error and persistence error after a warm-up of 100 readings."""
    sums = np.zeros(3)
    predictor.freeze_scale()
    for tick, reading in enumerate(values):
        scores = met(predictor, reading, tick)
        if tick == 64:
            predictor.freeze_scale()
        if tick >= 100:
            sums += [np.nansum(part) for part in (scores.error, scores.skip_error, scores.persistence_error)]
        predictor.propose(proposal(tick, predictor))
    return sums


def test_the_skip_has_skill_on_a_predictable_stream(layout: Layout, size: int):
    error, skip, persistence = summed(Predictor(layout), stream(600, size), lambda *_: np.zeros(size))
    assert error == skip
    assert 1 - skip / persistence > 0.5


@pytest.mark.parametrize("kind", ["noise", "constant", "huge", "contrary"])
def test_useless_model_output_does_not_increase_the_error(layout: Layout, size: int, kind: str):
    generator = np.random.default_rng(1)
    garbage = {
        "noise": lambda *_: generator.normal(0, 1, size),
        "constant": lambda *_: np.ones(size),
        "huge": lambda tick, _: np.where(generator.random(size) < 0.01, 1e6, generator.normal(0, 1, size)),
        "contrary": lambda tick, predictor: -5 * predictor.skip / predictor.frozen_std,
    }[kind]
    error, skip, _ = summed(Predictor(layout), stream(1500, size), garbage)
    assert error <= 1.01 * skip


def test_a_model_that_predicts_well_is_used(layout: Layout, size: int):
    values = stream(600, size)

    def knows(tick: int, predictor: Predictor) -> np.ndarray:
        following = values[min(tick + 1, len(values) - 1)]
        return (following - predictor.last - predictor.skip) / predictor.frozen_std

    error, skip, _ = summed(Predictor(layout), values, knows)
    assert error < 0.2 * skip


def test_a_source_that_repeats_within_its_range_is_a_repeat(layout: Layout, size: int):
    predictor = Predictor(layout)
    values = stream(40, size)
    for tick in range(40):
        scores = met(predictor, values[tick], tick)
        assert not scores.is_repeat.any()
    middle = np.where(layout.source_of_channel == 0, predictor.last, values[10])
    met(predictor, np.where(layout.source_of_channel == 0, values[:40].mean(axis=0), middle), 40)
    again = met(predictor, np.where(layout.source_of_channel == 0, values[:40].mean(axis=0), values[11]), 41)
    assert again.is_repeat.tolist() == [True, False]
    top = np.where(layout.source_of_channel == 0, values[:40].max(axis=0) + 1, values[12])
    met(predictor, top, 42)
    assert not met(predictor, np.where(layout.source_of_channel == 0, top, values[13]), 43).is_repeat.any()


def test_a_loaded_state_predicts_the_same(layout: Layout, size: int):
    one, other = Predictor(layout), Predictor(layout)
    values = stream(200, size)
    for tick in range(150):
        met(one, values[tick], tick)
        one.propose(np.zeros(size))
    one.freeze_scale()
    other.load_state(one.state())
    found = other.state()
    assert all(np.array_equal(array, found[name]) for name, array in one.state().items())
    assert np.array_equal(other.frozen_std, one.frozen_std)


def test_the_first_standardised_inputs_are_finite_and_clipped(layout: Layout, size: int):
    predictor = Predictor(layout)
    met(predictor, np.full(size, 1e9), 0)
    assert all(np.isfinite(part).all() and (np.abs(part) <= 10).all() for part in predictor.standardised())
