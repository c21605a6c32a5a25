"""The benchmark of robust fusion: its scenarios, baselines, limits and bars by known cases; a quick run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import harness
import numpy as np
import pytest
from _fusion_baselines import BASELINES, robust
from _fusion_plaza import Plaza, with_fault
from _fusion_recordings import compared, spoiled
from _fusion_scenarios import (
    FAULT,
    HELD_OUT,
    SCENARIOS,
    START_COV,
    consistency,
    kalman,
    make_run,
    oracle,
    position_error,
)
from _fusion_table import Figures, errors_table, make_bars, make_recording_bars, recordings_table
from fusion import compare_limits

from sage.runtime.prediction.predictor import PredictionScored


def test_a_fault_is_in_the_readings_and_told_to_the_oracle() -> None:
    clean = make_run("nominal", 3)
    for scenario in (*SCENARIOS, *HELD_OUT):
        run = make_run(scenario, 3)
        before = slice(0, FAULT.start)
        assert np.array_equal(run.readings[before], clean.readings[before]), scenario
        is_changed = not np.array_equal(run.readings[FAULT], clean.readings[FAULT], equal_nan=True)
        assert is_changed == (scenario not in ("nominal", "overconfident")), scenario
        if scenario in ("stuck", "bias 8 s", "drift", "two collude", "three collude", "delay"):
            num = {"two collude": 2, "three collude": 3}.get(scenario, 1)
            assert np.isinf(run.real[FAULT]).sum() == num * 200, scenario
            assert np.isfinite(run.real[before]).all()
    assert make_run("overconfident", 3).claimed[3] == 0.3
    copies = make_run("duplicate sources", 3).readings[300]
    assert np.array_equal(copies[3], copies[4])


def test_baselines_stand_where_their_formulas_put_them() -> None:
    run = make_run("stuck", 0)
    best = position_error(oracle(run, "stuck"), run)
    ratios = {name: position_error(arm(run)[0], run) / best for name, arm in BASELINES.items()}
    assert position_error(robust(run, is_compiled=False)[0], run) < 1.1 * best
    assert 1.3 < ratios["median"] < 3.0
    assert min(ratios["mean"], ratios["inverse variance"], ratios["the fork's"]) > 20.0
    assert max(ratios["Student-t"], ratios["variational adaptive"]) < 3.0
    nominal = make_run("nominal", 0)
    claimed = np.tile(nominal.claimed, (len(nominal.truth), 1))
    states, covs = kalman(nominal, claimed)
    assert 0.7 < consistency(states, covs, nominal) < 1.4
    for name in ("Student-t", "innovation-adaptive R", "variational adaptive"):
        found, spread = BASELINES[name](nominal)
        assert spread is not None
        assert position_error(found, nominal) < 1.2 * position_error(states, nominal), name


def test_limits_are_compared_with_what_the_peers_gave() -> None:
    run = make_run("nominal", 0)
    states, covs = kalman(run, np.tile(run.claimed, (len(run.truth), 1)))
    means, given = np.array([[1.0] * 4, [2.0] * 4]), np.array([START_COV, 2 * START_COV])
    information = 0.7 * np.linalg.inv(given[0]) + 0.3 * np.linalg.inv(given[1])
    cov = np.linalg.inv(information)
    mean = cov @ (0.7 * np.linalg.solve(given[0], means[0]) + 0.3 * np.linalg.solve(given[1], means[1]))
    peer = {"states": states, "covs": covs[-1], "means": means, "given": given}
    same = compare_limits(peer | {"chernoff": [(0.3, mean, cov)]}, run)
    assert max(same.values()) < 1e-9
    other = compare_limits(peer | {"chernoff": [(0.4, mean, cov)], "states": states + 0.1}, run)
    assert min(other.values()) > 1e-3


def test_bars_follow_the_figures() -> None:
    figures = Figures()
    for scenario in SCENARIOS:
        figures.add("oracle", scenario, 2.0, None)
        figures.add("robust fusion", scenario, 2.1, 1.1)
        figures.add("filterpy", scenario, 2.0, 1.0)
        figures.add("filterpy + NIS gate", scenario, 4.0, 1.0)
    figures.settled = {"kidnap": [3.0], "nominal": [1.0]}
    errors = {"nominal": 1.0, "bias": 1.0, "stuck": 1.0, "odometry jump": 1.4}
    plaza = {"Plaza1": {"robust fusion": errors, "NIS gate": errors}}
    bars = {
        bar.name: bar.is_met for bar in make_bars(figures, plaza, {}, {"filterpy": 1e-12}, is_quick=False)
    }
    assert bars["geometric mean of the ten scenarios"] is True
    assert bars["nominal over filterpy"] is False
    assert bars["24 steps after a kidnap, over nominal"] is False
    assert bars["Plaza1: odometry jump over nominal"] is True
    assert bars["Plaza2: odometry jump over nominal"] is None
    assert bars["limit: largest difference from Stone Soup"] is None
    quick = make_bars(figures, plaza, {}, None, is_quick=True)
    assert {bar.is_met for bar in quick} == {None}
    assert errors_table(figures).rows[-1][1:] == ("1.05", "1.00", "2.00")


def test_faults_of_a_recording() -> None:
    ranges = np.stack([np.arange(90.0), np.arange(90) % 4, np.linspace(10, 20, 90)], axis=1)
    odometry = np.stack([np.arange(90.0), np.full(90, 0.1), np.zeros(90)], axis=1)
    plaza = Plaza(np.zeros(3), odometry, ranges, np.zeros((4, 2)), np.zeros((90, 2)))
    stuck, jumped = with_fault(plaza, "stuck"), with_fault(plaza, "odometry jump")
    is_hit = stuck.ranges[:, 2] != ranges[:, 2]
    assert set(ranges[is_hit, 1]) == {1.0}
    assert len(set(stuck.ranges[is_hit, 2])) == 1
    assert jumped.odometry[:, 1].sum() == pytest.approx(9.0 + 10.0)
    assert np.array_equal(with_fault(plaza, "nominal").ranges, ranges)


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_a_recording_is_spoiled_from_a_time_on(tmp_path: Path, suffix: str) -> None:
    table = np.stack([np.arange(20.0), np.sin(np.arange(20.0)), np.cos(np.arange(20.0))], axis=1)
    path = tmp_path / f"clean{suffix}"
    if suffix == ".csv":
        np.savetxt(path, table, delimiter=",", header="t,a,b", comments="")
    else:
        np.savez(path, log=table, log__cols=np.array(["t", "a", "b"]))
    sensor = {"path": str(path), "key": "log", "time": "t", "columns": ["a"]}
    for fault in ("stuck", "bias"):
        out = spoiled(sensor, fault, 12.0, tmp_path)
        found = np.load(out)["log"] if suffix == ".npz" else np.loadtxt(out, delimiter=",", skiprows=1)
        np.testing.assert_allclose(found[:, [0, 2]], table[:, [0, 2]])
        np.testing.assert_allclose(found[:12], table[:12])
        wanted = np.full(8, table[12, 1]) if fault == "stuck" else table[12:, 1] + 4 * table[:12, 1].std()
        np.testing.assert_allclose(found[12:, 1], wanted)


def test_errors_after_a_fault_are_those_of_the_true_signal() -> None:
    def event(source: str, time: int, predicted: float, actual: float) -> PredictionScored:
        values = (np.array([each]) for each in (actual, 0.0, predicted, 0.0, 2.0))
        named = dict(zip(("actual", "last", "predicted", "skip", "scale"), values, strict=True))
        return PredictionScored(source=source, captured_ns=time, horizon_ns=1, **named)

    clean = [event(source, time, 1.0, 0.0) for time in range(9) for source in ("a", "b")]
    faulty = [event(source, time, 4.0, 9.0) for time in range(9) for source in ("a", "b")]
    assert compared(clean, clean, "b") == {"healthy": 0.25, "faulty": 0.25}
    assert compared(faulty, clean, "b") == {"healthy": 4.0, "faulty": 4.0}
    errors = {"none": compared(clean, clean, "b"), "bias": compared(faulty, clean, "b")}
    found = {"flight": [{"trust": errors}]}
    assert recordings_table(found).rows == (("flight", "trust", "0.250", "16.00 ± 0.00", "16.00 ± 0.00"),)
    assert [bar.is_met for bar in make_recording_bars(found, is_quick=False)] == [False, False]


@pytest.mark.slow
def test_a_quick_run(tmp_path: Path) -> None:
    script = harness.ROOT / "implementation" / "bench" / "fusion.py"
    found = subprocess.run(
        [sys.executable, str(script), "--quick"], capture_output=True, text=True, check=True, timeout=300
    )
    whole = json.loads(found.stdout.splitlines()[-1])
    assert whole["bench"] == "fusion"
    assert {bar["met"] for bar in whole["bars"]} == {None}
    assert whole["results"]["figures"]["errors"]["robust fusion"]["stuck"][0] < 1.0
