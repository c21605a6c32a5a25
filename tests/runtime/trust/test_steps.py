"""The trust formulas give the same results compiled and as Python, for every kind of evidence."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.config import TrustConfig
from sage.runtime.trust.contract import Evidence
from sage.runtime.trust.estimator import TrustEstimator

pytest.importorskip("numba", reason="the extra fast is not installed")

NUM_SOURCES, NUM_TICKS = 7, 900


def evidence(generator: np.random.Generator, tick: int) -> Evidence:
    """Source 1 freezes, 2 jumps, 3 is often absent, 4 repeats in bursts, 5 is never judged."""
    innovation = generator.chisquare(2, NUM_SOURCES) / 2
    level, error = innovation + generator.chisquare(3, NUM_SOURCES), generator.chisquare(2, NUM_SOURCES)
    is_repeat = np.zeros(NUM_SOURCES, dtype=bool)
    is_repeat[4] = tick % 50 < 12
    if 300 < tick < 600:
        is_repeat[1], error[1], innovation[2] = True, 1e-6, 60.0
    innovation[5] = np.nan
    error[6] = np.nan if tick % 9 else error[6]
    fresh = np.arange(NUM_SOURCES) != 3 if tick % 4 else generator.random(NUM_SOURCES) < 0.6
    return Evidence(
        fresh=fresh, innovation_sq=innovation, level_sq=level, self_error_sq=error, is_repeat=is_repeat
    )


def test_trust_is_the_same_compiled() -> None:
    generator = np.random.default_rng(3)
    compiled, plain = (TrustEstimator(NUM_SOURCES, TrustConfig(), is_compiled=each) for each in (True, False))
    seen_stuck = False
    for tick in range(NUM_TICKS):
        given = evidence(generator, tick)
        compiled.update(given)
        plain.update(given)
        for name in ("trust", "nis", "responsibility", "noise"):
            np.testing.assert_allclose(
                getattr(compiled, name), getattr(plain, name), rtol=1e-9, err_msg=f"{name}, tick {tick}"
            )
        assert compiled.is_stuck.tolist() == plain.is_stuck.tolist(), tick
        seen_stuck |= bool(plain.is_stuck[1])
    assert seen_stuck
    for name, array in plain.state().items():
        np.testing.assert_allclose(compiled.state()[name], array, rtol=1e-9, atol=1e-12)


def test_the_compiled_step_uses_a_loaded_state() -> None:
    generator = np.random.default_rng(4)
    first = TrustEstimator(NUM_SOURCES, TrustConfig(), is_compiled=True)
    for tick in range(100):
        first.update(evidence(generator, tick))
    second = TrustEstimator(NUM_SOURCES, TrustConfig(), is_compiled=True)
    second.load_state(first.state())
    given = evidence(generator, 101)
    first.update(given)
    second.update(given)
    np.testing.assert_array_equal(first.alpha, second.alpha)
