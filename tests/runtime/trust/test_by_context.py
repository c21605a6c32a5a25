"""Trust that comes back with its context: bounds, no lock-out, nothing changed where nothing was wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage.memory.stores.entities import EntityMemory
from sage.runtime.config import TrustConfig
from sage.runtime.tick.context_trust import ContextTrust
from sage.runtime.trust.answers.embedding import EmbeddingTrust
from sage.runtime.trust.answers.pool import LogPool
from sage.runtime.trust.by_context import MAX_SHARE, MIN_SHARE, log_odds_between, moved_beta, moved_scale
from sage.runtime.trust.contract import Evidence
from sage.runtime.trust.estimator import TrustEstimator

WEIGHT = 10.0
shares = st.floats(0.0, 1.0)
weights = st.floats(WEIGHT, 43.0)


def one(value: float) -> np.ndarray:
    return np.array([value])


def trust_of(alpha: float, beta: float) -> float:
    mean = alpha / (alpha + beta)
    return mean - float(np.sqrt(mean * (1 - mean) / (alpha + beta + 1)))


@given(shares, weights, st.floats(0.001, 0.999))
def test_equal_records_change_nothing(record: float, weight: float, share: float) -> None:
    alpha, beta = one(weight * share), one(weight * (1 - share))
    moved = log_odds_between(one(record), one(record))
    assert moved == 0
    assert moved_beta(alpha, beta, moved, WEIGHT, one(1.0)) == (alpha, beta)
    assert moved_scale(alpha, beta, moved, WEIGHT) == (alpha, beta)


@given(shares, shares, weights, st.floats(0.001, 0.999))
def test_evidence_stays_within_its_bounds(before: float, after: float, weight: float, share: float) -> None:
    moved = log_odds_between(one(before), one(after))
    alpha, beta = moved_beta(one(weight * share), one(weight * (1 - share)), moved, WEIGHT, one(1.0))
    new, total = float(alpha[0] / (alpha[0] + beta[0])), float(alpha[0] + beta[0])
    assert min(share, MIN_SHARE) - 1e-9 <= new <= max(share, MAX_SHARE) + 1e-9
    assert WEIGHT - 1e-9 <= total <= weight + 1e-9
    assert (new - share) * moved[0] >= -1e-9  # in the direction of the records
    scale_a, scale_b = moved_scale(one(weight), one(30 * weight), moved, WEIGHT)
    assert 1.0 <= float(scale_b[0] / scale_a[0]) <= 30.0 + 1e-9


@given(st.floats(0.0, 0.18), st.integers(0, 2000), st.floats(0.9, 0.99), weights)
def test_a_record_with_few_errors_never_lowers_trust_below_0_7(
    wrong: float, num: int, share: float, weight: float
) -> None:
    """However long it is, with a source that is trusted as a new one or more."""
    memory = EntityMemory(2)
    for context in (0, 1):
        memory.judge(["a"], one(1 - wrong), context)
    memory._counts[0] *= num  # as after so many judgements
    expected = memory.expected(["a", "new"], 1)
    assert expected[1] == pytest.approx(0.9)
    moved = log_odds_between(np.full(2, 0.9), expected)
    alpha, beta = moved_beta(
        np.full(2, weight * share), np.full(2, weight * (1 - share)), moved, WEIGHT, one(1.0)
    )
    assert trust_of(alpha[0], beta[0]) >= 0.7
    assert trust_of(alpha[1], beta[1]) == trust_of(weight * share, weight * (1 - share))


def test_only_a_long_record_of_errors_counts() -> None:
    memory = EntityMemory(3)
    for _ in range(300):
        memory.judge(["a"], one(1.0), 0)
    found = []
    for num in range(1, 101):
        memory.judge(["a"], one(0.0), 1)
        found.append(float(memory.expected(["a"], 1)[0]))
        if num == 3:
            assert found[-1] > 0.85
    assert np.all(np.diff(found) <= 1e-12)
    assert found[-1] < 0.2
    assert memory.expected(["a"], 0)[0] > 0.85  # right there
    assert memory.expected(["a"], 2)[0] > memory.expected(["a"], 1)[0]  # backs off to all contexts


def reading(innovation: float) -> Evidence:
    return Evidence(
        fresh=np.ones(1, dtype=bool),
        innovation_sq=one(innovation),
        level_sq=one(10.0),
        self_error_sq=one(1.0),
        is_repeat=np.zeros(1, dtype=bool),
    )


class Source:
    """One source, its estimator and its record in two contexts."""

    def __init__(self, *, is_enabled: bool = True) -> None:
        self.generator = np.random.default_rng(0)
        self.trust = TrustEstimator(1, TrustConfig(), is_compiled=False)
        self.memory = EntityMemory(2)
        self.follower = ContextTrust(["a"], self.memory, is_enabled=is_enabled)

    def read(self, context: int, num: int, *, is_wrong: bool = False) -> list[float]:
        """Trust before each of `num` readings."""
        found = []
        for _ in range(num):
            found.append(float(self.trust.trust[0]))
            self.trust.update(reading(200.0 if is_wrong else self.generator.normal() ** 2))
            self.memory.judge(["a"], self.trust.verdict, context)
            self.follower.follow(context, self.trust)
        return found


def test_a_source_is_distrusted_where_it_was_wrong_and_trusted_where_it_was_right() -> None:
    source, plain = Source(), Source(is_enabled=False)
    for each in (source, plain):
        each.read(0, 200)
        each.read(1, 100, is_wrong=True)
        each.read(0, 100)
        each.read(1, 100, is_wrong=True)
    back, late = (each.read(0, 100) for each in (source, plain))
    assert back[2] > 0.85
    assert late[2] < 0.3
    again, slow = (each.read(1, 100, is_wrong=True) for each in (source, plain))
    assert again[2] < 0.4
    assert slow[2] > 0.8


def test_a_new_fault_is_distrusted_in_the_next_context_too() -> None:
    source = Source()
    for _ in range(3):
        source.read(0, 100)
        source.read(1, 100)
    source.read(0, 12, is_wrong=True)
    assert source.read(1, 3, is_wrong=True)[-1] < 0.75
    source.read(1, 30, is_wrong=True)
    assert max(source.read(0, 10, is_wrong=True)) < 0.5


def test_a_lasting_fault_is_trusted_at_most_once_in_each_context() -> None:
    """The old context's record soon contains it, the long record of the new one does not."""
    source = Source()
    for _ in range(8):
        source.read(0, 100)
        source.read(1, 100)
    for _ in range(2):
        source.read(0, 100, is_wrong=True)
        source.read(1, 100, is_wrong=True)
    for context in (0, 1, 0, 1):
        assert max(source.read(context, 100, is_wrong=True)) < 0.5
    assert source.memory.trust("a", 1) > 0.5


