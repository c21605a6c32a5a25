"""Fast weights equal the closed form, forget, stay bounded, and refuse what is not finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.errors import DataError, InputError
from sage.memory.sidecar.fast_weights import (
    MAX_MAGNITUDE,
    DeltaRule,
    FastWeights,
    RecursiveLeastSquares,
)

RULES = [RecursiveLeastSquares, DeltaRule]


def closed_form(
    keys: np.ndarray, values: np.ndarray, forgetting: float, ridge: float, every: int
) -> np.ndarray:
    """Solve for M with the weights and the ridge that RecursiveLeastSquares documents."""
    num, dim = keys.shape
    weights = forgetting ** np.arange(num - 1, -1, -1)
    diagonal = np.full(dim, ridge * forgetting**num)
    for turn in range(1, num // every + 1 if forgetting < 1 else 1):
        pseudo = ridge * dim * (1 - forgetting**every)
        diagonal[turn % dim] += pseudo * forgetting ** (num - turn * every)
    gram = (keys * weights[:, None]).T @ keys + np.diag(diagonal)
    return np.linalg.solve(gram, (keys * weights[:, None]).T @ values).T


@settings(max_examples=40, deadline=None)
@given(
    dim=st.integers(1, 12),
    num=st.integers(1, 300),
    span=st.integers(1, 12),
    forgetting=st.sampled_from([1.0, 0.9995, 0.95, 0.8]),
    ridge=st.sampled_from([1e-3, 0.1, 3.0]),
    seed=st.integers(0, 1000),
)
def test_rls_equals_the_closed_form(
    dim: int, num: int, span: int, forgetting: float, ridge: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    keys = generator.standard_normal((num, min(span, dim))) @ generator.standard_normal((min(span, dim), dim))
    values = generator.standard_normal((num, 3))
    weights = RecursiveLeastSquares(dim, 3, forgetting=forgetting, ridge=ridge)
    for key, value in zip(keys, values):
        assert weights.write(key, value)
    expected = closed_form(keys, values, forgetting, ridge, weights.ridge_every)
    probes = generator.standard_normal((5, dim))
    np.testing.assert_allclose(weights.read(probes).numpy(), probes @ expected.T, rtol=1e-5, atol=1e-6)


def test_the_newest_value_of_a_key_replaces_the_old_one() -> None:
    key, (old, new) = np.ones(4), np.eye(2)
    for rule in RULES:
        weights = rule(4, 2)
        for value, times in ((old, 20), (new, 6000)):
            for _ in range(times):
                weights.write(key, value)
        np.testing.assert_allclose(weights.read(key).numpy(), new, atol=0.01)


def test_what_is_no_longer_written_fades() -> None:
    weights = RecursiveLeastSquares(4, 1, forgetting=0.98, ridge=0.1)
    first, others = np.eye(4)[0], np.eye(4)[1:]
    for _ in range(50):
        weights.write(first, np.ones(1))
    before = float(weights.read(first))
    for step in range(600):
        weights.write(others[step % 3], np.zeros(1))
    assert before > 0.99
    assert abs(float(weights.read(first))) < 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_writes_of_few_directions_stay_bounded(dtype: torch.dtype) -> None:
    """The plain rule's P is not finite here."""
    generator = np.random.default_rng(0)
    dim, ridge = 12, 1e-2
    weights = RecursiveLeastSquares(dim, 2, forgetting=0.97, ridge=ridge, dtype=dtype)
    basis, teacher = generator.standard_normal((2, dim)), generator.standard_normal((dim, 2))
    for _ in range(6000):
        key = generator.standard_normal(2) @ basis
        weights.write(key, key @ teacher)
    inverse = weights.state()["inverse"].astype(np.float64)
    eigenvalues = np.linalg.eigvalsh(inverse)
    assert eigenvalues[0] > 0
    assert eigenvalues[-1] < 20 / ridge
    np.testing.assert_allclose(inverse, inverse.T, rtol=0, atol=1e-4 * eigenvalues[-1])
    key = basis[0]
    np.testing.assert_allclose(weights.read(key).numpy(), key @ teacher, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2 * MAX_MAGNITUDE])
