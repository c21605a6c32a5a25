"""The estimator in torch has the results of the one in NumPy, and reads no value on the host."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.runtime.config import TrustConfig
from sage.runtime.trust.contract import Evidence
from sage.runtime.trust.estimator import TrustEstimator
from sage.runtime.trust.on_device.estimator import DeviceTrust, TensorEvidence

pytestmark = pytest.mark.torch
REPORTED = (
    "trust",
    "nis",
    "responsibility",
    "noise",
    "doubt",
    "verdict",
    "share",
    "scale",
    "is_stuck",
    "is_judged",
)
TICKS = 270


def stream(generator: np.random.Generator, num: int, num_ticks: int = TICKS) -> list[Evidence]:
    """Source 1 freezes, 2 jumps, every fourth tick some are absent, 4 repeats in bursts, 5 is never judged;
    from tick 230 on most sources contradict the others at once.
    """
    given, which = [], np.arange(num)
    has_own = generator.random(num) < 0.6
    for tick in range(num_ticks):
        innovation = generator.chisquare(2, num) / 2
        level, error = innovation + generator.chisquare(3, num), generator.chisquare(2, num)
        is_repeat = (which == 4) & (tick % 50 < 12)
        own = np.where(has_own & (tick > 3), generator.random(num) ** 8, np.nan)
        if 100 < tick < 180:
            innovation[2 % num] = 60.0
            is_repeat |= which == 1
            error[1 % num] = 1e-6
        if tick > 230:
            innovation = np.where(which % 3 < 2, 40.0 * innovation, innovation)
        innovation = np.where((which == 5) | (generator.random(num) < 0.05), np.nan, innovation)
        error = np.where((which == 6) & (tick % 9 > 0), np.nan, error)
        fresh = which != 3 if tick % 4 else generator.random(num) < 0.6
        given.append(
            Evidence(
                fresh=fresh,
                innovation_sq=innovation,
                level_sq=level,
                self_error_sq=error,
                is_repeat=is_repeat,
                own_doubt=own if tick % 7 else None,
                is_tied=generator.random(num) < 0.9 if tick % 5 else None,
            )
        )
    return given


def tensors(evidence: Evidence | list[Evidence]) -> TensorEvidence:
    """Of one group, or of several beside each other."""

    def of(name: str) -> torch.Tensor | None:
        if isinstance(evidence, Evidence):
            found = getattr(evidence, name)
            return None if found is None else torch.tensor(found)
        each = [getattr(one, name) for one in evidence]
        return None if each[0] is None else torch.tensor(np.stack(each))

    return TensorEvidence(**{name: of(name) for name in Evidence.__slots__})


def assert_same(device: DeviceTrust, plain: TrustEstimator, message: str) -> None:
    for name in REPORTED:
        found, expected = getattr(device, name).numpy(), getattr(plain, name)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=f"{name}, {message}")


@pytest.mark.parametrize("num", [1, 7, 24])
def test_results_are_those_of_the_numpy_class(num: int) -> None:
    generator = np.random.default_rng(num)
    plain = TrustEstimator(num, TrustConfig(), is_compiled=False)
    device = DeviceTrust(num, TrustConfig())
    has_been_stuck = has_shifted = False
    for tick, given in enumerate(stream(generator, num)):
        if tick in (90, 150, 243):
            before, after, left = generator.random((3, num))
            after[0] = before[0]
            plain.change_context(before, after, left)
            device.change_context(*(torch.tensor(each) for each in (before, after, left)))
        plain.update(given)
        device.update(tensors(given))
        assert_same(device, plain, f"tick {tick}")
        has_been_stuck |= bool(plain.is_stuck.any())
        has_shifted |= bool(plain._shift[0] > 0)
    for name, array in plain.state().items():
        np.testing.assert_allclose(device.state()[name], array, rtol=1e-9, atol=1e-12)
    if num >= 7:
        assert has_been_stuck
        assert has_shifted


def test_groups_beside_each_other_do_not_affect_each_other() -> None:
    num, num_groups = 7, 3
    streams = [stream(np.random.default_rng(seed), num) for seed in range(num_groups)]
    plain = [TrustEstimator(num, TrustConfig(), is_compiled=False) for _ in streams]
    device = DeviceTrust(num, TrustConfig(), num_groups=num_groups)
    for together in zip(*streams, strict=True):
        for own, given in zip(plain, together, strict=True):
            own.update(given)
        device.update(tensors(list(together)))
    assert not np.array_equal(plain[0].trust, plain[1].trust)
    for name in REPORTED:
        expected = np.stack([getattr(own, name) for own in plain])
        np.testing.assert_allclose(getattr(device, name).numpy(), expected, rtol=1e-9, atol=1e-12)


def test_a_state_goes_from_one_class_to_the_other_and_back() -> None:
    given = stream(np.random.default_rng(9), 7, 190)
    plain = TrustEstimator(7, TrustConfig(), is_compiled=False)
    for each in given[:130]:
        plain.update(each)
    device, again = DeviceTrust(7, TrustConfig()), TrustEstimator(7, TrustConfig(), is_compiled=False)
    groups = DeviceTrust(7, TrustConfig(), num_groups=2)
    device.load_state(plain.state())
    again.load_state(device.state())
    groups.load_state(plain.state())
    assert {name: array.dtype for name, array in device.state().items()} == {
        name: array.dtype for name, array in plain.state().items()
    }
    for each in given[130:]:
        again.update(each)
        device.update(tensors(each))
        groups.update(tensors([each, each]))
        assert_same(device, again, "after a restored state")
    np.testing.assert_allclose(groups.trust.numpy(), np.stack([again.trust] * 2), rtol=1e-9)


def test_half_the_precision_changes_trust_by_little() -> None:
    device, plain = DeviceTrust(7, TrustConfig(), dtype=torch.float32), DeviceTrust(7, TrustConfig())
    for each in stream(np.random.default_rng(2), 7, 180):
        device.update(tensors(each))
        plain.update(tensors(each))
    np.testing.assert_allclose(device.trust.numpy(), plain.trust.numpy(), atol=1e-3)


def test_an_update_reads_no_value_on_the_host(calls_of, assert_stays_on_device) -> None:
    given = [tensors(each) for each in stream(np.random.default_rng(1), 7, 8)]
    device = DeviceTrust(7, TrustConfig())
    counts = []
    for each in (each for each in given if each.own_doubt is not None and each.is_tied is not None):
        calls = calls_of(lambda each=each: device.update(each))
        assert calls.waiting == []
        counts.append(calls.count)
    assert len(set(counts)) == 1  # no branch depends on a value

    def make(device: torch.device):
        trust, numbers = (
            DeviceTrust(5, TrustConfig(), num_groups=2, device=device),
            torch.zeros(2, 5, device=device),
        )
        flags = numbers > 0
        evidence = TensorEvidence(
            fresh=flags, innovation_sq=numbers, level_sq=numbers, self_error_sq=numbers, is_repeat=flags,
            own_doubt=numbers, is_tied=flags,
        )  # fmt: skip
        return lambda: trust.update(evidence)

    assert_stays_on_device(make)


def test_an_update_changes_its_tensors_in_place() -> None:
    device = DeviceTrust(7, TrustConfig())
    places = [each.data_ptr() for each in device.tensors]
    before = device.trust.clone()
    for each in stream(np.random.default_rng(1), 7, 80):
        device.update(tensors(each))
    assert [each.data_ptr() for each in device.tensors] == places
    assert not torch.equal(before, device.trust)


def test_wrong_shapes_and_types_are_named() -> None:
    with pytest.raises(InputError, match=r"dtype is torch\.int64"):
        DeviceTrust(3, TrustConfig(), dtype=torch.int64)
    device = DeviceTrust(3, TrustConfig())
    with pytest.raises(InputError, match=r"fresh is \(7,\): give \(3,\)"):
        device.update(tensors(stream(np.random.default_rng(0), 7, 1)[0]))
    with pytest.raises(InputError, match=r"alpha is \(7,\): give \(3,\)"):
        device.load_state(TrustEstimator(7, TrustConfig(), is_compiled=False).state())
    groups = DeviceTrust(3, TrustConfig(), num_groups=2)
    with pytest.raises(InputError, match=r"alpha is \(4, 3\): give \(2, 3\)"):
        groups.load_state(DeviceTrust(3, TrustConfig(), num_groups=4).state())
