"""Sudoku: one solution each, graded, split by orbit; the puzzles people type, and the files they publish."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.hrm_core.tasks.sudoku.files import LoadedSudoku, load_csv
from sage.hrm_core.tasks.sudoku.grid import Box, box_of_size, orbit_keys, solve_grids, units_of
from sage.hrm_core.tasks.sudoku.singles import left_by_singles
from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask

SEVENTEEN = "000000010400000000020000000000050407008000300001090000300400200050100000000806000"
EASY = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
SIZES = (4, 6, 9)


@pytest.mark.parametrize("size", SIZES)
def test_every_puzzle_has_one_solution_and_as_many_givens_as_asked(size: int) -> None:
    task = SudokuTask(SudokuConfig(size=size))
    examples = task.sample(64, np.random.default_rng(0))
    solved = solve_grids(examples.inputs.astype(np.int64) - 1, task.box)
    assert (solved.counts == 1).all()
    np.testing.assert_array_equal(solved.solutions + 1, examples.labels)
    low, high = task.config.givens_range
    givens = (examples.inputs > 1).sum(axis=1)
    assert low <= givens.min() <= givens.max() <= high


def test_hard_puzzles_are_dug_down() -> None:
    examples = SudokuTask(SudokuConfig(givens=(20, 26))).sample(16, np.random.default_rng(0))
    assert (examples.inputs > 1).sum(axis=1).max() <= 26


def test_nearly_solved_puzzles_are_mixed_into_training_alone() -> None:
    task = SudokuTask(SudokuConfig(nearly_solved=0.5))
    blanks = (task.sample(200, np.random.default_rng(0)).inputs == 1).sum(axis=1)
    assert 0.35 < (blanks <= 5).mean() < 0.65
    assert blanks.min() >= 1
    assert ((task.held_out(50).inputs == 1).sum(axis=1) > 5).all()


def test_hard_puzzles_are_mixed_into_training_alone() -> None:
    task = SudokuTask(SudokuConfig(beyond_singles=0.5))
    examples, units = task.sample(200, np.random.default_rng(0)), units_of(task.box)
    left = left_by_singles(examples.inputs.astype(np.int64) - 1, units)
    assert 0.35 < (left > 40).mean() < 0.65
    assert (left[(examples.inputs > 1).sum(axis=1) >= 36] == 0).mean() > 0.9
    solved = solve_grids(examples.inputs.astype(np.int64) - 1, task.box)
    assert (solved.counts == 1).all()
    np.testing.assert_array_equal(solved.solutions + 1, examples.labels)
    assert (left_by_singles(task.held_out(50).inputs.astype(np.int64) - 1, units) <= 40).all()


def test_singles_go_as_far_as_a_person_goes_with_them() -> None:
    grids = np.array([[int(cell) for cell in text] for text in (EASY, SEVENTEEN)])
    units, full = units_of(Box(rows=3, cols=3)), set(range(1, 10))
    left = left_by_singles(grids, units)
    for grid, expected in zip(grids, left):
        moved = True
        while moved:
            moved = False
            options = [
                full - {grid[other] for unit in units for other in np.flatnonzero(unit == unit[cell])}
                for cell in range(81)
            ]
            for cell in np.flatnonzero(grid == 0):
                of_units = [np.flatnonzero((unit == unit[cell]) & (grid == 0)) for unit in units]
                only = [
                    digit
                    for digit in options[cell]
                    if any(sum(digit in options[o] for o in of) == 1 for of in of_units)
                ]
                if len(options[cell]) == 1 or only:
                    grid[cell], moved = min(only or options[cell]), True
                    break
        assert (grid == 0).sum() == expected
    assert left[0] == 0


@pytest.mark.parametrize("size", [6, 9])
def test_no_solution_grid_is_on_both_sides_under_any_symmetry(size: int) -> None:
    task = SudokuTask(SudokuConfig(size=size))
    sides = (task.sample(500, np.random.default_rng(0)), task.held_out(200))
    train, dev = (set(orbit_keys(side.labels.astype(np.int64) - 1, task.box).tolist()) for side in sides)
    assert train
    assert dev
    assert not train & dev


def test_4x4_has_two_grids_so_no_puzzle_is_on_both_sides_under_any_symmetry() -> None:
    task = SudokuTask(SudokuConfig(size=4))
    rng = np.random.default_rng(1)
    train = {row.tobytes() for _ in range(5) for row in task.transform(task.sample(400, rng), rng).inputs}
    assert not train & {row.tobytes() for row in task.held_out(300).inputs}


@pytest.mark.parametrize("size", [6, 9, 16])
def test_a_symmetry_keeps_the_orbit(size: int) -> None:
    task = SudokuTask(SudokuConfig(size=size))
    examples = task.sample(8, np.random.default_rng(0))
    moved = task.transform(examples, np.random.default_rng(1))
    keys = [orbit_keys(each.labels.astype(np.int64) - 1, task.box) for each in (examples, moved)]
    np.testing.assert_array_equal(keys[0], keys[1])
    assert len(set(keys[0].tolist())) > 1


def test_the_solver_counts_none_one_and_many() -> None:
    task = SudokuTask()
    one = task.encode(SEVENTEEN).astype(np.int64) - 1
    none, many = one.copy(), np.zeros(81, np.int64)
    none[0] = 5
    assert solve_grids(np.stack([one, none, many]), task.box).counts.tolist() == [1, 0, 2]


def test_a_drawing_can_be_read_back() -> None:
    task = SudokuTask(SudokuConfig(size=6))
    cells = task.held_out(1).inputs[0]
    np.testing.assert_array_equal(task.encode(task.render(cells)), cells)


@pytest.mark.parametrize(
    ("size", "sides"), [(4, (2, 2)), (6, (2, 3)), (8, (2, 4)), (9, (3, 3)), (12, (3, 4)), (16, (4, 4))]
)
def test_a_size_has_its_usual_box(size: int, sides: tuple[int, int]) -> None:
    assert box_of_size(size) == Box(rows=sides[0], cols=sides[1])


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    task = SudokuTask()
    examples = task.sample(6, np.random.default_rng(0))
    rows = [
        f"here,{task.decode(left)},{task.decode(right)},3"
        for left, right in zip(examples.inputs, examples.labels)
    ]
    (tmp_path / "some.csv").write_text("\n".join(["source,question,answer,rating", *rows]))
    return tmp_path / "some.csv"


def test_what_is_evaluated_is_left_out_of_training(csv_file: Path) -> None:
    task = LoadedSudoku(csv_file, csv_file)
    assert (len(task.train), len(task.dev), task.num_left_out) == (0, 6, 6)
    with pytest.raises(ValueError, match="no training puzzles"):
        task.sample(1, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("question", "puzzle", "columns"),
        ("here,", "here,1", "82 cells"),
        (".", "x", "symbol"),
        ("here,", "here" * 40_000 + ",", r"some\.csv: line 2: field larger than field limit"),
        ("source", "source" * 40_000, r"some\.csv: line 1: field larger than field limit"),
    ],
)
def test_a_wrong_file_names_the_line(csv_file: Path, old: str, new: str, told: str) -> None:
    csv_file.write_text(csv_file.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=told):
        load_csv(csv_file, box_of_size(9))


def test_published_puzzles_load_and_are_solved(puzzle_data: Path) -> None:
    task = LoadedSudoku(
        puzzle_data / "sudoku" / "mix_train_1k.csv", puzzle_data / "sudoku" / "mix_dev_2k.csv"
    )
    assert (len(task.train), len(task.dev), task.num_left_out) == (1000, 2000, 0)
    some = task.dev.take(slice(200))
    solved = solve_grids(some.inputs.astype(np.int64) - 1, task.box)
    assert (solved.counts == 1).all()
    np.testing.assert_array_equal(solved.solutions + 1, some.labels)


@pytest.mark.parametrize("size", SIZES)
def test_a_partial_answer_may_go_on_unless_a_choice_breaks_a_rule(size: int) -> None:
    task = SudokuTask(SudokuConfig(size=size))
    examples, rng = task.held_out(16), np.random.default_rng(0)
    puzzles, labels, rows = examples.inputs, examples.labels, np.arange(16)
    is_chosen = (puzzles == task.spec.blank) & (rng.random(puzzles.shape) < 0.5)
    partial = np.where(is_chosen, labels, puzzles)
    assert task.may_extend(puzzles, partial).all()
    given = np.array([np.flatnonzero(row > 1)[0] for row in puzzles])
    changed = partial.copy()
    changed[rows, given] = (changed[rows, given] - 2 + 1) % size + 2
    assert not task.may_extend(puzzles, changed).any()
    units = units_of(task.box)
    peer = np.array(
        [
            next(cell for cell in np.flatnonzero(row == 1) if (units[:, cell] == units[:, at]).any())
            for row, at in zip(puzzles, given)
        ]
    )
    clashing = puzzles.copy()
    clashing[rows, peer] = puzzles[rows, given]
    assert not task.may_extend(puzzles, clashing).any()
    np.testing.assert_array_equal(task.as_inputs(puzzles, partial), partial)
    whole = task.complete(puzzles, partial, np.full_like(labels, 2))
    np.testing.assert_array_equal(whole[partial > 1], labels[partial > 1])
    assert (whole[partial == 1] == 2).all()
