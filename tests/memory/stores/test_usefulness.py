"""An entry is of use when its value predicts what comes better than the present does."""

from __future__ import annotations

import numpy as np

from sage.memory.stores.recall import RecallStore
from sage.memory.stores.usefulness import Usefulness, UseJudge

SLOTS = np.array([0, 1])


def test_the_entry_that_predicts_better_than_persistence_is_of_use() -> None:
    usefulness = Usefulness(4)
    judge = UseJudge(usefulness, lead_ticks=2)
    none, nothing = np.zeros(0, np.int64), np.zeros((0, 1))
    judge.see(1, np.array([0.0]), SLOTS, np.array([[0.9], [-1.0]]))
    judge.see(2, np.array([0.5]), none, nothing)
    assert usefulness.num_judged.sum() == 0
    judge.see(3, np.array([1.0]), none, nothing)
    assert usefulness.num_judged.tolist() == [1, 1, 0, 0]
    assert usefulness.num_useful.tolist() == [1, 0, 0, 0]


def test_an_entry_that_was_replaced_meanwhile_is_not_judged() -> None:
    usefulness = Usefulness(4)
    judge = UseJudge(usefulness, lead_ticks=1)
    judge.see(1, np.zeros(1), SLOTS, np.ones((2, 1)))
    usefulness.put(0, np.full(5, 0.5))
    judge.see(2, np.ones(1), np.zeros(0, np.int64), np.zeros((0, 1)))
    assert usefulness.num_judged.tolist() == [0, 1, 0, 0]


def test_merging_averages_scores_and_keeps_counts() -> None:
    usefulness = Usefulness(1)
    usefulness.put(0, np.array([0.0, np.nan, 1.0, 0.5, 0.5]))
    usefulness.judge(np.array([0]), usefulness.stamp(np.array([0])), np.array([True]))
    usefulness.merge(0, np.array([1.0, 0.25, np.nan, 0.5, 0.5]), 0.5)
    np.testing.assert_allclose(usefulness.scores[0], [0.5, 0.25, 1.0, 0.5, 0.5])
    assert usefulness.num_useful[0] == 1


def test_a_store_keeps_them_and_a_state_from_before_them_loads() -> None:
    one, two = RecallStore(4, 3, 1), RecallStore(4, 3, 1)
    one.write(np.ones(3), np.ones(1), salience=0.5, trust=1.0, time_ns=0, context=0, scores=np.full(5, 0.25))
    slots = one.recall(np.ones(3), time_ns=0).slots
    one.usefulness.judge(slots, one.usefulness.stamp(slots), np.array([True]))
    state = one.state()
    two.restore(state)
    assert two.usefulness.num_useful[0] == 1
    for name in ("scores", "num_judged", "num_useful"):
        del state.arrays[name]
    two.restore(state)
    assert two.usefulness.num_judged[0] == 0
    assert np.isnan(two.usefulness.scores[0]).all()