def test_a_source_that_is_right_again_regains_trust_and_its_record() -> None:
    """No lock-out: the verdicts do not depend on trust, and each return costs less."""
    source = Source()
    for _ in range(5):
        source.read(0, 100)
        source.read(1, 100, is_wrong=True)
    lows = []
    for _ in range(12):
        source.read(0, 100)
        lows.append(int(np.sum(np.array(source.read(1, 100)) < 0.7)))
    assert lows[0] <= 40
    assert lows[-1] < lows[0]
    assert source.memory.expected(["a"], 1)[0] > 0.6
    assert source.trust.trust[0] > 0.75


def shifted(*, record: float) -> TrustEstimator:
    """Four sources whose innovations are a hundred times larger from a change of context on; `record` is the
    last one's share of right readings in the new context.
    """
    generator = np.random.default_rng(1)
    trust = TrustEstimator(4, TrustConfig(), is_compiled=False)
    for tick in range(300):
        if tick == 200:
            trust.change_context(np.full(4, 0.9), np.array([0.9, 0.9, 0.9, record]), np.ones(4))
        size = 100.0 if tick >= 200 else 1.0
        trust.update(
            Evidence(
                fresh=np.ones(4, dtype=bool),
                innovation_sq=size * generator.normal(0, 1, 4) ** 2,
                level_sq=np.full(4, 1000.0),
                self_error_sq=np.ones(4),
                is_repeat=np.zeros(4, dtype=bool),
            )
        )
    return trust


def test_a_change_of_the_world_does_not_explain_a_source_that_was_wrong_there_before() -> None:
    new, known = shifted(record=0.9), shifted(record=0.1)
    assert new.trust.min() > 0.5
    assert known.trust[:3].min() > 0.5
    assert known.trust[3] < 0.3
    assert known.noise[3] < new.noise[3] / 2


def test_verdicts_do_not_depend_on_trust() -> None:
    trusted, doubted = Source(), Source()
    for each in (trusted, doubted):
        each.read(0, 100)
    doubted.trust.alpha[:], doubted.trust.beta[:] = 1.0, 9.0
    for each in (trusted, doubted):
        each.trust.update(reading(3.0))
    assert trusted.trust.verdict[0] == doubted.trust.verdict[0]
    assert trusted.trust.responsibility[0] > doubted.trust.responsibility[0] + 0.1


def test_the_context_of_saved_trust_is_restored() -> None:
    source = Source()
    source.read(0, 200)
    source.read(1, 100, is_wrong=True)
    source.read(0, 50)
    source.read(1, 50, is_wrong=True)
    again = Source()
    again.trust.load_state(source.trust.state())
    again.memory.load_state(source.memory.state())
    again.follower.load_state(source.follower.state())
    assert again.read(0, 3)[2] > 0.85
    fewer = ContextTrust(["a"], EntityMemory(1))
    fewer.load_state(source.follower.state())
    before = source.trust.trust.copy()
    fewer.follow(0, source.trust)
    assert source.trust.trust == before
    fewer.load_state({})


@pytest.mark.parametrize("form", [EmbeddingTrust(2), LogPool(2, 3)], ids=["embeddings", "classes"])
def test_answers_have_contexts_too(form: EmbeddingTrust | LogPool) -> None:
    before = form.trust.copy()
    form.change_context(np.array([0.9, 0.9]), np.array([0.9, 0.2]), np.ones(2))
    assert form.trust[0] == before[0]
    assert form.trust[1] < 0.4
    form.change_context(np.array([0.9, 0.2]), np.array([0.9, 0.9]), np.ones(2))
    assert form.trust == pytest.approx(before)
