"""Data that is there on some machines, and a folder of ARC puzzles made up here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def puzzle_data(data_folder: Path) -> Path:
    """The folder of puzzles; the test is skipped where there is none."""
    if not (data_folder / "sudoku").is_dir():
        pytest.skip(f"no puzzles in {data_folder}: set SAGE_DATA")
    return data_folder


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
