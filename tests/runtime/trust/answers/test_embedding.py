"""Trust in embedding space: two good sources and a liar, and the cases without evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sage.errors import InputError
from sage.runtime.trust.answers.embedding import STUCK_RUN, EmbeddingTrust, FusedAnswers

DIM, NUM_EXCHANGES = 64, 50
Lie = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def direction(generator: np.random.Generator) -> np.ndarray:
    drawn = generator.normal(size=DIM)
    return drawn / np.linalg.norm(drawn)


def blurred(truth: np.ndarray, generator: np.random.Generator, noise: float = 0.5) -> np.ndarray:
    return truth + noise * direction(generator)


LIES: dict[str, Lie] = {
    "unrelated": lambda truth, generator: direction(generator),
    "opposite": lambda truth, generator: blurred(-truth, generator),
    "half true": lambda truth, generator: truth + 1.75 * direction(generator),
    "always the same": lambda truth, generator: np.eye(DIM)[0],
}


def exchanges(
    trust: EmbeddingTrust, seed: int, lie: Lie, *, num: int = NUM_EXCHANGES, liar: int = 2, good: int = 2
) -> list[FusedAnswers]:
    """`good` good sources around a liar at index `liar`."""
    generator, found = np.random.default_rng(seed), []
    for _ in range(num):
        truth = direction(generator)
        answers = [blurred(truth, generator) for _ in range(good)]
        answers.insert(liar, lie(truth, generator))
        found.append(trust.meet(np.stack(answers), np.ones(good + 1)))
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lie", LIES)
def test_the_fused_answer_follows_two_good_sources_and_the_liar_loses_trust(lie: str, seed: int) -> None:
    liar = seed % 3
    trust = EmbeddingTrust(3)
    found = exchanges(trust, seed, LIES[lie], liar=liar)
    good = [index for index in range(3) if index != liar]
    assert trust.trust[liar] < 0.75 * trust.trust[good].min()
    assert all(each.nearest in good for each in found)
    assert np.mean([each.weights[liar] for each in found[-10:]]) < 0.25


def test_three_good_sources_keep_their_trust() -> None:
    trust = EmbeddingTrust(3)
    exchanges(trust, 0, blurred)
    assert trust.trust.min() > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_a_repaired_source_recovers(seed: int) -> None:
    trust = EmbeddingTrust(3)
    exchanges(trust, seed, LIES["unrelated"])
    low = trust.trust[2]
    exchanges(trust, seed + 100, blurred, num=150)
    assert low < 0.5 < trust.trust[2]


def test_disagreement_is_conflict() -> None:
    agreed = exchanges(EmbeddingTrust(3), 0, blurred, num=1)[0]
    differed = exchanges(EmbeddingTrust(3), 0, LIES["opposite"], num=1)[0]
    assert agreed.conflict < 0.2 < 0.5 < differed.conflict
    trust = EmbeddingTrust(3)
    exchanges(trust, 0, LIES["opposite"], num=1)
    assert 1 - trust.responsibility[2] > 0.5 > 1 - trust.responsibility[0]


def test_two_sources_that_disagree_are_no_evidence_against_either() -> None:
    trust = EmbeddingTrust(2)
    before = trust.trust
    fused = trust.meet(np.stack([np.eye(DIM)[0], np.eye(DIM)[1]]), np.ones(2))
    assert np.array_equal(trust.trust, before)
    assert fused.conflict > 0.2


def test_a_known_outcome_decides_between_two() -> None:
    trust = EmbeddingTrust(2)
    for _ in range(20):
        trust.meet(np.stack([np.eye(DIM)[0], np.eye(DIM)[1]]), np.ones(2), right=np.array([1.0, 0.0]))
    assert trust.trust[1] < 0.5 < trust.trust[0]
    fused = trust.meet(np.stack([np.eye(DIM)[0], np.eye(DIM)[1]]), np.ones(2))
    assert fused.nearest == 0


def test_an_outcome_outweighs_a_majority() -> None:
    trust = EmbeddingTrust(3)
    for _ in range(60):
        generator = np.random.default_rng(0)
        truth = direction(generator)
        answers = np.stack(
            [blurred(-truth, generator), blurred(-truth, generator), blurred(truth, generator)]
        )
        trust.meet(answers, np.ones(3), right=np.array([0.0, 0.0, 1.0]))
    assert trust.trust[2] > trust.trust[:2].max()


def test_sources_of_one_lineage_have_one_vote_and_do_not_judge_each_other() -> None:
    def after(lineage: list[int]) -> EmbeddingTrust:
        trust = EmbeddingTrust(4, np.array(lineage))
        generator = np.random.default_rng(0)
        for _ in range(NUM_EXCHANGES):
            truth, other = direction(generator), direction(generator)
            good = [blurred(truth, generator), blurred(truth, generator)]
            trust.meet(np.stack([*good, other, other]), np.ones(4))
        return trust

    apart, together = after([0, 1, 2, 3]), after([0, 1, 2, 2])
    assert together.trust[2:].max() < together.trust[:2].min()
    assert apart.trust[2] > together.trust[2]


def test_a_source_that_repeats_itself_while_another_moves_is_stuck() -> None:
    trust, generator = EmbeddingTrust(2), np.random.default_rng(0)
    for _ in range(STUCK_RUN + 2):
        trust.meet(np.stack([direction(generator), np.eye(DIM)[3]]), np.ones(2))
    assert trust.is_stuck.tolist() == [False, True]
    assert trust.trust[1] < trust.trust[0]
    trust.meet(np.stack([direction(generator), direction(generator)]), np.ones(2))
    assert not trust.is_stuck.any()


def test_no_answer_is_no_fused_one() -> None:
    trust = EmbeddingTrust(3)
    fused = trust.meet(np.full((3, DIM), np.nan), np.ones(3))
    assert fused.nearest == -1
    assert np.isnan(fused.embedding).all()
    assert not fused.weights.any()
    zeros = trust.meet(np.zeros((3, DIM)), np.ones(3))
    assert zeros.nearest == -1


def test_opposite_answers_of_equal_weight_have_no_mean_direction() -> None:
    fused = EmbeddingTrust(2).meet(np.stack([np.eye(DIM)[0], -np.eye(DIM)[0]]), np.ones(2))
    assert fused.nearest == -1


def test_one_answer_is_the_fused_one() -> None:
    answers = np.full((3, DIM), np.nan)
    answers[1] = 4 * np.eye(DIM)[5]
    fused = EmbeddingTrust(3).meet(answers, np.ones(3))
    assert fused.nearest == 1
    np.testing.assert_allclose(fused.embedding, np.eye(DIM)[5])
    assert np.isnan(fused.conflict)


def test_an_answer_without_confidence_has_no_weight() -> None:
    fused = EmbeddingTrust(2).meet(np.stack([np.eye(DIM)[0], np.eye(DIM)[1]]), np.array([0.0, 1.0]))
    assert fused.weights.tolist() == [0.0, 1.0]


def test_a_state_restores_the_trust() -> None:
    trust, other = EmbeddingTrust(3), EmbeddingTrust(3)
    exchanges(trust, 0, LIES["unrelated"])
    other.load_state(trust.state())
    assert np.array_equal(other.trust, trust.trust)
    one, two = (exchanges(each, 9, blurred, num=5)[-1] for each in (trust, other))
    assert np.array_equal(one.embedding, two.embedding)


def test_lineage_has_a_number_for_each_source() -> None:
    with pytest.raises(InputError, match="lineage"):
        EmbeddingTrust(3, np.zeros(2))
