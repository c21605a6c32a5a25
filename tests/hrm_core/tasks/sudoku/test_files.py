"""Sudokus from CSV files, alone and beside fresh ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.sudoku.files import build_sudoku_task, load_csv
from sage.hrm_core.tasks.sudoku.grid import box_of_size
from sage.hrm_core.tasks.sudoku.task import BLANK, SudokuConfig, SudokuTask


def test_training_rows_of_a_file_may_be_mixed_with_fresh_ones(tmp_path: Path) -> None:
    made = SudokuTask(SudokuConfig(size=4)).sample(2, np.random.default_rng(0))
    text = "".join(
        "".join("." if cell == BLANK else str(cell - BLANK) for cell in inputs)
        + ","
        + "".join(str(cell - BLANK) for cell in labels)
        + "\n"
        for inputs, labels in zip(made.inputs, made.labels)
    )
    (tmp_path / "two.csv").write_text(f"question,answer\n{text}")
    given = {"size": 4, "givens": (8, 8), "train": str(tmp_path / "two.csv")}
    task = build_sudoku_task(SudokuConfig(**given, fresh=0.5))
    rows = task.sample(400, np.random.default_rng(1))
    num_givens = (rows.inputs != BLANK).sum(axis=1)
    assert 140 < (num_givens == 8).sum() < 260
    assert task.verify(rows.inputs, rows.labels).all()
    assert len(task.held_out(5)) == 5  # fresh: there is no evaluation file
    assert len(build_sudoku_task(SudokuConfig(**given)).held_out(5)) == 0


def test_the_line_of_a_wrong_row_is_that_of_the_file(tmp_path: Path) -> None:
    """Also behind rows that are too easy, and behind blank lines."""
    path, box, solved = tmp_path / "rated.csv", box_of_size(4), "1234341221434321"
    rows = [f"own,12343412214343..,{solved},1", "", f"own,12343412214343..,{solved},7"]
    path.write_text("\n".join(["source,question,answer,rating", *rows, f"own,2234{'.' * 12},{solved},8"]))
    with pytest.raises(InputError, match="line 5: the answer does not solve the question"):
        load_csv(path, box, min_rating=5)
    path.write_text("\n".join(["source,question,answer,rating", *rows, f"own,2234,{solved},8"]))
    with pytest.raises(InputError, match="line 5: 4 cells"):
        load_csv(path, box, min_rating=5)
    path.write_text("\n".join(["source,question,answer,rating", *rows]))
    assert len(load_csv(path, box, min_rating=5)) == 1


@pytest.mark.parametrize("rating", ["", "nan", "hard"])
def test_a_rating_that_is_no_number_is_named(tmp_path: Path, rating: str) -> None:
    path = tmp_path / "rated.csv"
    path.write_text(f"source,question,answer,rating\nown,12343412214343..,1234341221434321,{rating}\n")
    with pytest.raises(InputError, match="line 2: no rating"):
        load_csv(path, box_of_size(4), min_rating=5)
