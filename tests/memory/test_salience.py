"""The gate opens for what is rare, at the rate asked for, and for nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from sage.compiled import has_compiler
from sage.memory.salience import MIN_VALUES, SCORES, WINDOW, Salience, SalienceScores


def appraise(salience: Salience, values: np.ndarray, valid: np.ndarray | None = None) -> SalienceScores:
    """values (5, N), one row a score."""
    surprise, novelty, arousal, reward_error, conflict = values
    valid = np.ones(values.shape[1], bool) if valid is None else valid
    return salience.appraise(
        surprise=surprise,
        novelty=novelty,
        arousal=arousal,
        reward_error=reward_error,
        conflict=conflict,
        valid=valid,
    )


@pytest.mark.parametrize("write_rate", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("memory_of_stream", [0.0, 0.9])
def test_write_rate_converges_to_the_target(write_rate: float, memory_of_stream: float) -> None:
    generator = np.random.default_rng(1)
    salience, level, opened = Salience(4, write_rate=write_rate), np.zeros((5, 4)), []
    for _ in range(3000):
        level = memory_of_stream * level + generator.standard_normal((5, 4))
        scores = appraise(salience, np.exp(level), generator.random(4) < 0.8)
        if scores.is_warm:
            opened.append(scores.is_open)
    assert np.mean(opened) == pytest.approx(write_rate, rel=0.25)


def test_a_constant_stream_never_opens_the_gate() -> None:
    salience = Salience(3)
    scores = [appraise(salience, np.full((5, 3), 0.7)) for _ in range(600)]
    assert not any(score.is_open for score in scores)
    np.testing.assert_array_equal(scores[-1].of("surprise"), 0.5)


def test_a_spike_opens_the_gate() -> None:
    generator = np.random.default_rng(2)
    salience = Salience(3, write_rate=0.05)
    for _ in range(400):
        appraise(salience, generator.random((5, 3)))
    spike = generator.random((5, 3))
    spike[:, 1] = 10.0
    scores = appraise(salience, spike)
    assert scores.is_open
    assert int(scores.salience.argmax()) == 1


def test_ranks_are_counted_among_the_values_before_and_never_among_themselves() -> None:
    """Against the plain definition, over streams with ties, gaps and more values than the window holds."""
    generator = np.random.default_rng(3)
    salience, past = Salience(2), [[[] for _ in range(2)] for _ in range(5)]
    for _ in range(WINDOW + 80):
        values = generator.integers(0, 6, (5, 2)).astype(float)
        values[generator.random((5, 2)) < 0.1] = np.nan
        scores = appraise(salience, values)
        ranks = tuple(scores.of(name) for name in SCORES)
        for score in range(5):
            for source in range(2):
                before, now = np.array(past[score][source][-WINDOW:]), values[score, source]
                if np.isnan(now) or len(before) < MIN_VALUES:
                    assert np.isnan(ranks[score][source])
                else:
                    expected = np.mean(before < now) + 0.5 * np.mean(before == now)
                    assert ranks[score][source] == pytest.approx(expected, abs=1e-6)
                if not np.isnan(now):
                    past[score][source].append(now)


def test_an_undefined_score_has_no_weight() -> None:
    generator = np.random.default_rng(4)
    with_gaps, without = Salience(1), Salience(1, weights=(1, 1, 0, 1, 1))
    for _ in range(100):
        values = generator.random((5, 1))
        full = appraise(without, values)
        values[2] = np.nan
        partial = appraise(with_gaps, values)
    assert np.isnan(partial.of("arousal")[0])
    assert partial.salience[0] == pytest.approx(full.salience[0], rel=1e-5)


def test_a_source_that_is_not_valid_is_neither_ranked_nor_remembered() -> None:
    generator = np.random.default_rng(5)
    salience, alone = Salience(2), Salience(1)
    for tick in range(200):
        values = generator.random((5, 2))
        is_here = tick % 3 == 0
        both = appraise(salience, values, np.array([is_here, True]))
        if is_here:
            single = appraise(alone, values[:, :1])
            np.testing.assert_allclose(both.salience[:1], single.salience, rtol=1e-6)
        else:
            assert np.isnan(both.salience[0])


def test_the_gate_stays_closed_during_warm_up() -> None:
    generator = np.random.default_rng(6)
    salience = Salience(1, write_rate=1.0)
    scores = [appraise(salience, generator.random((5, 1))) for _ in range(4 * MIN_VALUES)]
    first_warm = next(tick for tick, score in enumerate(scores) if score.is_warm)
    assert first_warm == 2 * MIN_VALUES  # ranks first, then gates
    assert not any(score.is_open for score in scores[:first_warm])
    assert np.isnan(scores[MIN_VALUES - 1].gate)


def test_a_tick_without_a_valid_source_never_opens_the_gate_and_is_not_counted() -> None:
    generator = np.random.default_rng(8)
    salience, other = (Salience(2, write_rate=0.3) for _ in range(2))
    for _ in range(4 * MIN_VALUES):
        values = generator.random((5, 2))
        appraise(salience, values)
        appraise(other, values)
        empty = appraise(salience, values, np.zeros(2, bool))
        assert np.isnan(empty.gate)
        assert not empty.is_open
    assert empty.is_warm
    assert appraise(salience, values).gate == appraise(other, values).gate
    assert salience._num_gates == other._num_gates


def test_the_sign_of_a_reward_error_does_not_matter() -> None:
    generator = np.random.default_rng(7)
    one, other = Salience(2), Salience(2)
    for _ in range(50):
        values, error = generator.random((5, 2)), float(generator.standard_normal())
        plain = {
            "surprise": values[0],
            "novelty": values[1],
            "arousal": values[2],
            "conflict": values[3],
            "valid": [True, True],
        }
        a, b = one.appraise(**plain, reward_error=error), other.appraise(**plain, reward_error=-error)
    np.testing.assert_array_equal(a.of("reward"), b.of("reward"))


@pytest.mark.parametrize("write_rate", [0.0, -0.1, 1.5, float("nan")])
def test_an_invalid_write_rate_raises(write_rate: float) -> None:
    with pytest.raises(ValueError, match="write_rate"):
        Salience(1, write_rate=write_rate)


@pytest.mark.parametrize("weights", [(1, 1), (0, 0, 0, 0, 0), (1, 1, 1, 1, -1)])
def test_invalid_weights_raise(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="weights"):
        Salience(1, weights=weights)


@pytest.mark.skipif(not has_compiler(), reason="numba is not installed")
def test_compiled_and_interpreted_ranks_are_equal() -> None:
    """With unknown values, sources that are not valid, ties, infinity, and more values than the window."""
    generator = np.random.default_rng(5)
    pair = [Salience(4, is_compiled=is_compiled) for is_compiled in (False, True)]
    num_open = 0
    for tick in range(WINDOW + 150):
        values = np.round(generator.standard_normal((5, 4)), 1)
        values[generator.random((5, 4)) < 0.1] = np.nan
        values[0, 1] = np.inf if tick % 50 == 49 else values[0, 1]
        valid = generator.random(4) < 0.8
        one, other = (appraise(salience, values, valid) for salience in pair)
        for name in SalienceScores.__slots__:
            np.testing.assert_array_equal(getattr(other, name), getattr(one, name), f"{name}, tick {tick}")
        num_open += one.is_open
    assert num_open > 10
