"""The sidecar learns what reward follows a context, also when the reward is late."""

from __future__ import annotations

import numpy as np
import pytest

from sage.errors import DataError, InputError
from sage.memory.sidecar.value_sidecar import ValueSidecar

DIM = 8


def corridor(num: int = 10) -> np.ndarray:
    """Contexts of a corridor; the only reward, 1, comes at its end."""
    return np.random.default_rng(0).standard_normal((num, DIM))


def walk(sidecar: ValueSidecar, contexts: np.ndarray, num_episodes: int) -> None:
    for _ in range(num_episodes):
        sidecar.learn(contexts[0], 1.0, is_end=True)
        for context in contexts[1:]:
            sidecar.learn(context, 0.0)


@pytest.mark.parametrize("rule", ["rls", "delta"])
def test_a_late_reward_gives_every_step_before_it_its_discounted_value(rule: str) -> None:
    sidecar, contexts = ValueSidecar(DIM, rule=rule, delta_rate=0.5), corridor()
    walk(sidecar, contexts, 200)
    found = [sidecar.predict(context) for context in contexts]
    np.testing.assert_allclose(found, 0.95 ** np.arange(9, -1, -1), atol=0.05)


def test_a_stream_without_episodes_learns_the_discounted_sum() -> None:
    """A cycle of 5 contexts, reward 1 on entering the first: solved by the Bellman equation."""
    sidecar, contexts = ValueSidecar(DIM), corridor(5)
    for t in range(400):
        sidecar.learn(contexts[t % 5], float(t % 5 == 0))
    transition = np.roll(np.eye(5), 1, axis=1)
    exact = np.linalg.solve(np.eye(5) - 0.95 * transition, np.eye(5)[4])
    found = [sidecar.predict(context) for context in contexts]
    np.testing.assert_allclose(found, exact, rtol=0.03)


def test_a_value_that_is_not_linear_in_the_key_is_learned() -> None:
    """1 in a ring around the origin of a plane, 0 elsewhere; no delay."""
    sidecar = ValueSidecar(2, discount=0.0, num_waves=128)
    generator = np.random.default_rng(1)
    keys = generator.standard_normal((3000, 2))
    inside = (np.abs(np.linalg.norm(keys, axis=1) - 1.2) < 0.5).astype(float)
    before = 0.0
    for key, reward in zip(keys, inside):
        sidecar.learn(key, before)
        before = reward
    probes = generator.standard_normal((300, 2))
    truth = np.abs(np.linalg.norm(probes, axis=1) - 1.2) < 0.5
    found = np.array([sidecar.predict(key) for key in probes]) > 0.5
    assert (found == truth).mean() > 0.85


def test_what_is_not_finite_is_refused_counted_and_breaks_the_traces() -> None:
    sidecar, contexts = ValueSidecar(DIM, horizon=2, trace=0.9), corridor()
    for key, reward in ((contexts[0], np.nan), (np.full(DIM, np.inf), 0.0)):
        sidecar.learn(contexts[1], 0.0)
        assert sidecar.learn(key, reward) == []
    assert (sidecar.num_refused, sidecar.num_writes) == (2, 0)
    assert np.isnan(sidecar.predict(np.full(DIM, np.nan)))
    assert sidecar.predict(contexts[0]) == 0.0


def test_a_restored_sidecar_predicts_the_same() -> None:
    one, two, contexts = ValueSidecar(DIM), ValueSidecar(DIM), corridor()
    walk(one, contexts, 5)
    two.load_state(one.state())
    assert [one.predict(key) for key in contexts] == [two.predict(key) for key in contexts]
    with pytest.raises(DataError):
        two.load_state({})
    with pytest.raises(DataError):
        ValueSidecar(DIM + 1).load_state(one.state())


@pytest.mark.parametrize("wrong", [{"rule": "hebb"}, {"num_waves": -1}, {"forgetting": 2.0}])
def test_wrong_settings_are_input_errors(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        ValueSidecar(DIM, **wrong)  # type: ignore[arg-type]
