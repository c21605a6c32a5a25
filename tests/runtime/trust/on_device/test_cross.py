"""The leave-one-out Gaussian in torch has the results of the one in NumPy, and judges a whole loop alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.runtime.config import TrustConfig
from sage.runtime.trust.contract import Evidence
from sage.runtime.trust.cross import CrossPredictor
from sage.runtime.trust.estimator import TrustEstimator
from sage.runtime.trust.on_device.cross import DeviceCross
from sage.runtime.trust.on_device.estimator import DeviceTrust, TensorEvidence

pytestmark = pytest.mark.torch
OFFSETS = np.array([0, 2, 3, 6, 8, 9])
WITNESS = np.array([True, True, True, True, False])
NUM_TICKS, FAULT_AT = 200, 120


def readings(generator: np.random.Generator) -> np.ndarray:
    """(T, 9) of one smooth latent; the third source is off from the middle on."""
    mixing = generator.normal(0, 1, (2, 9))
    latent = np.zeros((NUM_TICKS, 2))
    for tick in range(1, NUM_TICKS):
        latent[tick] = 0.9 * latent[tick - 1] + generator.normal(0, 0.4, 2)
    z: np.ndarray = latent @ mixing + generator.normal(0, 0.1, (NUM_TICKS, 9))
    z[FAULT_AT:, 3:6] += 4.0
    return z


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array)


def test_prediction_and_trust_together_are_those_of_the_numpy_classes() -> None:
    generator = np.random.default_rng(0)
    plain, cross = CrossPredictor(OFFSETS, WITNESS, is_compiled=False), DeviceCross(OFFSETS, WITNESS)
    trust, own = TrustEstimator(5, TrustConfig(), is_compiled=False), DeviceTrust(5, TrustConfig())
    nothing, unmoved = np.full(5, np.nan), np.zeros(5, dtype=bool)
    for tick, z in enumerate(readings(generator)):
        present = generator.random(5) < 0.9
        expected = plain.judge(z, trust.trust, present, trust.noise)
        found = cross.judge(tensor(z), own.trust, tensor(present), own.noise)
        for name in ("estimate", "innovation", "is_defined"):
            np.testing.assert_allclose(
                getattr(found, name).numpy(), getattr(expected, name), rtol=1e-9, atol=1e-9, err_msg=f"{tick}"
            )
        plain.update(z, trust.trust, present)
        cross.update(tensor(z), own.trust, tensor(present))
        square = np.add.reduceat(expected.innovation**2, OFFSETS[:-1]) / np.diff(OFFSETS)
        level = np.add.reduceat(z**2, OFFSETS[:-1]) / np.diff(OFFSETS)
        trust.update(
            Evidence(
                fresh=present,
                innovation_sq=np.where(expected.is_defined, square, np.nan),
                level_sq=level,
                self_error_sq=nothing,
                is_repeat=unmoved,
            )
        )
        own.update(
            TensorEvidence(
                fresh=tensor(present),
                innovation_sq=found.innovation_sq,
                level_sq=tensor(level),
                self_error_sq=tensor(nothing),
                is_repeat=tensor(unmoved),
            )
        )
        np.testing.assert_allclose(own.trust.numpy(), trust.trust, rtol=1e-9, atol=1e-9, err_msg=f"{tick}")
    assert trust.trust[2] < 0.5 < trust.trust[0]


def test_a_state_goes_from_one_class_to_the_other_and_back() -> None:
    generator = np.random.default_rng(1)
    given, all_present = readings(generator), np.ones(5, dtype=bool)
    plain, cross = CrossPredictor(OFFSETS, is_compiled=False), DeviceCross(OFFSETS)
    for z in given[:85]:
        plain.update(z, np.ones(5), all_present)
    cross.load_state(plain.state())
    again = CrossPredictor(OFFSETS, is_compiled=False)
    again.load_state(cross.state())
    ratio = generator.uniform(0.5, 2, len(given[0]))
    again.rescale(ratio)
    cross.rescale(tensor(ratio))
    for z in given[85:110]:
        expected = again.judge(z, np.ones(5), all_present, np.full(5, 0.2))
        found = cross.judge(*(tensor(each) for each in (z, np.ones(5), all_present, np.full(5, 0.2))))
        np.testing.assert_allclose(found.estimate.numpy(), expected.estimate, rtol=1e-9, atol=1e-9)
        again.update(z, np.ones(5), all_present)
        cross.update(*(tensor(each) for each in (z, np.ones(5), all_present)))
    with pytest.raises(InputError, match=r"sum is \(9, 9\): give \(4, 4\)"):
        DeviceCross(np.array([0, 2, 4])).load_state(plain.state())


def test_it_reads_no_value_on_the_host(calls_of, assert_stays_on_device) -> None:
    def make(device: torch.device):
        cross = DeviceCross(OFFSETS, WITNESS, device=device)
        numbers = torch.ones(9, device=device, dtype=torch.float64)
        trust, present = numbers[:5], numbers[:5] > 0

        def one() -> None:
            cross.judge(numbers, trust, present, trust)
            cross.learn(numbers, trust, present)
            cross.refactor()

        return one

    assert_stays_on_device(make)
    assert calls_of(make(torch.device("cpu"))).waiting == []
