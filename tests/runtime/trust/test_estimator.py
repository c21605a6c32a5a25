"""Trust follows evidence: readings that the other sources contradict, and readings without news."""

from __future__ import annotations

import numpy as np
import pytest

from sage.compiled import has_compiler
from sage.runtime.config import TrustConfig
from sage.runtime.trust.contract import Evidence
from sage.runtime.trust.cross import CrossPredictor
from sage.runtime.trust.estimator import TrustEstimator, token_weights

NUM_SOURCES, DIMS, NUM_TICKS, FAULT_AT = 5, 2, 600, 350


def live(fault: str, *, seed: int = 0, faulty: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Trust (T, N) and stuck flags (T, N) of five views of one smooth latent, one of them with a fault from
    tick 350.
    """
    generator = np.random.default_rng(seed)
    cross = CrossPredictor(np.arange(NUM_SOURCES + 1) * DIMS)
    trust = TrustEstimator(NUM_SOURCES, TrustConfig())
    relation = generator.uniform(0.6, 1.4, NUM_SOURCES * DIMS)
    latent, last = np.zeros(DIMS), np.zeros(NUM_SOURCES * DIMS)
    all_present, histories, stuck = np.ones(NUM_SOURCES, dtype=bool), [], []
    for tick in range(NUM_TICKS):
        latent = 0.95 * latent + generator.normal(0, 0.3, DIMS)
        z = np.concatenate([latent + generator.normal(0, 0.15, DIMS) for _ in range(NUM_SOURCES)])
        own = slice(faulty * DIMS, (faulty + 1) * DIMS)
        if tick >= FAULT_AT and fault == "stuck":
            z[own] = last[own]
        if tick >= FAULT_AT and fault == "bias":
            z[own] += 2.0
        if tick >= FAULT_AT and fault == "shift":  # as under a new load: another level, and other gains
            z = (z + 4) * relation
        if tick >= FAULT_AT and fault == "noise":
            z[own] += generator.normal(0, 2.0, DIMS)
        others = cross.judge(z, trust.trust, all_present, trust.noise)
        cross.update(z, trust.trust, all_present)
        square = (others.innovation.reshape(NUM_SOURCES, DIMS) ** 2).mean(axis=1)
        self_error = ((z - last).reshape(NUM_SOURCES, DIMS) ** 2).mean(axis=1)
        trust.update(
            Evidence(
                fresh=all_present,
                innovation_sq=np.where(others.is_defined, square, np.nan),
                level_sq=(z.reshape(NUM_SOURCES, DIMS) ** 2).mean(axis=1),
                self_error_sq=self_error,
                is_repeat=(z == last).reshape(NUM_SOURCES, DIMS).all(axis=1),
            )
        )
        last = z
        histories.append(trust.trust)
        stuck.append(trust.is_stuck.copy())
    return np.array(histories), np.array(stuck)


def test_a_source_without_evidence_keeps_its_prior():
    trust = TrustEstimator(3, TrustConfig())
    assert not trust.is_judged.any()
    assert trust.trust == pytest.approx(np.full(3, 0.9 - np.sqrt(0.09 / 11)))


def test_healthy_sources_are_all_trusted():
    trust, stuck = live("none")
    assert trust[-200:].mean(axis=0).min() > 0.85
    assert not stuck[100:].any()


@pytest.mark.parametrize("fault", ["stuck", "bias", "noise"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_faulty_source_loses_trust_and_the_others_keep_theirs(fault: str, seed: int):
    trust, _ = live(fault, seed=seed)
    after = trust[FAULT_AT + 60 :].mean(axis=0)
    assert after[1] < 0.4
    assert np.delete(after, 1).min() > 0.75


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_change_of_the_world_lowers_no_source_for_long(seed: int):
    """All sources leave the relations learned so far; none of them lies."""
    trust, _ = live("shift", seed=seed)
    is_low = trust[FAULT_AT:] < 0.7
    assert is_low.sum(axis=0).max() < 60  # without the rule, 140 to 246 of 250 readings
    assert trust[-50:].min() > 0.5


def test_evidence_makes_a_source_judged():
    trust = TrustEstimator(2, TrustConfig())
    trust.alpha[1] += 1
    assert trust.is_judged.tolist() == [False, True]


def test_a_frozen_source_is_stuck():
    _, stuck = live("stuck")
    assert stuck[FAULT_AT + 30 :, 1].all()
    assert not stuck[100:, [0, 2, 3, 4]].any()


def test_a_source_that_often_repeats_is_not_stuck():
    """A counter that stands still nine times of ten is healthy."""
    generator = np.random.default_rng(0)
    trust = TrustEstimator(2, TrustConfig())
    flagged = 0
    for _ in range(2000):
        repeats = np.array([generator.random() < 0.9, False])
        evidence = Evidence(
            fresh=np.ones(2, dtype=bool),
            innovation_sq=np.full(2, np.nan),
            level_sq=np.ones(2),
            self_error_sq=np.where(repeats, 0.0, generator.normal(0, 1, 2) ** 2),
            is_repeat=repeats,
        )
        trust.update(evidence)
        flagged += trust.is_stuck[0]
    assert flagged / 2000 < 0.05


def test_a_source_is_trusted_again_when_it_is_right_again():
    estimator = TrustEstimator(1, TrustConfig())

    def tick(innovation: float) -> None:
        estimator.update(
            Evidence(
                fresh=np.ones(1, dtype=bool),
                innovation_sq=np.array([innovation]),
                level_sq=np.array([10.0]),
                self_error_sq=np.array([1.0]),
                is_repeat=np.zeros(1, dtype=bool),
            )
        )

    generator = np.random.default_rng(0)
    for _ in range(200):
        tick(generator.normal() ** 2)
    before = float(estimator.trust[0])
    for _ in range(60):
        tick(100.0)
    assert float(estimator.trust[0]) < 0.4
    for _ in range(200):
        tick(generator.normal() ** 2)
    assert float(estimator.trust[0]) > before - 0.1


def one_reading(innovation_sq: float, level_sq: float) -> Evidence:
    return Evidence(
        fresh=np.ones(1, dtype=bool),
        innovation_sq=np.array([innovation_sq]),
        level_sq=np.array([level_sq]),
        self_error_sq=np.array([1.0]),
        is_repeat=np.zeros(1, dtype=bool),
    )


FORMS = pytest.mark.parametrize(
    "is_compiled",
    [False, pytest.param(True, marks=pytest.mark.skipif(not has_compiler(), reason="no numba"))],
)


@FORMS
@pytest.mark.parametrize(("level_sq", "is_contradicted"), [(1.0, False), (10.0, True)])
def test_only_a_source_that_the_others_explain_can_be_contradicted(
    level_sq: float, is_contradicted: bool, is_compiled: bool
):
    """The others explain 0% or 90% of the variance; then readings of 100 times the normal innovation come."""
    estimator = TrustEstimator(1, TrustConfig(), is_compiled=is_compiled)
    generator = np.random.default_rng(0)
    for _ in range(300):
        square = generator.normal() ** 2
        estimator.update(one_reading(square, level_sq * square))
    before = estimator.trust[0]
    for _ in range(5):
        estimator.update(one_reading(100.0, 100.0 * level_sq))
    assert estimator.nis[0] > 20, "the readings are improbable"
    if is_contradicted:
        assert estimator.trust[0] < before - 0.1
    else:
        assert estimator.trust[0] == before == TrustEstimator(1, TrustConfig()).trust[0]


def test_weights_are_zero_for_the_missing_and_sum_to_one():
    weights = token_weights(np.array([0.9, 0.9, 0.1]), np.ones(3), np.ones(3), np.array([True, False, True]))
    assert weights[1] == 0
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == pytest.approx(0.9)


def test_weights_are_zero_when_no_source_is_usable():
    assert token_weights(np.ones(2), np.ones(2), np.ones(2), np.zeros(2, dtype=bool)).sum() == 0


def test_a_snapshot_restores_trust_exactly():
    generator = np.random.default_rng(0)
    estimator = TrustEstimator(4, TrustConfig())
    for _ in range(50):
        estimator.update(
            Evidence(
                fresh=generator.random(4) < 0.7,
                innovation_sq=generator.normal(0, 1, 4) ** 2,
                level_sq=np.full(4, 10.0),
                self_error_sq=generator.normal(0, 1, 4) ** 2,
                is_repeat=np.zeros(4, dtype=bool),
            )
        )
    other = TrustEstimator(4, TrustConfig())
    other.load_state(estimator.state())
    assert (other.trust == estimator.trust).all()
