"""The whole against its parts: scores and paired differences of known cells, kept cells, and the settings."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from _scoring import Stream
from _whole_arms import ARMS, FULL, SUITES
from _whole_cells import Cell, Group, difference, keep, kept, score
from _whole_recordings import NUM_BLOCKS, group_of
from whole import scale_of

from sage.app.config.sage_config import load_config
from sage.runtime.config import SolverTrainingConfig


def recording(error: float, *, seed: int = 0, noise: float = 0.0) -> Cell:
    """Two sources whose error is `error` of persistence's in every block, but for noise."""
    generator = np.random.default_rng(seed)
    values = error * (1 + noise * generator.uniform(-1, 1, (2, NUM_BLOCKS)))
    ones = np.ones((2, NUM_BLOCKS)).tolist()
    group = Group(name="flight", rows=("a", "b"), values=tuple(values.tolist()), reference=tuple(ones))
    return Cell(suite="recordings", arm="any", seed=seed, groups=(group,), cpu_secs={"flight": (1.0, 2.0)})


def solved(share: float, seed: int = 0, num: int = 200) -> Cell:
    values = (np.arange(num) < share * num).astype(int).tolist()
    group = Group(name="4x4", rows=("solved",), values=(values,))
    return Cell(suite="puzzles", arm="any", seed=seed, groups=(group,), cpu_secs={"training": (80.0,)})


def test_a_known_difference_is_found_with_its_sign_and_interval() -> None:
    whole = {seed: recording(0.5, seed=seed) for seed in range(3)}
    other = {seed: recording(0.8, seed=seed) for seed in range(3)}
    assert score(whole[0], whole[0]) == pytest.approx(0.5)
    found = difference(whole, other)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((0.3, 0.3, 0.3))
    noisy = difference(whole, {seed: recording(0.8, seed=seed, noise=0.5) for seed in range(3)})
    assert noisy is not None
    assert noisy.low < noisy.mean < noisy.high
    puzzles = difference({0: solved(0.4), 1: solved(0.5, 1)}, {0: solved(0.7), 2: solved(0.1, 2)})
    assert puzzles is not None
    assert puzzles.mean == pytest.approx(-0.3)
    assert puzzles.high < -0.2
    assert puzzles.num_seeds == 1
    assert difference(whole, {}) is None


def test_errors_count_by_their_horizon_in_blocks_of_time() -> None:
    time_secs = np.arange(0.5, 8.0, 1.0)
    actual = np.arange(1.0, 9.0)[:, None]
    stream = Stream(
        source="a",
        time_secs=time_secs,
        horizon_secs=np.full(8, 2.0),
        actual=actual,
        last=actual - 1.0,
        ours=actual - 0.5,
        skip=actual,
        scale=np.ones(1),
    )
    group = group_of("flight", [stream], (0, 8_000_000_000))
    assert group.rows == ("a",)
    assert group.values[0] == pytest.approx([0.5] * NUM_BLOCKS)
    assert group.reference[0] == pytest.approx([2.0] * NUM_BLOCKS)


def test_a_finished_cell_is_read_and_one_of_another_scale_is_not(tmp_path: Path) -> None:
    cell = recording(0.5)
    of = {"suite": "recordings", "arm": asdict(ARMS["minus memory"]), "seed": 0, "scale": {"ticks": 1}}
    assert kept(tmp_path, of) is None
    keep(tmp_path, of, cell)
    again = kept(tmp_path, of)
    assert again is not None
    assert (score(again, cell), again.total_secs) == (score(cell, cell), 2.0)
    assert kept(tmp_path, of | {"scale": {"ticks": 2}}) is None


@pytest.mark.parametrize(("arguments", "ticks"), [({}, 6000), ({"ticks": 50}, 50), ({"quick": True}, 60)])
def test_the_scale_of_a_run_can_be_kept(tmp_path: Path, arguments: dict[str, object], ticks: int) -> None:
    scale = asdict(scale_of(Namespace(**{"quick": False, "ticks": None} | arguments)))
    of = {"suite": "robot", "arm": asdict(ARMS[FULL]), "seed": 0, "scale": scale}
    keep(tmp_path, of, recording(0.5))
    assert kept(tmp_path, of) is not None
    assert scale["ticks"] == ticks


def test_the_arms_are_settings_that_the_docs_name(repository: Path) -> None:
    page = (repository / "docs/configuration.md").read_text()
    for arm in ARMS.values():
        load_config("flight", arm.loop)
        SolverTrainingConfig(**arm.training)
        keys = [setting.partition("=")[0] for setting in arm.loop]
        keys += [f"solver_training.{name}" for name in arm.training]
        assert all(f"| `{key}` |" in page for key in keys)
    assert all(suite.arms[0] == FULL for suite in SUITES.values())
    assert {arm for suite in SUITES.values() for arm in suite.arms} == set(ARMS)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--only", "puzles"], "puzles is unknown"), (["--kept"], "--kept: no folder: give --runs DIR")],
)
@pytest.mark.slow
def test_a_wrong_argument_is_one_line(repository: Path, arguments: list[str], expected: str) -> None:
    done = bench(repository, *arguments)
    assert done.returncode
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr


@pytest.mark.slow
def test_a_quick_run_prints_the_document(repository: Path) -> None:
    pytest.importorskip("mujoco")
    done = bench(repository, "--quick", "--only", "recordings,puzzles,robot")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    names = {(cell["suite"], cell["arm"]) for cell in document["results"]["cells"]}
    suites = ("recordings", "puzzles", "robot")
    assert names == {(suite, arm) for suite in suites for arm in (FULL, "minus sleep")}
    assert {bar["met"] for bar in document["bars"]} == {None}


def bench(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = repository / "implementation" / "bench" / "whole.py"
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )
