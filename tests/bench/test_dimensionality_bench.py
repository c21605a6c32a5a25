"""The bench of dimensions measures H and L on the same cells, and its intervals are of puzzles."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any

import dimensionality
import harness
import numpy as np
import pytest
from _dimensionality_nets import Level, ShuffledLabels, States, shipped, states_of, untrained
from dimensionality import (
    CANDIDATES,
    CELLS,
    DESIGNS,
    MEAN,
    ONE,
    TRAJECTORY,
    Dimensions,
    Scale,
    bars_of,
    measure,
    rows_of,
)

from sage.hrm_core.tasks.catalogue import make_task


def level_of(seed: int, num_axes: int) -> Level:
    """Of two segments, 100 puzzles, 4 cells, 1 candidate and 8 features, of which `num_axes` vary."""
    cells = np.random.default_rng(seed).standard_normal((2, 100, 4, 1, 8))
    cells *= np.repeat([1.0, 0.0], [num_axes, 8 - num_axes])
    return Level(cells=cells, mean=cells[-1].mean(axis=1).reshape(100, -1))


STATES = States(high=level_of(0, 4), low=level_of(1, 1), exact=0.5)


def test_every_design_finds_the_known_ratio_with_its_interval() -> None:
    net, scale = shipped("sudoku4"), Scale(draws=40)
    for design, num in ((CELLS, 400), (TRAJECTORY, 400), (CANDIDATES, 400), (ONE, 100), (MEAN, 100)):
        base = measure(net, STATES, design, scale, [])
        assert base.found.n == num
        assert base.found.ratio == pytest.approx(4.0, rel=0.15)
        assert base.found.interval[0] < base.found.ratio * 1.02
        assert base.found.interval[1] > base.found.ratio * 0.98
        same = measure(net, STATES, design, scale, [base, base])
        assert same.found.over == pytest.approx((1.0, 1.0, 1.0))


def test_both_levels_are_read_at_the_same_cells_and_segments() -> None:
    same = States(high=STATES.high, low=STATES.high, exact=0.0)
    for design in DESIGNS:
        high, low = rows_of(same, design)
        np.testing.assert_array_equal(high, low)


def test_labels_are_those_of_other_puzzles_and_nets_of_a_shape_differ_by_weights() -> None:
    task = make_task("sudoku", size=4)
    plain = task.sample(50, np.random.default_rng(0))
    mixed = ShuffledLabels(task).sample(50, np.random.default_rng(0))
    np.testing.assert_array_equal(mixed.inputs, plain.inputs)
    assert sorted(map(tuple, mixed.labels)) == sorted(map(tuple, plain.labels))
    assert not task.verify(mixed.inputs, mixed.answers()).all()
    net = shipped("sudoku4")
    states = [states_of(each, 6, 2, 3, batch=4) for each in (net, untrained(net, 0), untrained(net, 1))]
    assert states[0].exact > states[1].exact
    width = net.model.config.hidden_size
    assert states[0].high.cells.shape == states[1].low.cells.shape == (2, 6, 3, 4, width)
    assert states[0].high.mean.shape == (6, 4 * width)
    assert not np.allclose(states[1].high.cells, states[2].high.cells)


def test_bars_are_of_the_worst_seed_and_owed_in_a_quick_run() -> None:
    whole: dict[str, Any] = {
        "shape": "a", "design": CELLS, "n": 9, "high": 1.0, "low": 1.0, "naive": 1.0, "exact": 1.0,
    }  # fmt: skip
    found = [
        Dimensions(**whole, kind="untrained", seed=0, ratio=1.0, interval=(0.9, 1.1)),
        Dimensions(**whole, kind="trained", seed=0, ratio=2.0, interval=(1.8, 2.2), over=(2.0, 1.7, 2.3)),
        Dimensions(**whole, kind="trained", seed=1, ratio=1.2, interval=(0.8, 1.6), over=(1.1, 0.7, 1.4)),
    ]
    assert [bar.value for bar in bars_of(found, is_quick=False)] == [1.2, 0.8, 0.7]
    assert not any(math.isfinite(bar.value or math.nan) for bar in bars_of(found, is_quick=True))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_quick_run_prints_every_design_and_owes_its_bars() -> None:
    script = harness.ROOT / "implementation" / "bench" / "dimensionality.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, script, "--quick"], capture_output=True, text=True, check=True, env=environment
    )
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["bench"] == "dimensionality"
    assert {each["design"] for each in document["results"]["dimensions"]} == set(DESIGNS)
    assert {each["kind"] for each in document["results"]["dimensions"]} == {
        "untrained", "shipped", "trained", "labels shuffled",
    }  # fmt: skip
    assert all(bar["met"] is None for bar in document["bars"])
    assert dimensionality.QUICK.models == ("sudoku6",)
