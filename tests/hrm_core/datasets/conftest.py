"""Source data for builders: ARC puzzles and sudokus made for the tests."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sage.hrm_core.datasets.build_sudoku import build_sudoku
from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask


@pytest.fixture(scope="session")
def arc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """training/ and evaluation/ of six puzzles each: the rule is to mirror the grid."""
    folder, rng = tmp_path_factory.mktemp("arc"), np.random.default_rng(3)
    for side in ("training", "evaluation"):
        (folder / side).mkdir()
        for number in range(6):
            grids = [rng.integers(0, 6, size=rng.integers(2, 6, size=2)) for _ in range(4)]
            rows = [{"input": grid.tolist(), "output": grid[:, ::-1].tolist()} for grid in grids]
            (folder / side / f"{side}{number}.json").write_text(
                json.dumps({"train": rows[:3], "test": rows[3:]})
            )
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.csv and test.csv as on the hub: 12 and 5 sudokus."""
    folder, task = tmp_path_factory.mktemp("published"), SudokuTask(SudokuConfig())
    sides = {"train": task.sample(12, np.random.default_rng(0)), "test": task.held_out(5)}
    for side, examples in sides.items():
        with (folder / f"{side}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["source", "question", "answer", "rating"])
            for number, (puzzle, answer) in enumerate(zip(examples.inputs, examples.labels)):
                rows.writerow(["here", task.decode(puzzle), task.decode(answer), number])
    return folder


@pytest.fixture
def built(published: Path, tmp_path: Path) -> Path:
    build_sudoku(published, out=tmp_path / "sudoku", subsample_size=6, num_aug=3)
    return tmp_path / "sudoku"
