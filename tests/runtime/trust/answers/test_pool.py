"""The online log-linear pool: known special cases, learning from outcomes, and no learning without them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.errors import InputError
from sage.runtime.trust.answers.pool import FLOOR, TEMPERATURE_RATE, LogPool

NUM_CLASSES = 4


def informative(label: int, generator: np.random.Generator, *, skill: float = 0.7) -> np.ndarray:
    """(K,) probabilities that are right with probability `skill`, and give that class `skill`."""
    shown = label if generator.random() < skill else int(generator.integers(NUM_CLASSES))
    out = np.full(NUM_CLASSES, (1 - skill) / (NUM_CLASSES - 1))
    out[shown] = skill
    return out


def stream(seed: int, num: int, *, num_sources: int = 3) -> list[tuple[np.ndarray, int]]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(NUM_CLASSES, size=num).tolist()
    return [(np.stack([informative(y, generator) for _ in range(num_sources)]), y) for y in labels]


def test_one_source_is_the_pool() -> None:
    answer = np.array([[0.7, 0.1, 0.1, 0.1]])
    np.testing.assert_allclose(LogPool(1, NUM_CLASSES).fuse(answer), answer[0], atol=1e-12)


def test_equal_weights_are_the_normalised_geometric_mean() -> None:
    answers = np.array([[0.5, 0.3, 0.1, 0.1], [0.2, 0.6, 0.1, 0.1]])
    geometric = np.sqrt(answers.prod(axis=0))
    np.testing.assert_allclose(LogPool(2, NUM_CLASSES).fuse(answers), geometric / geometric.sum(), atol=1e-12)


def test_without_an_answer_there_is_no_pooled_one() -> None:
    pool = LogPool(2, NUM_CLASSES)
    nothing = np.full((2, NUM_CLASSES), np.nan)
    assert np.isnan(pool.fuse(nothing)).all()
    before = pool.state()
    pool.update(nothing, 1)
    assert all(np.array_equal(before[name], array) for name, array in pool.state().items())


def test_a_certain_wrong_source_cannot_veto() -> None:
    answers = np.array([[0.0, 1.0, 0.0, 0.0], [0.97, 0.01, 0.01, 0.01], [0.97, 0.01, 0.01, 0.01]])
    pooled = LogPool(3, NUM_CLASSES).fuse(answers)
    assert pooled[0] > FLOOR


def test_the_gradients_are_those_of_the_log_loss() -> None:
    answers, label = stream(3, 1)[0]

    def loss(weights: np.ndarray, log_temperatures: np.ndarray, source: int | None = None) -> float:
        pool = LogPool(3, NUM_CLASSES)
        pool.log_temperatures = log_temperatures
        if source is None:
            pool.weights = weights
            return float(-np.log(pool.fuse(answers)[label]))
        pool.weights = np.eye(3)[source]
        return float(-np.log(pool.fuse(answers)[label]))

    pool, step = LogPool(3, NUM_CLASSES, rate=1e-3), 1e-6
    weights, temperatures = pool.weights.copy(), pool.log_temperatures.copy()
    pool.update(answers, label)
    for source in range(3):
        nudge = step * np.eye(3)[source]
        slope = (loss(weights + nudge, temperatures) - loss(weights - nudge, temperatures)) / (2 * step)
        assert pool.weights[source] == pytest.approx(weights[source] - 1e-3 * slope, abs=1e-8)
        up = loss(weights, temperatures + nudge, source)
        down = loss(weights, temperatures - nudge, source)
        assert pool.log_temperatures[source] == pytest.approx(
            -TEMPERATURE_RATE * (up - down) / (2 * step), abs=1e-7
        )


@pytest.mark.parametrize("seed", range(4))
def test_a_source_that_lies_loses_its_weight_and_its_trust(seed: int) -> None:
    pool, losses = LogPool(3, NUM_CLASSES), []
    for answers, label in stream(seed, 200):
        answers[2] = np.roll(answers[2], 1)
        losses.append(-np.log(pool.fuse(answers)[label]))
        pool.update(answers, label)
    assert pool.weights[2] < 0.2 * pool.weights[:2].min()
    assert pool.trust[2] < pool.trust[:2].min()
    assert np.mean(losses[100:]) < np.mean(losses[:20])


def test_an_overconfident_source_is_cooled_down() -> None:
    pool, generator = LogPool(1, NUM_CLASSES), np.random.default_rng(0)
    for _ in range(600):
        label = int(generator.integers(NUM_CLASSES))
        answer = informative(label, generator, skill=0.6)
        sure = np.where(answer == answer.max(), 0.997, 0.001)[None]
        pool.update(sure, label)
    assert pool.log_temperatures[0] > 0.5


def test_without_a_label_nothing_but_trust_changes() -> None:
    pool = LogPool(3, NUM_CLASSES)
    before = pool.state()
    for answers, _ in stream(0, 50):
        answers[:2] = answers[0]
        answers[2] = np.roll(answers[0], 1)
        pool.update(answers)
    assert np.array_equal(pool.weights, before["weights"])
    assert np.array_equal(pool.log_temperatures, before["log_temperatures"])
    assert pool.trust[2] < pool.trust[:2].min()


def test_two_sources_that_disagree_are_no_evidence_against_either() -> None:
    pool = LogPool(2, NUM_CLASSES)
    before = pool.trust
    pool.update(np.array([[0.97, 0.01, 0.01, 0.01], [0.01, 0.97, 0.01, 0.01]]))
    assert np.array_equal(pool.trust, before)


def test_a_source_without_an_answer_does_not_change() -> None:
    pool = LogPool(3, NUM_CLASSES)
    for answers, label in stream(1, 30):
        answers[1] = np.nan
        pool.update(answers, label)
    assert pool.weights[1] == pytest.approx(1 / 3)
    assert pool.trust[1] == LogPool(3, NUM_CLASSES).trust[1]


def test_a_state_restores_the_pool() -> None:
    pool, other = LogPool(3, NUM_CLASSES), LogPool(3, NUM_CLASSES)
    for answers, label in stream(2, 40):
        pool.update(answers, label)
    other.load_state(pool.state())
    answers, label = stream(5, 1)[0]
    assert np.array_equal(other.fuse(answers), pool.fuse(answers))
    assert np.array_equal(other.trust, pool.trust)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.floats(0, 1), min_size=12, max_size=12), st.integers(0, 3), st.booleans()),
        max_size=20,
    )
)
def test_the_pool_is_a_distribution_whatever_it_gets(steps: list[tuple[list[float], int, bool]]) -> None:
    pool = LogPool(3, NUM_CLASSES)
    for flat, label, is_known in steps:
        answers = np.array(flat).reshape(3, NUM_CLASSES)
        pool.update(answers, label if is_known else None)
        pooled = pool.fuse(answers)
        assert pooled.sum() == pytest.approx(1.0)
        assert (pooled > 0).all()
        assert (pool.weights >= 0).all()
        assert ((pool.trust >= 0) & (pool.trust <= 1)).all()


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="num_classes 1"):
        LogPool(1, 1)
    with pytest.raises(InputError, match=r"floor 0\.5"):
        LogPool(1, 2, floor=0.5)
    pool = LogPool(2, NUM_CLASSES)
    with pytest.raises(InputError, match="shape"):
        pool.fuse(np.ones((1, NUM_CLASSES)))
    with pytest.raises(InputError, match="label is 4"):
        pool.update(np.ones((2, NUM_CLASSES)) / NUM_CLASSES, 4)
