"""Salience weights follow which memories were of use, and stay equal without evidence."""

from __future__ import annotations

import numpy as np
import pytest

from sage.errors import InputError
from sage.memory.learned_weights import MIN_EXAMPLES, learn_weights
from sage.memory.salience import SCORES, Salience
from sage.memory.stores.usefulness import Usefulness


def judged(num: int, slope: np.ndarray, *, seed: int = 0, num_reads: int = 8) -> Usefulness:
    """Entries of random scores; each read is of use with probability sigmoid(slope' (scores - 0.5))."""
    generator = np.random.default_rng(seed)
    usefulness = Usefulness(num)
    for slot in range(num):
        scores = generator.uniform(0, 1, 5)
        usefulness.put(slot, scores)
        useful = generator.uniform() < 1 / (1 + np.exp(-slope.dot(scores - 0.5)))
        for _ in range(num_reads):
            usefulness.judge(np.array([slot]), usefulness.stamp(np.array([slot])), np.array([useful]))
    return usefulness


def test_the_score_that_predicts_use_gets_the_weight() -> None:
    learned = learn_weights(judged(600, np.array([0.0, 0.0, 8.0, 0.0, -8.0])))
    assert learned is not None
    assert learned.weights.argmax() == SCORES.index("arousal")
    assert learned.weights[2] > 0.5
    assert learned.weights[4] == 0.0
    assert learned.weights.sum() == pytest.approx(1.0)
    assert learned.num_examples == 600


def test_without_a_relation_the_weights_stay_near_equal() -> None:
    learned = learn_weights(judged(MIN_EXAMPLES, np.zeros(5)))
    assert learned is not None
    np.testing.assert_allclose(learned.weights, 0.2, atol=0.15)


def test_too_few_examples_or_one_outcome_teach_nothing() -> None:
    assert learn_weights(judged(MIN_EXAMPLES - 1, np.ones(5))) is None
    usefulness = judged(100, np.ones(5))
    usefulness.num_useful[:] = usefulness.num_judged
    assert learn_weights(usefulness) is None
    assert learn_weights(Usefulness(100)) is None


def test_undefined_scores_are_of_middle_rank() -> None:
    usefulness = judged(300, np.array([8.0, 0.0, 0.0, 0.0, 0.0]))
    usefulness.scores[:, 3] = np.nan
    learned = learn_weights(usefulness)
    assert learned is not None
    assert np.isfinite(learned.weights).all()
    assert learned.weights.argmax() == 0


def test_taught_weights_change_the_salience_and_are_kept_in_a_state() -> None:
    salience, again = Salience(1), Salience(1)
    assert salience.taught_weights == ()
    assert salience.state() == {}
    again.load_state({})
    assert again.taught_weights == ()
    salience.teach(np.array([0.0, 0.0, 3.0, 0.0, 1.0]))
    again.load_state(salience.state())
    assert again.taught_weights == pytest.approx((0.0, 0.0, 0.75, 0.0, 0.25))
    with pytest.raises(InputError):
        salience.teach(np.array([1.0, np.nan, 0.0, 0.0, 0.0]))
