"""Many robust filters in torch have the results of as many in NumPy, and read no value on the host."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.runtime.trust.commensurable.robust_filter import RobustFilter
from sage.runtime.trust.commensurable.rules import FusionRules, Sources
from sage.runtime.trust.on_device.filters import DeviceFilters
from sage.runtime.trust.on_device.graphs import recorded

pytestmark = pytest.mark.torch
TRANSITION = np.kron(np.eye(2), np.array([[1.0, 1.0], [0.0, 1.0]]))
PROCESS = 0.02 * np.kron(np.eye(2), np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]]))
POSITION = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0]])
START = np.diag([100.0, 1.0, 100.0, 1.0])
NUM_FILTERS, NUM_STEPS = 5, 90
FAULT = slice(40, 75)
REPORTED = ("state", "cov", "responsibility", "nis", "scale", "trust")


def sources(num: int, lineage: str | None = None, dims: list[int] | None = None) -> Sources:
    sigma = 0.5 + np.arange(num) % 4 / 2
    return Sources(
        np.tile(POSITION, (num, 1, 1)), sigma[:, None, None] ** 2 * np.eye(2), lineage=lineage, dims=dims
    )


def tracks(num: int, seed: int = 0) -> np.ndarray:
    """(T, B, N, 2). A source that is stuck; one that is noisy and another that drops out; spikes, and a step
    without a reading; a jump of the truth; two that drift together.
    """
    generator = np.random.default_rng(seed)
    truth = np.cumsum(generator.standard_normal((NUM_STEPS, NUM_FILTERS, 2)) * 0.3, axis=0)
    truth[FAULT.start + 10 :, 3] += 40.0
    readings = truth[:, :, None] + generator.standard_normal((NUM_STEPS, NUM_FILTERS, num, 2)) * (
        0.5 + np.arange(num)[:, None] % 4 / 2
    )
    readings[FAULT, 0, 0] = readings[FAULT.start, 0, 0]
    readings[FAULT, 1, 0] += 9 * generator.standard_normal((FAULT.stop - FAULT.start, 2))
    readings[FAULT, 1, num - 1, 1] = np.nan
    is_spike = generator.random((NUM_STEPS, num)) < 0.1
    readings[:, 2] += np.where(is_spike[:, :, None], 25.0, 0.0)
    readings[50:53, 2] = np.nan
    drift = 0.1 * np.arange(FAULT.stop - FAULT.start)
    readings[FAULT, 4, :2] += drift[:, None, None]
    readings[generator.random(readings.shape[:3]) < 0.05] = np.nan
    return readings


def assert_same(device: DeviceFilters, plain: list[RobustFilter], message: str, rtol: float = 1e-9) -> None:
    for name in REPORTED:
        expected = np.stack([getattr(each, name) for each in plain])
        np.testing.assert_allclose(
            getattr(device, name).numpy(), expected, rtol=rtol, atol=1e-9, err_msg=f"{name}, {message}"
        )
    assert device.num_jumps.tolist() == [each.num_jumps for each in plain], message


def both(
    given: Sources, rules: FusionRules | None = None, dtype: torch.dtype = torch.float64
) -> tuple[DeviceFilters, list[RobustFilter]]:
    device = DeviceFilters(np.zeros(4), START, given, rules, num_filters=NUM_FILTERS, dtype=dtype)
    plain = [RobustFilter(np.zeros(4), START, given, rules, is_compiled=False) for _ in range(NUM_FILTERS)]
    return device, plain


def step(
    device: DeviceFilters, plain: list[RobustFilter], readings: np.ndarray, ratio: np.ndarray | None
) -> None:
    device.predict(torch.tensor(TRANSITION), torch.tensor(PROCESS))
    device.update(torch.tensor(readings), noise_ratio=None if ratio is None else torch.tensor(ratio))
    for index, each in enumerate(plain):
        each.predict(TRANSITION, PROCESS)
        each.update(readings[index], noise_ratio=None if ratio is None else ratio[index])


SLOW = [
    pytest.param(case, marks=pytest.mark.slow)
    for case in ("of one and two numbers", "gated", "four", "limited")
]


@pytest.mark.parametrize("case", ["five", "of two lineages", *SLOW])
def test_results_are_those_of_the_numpy_class(case: str) -> None:
    num = 4 if case == "four" else 5
    dims = [2, 1, 2, 2, 1] if case == "of one and two numbers" else None
    lineage = {"of two lineages": "aabbc", "four": "aaab"}.get(case)
    rules = {
        "gated": FusionRules(gate=9.21, is_prior_judged=False),
        "limited": FusionRules(anchor_limit=3.0, forgetting=0.9, window=12),
    }.get(case)
    device, plain = both(sources(num, lineage, dims), rules)
    generator = np.random.default_rng(1)
    for index, readings in enumerate(tracks(num)):
        ratio = generator.uniform(0.5, 3.0, (NUM_FILTERS, num)) if case == "limited" else None
        step(device, plain, readings, ratio)
        if index % 7 == 3:
            is_rejected = generator.random((NUM_FILTERS, num)) < 0.1
            device.reject(torch.tensor(is_rejected))
            for own, each in zip(is_rejected, plain, strict=True):
                each.reject(own)
        assert_same(device, plain, f"step {index}")
    if case in ("five", "of one and two numbers"):
        assert plain[3].num_jumps == 1  # the truth jumped, and the rivals decided it alike


def test_ranges_of_a_moving_target_give_the_same_results() -> None:
    """A measurement and a motion that are not linear, with one number a source and a state of two."""
    stations = np.random.default_rng(5).uniform(-20, 20, (6, 2))
    given = Sources(np.zeros((6, 1, 2)), np.full((6, 1, 1), 0.3**2), quantity="abcdef")
    device = DeviceFilters(np.ones(2), 4 * np.eye(2), given, num_filters=3)
    plain = [RobustFilter(np.ones(2), 4 * np.eye(2), given, is_compiled=False) for _ in range(3)]

    def turned(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sin(state) + state, np.diag(np.cos(state) + 1)

    def turned_tensors(state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return state.sin() + state, torch.diag_embed(state.cos() + 1)

    def ranges(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        away = state - stations
        length = np.linalg.norm(away, axis=1)
        return length[:, None], (away / length[:, None])[:, None]

    def range_tensors(state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        away = state[:, :, None] - torch.tensor(stations)
        length = away.norm(dim=3, keepdim=True)
        return length, (away / length)[:, :, :, None]

    generator = np.random.default_rng(6)
    for index in range(40):
        truth = np.array([[3.0, 1.0], [2.0, 5.0], [4.0, 4.0]]) + 0.01 * index
        readings = np.linalg.norm(truth[:, None] - stations, axis=2) + 0.3 * generator.standard_normal((3, 6))
        readings[0, 2] += 15.0 if index > 15 else 0.0
        device.predict(turned_tensors, 0.1 * torch.eye(2, dtype=torch.float64))
        device.update(torch.tensor(readings[:, :, None]), range_tensors)
        for each, own in zip(plain, readings, strict=True):
            each.predict(turned, 0.1 * np.eye(2))
            each.update(own[:, None], ranges)
        assert_same(device, plain, f"step {index}")
    assert device.trust[0, 2] < 0.5 < device.trust[1, 2]


@pytest.mark.slow
def test_single_precision_is_close() -> None:
    device, plain = both(sources(5), dtype=torch.float32)
    transition, process = (torch.tensor(each, dtype=torch.float32) for each in (TRANSITION, PROCESS))
    for readings in tracks(5):
        device.predict(transition, process)
        device.update(torch.tensor(readings))
        for own, each in zip(readings, plain, strict=True):
            each.predict(TRANSITION, PROCESS)
            each.update(own)
    np.testing.assert_allclose(device.state.numpy(), np.stack([each.state for each in plain]), atol=0.05)
    np.testing.assert_allclose(device.trust.numpy(), np.stack([each.trust for each in plain]), atol=0.01)


def test_what_was_learned_goes_from_one_class_to_the_other_and_back() -> None:
    given = tracks(5)
    device, plain = both(sources(5))
    for readings in given[:60]:
        step(device, plain, readings, None)
    learned = device.learned()
    device, plain = both(sources(5))
    device.load_learned(learned)
    for index, each in enumerate(plain):
        each.load_learned({name: array[index] for name, array in learned.items()})
    for readings in given[60:70]:
        step(device, plain, readings, None)
    assert_same(device, plain, "after restoring")
    device.load_learned(plain[1].learned())
    for index in range(NUM_FILTERS):
        np.testing.assert_array_equal(device.learned()["evidence"][index], plain[1].learned()["evidence"])


@pytest.mark.parametrize("lineage", [None, "aabbc"])
def test_a_step_reads_no_value_on_the_host(lineage: str | None, calls_of, assert_stays_on_device) -> None:
    def make(device: torch.device):
        filters = DeviceFilters(
            np.zeros(4), START, sources(5, lineage), num_filters=NUM_FILTERS, device=device
        )
        transition, process = (torch.tensor(each, device=device) for each in (TRANSITION, PROCESS))
        readings = torch.zeros(NUM_FILTERS, 5, 2, device=device, dtype=torch.float64)

        def one(given: np.ndarray | None = None) -> None:
            if given is not None:
                readings.copy_(torch.tensor(given))
            filters.predict(transition, process)
            filters.update(readings)
            filters.reject(filters.nis > 30)

        return one

    assert_stays_on_device(make)
    one, counts = make(torch.device("cpu")), set()
    for given in tracks(5)[48:54]:
        calls = calls_of(lambda given=given: one(given))
        assert calls.waiting == []
        counts.add(calls.count)
    assert len(counts) == 1  # no branch depends on a value


@pytest.mark.slow
def test_the_compiler_traces_a_step_as_one_graph() -> None:
    device, plain = both(sources(5))
    transition, process = torch.tensor(TRANSITION), torch.tensor(PROCESS)

    def one(readings: torch.Tensor) -> None:
        device.predict(transition, process)
        device.update(readings)

    traced = torch.compile(one, fullgraph=True, backend="eager")
    for readings in tracks(5)[:60]:
        traced(torch.tensor(readings))
        for own, each in zip(readings, plain, strict=True):
            each.predict(TRANSITION, PROCESS)
            each.update(own)
    assert_same(device, plain, "traced")
    assert device.num_jumps[3] == 1


def test_steps_change_the_same_tensors() -> None:
    device, plain = both(sources(5))
    places = [each.data_ptr() for each in device.tensors]
    before = device.state.clone()
    for readings in tracks(5)[:30]:
        step(device, plain, readings, None)
    assert [each.data_ptr() for each in device.tensors] == places
    assert not torch.equal(device.state, before)


def test_wrong_shapes_types_and_devices_are_named() -> None:
    given = sources(5)
    with pytest.raises(InputError, match=r"dtype is torch\.float16"):
        DeviceFilters(np.zeros(4), START, given, num_filters=2, dtype=torch.float16)
    with pytest.raises(InputError, match="num_filters is 0"):
        DeviceFilters(np.zeros(4), START, given, num_filters=0)
    with pytest.raises(InputError, match=r"state is \(3,\): give \(4,\) or \(2, 4\)"):
        DeviceFilters(np.zeros(3), START, given, num_filters=2)
    filters = DeviceFilters(np.zeros(4), START, given, num_filters=2)
    with pytest.raises(InputError, match=r"readings are \(5, 2\): give \(2, 5, 2\)"):
        filters.update(torch.zeros(5, 2))
    with pytest.raises(InputError, match=r"floor is \(3,\): give \(2, 5\) or \(5,\)"):
        filters.load_learned(filters.learned() | {"floor": np.ones(3)})
    with pytest.raises(InputError, match="tensors are on cpu: a graph needs them on cuda"):
        recorded(lambda: None, filters.tensors)


def test_the_example_of_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[4] / "docs" / "trust.md").read_text()
    (code,) = (
        each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "DeviceFilters" in each
    )
    exec(compile(code, "docs/trust.md", "exec", dont_inherit=True), {})
    printed = capsys.readouterr().out
    assert printed.count("True") == 2, printed
