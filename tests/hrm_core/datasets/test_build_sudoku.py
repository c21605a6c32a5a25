"""Sudoku folders: forms, samples, ratings, and sources that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sage.errors import DataError, SageError
from sage.hrm_core.datasets.build_sudoku import build_sudoku
from sage.hrm_core.datasets.layout import check, read_side
from sage.hrm_core.tasks.sudoku.grid import orbit_keys
from sage.hrm_core.tasks.sudoku.task import SudokuConfig


def test_a_sample_of_sudokus_is_built_in_many_forms(built: Path) -> None:
    facts = check(built)
    assert facts.num_groups == {"train": 6, "test": 5}
    assert facts.num_examples == {"train": 24, "test": 5}
    side = read_side(built / "train")
    keys = orbit_keys(side.labels.astype(np.int64) - 1, SudokuConfig().geometry).reshape(6, 4)
    assert (keys == keys[:, :1]).all()
    assert len(np.unique(np.asarray(side.inputs), axis=0)) == 24
    assert json.loads((built / "train" / "dataset.json").read_text())["sets"] == ["all"]


def test_two_builds_with_one_seed_are_equal(published: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 4), ("two", 4), ("three", 5)):
        build_sudoku(published, out=tmp_path / name, num_aug=2, seed=seed)
    one, two, three = (
        (tmp_path / name / "train" / "all__inputs.npy").read_bytes() for name in ("one", "two", "three")
    )
    assert one == two != three


def test_easy_puzzles_are_left_out_by_their_rating(published: Path, tmp_path: Path) -> None:
    assert build_sudoku(published, out=tmp_path / "hard", min_difficulty=3).num_groups == {
        "train": 9,
        "test": 2,
    }


def test_a_folder_with_files_is_not_overwritten(built: Path, published: Path) -> None:
    with pytest.raises(ValueError, match="not empty"):
        build_sudoku(published, out=built)


def test_csv_files_with_a_byte_order_mark_are_read(published: Path, tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text((published / name).read_text(), encoding="utf-8-sig")
    assert build_sudoku(tmp_path, out=tmp_path / "out").num_examples == {"train": 12, "test": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,question,answer,rating\n", r"test\.csv: no puzzles"),
        ("question,answer\n12,34\n", r"test\.csv: line 2"),
        ("a,b\n", r"test\.csv: its columns are"),
    ],
)
def test_nothing_is_written_where_the_second_file_is_wrong(
    text: str, message: str, published: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_text((published / "train.csv").read_text())
    (tmp_path / "test.csv").write_text(text)
    with pytest.raises(SageError, match=message) as caught:
        build_sudoku(tmp_path, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_rating_that_no_puzzle_has_is_refused(published: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no puzzles with a rating of at least 99"):
        build_sudoku(published, out=tmp_path / "out", min_difficulty=99)
