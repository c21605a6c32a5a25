"""Maze folders: symmetric forms, and CSV files that are refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sage.errors import DataError
from sage.hrm_core.datasets.build_maze import build_maze
from sage.hrm_core.datasets.layout import read_side
from sage.hrm_core.tasks.maze.symbols import SYMBOLS
from sage.hrm_core.tasks.maze.task import MazeConfig, MazeTask


def test_mazes_are_turned_and_solved_again(tmp_path: Path) -> None:
    task = MazeTask(MazeConfig(size=8, difficulty="easy"))
    train, dev = task.sample(5, np.random.default_rng(0)), task.held_out(3)
    arrays = {
        "train_inputs": train.inputs,
        "train_labels": train.labels,
        "dev_inputs": dev.inputs,
        "dev_labels": dev.labels,
    }
    np.savez(tmp_path / "mazes.npz", **arrays)
    facts = build_maze(tmp_path / "mazes.npz", out=tmp_path / "out", num_aug=7)
    assert facts.num_examples == {"train": 40, "test": 3}
    side = read_side(tmp_path / "out" / "train")
    assert task.verify(np.asarray(side.inputs, np.int32), np.asarray(side.labels, np.int32)).all()


def _write_csv(folder: Path, encoding: str = "utf-8") -> None:
    """train.csv and test.csv of 3 and 2 mazes of 8 x 8."""
    task = MazeTask(MazeConfig(size=8, difficulty="easy"))
    sides = {"train": task.sample(3, np.random.default_rng(0)), "test": task.held_out(2)}
    for side, examples in sides.items():
        with (folder / f"{side}.csv").open("w", newline="", encoding=encoding) as file:
            rows = csv.writer(file)
            rows.writerow(["question", "answer"])
            for both in zip(examples.inputs, examples.labels):
                rows.writerow("".join(SYMBOLS[cell - 1] for cell in cells) for cells in both)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_published_csv_files_are_read_with_and_without_a_byte_order_mark(
    encoding: str, tmp_path: Path
) -> None:
    _write_csv(tmp_path, encoding)
    assert build_maze(tmp_path, out=tmp_path / "out").num_examples == {"train": 3, "test": 2}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"question,answer\n", "no mazes"),
        (b"", "its columns are"),
        (b"maze,path\nSG,SG\n", "its columns are"),
        (b"question,answer\nSGo,SGo\n", "line 2: 3 cells"),
        (b"question,answer\n,\n", "line 2: 0 cells"),
        (b"question,answer\nSG??,SG??\n", "line 2: give 4 symbols"),
        (b"question,answer\n\xff", "not UTF-8 at byte 16"),
        (b"question,answer\nSG#o,%s\n" % (b"o" * 140_000), r"test\.csv: line 2: field larger than"),
        (b"question,%s\n" % (b"o" * 140_000), r"test\.csv: line 1: field larger than"),
    ],
)
def test_a_wrong_csv_file_is_one_line_and_nothing_is_written(
    data: bytes, message: str, tmp_path: Path
) -> None:
    _write_csv(tmp_path)
    (tmp_path / "test.csv").write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        build_maze(tmp_path, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_both_sides_of_generated_mazes_have_the_subsample_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = MazeTask(MazeConfig(size=8, difficulty="easy"))
    monkeypatch.setattr("sage.hrm_core.datasets.build_maze.MazeTask", lambda _: small)
    facts = build_maze("generated", out=tmp_path / "out", subsample_size=4)
    assert facts.num_examples == {"train": 4, "test": 4}
