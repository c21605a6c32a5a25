"""The bench of ARC: which puzzles fit, what a record keeps, and puzzles that no baseline solves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import arc
import numpy as np
import pytest
from arc import Record, Tried, baseline_solutions, chosen

from sage.errors import InputError
from sage.hrm_core.tasks.arc.source import ArcPuzzle, Pair

BENCH = Path(arc.__file__)
TRIED = Tried(name="a", side=3, is_solved=True, exact=(1.0, None), steps=(4, 4), cpu_secs=30.0)


def puzzle(name: str, side: int, *, keeps: bool = True) -> ArcPuzzle:
    """Mirrored grids; a column shorter where sizes are not kept."""
    rng = np.random.default_rng(side)
    grids = [rng.integers(0, 9, size=(2, side)).astype(np.int32) for _ in range(3)]
    pairs = [Pair(input=grid, output=grid[:, ::-1][:, : None if keeps else -1]) for grid in grids]
    return ArcPuzzle(name=name, demonstrations=tuple(pairs[:2]), tests=tuple(pairs[2:]))


def test_puzzles_that_fit_come_smallest_first() -> None:
    puzzles = [puzzle("d", 7), puzzle("c", 5), puzzle("b", 3, keeps=False), puzzle("a", 13)]
    assert [each.name for each in chosen(puzzles, 12)] == ["c", "d"]


def test_a_mirrored_puzzle_is_solved_by_symmetry_and_together() -> None:
    found = baseline_solutions([puzzle("c", 5)])
    assert {name for name, names in found.items() if names} == {"symmetry", "together"}


def test_a_record_goes_on_from_its_file_and_refuses_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    Record(path, {"steps": 4}).add(TRIED)
    again = Record(path, {"steps": 4})
    assert again.tried == [TRIED]
    assert again.cpu_minutes == 0.5
    with pytest.raises(InputError, match="made with other settings"):
        Record(path, {"steps": 5})


@pytest.mark.slow
def test_a_quick_run_ends_in_one_document(tmp_path: Path) -> None:
    for side in ("training", "evaluation"):
        (tmp_path / side).mkdir()
        rows = [
            {"input": pair.input.tolist(), "output": pair.output.tolist()}
            for pair in puzzle("c", 4).demonstrations
        ]
        (tmp_path / side / f"{side}.json").write_text(json.dumps({"train": rows, "test": rows[:1]}))
    done = subprocess.run(
        [sys.executable, str(BENCH), "--quick", "--source", str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["bench"] == "arc"
    assert found["results"]["num_tried"] == 1
    assert found["results"]["baselines"]["together"] == ["evaluation"]
    assert found["results"]["beyond_baselines"] == []


def test_without_puzzles_the_bars_are_owed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--quick", "--source", str(tmp_path / "none")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert "no such folder" in found["results"]["absent"]
    assert all(bar["met"] is None for bar in found["bars"])