def test_a_pair_that_is_not_finite_is_refused_and_counted(rule: type[FastWeights], bad: float) -> None:
    weights = rule(3, 2)
    weights.write(np.ones(3), np.ones(2))
    before = weights.state()
    assert not weights.write(np.array([1.0, bad, 0.0]), np.ones(2))
    assert not weights.write(np.ones(3), np.array([bad, 0.0]))
    assert not weights.write(torch.tensor([bad, 0.0, 0.0]), torch.ones(2))
    after = weights.state()
    assert (weights.num_writes, weights.num_refused) == (1, 3)
    for name in set(before) - {"counts"}:
        np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.parametrize("rule", RULES)
def test_a_key_of_length_0_changes_no_read(rule: type[FastWeights]) -> None:
    weights = rule(3, 1)
    weights.write(np.ones(3), np.ones(1))
    before = weights.read(np.eye(3)).numpy()
    assert weights.write(np.zeros(3), np.ones(1))
    np.testing.assert_allclose(weights.read(np.eye(3)).numpy(), before, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("rank", [None, 5])
def test_a_restored_state_continues_identically(rule: type[FastWeights], rank: int | None) -> None:
    generator = np.random.default_rng(1)
    pairs = [(generator.standard_normal(8), generator.standard_normal(2)) for _ in range(40)]
    one, two = rule(8, 2, rank=rank), rule(8, 2, rank=rank)
    for pair in pairs[:20]:
        one.write(*pair)
    two.load_state(one.state())
    for pair in pairs[20:]:
        one.write(*pair)
        two.write(*pair)
    assert torch.equal(one.read(pairs[0][0]), two.read(pairs[0][0]))
    assert one.num_writes == two.num_writes == 40


def test_a_state_of_another_size_is_an_error_and_changes_nothing() -> None:
    weights = RecursiveLeastSquares(4, 2)
    weights.write(np.ones(4), np.ones(2))
    before = weights.read(np.ones(4))
    for state in (
        RecursiveLeastSquares(5, 2).state(),
        {},
        weights.state() | {"inverse": np.full((4, 4), np.nan)},
    ):
        with pytest.raises(DataError):
            weights.load_state(state)
    assert torch.equal(weights.read(np.ones(4)), before)


def test_low_rank_keeps_far_keys_apart_in_a_smaller_matrix() -> None:
    generator = np.random.default_rng(2)
    keys, values = generator.standard_normal((16, 64)), np.eye(16)
    whole, small = RecursiveLeastSquares(64, 16), RecursiveLeastSquares(64, 16, rank=24)
    for key, value in zip(keys, values):
        whole.write(key, value)
        small.write(key, value)
    assert (small.read(keys).argmax(1).numpy() == np.arange(16)).all()
    sizes = [sum(array.nbytes for array in each.state().values()) for each in (whole, small)]
    assert sizes[1] < sizes[0] / 2


def test_uncertainty_is_small_where_keys_were_written() -> None:
    weights = RecursiveLeastSquares(4, 1)
    for _ in range(10):
        weights.write(np.eye(4)[0], np.ones(1))
    known, unknown = weights.uncertainty(np.eye(4)[:2]).tolist()
    assert known < 0.2
    assert unknown > 100 * known


@pytest.mark.parametrize(
    "make",
    [
        lambda: RecursiveLeastSquares(0, 1),
        lambda: RecursiveLeastSquares(4, 1, rank=5),
        lambda: RecursiveLeastSquares(4, 1, forgetting=0.0),
        lambda: RecursiveLeastSquares(4, 1, ridge=0.0),
        lambda: RecursiveLeastSquares(256, 1, forgetting=0.9),
        lambda: DeltaRule(4, 1, rate=1.5),
        lambda: DeltaRule(4, 1).write(np.ones(3), np.ones(1)),
    ],
)
def test_a_wrong_size_or_setting_is_an_input_error(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]
