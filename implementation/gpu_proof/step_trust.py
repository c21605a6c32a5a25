"""Trust in torch on the card: the results of the processor, no value read by the host, a CUDA graph, the time
of a step beside the compiled one of the processor.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from trust_numba import PROCESS, START, TRANSITION, sources, tracks
from verdict import Absent, Verdict, step_arguments

from sage.runtime.config import TrustConfig
from sage.runtime.trust.commensurable.robust_filter import RobustFilter
from sage.runtime.trust.contract import Evidence
from sage.runtime.trust.estimator import TrustEstimator
from sage.runtime.trust.on_device.estimator import DeviceTrust, TensorEvidence
from sage.runtime.trust.on_device.filters import DeviceFilters
from sage.runtime.trust.on_device.graphs import recorded

TOLERANCE = 1e-6
NUM_STEPS, NUM_TICKS = 120, 300
#: Filters and sources of each; then those of the fake.
SIZES, FAKE_SIZES = ((1, 64), (1000, 5), (1000, 64)), ((1, 64), (20, 5))
NUM_TIMED, NUM_FAKE_TIMED = 200, 5
NUMBA_SECS = 30.0
REPORTED = ("state", "cov", "responsibility", "nis", "trust")


class Fusion:
    """A batch of filters with the tensors that a step reads."""

    def __init__(self, device: torch.device, num_filters: int, num: int) -> None:
        self.filters = DeviceFilters(np.zeros(4), START, sources(num), num_filters=num_filters, device=device)
        self.readings = torch.zeros(num_filters, num, 2, dtype=torch.float64, device=device)
        self._motion = [torch.tensor(each, device=device) for each in (TRANSITION, PROCESS)]

    def step(self) -> None:
        self.filters.predict(*self._motion)
        self.filters.update(self.readings)


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()
    if not arguments.fake and not torch.cuda.is_available():
        verdict.run("trust on the card", lambda: _lacks(f"torch {torch.__version__} sees no GPU"))
        verdict.finish()
    device = torch.device("cpu" if arguments.fake else "cuda")
    sizes = FAKE_SIZES if arguments.fake else SIZES
    beside = None if arguments.fake else _begin_numba([num for _, num in sizes])
    verdict.run("filters equal those of the processor", lambda: _filters_are_equal(device))
    verdict.run("the estimator equals that of the processor", lambda: _estimators_are_equal(device))
    verdict.run("a step reads no value on the host", lambda: _reads_nothing(device))
    verdict.run("a recorded step does what the step does", lambda: _graph_is_equal(device))
    num_timed = NUM_FAKE_TIMED if arguments.fake else NUM_TIMED
    verdict.run("the time of a step", lambda: verdict.facts.update(step_us=_times(device, sizes, num_timed)))
    verdict.run("beside the compiled step", lambda: verdict.facts.update(compiled_us=_end_numba(beside)))
    verdict.finish()


def _filters_are_equal(device: torch.device) -> None:
    num_filters, num = 4, 6
    fusion = Fusion(device, num_filters, num)
    plain = [RobustFilter(np.zeros(4), START, sources(num), is_compiled=False) for _ in range(num_filters)]
    for step, given in enumerate(tracks(num, num_filters, NUM_STEPS)):
        fusion.readings.copy_(torch.tensor(given))
        fusion.step()
        for own, readings in zip(plain, given, strict=True):
            own.predict(TRANSITION, PROCESS)
            own.update(readings)
        for name in REPORTED:
            _assert_close(
                f"{name} at step {step}",
                getattr(fusion.filters, name),
                np.stack([getattr(own, name) for own in plain]),
            )
    num_jumps = [own.num_jumps for own in plain]
    assert fusion.filters.num_jumps.tolist() == num_jumps, f"jumps {fusion.filters.num_jumps.tolist()}"
    assert num_jumps[0] > 0, "the jump was not seen"


def _estimators_are_equal(device: torch.device) -> None:
    num = 8
    own, plain = (
        DeviceTrust(num, TrustConfig(), device=device),
        TrustEstimator(num, TrustConfig(), is_compiled=False),
    )
    for tick, evidence in enumerate(_evidence(num)):
        own.update(_on(device, evidence))
        plain.update(evidence)
        for name in ("trust", "nis", "responsibility", "noise"):
            _assert_close(f"{name} at tick {tick}", getattr(own, name), getattr(plain, name))
        assert own.is_stuck.tolist() == plain.is_stuck.tolist(), f"stuck at tick {tick}"
    assert plain.is_stuck[1], "the frozen source was not found"


def _reads_nothing(device: torch.device) -> None:
    if device.type != "cuda":
        raise Absent("no card: nothing waits for it")
    fusion, trust = Fusion(device, 3, 6), DeviceTrust(8, TrustConfig(), device=device)
    evidence = [_on(device, each) for each in _evidence(8)[:60]]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for each in evidence:
            fusion.step()
            trust.update(each)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _graph_is_equal(device: torch.device) -> None:
    if device.type != "cuda":
        raise Absent("no card: nothing records a graph")
    replayed, plain = Fusion(device, 4, 6), Fusion(device, 4, 6)
    graph = recorded(replayed.step, replayed.filters.tensors)
    for step, given in enumerate(tracks(6, 4, NUM_STEPS)):
        for each in (replayed, plain):
            each.readings.copy_(torch.tensor(given))
        graph.replay()
        plain.step()
        _assert_close(f"state at step {step}", replayed.filters.state, plain.filters.state.cpu().numpy())
    evidence = [_on(device, each) for each in _evidence(8)]
    given = _on(device, _evidence(8)[0])
    trust, beside = (DeviceTrust(8, TrustConfig(), device=device) for _ in range(2))
    graph = recorded(lambda: trust.update(given), trust.tensors)
    for tick, each in enumerate(evidence):
        for name in Evidence.__slots__:
            if (tensor := getattr(given, name)) is not None:
                tensor.copy_(getattr(each, name))
        graph.replay()
        beside.update(each)
        _assert_close(f"trust at tick {tick}", trust.trust, beside.trust.cpu().numpy())


def _times(
    device: torch.device, sizes: tuple[tuple[int, int], ...], num_timed: int
) -> dict[str, dict[str, float]]:
    """Median microseconds of a step, finished on the device: call by call, and as a graph on a card."""
    found = {}
    for num_filters, num in sizes:
        fusion = Fusion(device, num_filters, num)
        given = torch.tensor(tracks(num, num_filters, 2)[0], device=device)
        fusion.readings.copy_(given)
        times = {"eager": _median_us(fusion.step, device, num_timed)}
        if device.type == "cuda":
            graph = recorded(fusion.step, fusion.filters.tensors)
            times["graph"] = _median_us(graph.replay, device, num_timed)
        found[f"{num_filters} filters of {num} sources"] = times
    trust = DeviceTrust(64, TrustConfig(), device=device)
    evidence = _on(device, _evidence(64)[0])
    times = {"eager": _median_us(lambda: trust.update(evidence), device, num_timed)}
    if device.type == "cuda":
        graph = recorded(lambda: trust.update(evidence), trust.tensors)
        times["graph"] = _median_us(graph.replay, device, num_timed)
    return {**found, "estimator of 64 sources": times}


def _median_us(step: Callable[[], None], device: torch.device, num_timed: int) -> float:
    spent = []
    for _ in range(num_timed):
        started = time.perf_counter_ns()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter_ns() - started)
    return statistics.median(spent) / 1e3


def _evidence(num: int) -> list[Evidence]:
    """Source 1 freezes in the middle, 2 is contradicted; a twentieth of the innovations is undefined."""
    generator, found = np.random.default_rng(3), []
    for tick in range(NUM_TICKS):
        is_faulty = tick > NUM_TICKS // 2
        innovation, error = generator.chisquare(2, (2, num)) / 2
        innovation[2] = 60.0 if is_faulty else innovation[2]
        error[1] = 1e-6 if is_faulty else error[1]
        innovation[generator.random(num) < 0.05] = np.nan
        found.append(
            Evidence(
                fresh=generator.random(num) < 0.9,
                innovation_sq=innovation,
                level_sq=generator.chisquare(3, num) + 2,
                self_error_sq=error,
                is_repeat=(np.arange(num) == 1) & is_faulty,
            )
        )
    return found


def _on(device: torch.device, evidence: Evidence) -> TensorEvidence:
    given = {name: getattr(evidence, name) for name in Evidence.__slots__}
    return TensorEvidence(
        **{name: None if each is None else torch.tensor(each, device=device) for name, each in given.items()}
    )


def _assert_close(name: str, found: torch.Tensor, expected: np.ndarray) -> None:
    off = np.nanmax(np.abs(found.cpu().numpy() - expected) / (1 + np.abs(expected)), initial=0.0)
    assert np.array_equal(np.isnan(found.cpu().numpy()), np.isnan(expected)), f"{name}: other gaps"
    assert off <= TOLERANCE, f"{name}: off by {off:.1e}"


def _begin_numba(counts: list[int]) -> subprocess.Popen[str] | None:
    """Compiles while the card is tried; None without numba."""
    if importlib.util.find_spec("numba") is None:
        return None
    script = Path(__file__).with_name("trust_numba.py")
    command = [sys.executable, str(script), *map(str, sorted(set(counts)))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _end_numba(beside: subprocess.Popen[str] | None) -> dict[str, float]:
    if beside is None:
        raise Absent("no numba, or no card to compare it with")
    try:
        printed, _ = beside.communicate(timeout=NUMBA_SECS)
    except subprocess.TimeoutExpired:
        beside.kill()
        raise Absent(f"not compiled within {NUMBA_SECS:.0f} s") from None
    assert beside.returncode == 0, f"ended with {beside.returncode}"
    found: dict[str, float] = json.loads(printed)
    return found


def _lacks(what: str) -> None:
    raise Absent(what)


if __name__ == "__main__":
    main()
