"""Coherence is measured: it rises with coupling, and agreeing on what is wrong counts nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sage.runtime.report import CoherenceFacts
from sage.runtime.trust.coherence import CoherenceMeter


def measure(coupling: float, skill: float, seed: int = 0) -> CoherenceFacts:
    generator = np.random.default_rng(seed)
    meter = CoherenceMeter(4, 16)
    facts = CoherenceFacts()
    for _ in range(64):
        shared = generator.normal(0, 1, 16)
        states = coupling * shared + math.sqrt(1 - coupling**2) * generator.normal(0, 1, (4, 16))
        facts = meter.update(
            states, np.ones(4, dtype=bool), generator.normal(0, 1, 4) ** 2, np.full(4, 0.9), 1 - skill, 1.0
        )
    return facts


def test_undefined_before_a_window_is_full():
    meter = CoherenceMeter(2, 4)
    facts = meter.update(np.ones((2, 4)), np.ones(2, dtype=bool), np.ones(2), np.ones(2), 0.0, 1.0)
    assert math.isnan(facts.coherence)
    assert math.isnan(facts.xerr)


def test_agreement_rises_with_coupling():
    agreements = [measure(coupling, 0.5).agreement for coupling in (0.0, 0.3, 0.6, 0.9)]
    assert agreements == sorted(agreements)
    assert agreements[-1] == pytest.approx(0.81, abs=0.05)


def test_independent_sources_agree_no_more_than_their_shuffles():
    facts = measure(0.0, 0.5)
    assert facts.agreement == pytest.approx(facts.agreement_null, abs=0.05)


def test_no_skill_is_no_coherence():
    assert measure(0.9, -0.2).coherence == 0
    assert measure(0.9, 0.8).coherence > 0.7


def test_xerr_is_one_where_innovations_are_as_claimed():
    assert measure(0.5, 0.5).xerr == pytest.approx(1.0, abs=0.3)


def test_chance_agreement_is_subtracted():
    """Independent rare spikes along one direction: nearly always alike, by chance alone."""
    generator = np.random.default_rng(0)
    meter, facts = CoherenceMeter(3, 4), CoherenceFacts()
    for _ in range(64):
        states = (generator.random((3, 1)) < 0.1) * np.ones((3, 4))
        facts = meter.update(states, np.ones(3, dtype=bool), np.ones(3), np.full(3, 0.9), 0.0, 1.0)
    assert facts.agreement > 0.4
    assert facts.agreement_null > 0.4
    assert facts.coherence < 0.5, "without the subtraction it is 0.8"
    above_chance = max(facts.agreement - facts.agreement_null, 0.0) / (1 - facts.agreement_null)
    assert facts.coherence == pytest.approx(math.sqrt(above_chance * facts.correctness))


@pytest.mark.parametrize("window", [32, 33])
def test_agreement_and_its_chance_level_equal_the_sums_over_pairs_and_shifts(window: int) -> None:
    generator = np.random.default_rng(3)
    meter = CoherenceMeter(5, 4, window=window, every=1)
    trust = np.array([0.9, 0.2, 0.5, 1.0, 0.7])
    states = generator.normal(size=(window, 5, 4)).astype(np.float32)
    states[:, 1] += states[:, 0]
    for row in states:
        facts = meter.update(row, np.ones(5, dtype=bool), np.ones(5), trust, 0.5, 1.0)
    unit = states - states.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    weight = trust / trust.sum()

    def mean_cosine(start: np.ndarray) -> float:
        """start: (5,) the tick at which each source begins, around the window."""
        found = 0.0
        for i in range(5):
            for j in range(5):
                if i != j:
                    turned = [np.roll(unit[:, k], -start[k], axis=0) for k in (i, j)]
                    found += weight[i] * weight[j] * float((turned[0] * turned[1]).sum()) / window
        return found / (1 - float((weight**2).sum()))

    shifts = np.random.default_rng(0).integers(window // 8, window - window // 8, (16, 5))
    assert facts.agreement == pytest.approx(mean_cosine(np.zeros(5, dtype=int)), abs=1e-6)
    nulls = [mean_cosine(np.cumsum(each)) for each in shifts]
    assert facts.agreement_null == pytest.approx(float(np.mean(nulls)), abs=1e-6)
